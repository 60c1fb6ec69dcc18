"""Name the file that holds a day, and read its bytes as a table: Parquet or CSV, by name ending.

Nothing is repaired on the way in. What cannot be read whole is refused, and what can be read is
left as it is for the data contract to judge, with one exception: ``day`` becomes ISO text.

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
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, RowGroups, as_nullable, batches, count_rows
from ml.adapters.sources.csv_quotes import check_quotes
from ml.adapters.sources.csv_types import BOOLEAN, NUMBER, WHOLE, all_match, as_type, exact
from ml.adapters.sources.unpacked import check_csv, measure, too_large
from ml.errors import DataRejected, EmptyDelivery, SettingsError

TableFormat = Literal["parquet", "csv"]

DAY = "{day}"
EXACT_IN_FLOAT = 2**53
"""Whole numbers up to here survive the trip through float64, which nulls make of an int column."""
HEADER_CHARACTERS = 1_000_000
GZIP = b"\x1f\x8b"
NO_WHOLE_PARQUET = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What pyarrow raises for a file that is none, or is damaged."""

WRITE_AGAIN = "write the day again at its source, then run this again"


def check_pattern(pattern: str, *, key: str, shown: str | None = None) -> None:
    """Refuse a pattern that does not carry the day, or carries another placeholder.

    Parameters
    ----------
    key
        The settings key that holds the pattern, for messages.
    shown
        The pattern without its secrets, for messages; None if it holds none.
    """
    shown = pattern if shown is None else shown
    if DAY not in pattern:
        raise SettingsError(f"{key}: {shown} names no {DAY}; put {DAY} where the ISO day (2013-04-01) stands")
    rest = pattern.replace(DAY, "")
    if "{" in rest or "}" in rest:
        raise SettingsError(f"{key}: {shown} has braces beside {DAY}, the only placeholder; remove them")


def format_of(name: str, *, key: str) -> TableFormat:
    """Tell the format from a name's ending; ``key`` is the settings key that holds the name."""
    if name.lower().endswith(".parquet"):
        return "parquet"
    if name.lower().endswith(".csv"):
        return "csv"
    raise SettingsError(f"{key}: {name} ends in neither .parquet nor .csv; name a file of either format")


