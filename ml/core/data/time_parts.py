"""Parts of an instant that a model can learn from: the time of day, the weekday, the month."""

from __future__ import annotations

import pandas as pd

from ml.settings import TimePart


def part_name(time: str, part: TimePart) -> str:
    """Return what the column of a part is called, such as ``timestamp_hour``."""
    return f"{time}_{part}"


def part_of(local: pd.Series, part: TimePart) -> pd.Series:
    """Return a part of instants as whole numbers: weekdays from 1 (Monday) to 7, months from 1 to 12.

    Parameters
    ----------
    local : Series of shape (n_rows,)
        Instants by the clocks of the model's time zone, without it; a null has a null part.
    """
    clock = local.dt
    values: pd.Series = {
        "hour": clock.hour,
        "minute_of_day": clock.hour * 60 + clock.minute,
        "weekday": clock.dayofweek + 1,
        "month": clock.month,
    }[part]
    whole: pd.Series = values.astype("Int64" if values.isna().any() else "int64")
    return whole
