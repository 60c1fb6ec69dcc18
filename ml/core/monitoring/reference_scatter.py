"""How far gap and skill of a window lie from their mean while nothing changes, by what a version did in its reference.

A window of two weeks knows its own luck badly: luck lasts for days, and two weeks hold few spells of it. The honest
predictions of the whole reference hold many more. Decay is looked for on every day of a year, so what it must be beyond
is so wide that in ``1 - performance.confidence`` of years a window without a change is beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.monitoring import daily_means
from ml.core.predictions import array, constant, gaps
from ml.settings import Settings

LEAST_DAYS = 28
"""With fewer days in the reference, its scatter is known no better than that of a window."""
DAYS_OF_A_YEAR = 365


@dataclass(frozen=True)
class Scatter:
    """The standard deviation of a day's mean, luck that lasts for days included, and its degrees of freedom.

    The mean of ``n`` days has the standard error ``of_day / sqrt(n)`` (long-run variance; see
    `ml.core.gate.comparison` for the estimator).
    """

    of_day: float
    degrees_of_freedom: int

    def reach(self, *days: int, confidence: float, window_days: int) -> float:
        """Return how far the mean of ``days``, or the difference of two such means, may lie from what is expected.

        The tail of a year, ``(1 - confidence) / 2`` on either side, is shared by the windows of a year that have no day
        in common (Bonferroni).
        """
        looks = max(DAYS_OF_A_YEAR / window_days, 1.0)
        tail = (1 - confidence) / 2 / looks
        error = self.of_day * math.sqrt(sum(1 / count for count in days))
        return float(stats.t.isf(tail, self.degrees_of_freedom)) * error


def scatters(
    predictions: pd.DataFrame | None, base_rate: float | np.ndarray | None, settings: Settings
) -> dict[str, Scatter]:
    """Return the scatter of each gap and of ``skill``; empty without predictions of `LEAST_DAYS` days.

    Parameters
    ----------
    predictions : DataFrame of shape (n_rows, n_columns), or None
        ``day``, ``prediction`` and ``target`` of days that the version was not fitted on; not modified.
    base_rate
        The constant that skill is measured against; None if it is not known.
    """
    if predictions is None or predictions["day"].nunique() < LEAST_DAYS:
        return {}
    rows = predictions.dropna(subset=["target"])
    if rows["day"].nunique() < LEAST_DAYS or not np.isfinite(array(rows["prediction"])).all():
        return {}
    apart = gaps(rows["target"], rows["prediction"], settings.task.classes, quantile=settings.task.quantile)
    means = {name: daily_means.mean(rows["day"], off_by, settings) for name, off_by in apart.items()}
    if base_rate is not None:
        means["skill"] = daily_means.skill(rows, constant(base_rate, len(rows)), settings)
    return {
        name: Scatter(mean.standard_error * math.sqrt(mean.days), mean.degrees_of_freedom)
        for name, mean in means.items()
        if mean is not None
    }


def widest(parts: Sequence[Mapping[str, Scatter]]) -> dict[str, Scatter]:
    """Return for several versions together the widest scatter of each figure that all of them have."""
    names = set.intersection(*(set(part) for part in parts)) if parts else set()
    return {
        name: Scatter(max(part[name].of_day for part in parts), min(part[name].degrees_of_freedom for part in parts))
        for name in sorted(names)
    }
