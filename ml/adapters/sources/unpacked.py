"""Measure how much memory a packed table takes, before it is unpacked.

A Parquet file of two megabytes can hold a text of one megabyte six thousand times: its dictionary has the text once,
and the sizes in its footer speak of the dictionary. So the rows are counted from the footer, and texts are measured
by their dictionary and how often each entry is used, which unpacks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, BUFFER_BYTES
from ml.errors import DataRejected

VALUE_BYTES = 8
FIELD_BYTES = 4
"""Of a field of a CSV file, at the least: where its text begins."""
MEGABYTE = 1_000_000
MEASURED_ROWS = 1024
"""So few texts are held at once while they are measured."""


@dataclass(frozen=True)
class Unpacked:
    """The bytes of a whole table once unpacked, and of the largest part of it that is read at once."""

    whole: int
    at_once: int


def measure(
    packed: Path | pa.Buffer, *, stop_above: int | None = None, groups: Sequence[int] | None = None
) -> Unpacked:
    """Return what a Parquet file takes once unpacked; raises what pyarrow raises for a file that is damaged.

    Parameters
    ----------
    stop_above
        Of a table that takes more bytes than this no more is measured; None measures all.
    groups
        Texts of these row groups alone are measured; None means all.
    """
    with _open(packed) as file:
        texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
        per_row = sum(_widths_of_others(file, set(texts))) + len(texts) * VALUE_BYTES
        rows = file.metadata.num_rows
    whole, at_once = rows * per_row, min(rows, BATCH_ROWS) * per_row
    for name in texts:
        if stop_above is not None and whole > stop_above:
            break
        total, largest = _measure_text(packed, name, groups)
        whole, at_once = whole + total, at_once + largest
    return Unpacked(whole, at_once)


def check_csv(content: bytes, *, limit: int, origin: str) -> None:
    """Raise DataRejected if the fields of a CSV file alone take more than ``limit`` bytes, however short."""
    if (content.count(b",") + content.count(b"\n")) * FIELD_BYTES > limit:
        raise too_large(origin, limit)


def too_large(origin: str, limit: int) -> DataRejected:
    """Return the error of a table that takes more than ``limit`` bytes once unpacked."""
    return DataRejected(
        f"{origin} is larger than {limit / MEGABYTE:g} MB unpacked; if that is right, raise source.max_megabytes"
    )


def _open(packed: Path | pa.Buffer, texts: list[str] | None = None) -> parquet.ParquetFile:
    source = pa.BufferReader(packed) if isinstance(packed, pa.Buffer) else packed
    return parquet.ParquetFile(source, read_dictionary=texts, buffer_size=BUFFER_BYTES, pre_buffer=False)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(texts or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _widths_of_others(file: parquet.ParquetFile, texts: set[str]) -> list[int]:
    """Return the bytes that a value of each column takes, for all columns but texts."""
    columns = [file.schema.column(number) for number in range(len(file.schema.names))]
    return [max(column.length or 0, VALUE_BYTES) for column in columns if column.path.split(".")[0] not in texts]


def _measure_text(packed: Path | pa.Buffer, name: str, groups: Sequence[int] | None) -> tuple[int, int]:
    """Add up the bytes of a column of texts, whole and of its largest batch, from its dictionaries.

    Only the values are read, never what the footer says of a chunk: of a damaged footer pyarrow 25 aborts the process.
    """
    whole = largest = part = rows = 0
    with _open(packed, [name]) as file:
        for batch in file.iter_batches(batch_size=MEASURED_ROWS, row_groups=groups, columns=[name]):
            size = _size(batch.column(0))
            whole, part, rows = whole + size, part + size, rows + batch.num_rows
            largest = max(largest, part)
            if rows >= BATCH_ROWS:
                part = rows = 0
    return whole, largest


def _size(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if len(column.dictionary) == 0:
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64()).fill_null(0)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
