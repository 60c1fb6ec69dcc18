"""A landed file is copied only if writing its rows again would give its very bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters.row_group_layout import is_written_alike
from ml.adapters.rows import BATCH_ROWS, RowGroups, batches

ROWS = BATCH_ROWS * 2 + 1000
TABLE = pa.table({"id": np.arange(ROWS), "x": np.arange(ROWS) / 8, "t": np.arange(ROWS).astype(str)})


def write_again(path: Path, target: Path) -> bytes:
    with RowGroups(target, TABLE.schema) as writer:
        for batch in batches(path, BATCH_ROWS):
            writer.write(batch)
    return target.read_bytes()


def test_a_file_of_our_own_has_the_bytes_that_writing_it_again_gives(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    with RowGroups(path, TABLE.schema) as writer:
        for first in range(0, ROWS, BATCH_ROWS):
            writer.write(TABLE.slice(first, BATCH_ROWS))
    assert is_written_alike(path, tmp_path / "tried")
    assert write_again(path, tmp_path / "again") == path.read_bytes()


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "snappy"},
        {"compression": "zstd", "row_group_size": 1000},
        {"compression": "zstd", "use_dictionary": True, "row_group_size": BATCH_ROWS},
        {"compression": "zstd", "use_dictionary": ["t"], "row_group_size": BATCH_ROWS, "compression_level": 9},
        {"compression": "zstd", "use_dictionary": ["t"], "row_group_size": BATCH_ROWS, "store_schema": False},
        {"compression": "zstd", "use_dictionary": ["t"], "row_group_size": BATCH_ROWS, "write_statistics": False},
    ],
    ids=str,
)
def test_a_file_that_was_written_otherwise_is_not_taken_for_one(how: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    pq.write_table(TABLE, path, **how)
    assert write_again(path, tmp_path / "again") != path.read_bytes()
    assert not is_written_alike(path, tmp_path / "tried")


def test_a_file_without_rows_is_written_anew(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "day.parquet")
    assert not is_written_alike(tmp_path / "day.parquet", tmp_path / "tried")
