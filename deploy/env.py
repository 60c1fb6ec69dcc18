"""Draw the keys and passwords of the full stack into ``.env``, once: what is there already stays.

    python -m deploy.env [--file .env]

The file is readable by its owner only, and ignored by Git. Lines that were added by hand are kept.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from ml.settings import PROJECT_ROOT

HEADING = "# Keys and passwords of the full stack. Never commit.\n"


def _token() -> str:
    return secrets.token_urlsafe(24)


def _fernet() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


DRAWN: dict[str, Callable[[], str]] = {
    "EVERGREEN_FERNET_KEY": _fernet,
    "EVERGREEN_API_SECRET": _token,
    "EVERGREEN_JWT_SECRET": lambda: secrets.token_urlsafe(64),
    "EVERGREEN_POSTGRES_PASSWORD": _token,
    "EVERGREEN_AIRFLOW_DB_PASSWORD": _token,
    "EVERGREEN_MLFLOW_DB_PASSWORD": _token,
    "EVERGREEN_REDIS_PASSWORD": _token,
    "EVERGREEN_S3_KEY": lambda: secrets.token_hex(10),
    "EVERGREEN_S3_SECRET": _token,
    "EVERGREEN_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "EVERGREEN_OPERATOR_PASSWORD": lambda: secrets.token_urlsafe(12),
    "EVERGREEN_VIEWER_PASSWORD": lambda: secrets.token_urlsafe(12),
}
"""Every secret of the stack; all of them are safe inside a URL."""


def complete(path: Path) -> tuple[str, ...]:
    """Add to ``path`` the secrets that it lacks; return their names.

    Written whole or not at all, with mode 600 from the first byte on.
    """
    text = (
        path.read_text(encoding="utf-8") if path.exists() else "# Keys and passwords of the full stack. Never commit.\n"
    )
    known = {line.split("=", 1)[0].strip() for line in text.splitlines() if "=" in line and not line.startswith("#")}
    missing = tuple(name for name in DRAWN if name not in known)
    if text and not text.endswith("\n"):
        text += "\n"
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "".join(f"{name}={DRAWN[name]()}\n" for name in missing))
    part.replace(path)
    return missing


def main(argv: list[str] | None = None) -> int:
    """Complete the file and say what was drawn; no secret is printed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.env", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--file", type=Path, default=PROJECT_ROOT / ".env")
    path: Path = parser.parse_args(argv).file
    drawn = complete(path)
    sys.stdout.write(f"{path}: " + (f"{len(drawn)} keys drawn\n" if drawn else "every key is there already\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
