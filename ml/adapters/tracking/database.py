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

    Two processes that make the tables at once fail: MLflow asks whether they are there, and then makes them.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    database = Path(uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f"{database.name}.lock")):
        use_write_ahead_log(database)
        yield
