"""Loss and ranking metrics of predictions, per row, per day and over all."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import metrics

Kind = Literal["classification", "regression"]
SMALLEST = 1e-15
CALIBRATION_BINS = 10


def greater_is_better(name: str) -> bool:
    """Say in which direction a metric of `measure` improves."""
    return name in {"roc_auc", "average_precision", "r2"}


def row_loss(target: ArrayLike, prediction: ArrayLike, metric: str) -> np.ndarray:
    """Give each row's share of a mean loss, so that losses can be paired row by row.

    Parameters
    ----------
    target : array of shape (n_rows,)
        0 or 1 for ``log_loss`` and ``brier``; any finite number for ``rmse`` and ``mae``.
    prediction : array of shape (n_rows,)
        Probability of 1, or the predicted value.
    metric
        ``log_loss`` (nats), ``brier``, ``rmse`` (its square: the mean of it is the mean squared
        error) or ``mae``.

    Raises
    ------
    ValueError
        If ``metric`` is not a mean of row losses.
    """
    y, p = np.asarray(target, dtype=float), np.asarray(prediction, dtype=float)
    if metric == "log_loss":
        p = np.clip(p, SMALLEST, 1 - SMALLEST)
        return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))
    if metric in {"brier", "rmse"}:
        return np.asarray((p - y) ** 2)
    if metric == "mae":
        return np.asarray(np.abs(p - y))
    raise ValueError(f"{metric!r} is not a mean of row losses")


def mean_loss(metric: str) -> str:
    """Name the mean of `row_loss`, which has the unit of the metric but for ``rmse``: a mean of squares has no root.

    Examples
    --------
    >>> mean_loss("rmse"), mean_loss("log_loss")
    ('mean squared error', 'log_loss')
    """
    return {"rmse": "mean squared error", "mae": "mean absolute error"}.get(metric, metric)


def measure(target: ArrayLike, prediction: ArrayLike, kind: Kind) -> dict[str, float]:
    """Measure predictions; what cannot be computed is left out, never guessed.

    A single-class target has no ``roc_auc`` and no ``average_precision``: they are absent.

    Returns
    -------
    dict
        Classification: ``log_loss``, ``brier``, ``roc_auc``, ``average_precision``,
        ``calibration_error`` (expected calibration error over ten equally filled bins; Naeini et
        al. 2015, doi:10.1609/aaai.v29i1.9602), ``calibration_gap`` (mean prediction minus
        observed rate), ``prevalence``. Regression: ``rmse``, ``mae``, ``r2``, ``bias``.
    """
    y, p = np.asarray(target, dtype=float), np.asarray(prediction, dtype=float)
    if len(y) == 0 or not np.isfinite(p).all() or not np.isfinite(y).all():
        return {}
    if kind == "regression":
        found = {
            "rmse": float(np.sqrt(row_loss(y, p, "rmse").mean())),
            "mae": float(row_loss(y, p, "mae").mean()),
            "bias": float((p - y).mean()),
        }
        return found | ({"r2": float(metrics.r2_score(y, p))} if len(y) > 1 and np.ptp(y) > 0 else {})
    found = {
        "log_loss": float(row_loss(y, p, "log_loss").mean()),
        "brier": float(row_loss(y, p, "brier").mean()),
        "calibration_error": _calibration_error(y, p),
        "calibration_gap": float(p.mean() - y.mean()),
        "prevalence": float(y.mean()),
    }
    if len(np.unique(y)) == 2:
        found["roc_auc"] = float(metrics.roc_auc_score(y, p))
        found["average_precision"] = float(metrics.average_precision_score(y, p))
    return found


def base_prediction(train_target: ArrayLike) -> float:
    """Give the constant that knows no feature: the training prevalence, or the mean."""
    return float(np.mean(np.asarray(train_target)))


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
    """Give the points of the ROC, precision–recall and calibration curves, thinned to 200 each.

    Empty for a single-class target, for which none of them exists.
    """
    y, p = np.asarray(target, dtype=float), np.asarray(prediction, dtype=float)
    if len(np.unique(y)) < 2:
        return {}
    false_positive, true_positive, _ = metrics.roc_curve(y, p)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    return {
        "roc": _thin(pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive})),
        "precision_recall": _thin(pd.DataFrame({"recall": recall, "precision": precision})),
        "calibration": calibration(y, p),
    }


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


def _calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    table = calibration(y, p)
    weight = table["rows"] / table["rows"].sum()
    return float((weight * (table["predicted"] - table["observed"]).abs()).sum())


def _thin(curve: pd.DataFrame, points: int = 200) -> pd.DataFrame:
    if len(curve) <= points:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, points).astype(int))].reset_index(drop=True)
