"""A table as it was read, and its columns with their types."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import pandas as pd

from ml import names
from ml.core.adoption.answers import Answers
from ml.core.adoption.texts import decimal_marks, read_text
from ml.errors import SettingsError
from ml.settings import TypeName

NESTED = (list, dict, set, np.ndarray)


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


def without_nested(table: pd.DataFrame, answers: Answers) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a table without columns of lists or objects, and why each of these is left out."""
    nested = [
        column
        for column in table
        if table[column].dtype == object and table[column].map(lambda value: isinstance(value, NESTED)).any()
    ]
    needed = [column for column in (answers.target, answers.time, *answers.key) if column in nested]
    if needed:
        raise SettingsError(f"{needed[0]}: it holds lists or objects; make columns of plain values of it")
    reason = "holds lists or objects: make columns of plain values of it, if a model should learn from it"
    return table.drop(columns=nested), {str(column): reason for column in nested}


def names_apart(columns: Sequence[str], named: Sequence[str], left_out: Sequence[str] = ()) -> dict[str, str]:
    """Return what columns are called instead that begin like Evergreen's own, or differ from another in capitals only.

    Parameters
    ----------
    named
        The columns that keep their name where it is like another's: ``day``, which is added, and the target.
    left_out
        Columns that are not landed: they are like no other.
    """
    renamed: dict[str, str] = {}
    used = {name.casefold(): name for name in named}
    landed = [column for column in columns if column not in left_out]
    for column in sorted(landed, key=lambda name: name not in named):
        is_ours = bool(names.taken([column], ()))
        if is_ours or used.setdefault(column.casefold(), column) != column:
            plain = column.lstrip("_") or "column" if is_ours else column
            renamed[column] = free_name(plain, [*columns, *named, *renamed.values()])
    return renamed


def why_renamed(column: str) -> str:
    """Say why a column of `names_apart` has another name."""
    if names.taken([column], ()):
        return "such names are Evergreen's own"
    return "another column is called so in other capitals, and contracts take one for the other"


def free_name(name: str, taken: Iterable[Hashable]) -> str:
    """Return a name that no column has, in whatever capitals: with a number behind it if one does."""
    used = {str(column).casefold() for column in taken}
    tried = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(free for free in tried if free.casefold() not in used)
