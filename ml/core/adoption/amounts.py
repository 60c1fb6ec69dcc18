"""Write how many of something there are."""

from __future__ import annotations


def amount(number: float, noun: str) -> str:
    """Return a number with its noun, in the plural where there is not one.

    Examples
    --------
    >>> amount(1, "day"), amount(2.5, "row"), amount(24_000, "row")
    ('1 day', '2.5 rows', '24,000 rows')
    """
    return f"{number:,g} {noun}" + ("" if number == 1 else "s")
