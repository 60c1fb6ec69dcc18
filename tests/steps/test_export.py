"""Served predictions in a database too: whatever becomes of that, the file stays, and can be written again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from ml.errors import MissingArtifact, SettingsError, Unavailable
from ml.steps.score import export
from tests.postgres import free_port
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

VARIABLE = "EVERGREEN_CONNECTION_SERVING"


def test_a_published_day_is_in_the_table_as_it_is_in_the_file(
    trained: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trained.having(score={"sink": {"database": "serving", "table": "predictions", "batch_rows": 100}})
    world.ingest(NEXT_DAY)
    monkeypatch.setenv(VARIABLE, f"postgresql://127.0.0.1:{free_port()}/db")
    _, scoring = world.score(NEXT_DAY)
    with pytest.raises(Unavailable, match="does not answer"):
        world.run(export, scoring.day, scoring.version)
    served = pd.read_parquet(scoring.uri.removeprefix("file://"))

    path = tmp_path / "serving.db"
    monkeypatch.setenv(VARIABLE, f"sqlite:///{path}")
    exported = world.run(export, scoring.day, scoring.version)
    assert exported.rows == scoring.rows == len(served)
    assert world.run(export, scoring.day, scoring.version) == exported
    with closing(sqlite3.connect(path)) as database:
        table = pd.read_sql("SELECT * FROM predictions", database)
    assert table.pop("model").unique().tolist() == [world.settings.task.name]
    pd.testing.assert_frame_equal(table.assign(decision=table["decision"].astype(bool)), served, check_dtype=False)

    path.unlink()
    again = export.again(LAST_DAY, NEXT_DAY + timedelta(days=1), settings=world.settings, services=world.services)
    assert again.exports == (exported,) and again.left_out == (LAST_DAY, NEXT_DAY + timedelta(days=1))
    with pytest.raises(MissingArtifact, match=f"nothing was published from {LAST_DAY}"):
        export.again(LAST_DAY, LAST_DAY, settings=world.settings, services=world.services)
    with pytest.raises(SettingsError, match=r"no score\.sink"):
        trained.run(export, scoring.day, scoring.version)
    Path(scoring.uri.removeprefix("file://")).write_bytes(b"something else")
    with pytest.raises(MissingArtifact, match="not those that were published"):
        world.run(export, scoring.day, scoring.version)
