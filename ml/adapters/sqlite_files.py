"""Let a SQLite file that several processes write wait for the disk once a commit: by a write-ahead log."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Literal

MAGIC = b"SQLite format 3\0"
WRITE_VERSION = 18
"""The byte of the header that says whether a file is written by a write-ahead log (2) or by a rollback journal (1)."""

REMOTE = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "drvfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
}
"""File systems that another machine may write too; those of FUSE, but disks of Windows, count as such."""

LOCKED_SECONDS = 1.0
MOUNTS = Path("/proc/self/mountinfo")
logger = logging.getLogger(__name__)

JournalMode = Literal["wal", "delete"]


def use_write_ahead_log(database: Path) -> None:
    """Put a database into write-ahead mode, which its file keeps; one that is not there is made for it.

    One on a file system that other machines may write too is put back to a rollback journal: the index of a
    write-ahead log is memory that the processes of one machine share. What cannot be changed now, because another
    process is at work in it or nobody may write it, stays as it is. What is no database is not touched.
    """
    wanted: JournalMode = "delete" if is_remote(database.parent) else "wal"
    try:
        if (journal_mode(database) or "delete") == wanted:
            return
        with closing(sqlite3.connect(database, timeout=LOCKED_SECONDS)) as connection:
            connection.execute(f"PRAGMA journal_mode={wanted}")
    except (OSError, sqlite3.Error) as err:
        logger.info("%s is not put into the journal mode %r now (%s)", database, wanted, err)


def journal_mode(database: Path) -> JournalMode | None:
    """Return the mode that a database's file names; None of one that is not there, or empty.

    Raises
    ------
    sqlite3.DatabaseError
        If the file is not a database.
    """
    try:
        with database.open("rb") as file:
            header = file.read(WRITE_VERSION + 1)
    except FileNotFoundError:
        return None
    if not header:
        return None
    if not header.startswith(MAGIC) or len(header) <= WRITE_VERSION:
        raise sqlite3.DatabaseError("file is not a database")
    return "wal" if header[WRITE_VERSION] == 2 else "delete"


def is_remote(folder: Path) -> bool:
    """Return whether other machines may write a folder too, as far as the system names its file system."""
    kind = _file_system(folder.resolve(), MOUNTS)
    return kind in REMOTE or kind.startswith("fuse.")


@lru_cache
def _file_system(folder: Path, mounts: Path) -> str:
    """Return the type of the file system of a folder, as Linux names it; empty where nothing names it."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    longest, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(left.split(" ")[4].encode().decode("unicode_escape"))
        if folder.is_relative_to(point) and len(point.parts) >= longest:  # the last one mounted lies on top
            longest, kind = len(point.parts), right.split(" ")[0]
    return kind
