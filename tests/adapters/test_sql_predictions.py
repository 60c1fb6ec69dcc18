"""Predictions in a table of a database: a day is there whole or as it was, whoever writes, dies or writes again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from ml.adapters.sql.database import Database
from ml.adapters.sql.predictions import PredictionTable
from ml.errors import EvergreenError, SettingsError, Unavailable
from tests.postgres import postgres

__all__ = ["postgres"]
DAY = date(2024, 4, 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"sqlite:///{tmp_path / 'new.db'}"
    if request.param == "postgresql":
        made = request.getfixturevalue("postgres").new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_SERVING", made)
    return made


def _table(model: str = "flights", name: str = "predictions", **options: Any) -> PredictionTable:
    return PredictionTable(Database("serving", "score.sink.database", new_file=True), name, model, **options)


def _predictions(version: int, rows: int = 5, day: date = DAY) -> pa.Table:
    return pa.table(
        {
            "day": [day.isoformat()] * rows,
            "flight": [f"F{n}" for n in range(rows)],
            "at": pa.array([None] * rows, pa.timestamp("us", tz="UTC")),
            "prediction": [n / 10 + version for n in range(rows)],
            "decision": [n % 2 == 0 for n in range(rows)],
            "model_version": [version] * rows,
        }
    )


def _replace(table: PredictionTable, version: int, rows: int = 5, day: date = DAY, size: int = 2) -> int:
    whole = _predictions(version, rows, day)
    batches = [whole.slice(start, size) for start in range(0, rows, size)]
    return table.replace_day(day, version, whole.schema, batches)


def _held(url: str, name: str = "predictions") -> list[tuple[Any, ...]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    query = f"SELECT model, day, model_version, flight, prediction FROM {name} ORDER BY 1, 2, 3, 4"
    with engine.connect() as connection:
        return [(row[0], str(row[1]), *row[2:]) for row in connection.execute(sa.text(query))]


def test_a_day_is_replaced_by_its_newest_version_and_twice_is_as_once(url: str) -> None:
    assert _replace(_table(), 1) == 5
    _replace(_table("churn"), 7, rows=1)
    _replace(_table(), 1, day=date(2024, 4, 2), rows=1)
    assert _replace(_table(), 2, rows=3) == 3
    once = _held(url)
    assert _replace(_table(), 2, rows=3) == 3
    assert _held(url) == once
    assert once == [
        ("churn", "2024-04-01", 7, "F0", 7.0),
        ("flights", "2024-04-01", 2, "F0", 2.0),
        ("flights", "2024-04-01", 2, "F1", 2.1),
        ("flights", "2024-04-01", 2, "F2", 2.2),
        ("flights", "2024-04-02", 1, "F0", 1.0),
    ]
    kinds = {
        c["name"]: str(c["type"])
        for c in sa.inspect(sa.create_engine(url, poolclass=sa.NullPool)).get_columns("predictions")
    }
    assert kinds["day"] == "DATE" and kinds["decision"] == "BOOLEAN" and kinds["model_version"] == "BIGINT"


def test_other_versions_of_a_day_may_stay(url: str) -> None:
    for version in (1, 2, 2):
        _replace(_table(keep_versions=True), version, rows=1)
    assert [row[2] for row in _held(url)] == [1, 2]


def test_what_dies_half_way_changes_nothing(url: str) -> None:
    _replace(_table(), 1)
    before = _held(url)

    def dying() -> Iterator[pa.Table]:
        yield _predictions(2).slice(0, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _table().replace_day(DAY, 2, _predictions(2).schema, dying())
    assert _held(url) == before


def test_of_two_that_write_the_same_day_at_once_no_row_comes_twice(url: str) -> None:
    _replace(_table(), 1, day=date(2024, 4, 2))  # of the day itself there is no row yet that one could lock
    deleted, results = threading.Barrier(2, timeout=10), []

    def slowly(version: int) -> Iterator[pa.Table]:
        if not url.startswith("sqlite"):  # there the second one waits for the first
            deleted.wait()
        yield _predictions(version)

    def work(version: int) -> None:
        try:
            results.append(_table().replace_day(DAY, version, _predictions(version).schema, slowly(version)))
        except Unavailable:
            results.append(0)

    threads = [threading.Thread(target=work, args=(version,)) for version in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    rows = [row for row in _held(url) if row[1] == DAY.isoformat()]
    assert len(results) == 2 and 5 in results
    assert len(rows) == 5 and len({row[2] for row in rows}) == 1


def test_a_table_of_ones_own_needs_our_columns_and_may_have_more(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    columns = "model TEXT, day VARCHAR(10), flight TEXT, at TEXT, prediction REAL, decision BOOLEAN"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE own ({columns}, note TEXT)"))
    with pytest.raises(SettingsError, match="own has no column model_version; add what is missing"):
        _replace(_table(name="own"), 1)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE own ADD COLUMN model_version INTEGER"))
    assert _replace(_table(name="own"), 1) == 5
    assert _replace(_table(name="own"), 1) == 5
    assert len(_held(url, "own")) == 5 and _held(url, "own")[0][1] == "2024-04-01"


def test_a_value_that_the_table_cannot_hold_leaves_the_day_as_it_was(postgres: Any, monkeypatch: Any) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_SERVING", url)
    _replace(_table(), 1)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE predictions ADD CONSTRAINT low CHECK (prediction < 2.3)"))
    with pytest.raises(EvergreenError, match="low"):
        _replace(_table(), 2)
    assert {row[2] for row in _held(url)} == {1}


def test_a_schema_of_the_database_is_named_before_the_table(postgres: Any, monkeypatch: Any) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_SERVING", url)
    postgres.execute("CREATE SCHEMA ml", name=url.rpartition("/")[2])
    assert _replace(_table(name="ml.predictions"), 1) == 5
    assert len(_held(url, "ml.predictions")) == 5
