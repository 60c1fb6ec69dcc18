"""A database as the source of the loop: what comes into the data registry, and when it counts as changed."""

from __future__ import annotations

import logging
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from ml.steps.ingest import seed
from tests.postgres import PASSWORD, Postgres, postgres
from tests.steps.test_regression import KEY
from tests.steps.test_table_source import DAYS, FIRST, LAST, NOW, _held, _orders, _seeded, _world

__all__ = ["postgres"]
VARIABLE = "EVERGREEN_CONNECTION_WAREHOUSE"
QUERIES = {
    "inputs": {"query": 'SELECT day, "order", shop, weight FROM orders WHERE day = :day'},
    "labels": {"query": 'SELECT day, "order", amount FROM orders WHERE day = :day AND amount IS NOT NULL'},
}
TABLE = {"inputs": {"table": "orders", "time": "at", "columns": ["day", "order", "shop", "weight"]}}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "orders.db"
    sqlite3.connect(path).close()
    made = request.getfixturevalue("postgres").new() if request.param == "postgresql" else f"sqlite:///{path}"
    monkeypatch.setenv(VARIABLE, made)
    return str(made)


def _write(url: str, days: list[Any]) -> None:
    """Put the orders of some days into the database, in the place of what it holds of them, in no order."""
    engine = sa.create_engine(url)
    rows = pd.concat(days, ignore_index=True).sample(frac=1, random_state=7)
    texts = url.startswith("sqlite")
    if not texts:
        rows = rows.assign(at=pd.to_datetime(rows["at"]), day=pd.to_datetime(rows["day"]).dt.date)
    types = {"day": sa.Text() if texts else sa.Date(), "at": sa.Text() if texts else sa.DateTime(timezone=True)}
    with engine.begin() as connection:
        if sa.inspect(connection).has_table("orders"):
            connection.execute(
                sa.text("DELETE FROM orders WHERE day = :day"), [{"day": day} for day in rows["day"].unique()]
            )
        rows.to_sql("orders", connection, index=False, if_exists="append", dtype=types)
    engine.dispose()


def _sql(sections: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"kind": "sql", "database": "warehouse", **sections, **options}


def test_a_database_gives_the_bytes_of_one_parquet_file_a_day(url: str, tmp_path: Path) -> None:
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    for day in DAYS:
        _orders(day).drop(columns=["amount", "at"]).sort_values("order").to_parquet(delivered / f"inputs-{day}.parquet")
        _orders(day)[[*KEY, "amount"]].sort_values("order").to_parquet(delivered / f"labels-{day}.parquet")
    patterns = {asset: str(delivered / f"{asset}-{{day}}.parquet") for asset in ("inputs", "labels")}
    expected = _seeded(tmp_path / "files", {"kind": "files", **patterns})
    assert len(expected) == len(DAYS) * 2 - 1
    _write(url, [_orders(day) for day in DAYS])
    assert _seeded(tmp_path / "table", _sql(TABLE)) == expected
    assert _seeded(tmp_path / "queries", _sql(QUERIES, batch_rows=17)) == expected


def test_labels_that_come_late_or_are_corrected_are_taken_and_others_are_not(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = _world(tmp_path / "home", _sql(QUERIES))
    late, corrected, new = LAST - timedelta(days=2), LAST - timedelta(days=1), LAST + timedelta(days=1)
    newest = new + timedelta(days=1)
    orders = {day: _orders(day) for day in [*DAYS, new, newest]}
    _write(url, [rows.assign(amount=None) if day == late else rows for day, rows in orders.items() if day <= LAST])
    seed.run(FIRST, LAST, settings=world.settings, services=world.services)
    before = _held(world)
    assert ("labels", late) not in before

    _write(url, [orders[day] for day in reversed(DAYS)] + [orders[new]])
    world.ingest(new, now=NOW)
    after = _held(world)
    assert {day for day in after if after[day] != before.get(day)} == {
        ("inputs", new),
        ("labels", LAST),
        ("labels", late),
    }

    _write(url, [orders[corrected].assign(amount=orders[corrected]["amount"] + 1), orders[newest]])
    world.ingest(newest, now=NOW)
    last = _held(world)
    changed = {day for day in last if last[day] != after.get(day)}
    assert changed == {("inputs", newest), ("labels", new), ("labels", corrected)}
    assert PASSWORD not in caplog.text
    written = [path for path in world.home.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert written == []


def test_a_database_that_is_away_for_labels_keeps_no_inputs_back(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new()
    monkeypatch.setenv(VARIABLE, url)
    _write(url, [_orders(day) for day in DAYS])
    broken = {**QUERIES, "labels": {"query": 'SELECT day, "order", amount FROM gone WHERE day = :day'}}
    world = _world(tmp_path / "home", _sql(QUERIES))
    seed.run(FIRST, DAYS[-2], settings=world.settings, services=world.services)
    other = world.having(source=_sql(broken))
    with pytest.raises(Exception, match="gone"):
        other.ingest(LAST, now=NOW)
    assert ("inputs", LAST) in _held(world)
