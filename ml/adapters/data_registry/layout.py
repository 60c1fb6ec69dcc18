"""Build what a fresh data registry contains: what ``dvc init`` would write, and our own settings."""

from __future__ import annotations

import re
from pathlib import Path

from ml.adapters import identity
from ml.adapters.data_registry.manifest import ASSETS

# Every write is on disk before the push returns; a version is never taken back, and where main was is written
# down; nothing runs by itself: `commits.pack` says when.
EMBEDDED_CONFIG = """\
\tfsync = all
\tfilesRefLockTimeout = 1000
\tlogAllRefUpdates = always
[gc]
\tauto = 0
[maintenance]
\tauto = false
[receive]
\tautogc = false
\tdenyDeletes = true
\tdenyNonFastForwards = true
"""


def first_files(remote: str, task: str | None) -> dict[str, bytes]:
    """Return the files of the first commit; no credentials and no endpoint are among them.

    ``task`` is whose data they will be; None leaves that open.
    """
    url = remote if "://" in remote else str(Path(remote).absolute())
    config = (
        "[core]\n    analytics = false\n    check_update = false\n    autostage = true\n    remote = storage\n"
        f"['remote \"storage\"']\n    url = {url}\n"
    )
    ignored = "".join(f"/{asset}\n" for asset in ASSETS)
    return {
        ".dvc/config": config.encode(),
        ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
        ".dvcignore": b"# Files that DVC should ignore: https://dvc.org/doc/user-guide/dvcignore\n",
        ".gitignore": ignored.encode(),
    } | owned_by(task)


def owned_by(task: str | None) -> dict[str, bytes]:
    """Return the file that says whose data the registry holds; none if that is open."""
    return {} if task is None else {identity.NAME: identity.encode(task)}


def recorded_remote(config: bytes) -> str | None:
    """Read from ``.dvc/config`` where the data are kept, or None if it does not say."""
    match = re.search(r"^\s*url\s*=\s*(.+?)\s*$", config.decode(errors="replace"), re.MULTILINE)
    return match[1] if match else None
