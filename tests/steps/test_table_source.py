"""A table as the source of the loop: what comes into the data registry, and when it counts as changed."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.core.data.days import days_between
from ml.steps.ingest import seed
from tests.steps.conftest import World
from tests.steps.test_regression import KEY, expectations, table

FIRST, LAST = date(2024, 3, 28), date(2024, 4, 2)
DAYS = days_between(FIRST, LAST)
"""The clocks of Berlin were changed on one of them."""
NOW = datetime(2024, 5, 1, tzinfo=UTC)
TASK = {
    "name": "orders",
    "kind": "regression",
    "target": "amount",
    "key": KEY,
    "label_delay_days": 1,
    "timezone": "Europe/Berlin",
}


def _orders(day: date) -> pd.DataFrame:
    """Return the orders of a day, spread over it, with the instant in UTC and a shop whose code begins with zeros."""
    rows = table(day)
    midnight, next_midnight = (
        pd.Timestamp(moment, tz="Europe/Berlin").tz_convert("UTC") for moment in (day, day + timedelta(days=1))
    )
    at = [midnight + (next_midnight - midnight) * number / len(rows) for number in range(len(rows))]
    shops = rows["shop"].map({"north": "001", "south": "002", "web": "NA"})
    return rows.assign(shop=shops, at=[instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in at])


def _world(home: Path, source: dict[str, Any]) -> World:
    home.mkdir()
    expectations(home / "expectations")
    params = {
        "task": TASK,
        "source": source,
        "types": {"inputs": {"order": "int64"}, "labels": {"order": "int64"}},
        "pull": {"min_days": 15},
        "split": {"holdout_days": 8},
        "features": {"categorical": ["shop"], "numeric": ["weight"]},
        "fit": {"estimator": "sklearn.linear_model.Ridge"},
        "gate": {"metric": "rmse", "rules": {}},
    }
    return World(home, params)


def _seeded(home: Path, source: dict[str, Any]) -> dict[tuple[str, date], str]:
    world = _world(home, source)
    seed.run(FIRST, LAST, settings=world.settings, services=world.services)
    return _held(world)


def _held(world: World) -> dict[tuple[str, date], str]:
    days = {asset: world.services.registry.days(asset) for asset in ("inputs", "labels")}  # type: ignore[arg-type]
    return {(asset, day): file.md5 for asset, files in days.items() for day, file in files.items()}


def _table(path: Path) -> dict[str, Any]:
    return {"kind": "table", "inputs": str(path), "time": "at", "inputs_columns": ["day", "order", "shop", "weight"]}


def test_a_table_of_any_format_gives_the_bytes_of_one_parquet_file_a_day(tmp_path: Path) -> None:
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    for day in DAYS:
        _orders(day).drop(columns=["amount", "at"]).to_parquet(delivered / f"inputs-{day}.parquet")
        _orders(day)[[*KEY, "amount"]].to_parquet(delivered / f"labels-{day}.parquet")
    patterns = {asset: str(delivered / f"{asset}-{{day}}.parquet") for asset in ("inputs", "labels")}
    expected = _seeded(tmp_path / "files", {"kind": "files", **patterns})
    assert len(expected) == len(DAYS) * 2 - 1

    whole = pd.concat([_orders(day) for day in DAYS], ignore_index=True).drop(columns="day")
    whole.to_csv(tmp_path / "orders.csv", index=False)
    whole.assign(at=pd.to_datetime(whole["at"])).to_parquet(tmp_path / "orders.parquet", row_group_size=100)
    lines = "".join(json.dumps(row) + "\n" for row in whole.to_dict("records"))
    (tmp_path / "orders.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for shop, rows in whole.groupby("shop"):
        for number, part in rows.groupby(rows["order"] // 50):
            folder = tmp_path / "hive" / f"shop={shop}" / f"part={number}"
            folder.mkdir(parents=True)
            part.drop(columns="shop").to_parquet(folder / "rows.parquet")
    for day in DAYS:
        folder = tmp_path / "by_day" / f"day={day}"
        folder.mkdir(parents=True)
        _orders(day).drop(columns="day").to_parquet(folder / "rows.parquet")

    for name in ("orders.csv", "orders.parquet", "orders.jsonl.gz", "by_day"):
        assert _seeded(tmp_path / f"home-{name}", _table(tmp_path / name)) == expected, name
    hive = _world(tmp_path / "home-hive", _table(tmp_path / "hive"))
    seed.run(FIRST, LAST, settings=hive.settings, services=hive.services)
    for asset, day in expected:  # the order of rows is that of the files
        opened = hive.services.registry.open(asset, first_day=day, last_day=day)[day]  # type: ignore[arg-type]
        columns = ["day", "order", "shop", "weight"] if asset == "inputs" else [*KEY, "amount"]
        rows = pd.read_parquet(opened).sort_values("order", ignore_index=True)
        pd.testing.assert_frame_equal(rows, _orders(day)[columns], check_dtype=False)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_labels_of_a_day_are_taken_again_only_if_its_own_rows_changed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"orders.{ending}"

    def write(rows: list[pd.DataFrame]) -> None:
        whole = pd.concat(rows, ignore_index=True).drop(columns="day")
        whole.to_csv(path, index=False) if ending == "csv" else whole.to_parquet(path)

    world = _world(tmp_path / "home", _table(path))
    rows = {day: _orders(day) for day in DAYS}
    write(list(rows.values()))
    seed.run(FIRST, LAST, settings=world.settings, services=world.services)
    before = _held(world)

    new = LAST + timedelta(days=1)
    rows[new] = _orders(new)
    write(list(rows.values()))
    world.ingest(new, now=NOW)
    after = _held(world)
    assert {day for day in after if after[day] != before.get(day)} == {("inputs", new), ("labels", LAST)}

    corrected, newest = LAST - timedelta(days=1), new + timedelta(days=1)
    rows[corrected] = rows[corrected].assign(amount=rows[corrected]["amount"] + 1)
    rows[newest] = _orders(newest)
    write(list(rows.values()))
    world.ingest(newest, now=NOW)
    last = _held(world)
    changed = {day for day in last if last[day] != after.get(day)}
    assert changed == {("inputs", newest), ("labels", new), ("labels", corrected)}
