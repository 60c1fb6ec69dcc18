"""Put the instants of rows together whose year, month, day and hour stand in columns of their own."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ml.core.adoption.times import LEAST_READ

UNITS = {
    "year": ("year", "yr"), "month": ("month", "mon", "mo"), "day": ("day", "dom", "mday"), "hour": ("hour", "hr"),
    "minute": ("minute", "min"),
}  # fmt: skip


def put_together(table: pd.DataFrame, *, leave_out: Sequence[str] = ()) -> tuple[pd.Series, list[str]] | None:
    """Return the instants that columns of numbers called year, month, day, hour and minute make, and their names.

    None unless year, month and day are there, and nearly all rows have a legal date; hour and minute may be missing.
    """
    lowered = {str(column).strip().lower(): str(column) for column in table if column not in leave_out}
    columns: dict[str, str] = {}
    for unit, called in UNITS.items():
        name = next((lowered[word] for word in called if word in lowered), None)
        if name is None or not pd.api.types.is_numeric_dtype(table[name].dtype):
            break
        columns[unit] = name
    if len(columns) < 3:
        return None
    numbers = pd.DataFrame({unit: pd.to_numeric(table[name]) for unit, name in columns.items()}).astype("float64")
    whole = (numbers % 1 == 0).all(axis=1) & (numbers["year"] > 999)
    read = pd.to_datetime(numbers.where(whole).dropna().astype("int64"), errors="coerce").reindex(table.index)
    return (read, list(columns.values())) if read.notna().mean() >= LEAST_READ else None
