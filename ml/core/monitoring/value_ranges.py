"""Find values of a day that are far outside of all that the champion's reference ever held: a unit, a feed, a sensor.

A distance over a trailing window finds them after days, and in a bursty column after its limit has been passed; by
themselves they show on their first day. Seasons go on beyond a reference, so outside is not enough: they have to be
outside by a good part of the range itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from ml.core.monitoring.change_words import percent
from ml.core.monitoring.drift_method import is_number
from ml.records import Finding
from ml.settings import Drift

MARGIN, MIN_SHARE, FEWEST_ROWS = 0.5, 0.1, 10
"""By how much of the range's width values have to be outside, in which share of a day's values, and at least so many.
"""
TAIL = 0.001
"""The range is that of all but so small a share of the reference at either end: one wrong value makes no range."""


def out_of_range(
    day: date,
    today: pd.DataFrame,
    reference: Mapping[str, pd.Series],
    drift: Drift,
    dependence: Mapping[str, tuple[float | None, bool | None]],
) -> tuple[Finding, ...]:
    """Find numeric columns of which many values of a day are far outside of the reference's range.

    Each is notified at once. It alarms in a structural column, and in one that the champion uses at all: importance is
    measured inside of the range, and what a model makes of values outside nobody knows. It warns in the rest of the
    environment. A column of one value has no range.

    Parameters
    ----------
    today : DataFrame of shape (n_rows, n_columns)
        Rows of the newest day, or a sample of them; not modified.
    reference
        The values of each column that the champion knew; not modified.
    dependence
        What `ml.core.monitoring.drift.importance_share` returned: 0.0 is the importance of what is no feature.
    """
    loud = {*drift.structural, *(column for column, (importance, _) in dependence.items() if importance != 0.0)}
    findings = []
    for column, before in reference.items():
        message = _message(day, today[column], before)
        if message:
            findings.append(
                Finding(
                    kind="out_of_range",
                    severity="alarm" if column in loud else "warning",
                    message=f"{column}: {message}",
                    column=column,
                    at_once=True,
                    matters=dependence.get(column, (None, None))[1],
                )
            )
    return tuple(findings)


def _message(day: date, today: pd.Series, before: pd.Series) -> str:
    """Return what is outside, in words; empty if nothing is, or nothing can be concluded."""
    if not is_number(before) or not is_number(today):
        return ""
    known, now = _finite(before), _finite(today)
    if len(known) < FEWEST_ROWS or len(now) < FEWEST_ROWS:
        return ""
    low, high = (float(end) for end in np.quantile(known, (TAIL, 1 - TAIL)))
    reach = MARGIN * (high - low)
    outside = (now < low - reach) | (now > high + reach)
    if reach <= 0 or outside.sum() < FEWEST_ROWS or outside.mean() < MIN_SHARE:
        return ""
    worst = now[outside][np.argmax(np.abs(now[outside] - (low + high) / 2))]
    end = "as low as" if worst < low else "as high as"
    return (
        f"on {day} {percent(float(outside.mean()))} of the values are far outside of what the champion knew "
        f"({low:.4g} to {high:.4g}), {end} {worst:.4g}: look for another unit, or a broken feed"
    )


def _finite(values: pd.Series) -> np.ndarray:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(numbers[np.isfinite(numbers)])