def read_table(
    content: bytes,
    table_format: TableFormat,
    *,
    origin: str,
    types: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Read a whole file's bytes.

    Parameters
    ----------
    content
        The file, as it was at its source.
    origin
        The path or URL that the bytes came from, without secrets: messages name it.
    types
        What is known of the columns of a CSV file, see `ml.core.schema`; a column with a value that is not of its
        type is read as if nothing were known of it.
    limit
        The most bytes that the table may take once unpacked; None for any number.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        With a plain row index; possibly of no rows. ``day``, if there, is ISO text.

    Raises
    ------
    DataRejected
        If the file is empty, is not of its format, is damaged, is too large, or has a column of lists or the like.
    """
    if not content.strip():
        raise EmptyDelivery(f"{origin} is empty ({len(content)} bytes); {WRITE_AGAIN}")
    if table_format == "csv":
        if limit is not None:
            check_csv(content, limit=limit, origin=origin)
        table = _read_csv(content, origin, types or {})
    else:
        table = _read_parquet(content, origin, limit)
    _check_names([str(name) for name in table.columns], origin)
    if "day" in table.columns:
        table["day"] = _as_iso_text(table["day"], origin)
    return table


def _read_parquet(content: bytes, origin: str, limit: int | None) -> pd.DataFrame:
    buffer = pa.py_buffer(content)
    with _reading(origin):
        found = parquet.read_schema(pa.BufferReader(buffer))
        _check_flat(found, origin)
        _check_names(found.names, origin)
        if limit is not None and measure(buffer, stop_above=limit).whole > limit:
            raise too_large(origin, limit)
        arrow = parquet.read_table(pa.BufferReader(buffer))
        arrow.validate(full=True)  # or text that is no UTF-8 fails much later, and without a name
        table: pd.DataFrame = arrow.to_pandas()
        for name in _inexact(arrow):
            table[name] = as_nullable(arrow[name])
    # A frame that was written with its key as index has the key there, not among its columns.
    named: list[Hashable] = [name for name in table.index.names if name is not None]
    return table.reset_index(level=named).reset_index(drop=True) if named else table.reset_index(drop=True)


def _inexact(table: pa.Table) -> list[str]:
    """Name the columns of whole numbers, nulls among them, that floats cannot hold: pandas would round them."""
    names = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    return [name for name in dict.fromkeys(names) if table[name].null_count and not _floats_hold(table[name])]


def _floats_hold(numbers: pa.ChunkedArray) -> bool:
    limits = pc.min_max(numbers)
    low, high = limits["min"].as_py(), limits["max"].as_py()
    return low is None or (low >= -EXACT_IN_FLOAT and high <= EXACT_IN_FLOAT)


def _beyond_floats(path: Path, name: str) -> bool:
    """Say whether a column holds whole numbers that floats would round."""
    if not pa.types.is_integer(parquet.read_schema(path).field(name).type):
        return False
    return not all(_floats_hold(batch[name]) for batch in batches(path, BATCH_ROWS, columns=[name]))


def is_larger(path: Path, rows: int, *, limit: int, origin: str) -> bool:
    """Say whether a Parquet file has more rows, or takes more than ``limit`` bytes; one that cannot be opened has not.

    Raises
    ------
    DataRejected
        If a part of it that is read at once takes more bytes than that.
    """
    try:
        _check_flat(parquet.read_schema(path), origin)
        unpacked = measure(path)
        if unpacked.at_once > limit:
            raise too_large(origin, limit)
        return count_rows(path) > rows or unpacked.whole > limit
    except NO_WHOLE_PARQUET:
        return False


def _check_flat(schema: pa.Schema, origin: str) -> None:
    """Raise DataRejected if a column holds lists, structs or maps: no two of them can be compared or learned from."""
    for field in schema:
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        if pa.types.is_nested(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise DataRejected(
                f"{origin}: column {field.name!r} holds {kind} in each row; make columns of plain values of it, "
                "or leave it out at its source, then run this again"
            )


def copy_parquet(path: Path, target: Path, *, origin: str) -> bool:
    """Copy a Parquet file, batch by batch, into the table that `read_table` would make of it.

    Returns
    -------
    bool
        False, with nothing written, if it has columns of other types than numbers, texts, booleans and points in
        time, or cannot be opened: `read_table` then knows what to do or to say.

    Raises
    ------
    DataRejected
        As `read_table` does.
    """
    try:
        found = parquet.read_schema(path)
    except NO_WHOLE_PARQUET:
        return False
    with _reading(origin):
        names = _columns_in_order(found)
        plain = all(_is_plain(found.field(name).type) for name in names)
    if not plain:
        return False
    _check_names(names, origin)
    with _reading(origin):
        whole_numbers = [name for name in names if pa.types.is_integer(found.field(name).type)]
        with_nulls = {name for name in whole_numbers if _has_nulls(path, name) and not _beyond_floats(path, name)}
    schema = pa.schema([(name, _landed_type(name, found.field(name).type, with_nulls)) for name in names])
    with RowGroups(target, schema) as landed:
        for table in _landed_batches(path, schema, origin):
            landed.write(table)
    return True


def _has_nulls(path: Path, name: str) -> bool:
    """Look at the values: asked what a damaged footer says of its chunks, pyarrow 25 aborts the process."""
    return any(batch[name].null_count for batch in batches(path, BATCH_ROWS, columns=[name]))


def _landed_batches(path: Path, schema: pa.Schema, origin: str) -> Iterator[pa.Table]:
    read = batches(path, BATCH_ROWS, columns=schema.names)
    while True:
        with _reading(origin):
            if (batch := next(read, None)) is None:
                return
            batch.validate(full=True)
            table = pa.table({name: _landed(batch[name], schema.field(name), origin) for name in schema.names})
        yield table


def _columns_in_order(schema: pa.Schema) -> list[str]:
    """Name the columns as `_read_parquet` gives them: a named index of pandas first, one without a name not at all."""
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)]
    named = [name for name in index if not re.fullmatch(r"__index_level_\d+__", name)]
    return named + [name for name in schema.names if name not in index]


def _is_plain(kind: pa.DataType) -> bool:
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(texts or numbers or pa.types.is_date32(kind) or pa.types.is_timestamp(kind))


def _landed_type(name: str, kind: pa.DataType, with_nulls: Collection[str]) -> pa.DataType:
    """Give the type that a column has once pandas has held it; whole numbers among nulls are floats there."""
    if name == "day" or pa.types.is_large_string(kind):
        return pa.string() if pa.types.is_temporal(kind) or pa.types.is_large_string(kind) else kind
    return pa.float64() if pa.types.is_integer(kind) and name in with_nulls else kind


def _landed(column: pa.ChunkedArray, field: pa.Field, origin: str) -> pa.ChunkedArray:
    if pa.types.is_temporal(column.type) and pa.types.is_string(field.type):
        return pa.chunked_array([pa.array(_as_iso_text(column.to_pandas(), origin), pa.string())])
    if pa.types.is_floating(column.type):  # to pandas, NaN is a null
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column.cast(field.type, safe=False)


@contextmanager
def _reading(origin: str) -> Iterator[None]:
    """Say of what goes wrong that the file is none, or is damaged."""
    try:
        yield
    except NO_WHOLE_PARQUET as err:
        raise DataRejected(
            f"{origin} is no whole Parquet file ({_first_line(err)}); {WRITE_AGAIN}, "
            "and write under another name and rename, so that half a file is never seen"
        ) from err


def _read_csv(content: bytes, origin: str, types: Mapping[str, str]) -> pd.DataFrame:
    header = _header(_decode(content, origin))
    if not header:
        raise EmptyDelivery(f"{origin} is empty (no header line); {WRITE_AGAIN}")
    separator = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if separator:
        raise DataRejected(f"{origin} separates its fields by {separator!r}; save it with commas")
    lines = check_quotes(content, header, origin=origin)
    _check_names(header, origin)
    table = _parse(content.removeprefix(codecs.BOM_UTF8) + b"\n", header, origin)
    if lines and lines.rows != table.num_rows + 1:
        raise DataRejected(
            f"{origin} has {lines.rows - 1:,} rows by its lines and {table.num_rows:,} by its quotation marks; "
            f"quote fields as RFC 4180 says, or {WRITE_AGAIN}"
        )
    typed = {
        name: column if name == "day" else _typed(column, types.get(name))
        for name, column in zip(header, table, strict=True)
    }
    return exact(pa.table(typed), [name for name in header if name in types])


def _decode(content: bytes, origin: str) -> str:
    if content.startswith(GZIP):
        raise DataRejected(f"{origin} is packed by gzip; deliver it unpacked")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as err:
        place = _place(content, err.start)
        raise DataRejected(f"{origin} is not UTF-8: {place} is no part of a character; save it as UTF-8") from err
    if "\0" in text:
        place = _place(content, content.index(b"\0"))
        raise DataRejected(f"{origin} is not text: {place} is zero; save it as UTF-8")
    return text.removeprefix("\ufeff")


def _place(content: bytes, offset: int) -> str:
    line = content.count(b"\n", 0, offset) + 1
    return f"the byte at offset {offset:,} (line {line:,})"


def _header(text: str) -> list[str]:
    rows = csv.reader(io.StringIO(text[:HEADER_CHARACTERS], newline=""))
    return next((row for row in rows if row), [])


def _check_names(names: list[str], origin: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not all(names):
        number = names.index("") + 1
        raise DataRejected(f"{origin} has a column without a name (number {number}); name it or drop it")
    if twice:
        raise DataRejected(f"{origin} names more than one column {', '.join(twice)}; give each its own name")


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
        raise DataRejected(f"{origin} is no CSV file ({_first_line(err)}); {WRITE_AGAIN}") from err
    if ragged:
        raise DataRejected(
            f"{origin} is ragged: {len(ragged):,} rows have not the {ragged[0].expected_columns} fields "
            f"of the header, the first is row {ragged[0].number:,} with {ragged[0].actual_columns} "
            f"({_ragged_line(content, header)}); quote fields that hold a comma, or {WRITE_AGAIN}"
        )
    return table


def _ragged_line(content: bytes, header: list[str]) -> str:
    """Name the line of the first row that has not as many fields as the header, and the column where it differs."""
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""))
    line = 1
    for row in rows:
        if row and len(row) < len(header):
            return f"line {line:,} has nothing for column '{header[len(row)]}'"
        if len(row) > len(header):
            return f"line {line:,} goes on after the last column, '{header[-1]}'"
        line = rows.line_num + 1
    return "at its end"


def _typed(column: pa.ChunkedArray, known: str | None) -> pa.ChunkedArray:
    """Give a text column its known type, or the one that all its values ask for, or leave it text."""
    if known is not None and (found := as_type(column, known)) is not None:
        return found
    values = column.drop_null()
    if len(values) == 0:
        return column.cast(pa.float64())
    if all_match(values, BOOLEAN):
        return column.cast(pa.bool_())
    if all_match(values, WHOLE):
        return _whole(column)
    if all_match(values, NUMBER):
        numbers = column.cast(pa.float64())
        return numbers if pc.all(pc.is_finite(numbers)).as_py() else column
    return column


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return numbers if _floats_hold(numbers) or column.null_count == 0 else column


def _as_iso_text(days: pd.Series[Any], origin: str) -> pd.Series[Any]:
    """Write dates and midnights as ISO text, by the clock of their own time zone.

    A column that holds anything else beside them is returned as it is: the contract judges it.
    """
    values = set(days.dropna().astype(object))
    if not values or not all(isinstance(value, date) for value in values):
        return days
    for value in values:
        if isinstance(value, datetime) and value.time() != time.min:
            raise DataRejected(
                f"{origin} has a time of day in column day ({value.isoformat()}), so which day is meant "
                "is a guess; write the local date there"
            )
    iso = {value: value.strftime("%Y-%m-%d") for value in values}
    return days.astype(object).map(iso).astype("str")


def _first_line(err: Exception) -> str:
    lines = str(err).splitlines()
    return lines[0] if lines else type(err).__name__
