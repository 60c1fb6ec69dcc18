"""Read JSON lines, one object a line, as tables: a key that an object lacks is a null.

A text file of many days is cut by `ml.adapters.sources.table_texts`; that of a day is read here as a whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ml.adapters.sources.columns import WRITE_AGAIN, first_line
from ml.adapters.sources.csv_types import as_type
from ml.adapters.sources.parquet_tables import read_parquet
from ml.errors import DataRejected

TEMPORAL = ("date", "timestamp")


def read_json(content: bytes, origin: str, types: Mapping[str, str], limit: int | None) -> pd.DataFrame:
    """Read a whole file's bytes; DataRejected if they are no JSON lines, or take more than ``limit`` bytes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataRejected(f"{origin} is not UTF-8 ({err.reason}); save it as UTF-8") from err
    lines = enumerate(text.split("\n"), start=1)
    rows = [read_object(line, f"{origin}, line {number:,}") for number, line in lines if line.strip()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.BytesIO()
    parquet.write_table(as_table(names, rows, types, origin), written)
    return read_parquet(written.getvalue(), origin, limit)


def read_object(line: str, where: str) -> dict[str, Any]:
    """Read a line; DataRejected, with ``where`` it stands, if it is no object of plain values."""

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) != len(pairs):
            raise DataRejected(f"{where} names a column twice; give each its own name")
        return row

    def refuse(constant: str) -> None:
        raise DataRejected(f"{where} holds {constant}, which is not JSON; write null, then run this again")

    try:
        row = json.loads(line, object_pairs_hook=collect, parse_constant=refuse)
    except (ValueError, RecursionError) as err:
        raise DataRejected(f"{where} is not JSON ({err}); write one object a line, or {WRITE_AGAIN}") from err
    if not isinstance(row, dict):
        raise DataRejected(f"{where} is no JSON object; write one object a line, not an array")
    for name, value in row.items():
        if isinstance(value, (dict, list)):
            kind = "lists" if isinstance(value, list) else "objects"
            raise DataRejected(
                f"{where}: column {name!r} holds {kind}; make columns of plain values of it, or leave it out"
            )
    return row


def as_table(names: list[str], rows: list[dict[str, Any]], types: Mapping[str, str], origin: str) -> pa.Table:
    """Return objects of JSON as a table: a key that an object lacks is a null.

    A column is of one kind: booleans, texts, or numbers, which are whole (int64) if all of them are. Texts become
    dates or instants if ``types`` says so of their column.

    Raises
    ------
    DataRejected
        If a column mixes kinds, or holds numbers that no type holds.
    """
    return pa.table({name: _column(name, [row.get(name) for row in rows], types.get(name), origin) for name in names})


def _column(name: str, values: list[Any], known: str | None, origin: str) -> pa.ChunkedArray:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.chunked_array([pa.nulls(len(values), pa.float64())])
    if len(kinds) > 1 and kinds != {int, float}:
        shown = " and ".join(sorted(_KINDS[kind] for kind in kinds))
        raise DataRejected(f"{origin}: column {name!r} mixes {shown}; write one kind, then run this again")
    kind = (
        pa.float64() if float in kinds else pa.int64() if int in kinds else pa.bool_() if bool in kinds else pa.string()
    )
    try:
        column = pa.chunked_array([pa.array(values, kind)])
    except (pa.ArrowException, OverflowError, UnicodeError) as err:
        raise DataRejected(
            f"{origin}: column {name!r} holds a value that is no {kind} ({first_line(err)}); write such numbers as text"
        ) from err
    if str in kinds and known is not None and known.startswith(TEMPORAL):
        return as_type(column, known) or column
    return column


_KINDS = {bool: "booleans", int: "numbers", float: "numbers", str: "texts"}
