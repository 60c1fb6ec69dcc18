"""Measure what refreshes of a recipe would have gained in its own past: the prior of the gate's decision on one.

On days of the training part that lie half a holdout apart, two fits of the recipe are compared on the days that
follow: one on all days before, one on a holdout's length fewer. No day of the holdout is looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ml.core.gate.comparison import mean_by_day
from ml.core.gate.refit import compared_rows, difference
from ml.core.gate.rule import finite
from ml.core.metrics import row_loss
from ml.core.monitoring.drift import sample_days
from ml.core.training.estimators import predict
from ml.core.training.features import feature_columns, matrix
from ml.errors import SettingsError
from ml.records import PastRefresh
from ml.settings import Settings
from ml.steps.retrain.out_of_fold import MOST_ROWS
from ml.steps.retrain.pipelines import fit_pipeline

logger = logging.getLogger(__name__)
MOST_REFRESHES = 12
"""So many refreshes are looked back on, the newest; with a holdout of 14 days, a quarter of a year."""
Facts = dict[str, Any]
Once = Callable[[str, Callable[[], Facts]], Facts]
"""Makes facts of a key unless they were made before."""
Remember = Callable[[str, Callable[[], Any]], Any]
"""Fits a model of a key unless it is held in memory."""


def measure(
    train: pd.DataFrame, settings: Settings, *, once: Once, remember: Remember | None = None
) -> tuple[PastRefresh, ...]:
    """Return what refreshes of the recipe gained within the training part, in day order; each is made once.

    Parameters
    ----------
    train : DataFrame of shape (n_rows, n_columns)
        The training part with its history features and the target; not modified.
    settings
        Those that the candidate is fitted with; after a search they hold what it found.
    once
        Keeps what was measured under what determines it: the rows and the recipe. Large windows are thinned for each
        fit by itself, so that a window that has grown since asks for the same comparisons again.
    remember
        May hold the fits for the next training, which needs half of them again.
    """
    columns = list(dict.fromkeys(["day", *feature_columns(settings.features), settings.task.target]))
    days, apart, stride = train["day"].to_numpy(dtype=str), settings.split.holdout_days, _stride(settings)
    hashed = pd.util.hash_pandas_object(train, index=False).to_numpy()

    def before(day: date) -> Any:
        return days < day.isoformat()

    @cache
    def fitted(until: date) -> Any:
        def fit() -> Any:
            return _fit(sample_days(train.loc[before(until)], rows=MOST_ROWS, seed=settings.fit.seed), settings)

        return remember(_key(hashed[before(until)], until, settings), fit) if remember else fit()

    made = []
    for day in _days(train, settings):
        older, end = day - timedelta(days=apart), day + timedelta(days=stride)

        def compare(day: date = day, older: date = older, end: date = end) -> Facts:
            return _compared(fitted(older), fitted(day), train.loc[before(end), columns], older, day, settings)

        facts = once(_key(hashed[before(end)], day, settings), compare)
        if facts["gain"] is not None:
            made.append(PastRefresh.model_validate(facts))
    logger.info("past refreshes: %d of the training part", len(made))
    return tuple(made)


def _stride(settings: Settings) -> int:
    return max(2, settings.split.holdout_days // 2)


def _days(rows: pd.DataFrame, settings: Settings) -> Sequence[date]:
    """Return the first days of the parts that are scored: the same ones whenever the window is looked at."""
    stride, apart = _stride(settings), settings.split.holdout_days
    labelled = sorted(date.fromisoformat(str(day)) for day in rows["day"].unique())
    least = max(2, settings.pull.min_days - apart)
    if len(labelled) <= least:
        return ()
    first, last = labelled[least] + timedelta(days=apart), labelled[-1]
    days = [first + timedelta(days=n) for n in range((last - first).days + 2 - stride)]
    return [day for day in days if day.toordinal() % stride == 0][-MOST_REFRESHES:]


def _fit(rows: pd.DataFrame, settings: Settings) -> Any:
    """Fit the recipe; None where rows of the past do not suit it, which says nothing of the candidate."""
    task = settings.task
    if task.kind != "regression" and rows[task.target].nunique() < 2:
        return None
    try:
        return fit_pipeline(rows, settings)
    except (SettingsError, ValueError) as err:
        logger.warning("past refreshes: no fit up to %s: %s", rows["day"].max(), err)
        return None


def _compared(older: Any, newer: Any, rows: pd.DataFrame, older_day: date, day: date, settings: Settings) -> Facts:
    """Compare two fits on the rows from ``day`` on, and on rows that both have seen."""
    facts: Facts = {"day": day.isoformat(), "gain": None, "standard_error": 0.0, "difference": None, "moved": None}
    scored = sample_days(rows.loc[rows["day"] >= day.isoformat()], rows=MOST_ROWS, seed=settings.fit.seed)
    if older is None or newer is None or scored["day"].nunique() < 2:
        return facts
    kind, classes = settings.task.kind, len(settings.task.classes)
    target = scored[settings.task.target].to_numpy(dtype=float)
    predicted = [predict(model, matrix(scored, settings.features), kind, classes) for model in (older, newer)]
    losses = [row_loss(target, values, settings.gate.metric) for values in predicted]
    gain = losses[0] - losses[1]
    if not np.isfinite(gain).all():
        return facts
    mean = mean_by_day(scored["day"], gain, confidence=settings.gate.confidence, n_resamples=200, seed=0)
    assert mean is not None
    sample = matrix(compared_rows(rows.loc[rows["day"] < older_day.isoformat()]), settings.features)
    apart = difference(predict(older, sample, kind, classes), predict(newer, sample, kind, classes), kind)
    return {
        **facts,
        "gain": mean.value,
        "standard_error": mean.standard_error,
        "difference": finite(apart),
        "moved": finite(difference(predicted[0], predicted[1], kind)),
    }


def _key(hashed: np.ndarray[Any, Any], day: date, settings: Settings) -> str:
    """Name all that determines a fit or a comparison but the code; of its rows the hashes are taken, in their order."""
    content = hashlib.sha256(hashed.tobytes()).hexdigest()
    recipe = settings.model_dump(mode="json", include={"task", "features", "fit", "split"})
    facts = [content, day.isoformat(), recipe, settings.gate.metric]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
