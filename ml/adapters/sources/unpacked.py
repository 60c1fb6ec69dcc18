"""Say how much memory a packed table takes, before it is unpacked.

A Parquet file of two megabytes can hold a text of one megabyte six thousand times: its dictionary has the text once,
and the sizes in its footer speak of the dictionary. So the rows are counted from the footer, and texts are measured
by their dictionary and how often each entry is used, which unpacks nothing.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Unpacked:
    """The bytes of a whole table once unpacked, and of the largest part of it that is read at once."""

    whole: int
    at_once: int


def measure(packed: Path | pa.Buffer) -> Unpacked:
    """Return what a Parquet file takes once unpacked; raises what pyarrow raises for a file that is damaged."""
    with _open(packed) as file:
        texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
        widths = _width_of_others(file, set(texts))
        rows, sizes = file.metadata.num_rows, _data_sizes(file)
    per_row = sum(widths.values()) + len(texts) * VALUE_BYTES
    whole, at_once = rows * per_row, min(rows, BATCH_ROWS) * per_row
    for name in texts:
        if sizes.get(name, 0) is not None:
            total = largest = sizes.get(name) or 0
        else:
            total, largest = _measure_text(packed, name)
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


def _width_of_others(file: parquet.ParquetFile, texts: set[str]) -> dict[str, int]:
    """Give the bytes that a value of each column takes, for all columns but texts."""
    columns = [file.schema.column(number) for number in range(len(file.schema.names))]
    return {
        column.path: max(column.length or 0, VALUE_BYTES)
        for column in columns
        if column.path.split(".")[0] not in texts
    }


def _data_sizes(file: parquet.ParquetFile) -> dict[str, int | None]:
    """Give the unpacked bytes of each column whose pages hold every value; None for one with a dictionary."""
    sizes: dict[str, int | None] = {}
    for group in range(file.metadata.num_row_groups):
        for number in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(number)
            name = chunk.path_in_schema
            before = sizes.get(name, 0)
            has_dictionary = chunk.has_dictionary_page or any("DICTIONARY" in each for each in chunk.encodings)
            sizes[name] = None if has_dictionary or before is None else before + chunk.total_uncompressed_size
    return sizes


def _measure_text(packed: Path | pa.Buffer, name: str) -> tuple[int, int]:
    """Add up the bytes of a column of texts, whole and of its largest batch, from its dictionary."""
    whole = largest = 0
    with _open(packed, [name]) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=[name]):
            column = batch.column(0)
            if not pa.types.is_dictionary(column.type):
                size = column.nbytes
            elif len(column.dictionary) == 0:
                size = 0
            else:
                lengths = pc.binary_length(column.dictionary).cast(pa.int64()).fill_null(0)
                size = pc.sum(lengths.take(column.indices)).as_py() or 0
            whole, largest = whole + size, max(largest, size)
    return whole, largest
