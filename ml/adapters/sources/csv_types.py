"""Cast the text columns of a CSV file to the types that are known of them, where each value is of that type."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.adapters.rows import as_nullable

BOOLEAN = "^(true|false|True|False|TRUE|FALSE)$"
WHOLE = "^-?(0|[1-9][0-9]*)$"
WHOLE_FLOAT = r"^-?(0|[1-9][0-9]*)\.0*$"
NUMBER = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_OR_INFINITE = rf"(?i){NUMBER}|^-?inf(inity)?$"


def as_type(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray | None:
    """Return a column of text as values of a type; None if one of them is not, or would not come back as written.

    Whole numbers may be written as ``12.0``. Numbers may be infinite: the contract quarantines their rows.
    """
    values = column.drop_null()
    if name.startswith(("int", "uint")) and (whole := _whole_numbers(column, values, name)) is not None:
        return whole
    try:
        if name.startswith(("int", "uint", "float")):
            return column.cast(pa.float64()) if all_match(values, NUMBER_OR_INFINITE) else None
        if name == "bool":
            return column.cast(pa.bool_()) if all_match(values, BOOLEAN) else None
        kinds = {"string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us")}
        kind = kinds.get(name.split("[", maxsplit=1)[0]) if "tz=" not in name else None
        return None if kind is None else column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _whole_numbers(column: pa.ChunkedArray, values: pa.ChunkedArray, name: str) -> pa.ChunkedArray | None:
    if not all_match(values, WHOLE):
        if not all_match(values, rf"{WHOLE}|{WHOLE_FLOAT}"):
            return None
        column = pc.replace_substring_regex(column, r"\.0*$", "")
    for kind in dict.fromkeys((name, "int64", "uint64")):
        try:
            return column.cast(pa.type_for_alias(kind))
        except pa.ArrowInvalid:
            continue
    return None


def all_match(values: pa.ChunkedArray, pattern: str) -> bool:
    """Return whether each value matches; no value matches anything."""
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py() in (True, None))


def exact(table: pa.Table, names: list[str]) -> pd.DataFrame:
    """Return a table as a frame in which whole numbers stay whole, nulls among them, in some columns."""
    frame: pd.DataFrame = table.to_pandas()
    for name in names:
        if pa.types.is_integer(table[name].type) and table[name].null_count:
            frame[name] = as_nullable(table[name])
    return frame
