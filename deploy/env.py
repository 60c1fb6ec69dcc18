"""Draw the keys and passwords of the full stack into ``.env``, once: what is there already stays.

    python3 -m deploy.env [--file .env]

The file is readable by its owner only, and ignored by Git. Lines that were added by hand are kept. Needs the standard
library only, since the machine that runs the stack needs no installation of the project.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HEADING = "# Keys and passwords of the full stack. Never commit; keep a copy where the backups are not.\n"


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
    "EVERGREEN_MLFLOW_PASSWORD": lambda: secrets.token_urlsafe(12),
    "EVERGREEN_MLFLOW_SECRET": _token,
    "EVERGREEN_REDIS_PASSWORD": _token,
    "EVERGREEN_S3_KEY": lambda: secrets.token_hex(10),
    "EVERGREEN_S3_SECRET": _token,
    "EVERGREEN_SERVING_TOKEN": lambda: secrets.token_urlsafe(32),
    "EVERGREEN_METRICS_TOKEN": lambda: secrets.token_urlsafe(32),
    "EVERGREEN_CLUSTER_TOKEN": lambda: secrets.token_urlsafe(32),
    "EVERGREEN_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "EVERGREEN_OPERATOR_PASSWORD": lambda: secrets.token_urlsafe(12),
    "EVERGREEN_VIEWER_PASSWORD": lambda: secrets.token_urlsafe(12),
}
"""Every secret of the stack; all of them are safe inside a URL."""
MAY_BE_EMPTY = ("EVERGREEN_OPERATOR_PASSWORD", "EVERGREEN_VIEWER_PASSWORD")
"""Without a password there is no such user."""


def read(path: Path) -> dict[str, str]:
    """Return the variables of an env file, the last of a name, without quotes; empty if there is no such file."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def complete(path: Path) -> tuple[str, ...]:
    """Add to ``path`` the secrets that it lacks or leaves empty; return their names.

    Written whole or not at all, with mode 600 from the first byte on; one that others may read is closed to them.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else HEADING
    values = read(path)
    missing = tuple(name for name in DRAWN if not values.get(name) and not (name in values and name in MAY_BE_EMPTY))
    if text and not text.endswith("\n"):
        text += "\n"
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "".join(f"{name}={DRAWN[name]()}\n" for name in missing))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return missing


def main(argv: list[str] | None = None) -> int:
    """Complete the file and say what was drawn; no secret is printed."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.env", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--file", type=Path, default=PROJECT / ".env")
    path: Path = parser.parse_args(argv).file
    drawn = complete(path)
    sys.stdout.write(f"{path}: " + (f"{len(drawn)} keys drawn\n" if drawn else "every key is there already\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
