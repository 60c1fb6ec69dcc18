"""A table in a file is judged part by part as it would be in memory as a whole, by the real Great Expectations."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters.contracts import Contracts, Screened, day_files
from ml.adapters.contracts.day_files import ScreenedFile, screen_file
from ml.adapters.contracts.parts import obstacle_to_parts
from ml.adapters.rows import exact_frame
from ml.adapters.sources.demo import DemoSource
from ml.adapters.workspace import write_parquet
from ml.core.data.contracts import DayProfile
from ml.core.data.row_checks import UsedColumns
from ml.settings import PROJECT_ROOT, Screen
from tests.travelling import TravellingEngine

DAY = date(2013, 4, 3)
KEY = ("day", "carrier", "flight", "origin")
SOURCE = DemoSource(replay=False)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def having(column: str, value: Any, rows: int = 3) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        changed[column] = changed[column].astype("float64") if value is None else changed[column]
        step = 300 if rows < 100 else 2
        changed.loc[changed.index[::step][:rows], column] = value
        return changed

    return change


def keyless(rows: int) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        flights = frame["flight"].astype("Int64")
        return frame.assign(flight=flights.mask(frame.index.isin(frame.index[::300][:rows])))

    return change


def copied(rows: int) -> Change:
    return lambda frame: pd.concat([frame, frame.iloc[:rows]], ignore_index=True)


def contradicted(column: str) -> Change:
    return lambda frame: pd.concat([frame, frame.iloc[5:9].assign(**{column: 1})], ignore_index=True)


INPUTS: dict[str, Change] = {
    "a good day": lambda frame: frame,
    "values out of bounds": having("temp", 4000.0),
    "infinite values": having("temp", np.inf),
    "too many infinite values": having("temp", -np.inf, rows=10**6),
    "a value too large": having("temp", 1e300),
    "whole-number keys of which some are null": keyless(2),
    "bad codes": having("carrier", "??"),
    "two reasons for a row": lambda frame: having("temp", 4000.0)(having("origin", "XXX")(frame)),
    "exact copies": copied(7),
    "one key with two values": contradicted("distance"),
    "too many bad rows": lambda frame: frame.assign(origin=np.where(frame.index % 3 == 0, "XXX", frame["origin"])),
    "only bad rows": lambda frame: frame.assign(origin="XXX"),
    "too few rows": lambda frame: frame.iloc[:200],
    "too many rows": lambda frame: pd.concat([frame.assign(flight=frame["flight"] + n) for n in range(4)]),
    "a column without values": lambda frame: frame.assign(humid=np.nan),
    "nulls in some rows": lambda frame: frame.assign(dewp=frame["dewp"].where(frame.index % 2 == 0)),
    "nulls among whole numbers": having("flight", None),
    "a missing column": lambda frame: frame.drop(columns="humid"),
    "a missing part of the key": lambda frame: frame.drop(columns="carrier"),
    "no part of the key": lambda frame: frame.drop(columns=list(KEY)),
    "a column too many": lambda frame: frame.assign(cabin="C"),
    "text for a number": lambda frame: frame.assign(temp="warm"),
    "another day": lambda frame: frame.assign(day="2013-04-04"),
}
LABELS: dict[str, Change] = {
    "a good day": lambda frame: frame,
    "keys that nobody knows": having("flight", 9000),
    "half the inputs without a row": lambda frame: frame.iloc[::2],
    "exact copies": copied(7),
    "one key with two values": contradicted("late"),
    "values that are none": having("late", 2.0),
    "no values": lambda frame: frame.assign(late=np.nan),
    "a missing part of the key": lambda frame: frame.drop(columns="origin"),
}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return Contracts(PROJECT_ROOT / "expectations", used=UsedColumns(KEY))


@pytest.fixture
def both(contracts: Contracts, tmp_path: Path) -> Callable[..., tuple[Screened, ScreenedFile]]:
    def run(asset: str, frame: pd.DataFrame, *, inputs: pd.DataFrame | None = None, at_once: int = 331) -> Any:
        counts = SOURCE.inputs(DAY) if asset == "inputs" else SOURCE.labels(DAY)
        recent = [DayProfile(date(2013, 3, day), len(counts), dict(counts.isna().sum())) for day in range(20, 31)]
        parameters = contracts.baselines(asset, recent, day=DAY)
        path, known = tmp_path / "day.parquet", None
        write_parquet(frame, path)
        if inputs is not None:
            known = tmp_path / "inputs.parquet"
            write_parquet(inputs, known)
        whole = contracts.screen(
            asset,
            exact_frame(pq.read_table(path), KEY),
            parameters=parameters,
            known_keys=None if inputs is None else inputs[list(KEY)],
        )
        parts = screen_file(
            contracts,
            asset,
            path,
            key=KEY,
            parameters=parameters,
            folder=tmp_path,
            rows_at_once=at_once,
            known_keys=known,
        )
        if at_once < max(len(frame), 0 if inputs is None else len(inputs)):
            assert_same_on_a_cluster(parts, at_once, asset, path, parameters, tmp_path / "elsewhere", known)
        return whole, parts

    def assert_same_on_a_cluster(
        here: ScreenedFile, at_once: int, asset: str, path: Path, parameters: Any, folder: Path, known: Path | None
    ) -> None:
        folder.mkdir(exist_ok=True)
        there = screen_file(
            contracts,
            asset,
            path,
            key=KEY,
            parameters=parameters,
            folder=folder,
            rows_at_once=at_once,
            known_keys=known,
            engine=TravellingEngine(400),
        )
        assert (there.screened.html, there.screened.result) == (here.screened.html, here.screened.result)
        assert there.screened.failures == here.screened.failures
        for one, other in ((here.accepted, there.accepted), (here.quarantined, there.quarantined)):
            assert (one and one.read_bytes()) == (other and other.read_bytes())

    return run


def assert_same(whole: Screened, parts: ScreenedFile) -> None:
    """Compare all that is written; of more repeated keys than are read at once, others may be the examples."""
    in_parts = parts.screened
    assert (in_parts.rejected, bool(in_parts.reason)) == (whole.rejected, bool(whole.reason)), (
        in_parts.reason,
        whole.reason,
    )
    if "must be unique together" in whole.reason:
        for result in (in_parts.result, whole.result):
            result |= {
                "reason": "",
                "failures": [],
                "expectations": [{**e, "examples": 0} for e in result["expectations"]],
            }
    else:
        assert in_parts.html == whole.html
    assert in_parts.result == whole.result
    if not whole.rejected:
        assert parts.accepted is not None
        pd.testing.assert_frame_equal(pd.read_parquet(parts.accepted), whole.accepted)
    else:
        assert parts.accepted is None
    quarantined = pd.DataFrame() if parts.quarantined is None else pd.read_parquet(parts.quarantined)
    assert len(quarantined) == len(whole.quarantined)
    if len(quarantined):
        pd.testing.assert_frame_equal(quarantined, whole.quarantined, check_dtype=False)


@pytest.mark.parametrize("what", INPUTS)
def test_inputs_in_parts_come_to_the_same_verdict(
    both: Callable[..., tuple[Screened, ScreenedFile]], what: str
) -> None:
    assert_same(*both("inputs", INPUTS[what](SOURCE.inputs(DAY))))


@pytest.mark.parametrize("what", LABELS)
def test_labels_in_parts_come_to_the_same_verdict(
    both: Callable[..., tuple[Screened, ScreenedFile]], what: str
) -> None:
    assert_same(*both("labels", LABELS[what](SOURCE.labels(DAY)), inputs=SOURCE.inputs(DAY)))


def test_labels_without_their_inputs_are_refused_in_parts_too(
    both: Callable[..., tuple[Screened, ScreenedFile]],
) -> None:
    assert_same(*both("labels", SOURCE.labels(DAY)))


@pytest.mark.parametrize("at_once", [40, 500, 10_000])
def test_the_number_of_parts_changes_nothing(both: Callable[..., tuple[Screened, ScreenedFile]], at_once: int) -> None:
    frame = copied(7)(having("temp", 4000.0)(SOURCE.inputs(DAY).iloc[:120]))
    assert_same(*both("inputs", frame, at_once=at_once))


@pytest.mark.parametrize(
    ("kind", "kwargs", "level", "obstacle"),
    [
        ("expect_column_values_to_be_increasing", {"column": "x"}, "row", True),
        ("expect_column_values_to_be_increasing", {"column": "x"}, "table", False),
        ("expect_column_values_to_be_unique", {"column": "x"}, "row", True),
        ("expect_column_values_to_be_unique", {"column": "id"}, "row", False),
        ("expect_column_values_to_not_be_null", {"column": "x", "mostly": 0.9}, "row", True),
        ("expect_column_values_to_not_be_null", {"column": "x", "mostly": 0.9}, "table", False),
        ("expect_column_mean_to_be_between", {"column": "x", "min_value": 0}, "table", False),
    ],
)
def test_what_only_a_whole_table_can_answer_is_named(
    tmp_path: Path, kind: str, kwargs: dict[str, Any], level: str, obstacle: bool
) -> None:
    entry = {"type": kind, "kwargs": kwargs, "meta": {"level": level}}
    (tmp_path / "things.json").write_text(json.dumps({"name": "things", "expectations": [entry]}))
    found = obstacle_to_parts(Contracts(tmp_path).suite("things"), ["id"])
    assert (found is not None) == obstacle
    assert found is None or kind in found


def test_the_delivered_suites_can_be_asked_part_by_part(contracts: Contracts) -> None:
    assert [obstacle_to_parts(contracts.suite(asset), KEY) for asset in ("inputs", "labels")] == [None, None]


@pytest.mark.parametrize("at_once", [3, 100])
def test_one_null_among_identifiers_beyond_2_53_is_one_quarantined_row_and_the_others_stay_exact(
    tmp_path: Path, at_once: int
) -> None:
    ids = [2**60 + n for n in range(40)]
    unique = {
        "type": "expect_compound_columns_to_be_unique",
        "kwargs": {"column_list": ["day", "id"]},
        "meta": {"level": "row"},
    }
    typed = {
        "type": "expect_column_values_to_be_of_type",
        "kwargs": {"column": "id", "type_": "int64"},
        "meta": {"level": "table"},
    }
    (tmp_path / "inputs.json").write_text(json.dumps({"name": "inputs", "expectations": [unique, typed]}))
    table = pa.table({"day": ["2013-04-03"] * 41, "id": pa.array([*ids[:7], None, *ids[7:]], pa.int64())})
    pq.write_table(table, tmp_path / "day.parquet")
    found = screen_file(
        Contracts(tmp_path, used=UsedColumns(("day", "id"))),
        "inputs",
        tmp_path / "day.parquet",
        key=["day", "id"],
        parameters={},
        folder=tmp_path,
        rows_at_once=at_once,
    )
    assert found.accepted is not None, found.screened.reason
    assert pq.read_table(found.accepted)["id"].to_pylist() == ids
    assert found.quarantined is not None
    assert pq.read_table(found.quarantined)["reasons"].to_pylist() == ["key column 'id' is null, row 7"]


@pytest.mark.parametrize("rows_at_once", [2, 100])
@pytest.mark.parametrize("name", ["reasons", "key_known", "input_coverage", "__position__", "__index_level_0__"])
def test_a_column_with_the_name_of_one_of_ours_is_read_as_any_other_or_rejected_by_name(
    name: str, rows_at_once: int, tmp_path: Path
) -> None:
    unique = {"column_list": ["day", "id"]}
    entries = [
        {"type": "expect_compound_columns_to_be_unique", "kwargs": unique, "meta": {"level": "row"}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}, "meta": {"level": "row"}},
    ]
    (tmp_path / "inputs.json").write_text(json.dumps({"name": "inputs", "expectations": entries}))
    frame = pd.DataFrame({"day": ["2013-04-03"] * 6, "id": range(6), "x": [1.0, None, 3.0, 4.0, 5.0, 6.0]})
    frame = frame.assign(**{name: [f"mine {n}" for n in range(6)]})
    write_parquet(frame, tmp_path / "day.parquet")
    found = screen_file(
        Contracts(tmp_path, Screen(max_quarantined_share=0.5)),
        "inputs",
        tmp_path / "day.parquet",
        key=("day", "id"),
        parameters={},
        folder=tmp_path,
        rows_at_once=rows_at_once,
    )
    if name != "reasons":
        assert found.screened.rejected and name in found.screened.reason
        return
    assert not found.screened.rejected, found.screened.reason
    assert found.accepted is not None and found.quarantined is not None
    pd.testing.assert_frame_equal(pd.read_parquet(found.accepted), frame.drop(index=1).reset_index(drop=True))
    bad = pq.read_table(found.quarantined).to_pylist()
    assert [row[name] for row in bad] == ["mine 1"]
    assert "x must not be null" in str(list(bad[0].values())[-1])


@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_a_day_without_any_whole_key_is_rejected_by_name(rows_at_once: int, tmp_path: Path) -> None:
    unique = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["day", "id"]}}
    (tmp_path / "inputs.json").write_text(
        json.dumps({"name": "inputs", "expectations": [unique | {"meta": {"level": "row"}}]})
    )
    table = pa.table({"day": ["2013-04-03"] * 6, "id": pa.nulls(6, pa.int64())})
    pq.write_table(table, tmp_path / "day.parquet")
    found = screen_file(
        Contracts(tmp_path, Screen(), UsedColumns(("day", "id"))),
        "inputs",
        tmp_path / "day.parquet",
        key=("day", "id"),
        parameters={},
        folder=tmp_path,
        rows_at_once=rows_at_once,
    )
    assert found.screened.rejected and "id" in found.screened.reason


@pytest.mark.parametrize(("rows", "most"), [(30, 4), (20_000, 2500), (100_000, 7693)])
def test_no_fewer_rows_are_asked_at_once_than_are_worth_their_time(rows: int, most: int) -> None:
    assert day_files.count_at_once(rows, 3) == most
    assert day_files.count_at_once(rows, rows) == rows
