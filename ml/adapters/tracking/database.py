"""Let one process at a time open MLflow's database where there is no server: the first to open it makes its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ml.adapters.sqlite_files import use_write_ahead_log

SQLITE = "sqlite:///"


def is_absent(uri: str) -> bool:
    """Return whether an address names a database on this machine that nobody has made yet."""
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


@contextmanager
def opening(uri: str) -> Iterator[None]:
    """Hold the lock beside a SQLite database, in write-ahead mode; for other addresses there is nothing to hold.

    Two processes that make the tables at once fail: MLflow asks whether they are there, and then makes them. A file
    that this process has opened before has its tables, and is opened without the lock.
    """
    database = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or was_opened(database):
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f"{database.name}.lock")):
        use_write_ahead_log(database)
        yield
    if (file := _file(database)) is not None:
        _opened[database] = file


_opened: dict[Path, tuple[int, int]] = {}
"""Device and number of each file that this process has opened: another one that is laid over it is another file."""


def was_opened(database: Path) -> bool:
    """Return whether this process has opened the very file that is there now."""
    return database in _opened and _opened[database] == _file(database)


def _file(database: Path) -> tuple[int, int] | None:
    """Return device and number of a file; None if it is not there, or empty."""
    try:
        facts = database.stat()
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if facts.st_size else None
