"""For all tests: one thread a library, as in a running stack; MLflow's tables are made once, and copied."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedded.environment import ONE_THREAD
from tests.databases import copy_database, has_tables
from tests.made_once import made_once

# Before any library is loaded: workers share the processors, and threads that wait for each other keep them busy.
for _name, _value in ONE_THREAD.items():
    os.environ.setdefault(_name, _value)

DOOR = "ml.adapters.tracking.database"


def pytest_collection_finish() -> None:
    """Let Python look for garbage less often, and never among what was collected: it took 7 % of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip an end-to-end test that would begin too late; its fixtures are not made."""
    until = os.environ.get("E2E_UNTIL")
    if until and item.get_closest_marker("e2e") and time.time() > float(until):
        pytest.skip("no time is left for it: 'make e2e' runs it")


@pytest.fixture(autouse=True)
def _empty_mlflow_databases(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Begin each new SQLite database with a copy of one that MLflow made: its migrations take 1.7 s of a processor.

    The first is made as in production. So is each of a process that a test starts.
    """
    database: Any = sys.modules.get(DOOR)
    if database is None or hasattr(database, "made_by_mlflow"):
        return
    tmp_path_factory.getbasetemp()  # the first call is not safe for threads, and databases are opened in some
    opening = database.made_by_mlflow = database.opening

    def make(folder: Path) -> None:
        from mlflow.tracking import MlflowClient

        uri = f"{database.SQLITE}{folder / 'mlflow.db'}"
        with opening(uri):
            MlflowClient(uri).search_registered_models()

    @contextmanager
    def opening_copy(uri: str) -> Iterator[None]:
        with opening(uri):
            path = Path(uri.removeprefix(database.SQLITE))
            if uri.startswith(database.SQLITE) and not database.was_opened(path) and not has_tables(path):
                copy_database(made_once(tmp_path_factory, "mlflow", make) / "mlflow.db", path)
            yield

    database.opening = opening_copy
