"""Read a day's Parquet file, whole or batch by batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, RowGroups, as_nullable, batches, count_rows
from ml.adapters.sources.columns import WRITE_AGAIN, as_iso_text, check_names, first_line, floats_hold
from ml.adapters.sources.unpacked import measure, too_large
from ml.errors import DataRejected

NO_WHOLE_PARQUET = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What pyarrow raises for a file that is none, or is damaged."""


def read_parquet(content: bytes, origin: str, limit: int | None) -> pd.DataFrame:
    """Read a whole file's bytes; DataRejected if that is none, is damaged, or takes more than ``limit`` bytes."""
    buffer = pa.py_buffer(content)
    with reading(origin):
        schema = parquet.read_schema(pa.BufferReader(buffer))
        check_flat(schema, origin)
        check_names(schema.names, origin)
        if limit is not None and measure(buffer, stop_above=limit).whole > limit:
            raise too_large(origin, limit)
        arrow = parquet.read_table(pa.BufferReader(buffer))
        arrow.validate(full=True)  # or text that is no UTF-8 fails much later, and without a name
        table: pd.DataFrame = arrow.to_pandas()
        for name in _find_inexact(arrow):
            table[name] = as_nullable(arrow[name])
    # A frame that was written with its key as index has the key there, not among its columns.
    named: list[Hashable] = [name for name in table.index.names if name is not None]
    return table.reset_index(level=named).reset_index(drop=True) if named else table.reset_index(drop=True)


def is_larger(path: Path, rows: int, *, limit: int, origin: str) -> bool:
    """Return whether a Parquet file has more rows, or takes more than ``limit`` bytes; False if it cannot be opened.

    Raises
    ------
    DataRejected
        If a part of it that is read at once takes more bytes than that.
    """
    try:
        check_flat(parquet.read_schema(path), origin)
        unpacked = measure(path)
        if unpacked.at_once > limit:
            raise too_large(origin, limit)
        return count_rows(path) > rows or unpacked.whole > limit
    except NO_WHOLE_PARQUET:
        return False


def copy_parquet(path: Path, target: Path, *, origin: str, choose: Callable[[Sequence[str]], list[str]] = list) -> bool:
    """Copy a Parquet file, batch by batch, into the table that `read_table` would make of it.

    Parameters
    ----------
    choose
        Which columns are taken, of those that there are.

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
        source_schema = parquet.read_schema(path)
    except NO_WHOLE_PARQUET:
        return False
    with reading(origin):
        names = choose(order_columns(source_schema))
        plain = all(_is_plain(source_schema.field(name).type) for name in names)
    if not plain:
        return False
    check_names(names, origin)
    with reading(origin):
        whole_numbers = [name for name in names if pa.types.is_integer(source_schema.field(name).type)]
        with_nulls = {name for name in whole_numbers if _has_nulls(path, name) and not _beyond_floats(path, name)}
    schema = pa.schema([(name, _choose_type(name, source_schema.field(name).type, with_nulls)) for name in names])
    with RowGroups(target, schema) as landed:
        for table in _convert_batches(path, schema, origin):
            landed.write(table)
    return True


def _find_inexact(table: pa.Table) -> list[str]:
    """List the columns of whole numbers, nulls among them, that floats cannot hold: pandas would round them."""
    names = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    return [name for name in dict.fromkeys(names) if table[name].null_count and not floats_hold(table[name])]


def _beyond_floats(path: Path, name: str) -> bool:
    """Return whether a column holds whole numbers that floats would round."""
    if not pa.types.is_integer(parquet.read_schema(path).field(name).type):
        return False
    return not all(floats_hold(batch[name]) for batch in batches(path, BATCH_ROWS, columns=[name]))


def check_flat(schema: pa.Schema, origin: str) -> None:
    """Raise DataRejected if a column holds lists, structs or maps: no two of them can be compared or learned from."""
    for field in schema:
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        if pa.types.is_nested(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise DataRejected(
                f"{origin}: column {field.name!r} holds {kind} in each row; make columns of plain values of it, "
                "or leave it out at its source, then run this again"
            )


def _has_nulls(path: Path, name: str) -> bool:
    """Look at the values: asked what a damaged footer says of its chunks, pyarrow 25 aborts the process."""
    return any(batch[name].null_count for batch in batches(path, BATCH_ROWS, columns=[name]))


def _convert_batches(path: Path, schema: pa.Schema, origin: str) -> Iterator[pa.Table]:
    read = batches(path, BATCH_ROWS, columns=schema.names)
    while True:
        with reading(origin):
            if (batch := next(read, None)) is None:
                return
            batch.validate(full=True)
            table = pa.table({name: _convert(batch[name], schema.field(name), origin) for name in schema.names})
        yield table


def order_columns(schema: pa.Schema) -> list[str]:
    """List the columns as `read_parquet` orders them: a named index of pandas first, one without a name not at all."""
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)]
    named = [name for name in index if not re.fullmatch(r"__index_level_\d+__", name)]
    return named + [name for name in schema.names if name not in index]


def _is_plain(kind: pa.DataType) -> bool:
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(texts or numbers or pa.types.is_date32(kind) or pa.types.is_timestamp(kind))


def _choose_type(name: str, kind: pa.DataType, with_nulls: Collection[str]) -> pa.DataType:
    """Return the type that a column has once pandas has held it; whole numbers among nulls are floats there."""
    if name == "day" or pa.types.is_large_string(kind):
        return pa.string() if pa.types.is_temporal(kind) or pa.types.is_large_string(kind) else kind
    return pa.float64() if pa.types.is_integer(kind) and name in with_nulls else kind


def _convert(column: pa.ChunkedArray, field: pa.Field, origin: str) -> pa.ChunkedArray:
    if pa.types.is_temporal(column.type) and pa.types.is_string(field.type):
        return pa.chunked_array([pa.array(as_iso_text(column.to_pandas(), origin), pa.string())])
    if pa.types.is_floating(column.type):  # to pandas, NaN is a null
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column.cast(field.type, safe=False)


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """Turn what pyarrow raises for a file that is none, or is damaged, into our error."""
    try:
        yield
    except NO_WHOLE_PARQUET as err:
        raise DataRejected(
            f"{origin} is no whole Parquet file ({first_line(err)}); {WRITE_AGAIN}, "
            "and write under another name and rename, so that half a file is never seen"
        ) from err
