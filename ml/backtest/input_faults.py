"""Faults of inputs: how each is read, and what of a day it changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.backtest.fault import Fault, Reader
from ml.errors import SettingsError

UNITS = {"km": (1.609344, 0.0), "C": (1 / 1.8, -32 / 1.8), "m/s": (0.44704, 0.0), "hours": (1 / 60, 0.0)}
"""Factor and offset from miles, degrees Fahrenheit, miles an hour and minutes."""
DAY_MINUTES = 24 * 60
CATALOGUE = {
    "COLUMN in UNIT": f"a number in another unit ({', '.join(UNITS)}: from miles, Fahrenheit, mph, minutes)",
    "COLUMN times FACTOR": "a number multiplied, such as a feed that went from kilo to unit",
    "COLUMN noisy by FACTOR": "a number with noise, of so many standard deviations of its day",
    "COLUMN shifted by MINUTES": "a minute of the day in another time zone",
    "COLUMN swapped with COLUMN": "two columns that stand in each other's place",
    "COLUMNS exchanged between COLUMN VALUE and VALUE": "what belongs to one place comes for another, such as weather",
    "COLUMNS stuck [by COLUMN]": "a feed that repeats its last value (of each group) for ever",
    "COLUMNS null [by SHARE]": "a feed that is gone, or has holes",
    "COLUMN VALUE recoded NEW": "a category under another code; * recodes all",
    "COLUMN VALUE missing": "the rows of a category are gone",
    "rows kept by SHARE": "a feed that is cut: so many of each day's rows come",
    "day duplicated": "every row comes twice",
    "day repeated": "the day before the fault comes again, under each day's name",
}
"""What can be said, before ``from DAY [to DAY]``; COLUMNS are separated by commas."""


def _unit(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    if match[2] not in UNITS:
        raise ValueError(f"unit {match[2]!r} is not one of {', '.join(UNITS)}")
    return _linear(text, "COLUMN in UNIT", match[1], *UNITS[match[2]], first, last)


def _times(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    return _linear(text, "COLUMN times FACTOR", match[1], float(match[2]), 0.0, first, last)


def _linear(text: str, kind: str, column: str, factor: float, offset: float, first: date, last: date | None) -> Fault:
    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{column: rows[column].astype(float) * factor + offset})

    return Fault(text, kind, (column,), first, last, change)


def _shifted(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, minutes = match[1], int(match[2])

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{column: (rows[column] + minutes) % DAY_MINUTES})

    return Fault(text, "COLUMN shifted by MINUTES", (column,), first, last, change)


def _stuck(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    columns, by = tuple(match[1].split(",")), match[2]

    def change(rows: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
        if earlier.empty:
            raise SettingsError(f"fault {text!r} repeats the last value before {first}, and no earlier day is there")
        earlier_rows = earlier.sort_values("day", kind="stable")
        if by is None:
            return rows.assign(**{column: earlier_rows[column].dropna().iloc[-1] for column in columns})
        if by not in rows:
            raise SettingsError(f"fault {text!r} names columns that inputs do not have: {by}")
        newest = earlier_rows.groupby(by)[list(columns)].last()
        return rows.assign(**{column: rows[by].map(newest[column]) for column in columns})

    return Fault(text, "COLUMNS stuck [by COLUMN]", columns, first, last, change)


def _null(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    columns, share = tuple(match[1].split(",")), float(match[2] or 1)

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        hit = _drawn(rows, share)
        return rows.assign(**{column: rows[column].mask(hit) for column in columns})

    return Fault(text, "COLUMNS null [by SHARE]", columns, first, last, change)


def _swapped(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    one, other = match[1], match[2]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{one: rows[other], other: rows[one]})

    return Fault(text, "COLUMN swapped with COLUMN", (one, other), first, last, change)


def _noisy(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, size = match[1], float(match[2])

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        values = rows[column].astype(float)
        spread = values.groupby(rows["day"]).transform("std").fillna(0.0)
        noise = np.concatenate([_chance(day).normal(0, size, count) for day, count in _counts(rows)])
        return rows.assign(**{column: values + noise * spread})

    return Fault(text, "COLUMN noisy by FACTOR", (column,), first, last, change)


def _exchanged(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    columns, by, one, other = tuple(match[1].split(",")), match[2], match[3], match[4]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        parts = [_of_each_other(day, columns, by, one, other) for _, day in rows.groupby("day", sort=False)]
        return pd.concat(parts)

    return Fault(text, "COLUMNS exchanged between COLUMN VALUE and VALUE", (*columns, by), first, last, change)


def _of_each_other(rows: pd.DataFrame, columns: Sequence[str], by: str, one: str, other: str) -> pd.DataFrame:
    """Give the rows of a day with one value what stands at the same place among those with the other."""
    places = [np.flatnonzero((rows[by].astype(str) == value).to_numpy()) for value in (one, other)]
    if not all(len(place) for place in places):
        return rows
    source = np.arange(len(rows))
    for own, others in (places, places[::-1]):
        source[own] = others[np.arange(len(own)) * len(others) // len(own)]
    return rows.assign(**{column: rows[column].array[source] for column in columns})


def _kept(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    share = float(match[1])
    return Fault(text, "rows kept by SHARE", (), first, last, lambda rows, _: rows.loc[_drawn(rows, share)])


def _repeated(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    def change(rows: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
        if earlier.empty:
            raise SettingsError(f"fault {text!r} repeats the day before {first}, and no earlier day is there")
        newest: pd.DataFrame = earlier.loc[earlier["day"] == earlier["day"].max()]
        return pd.concat([newest.assign(day=day) for day in rows["day"].unique()], ignore_index=True)

    return Fault(text, match[0], (), first, last, change)


def _counts(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Name the days of rows that are in day order, with how many rows each has."""
    counted = rows.groupby("day", sort=False).size()
    return [(str(day), int(count)) for day, count in counted.items()]


