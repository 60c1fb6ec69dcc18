"""MLflow's SQLite file waits for the disk once a commit, wherever its file system allows it."""

from __future__ import annotations

import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from embedded.config import Stack
from embedded.prepare import prepare
from ml.adapters import sqlite_files
from ml.adapters.sqlite_files import is_remote, journal_mode, use_write_ahead_log
from ml.adapters.tracking import Tracking
from ml.adapters.tracking.database import was_opened
from tests.databases import copy_database

ROWS = 500
WRITE = """
import sqlite3, sys
from pathlib import Path
from ml.adapters.sqlite_files import use_write_ahead_log
for _ in range(100):
    use_write_ahead_log(Path(sys.argv[1]))
    database = sqlite3.connect(sys.argv[1], timeout=60)
    with database:
        database.execute("insert into t values (1)")
    database.close()
"""
KILLED = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.executemany("insert into t values (?)", [(number,) for number in range(500)])
database.commit()
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database as SQLite makes it, with one empty table."""
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (number integer)")
    return path


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("select count(*) from t").fetchone()[0])


def mounted(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system name a file system of this kind below ``folder``."""
    table = folder / "mountinfo"
    point = str(folder.resolve()).replace(" ", r"\040")
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        f"30 22 0:50 / {point} rw,relatime shared:2 master:3 - {kind} server:/export rw\n"
    )
    monkeypatch.setattr(sqlite_files, "MOUNTS", table)


def test_the_mode_after_the_first_open_by_evergreen_itself(tmp_path: Path) -> None:
    path = tmp_path / "mlflow" / "mlflow.db"
    assert Tracking(f"sqlite:///{path}", "task").training_experiment() is None
    assert journal_mode(path) == "wal"


def test_a_file_that_this_process_has_opened_is_opened_without_the_lock_and_another_in_its_place_with_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mlflow.db"
    tracking = Tracking(f"sqlite:///{path}", "task")
    assert not was_opened(path) and tracking.training_experiment() is None
    lock = FileLock(path.with_name("mlflow.db.lock"))
    with lock:
        assert was_opened(path) and tracking.training_experiment() is None
    shutil.copy(path, tmp_path / "other.db")
    (tmp_path / "other.db").replace(path)
    assert not was_opened(path)
    path.write_bytes(b"")
    assert not was_opened(path)


def test_databases_of_the_embedded_stack_are_in_that_mode_before_mlflow_starts(tmp_path: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(tmp_path / "var")})
    prepare(stack)
    databases = (stack.mlflow_home / "mlflow.db", stack.mlflow_users)
    assert [journal_mode(path) for path in databases] == ["wal", "wal"]
    with closing(sqlite3.connect(databases[0])) as connection:  # what SQLite adds is as private as the file
        connection.execute("create table t (number integer)")
        beside = [path for path in stack.mlflow_home.iterdir() if path.name.startswith("mlflow.db")]
        assert len(beside) == 3
        assert all(path.stat().st_mode & 0o077 == 0 for path in beside)


def test_an_existing_installation_is_switched_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    tracking = Tracking(f"sqlite:///{path}", "task")
    tracking.client.create_registered_model("before")
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, closing(sqlite3.connect(path)) as connection:
        connection.backup(old)
        old.execute("pragma journal_mode=delete")
    assert journal_mode(tmp_path / "old.db") == "delete"
    again = Tracking(f"sqlite:///{tmp_path / 'old.db'}", "task")
    assert [model.name for model in again.client.search_registered_models()] == ["before"]
    assert journal_mode(tmp_path / "old.db") == "wal"


def test_an_idle_process_that_has_it_open_goes_on_in_the_new_mode(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("select * from t").fetchall()
        use_write_ahead_log(database)
        assert journal_mode(database) == "wal"
        with other:
            other.execute("insert into t values (1)")
        assert count(database) == 1


def test_one_that_another_process_writes_stays_as_it_is_until_the_next_time(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_files, "LOCKED_SECONDS", 0.01)
    with closing(sqlite3.connect(database)) as other:
        other.execute("insert into t values (1)")
        with caplog.at_level(logging.INFO):
            use_write_ahead_log(database)
        assert "database is locked" in caplog.text
        assert journal_mode(database) == "delete"
        other.commit()
    use_write_ahead_log(database)
    assert (journal_mode(database), count(database)) == ("wal", 1)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_on_a_file_system_of_several_machines_it_keeps_a_rollback_journal_or_gets_it_back(
    kind: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_write_ahead_log(database)
    mounted(kind, database.parent, monkeypatch)
    assert is_remote(database.parent)
    use_write_ahead_log(database)
    use_write_ahead_log(database.with_name("new.db"))
    assert [journal_mode(path) for path in (database, database.with_name("new.db"))] == ["delete", None]


@pytest.mark.parametrize("kind", ["ext4", "overlay", "fuseblk"])
def test_a_disk_of_this_machine_is_none_of_several(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    mounted(kind, folder, monkeypatch)
    assert not is_remote(folder)
    monkeypatch.setattr(sqlite_files, "MOUNTS", tmp_path / "absent")
    assert not is_remote(folder)


def test_what_is_no_database_or_may_not_be_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_bytes(b"no database")
    use_write_ahead_log(tmp_path / "text.db")
    assert (tmp_path / "text.db").read_bytes() == b"no database"
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        journal_mode(tmp_path / "text.db")
    use_write_ahead_log(tmp_path / "absent" / "some.db")
    assert not (tmp_path / "absent").exists()


def test_two_processes_at_once_switch_it_and_write_all_their_rows(database: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITE, str(database)]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert (journal_mode(database), count(database)) == ("wal", 200)


def test_a_copy_of_a_stopped_installation_has_all_rows_also_after_a_kill(database: Path, tmp_path: Path) -> None:
    """As the runbook says: the whole folder; a process that was killed leaves its rows in the log beside the file."""
    use_write_ahead_log(database)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(database)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        copy_database(database, tmp_path / "while-it-runs.db")
        process.send_signal(signal.SIGKILL)
    assert database.with_name("some.db-wal").stat().st_size > 0
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-backup"))
    copied = tmp_path.with_name(f"{tmp_path.name}-backup")
    shutil.copyfile(database, copied / "alone.db")
    assert count(copied / "alone.db") == 0  # why the runbook says: the folder whole
    assert [count(copied / name) for name in ("some.db", "while-it-runs.db")] == [ROWS, ROWS]
    assert count(database) == ROWS
