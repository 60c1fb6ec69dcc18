"""How well a classifier is expected to do on rows whose labels have not arrived.

Confidence-based performance estimation: if a score, once calibrated, is the probability of the outcome, then
each row's expected loss follows from the score alone. CBPE in NannyML, of which the average confidence is the
simplest form (Kivimäki, Białek, Nurminen & Kuberski 2024, arXiv:2407.08649); Białek, Kivimäki, Kuberski &
Perrakis 2024, arXiv:2401.08348, go on from it to covariate shift. It cannot see that the relation of inputs and
outcome has moved: that is what labels are for, and why its error is measured once they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from ml.core.built_in_metrics import SMALLEST
from ml.core.metrics import measured_of, row_loss
from ml.core.predictions import array, gaps
from ml.settings import Settings

MIN_ROWS = 100
NARROWEST = 1e-6


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of scores: ``expit(intercept + slope × logit(score))`` (Platt 1999)."""

    intercept: float
    slope: float

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each score, an array of shape (n_rows,)."""
        return np.asarray(expit(self.intercept + self.slope * _logit(prediction)))

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Return each row's expected loss, an array of shape (n_rows,).

        Parameters
        ----------
        metric
            A loss such as ``log_loss`` or ``brier``; see `ml.core.metrics.row_loss`.
        """
        p, c = np.asarray(prediction, dtype=float), self.probability(prediction)
        ones, zeros = np.ones_like(p), np.zeros_like(p)
        return np.asarray(c * row_loss(ones, p, metric) + (1 - c) * row_loss(zeros, p, metric))

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Return the expected losses (``log_loss``, ``brier``), ``roc_auc`` and ``prevalence`` of some rows.

        Examples
        --------
        >>> found = Calibration(intercept=0.0, slope=1.0).expected([0.5, 0.5])
        >>> {name: round(value, 4) for name, value in found.items()}
        {'log_loss': 0.6931, 'brier': 0.25, 'prevalence': 0.5, 'roc_auc': 0.5}
        """
        p = np.asarray(prediction, dtype=float)
        if not len(p):
            return {}
        c = self.probability(p)
        losses = {metric: float(self.expected_losses(p, metric).mean()) for metric in _losses()}
        return losses | {"prevalence": float(c.mean()), "roc_auc": _expected_auc(p, c)}


@dataclass(frozen=True, eq=False)
class ClassCalibration:
    """What makes probabilities of the scores of several classes: a softmax of linear functions of their logarithms.

    Matrix scaling (Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599), kept from extremes by a weak penalty.
    """

    intercepts: np.ndarray
    slopes: np.ndarray

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each class, an array of shape (n_rows, n_classes)."""
        return np.asarray(softmax(_logs(self._vectors(prediction)) @ self.slopes.T + self.intercepts, axis=1))

    def _vectors(self, prediction: ArrayLike) -> np.ndarray:
        """Return scores as an array of shape (n_rows, n_classes), of no rows too."""
        return array(prediction).reshape(-1, len(self.intercepts))

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Return each row's expected loss, an array of shape (n_rows,); see `Calibration.expected_losses`."""
        p, c = self._vectors(prediction), self.probability(prediction)
        return np.asarray(
            sum(c[:, number] * row_loss(np.full(len(p), number), p, metric) for number in range(c.shape[1]))
        )

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Return the expected losses and the expected ``roc_auc``, the mean over the classes, of some rows."""
        p = self._vectors(prediction)
        if not len(p):
            return {}
        c = self.probability(p)
        losses = {metric: float(self.expected_losses(p, metric).mean()) for metric in _losses()}
        areas = [_expected_auc(p[:, number], c[:, number]) for number in range(c.shape[1])]
        return losses | {"roc_auc": float(np.mean(areas))}


AnyCalibration = Calibration | ClassCalibration


def calibrate(prediction: ArrayLike, target: ArrayLike) -> AnyCalibration | None:
    """Learn what scores are worth from predictions of rows that the model was not fitted on.

    Parameters
    ----------
    prediction, target : array of shape (n_rows,)
        Out-of-fold scores and their outcomes, 0 or 1; of several classes a vector a row, and the number of the class.

    Returns
    -------
    Calibration, ClassCalibration or None
        None where nothing can be learnt: fewer than 100 rows, a class without any, or scores that are no
        numbers. Scores that all tie keep their order and move to the observed rate.
    """
    p, y = array(prediction), np.asarray(target, dtype=float)
    if p.ndim > 1:
        return _calibrate_classes(p, y)
    if len(p) < MIN_ROWS or not np.isfinite(p).all() or len(np.unique(y)) != 2:
        return None
    scores = _logit(p)
    if np.ptp(scores) < NARROWEST:
        return Calibration(float(logit(y.mean()) - scores.mean()), 1.0)
    fitted = LogisticRegression(C=np.inf).fit(scores.reshape(-1, 1), y.astype(int))
    return Calibration(float(fitted.intercept_[0]), float(fitted.coef_[0, 0]))


def _calibrate_classes(p: np.ndarray, y: np.ndarray) -> ClassCalibration | None:
    if len(p) < MIN_ROWS or not np.isfinite(p).all() or len(np.unique(y)) != p.shape[1]:
        return None
    fitted = LogisticRegression(C=len(p), max_iter=1000).fit(_logs(p), y.astype(int))
    return ClassCalibration(fitted.intercept_, fitted.coef_)


def _logs(prediction: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(prediction, SMALLEST, 1.0)))


def _losses() -> list[str]:
    return [metric.name for metric in measured_of("classification") if metric.is_loss]


def _logit(prediction: ArrayLike) -> np.ndarray:
    p = np.asarray(prediction, dtype=float)
    return np.asarray(logit(np.clip(p, SMALLEST, 1 - SMALLEST)))


def _expected_auc(score: np.ndarray, probability: np.ndarray) -> float:
    """Return the share of expected (positive, negative) pairs that the scores put in order; ties count half."""
    levels, at = np.unique(score, return_inverse=True)
    positive = np.bincount(at, weights=probability, minlength=len(levels))
    negative = np.bincount(at, weights=1 - probability, minlength=len(levels))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else 0.5


def by_day(rows: pd.DataFrame, calibration: AnyCalibration | None, settings: Settings) -> pd.DataFrame:
    """Return each day's loss as it came out, and as it was expected without labels.

    Returns
    -------
    DataFrame of shape (n_days, 5)
        ``day``, ``rows``, ``gap`` (of several classes one for each), ``loss`` in ``gate.metric`` (of ``rmse``: its
        square) and ``estimated`` (null without a calibration), in day order.
    """
    table = pd.DataFrame(
        {
            "day": rows["day"].to_numpy(),
            "rows": 1,
            **gaps(rows["target"], rows["prediction"], settings.task.classes, quantile=settings.task.quantile),
            "loss": row_loss(rows["target"], rows["prediction"], settings.gate.metric),
            "estimated": np.nan
            if calibration is None
            else calibration.expected_losses(rows["prediction"], settings.gate.metric),
        }
    )
    means = [name for name in table if name not in ("day", "rows")]
    daily = table.groupby("day", sort=True).agg({"rows": "sum", **dict.fromkeys(means, "mean")})
    return daily.reset_index()


def served_by_day(
    rows: pd.DataFrame, version: int | None, calibration: AnyCalibration | None, settings: Settings
) -> pd.DataFrame:
    """Return `by_day` of what all versions served; the calibration is that of ``version`` alone."""
    own, other = rows.loc[rows["version"] == version], rows.loc[rows["version"] != version]
    parts = [by_day(own, calibration, settings), by_day(other, None, settings)]
    parts = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(parts, ignore_index=True).sort_values("day", ignore_index=True)
