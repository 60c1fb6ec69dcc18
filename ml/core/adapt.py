"""Let scores follow the newest labels between retrains, by one number.

A champion whose scores are right in order but too high or too low overall needs no new fit: its intercept is
moved. The move is bounded, recorded with the predictions that it shaped, and reversible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit

from ml.core.metrics import SMALLEST, Kind

FURTHEST = 40.0
"""In logits: beyond it a probability is 0 or 1 to all digits that a float has."""


def shift_of(prediction: ArrayLike, target: ArrayLike, *, kind: Kind, share: float, most: float) -> float:
    """Say by how much scores should move, from the model's own scores of rows whose outcome is known.

    Parameters
    ----------
    prediction : array of shape (n_rows,)
        As the model gives them, never adapted ones.
    target : array of shape (n_rows,)
        0 or 1, or the value.
    share
        How much of the gap is closed: a part of it is the luck of those days.
    most
        The largest move, either way.

    Returns
    -------
    float
        In logits for a classification: ``share`` times the move after which the mean score would equal the
        observed rate. In the target's unit for a regression. 0 without rows or where a score is no number.

    Examples
    --------
    >>> round(shift_of([0.5, 0.5, 0.5, 0.5], [1, 1, 1, 0], kind="classification", share=1.0, most=2.0), 4)
    1.0986
    >>> shift_of([1.0, 2.0], [2.0, 3.0], kind="regression", share=0.5, most=2.0)
    0.5
    """
    p, y = np.asarray(prediction, dtype=float), np.asarray(target, dtype=float)
    if not len(p) or not (np.isfinite(p).all() and np.isfinite(y).all()):
        return 0.0
    whole = float((y - p).mean()) if kind == "regression" else _whole_shift(p, float(y.mean()))
    return float(np.clip(share * whole, -most, most))


def shifted(prediction: ArrayLike, shift: float, *, kind: Kind) -> np.ndarray:
    """Move scores by ``shift``; `shift_of` says in which unit. A shift of 0 returns them as they are."""
    p = np.asarray(prediction, dtype=float)
    if shift == 0:
        return p
    return p + shift if kind == "regression" else np.asarray(expit(_logit(p) + shift))


def _whole_shift(p: np.ndarray, rate: float) -> float:
    """Solve for the move after which the mean score is ``rate``; as far as it goes for a rate of 0 or 1."""
    scores = _logit(p)

    def excess(shift: float) -> float:
        return float(expit(scores + shift).mean()) - rate

    if excess(-FURTHEST) >= 0:
        return -FURTHEST
    if excess(FURTHEST) <= 0:
        return FURTHEST
    return float(brentq(excess, -FURTHEST, FURTHEST, xtol=1e-12))


def _logit(prediction: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(prediction, SMALLEST, 1 - SMALLEST)))
