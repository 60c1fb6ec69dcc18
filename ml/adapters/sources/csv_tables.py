"""Read a CSV file whole.

CSV has no types, so a column gets one only where every value asks for it: whole numbers (int64),
numbers (float64), true and false (bool), anything else text. ``day`` is always text. Only an empty
field is null: ``NA``, ``NaN`` and ``null`` are text (Namibia and a Mr Null exist). Numbers that would
not come back as written stay text: leading zeros (``007``), and more digits than the type holds.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ml.adapters.sources.columns import WRITE_AGAIN, check_names, first_line, floats_hold
from ml.adapters.sources.csv_quotes import check_quotes
from ml.adapters.sources.csv_types import BOOLEAN, NUMBER, WHOLE, all_match, as_type, exact
from ml.errors import DataRejected, EmptyDelivery

HEADER_CHARACTERS = 1_000_000
PACKED = {
    b"\x1f\x8b": "packed by gzip; name it .csv.gz (in source, too), or deliver it unpacked",
    b"PK\x03\x04": "a ZIP archive (.zip, .xlsx); deliver the CSV that is in it, or export one",
    b"BZh": "packed by bzip2; deliver it unpacked",
    b"\xfd7zXZ": "packed by xz; deliver it unpacked",
    b"\x28\xb5\x2f\xfd": "packed by zstd; name it .csv.zst (in source, too), or deliver it unpacked",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\xd0\xcf\x11\xe0": "an Excel file; export it as CSV",
}
"""What the first bytes of a file say that is no CSV."""

MARKUP = re.compile(r"\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
JSON = re.compile(r'\s*(\[\s*)?\{\s*("|\})')


def read_csv(content: bytes, origin: str, types: Mapping[str, str]) -> pd.DataFrame:
    """Read a whole file's bytes, the columns of ``types`` by those; DataRejected if they are no CSV."""
    header = read_header(content, origin)
    lines = check_quotes(content, header, origin=origin)
    check_names(header, origin)
    table = _parse(content.removeprefix(codecs.BOM_UTF8) + b"\n", header, origin)
    if lines and lines.rows != table.num_rows + 1:
        raise DataRejected(
            f"{origin} has {lines.rows - 1:,} rows by its lines and {table.num_rows:,} by its quotation marks; "
            f"quote fields as RFC 4180 says, or {WRITE_AGAIN}"
        )
    typed = {
        name: column if name == "day" else cast_text(column, types.get(name))
        for name, column in zip(header, table, strict=True)
    }
    return exact(pa.table(typed), [name for name in header if name in types])


def _decode(content: bytes, origin: str) -> str:
    for mark, problem in PACKED.items():
        if content.startswith(mark):
            raise DataRejected(f"{origin} is {problem}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as err:
        position = _describe_position(content, err.start)
        raise DataRejected(f"{origin} is not UTF-8: {position} is no part of a character; save it as UTF-8") from err
    if "\0" in text:
        position = _describe_position(content, content.index(b"\0"))
        raise DataRejected(f"{origin} is not text: {position} is zero; save it as UTF-8")
    text = text.removeprefix("\ufeff")
    if JSON.match(text):
        raise DataRejected(f"{origin} is JSON, not CSV; write CSV with a header line, or Parquet")
    if MARKUP.match(text):
        raise DataRejected(f"{origin} is a page (HTML or XML), not CSV: a login, or an error; look at what is there")
    return text


def _describe_position(content: bytes, offset: int) -> str:
    line = content.count(b"\n", 0, offset) + 1
    return f"the byte at offset {offset:,} (line {line:,})"


def read_header(content: bytes, origin: str) -> list[str]:
    """Return the names of the columns from the bytes of a file, or from its first lines.

    Raises
    ------
    DataRejected
        If these bytes are no CSV in UTF-8 with commas.
    """
    rows = csv.reader(io.StringIO(_decode(content, origin)[:HEADER_CHARACTERS], newline=""))
    header = next((row for row in rows if row), [])
    if not header:
        raise EmptyDelivery(f"{origin} is empty (no header line); {WRITE_AGAIN}")
    separator = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if separator:
        raise DataRejected(f"{origin} separates its fields by {separator!r}; save it with commas")
    return header


def _parse(content: bytes, header: list[str], origin: str) -> pa.Table:
    """Read every field as text; refuse rows with more or fewer fields than the header."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            # One block and one thread, or Arrow does not know the number of a row.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=min(len(content), 2**31 - 1)),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as err:
        raise DataRejected(f"{origin} is no CSV file ({first_line(err)}); {WRITE_AGAIN}") from err
    if ragged:
        raise DataRejected(
            f"{origin} is ragged: {len(ragged):,} rows have not the {ragged[0].expected_columns} fields "
            f"of the header, the first is row {ragged[0].number:,} with {ragged[0].actual_columns} "
            f"({_find_ragged_line(content, header)}); quote fields that hold a comma, or {WRITE_AGAIN}"
        )
    return table


def _find_ragged_line(content: bytes, header: list[str]) -> str:
    """Find the line of the first row that has not as many fields as the header, and the column where it differs."""
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""))
    line = 1
    for row in rows:
        if row and len(row) < len(header):
            return f"line {line:,} has nothing for column '{header[len(row)]}'"
        if len(row) > len(header):
            return f"line {line:,} goes on after the last column, '{header[-1]}'"
        line = rows.line_num + 1
    return "at its end"


def cast_text(column: pa.ChunkedArray, type_name: str | None) -> pa.ChunkedArray:
    """Cast a text column to its known type, or to the one that all its values ask for, or leave it text."""
    if type_name is not None and (result := as_type(column, type_name)) is not None:
        return result
    values = column.drop_null()
    if len(values) == 0:
        return column.cast(pa.float64())
    if all_match(values, BOOLEAN):
        return column.cast(pa.bool_())
    if all_match(values, WHOLE):
        return _cast_whole(column)
    if all_match(values, NUMBER):
        numbers = column.cast(pa.float64())
        return numbers if pc.all(pc.is_finite(numbers)).as_py() else column
    return column


def _cast_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return numbers if floats_hold(numbers) or column.null_count == 0 else column
