"""Measure how the days of a sample look, and which parts of an instant can tell something of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.settings import TimePart

WEEK, WEEKDAYS = 7, 28
YEAR_DAYS = 365
"""With fewer days a model cannot know a month from what else was new in it."""


@dataclass(frozen=True)
class Grain:
    """How a day's rows look: how many days there are, how many rows a day has, and at how many times of day."""

    first_day: str
    last_day: str
    days: int
    calendar_days: int
    rows_per_day: float
    times_of_day: int
    step_minutes: int

    @property
    def share_of_days(self) -> float:
        """Return on which share of the calendar days there are rows."""
        return self.days / self.calendar_days

    @property
    def days_apart(self) -> int:
        """Return how many days lie from one day with rows to the next, on average; 1 where there are rows each day."""
        return max(1, round(self.calendar_days / self.days))


def measure_grain(days: pd.Series, local: pd.Series) -> Grain:
    """Measure the days of a sample: ``days`` are ISO texts, ``local`` the instants by the model's clocks."""
    counts = days.value_counts()
    first, last = min(counts.index), max(counts.index)
    minutes = (local.dt.hour * 60 + local.dt.minute).dropna()
    distinct = np.unique(minutes)
    step = int(np.gcd.reduce(np.diff(distinct))) if len(distinct) > 1 else 0
    return Grain(
        first_day=str(first),
        last_day=str(last),
        days=len(counts),
        calendar_days=(pd.Timestamp(last) - pd.Timestamp(first)).days + 1,
        rows_per_day=float(counts.median()),
        times_of_day=len(distinct),
        step_minutes=step,
    )


def parts_worth(grain: Grain) -> tuple[TimePart, ...]:
    """Return which parts of an instant can tell something: the time of day, the weekday, of a whole year the month."""
    parts: list[TimePart] = []
    if grain.times_of_day > 1:
        parts.append("hour" if grain.step_minutes % 60 == 0 else "minute_of_day")
    if grain.days >= WEEKDAYS and grain.days_apart <= WEEK:
        parts.append("weekday")
    if grain.calendar_days >= YEAR_DAYS:
        parts.append("month")
    return tuple(parts)
