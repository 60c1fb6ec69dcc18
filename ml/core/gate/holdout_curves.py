"""Compute the curves that a chart draws of one model's predictions of a holdout, each thinned to a bounded size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from ml.core.gate.holdout_tables import calibration_table

POINTS = 200
"""No curve has more points."""

SCORE_BINS = 20
GRID = 100
"""The thresholds are the hundredths from 0 to 1, and as many quantiles of the scores where these crowd together."""

RESIDUAL_BINS = 40
RESIDUAL_GROUPS = 20
SPREAD = (0.1, 0.9)
SHOWN_ROWS = 500
Facts = dict[str, Any]


def rounded(values: Any) -> list[float | None]:
    """Return numbers with six significant digits as plain JSON; None for what is not finite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def ranking(target: np.ndarray, score: np.ndarray) -> Facts | None:
    """Return the ROC and the precision-recall curve with the area under each; None for a single class.

    Parameters
    ----------
    target : array of shape (n_rows,)
        0 or 1.
    score : array of shape (n_rows,)
        The predicted probability of 1.
    """
    if len(np.unique(target)) < 2:
        return None
    false_positive, true_positive, _ = metrics.roc_curve(target, score)
    precision, recall, _ = metrics.precision_recall_curve(target, score)
    return {
        "roc": {
            "false_positive_rate": rounded(_thin(false_positive)),
            "true_positive_rate": rounded(_thin(true_positive)),
            "area": float(metrics.roc_auc_score(target, score)),
        },
        "precision_recall": {
            "recall": rounded(_thin(recall)),
            "precision": rounded(_thin(precision)),
            "average_precision": float(metrics.average_precision_score(target, score)),
        },
    }


def thresholds(*scores: np.ndarray) -> np.ndarray:
    """Return the thresholds at which decisions are counted, the same for all models: rising, from 0 to 1."""
    at = np.linspace(0, 1, GRID + 1)
    return np.unique(np.round(np.concatenate([at, *(np.quantile(score, at) for score in scores)]), 4))


def decisions(target: np.ndarray, score: np.ndarray, at: np.ndarray) -> Facts:
    """Count what is decided right and wrong where a score of at least the threshold means 1.

    Parameters
    ----------
    at : array of shape (n_thresholds,)
        As `thresholds` returns them.

    Returns
    -------
    dict
        ``true_positives``, ``false_positives``, ``false_negatives``, ``true_negatives``: lists of n_thresholds.
    """
    level = np.searchsorted(at, score, side="right")  # score >= at[k] exactly where level > k
    tns, fps, fns, tps, levels = metrics.confusion_matrix_at_thresholds(target, level, pos_label=1)
    # the row of the lowest level that is above k: levels fall, and above the highest of them nothing is decided as 1
    place = len(levels) - 1 - np.searchsorted(levels[::-1], np.arange(len(at)), side="right")
    ends = {
        "true_positives": (tps, 0.0),
        "false_positives": (fps, 0.0),
        "false_negatives": (fns, float(target.sum())),
        "true_negatives": (tns, float(len(target) - target.sum())),
    }
    return {
        name: [int(value) for value in np.where(place >= 0, counts[place], nothing)]
        for name, (counts, nothing) in ends.items()
    }


def score_counts(target: np.ndarray, score: np.ndarray) -> Facts:
    """Count the scores in bins of equal width, by outcome."""
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    positive, negative = (np.histogram(score[target == outcome], edges)[0] for outcome in (1, 0))
    return {"edges": rounded(edges), "positive": positive.tolist(), "negative": negative.tolist()}


def calibration(days: pd.Series, target: np.ndarray, score: np.ndarray, *, confidence: float, seed: int) -> Facts:
    """Return the calibration curve with intervals, the same figures as those of the model card."""
    scored = pd.DataFrame({"day": days.to_numpy(), "target": target, "challenger": score})
    table = calibration_table(scored, confidence=confidence, seed=seed)
    return {name: rounded(table[name]) for name in ("predicted", "observed", "low", "high", "rows")}


def residuals(target: np.ndarray, predicted: np.ndarray, *, seed: int) -> Facts:
    """Return how far outcomes were from predictions (outcome minus prediction), over all and by size of the prediction.

    Returns
    -------
    dict
        ``histogram`` (``edges``, ``rows``); ``by_prediction``: in up to twenty equally filled groups of the prediction
        the mean prediction, the median residual, the 10 % and 90 % quantiles and the rows; ``rows``: prediction and
        outcome of a random sample.
    """
    residual = target - predicted
    counts, edges = np.histogram(residual, RESIDUAL_BINS)
    frame = pd.DataFrame({"predicted": predicted, "residual": residual})
    share = frame["predicted"].rank(method="average").to_numpy() / len(frame)
    grouped = frame.groupby(np.ceil(share * RESIDUAL_GROUPS), sort=True)
    chosen = np.random.default_rng(seed).permutation(len(target))[:SHOWN_ROWS]
    return {
        "histogram": {"edges": rounded(edges), "rows": counts.tolist()},
        "by_prediction": {
            "predicted": rounded(grouped["predicted"].mean()),
            "median": rounded(grouped["residual"].median()),
            "low": rounded(grouped["residual"].quantile(SPREAD[0])),
            "high": rounded(grouped["residual"].quantile(SPREAD[1])),
            "rows": grouped.size().tolist(),
        },
        "rows": {"predicted": rounded(predicted[chosen]), "outcome": rounded(target[chosen])},
    }


def differences(challenger: np.ndarray, champion: np.ndarray) -> Facts:
    """Count by how much the challenger predicts more than the champion, row by row."""
    counts, edges = np.histogram(challenger - champion, RESIDUAL_BINS)
    return {"edges": rounded(edges), "rows": counts.tolist()}


def _thin(values: np.ndarray) -> np.ndarray:
    """Keep both ends and evenly many points between them."""
    if len(values) <= POINTS:
        return values
    return np.asarray(values[np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))])
