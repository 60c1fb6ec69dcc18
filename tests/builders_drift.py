"""What the page is answered of a column's drift, counted by the project's own functions in values that are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.core.monitoring.day_summary import plain
from ml.core.monitoring.distributions import distribution

NUMERIC, NOT_KEPT = "distance", "2013-06-01"
"""A column of numbers, and a day of which no distribution was kept."""
CAME = {"carrier": "NK"}
"""The category that comes to a column; to any other than these one that reads like markup."""

MARKUP = "<b>XX</b>"


def sides_of(column: str) -> tuple[pd.Series, pd.Series]:
    """Make up the values of a column; numbers move up, of the categories one comes and one goes."""
    chance = np.random.default_rng(3)
    if column == NUMERIC:
        return pd.Series(chance.gamma(3, 300, 4000)), pd.Series(chance.gamma(4, 300, 900)).where(
            lambda side: side > 200
        )
    before = chance.choice(["AA", "B6", "DL", "UA", "WN"], 4000, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    now = chance.choice(["AA", "B6", "DL", "UA", CAME.get(column, MARKUP)], 900, p=[0.2, 0.25, 0.2, 0.2, 0.15])
    return pd.Series(before), pd.Series(now)


def column_facts(drift: dict[str, Any], day: str, column: str) -> dict[str, Any]:
    """Return what the page is answered of a column on a day."""
    step = drift["days"].index(day)
    kept = day != NOT_KEPT
    facts: dict[str, Any] = plain(
        {
            "day": day, "column": column, "version": drift["versions"][step],
            "first_day": drift["days"][max(0, step - 6)],
            "rows": 900, "distribution": distribution(*sides_of(column)) if kept else None,
            "report": drift["reports"][step], "message": None if kept else f"The distributions of {day} were not kept.",
        }
    )  # fmt: skip
    return facts
