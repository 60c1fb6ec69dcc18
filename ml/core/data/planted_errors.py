"""Errors to plant in a day's rows, to see whether a contract finds them.

The kinds are those of Redyuk, Kaoudi, Markl and Schelter (2021), "Automating data quality validation for dynamic data
ingestion", EDBT: explicit and implicit missing values, anomalous numbers, typos, exchanged fields of numbers and of
text. A null is written as 99999 or ``NONE`` where it is implicit; zeros and other units are added here. Each error hits
a share of the rows, drawn by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ml.core.data.schema import kind_of_values

SHARES = (0.05, 0.2, 0.5)
KINDS = (
    "explicit nulls",
    "implicit nulls",
    "zeros",
    "noise",
    "typos",
    "exchanged numbers",
    "exchanged texts",
    "other unit",
)
MAGNITUDES = (2.0, 5.0)
"""Noise has so many standard deviations of the column, drawn evenly."""
NO_NUMBER, NO_TEXT = 99999, "NONE"
UNITS = ((1.609344, 0.0), (1 / 1.8, -32 / 1.8), (1000.0, 0.0), (0.01, 0.0))
"""Factor and offset: kilometres for miles, Celsius for Fahrenheit, grams for kilograms, a share for per cent."""
NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm1234567890", "wertyuioopsdfghjkllxcvbnmm2345678909", strict=True))
"""The key to the right on a keyboard."""
LEAST_DIFFERENT = 0.5
"""Columns are exchanged only if they differ in so many rows; zeros are written where so many rows have other values."""

Change = Callable[[pd.DataFrame, np.ndarray, np.random.Generator], pd.DataFrame]


@dataclass(frozen=True)
class PlantedError:
    """One kind of error in one or two columns; `plant` puts it into a share of the rows."""

    kind: str
    columns: tuple[str, ...]
    change: Change

    def plant(self, frame: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return a frame with the error, and which rows differ from those of ``frame``, which is not modified."""
        chance = np.random.default_rng(seed)
        rows = np.sort(chance.permutation(len(frame))[: max(1, round(share * len(frame)))])
        changed = self.change(frame, rows, chance)
        before, after = frame[list(self.columns)], changed[list(self.columns)]
        same = (before == after) | (before.isna() & after.isna())
        return changed, np.asarray(~same.to_numpy(dtype=bool).all(axis=1), dtype=bool)


def errors_for(frame: pd.DataFrame, *, key: Sequence[str]) -> Iterator[PlantedError]:
    """Yield every error that can be planted in a table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        A day as an example of its columns. Not modified.
    key
        Identifiers: ``day``, and numbers that belong to it, are left alone.
    """
    kinds = {str(column): kind_of_values(frame[column]) for column in frame.columns}
    numbers = [c for c, kind in kinds.items() if kind == "number" and c not in key and _varies(frame[c])]
    texts = [c for c, kind in kinds.items() if kind == "text" and c != "day" and _varies(frame[c])]
    for column in (*texts, *numbers):
        yield PlantedError("explicit nulls", (column,), _set_to(column, None))
        yield PlantedError("implicit nulls", (column,), _set_to(column, NO_NUMBER if column in numbers else NO_TEXT))
        if column in texts or float((frame[column] != 0).mean()) >= LEAST_DIFFERENT:
            yield PlantedError("zeros", (column,), _set_to(column, 0 if column in numbers else ""))
    for column in numbers:
        yield PlantedError("noise", (column,), _noise(column))
        for factor, offset in UNITS:
            yield PlantedError("other unit", (column,), _unit(column, factor, offset))
    for column in texts:
        yield PlantedError("typos", (column,), _typo(column))
    for kind, columns in (("exchanged numbers", numbers), ("exchanged texts", texts)):
        for first, second in combinations(columns, 2):
            if float((frame[first] != frame[second]).mean()) >= LEAST_DIFFERENT:
                yield PlantedError(kind, (first, second), _exchange(first, second))


def _varies(values: pd.Series) -> bool:
    return len(values.dropna().unique()) > 1


def _set_to(column: str, value: float | str | None) -> Change:
    def change(frame: pd.DataFrame, rows: np.ndarray, _: np.random.Generator) -> pd.DataFrame:
        hit = np.isin(np.arange(len(frame)), rows)
        return frame.assign(**{column: frame[column].mask(hit) if value is None else frame[column].mask(hit, value)})

    return change


def _noise(column: str) -> Change:
    def change(frame: pd.DataFrame, rows: np.ndarray, chance: np.random.Generator) -> pd.DataFrame:
        values = frame[column].to_numpy(dtype=float, na_value=np.nan).copy()
        deviation = chance.uniform(*MAGNITUDES) * np.nanstd(values)
        values[rows] += chance.normal(0.0, deviation, len(rows))
        return _with_numbers(frame, column, values)

    return change


def _unit(column: str, factor: float, offset: float) -> Change:
    def change(frame: pd.DataFrame, rows: np.ndarray, _: np.random.Generator) -> pd.DataFrame:
        values = frame[column].to_numpy(dtype=float, na_value=np.nan).copy()
        values[rows] = values[rows] * factor + offset
        return _with_numbers(frame, column, values)

    return change


def _with_numbers(frame: pd.DataFrame, column: str, values: np.ndarray) -> pd.DataFrame:
    """Put numbers into a column, whole ones where its type is: a type that changes would give the error away."""
    if pd.api.types.is_integer_dtype(frame[column].dtype):
        values = np.round(values)
    return frame.assign(**{column: pd.Series(values, index=frame.index).astype(frame[column].dtype)})


def _typo(column: str) -> Change:
    def change(frame: pd.DataFrame, rows: np.ndarray, chance: np.random.Generator) -> pd.DataFrame:
        values = frame[column].astype(object).to_numpy().copy()
        for row in rows:
            if isinstance(values[row], str) and values[row]:
                values[row] = _mistyped(values[row], int(chance.integers(len(values[row]))))
        return frame.assign(**{column: pd.Series(values, index=frame.index).astype(frame[column].dtype)})

    return change


def _mistyped(text: str, position: int) -> str:
    """Replace one character by its neighbour on the keyboard.

    Examples
    --------
    >>> _mistyped("JFK", 1)
    'JGK'
    """
    character = text[position]
    neighbour = NEIGHBOURS.get(character.lower(), "x")
    return text[:position] + (neighbour.upper() if character.isupper() else neighbour) + text[position + 1 :]


def _exchange(first: str, second: str) -> Change:
    def change(frame: pd.DataFrame, rows: np.ndarray, _: np.random.Generator) -> pd.DataFrame:
        hit = np.isin(np.arange(len(frame)), rows)
        one, other = frame[first], frame[second]
        swapped = {first: one.where(~hit, other), second: other.where(~hit, one)}
        for column, values in swapped.items():
            if pd.api.types.is_integer_dtype(frame[column].dtype) and not pd.api.types.is_integer_dtype(values.dtype):
                whole = values.notna().all() and bool((values % 1 == 0).all())
                swapped[column] = values.astype(frame[column].dtype) if whole else values
        return frame.assign(**swapped)

    return change
