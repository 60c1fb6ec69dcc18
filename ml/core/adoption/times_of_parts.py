"""Put the instants of rows together whose year, month, day and hour stand in columns of their own."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ml.core.adoption.columns import CLOCK
from ml.core.adoption.times import LEAST_READ, TimeColumn

UNITS = {
    "year": ("year", "yr"), "month": ("month", "mon", "mo"), "day": ("day", "dom", "mday"), "hour": ("hour", "hr"),
    "minute": ("minute", "min"),
}  # fmt: skip

MONTHLY = 3
"""Fewer parts than these say a month and no day."""


def put_together(table: pd.DataFrame, *, leave_out: Sequence[str] = ()) -> tuple[pd.Series, list[str]] | None:
    """Return the instants that columns of numbers called year, month, day, hour and minute make, and their names.

    None unless year and month are there, and nearly all rows have a legal date. Where nothing finer than the month is
    there, rows are of its first day; with a day, hour and minute may be missing.
    """
    lowered = {str(column).strip().lower(): str(column) for column in table if column not in leave_out}
    columns: dict[str, str] = {}
    for unit, called in UNITS.items():
        name = next((lowered[word] for word in called if word in lowered), None)
        if name is None or not pd.api.types.is_numeric_dtype(table[name].dtype):
            break
        columns[unit] = name
    finer = any(word in lowered for unit in ("day", "hour", "minute") for word in (*UNITS[unit], f"{unit}s"))
    if len(columns) < MONTHLY - 1 or (len(columns) < MONTHLY and finer):
        return None
    numbers = pd.DataFrame({unit: pd.to_numeric(table[name]) for unit, name in columns.items()}).astype("float64")
    numbers = numbers if "day" in numbers else numbers.assign(day=1.0)
    whole = (numbers % 1 == 0).all(axis=1) & (numbers["year"] > 999)
    read = pd.to_datetime(numbers.where(whole).dropna().astype("int64"), errors="coerce").reindex(table.index)
    return (read, list(columns.values())) if read.notna().mean() >= LEAST_READ else None


def with_clock(table: pd.DataFrame, dates: TimeColumn) -> tuple[pd.Series, str] | None:
    """Return the instants of dates and the times of day in a column of their own, and the name of that one.

    None unless the dates are without a time of day, and exactly one column of text holds nothing but times of day.
    """
    if dates.has_clock or dates.has_offset:
        return None
    clocks = [column for column in table if column != dates.name and _holds_clocks(table[column])]
    if len(clocks) != 1:
        return None
    shown = table[clocks[0]].str.strip().str.upper()
    unique = pd.Series(shown.dropna().unique(), dtype="str")
    padded = unique.str.replace(r"^(\d):", r"0\1:", regex=True).str.replace(r" ?([AP]M)$", r" \1", regex=True)
    since = pd.to_datetime("2000-01-01 " + padded, format="mixed", errors="coerce") - pd.Timestamp("2000-01-01")
    if since.isna().any():
        return None
    spread = shown.map(dict(zip(unique, since, strict=True)))
    return dates.instants + pd.to_timedelta(spread), str(clocks[0])


def _holds_clocks(values: pd.Series) -> bool:
    if values.isna().mean() > 1 - LEAST_READ or not values.dropna().map(lambda value: isinstance(value, str)).all():
        return False
    unique = pd.Series(values.dropna().unique(), dtype="str").str.strip()
    return len(unique) > 1 and bool(unique.str.fullmatch(CLOCK).all())
