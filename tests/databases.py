"""Copies of MLflow's SQLite database: whole ones, though its newest rows may be in its write-ahead log."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

FILES = shutil.ignore_patterns("mlflow.db", "mlflow.db-wal", "mlflow.db-shm")
"""What a copy of files leaves to `copy_database`."""


def copy_database(source: Path, target: Path) -> None:
    """Copy a database; one that is there already, and open, gets the other one's rows."""
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as after:
        before.backup(after)
        after.execute("pragma journal_mode=wal")


def copy_home(source: Path, target: Path) -> None:
    """Copy an installation, or a part of it, over what is there."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=FILES)
    for database in source.rglob("mlflow.db"):
        copy_database(database, target / database.relative_to(source))


def has_tables(database: Path) -> bool:
    """Return whether somebody has made tables in a database; also of what is no database, or is held by another."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute("select 1 from sqlite_master").fetchone() is not None
    except sqlite3.Error:
        return True
