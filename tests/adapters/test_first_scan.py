"""What every row meets is found from the distinct values; what is left is asked of the rows, with the same result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.adapters import rows
from ml.adapters.contracts import Contracts, distinct_values, first_scan, key_rows, second_scan
from ml.adapters.contracts.day_files import screen_file
from ml.adapters.contracts.distinct_values import DistinctValues
from ml.adapters.contracts.judge import match_keys
from ml.adapters.contracts.parts import OF_EACH_ROW
from ml.adapters.suite_files import write_entries
from ml.core.data.row_checks import UsedColumns
from ml.settings import Screen, Task
from tests.adapters.test_contract_many_tables import GENERIC

KEY = ("day", "id")
UNIQUE = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": list(KEY)}}
NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}
IN_SET = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "t", "value_set": ["a", "b"]}}
BETWEEN = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", "min_value": 0}}


def contracts_of(folder: Path, entries: Sequence[dict[str, Any]], asset: str = "inputs", **used: Any) -> Contracts:
    write_entries(folder / f"{asset}.json", [{"meta": {"level": "row"}, **entry} for entry in entries])
    return Contracts(folder, Screen(max_quarantined_share=0.9), UsedColumns(KEY, **used))


def screen_both(
    contracts: Contracts, path: Path, rows_at_once: int, *, asset: str = "inputs", known: Path | None = None
) -> tuple[Any, Any]:
    folder = path.parent / "parts"
    folder.mkdir(exist_ok=True)
    whole = contracts.screen(
        asset,
        rows.exact_frame(pq.read_table(path), KEY),
        parameters={},
        known_keys=None if known is None else pd.read_parquet(known, columns=list(KEY)),
    )
    parts = screen_file(
        contracts, asset, path, key=KEY, parameters={}, folder=folder, rows_at_once=rows_at_once, known_keys=known
    )
    for name in ("keys", "known", "repeated"):
        for left in (folder / name).glob("*"):
            left.unlink()
        if (folder / name).exists():
            (folder / name).rmdir()
    return whole, parts


def assert_equal(whole: Any, parts: Any) -> None:
    assert parts.screened.result == whole.result
    assert parts.screened.html == whole.html
    if not whole.rejected:
        pd.testing.assert_frame_equal(pd.read_parquet(parts.accepted), whole.accepted)
    assert (parts.quarantined is not None) == bool(len(whole.quarantined))
    if len(whole.quarantined):
        pd.testing.assert_frame_equal(pd.read_parquet(parts.quarantined), whole.quarantined, check_dtype=False)


NUMBER = st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, -3.25, np.nan, np.inf])
TEXT = st.sampled_from(["a", "ab", "", "2013", "{", "1", None])
WHOLE = st.sampled_from([0, 1, 2, 3, None])
ROW = st.tuples(NUMBER, st.integers(0, 3), WHOLE, TEXT)
RAISES = ("expect_column_values_to_match_json_schema", {"column": "o", "min_value": 0})
"""What gives up at the first text that it cannot read, and names it."""


@pytest.fixture(scope="module")
def generic(tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    """Return a contract with all that can be asked of a row, and two types."""
    entries = [
        {"type": kind, "kwargs": {name: "t" if value == "o" else value for name, value in kwargs.items()}}
        for kind, kwargs in GENERIC
        if kind in OF_EACH_ROW and "mostly" not in kwargs and kind not in RAISES and kwargs not in RAISES
    ]
    types = [
        {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": name, "type_": kind}}
        for name, kind in (("x", "float64"), ("m", "float64"), ("n", "int64"), ("t", "str"))
    ]
    return contracts_of(
        tmp_path_factory.mktemp("suite"),
        [*({**entry, "meta": {"level": "table"}} for entry in types), UNIQUE, *entries],
    )


@pytest.mark.timeout(600)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(drawn=st.lists(ROW, min_size=8, max_size=14), copies=st.integers(0, 2), most=st.sampled_from([1, 3, 4096]))
def test_any_table_comes_to_the_same_as_a_whole(
    drawn: Sequence[tuple[Any, ...]],
    copies: int,
    most: int,
    generic: Contracts,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    columns = [[*range(len(drawn) - copies), *range(copies)], *zip(*drawn, strict=True)]
    types = {"id": pa.int64(), "x": pa.float64(), "n": pa.int64(), "m": pa.int64(), "t": pa.string()}
    table = pa.table({"day": ["2024-01-01"] * len(drawn)} | {
        name: pa.array(column, kind, from_pandas=True)
        for (name, kind), column in zip(types.items(), columns, strict=True)
    })  # fmt: skip
    path = tmp_path_factory.mktemp("day") / "day.parquet"
    pq.write_table(table, path)
    before, distinct_values.MOST = distinct_values.MOST, most
    try:
        with np.errstate(invalid="ignore"):  # infinite numbers among weighted sums: here a warning is an error
            assert_equal(*screen_both(generic, path, 4))
    finally:
        distinct_values.MOST = before


def test_of_a_day_that_keeps_its_contract_only_different_values_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def judge(entries: Any, frame: pd.DataFrame, *more: Any) -> Any:
        judged.append(len(frame))
        return original(entries, frame, *more)

    original = first_scan.judge
    for module in (first_scan, second_scan):
        monkeypatch.setattr(module, "judge", judge)
    contracts = contracts_of(tmp_path, [UNIQUE, NOT_NULL, IN_SET, BETWEEN])
    frame = pd.DataFrame({"day": "2024-01-01", "id": range(20_000), "x": [1.0, 2.5] * 10_000, "t": ["a", "b"] * 10_000})
    path = tmp_path / "day.parquet"
    frame.to_parquet(path, index=False)
    assert_equal(*screen_both(contracts, path, 5000))
    assert sorted(judged) == [1, 2, 2]
    judged.clear()
    frame.loc[19_000, "t"] = "c"
    frame.to_parquet(path, index=False)
    assert_equal(*screen_both(contracts, path, 5000))
    assert sorted(judged) == [1, 2, 3, 5000, 5000, 5000, 5000]


def test_a_column_that_turns_out_to_have_many_values_is_judged_by_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad value is seen before, in, and after the batch in which its column has too many."""
    monkeypatch.setattr(distinct_values, "MOST", 3)
    contracts = contracts_of(tmp_path, [UNIQUE, BETWEEN])
    for bad in (0, 5, 9, None):
        x = [1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        if bad is not None:
            x[bad] = -1.0
        pd.DataFrame({"day": "2024-01-01", "id": range(10), "x": x}).to_parquet(tmp_path / "day.parquet", index=False)
        whole, parts = screen_both(contracts, tmp_path / "day.parquet", 2)
        assert_equal(whole, parts)
        assert len(whole.quarantined) == (bad is not None)


def test_distinct_values_are_told_apart_by_their_bits_and_a_null_is_one() -> None:
    table = pa.table({"x": [0.0, -0.0, 0.0, None, 1.5], "t": ["a", "a", None, None, "b"], "l": [[1]] * 5})
    distinct = DistinctValues(table.schema)
    given_up = distinct.add(table)
    assert list(given_up) == ["l"] and distinct.columns == ["x", "t"]  # lists cannot be compared
    assert [repr(x) for x in distinct.table("x")["x"].to_pylist()] == ["0.0", "-0.0", "None", "1.5"]
    distinct.add(pa.table({"x": [2.5], "t": ["b"], "l": [[1]]}, schema=table.schema))
    assert distinct.table("x")["x"].to_pylist() == [0.0, -0.0, None, 1.5, 2.5]
    assert distinct.table("t")["t"].to_pylist() == ["a", None, "b"]


@pytest.mark.parametrize("at_once", [2, 100])
def test_a_third_class_in_the_last_rows_refuses_the_day(tmp_path: Path, at_once: int) -> None:
    """Among the last rows alone it would be the other class of two."""
    task = Task(name="t", key=KEY, target="y", kind="classification", positive="yes", label_delay_days=1)
    contracts = contracts_of(tmp_path, [UNIQUE], "labels", task=task)
    labels = ["yes", "no"] * 8 + ["yes", "maybe"] * 2
    frame = pd.DataFrame({"day": "2024-01-01", "id": range(20), "y": labels})
    frame.to_parquet(tmp_path / "day.parquet", index=False)
    whole, parts = screen_both(contracts, tmp_path / "day.parquet", at_once, asset="labels")
    assert "neither task.positive ('yes') nor the other class ('no')" in whole.reason
    assert_equal(whole, parts)


@pytest.mark.parametrize("alike", [False, True])
def test_equal_hashes_of_different_keys_make_no_row_bad(
    tmp_path: Path, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alike:
        monkeypatch.setattr(
            key_rows, "_hash_column", lambda column: np.zeros(len(column), dtype=np.uint64)
        )  # so all rows are read again and compared
    contracts = contracts_of(tmp_path, [UNIQUE, NOT_NULL])
    frame = pd.DataFrame({"day": "2024-01-01", "id": [*range(20), 3, 4], "x": [1.0] * 21 + [2.0]})
    frame.to_parquet(tmp_path / "day.parquet", index=False)
    whole, parts = screen_both(contracts, tmp_path / "day.parquet", 100 if alike else 5)
    assert_equal(whole, parts)
    assert sorted(whole.quarantined["id"]) == [3, 4, 4]


KEYS: dict[str, tuple[pa.Array, pa.Array]] = {
    "whole numbers": (pa.array([1, 2, 3, 9]), pa.array([3, 2, 1, 4, 5])),
    "beyond 2**53": (pa.array([2**60, 2**60 + 1]), pa.array([2**60 + 1, 2**60 + 2])),
    "texts": (pa.array(["a", "é", ""]), pa.array(["é", "a", "z"])),
    "the same in another order": (pa.array(["a", "b"]), pa.array(["b", "a"])),
    "nulls": (pa.array(["a", None]), pa.array([None, "b"])),
    "of two types": (pa.array([1, 2], pa.int64()), pa.array([2.0, 5.0])),
    "text and number": (pa.array(["1", "2"]), pa.array([1, 2])),
    "floating-point numbers": (pa.array([-0.0, 1.5]), pa.array([0.0, 1.5])),
    "true or false": (pa.array([True, False]), pa.array([True, True])),
}


@pytest.mark.parametrize("what", KEYS)
def test_keys_of_files_match_as_those_of_tables(what: str, tmp_path: Path) -> None:
    ours, theirs = (pa.table({"day": ["d"] * len(ids), "id": ids}) for ids in KEYS[what])
    pq.write_table(ours, tmp_path / "ours.parquet")
    pq.write_table(theirs, tmp_path / "theirs.parquet")
    hashes = key_rows.hash_keys(tmp_path / "ours.parquet", KEY)
    found = key_rows.match_files(
        tmp_path / "ours.parquet",
        tmp_path / "theirs.parquet",
        KEY,
        tmp_path,
        hashes=hashes,
        whole=(),
        rows_at_once=2,
    )
    expected = match_keys(ours.to_pandas(), theirs.to_pandas())
    assert expected.is_known is not None and found.is_known is not None
    assert found.is_known.tolist() == expected.is_known.tolist()
    assert (found.key, found.covered, found.wanted) == (expected.key, expected.covered, expected.wanted)


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.bool_(), pa.float64(), pa.string()], ids=str)
def test_a_key_has_one_hash_whether_nulls_are_beside_it_or_not(
    kind: pa.DataType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", 2)
    ids = pa.array([1, 0, 1, None, None, 0], pa.int64()).cast(kind)
    pq.write_table(pa.table({"day": ["d"] * 6, "id": ids}), tmp_path / "day.parquet")
    hashes = key_rows.hash_keys(tmp_path / "day.parquet", KEY)
    assert hashes.types is None
    assert pd.factorize(hashes.values)[0].tolist() == [0, 1, 0, 2, 2, 1]


def test_texts_are_hashed_as_pandas_hashes_them() -> None:
    frame = pd.DataFrame({
        "t": pd.Series(["a", None, "é", "", "a"] * 3, dtype="str"),
        "s": pd.Series(["a", None, "b", "b", "a"] * 3, dtype="string"),
        "o": pd.Series(["a", None, "b", "b", "a"] * 3, dtype=object),
        "x": [1.0, 2.0, np.nan] * 5,
    })  # fmt: skip
    for key in (["t"], ["t", "s", "o", "x"], ["o"], ["x"]):
        expected = pd.util.hash_pandas_object(frame[key], index=False).to_numpy()
        assert (rows.hashes(frame, key) == expected).all()
