"""Let scores follow the newest labels between retrains, by one number.

A champion whose scores are right in order but too high or too low overall needs no new fit: its intercept is
moved. The move is bounded, recorded with the predictions that it shaped, and reversible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit

from ml.core.built_in_metrics import SMALLEST
from ml.core.metric import Kind
from ml.records import Adaptation
from ml.settings import Settings

FURTHEST = 40.0
"""In logits: beyond it a probability is 0 or 1 to all digits that a float has."""


def reach(day: date, settings: Settings) -> tuple[date, date]:
    """Return the first and the last day whose labels may move the scores of ``day``."""
    last = day - timedelta(days=max(settings.task.label_delay_days, 1))
    days = settings.land.calendar_days(settings.score.adapt_days) + settings.land.catch_up_days
    return last - timedelta(days=days - 1), last


def evidence_days(labelled: Iterable[date], known_until: str, settings: Settings) -> list[date]:
    """Return the newest ``score.adapt_days`` labelled days that a version was not fitted on.

    Parameters
    ----------
    labelled
        The days within `reach` that have inputs and labels.
    known_until
        The last day that the version was fitted on, in ISO form.
    """
    return [day for day in sorted(labelled) if day.isoformat() > known_until][-settings.score.adapt_days :]


def adaptation(
    days: Sequence[date], raw: Sequence[np.ndarray], target: Sequence[np.ndarray], settings: Settings
) -> Adaptation:
    """Compute by how much scores are moved, from what the version itself says of `evidence_days` and what came true.

    Only days that the version was not trained on count; with fewer than ``score.adapt_days`` of them,
    correspondingly less of the gap is closed.

    Parameters
    ----------
    raw, target : sequences of arrays of shape (n_rows,)
        In the order of the days, without rows whose outcome never came.
    """
    score = settings.score
    scores, outcomes = (np.concatenate([np.zeros(0), *parts]) for parts in (raw, target))
    share = score.adapt_share * len(days) / score.adapt_days
    shift = 0.0
    if len(scores):
        shift = shift_of(scores, outcomes, kind=settings.task.kind, share=share, most=score.adapt_max_shift)
    return Adaptation(shift=shift, share=share, days=tuple(days), rows=len(scores))


def shift_of(prediction: ArrayLike, target: ArrayLike, *, kind: Kind, share: float, most: float) -> float:
    """Return by how much scores should move, from the model's own scores of rows whose outcome is known.

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
