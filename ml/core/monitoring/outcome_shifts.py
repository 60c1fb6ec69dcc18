"""Find since when outcomes as a whole no longer follow the predictions, at every daily look.

Each labelled day is two numbers: the level, by how much outcomes are beyond the predictions on average, and the
relation, whether they differ between rows as the predictions do. Of a rate, the relation is the score statistic (Rao
1948, doi:10.1017/S0305004100023987) of outcomes that come in a share of the rows whatever was predicted of them,
``(1 - c) p + c``, turned round; of a number, the slope of residuals against predictions. Both are standardised by the
trailing days of the same stream, the relation beside the level, and feed the e-detector of
`ml.core.monitoring.slice_changes`, with larger steps: what all rows share does harm at once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.core.metric import Kind
from ml.core.monitoring.limits import QUARTER_DAYS
from ml.core.monitoring.slice_changes import (
    MEMORY_DAYS,
    MIN_TRAILING_DAYS,
    TRAILING_DAYS,
    Change,
    called_change,
    size,
    standardise,
)
from ml.core.monitoring.slice_streams import EDGE

LEVEL, RELATION = "level of all outcomes", "relation of outcomes to predictions"
STREAMS = (LEVEL, RELATION)
STEPS, MOST = (1.0, 2.0), 3.0
"""The sizes of change that are bet on, and the most that a day counts for, in standard deviations of a day."""
DEPENDENCE = 4.0
"""By this factor the limit is above the declared mean number of days between calls: days resemble their neighbours, so
that evidence grows faster than an e-detector of independent days allows. Measured by ``bench/outcome_shifts.py``."""
LEAST_PREDICTED = 0.02
"""A smaller probability counts as this one, or a single row would be the relation of a day."""


def day_shift(rows: pd.DataFrame, kind: Kind, *, min_rows: int) -> dict[str, float]:
    """Measure how outcomes follow the predictions on one labelled day.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target`` and ``prediction``, both finite; not modified.

    Returns
    -------
    dict
        By `STREAMS`; empty of a day of fewer than ``min_rows`` rows, without the relation where all predictions are
        the same.
    """
    if len(rows) < min_rows:
        return {}
    prediction = rows["prediction"].to_numpy(dtype=float)
    residuals = rows["target"].to_numpy(dtype=float) - prediction
    if kind == "classification":
        return _of_rates(np.clip(prediction, EDGE, 1 - EDGE), residuals)
    return _of_numbers(prediction, residuals)


def _of_rates(prediction: np.ndarray, residuals: np.ndarray) -> dict[str, float]:
    variance = prediction * (1 - prediction)
    scores = {LEVEL: float(residuals.sum() / np.sqrt(variance.sum()))}
    centred = residuals - variance * (residuals.sum() / variance.sum())
    covariate = 1 / np.clip(prediction, LEAST_PREDICTED, 1)
    spread = float(variance @ (covariate - (variance @ covariate) / variance.sum()) ** 2)
    return {**scores, RELATION: -float(covariate @ centred) / float(np.sqrt(spread))} if spread > EDGE else scores


def _of_numbers(prediction: np.ndarray, residuals: np.ndarray) -> dict[str, float]:
    centred = prediction - prediction.mean()
    spread, least = float(centred @ centred), EDGE**2 * float(prediction @ prediction)
    scores = {LEVEL: float(residuals.mean())}
    return {**scores, RELATION: float(centred @ residuals) / spread} if spread > least else scores


def standardised_shifts(scores: pd.DataFrame, kind: Kind, *, newest: int | None = None) -> pd.DataFrame:
    """Measure each day's `STREAMS` against the trailing days; see `ml.core.monitoring.slice_changes.standardise`.

    A score statistic varies by 1 of chance alone; the figures of a regression have no such least.
    """
    least = 1.0 if kind == "classification" else 0.0
    return standardise(scores, newest=newest, beside={LEVEL: (), RELATION: (LEVEL,)}, least_scale=least)


def limit_of(false_alarms_per_quarter: float) -> float:
    """Return the limit of the evidence for a declared number of calls in 91 days without change."""
    return DEPENDENCE * 91 / false_alarms_per_quarter


def shift_on(scores: pd.DataFrame, kind: Kind, *, limit: float) -> Change | None:
    """Return how outcomes have shifted, as the newest day shows it; None unless that was called on the newest days.

    Parameters
    ----------
    scores : DataFrame of shape (n_days, n_streams)
        `STREAMS` in day order, by ISO day; not modified.
    """
    if len(scores) <= MIN_TRAILING_DAYS:
        return None
    recent = scores.tail(TRAILING_DAYS + MEMORY_DAYS)
    measured = standardised_shifts(recent, kind, newest=MEMORY_DAYS).tail(MEMORY_DAYS)
    return called_change(measured, limit=limit, steps=STEPS, most=MOST)


def message(change: Change, *, false_alarms_per_quarter: float) -> str:
    """Say in a sentence how outcomes have shifted, since when and by how much."""
    if change.stream == LEVEL:
        what = f"all outcomes together are {'lower' if change.shift < 0 else 'higher'} than predicted"
    elif change.shift < 0:
        what = "outcomes follow the predictions less than before"
    else:
        what = "outcomes differ more than the predictions say"
    return (
        f"{what}, since about {change.since}: {size(change)}; "
        f"called at most once in {QUARTER_DAYS / false_alarms_per_quarter:.0f} days while nothing changes"
    )
