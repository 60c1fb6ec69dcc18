"""Say how often data come: every day, every so many days, or with empty days between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

REGULAR = 0.9
"""So many of the steps from one day to the next are alike where data come every so many days."""
MOST_UNLIKE = 1.5
"""Steps differ by no more where data come once a month."""
USUAL_RUNS, MOST_EVERY, MOST_EMPTY = 3, 92, 366


@dataclass(frozen=True)
class DayGaps:
    """What the days of a table say of the days without rows.

    Attributes
    ----------
    every_days
        The usual step from one day with rows to the next, where nearly all steps are alike; the longest, where they
        are as unlike as those of months; else 1.
    empty_days
        How many expected days in a row are without rows more than once; 0 where that hardly happens.
    reason
        What was seen; empty if there is a row on each expected day.
    """

    every_days: int = 1
    empty_days: int = 0
    reason: str = ""


def measure_gaps(days: Iterable[str]) -> DayGaps:
    """Return how often data come.

    Weekdays that never have rows are not counted: ``land.calendar: learned`` leaves them out.

    Parameters
    ----------
    days
        ISO texts, each as often as there are rows, in any order.

    Examples
    --------
    >>> measure_gaps(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22"]).every_days
    7
    >>> measure_gaps(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]).every_days
    31
    """
    numbers = np.array(sorted(date.fromisoformat(day).toordinal() for day in set(days)))
    steps = np.diff(numbers)
    if not (steps > 1).any():
        return DayGaps()
    usual = int(np.median(steps))
    if 1 < usual <= MOST_EVERY and (steps == usual).mean() >= REGULAR:
        return DayGaps(every_days=usual, reason=f"rows come every {usual} days")
    open_days = {int(number) % 7 for number in numbers}
    runs = [
        sum(day % 7 in open_days for day in range(first + 1, first + step))
        for first, step in zip(numbers.tolist(), steps.tolist(), strict=False)
    ]
    runs = sorted(run for run in runs if run)
    if not runs:
        return DayGaps()
    if steps.min() > 1 and steps.max() <= min(MOST_UNLIKE * steps.min(), MOST_EVERY):
        return DayGaps(every_days=int(steps.max()), reason=f"rows come every {steps.min()} to {steps.max()} days")
    longest = int(np.argmax(steps))
    shown = f"{date.fromordinal(int(numbers[longest]) + 1)} to {date.fromordinal(int(numbers[longest + 1]) - 1)}"
    reason = f"{sum(runs)} expected days have no rows, the most in a row from {shown}"
    return DayGaps(empty_days=min(runs[-2], MOST_EMPTY) if len(runs) >= USUAL_RUNS else 0, reason=reason)
