"""A table that comes in parts is what the parts are together, whatever their types, and is held in memory in parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.adapters import table_parts
from ml.adapters.storage import open_objects
from ml.adapters.table_parts import write_parts
from ml.adapters.workspace import Workspace, table_bytes

TIMES = [datetime(2024, 2, 29, 23, tzinfo=UTC), datetime(2024, 3, 1, 5, 30, tzinfo=UTC)]
COLUMNS = {
    "whole": pd.Series([1, -2]),
    "small": pd.Series([3, 4], dtype="int8"),
    "unsigned": pd.Series([5, 2**60], dtype="uint64"),
    "fractions": pd.Series([0.5, np.nan]),
    "single": pd.Series([0.25, -1.0], dtype="float32"),
    "truth": pd.Series([True, False]),
    "text": pd.Series(["a", None]),
    "empty": pd.Series([None, None], dtype=object),
    "times": pd.Series(TIMES),
}
NUMBERS = ["whole", "small", "unsigned", "fractions", "single", "empty"]
"""What a column may be in one part and another."""
OTHERS = [["truth", "empty"], ["text", "empty"], ["times", "empty"]]


@st.composite
def tables(draw: st.DrawFn) -> list[pd.DataFrame]:
    """Draw parts whose columns change types, are empty or are not there."""
    kinds = {name: draw(st.sampled_from([NUMBERS, *OTHERS])) for name in draw(st.sets(st.sampled_from("xyz")))}
    found = []
    for number in range(draw(st.integers(1, 4))):
        rows = draw(st.integers(0, 2))
        columns = {name: COLUMNS[draw(st.sampled_from(kind))] for name, kind in kinds.items() if draw(st.booleans())}
        frame = pd.DataFrame({"part": np.full(2, number), **columns}).head(rows)
        found.append(frame)
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.integers(1, 5))
def test_what_is_read_is_what_pandas_makes_of_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: list[pd.DataFrame], group: int
) -> None:
    monkeypatch.setattr(table_parts, "GROUP_ROWS", group)
    path = tmp_path / "rows.parquet"
    rows = write_parts(iter(frames), path)
    together = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    read = pd.read_parquet(path)
    assert rows == len(read) == len(together)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    for name in together:
        values, expected = read[name].astype(object), together[name].astype(object)
        pd.testing.assert_series_equal(values.where(values.notna(), None), expected.where(expected.notna(), None))


def test_few_rows_are_the_bytes_of_the_whole_table(tmp_path: Path) -> None:
    frames = [pd.DataFrame({"day": [f"2024-01-0{day}"] * 3, "x": [1.5, np.nan, day]}) for day in (1, 2, 3)]
    write_parts(frames, tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").read_bytes() == table_bytes(pd.concat(frames, ignore_index=True))


def test_many_small_parts_are_few_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "GROUP_ROWS", 100)
    write_parts((pd.DataFrame({"x": range(24)}) for _ in range(50)), tmp_path / "rows.parquet")
    with pq.ParquetFile(tmp_path / "rows.parquet") as written:
        assert written.metadata.num_rows == 1_200 and written.num_row_groups == 10


def test_parts_are_taken_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "GROUP_ROWS", 1_000)
    most = 0

    def made() -> Iterator[pd.DataFrame]:
        nonlocal most
        for number in range(60):
            yield pd.DataFrame({"x": np.arange(1_000) + number, "y": 0.5})
            most = max(most, pa.total_allocated_bytes() - before)

    before = pa.total_allocated_bytes()
    assert write_parts(made(), tmp_path / "rows.parquet") == 60_000
    assert most < 60 * 16_000 / 3


def test_parts_that_end_in_an_error_leave_nothing(tmp_path: Path) -> None:
    place = Workspace(open_objects(str(tmp_path / "store")), "runs/1")

    def broken() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"x": [1]})
        raise ValueError("the second day")

    with pytest.raises(ValueError, match="the second day"):
        place.write_parts("data/rows.parquet", broken())
    assert not place.has("data/rows.parquet") and place.names() == []


def test_a_number_beside_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowTypeError):
        write_parts([pd.DataFrame({"x": [1]}), pd.DataFrame({"x": ["one"]})], tmp_path / "rows.parquet")
