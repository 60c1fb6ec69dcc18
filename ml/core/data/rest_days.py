"""Days on which no data are expected: week-ends, holidays, and weekdays that a business never works on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from ml.settings import WEEKDAYS, Land

LEARNED_WEEKS = 3
"""A weekday that was absent in so many weeks with data, and present in none, is one without data."""

WEEK = 7
COMPARED_WEEKS = 8
"""So many weeks before a day, and after it if they are there, are compared."""


def rest_reason(day: date, have: Collection[date], land: Land) -> str:
    """Return why no data are expected on a day; empty if they are.

    A day of which the registry has data is never asked about: data that come are taken, whatever the calendar says.

    Parameters
    ----------
    have
        Days of which the data registry has inputs; only ``land.calendar: learned`` looks at them.

    Examples
    --------
    >>> from datetime import date
    >>> rest_reason(date(2025, 2, 8), [], Land(calendar="weekdays"))
    'no data are expected on Saturday 2025-02-08: land.calendar names Monday to Friday'
    """
    return _closed_reason(day, have, land) or _empty_reason(day, have, land)


def _empty_reason(day: date, have: Collection[date], land: Land) -> str:
    """Return that a day may be without data, since not too many before it were; empty if it may not be.

    Of data that come once a week or more seldom each day since the last ones counts: weekdays without data lie between
    any two. Else those count on which data were expected.
    """
    allowed = land.empty_in_a_row
    if not allowed:
        return ""
    counts_each = land.every_days >= WEEK and land.every_days > land.empty_days
    empty, before = 1, day - timedelta(days=1)
    oldest = min(have, default=day)
    while before not in have:
        if before < oldest or empty > allowed:
            return ""  # nothing came before it, or a feed stands still
        empty += counts_each or not _closed_reason(before, have, land)
        before -= timedelta(days=1)
    if empty > allowed:
        return ""
    setting = "land.every_days" if land.every_days - 1 >= land.empty_days else "land.empty_days"
    value = getattr(land, setting.removeprefix("land."))
    return (
        f"no data came on {weekday_of(day)} {day}, day {empty} in a row of the {allowed} that may be without any "
        f"({setting} is {value})"
    )


def _closed_reason(day: date, have: Collection[date], land: Land) -> str:
    name = weekday_of(day)
    if day in land.closed:
        return f"no data are expected on {name} {day}: land.closed names it"
    if land.calendar == "learned":
        weeks = weeks_without(day, have)
        if weeks < LEARNED_WEEKS:
            return ""
        return (
            f"no data are expected on {name} {day}: no {name} of the {weeks} weeks around it had any "
            "(land.calendar: learned)"
        )
    open_days = open_weekdays(land)
    if day.weekday() in open_days:
        return ""
    named = "Monday to Friday" if open_days == range(5) else ", ".join(WEEKDAYS[n].capitalize() for n in open_days)
    return f"no data are expected on {name} {day}: land.calendar names {named}"


def open_weekdays(land: Land) -> Collection[int]:
    """Return the declared weekdays on which data come, 0 for Monday."""
    if isinstance(land.calendar, tuple):
        return sorted(WEEKDAYS.index(name) for name in land.calendar)
    return range(5) if land.calendar == "weekdays" else range(7)


def weeks_without(day: date, have: Collection[date]) -> int:
    """Count the weeks with data in which the weekday of ``day`` has none; 0 if it has any in a single one.

    A week counts only if one of the three days before or after that weekday has data: a feed that stood still
    teaches nothing. Days before the first and after the last with data teach nothing either.
    """
    if not have:
        return 0
    same = [day + timedelta(weeks=n) for n in range(-COMPARED_WEEKS, COMPARED_WEEKS + 1) if n]
    if any(other_day in have for other_day in same):
        return 0
    first, last = min(have), max(have)
    near = [timedelta(days=n) for n in range(-3, 4)]
    return sum(first <= other_day <= last and any(other_day + step in have for step in near) for other_day in same)


def weekday_of(day: date) -> str:
    """Return the English name of a day's weekday."""
    return WEEKDAYS[day.weekday()].capitalize()
