"""Say what a fresh data registry contains: what ``dvc init`` would write, and our own settings."""

from __future__ import annotations

import re
from pathlib import Path

from ml.adapters.registry.manifest import ASSETS

# Every write is on disk before the push returns; a version is never taken back; nothing runs by itself.
EMBEDDED_CONFIG = """\
\tfsync = all
\tfilesRefLockTimeout = 1000
[gc]
\tauto = 0
[maintenance]
\tauto = false
[receive]
\tautogc = false
\tdenyDeletes = true
\tdenyNonFastForwards = true
"""


def first_files(remote: str) -> dict[str, bytes]:
    """Give the files of the first commit; no credentials and no endpoint are among them."""
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
    }


def recorded_remote(config: bytes) -> str | None:
    """Read from ``.dvc/config`` where the data are kept, or None if it does not say."""
    found = re.search(r"^\s*url\s*=\s*(.+?)\s*$", config.decode(errors="replace"), re.MULTILINE)
    return found[1] if found else None
