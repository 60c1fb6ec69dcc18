"""Keep Evergreen's own modules imported where tasks are forked from, as long as their files are the same.

A task that imports them anew pays half a second of processor time for it. One that runs what was imported before an
edit would run code that is not on the disk, and record the hash of another. So each forked process looks whether a file
of what was imported, or a folder with such files, has changed since, and forgets all of them if one has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("ml", "evergreen")
Signature = tuple[int, int]


def watch() -> None:
    """Let each process that is forked from now on forget our modules if a file of theirs has changed."""
    signatures = signatures_of_imported()
    os.register_at_fork(after_in_child=lambda: forget_if_changed(signatures))


def signatures_of_imported() -> dict[Path, Signature | None]:
    """Return what tells whether a file has changed, of each imported module and of each folder that holds one.

    A folder's changes when a file comes or goes: rules and sources are looked for in theirs.
    """
    paths: set[Path] = set()
    for name in imported():
        file = getattr(sys.modules[name], "__file__", None)
        if file:
            paths |= {Path(file), Path(file).parent}
    return {path: signature(path) for path in sorted(paths)}


def signature(path: Path) -> Signature | None:
    """Return the time of the last change and the size of a file; None if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, 0 if path.is_dir() else facts.st_size


def forget_if_changed(signatures: Mapping[Path, Signature | None]) -> bool:
    """Forget all of our modules if any file differs, so that whoever needs one imports it anew; return whether."""
    if all(signature(path) == known_signature for path, known_signature in signatures.items()):
        return False
    for name in imported():
        sys.modules.pop(name, None)
    return True


def imported() -> list[str]:
    """List our modules that are imported."""
    return [name for name in list(sys.modules) if is_own(name)]


def is_own(name: str) -> bool:
    """Return whether a module is one of ours."""
    return name.partition(".")[0] in PACKAGES
