"""Means over rows with days as the unit of chance, at the level of ``performance.confidence``: gap and skill."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.core.gate.comparison import DailyMean, mean_by_day
from ml.core.metrics import row_loss
from ml.settings import Settings


def mean(days: pd.Series, values: np.ndarray, settings: Settings, confidence: float | None = None) -> DailyMean | None:
    """Return the mean of ``values``, one a row, with its interval; None for fewer than two days."""
    return mean_by_day(
        days,
        values,
        confidence=settings.performance.confidence if confidence is None else confidence,
        n_resamples=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )


def skill(rows: pd.DataFrame, constants: np.ndarray, settings: Settings) -> DailyMean | None:
    """Return by how much the mean loss is below that of the constant, on the same rows; None if any is not finite.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``prediction``; not modified.
    constants : array of shape (n_rows,) or (n_rows, n_classes)
        What knows no feature.
    """
    metric = settings.gate.metric
    gained = row_loss(rows["target"], constants, metric) - row_loss(rows["target"], rows["prediction"], metric)
    return mean(rows["day"], gained, settings) if np.isfinite(gained).all() else None
