"""Folders and files that only their owner may read, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ml.errors import SettingsError

OTHERS = 0o077
"""What permissions give to anybody but the owner."""

MARKS = ("stack.lock", "airflow", "mlflow", "registry.git", "registry-remote", "storage", "cache", "workspace")
"""Names that show a folder to be an installation's own."""


def make_private(home: Path) -> None:
    """Create an installation's folder for its owner alone, and close to others one that is there already.

    Raises
    ------
    SettingsError
        If others may read the folder and it cannot be closed: it belongs to somebody else, or holds other things.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
        return
    except FileExistsError:
        pass
    status = home.stat()
    if not status.st_mode & OTHERS:
        return
    foreign = status.st_uid != os.getuid() or status.st_mode & stat.S_ISVTX
    if foreign or (any(home.iterdir()) and not any((home / name).exists() for name in MARKS)):
        raise SettingsError(
            f"{home} can be read by other users of this machine, and is not a folder of Evergreen's alone; "
            "give EVERGREEN_HOME a new folder, or close this one by 'chmod 700'"
        )
    home.chmod(0o700)


def touch_private(path: Path) -> None:
    """Create an empty file that only its owner may read; of one that is there, take from others what they have."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & OTHERS:
            path.chmod(0o600)
