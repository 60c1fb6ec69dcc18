"""Types that change from one day to the next: read by the schema, cast without loss, or refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ml.cli import schema
from ml.cli.schema import TypeChange
from ml.errors import DataRejected, MissingArtifact
from ml.settings import PROJECT_ROOT, Environment, parse
from ml.steps.ingest.source_day import fetch
from ml.wiring import Services

FIRST = date(2025, 1, 1)
IDS = [1, 2, 3, 4]


class Shop:
    """A folder with a day's customers, and a data registry of its own."""

    def __init__(self, home: Path, ending: str = "csv", **sections: Any) -> None:
        self.home, self.ending = home, ending
        raw = yaml.safe_load((PROJECT_ROOT / "params.yaml").read_text())
        raw["task"] |= {"name": "churn", "target": "churned", "key": ["day", "customer"]}
        raw["source"] = {"kind": "files"} | {
            asset: f"{home}/{asset}-{{day}}.{ending}" for asset in ("inputs", "labels")
        }
        raw["features"] = {"categorical": ["zip"], "numeric": ["spend"]}
        raw["gate"]["rules"] = {"base rate": {"kind": "base_rate"}}
        raw["drift"] |= {"structural": ["zip"], "environment": ["note"]}
        self.raw = {**raw, **sections}
        (home / "suites").mkdir(exist_ok=True)
        self.services.registry.create()

    @property
    def environ(self) -> dict[str, str]:
        (self.home / "params.yaml").write_text(yaml.safe_dump(self.raw))
        return {
            "EVERGREEN_HOME": str(self.home),
            "EVERGREEN_PARAMS": str(self.home / "params.yaml"),
            "EVERGREEN_EXPECTATIONS": str(self.home / "suites"),
        }

    @property
    def services(self) -> Services:
        return Services(parse(self.raw), Environment.load(self.environ))

    def deliver(self, number: int, zips: Sequence[Any], asset: str = "inputs", **columns: Any) -> date:
        day = FIRST + timedelta(days=number)
        size = len(zips)
        plain = {"customer": IDS[:size], "zip": zips, "spend": [10] * size}
        table = {"day": [str(day)] * size, **(plain if asset == "inputs" else {"customer": zips}), **columns}
        path = self.home / f"{asset}-{day}.{self.ending}"
        if self.ending == "csv":
            pd.DataFrame(table).to_csv(path, index=False)
        else:
            pq.write_table(pa.table(table), path)
        return day

    def take(self, day: date, asset: Any = "inputs") -> pa.Table:
        path = self.home / "fetched.parquet"
        fetch(asset, day, path, self.services)
        self.services.registry.commit({(asset, day): path}, message=f"Add {day}")
        return pq.read_table(self.services.registry.open(asset, first_day=day, last_day=day)[day])

    @property
    def types(self) -> dict[str, str]:
        return dict(self.services.registry.schema()["inputs"])


def test_a_code_of_digits_is_text_from_the_first_day_on_so_that_a_leading_zero_changes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.take(shop.deliver(0, ["10115", "80331"]))["zip"].to_pylist() == ["10115", "80331"]
    assert shop.take(shop.deliver(1, ["10115", "01067"]))["zip"].to_pylist() == ["10115", "01067"]
    assert shop.types == {"day": "string", "customer": "string", "zip": "string", "spend": "float64"}


def test_a_registry_without_a_schema_learns_it_from_its_newest_day_and_names_the_row_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, old = Shop(tmp_path), tmp_path / "old.parquet"
    pd.DataFrame({"day": str(FIRST), "customer": IDS, "zip": [10115, 1, 2, 3], "spend": 1.0}).to_parquet(old)
    with monkeypatch.context() as older:
        older.setattr("ml.adapters.data_registry.writer.schema_file", lambda *_: {})
        shop.services.registry.commit({("inputs", FIRST): old}, message="as an older version did")
    assert shop.take(shop.deliver(1, ["10115", "80331"]))["zip"].type == pa.int64()
    assert shop.types["zip"] == "int64"
    with pytest.raises(DataRejected, match=r"column 'zip' is string, but .* holds int64 \(row 1 has '01067'\)"):
        shop.take(shop.deliver(2, ["10115", "01067"]))


