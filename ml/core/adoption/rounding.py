"""Round limits so that people can read them."""

from __future__ import annotations

import numpy as np


def percent(share: float) -> str:
    """Return a share in percent, to two digits that count."""
    return f"{100 * share:.2g} %"


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
