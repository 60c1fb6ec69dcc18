"""Write a table that comes in parts as one Parquet file: memory holds a few parts, never the whole table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 131_072
"""Rows that are written at once, at least: groups of a small day each would be slow to read."""


def write_parts(parts: Iterable[pd.DataFrame], path: Path) -> int:
    """Write parts one below the other, as `ml.adapters.workspace.write_parquet` writes one frame.

    What is read back equals what `pandas.concat` makes of the parts: a column that a part lacks, or that is empty
    there, is null in its rows, and whole numbers beside fractions are floating-point numbers. Where a part has other
    types than those before it, what is written already is written again, with types that hold both.

    Parameters
    ----------
    parts
        At least one; taken one by one. If they raise, ``path`` is no table, and nobody may read it.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    pyarrow.ArrowTypeError
        If no type holds the values of a column of two parts.
    """
    rows, file = 0, None
    try:
        for group in _groups(parts):
            schema = _unified([file.schema, group.schema]) if file else group.schema
            if file is None:
                file = _opened(path, schema)
            elif schema != file.schema:
                file.close()
                file = _with_types(path, schema)
            file.write_table(_cast(group, schema))
            rows += group.num_rows
    finally:
        if file is not None:
            file.close()
    return rows


def _groups(parts: Iterable[pd.DataFrame]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for part in parts:
        held.append(pa.Table.from_pandas(part, preserve_index=False).replace_schema_metadata(None))
        if sum(table.num_rows for table in held) >= GROUP_ROWS:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(tables: list[pa.Table]) -> pa.Table:
    schema = _unified([table.schema for table in tables])
    return pa.concat_tables([_cast(table, schema) for table in tables]).combine_chunks()


def _unified(schemas: list[pa.Schema]) -> pa.Schema:
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    for number, field in enumerate(schema):
        kinds = {other.field(field.name).type for other in schemas if field.name in other.names}
        if pa.uint64() in kinds and any(map(pa.types.is_signed_integer, kinds)):  # int64 would wrap around
            schema = schema.set(number, field.with_type(pa.float64()))
    return schema


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema == schema:
        return table
    columns = [
        table[field.name].cast(field.type, safe=False)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _opened(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd")


def _with_types(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Write a file again with other types, and return the writer of the new one, which goes on."""
    before = path.with_name(f"{path.name}.before")
    path.replace(before)
    file = _opened(path, schema)
    try:
        with pq.ParquetFile(before) as written:
            for number in range(written.num_row_groups):
                file.write_table(_cast(written.read_row_group(number), schema))
    except BaseException:
        file.close()
        raise
    before.unlink()
    return file
