"""Read columns of text as what they hold: numbers, truths, or text that has to stay text (``01067``)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml.settings import TypeName

BOOLEAN = r"true|false|True|False|TRUE|FALSE"
WHOLE = r"-?(0|[1-9][0-9]{0,17})"
NUMBER = r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
DECIMAL_COMMA = r"-?(0|[1-9][0-9]{0,2}(\.[0-9]{3})+|[1-9][0-9]*)(,[0-9]+)?"
THOUSANDS = r"-?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?"
NULL_WORDS = {"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-", "?", "."}
LEAST_NUMBERS = 0.5
"""If fewer values are numbers beside words for a null, the words are values."""


@dataclass(frozen=True)
class ReadColumn:
    """A column with the type of its values.

    ``changed`` says what had to be changed for it that the source ``table`` does not change by itself; empty for
    nothing.
    """

    column: pd.Series
    kind: TypeName
    changed: str = ""


def read_text(column: pd.Series) -> ReadColumn:
    """Return a column of text, nulls among it, as values of the narrowest type that loses nothing.

    Examples
    --------
    >>> read_text(pd.Series(["01067", "10115"])).kind, read_text(pd.Series(["1", "2.5", None])).kind
    ('string', 'float64')
    >>> read_text(pd.Series(["1.204,5", "3,1"])).column.tolist()
    [1204.5, 3.1]
    """
    plain = _as_type(column)
    if plain.kind != "string" or not column.notna().any():
        return plain
    stripped = column.str.strip()
    stripped = stripped.where(stripped != "", None)
    nulls = stripped.isin(NULL_WORDS)
    emptied = stripped.mask(nulls, None)
    numbers = _as_type(emptied)
    if numbers.kind == "string":
        numbers = _written_otherwise(emptied)
    if numbers.kind != "string" and emptied.notna().mean() >= LEAST_NUMBERS:
        words = f"{', '.join(sorted(set(stripped[nulls])))} is read as a null" if nulls.any() else ""
        return ReadColumn(numbers.column, numbers.kind, numbers.changed or words or "spaces are cut off")
    if not stripped.equals(column):
        return ReadColumn(stripped, "string", "spaces are cut off")
    return plain


def _as_type(column: pd.Series) -> ReadColumn:
    values = pd.Series(column.dropna().unique(), dtype="str")
    if values.empty:
        return ReadColumn(column.astype("float64"), "float64")
    if values.str.fullmatch(BOOLEAN).all():
        truths = column.str.lower().map({"true": True, "false": False})
        return ReadColumn(truths if column.isna().any() else truths.astype(bool), "bool")
    if values.str.fullmatch(WHOLE).all():
        if column.isna().any():
            return ReadColumn(column.astype("float64"), "float64")
        return ReadColumn(column.astype("int64"), "int64")
    if values.str.fullmatch(NUMBER).all():
        return ReadColumn(column.astype("float64"), "float64")
    return ReadColumn(column, "string")


def _written_otherwise(column: pd.Series) -> ReadColumn:
    """Read numbers with a decimal comma, or with commas between thousands."""
    values = pd.Series(column.dropna().unique(), dtype="str")
    if values.empty:
        return ReadColumn(column, "string")
    if values.str.fullmatch(DECIMAL_COMMA).all() and values.str.contains(",").any():
        plain = column.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return ReadColumn(plain.astype("float64"), "float64", "decimal commas become points")
    if values.str.fullmatch(f"{THOUSANDS}|{NUMBER}").all():
        return ReadColumn(
            column.str.replace(",", "", regex=False).astype("float64"), "float64", "commas between thousands are cut"
        )
    return ReadColumn(column, "string")
