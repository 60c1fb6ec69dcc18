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
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from ml.core.metrics import SMALLEST, row_loss
from ml.settings import Settings

MIN_ROWS = 100
NARROWEST = 1e-6


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of scores: ``expit(intercept + slope × logit(score))`` (Platt 1999)."""

    intercept: float
    slope: float

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Give the calibrated probability of each score, an array of shape (n_rows,)."""
        return np.asarray(expit(self.intercept + self.slope * _logit(prediction)))

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Give each row's expected loss, an array of shape (n_rows,).

        Parameters
        ----------
        metric
            ``log_loss`` or ``brier``; see `ml.core.metrics.row_loss`.
        """
        p, c = np.asarray(prediction, dtype=float), self.probability(prediction)
        ones, zeros = np.ones_like(p), np.zeros_like(p)
        return np.asarray(c * row_loss(ones, p, metric) + (1 - c) * row_loss(zeros, p, metric))

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Give the expected ``log_loss``, ``brier``, ``roc_auc`` and ``prevalence`` of some rows.

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
        found = {metric: float(self.expected_losses(p, metric).mean()) for metric in ("log_loss", "brier")}
        return found | {"prevalence": float(c.mean()), "roc_auc": _expected_auc(p, c)}


def calibrate(prediction: ArrayLike, target: ArrayLike) -> Calibration | None:
    """Learn what scores are worth from predictions of rows that the model was not fitted on.

    Parameters
    ----------
    prediction, target : array of shape (n_rows,)
        Out-of-fold scores and their outcomes, 0 or 1.

    Returns
    -------
    Calibration or None
        None where nothing can be learnt: fewer than 100 rows, a single class, or scores that are no
        numbers. Scores that all tie keep their order and move to the observed rate.
    """
    p, y = np.asarray(prediction, dtype=float), np.asarray(target, dtype=float)
    if len(p) < MIN_ROWS or not np.isfinite(p).all() or len(np.unique(y)) != 2:
        return None
    scores = _logit(p)
    if np.ptp(scores) < NARROWEST:
        return Calibration(float(logit(y.mean()) - scores.mean()), 1.0)
    fitted = LogisticRegression(C=np.inf).fit(scores.reshape(-1, 1), y.astype(int))
    return Calibration(float(fitted.intercept_[0]), float(fitted.coef_[0, 0]))


def _logit(prediction: ArrayLike) -> np.ndarray:
    p = np.asarray(prediction, dtype=float)
    return np.asarray(logit(np.clip(p, SMALLEST, 1 - SMALLEST)))


def _expected_auc(score: np.ndarray, probability: np.ndarray) -> float:
    """Give the share of expected (positive, negative) pairs that the scores put in order; ties count half."""
    levels, at = np.unique(score, return_inverse=True)
    positive = np.bincount(at, weights=probability, minlength=len(levels))
    negative = np.bincount(at, weights=1 - probability, minlength=len(levels))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else 0.5


def by_day(rows: pd.DataFrame, calibration: Calibration | None, settings: Settings) -> pd.DataFrame:
    """Give each day's loss as it came out, and as it was expected without labels.

    Returns
    -------
    DataFrame of shape (n_days, 5)
        ``day``, ``rows``, ``gap``, ``loss`` in ``gate.metric`` (of ``rmse``: its square) and ``estimated``
        (null without a calibration), in day order.
    """
    table = pd.DataFrame(
        {
            "day": rows["day"].to_numpy(),
            "rows": 1,
            "gap": (rows["prediction"] - rows["target"]).to_numpy(dtype=float),
            "loss": row_loss(rows["target"], rows["prediction"], settings.gate.metric),
            "estimated": np.nan
            if calibration is None
            else calibration.expected_losses(rows["prediction"], settings.gate.metric),
        }
    )
    found = table.groupby("day", sort=True).agg({"rows": "sum", "gap": "mean", "loss": "mean", "estimated": "mean"})
    return found.reset_index()


def served_by_day(
    rows: pd.DataFrame, version: int | None, calibration: Calibration | None, settings: Settings
) -> pd.DataFrame:
    """Give `by_day` of what all versions served; the calibration is that of ``version`` alone."""
    own, other = rows.loc[rows["version"] == version], rows.loc[rows["version"] != version]
    parts = [by_day(own, calibration, settings), by_day(other, None, settings)]
    parts = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(parts, ignore_index=True).sort_values("day", ignore_index=True)
