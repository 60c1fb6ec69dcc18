"""Whether a challenger does worse than the champion on the same days, such that one may look as often as one likes.

The unit is the day, whose rows share its luck. Of a split a day gives the mean loss of the challenger's keys minus that
of the champion's, which chance divided; in shadow the mean difference of the losses on the same rows. Looking again at
the same days changes nothing, and each further day is paid for by `confidence_sequence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ml.core.metrics import label, row_loss
from ml.core.monitoring.confidence_sequence import mean_of_days
from ml.records import Interval, SplitDay, SplitEvidence

KINDS: tuple[Literal["paired", "randomised"], ...] = ("randomised", "paired")
LEAST_ROWS = 10
"""A day counts if each side has so many rows with labels."""


def confidence_sequence(values: ArrayLike, *, confidence: float) -> Interval | None:
    """Return the mean of a growing series with an interval that holds at all lengths of the series at once.

    That of `ml.core.monitoring.confidence_sequence`, not widened. `tests/unit/test_split_evidence.py`
    measures the error where values are not normal.

    Parameters
    ----------
    values : array of shape (n_values,)
        In the order in which they came; the order changes nothing.

    Returns
    -------
    Interval or None
        None without values; without ends while there are too few for any (fewer than five at 95 %).
    """
    series = np.asarray(values, dtype=float)
    if not len(series):
        return None
    mean, low, high = mean_of_days(series, confidence=confidence, correlated=False)
    return Interval(value=mean, low=low, high=high)


def day_of(
    day: date, rows: pd.DataFrame, *, kind: Literal["paired", "randomised"], champion: int, challenger: int, metric: str
) -> SplitDay | None:
    """Compare both sides on one day; None if a side has too few rows, or a loss is no number.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target`` and ``prediction``; of ``randomised`` evidence ``arm`` (who was to answer: a row that the champion
        answered in the challenger's place counts as the challenger's), of ``paired`` evidence ``other``, what the
        challenger predicted.
    """
    losses = row_loss(rows["target"], rows["prediction"], metric)
    if kind == "paired":
        others = row_loss(rows["target"], rows["other"], metric)
        sides = losses, others
    else:
        is_challenger = (rows["arm"] == "challenger").to_numpy()
        sides = losses[~is_challenger], losses[is_challenger]
    difference = float(sides[1].mean() - sides[0].mean()) if min(map(len, sides)) >= LEAST_ROWS else math.nan
    if not math.isfinite(difference):
        return None
    return SplitDay(
        day=day,
        kind=kind,
        champion=champion,
        challenger=challenger,
        rows=len(sides[0]),
        challenger_rows=len(sides[1]),
        difference=difference,
        metric=metric,
    )


def weigh(days: Iterable[SplitDay], *, metric: str, confidence: float) -> SplitEvidence | None:
    """Weigh the days of one champion and one challenger, of one kind; None without any.

    Days that were measured in another metric than ``metric`` are left out.

    ``is_worse`` says that the challenger's loss is higher beyond noise: the whole interval is above 0.
    """
    ordered: Sequence[SplitDay] = sorted(
        (day for day in days if day.metric in (None, metric)), key=lambda split_day: split_day.day
    )
    interval = confidence_sequence([split_day.difference for split_day in ordered], confidence=confidence)
    if interval is None:
        return None
    first, last = ordered[0], ordered[-1]
    worse = interval.low is not None and interval.low > 0
    span = "too few days for an interval" if interval.low is None else f"{interval.low:+.4f} to {interval.high:+.4f}"
    reason = (
        f"version {first.challenger} has a {label(metric)} {'higher' if interval.value > 0 else 'lower'} by "
        f"{abs(interval.value):.4f} ({span}) than version {first.champion} on {len(ordered)} days from {first.day} to "
        f"{last.day}"
    )
    return SplitEvidence(
        kind=first.kind,
        champion=first.champion,
        challenger=first.challenger,
        first_day=first.day,
        last_day=last.day,
        days=len(ordered),
        rows=sum(split_day.rows for split_day in ordered),
        challenger_rows=sum(split_day.challenger_rows for split_day in ordered),
        metric=metric,
        difference=interval,
        is_worse=worse,
        reason=reason,
    )
