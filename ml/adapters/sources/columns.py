"""Check what the columns of a table are called, what the day of a row is, and which numbers are exact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import DataRejected

EXACT_IN_FLOAT = 2**53
"""Whole numbers up to here survive the trip through float64, which nulls make of an int column."""

WRITE_AGAIN = "write the day again at its source, then run this again"


def check_names(names: Sequence[str], origin: str) -> None:
    """Raise DataRejected if a column has no name, or the name of another one."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if not all(names):
        number = names.index("") + 1
        raise DataRejected(f"{origin} has a column without a name (number {number}); name it or drop it")
    if twice:
        raise DataRejected(f"{origin} names more than one column {', '.join(twice)}; give each its own name")


def choose_columns(
    names: Sequence[str], wanted: Sequence[str] | None, setting: str, origin: str, *, made: Sequence[str] = ()
) -> list[str]:
    """Return the columns to take, in the order of the setting that names them; all where it names none.

    Parameters
    ----------
    made
        Columns that need not be there: they are added to the table later.

    Raises
    ------
    DataRejected
        If one of them is not there.
    """
    if wanted is None:
        return list(names)
    for name in wanted:
        if name not in names and name not in made:
            raise DataRejected(
                f"{origin} has no column {name!r}, which {setting} names; it has {', '.join(names)}; correct the file, "
                "or the setting"
            )
    return [name for name in wanted if name in names]


def as_iso_text(days: pd.Series[Any], origin: str) -> pd.Series[Any]:
    """Write dates and midnights as ISO text, by the clock of their own time zone.

    A column that holds anything else is returned as it is: the contract judges it.
    """
    values = set(days.dropna().astype(object))
    if not values or not all(isinstance(value, date) for value in values):
        return days
    for value in values:
        if isinstance(value, datetime) and value.time() != time.min:
            raise DataRejected(
                f"{origin} has a time of day in column day ({value.isoformat()}), so which day is meant "
                "is a guess; write the local date there"
            )
    iso = {value: value.strftime("%Y-%m-%d") for value in values}
    return days.astype(object).map(iso).astype("str")


def floats_hold(numbers: pa.ChunkedArray) -> bool:
    """Return whether floats hold whole numbers as they are."""
    limits = pc.min_max(numbers)
    low, high = limits["min"].as_py(), limits["max"].as_py()
    return low is None or (low >= -EXACT_IN_FLOAT and high <= EXACT_IN_FLOAT)


def first_line(err: Exception) -> str:
    """Return the first line of what an error says, or else its kind."""
    lines = str(err).splitlines()
    return lines[0] if lines else type(err).__name__
