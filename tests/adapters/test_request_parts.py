"""A part of the request log is summarised from few of its columns, also one of a release that kept no times."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters.request_parts import summarise, write_rows

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


def part(**columns: list[object]) -> bytes:
    count = len(columns["request"])
    columns = {"requested_at": [AT + timedelta(seconds=n) for n in range(count)], "carrier": ["UA"] * count} | columns
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_requests_rows_by_version_times_and_the_newest_answer() -> None:
    summary = summarise(
        part(request=["a", "a", "b", "c"], model_version=[3, 3, 3, 4], seconds=[0.5, 0.5, 0.1, 0.2])
    )  # fmt: skip
    assert summary.requests == {"a", "b", "c"}
    assert summary.rows_by_version == {3: 3, 4: 1}
    assert sorted(summary.seconds) == [0.1, 0.2, 0.5]
    assert summary.last_at == AT + timedelta(seconds=3)


@pytest.mark.parametrize("columns", [{}, {"seconds": [None, 0.3]}], ids=["older release", "parts put together"])
def test_requests_without_a_time_have_none(columns: dict[str, list[object]]) -> None:
    summary = summarise(part(request=["a", "b"], model_version=[1, 1], **columns))
    assert summary.seconds == tuple(value for value in columns.get("seconds", []) if value is not None)
    assert summary.rows_by_version == {1: 2}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 nothing PAR1"])
def test_what_is_no_part_is_an_error_that_the_page_expects(content: bytes) -> None:
    with pytest.raises(ValueError, match="no part of a request log"):
        summarise(content)


def test_a_table_of_something_else_is_no_part() -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"request": ["a"]}), buffer)
    with pytest.raises(ValueError, match="no part of a request log"):
        summarise(buffer.getvalue())


def test_of_rows_with_one_key_the_newest_is_kept_and_of_columns_those_that_are_wanted(tmp_path: Path) -> None:
    first = part(request=["a", "b"], model_version=[1, 1], flight=[7, 8], temp=[10.0, 11.0])
    again = part(request=["c"], model_version=[2], flight=[7], requested_at=[AT + timedelta(hours=1)], wind=[3])
    write_rows([again, first], ["flight"], {"temp", "carrier"}, tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet").sort_by("flight").to_pydict()
    assert rows == {"model_version": [2, 1], "flight": [7, 8], "temp": [None, 11.0], "carrier": ["UA", "UA"]}
