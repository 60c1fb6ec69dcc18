"""The version of the code that runs: its Git commit where there is one, its content always."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import lru_cache
from pathlib import Path

from ml.settings import PROJECT_ROOT


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """Hash every Python file below ``ml/``: what a training runs through."""
    digest = hashlib.sha256()
    for path in sorted((PROJECT_ROOT / "ml").rglob("*.py")):
        digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def lock_sha256() -> str:
    """Hash ``requirements.txt``; empty if the project was installed without it."""
    path: Path = PROJECT_ROOT / "requirements.txt"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


@lru_cache(maxsize=1)
def commit() -> str:
    """Give the commit of this checkout, with ``-dirty`` if tracked files differ from it.

    ``EVERGREEN_CODE_VERSION`` stands in where there is no ``.git`` (an image); ``unknown`` without
    either.
    """
    baked = os.environ.get("EVERGREEN_CODE_VERSION")
    if baked:
        return baked
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        described = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env=environ,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
