"""Measure how far the folds of validation lie apart, as the gate measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ml.core import metrics
from ml.core.adoption.recipes import Validated
from ml.core.predictions import array


@dataclass(frozen=True)
class Spread:
    """What the best recipe did in each fold of validation, measured as the gate measures."""

    folds: tuple[Mapping[str, float], ...]
    daily_gap: float

    def worst(self, name: str) -> float:
        """Return the value of a fold that is furthest from 0."""
        return max((fold[name] for fold in self.folds if name in fold), key=abs, default=0.0)

    def least(self, name: str) -> float:
        """Return the smallest value of a fold."""
        return min((fold[name] for fold in self.folds if name in fold), default=0.0)

    def most(self, name: str) -> float:
        """Return the largest value of a fold."""
        return max((fold[name] for fold in self.folds if name in fold), default=0.0)


def spread_of(best: Validated) -> Spread:
    """Measure the folds of a recipe; ``daily_gap`` is the scatter of a day's mean error."""
    folds = []
    for _, rows in best.rows.groupby("fold"):
        folds.append(metrics.measure(rows["truth"], rows["predicted"], best.kind))
    errors = _errors(best).groupby(best.rows["day"].to_numpy()).mean()
    return Spread(tuple(folds), float(errors.std(ddof=1)))


def _errors(best: Validated) -> pd.Series:
    """Return prediction minus truth, of several classes for the commonest one."""
    truth, predicted = best.rows["truth"], array(best.rows["predicted"])
    if predicted.ndim == 1:
        return pd.Series(predicted - truth.to_numpy(dtype=float), index=truth.index)
    commonest = int(truth.mode().iloc[0])
    happened = (truth == commonest).to_numpy(dtype=float)
    return pd.Series(predicted[:, commonest] - happened, index=truth.index)
