"""Sum up the labels of a day, so that days can be compared without their rows."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ml.core import predictions
from ml.records import LabelDay
from ml.settings import Task

QUANTILES = (0.1, 0.9)


def label_day(day: date, target: ArrayLike, predicted: ArrayLike | None, task: Task) -> LabelDay:
    """Sum up the labels of a day, and what was predicted of the same rows.

    Parameters
    ----------
    target : array of shape (n_rows,)
        Labels as numbers: 0 and 1, the number of the class, or the value. Those that are NaN do not count.
    predicted : array or None
        What was predicted of the same rows, see `ml.core.predictions`; None if nothing was. A row may be NaN.
    """
    labels = np.asarray(target, dtype=float)
    labelled = np.isfinite(labels)
    labels = labels[labelled]
    regression = task.kind == "regression"
    facts = {
        "day": day,
        "rows": len(labels),
        "level": _level(_shares(labels, task), regression=regression) if len(labels) else (),
        "spread": float(labels.std()) if regression and len(labels) else 0.0,
        "single": len(labels) > 0 and bool((labels == labels[0]).all()),
    }
    if predicted is None:
        return LabelDay.model_validate(facts)
    values = predictions.array(predicted)[labelled]
    both = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
    labels, values = labels[both], values[both]
    if not len(labels):
        return LabelDay.model_validate(facts)
    columns = values[:, None] if values.ndim == 1 else values
    facts["expected"] = _level(columns, regression=regression)
    facts["association"], facts["association_error"] = _association(_shares(labels, task), columns, regression)
    return LabelDay.model_validate(facts)


def _shares(labels: np.ndarray, task: Task) -> np.ndarray:
    """Return labels as columns, of several classes one for each."""
    return predictions.outcomes(labels, len(task.classes)) if task.classes else labels[:, None]


def _level(columns: np.ndarray, *, regression: bool) -> tuple[float, ...]:
    """Return the log odds of each column's mean (half a row of each kind added), or mean and quantiles of a number."""
    if regression:
        return (float(columns.mean()), *map(float, np.quantile(columns[:, 0], QUANTILES)))
    ones, rows = columns.sum(axis=0), len(columns)
    return tuple(map(float, np.log((ones + 0.5) / (rows - ones + 0.5))))


def _association(labels: np.ndarray, predicted: np.ndarray, regression: bool) -> tuple[float | None, float | None]:
    """Return how alike labels and predictions order the rows, and its standard error if they did not at all.

    Spearman's rank correlation for numbers. For classes Somers' D, twice the area under the ROC curve less one, each
    class against all others, weighted by the rows of that class; its error is that of the Mann-Whitney statistic
    (Hanley and McNeil, *Radiology* 143, 1982, for the area; Mann and Whitney 1947 for its variance under no relation).
    """
    rows = len(labels)
    ranks = rankdata(predicted, axis=0)
    if regression:
        ordered = rankdata(labels[:, 0])
        if rows < 3 or not ordered.std() or not ranks[:, 0].std():
            return None, None
        return float(np.corrcoef(ordered, ranks[:, 0])[0, 1]), float(1 / np.sqrt(rows - 1))
    ones = labels.sum(axis=0)
    zeros = rows - ones
    usable = (ones > 0) & (zeros > 0) & (ranks.std(axis=0) > 0)
    if not usable.any():
        return None, None
    ones, zeros = ones[usable], zeros[usable]
    wins = (labels[:, usable] * ranks[:, usable]).sum(axis=0) - ones * (ones + 1) / 2
    somers = 2 * wins / (ones * zeros) - 1
    errors = 2 * np.sqrt((rows + 1) / (12 * ones * zeros))
    weights = ones / ones.sum()
    return float(weights @ somers), float(weights @ errors)
