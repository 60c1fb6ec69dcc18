"""A table as it was read, and its columns with their types."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml.core.adoption.texts import decimal_marks, read_text
from ml.settings import TypeName


@dataclass(frozen=True)
class Sample:
    """A table as it was read.

    Attributes
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        All text (None for an empty field) if ``is_text``.
    has_types
        Whether the files say of which type a column is (Parquet).
    changed
        What the reader had to change that the source ``table`` would not: separators, encodings, names.
    labels : DataFrame or None
        The table of labels, where that is one of its own.
    labels_are_text
        As ``is_text``, of that table; None if it is as the other one.
    dated
        Whether each row came with its ``day``, out of the name of its file.
    """

    table: pd.DataFrame
    is_text: bool
    has_types: bool = False
    changed: tuple[str, ...] = ()
    labels: pd.DataFrame | None = None
    labels_are_text: bool | None = None
    dated: bool = False


def typed_columns(sample: Sample) -> tuple[pd.DataFrame, dict[str, TypeName], list[str]]:
    """Return the table with typed columns, the types by column, and what had to be changed to read them."""
    changed = list(sample.changed)
    if not sample.is_text:
        return sample.table, {str(c): t for c in sample.table if (t := _type_of(sample.table[c]))}, changed
    columns: dict[str, pd.Series] = {}
    types: dict[str, TypeName] = {}
    marks = decimal_marks(sample.table[column] for column in sample.table)
    for column in sample.table:
        name = str(column)
        read = read_text(sample.table[column], marks)
        columns[name], types[name] = read.column, read.kind
        if read.changed:
            changed.append(f"{name}: {read.changed}")
    return pd.DataFrame(columns), types, changed


def _type_of(values: pd.Series) -> TypeName | None:
    if pd.api.types.is_bool_dtype(values.dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "int64"
    if pd.api.types.is_float_dtype(values.dtype):
        return "float64"
    return "string" if values.dropna().map(lambda value: isinstance(value, str)).all() else None
