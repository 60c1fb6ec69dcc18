"""For all tests: MLflow's tables are made once a test run, and copied into each new database."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.made_once import made_once

DOOR = "ml.adapters.tracking.database"


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
            if database.is_absent(uri):
                empty = made_once(tmp_path_factory, "mlflow", make) / "mlflow.db"
                shutil.copyfile(empty, uri.removeprefix(database.SQLITE))
            yield

    database.opening = opening_copy
