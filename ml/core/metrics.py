"""Measure predictions, per row, per day and over all, by the metrics of `ml.core.built_in_metrics` and of packages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import metrics

from ml.core.built_in_metrics import BUILT_IN, CALIBRATION_BINS, of_name, of_quantile
from ml.core.metric import Kind, Mean, Metric, against_the_rest
from ml.core.predictions import array
from ml.errors import SettingsError
from ml.settings import METRICS

T = TypeVar("T")
logger = logging.getLogger(__name__)


def find(name: str) -> Metric:
    """Return the metric of a name; raises a SettingsError that lists all if there is none."""
    metric: Any = METRICS.load(name)
    return cast("Metric", metric)


def measured_of(kind: Kind, quantile: float | None = None) -> tuple[Metric, ...]:
    """Return the metrics that a kind of task is measured by; of a ``quantile`` none that speaks of a mean.

    Those of other packages are among them, but for the broken ones: these are named in the log, and stop whoever names
    them in ``params.yaml``.
    """
    metrics: Any = METRICS.usable()
    measured = tuple(metric for metric in metrics if kind in metric.kinds)
    if quantile is None:
        return measured
    return (*of_quantile(quantile), *(metric for metric in measured if BUILT_IN.get(metric.name) is not metric))


def label(name: str) -> str:
    """Return a metric's name as people read it; of one that nobody knows any more, its own."""
    definition = _definition(name)
    return definition.label if definition else name.replace("_", " ")


def short_label(name: str) -> str:
    """Return the label of a metric for the head of a narrow table."""
    definition = _definition(name)
    return (definition.short or definition.label) if definition else name.replace("_", " ")


def direction(name: str) -> str:
    """Return in which direction a metric improves: ``higher``, ``lower``, ``nearer 0``; empty if neither is known."""
    definition = _definition(name)
    return definition.direction if definition else ""


def _definition(name: str) -> Metric | None:
    try:
        return find(name)
    except SettingsError:  # recorded by a package that is gone since
        return None


def loss_of(metric: str) -> Metric:
    """Return a metric that is a mean of row losses.

    Raises
    ------
    ValueError
        If ``metric`` is not a mean of row losses.
    """
    definition = find(metric)
    if not definition.is_loss:
        raise ValueError(f"{metric!r} is not a mean of row losses")
    return definition


def row_loss(target: ArrayLike, prediction: ArrayLike, metric: str) -> np.ndarray:
    """Return each row's share of a mean loss, so that losses can be paired row by row.

    Parameters
    ----------
    target : array of shape (n_rows,)
        0 or 1 of a classification; the number of the class of ``multiclass``; any finite number of a regression.
    prediction : array of shape (n_rows,), or a column of vectors
        As `ml.core.predictions` says.
    metric
        ``log_loss`` (nats), ``brier``, ``rmse`` (its square: the mean of it is the mean squared
        error), ``mae``, the pinball loss of a quantile, or a loss of another package.

    Raises
    ------
    ValueError
        If ``metric`` is not a mean of row losses.
    """
    form = loss_of(metric).resampling
    assert isinstance(form, Mean)
    return form.rows(np.asarray(target, dtype=float), array(prediction))


def mean_loss(metric: str) -> str:
    """Return the name of the mean of `row_loss`, in the unit of the metric but for a root: a mean of squares has none.

    Examples
    --------
    >>> mean_loss("rmse"), mean_loss("log_loss")
    ('mean squared error', 'log loss')
    """
    return find(metric).mean_label


def measure(target: ArrayLike, prediction: ArrayLike, kind: Kind, quantile: float | None = None) -> dict[str, float]:
    """Measure predictions; what cannot be computed is left out, never guessed.

    A single-class target has no ``roc_auc`` and no ``average_precision``: they are absent. So is a metric of another
    package that fails on these rows; the log names it.

    Returns
    -------
    dict
        The value of each metric of `measured_of` by name.
    """
    y, p = np.asarray(target, dtype=float), array(prediction)
    if len(y) == 0 or not np.isfinite(p).all() or not np.isfinite(y).all():
        return {}
    values = {metric.name: attempt(metric, partial(metric.compute, y, p)) for metric in measured_of(kind, quantile)}
    return {name: value for name, value in values.items() if value is not None}


def attempt(metric: Metric, compute: Callable[[], T]) -> T | None:
    """Return what is computed of a metric; None, named in the log, where one of another package fails."""
    try:
        return compute()
    except Exception:
        if metric in (BUILT_IN.get(metric.name), of_name(metric.name)):
            raise
        logger.warning("metrics: %s could not be computed and is left out", metric.name, exc_info=True)
        return None


def by_day(days: pd.Series, target: ArrayLike, prediction: ArrayLike, metric: str) -> pd.DataFrame:
    """Sum losses by day.

    Returns
    -------
    DataFrame of shape (n_days, 3)
        ``day``, ``rows`` and ``loss`` (the day's mean row loss), in day order.
    """
    table = pd.DataFrame({"day": days.to_numpy(), "loss": row_loss(target, prediction, metric)})
    grouped = table.groupby("day", sort=True)["loss"].agg(["size", "mean"]).reset_index()
    return grouped.rename(columns={"size": "rows", "mean": "loss"})


def curves(target: ArrayLike, prediction: ArrayLike) -> dict[str, pd.DataFrame]:
    """Return the points of the ROC, precision–recall and calibration curves, thinned to 200 each.

    Empty for a single-class target, for which none of them exists. Of several classes there is the calibration
    curve alone, of all of them together.
    """
    y, p = np.asarray(target, dtype=float), array(prediction)
    if p.ndim > 1:
        return {"calibration": calibration(*pooled(y, p))}
    if len(np.unique(y)) < 2:
        return {}
    false_positive, true_positive, _ = metrics.roc_curve(y, p)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    return {
        "roc": _thin(pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive})),
        "precision_recall": _thin(pd.DataFrame({"recall": recall, "precision": precision})),
        "calibration": calibration(y, p),
    }


def pooled(target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every class against the rest, one class's rows after the other's: both of shape (n_rows × n_classes,)."""
    sides = list(against_the_rest(target, prediction))
    return np.concatenate([side[0] for side in sides]), np.concatenate([side[1] for side in sides])


def calibration(target: ArrayLike, prediction: ArrayLike) -> pd.DataFrame:
    """Compare mean prediction with observed rate in ten equally filled bins.

    Returns
    -------
    DataFrame of shape (n_bins, 3)
        ``predicted``, ``observed``, ``rows``; fewer than ten bins where predictions tie.
    """
    table = pd.DataFrame(
        {"predicted": np.asarray(prediction, dtype=float), "observed": np.asarray(target, dtype=float)}
    )
    filled = np.ceil(table["predicted"].rank(method="average") / len(table) * CALIBRATION_BINS)
    grouped = table.groupby(filled, sort=True)
    return grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)


def _thin(curve: pd.DataFrame, points: int = 200) -> pd.DataFrame:
    if len(curve) <= points:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, points).astype(int))].reset_index(drop=True)