def _chance(day: str) -> np.random.Generator:
    """Return the same random numbers for a day each time."""
    return np.random.default_rng(date.fromisoformat(day).toordinal())


def _drawn(rows: pd.DataFrame, share: float) -> np.ndarray:
    """Draw a share of the rows of each day; the same ones each time."""
    return np.concatenate([_chance(day).random(count) < share for day, count in _counts(rows)])


def _recoded(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, value, new = match[1], match[2], match[3]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        unchanged = rows[column].isna() | ((rows[column].astype(str) != value) & (value != "*"))
        return rows.assign(**{column: rows[column].where(unchanged, new)})

    return Fault(text, "COLUMN VALUE recoded NEW", (column,), first, last, change)


def _missing(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, value = match[1], match[2]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.loc[rows[column].astype(str) != value]

    return Fault(text, "COLUMN VALUE missing", (column,), first, last, change)


def _duplicated(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    return Fault(text, match[0], (), first, last, lambda rows, _: pd.concat([rows, rows], ignore_index=True))


_NUMBER = r"(\d+(?:\.\d+)?)"
_COLUMNS = r"(\w+(?:,\w+)*)"
READERS: tuple[tuple[str, Reader], ...] = (
    (r"day duplicated", _duplicated),
    (r"day repeated", _repeated),
    (rf"rows kept by {_NUMBER}", _kept),
    (r"(\w+) in (\S+)", _unit),
    (rf"(\w+) times {_NUMBER}", _times),
    (rf"(\w+) noisy by {_NUMBER}", _noisy),
    (r"(\w+) shifted by (-?\d+)(?: minutes)?", _shifted),
    (r"(\w+) swapped with (\w+)", _swapped),
    (rf"{_COLUMNS} exchanged between (\w+) (\S+) and (\S+)", _exchanged),
    (rf"{_COLUMNS} stuck(?: by (\w+))?", _stuck),
    (rf"{_COLUMNS} null(?: by {_NUMBER})?", _null),
    (r"(\w+) (\S+) recoded (\S+)", _recoded),
    (r"(\w+) (\S+) missing", _missing),
)
