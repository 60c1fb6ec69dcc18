"""Read the types of a Parquet file's columns, and bring them to those that an asset is expected to have.

Only what loses nothing is cast: nulls to any type, dictionaries to their values, numbers to numbers that hold them
exactly, dates to midnights. Anything else is a rejection that names column, both types, a row and the next move.
Decimals become numbers: float64, and whole ones int64 where values are compared as they are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.adapters import rows
from ml.adapters.sources.csv_types import as_type
from ml.adapters.workspace import write_table
from ml.core.data.contracts import Failure
from ml.core.data.schema import NULL, Types, goes_with, kind_of
from ml.errors import DataRejected
from ml.records import Asset

NAMES = {"double": "float64", "float": "float32", "halffloat": "float16", "date32[day]": "date", "date64[ms]": "date"}
TYPE_EXPECTATIONS = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")


def name_of(kind: pa.DataType) -> str:
    """Return the name of a type; a text is ``string`` and a category its values' type, however they are stored."""
    if pa.types.is_dictionary(kind):
        return name_of(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    return NAMES.get(str(kind), str(kind))


def arrow_type(name: str) -> pa.DataType | None:
    """Return the type of a name; None if nothing is cast to it."""
    if zoned := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", name):
        return pa.timestamp(zoned[1], tz=zoned[2])
    aliases = {"date": "date32", "timestamp": "timestamp[us]", "string": "large_string"}  # as pandas writes text
    try:
        return pa.type_for_alias(aliases.get(name, name))
    except ValueError:
        return None


def types_of(path: Path) -> dict[str, str]:
    """Return the types of a file's columns, from its footer; ``null`` where no row has a value."""
    return _types_in_footer(rows.footer(path))


def _types_in_footer(footer: rows.Footer) -> dict[str, str]:
    return {
        column.name: NULL if footer.rows and footer.nulls.get(column.name) == footer.rows else name_of(column.type)
        for column in footer.schema
    }


def types_of_table(table: pa.Table) -> dict[str, str]:
    """Return the types of a table's columns, as `types_of` does those of a file's."""
    return {
        name: NULL if table[name].null_count == table.num_rows else name_of(table[name].type)
        for name in table.schema.names
    }


def types_of_frame(frame: pd.DataFrame) -> dict[str, str]:
    """Return the types of a frame's columns, as `types_of` would once it is written to a file."""
    return types_of_table(pa.Table.from_pandas(frame, preserve_index=False))


def without_types_of_nulls(table: pa.Table) -> pa.Table:
    """Return a table whose columns without any value have no type: so they go under those of any other table."""
    for number, (name, kind) in enumerate(types_of_table(table).items()):
        if kind == NULL and table.num_rows:
            table = table.set_column(number, name, pa.chunked_array([pa.nulls(table.num_rows)]))
    return table


def types_in(path: Path) -> dict[str, str]:
    """Return what `types_of` does; nothing if it is no Parquet file, of which others say so."""
    try:
        return types_of(path)
    except (pa.ArrowException, OSError):
        return {}


def retyped(path: Path, target: Path, what: str, changes: Types) -> Path:
    """Write a file to ``target`` with some columns of other types; a file that has them already is left as it is.

    Raises
    ------
    DataRejected
        If a value is not of the new type, or would not come back as it was; ``what`` names the file.
    """
    table, changed = pq.read_table(path), False
    for column, name in changes.items():
        if column not in table.schema.names:
            continue
        values = cast_exactly(table[column], name, declared=True)
        if values is None:
            row = first_unlike(table[column], name)
            raise DataRejected(
                f"{what}: column '{column}' is not {name} throughout (row {row} has {table[column][row].as_py()!r}); "
                "nothing was changed. Choose another type, or take the day out with 'evergreen withdraw DAY'"
            )
        changed |= values.type != table[column].type
        table = table.set_column(table.schema.get_field_index(column), column, values)
    if not changed:
        return path
    write_table(table, target)
    return target


def suite_types(folder: Path, asset: Asset) -> dict[str, str]:
    """Return the types that a suite asks for, for reading CSV; what is wrong with a suite is for screening to say."""
    try:
        entries = json.loads((folder / f"{asset}.json").read_text(encoding="utf-8"))["expectations"]
        type_kwargs = [entry["kwargs"] for entry in entries if entry["type"] in TYPE_EXPECTATIONS]
        kinds = {kwargs["column"]: kwargs.get("type_") or kwargs["type_list"] for kwargs in type_kwargs}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    types = {column: _common(kind if isinstance(kind, list) else [kind]) for column, kind in kinds.items()}
    return {column: name for column, name in types.items() if name}


def _common(kinds: list[object]) -> str:
    """Return the one type of ours that a suite's list of types stands for; empty if there is none."""
    names = {_plain(str(kind).lower()) for kind in kinds}
    return "float64" if names == {"int64", "float64"} else names.pop() if len(names) == 1 else ""


def _plain(kind: str) -> str:
    if kind in ("str", "string", "object"):
        return "string"
    if kind.startswith(("uint", "int")):
        return kind if kind[-1].isdigit() else "int64"
    return "float64" if kind.startswith("float") else "bool" if kind.startswith("bool") else ""


@dataclass(frozen=True)
class Expected:
    """What the columns of an asset must be: see `ml.core.data.schema.expected_types`.

    ``declared`` ones are cast to even if their kind changes, where that loses nothing; ``identities`` are never
    rounded, and never of two types; ``numbers`` are columns of numbers, whatever is known of them.
    """

    types: Types
    identities: Collection[str] = ()
    numbers: Collection[str] = ()
    declared: Collection[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)


def conform(path: Path, asset: Asset, expected: Expected) -> tuple[Failure, ...]:
    """Cast the columns of a file to their expected types, in place; a file that is of them is left as it is.

    Returns
    -------
    tuple of Failure
        What cannot be brought there without loss, one a column; such a column stays as it is.
    """
    footer = rows.footer(path)
    schema, present = footer.schema, _types_in_footer(footer)
    casts = {
        name: target
        for name in dict.fromkeys(schema.names)
        if name != "day"
        and (target := _choose_type(name, schema.field(name).type, present[name], expected)) is not None
    }
    if not casts:
        return ()
    table, clashes, changed = pq.read_table(path), [], False
    for name, target in casts.items():
        values = cast_exactly(table[name], target, declared=name in expected.declared)
        if values is None and kind_of(present[name]) == kind_of(target) == "number" and name not in expected.identities:
            values = _as_numbers(table[name])  # whole numbers among which a fraction comes: floats say both
        if values is None:
            clashes.append(_build_clash(asset, name, table[name], target, expected))
        elif values.type != table[name].type:
            changed, table = True, table.set_column(table.schema.get_field_index(name), name, values)
    if changed:
        write_table(table, path)
    return tuple(clashes)


def _choose_type(name: str, kind: pa.DataType, present: str, expected: Expected) -> str | None:
    """Return the type that a column is to be cast to; None if it may stay as it is."""
    type_name = expected.types.get(name)
    wanted = None if type_name is None or type_name.startswith("decimal") else type_name
    if pa.types.is_decimal(kind) and (wanted is None or kind_of(wanted) == "number"):
        return wanted or ("int64" if name in expected.identities and kind.scale == 0 else "float64")
    if wanted is None and name in expected.numbers:
        return "float64" if kind_of(present) not in ("number", "bool") else None
    if wanted is None:
        return present if pa.types.is_dictionary(kind) and present != NULL else None
    is_same = name_of(kind) == wanted and not pa.types.is_dictionary(kind)
    differs_in_unit = (
        kind_of(wanted) == "time" and goes_with(name_of(kind), wanted) and wanted != "date" != name_of(kind)
    )
    return None if is_same or differs_in_unit else wanted


def cast_exactly(column: pa.ChunkedArray, target: str, *, declared: bool = False) -> pa.ChunkedArray | None:
    """Return a column as values of another type; None if that would lose anything, or is another kind.

    Parameters
    ----------
    declared
        Whether people have said that the column is of this type: then whole numbers become text, and text becomes
        what it says.
    """
    kind, actual = arrow_type(target), name_of(column.type)
    if kind is None:
        return column if actual == target else None
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if declared and kind_of(actual) == "text":
        return as_type(column.cast(pa.string()), target)
    spelled = declared and target == "string" and pa.types.is_integer(column.type)
    if not (spelled or (kind_of(actual) == kind_of(target) and goes_with(actual, target))):
        return None
    try:
        values = column.cast(kind)
        # A decimal is the nearest number, by declaration; a cast of one to whole numbers fails if it loses anything.
        exact = spelled or pa.types.is_decimal(column.type) or _is_same(values.cast(column.type), column)
        return values if exact else None
    except pa.ArrowException:
        return None


def _is_same(values: pa.ChunkedArray, original: pa.ChunkedArray) -> bool:
    """Return whether values came back as they were; NaN is a null."""
    if pa.types.is_floating(values.type):
        values, original = (
            pc.if_else(pc.is_nan(side), pa.scalar(None, side.type), side) for side in (values, original)
        )
    return bool(values.equals(original))


def _as_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return numbers as they are, decimals as float64; None for uint64, which pandas joins by floats."""
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    return None if pa.types.is_uint64(column.type) else column


def _build_clash(asset: Asset, name: str, column: pa.ChunkedArray, target: str, expected: Expected) -> Failure:
    actual, row = name_of(column.type), first_unlike(column, target)
    holder = expected.where.get(name, "the data registry holds")
    if name in expected.declared:
        otherwise = f"correct types.{asset} in params.yaml"
    elif name in expected.numbers and kind_of(actual) not in ("number", "bool"):
        otherwise = "no longer name it under features.numeric or features.spline, or as a regression's target"
    elif suggested := _suggest(actual, target):
        otherwise = f"change the schema: evergreen schema --accept {asset}.{name}={suggested}"
    else:
        otherwise = "give the column another name"
    message = (
        f"column '{name}' is {actual}, but {holder} {target} (row {row} has {column[row].as_py()!r}): deliver it as "
        f"{target}, or, if the new type is right, {otherwise}"
    )
    return Failure(TYPE_EXPECTATIONS[0], name, "table", message)


def _suggest(actual: str, target: str) -> str | None:
    """Return what `evergreen schema --accept` calls a type that is not ``target``; None if it has no name for it."""
    if actual.startswith(("int", "uint")):
        return "string" if target == "int64" else "int64"
    if kind_of(actual) == "time":
        return None if "tz=" in actual else "date" if actual == "date" else "timestamp"
    return {"text": "string", "bool": "bool", "number": "float64"}.get(kind_of(actual))


def first_unlike(column: pa.ChunkedArray, target: str) -> int:
    """Return the first row whose value is not of a type by itself; the first value, if each would be."""
    for declared in (True, False):
        low, high = 0, len(column)  # the first rows up to ``low`` can be cast, those up to ``high`` cannot
        if cast_exactly(column, target, declared=declared) is not None:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            castable = cast_exactly(column.slice(0, middle), target, declared=declared) is not None
            low, high = (middle, high) if castable else (low, middle)
        return low
    return 0
