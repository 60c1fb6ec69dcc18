"""Choose the past period that is served as if it were now, so that its history lies before it without a seam."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from ml.settings import Replay

WEEK = 7
FUTURE_DAYS, FUTURE_SHARE = 56, 0.25
"""So many days of the period, or such a share of it, shall still lie ahead."""

OLD_DAYS = 14
"""Data whose newest day is so many days back, beside the label delay, are served as a past period; of data that come
once a month it is twice the time from one day with rows to the next.
"""


@dataclass(frozen=True)
class Period:
    """A period to replay, and how many of its days lie before today's."""

    first_day: date
    last_day: date
    days_before: int
    days_ahead: int


def is_past(last_day: date, today: date, *, label_delay_days: int, days_apart: int = 1) -> bool:
    """Return whether data end too long ago to be served as they are.

    Parameters
    ----------
    days_apart
        How many days lie from one day with rows to the next.
    """
    return (today - last_day).days > max(OLD_DAYS, 2 * days_apart) + label_delay_days


def choose_period(first_day: date, last_day: date, today: date) -> Period | None:
    """Return the period in which most days lie before today's, and enough ahead; None with less than three weeks.

    A period is repeated for ever, so where today falls in it follows from its first day and its length: both may be
    some weeks less than the data have.

    Examples
    --------
    >>> period = choose_period(date(2011, 1, 1), date(2012, 12, 31), date(2026, 11, 28))
    >>> period.days_before >= 450, period.days_ahead >= 56
    (True, True)
    """
    weeks = ((last_day - first_day).days + 1) // WEEK
    ahead = min(FUTURE_DAYS, int(FUTURE_SHARE * weeks * WEEK))
    best: Period | None = None
    for length in range(weeks, max(weeks // 2, 3) - 1, -1):
        for later in range(weeks - length + 1):
            start = first_day + timedelta(days=later * WEEK)
            end = start + timedelta(days=length * WEEK - 1)
            replay = Replay.model_validate({"from": start, "to": end})
            before = (replay.source_day(today) - start).days
            left = length * WEEK - before
            if left >= ahead and (best is None or before > best.days_before):
                best = Period(start, end, before, left)
    return best
