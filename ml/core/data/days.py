"""Calendar days, in order."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import date, timedelta


def days_between(first: date, last: date) -> list[date]:
    """List the days from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def left_out(days: Iterable[date], excluded: Container[date]) -> str:
    """Return what to add to a reason where days were measured without those that a person excluded; often empty.

    Examples
    --------
    >>> left_out([date(2026, 11, 3), date(2026, 11, 4)], {date(2026, 11, 4)})
    '; without 2026-11-04, excluded by a person'
    """
    without = [str(day) for day in days if day in excluded]
    return f"; without {', '.join(without)}, excluded by a person" if without else ""


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return days as spans of calendar days, both ends inclusive, in order."""
    joined: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if joined and day - joined[-1][1] == timedelta(days=1):
            joined[-1] = joined[-1][0], day
        else:
            joined.append((day, day))
    return joined


def spans_in_words(days: Iterable[date]) -> str:
    """Name days by their spans.

    Examples
    --------
    >>> spans_in_words([date(2026, 11, 3), date(2026, 11, 4), date(2026, 11, 7)])
    '2026-11-03 to 2026-11-04, 2026-11-07'
    """
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans(days))