def test_whole_numbers_on_the_first_day_and_fractions_later_are_one_type(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.take(shop.deliver(0, ["1"], spend=["10"]))["spend"].to_pylist() == [10.0]
    assert shop.take(shop.deliver(1, ["1"], spend=["10.5"]))["spend"].to_pylist() == [10.5]
    assert shop.take(shop.deliver(2, ["1"], spend=["inf"]))["spend"].to_pylist() == [float("inf")]


@pytest.mark.parametrize("text", ["NA", "ten", "1,5"])
def test_a_word_among_numbers_is_named_with_its_row_on_any_day(tmp_path: Path, text: str) -> None:
    shop = Shop(tmp_path)
    with pytest.raises(
        DataRejected, match=rf"'spend' is string, but params.yaml asks for a number.*row 1 has '{text}'"
    ):
        shop.take(shop.deliver(0, ["1", "2"], spend=["10", text]))


def test_a_column_of_nulls_goes_with_everything_and_takes_its_type(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.take(shop.deliver(0, ["1"], note=[""]))
    shop.take(shop.deliver(1, ["1"], note=["hello"]))
    assert shop.take(shop.deliver(2, [""], note=[""]))["note"].type == pa.large_string()
    assert shop.types["note"] == "string"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([1, 2], pa.int64()), pa.array([1, 2], pa.int32())),
        (pa.array(["a", "b"]), pa.array(["a", "b"]).dictionary_encode()),
        (pa.array([1, 2], pa.int64()), pa.array([1.0, 2.0])),
        (pa.array(["a", "b"]), pa.nulls(2)),
    ],
)
def test_parquet_keeps_its_first_type_where_nothing_is_lost(tmp_path: Path, before: pa.Array, after: pa.Array) -> None:
    shop = Shop(tmp_path, "parquet")
    first = shop.take(shop.deliver(0, before))["zip"].type
    assert shop.take(shop.deliver(1, after))["zip"].type == first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([1, 2]), pa.array(["1", "02"])),
        (pa.array(["1", "2"]), pa.array([1, 2])),
        (pa.array([1, 2]), pa.array([1.5, 2.0])),
        (pa.array([True, False]), pa.array([1, 0])),
    ],
)
def test_parquet_of_another_kind_is_refused_with_both_types_and_nothing_is_committed(
    tmp_path: Path, before: pa.Array, after: pa.Array
) -> None:
    shop = Shop(tmp_path, "parquet")
    shop.take(shop.deliver(0, before))
    head = shop.services.registry.head()
    with pytest.raises(DataRejected, match=r"column 'zip' is \w+, but the data registry holds \w+ \(row \d"):
        shop.take(shop.deliver(1, after))
    assert shop.services.registry.head() == head


def test_days_of_two_kinds_are_no_single_commit(tmp_path: Path) -> None:
    shop, files = Shop(tmp_path, "parquet"), {}
    for number, zips in enumerate(([1, 2], ["1", "02"])):
        day = shop.deliver(number, zips)
        files["inputs", day] = tmp_path / f"{day}.parquet"
        fetch("inputs", day, files["inputs", day], shop.services)
    with pytest.raises(
        DataRejected, match="inputs of 2025-01-02: column 'zip' is string, but the days before hold int64"
    ):
        shop.services.registry.commit(files, message="both")


def test_the_key_of_labels_is_brought_to_the_type_of_inputs(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "parquet")
    ids = [2**60 + n for n in range(2)]
    shop.take(shop.deliver(0, ["a", "b"], customer=pa.array(ids, pa.int64())))
    labels = shop.take(shop.deliver(0, pa.array(ids, pa.uint64()), "labels", churned=[0, 1]), "labels")
    assert labels["customer"].type == pa.int64()
    assert labels["customer"].to_pylist() == ids


def test_one_null_among_identifiers_of_a_csv_changes_no_other_digit(tmp_path: Path) -> None:
    shop = Shop(tmp_path, types={"inputs": {"customer": "int64"}})
    table = shop.take(shop.deliver(0, ["a", "b", "c"], customer=[str(2**60 + 1), "", str(2**60 + 2)]))
    assert table["customer"].to_pylist() == [2**60 + 1, None, 2**60 + 2]


def test_a_declared_type_goes_before_what_was_learned(tmp_path: Path) -> None:
    old = Shop(tmp_path, "parquet")
    old.take(old.deliver(0, [10115]))
    declared = Shop(tmp_path, "parquet", types={"inputs": {"zip": "string"}})
    day = declared.deliver(1, [10115])
    path = tmp_path / "fetched.parquet"
    fetch("inputs", day, path, declared.services)
    assert pq.read_table(path)["zip"].to_pylist() == ["10115"]


def test_a_type_is_changed_on_purpose_in_every_day_and_the_old_version_keeps_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "parquet")
    days = [shop.deliver(number, [10115, 80331]) for number in range(3)]
    for day in days:
        shop.take(day)
    before = shop.services.registry.head()
    schema.run([TypeChange("inputs", "zip", "string")], settings=shop.services.settings, services=shop.services)
    registry = shop.services.registry
    for day, path in registry.open("inputs").items():
        assert pq.read_table(path)["zip"].to_pylist() == ["10115", "80331"]
        assert pq.read_table(registry.open("inputs", rev=before)[day])["zip"].to_pylist() == [10115, 80331]
    assert shop.types["zip"] == "string"
    assert shop.take(shop.deliver(3, ["01067"]))["zip"].to_pylist() == ["01067"]


def test_a_change_that_would_lose_something_names_day_and_row_and_changes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "parquet")
    shop.take(shop.deliver(0, ["10115", "01067"]))
    head = shop.services.registry.head()
    with pytest.raises(DataRejected, match=r"inputs of 2025-01-01: column 'zip' is not int64 throughout \(row 1 has"):
        schema.run([TypeChange("inputs", "zip", "int64")], settings=shop.services.settings, services=shop.services)
    with pytest.raises(MissingArtifact, match="no column 'zap' of inputs; it has customer, day, spend, zip"):
        schema.run([TypeChange("inputs", "zap", "int64")], settings=shop.services.settings, services=shop.services)
    assert shop.services.registry.head() == head


def test_the_command_of_the_message_works(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "parquet")
    shop.take(shop.deliver(0, [10115]))
    command = [sys.executable, "-m", "ml.cli.schema", "--accept", "inputs.zip=string"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env={**os.environ, **shop.environ}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["inputs"]["zip"] == "string"
    wrong = subprocess.run([*command[:-1], "zip"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "is not like inputs.region=string" in wrong.stderr
