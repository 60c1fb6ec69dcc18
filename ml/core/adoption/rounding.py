"""Round limits so that people can read them."""

from __future__ import annotations

import numpy as np


def percent(share: float) -> str:
    """Return a share in percent, to two digits that count."""
    return f"{100 * share:.2g} %"


def shown_apart(before: float, after: float, *, digits: int = 4, most: int = 9) -> tuple[str, str] | None:
    """Return two numbers as texts of as few digits, from ``digits`` on, as show that they differ; None if none do.

    Examples
    --------
    >>> shown_apart(12.1574, 13.31), shown_apart(12.1574, 12.1579), shown_apart(12.1574, 12.1574)
    (('12.16', '13.31'), ('12.157', '12.158'), None)
    """
    for count in range(digits, most + 1):
        texts = f"{before:.{count}g}", f"{after:.{count}g}"
        if texts[0] != texts[1]:
            return texts
    return None


def digits(value: float, *, up: bool = False) -> float:
    """Round to two digits that count; ``up`` never below the value."""
    if value <= 0:
        return 0.0
    places = 1 - int(np.floor(np.log10(value)))
    rounded = round_up(value, places) if up else round(value, places)
    return float(rounded)


def round_up(value: float, places: int) -> float:
    """Round to decimal places, never below the value."""
    return round(float(np.ceil(round(value * 10**places, 9)) / 10**places), max(places, 0))


def round_down(value: float, places: int) -> float:
    """Round to decimal places, never above the value."""
    return round(float(np.floor(round(value * 10**places, 9)) / 10**places), max(places, 0))
