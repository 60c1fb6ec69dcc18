"""Read columns of text as what they hold: numbers, truths, or text that has to stay text (``01067``).

The mark before decimals is one of a whole table: ``1,204`` may be 1204 or 1.204, and another column tells which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ml.core.adoption.units import without_signs
from ml.settings import TypeName

DecimalMark = Literal[".", ","]
BOOLEAN = r"true|false|True|False|TRUE|FALSE"
WHOLE = r"-?(0|[1-9][0-9]{0,17})"
NUMBER = r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
NUMBER_OR_INFINITE = rf"{NUMBER}|-?(?i:inf(inity)?)"
"""As the source reads them; such rows are quarantined."""
DECIMAL_COMMA = r"-?(0|[1-9][0-9]{0,2}(\.[0-9]{3})+|[1-9][0-9]*)(,[0-9]+)?"
THOUSANDS = r"-?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?"
DECIMAL_POINT = rf"{THOUSANDS}|{NUMBER}"
GROUPS = "['\u2019\u00a0\u202f]"
"""What stands between thousands and never before decimals: apostrophes, and spaces that do not break a line."""
GROUPED = rf"-?[1-9][0-9]{{0,2}}({GROUPS}[0-9]{{3}})+([.,][0-9]+)?"
NULL_WORDS = {"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-", "?", "."}
MOST_WORDS, MOST_WORD_ROWS, LEAST_VALUES = 3, 0.1, 32
"""Beside so many numbers, so few words in so few rows stand for a null, whatever they are."""
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


def read_text(column: pd.Series, marks: frozenset[DecimalMark] = frozenset()) -> ReadColumn:
    """Return a column of text, nulls among it, as values of the narrowest type that loses nothing.

    Parameters
    ----------
    marks
        What stands before decimals in the other columns of the table (`decimal_marks`). Where a column does not tell
        by itself, and these do not either, it stays text.

    Examples
    --------
    >>> read_text(pd.Series(["01067", "10115"])).kind, read_text(pd.Series(["1", "2.5", None])).kind
    ('string', 'float64')
    >>> read_text(pd.Series(["1.204,5", "3,1"])).column.tolist()
    [1204.5, 3.1]
    >>> read_text(pd.Series(["1,204", "356"]), frozenset(".")).column.tolist()
    [1204.0, 356.0]
    """
    plain = _as_type(column)
    if plain.kind == "float64" and "," in marks and not _is_certain(_values(column)):
        return _written_otherwise(column, marks)
    if plain.kind != "string" or not column.notna().any():
        return plain
    stripped = column.str.strip()
    stripped = stripped.where(stripped != "", None)
    nulls = stripped.isin({*NULL_WORDS, *_words_between(stripped)})
    emptied = stripped.mask(nulls, None)
    numbers = _as_type(emptied)
    if numbers.kind == "string" or ("," in marks and not _is_certain(_values(emptied))):
        numbers = _written_otherwise(emptied, marks)
    if numbers.kind != "string" and emptied.notna().sum() >= LEAST_NUMBERS * stripped.notna().sum():
        named = sorted(set(stripped[nulls]))
        words = f"{', '.join(named)} {'is read as a null' if len(named) == 1 else 'are read as nulls'}" if named else ""
        changes = ", ".join(filter(None, (numbers.changed, words))) or "spaces are cut off"
        return ReadColumn(numbers.column, numbers.kind, changes)
    if stripped.nunique() < column.nunique() or not stripped.isna().equals(column.isna()):
        return ReadColumn(stripped, "string", "spaces are cut off")
    return plain  # spaces around values that differ by more than these make no copy


def _words_between(column: pd.Series) -> list[str]:
    """Return the few words that stand in few rows of a column of numbers, such as ``unknown``: they are no values."""
    values = _values(column)
    words = values[~values.str.contains(r"\d") & ~values.isin(NULL_WORDS)]
    if not 0 < len(words) <= MOST_WORDS or len(values) - len(words) < LEAST_VALUES:
        return []
    return words.tolist() if column.isin(words).sum() <= MOST_WORD_ROWS * column.notna().sum() else []


def decimal_marks(columns: Iterable[pd.Series]) -> frozenset[DecimalMark]:
    """Return which marks stand before decimals in those columns of text that leave no doubt.

    Examples
    --------
    >>> sorted(decimal_marks([pd.Series(["1,204", "356"]), pd.Series(["0.5", "1.25"])]))
    ['.']
    """
    certain: set[DecimalMark] = set()
    for column in columns:
        values = _values(_values(column).str.strip())
        values, _ = _bare(values[~values.isin(NULL_WORDS)])
        readings = _readings(values)
        if len(readings) == 1 and _has_marks(values):
            certain |= readings
    return frozenset(certain)


def is_undecided(column: pd.Series) -> bool:
    """Return whether texts are numbers of which nobody can say if their marks stand before decimals or thousands."""
    return not _is_certain(_bare(_values(column))[0])


def _as_type(column: pd.Series) -> ReadColumn:
    values = _values(column)
    if values.empty:
        return ReadColumn(column.astype("float64"), "float64")
    if values.str.fullmatch(BOOLEAN).all():
        truths = column.str.lower().map({"true": True, "false": False})
        return ReadColumn(truths if column.isna().any() else truths.astype(bool), "bool")
    if values.str.fullmatch(WHOLE).all():
        if column.isna().any():
            return ReadColumn(column.astype("float64"), "float64")
        return ReadColumn(column.astype("int64"), "int64")
    if values.str.fullmatch(NUMBER_OR_INFINITE).all() and values.str.fullmatch(NUMBER).any():
        return ReadColumn(column.astype("float64"), "float64")
    return ReadColumn(column, "string")


def _values(column: pd.Series) -> pd.Series:
    return pd.Series(column.dropna().unique(), dtype="str")


def _readings(values: pd.Series) -> set[DecimalMark]:
    """Return by which marks before decimals all values are numbers."""
    patterns: dict[DecimalMark, str] = {".": DECIMAL_POINT, ",": DECIMAL_COMMA}
    return {mark for mark, pattern in patterns.items() if values.str.fullmatch(pattern).all()}


def _has_marks(values: pd.Series) -> bool:
    return bool(values.str.contains("[.,]").any())


def _is_certain(values: pd.Series) -> bool:
    return len(_readings(values)) < 2 or not _has_marks(values)


def _written_otherwise(column: pd.Series, marks: frozenset[DecimalMark]) -> ReadColumn:
    """Read numbers with a decimal comma, with marks between thousands, or with the same unit at each of them."""
    written = _values(column)
    values, unit = _bare(written)
    readings = _readings(values) if len(values) else set()
    has_marks = _has_marks(values)
    if has_marks and len(readings) > 1:
        readings &= marks
    if not readings or (has_marks and len(readings) > 1):
        return ReadColumn(column, "string")
    mark: DecimalMark = "." if "." in readings else ","
    between = "," if mark == "." else "."
    words = [f"{unit} is cut off"] if unit else []
    if mark == "," and values.str.contains(",").any():
        words.append("decimal commas become points")
    elif values.str.contains(between, regex=False).any():
        words.append(f"{'commas' if mark == '.' else 'points'} between thousands are cut")
    plain = values.str.replace(between, "", regex=False).str.replace(",", ".", regex=False).astype("float64")
    numbers = dict(zip(written, plain, strict=True))
    return ReadColumn(column.map(numbers).astype("float64"), "float64", ", ".join(words))


def _bare(values: pd.Series) -> tuple[pd.Series, str]:
    """Return texts without a sign or unit that all of them have, and without apostrophes in thousands.

    The second value names what was cut off.
    """
    values, unit = without_signs(values)
    names = [unit] if unit else []
    if (grouped := values.str.fullmatch(GROUPED)).any():
        values = values.mask(grouped, values.str.replace(GROUPS, "", regex=True))
        names.append("what stands between thousands")
    return values, " and ".join(names)
