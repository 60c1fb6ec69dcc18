"""Parquet columns are brought to their expected types where that loses nothing, and are named otherwise."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters.column_types import Expected, arrow_type, cast_exactly, conform, first_unlike, suite_types, types_of


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path / "day.parquet")
    return path / "day.parquet"


def conformed(path: Path, values: pa.Array, expected: str | None, **options: Any) -> pa.ChunkedArray:
    file = written(path, day=["2013-04-01"] * len(values), x=values)
    clashes = conform(file, "inputs", Expected({"x": expected} if expected else {}, **options))
    assert not clashes, clashes[0].message
    return pq.read_table(file)["x"]


@pytest.mark.parametrize(
    ("values", "expected", "type_"),
    [
        (pa.array([1, 2], pa.int32()), "int64", pa.int64()),
        (pa.array([1, None], pa.int64()), "int32", pa.int32()),
        (pa.array([1.5, None], pa.float32()), "float64", pa.float64()),
        (pa.array([1.0, None, 3.0]), "int64", pa.int64()),
        (pa.array([2**53, 1]), "float64", pa.float64()),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string", pa.large_string()),
        (pa.nulls(2), "int64", pa.int64()),
        (pa.nulls(2), "string", pa.large_string()),
        (pa.nulls(2, pa.float64()), "bool", pa.bool_()),
        (pa.array([date(2013, 1, 1)]), "timestamp[us]", pa.timestamp("us")),
        (pa.array([2**63 - 1], pa.uint64()), "int64", pa.int64()),
    ],
)
def test_what_loses_nothing_is_cast(tmp_path: Path, values: pa.Array, expected: str, type_: pa.DataType) -> None:
    found = conformed(tmp_path, values, expected)
    assert found.type == type_
    assert [str(a) for a in found.cast(pa.string()).to_pylist() if a] == [
        str(a) for a in values.cast(type_).cast(pa.string()).to_pylist() if a
    ]


@pytest.mark.parametrize(
    ("values", "expected", "actual", "row"),
    [
        (pa.array(["10115", None, "01067"]), "int64", "string", "row 2 has '01067'"),
        (pa.array([None, 10115]), "string", "int64", "row 1 has 10115"),
        (pa.array([True]), "int64", "bool", "row 0 has True"),
        (pa.array([1, 2]), "bool", "int64", "row 0 has 1"),
        (pa.array(["x"]), "timestamp[us]", "string", "row 0 has 'x'"),
        (pa.array([1, 2**64 - 1], pa.uint64()), "int64", "uint64", "row 1 has 18446744073709551615"),
    ],
)
def test_another_kind_is_rejected_with_column_both_types_row_and_next_move(
    tmp_path: Path, values: pa.Array, expected: str, actual: str, row: str
) -> None:
    with pytest.raises(AssertionError) as rejected:
        conformed(tmp_path, values, expected)
    said = str(rejected.value)
    assert f"column 'x' is {actual}, but the data registry holds {expected}" in said
    assert row in said
    assert "evergreen schema --accept inputs.x=" in said


@pytest.mark.parametrize(
    ("values", "expected", "options", "move"),
    [
        (pa.array([b"a"]), "int64", {}, "is right, give the column another name"),
        (pa.array([1], pa.int32()), "bool", {}, "--accept inputs.x=int64"),
        (pa.array([1, 2**64 - 1], pa.uint64()), "int64", {}, "--accept inputs.x=string"),
        (pa.array([date(2013, 1, 1)]), "int64", {}, "--accept inputs.x=date"),
        (pa.array([0], pa.timestamp("ms")), "int64", {}, "--accept inputs.x=timestamp"),
        (pa.array([0], pa.timestamp("us", tz="UTC")), "timestamp[us]", {}, "is right, give the column another name"),
        (pa.array([Decimal("1.5")]), "string", {}, "--accept inputs.x=float64"),
        (pa.array(["a"]), "int64", {"declared": ("x",)}, "is right, correct types.inputs in params.yaml"),
        (pa.array(["a"]), "float64", {"numbers": ("x",)}, "is right, no longer name it under features.numeric"),
        (pa.array([1]), "bool", {"numbers": ("x",)}, "--accept inputs.x=int64"),
    ],
)
def test_the_next_move_is_one_that_can_be_made(
    tmp_path: Path, values: pa.Array, expected: str, options: Any, move: str
) -> None:
    with pytest.raises(AssertionError) as rejected:
        conformed(tmp_path, values, expected, **options)
    assert move in str(rejected.value)


def test_a_file_of_the_expected_types_is_left_as_it_is(tmp_path: Path) -> None:
    file = written(tmp_path, x=[1, 2], y=["a", None])
    before = file.read_bytes()
    conform(file, "inputs", Expected({"x": "int64", "y": "string", "gone": "bool"}))
    assert file.read_bytes() == before


def test_a_fraction_among_whole_numbers_stays_but_not_in_what_is_compared_as_it_is_written(tmp_path: Path) -> None:
    values = pa.array([1.0, 2.5])
    assert conformed(tmp_path, values, "int64").to_pylist() == [1.0, 2.5]
    with pytest.raises(AssertionError, match=r"row 1 has 2\.5"):
        conformed(tmp_path, values, "int64", identities=("x",))


@pytest.mark.parametrize(
    ("options", "expected", "values"),
    [
        ({}, None, [1.5, 2.25, None]),
        ({}, "float64", [1.5, 2.25, None]),
        ({}, "int64", [1.5, 2.25, None]),
    ],
)
def test_decimals_become_numbers(tmp_path: Path, options: Any, expected: str | None, values: list[Any]) -> None:
    decimals = pa.array([Decimal("1.50"), Decimal("2.25"), None], pa.decimal128(20, 2))
    found = conformed(tmp_path, decimals, expected, **options)
    assert found.type == pa.float64()
    assert found.to_pylist() == values


def test_decimals_of_an_identifier_stay_exact(tmp_path: Path) -> None:
    ids = pa.array([Decimal(2**60 + 1), Decimal(2**60 + 2)], pa.decimal128(20, 0))
    assert conformed(tmp_path, ids, None, identities=("x",)).to_pylist() == [2**60 + 1, 2**60 + 2]


@pytest.mark.parametrize(("scale", "expected"), [(0, None), (0, "int64"), (2, "int64")])
def test_whole_decimals_of_any_width_are_the_identifiers_that_they_spell(
    tmp_path: Path, scale: int, expected: str | None
) -> None:
    ids = pa.array([Decimal(1000), Decimal(1001), None], pa.decimal128(6, scale))
    assert conformed(tmp_path, ids, expected, identities=("x",)).to_pylist() == [1000, 1001, None]


def test_a_fraction_among_decimals_of_identifiers_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"row 1 has Decimal\('2\.50'\)"):
        conformed(tmp_path, pa.array([Decimal("1.00"), Decimal("2.50")]), "int64", identities=("x",))


@pytest.mark.parametrize("text", [["01067", "1"], ["1", "x"], ["1", "2.5x"]])
def test_even_declared_no_text_becomes_a_number_that_it_would_not_come_back_from(text: list[str]) -> None:
    column = pa.chunked_array([pa.array(text)])
    assert cast_exactly(column, "int64", declared=True) is None


def test_declared_codes_become_text_and_text_becomes_what_it_says() -> None:
    found = cast_exactly(pa.chunked_array([pa.array([10115, None])]), "string", declared=True)
    assert found is not None
    assert found.to_pylist() == ["10115", None]
    back = cast_exactly(found, "int64", declared=True)
    assert back is not None
    assert back.to_pylist() == [10115, None]


@pytest.mark.parametrize("at", [0, 1, 17, 998, 999])
def test_the_row_that_is_named_is_the_first_that_is_not_of_the_type(at: int) -> None:
    values = [str(n) for n in range(1000)]
    values[at] = "007"
    assert first_unlike(pa.chunked_array([pa.array(values)]), "int64") == at


@pytest.mark.parametrize("name", ["int8", "uint64", "float64", "string", "bool", "date", "timestamp[us, tz=UTC]"])
def test_a_column_of_nulls_has_no_type_of_its_own(tmp_path: Path, name: str) -> None:
    assert types_of(written(tmp_path, a=pa.nulls(2, arrow_type(name)), b=[None, 1])) == {"a": "null", "b": "int64"}


def test_the_types_of_a_suite_are_read_for_csv_and_a_wrong_suite_is_for_screening_to_name(tmp_path: Path) -> None:
    (tmp_path / "inputs.json").write_text(
        '{"expectations": [{"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "a", "type_": "str"}},'
        '{"type": "expect_column_values_to_be_in_type_list",'
        '"kwargs": {"column": "b", "type_list": ["int64", "float64"]}}]}'
    )
    assert suite_types(tmp_path, "inputs") == {"a": "string", "b": "float64"}
    assert suite_types(tmp_path, "labels") == {}
