"""Limits for a number that each day has: wide enough that no later day of the past would have broken them.

Limits are the smallest and the largest value so far, and room on both sides. How much room is tried out on the past
itself: limits from its first part must hold for the rest. A number that breaks even the widest limits gets none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class NumberLimits:
    """What a column of numbers must be by itself: each value, and the mean of a day."""

    low: float = -math.inf
    high: float = math.inf
    step: float | None = None
    mean_low: float = -math.inf
    mean_high: float = math.inf

    def accepts(self, values: np.ndarray) -> np.ndarray:
        """Return which values are legal."""
        inside = (values >= self.low) & (values <= self.high)
        if self.step is not None:
            multiples = values / self.step
            inside &= np.abs(multiples - np.round(multiples)) <= np.maximum(1e-6, 1e-9 * np.abs(multiples))
        return np.asarray(inside, dtype=bool)


EXCHANGED = 0.2
"""The share of rows with which an exchange of two columns should be seen."""


def seen_when_exchanged(values: np.ndarray, others: np.ndarray, days: np.ndarray, limits: NumberLimits) -> bool:
    """Return whether a column's own limits would see that its values were exchanged for those of another column.

    Parameters
    ----------
    values, others, days : arrays of shape (n_rows,)
        Both columns, and the day of each row.
    """
    if float((~limits.accepts(others)).mean()) >= 0.5:
        return True
    means = pd.DataFrame({"own": values, "other": others}).groupby(days).mean()
    mixed = means["own"] + EXCHANGED * (means["other"] - means["own"])
    return bool(((mixed < limits.mean_low) | (mixed > limits.mean_high)).mean() >= 0.9)


ROOMS = (0.5, 1.0, 2.0)
"""Room on either side, in spans of what was seen."""
ORIGINS = (0.4, 0.55, 0.7, 0.85)
"""Shares of the past from which limits are tried out on the rest."""
MIN_DAYS = 10
YEAR, SEASONAL = 330, 0.4
"""A column whose daily means spread by more than so much of all its spread may follow a season."""


def limits_that_held(
    by_day: Sequence[float] | np.ndarray,
    *,
    least_span: float = 0.0,
    least_room: float = ROOMS[0],
    logarithmic: bool = False,
) -> tuple[float, float] | None:
    """Return a lower and an upper limit for days to come.

    Parameters
    ----------
    by_day
        One number a day, in the order of days; days without one (NaN) are left out.
    least_span
        The span is taken to be at least this.
    least_room
        The room is at least this; see `room_for_seasons`.
    logarithmic
        Whether room is a factor: for numbers above 0 such as standard deviations.

    Returns
    -------
    tuple of float or None
        None if there are fewer than `MIN_DAYS` days, or the number moves too far for limits.

    Examples
    --------
    >>> limits_that_held([1.0, 2.0] * 10)
    (0.5, 2.5)
    >>> limits_that_held([2.0**n for n in range(20)]) is None
    True
    """
    values = np.asarray(by_day, dtype=float)
    values = values[np.isfinite(values)]
    if logarithmic:
        values = np.log(values[values > 0])
    if len(values) < MIN_DAYS:
        return None
    room = room_that_held(values, least_span)
    if room is None:
        return None
    low, high = _limits(values, max(room, least_room), least_span)
    return (math.exp(low), math.exp(high)) if logarithmic else (low, high)


def room_for_seasons(values: pd.Series, days: pd.Series) -> float:
    """Return the least room for a column: more if its days differ much, and no year of them has been seen.

    Parameters
    ----------
    values, days : Series of shape (n_rows,)
        A column of numbers, and the day of each row.
    """
    if days.nunique() >= YEAR:
        return ROOMS[0]
    means, spread = values.groupby(days.to_numpy()).mean(), values.std()
    return ROOMS[1] if spread > 0 and means.std() / spread > SEASONAL else ROOMS[0]


def room_for_days(days: pd.Series) -> float:
    """Return the least room for what a day as a whole is like: more while no year has been seen."""
    return ROOMS[0] if days.nunique() >= YEAR else ROOMS[1]


def room_that_held(values: np.ndarray, least_span: float) -> float | None:
    """Return the least of `ROOMS` with which limits from each first part of the past hold for the rest."""
    for room in ROOMS:
        for share in ORIGINS:
            first = max(5, int(len(values) * share))
            low, high = _limits(values[:first], room, least_span)
            if values[first:].min(initial=np.inf) < low or values[first:].max(initial=-np.inf) > high:
                break
        else:
            return room
    return None


def _limits(values: np.ndarray, room: float, least_span: float) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    span = max(high - low, least_span)
    return low - room * span, high + room * span


def outward(low: float, high: float, digits: int = 3) -> tuple[float, float]:
    """Round two limits outward, to so many digits of what lies between them.

    Examples
    --------
    >>> outward(-0.12345, 11.9876)
    (-0.2, 12.0)
    """
    span = high - low
    if not np.isfinite(span) or span <= 0:
        return low, high
    step = 10.0 ** (math.floor(math.log10(span)) - digits + 1)
    places = max(0, -math.floor(math.log10(step)))
    return round(math.floor(low / step + 1e-9) * step, places), round(math.ceil(high / step - 1e-9) * step, places)
