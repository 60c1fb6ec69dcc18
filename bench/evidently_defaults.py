"""What Evidently's default tests say of a batch, from counts: to set beside Evergreen's limits.

Left to itself Evidently takes Wasserstein and Jensen–Shannon distances, drifted from 0.1 on, where the reference has
more than 1,000 rows, and otherwise Kolmogorov–Smirnov (chi-squared for categories, and where there are no more than
five values), drifted below p = 0.05. Distances are those of `ml.core.monitoring.day_blocks`, which tests hold against
Evidently's own; p-values of Kolmogorov–Smirnov are asymptotic.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

from ml.core.monitoring.day_blocks import DailyCounts, apart

DISTANCE = 0.1
LEVEL = 0.05
FEW_VALUES = 5
SHARE = 0.5
"""A data set has drifted, by default, from this share of its columns on."""


def moved(counted: DailyCounts, reference: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Find for each batch whether the column has drifted by the default for a large reference.

    Parameters
    ----------
    reference : array of shape (n_points,)
    batches : array of shape (n_batches, n_points)

    Returns
    -------
    bool array of shape (n_batches,)
    """
    return np.asarray(apart(counted, np.broadcast_to(reference, batches.shape), batches) >= DISTANCE)


def significant(counted: DailyCounts, reference: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Find for each batch whether the column has drifted by the default for a reference of up to 1,000 rows."""
    if counted.points is None or (reference > 0).sum() <= FEW_VALUES:
        return np.array([_chi_squared(reference, batch) < LEVEL for batch in batches])
    rows = batches.sum(axis=1)
    shares = batches.cumsum(axis=1) / np.maximum(rows, 1)[:, None]
    furthest = np.abs(shares - reference.cumsum() / reference.sum()).max(axis=1)
    pairs = np.round(rows * reference.sum() / (rows + reference.sum())).astype(int)
    return np.asarray((rows > 0) & (furthest > [_critical(max(1, int(number))) for number in pairs]))


@cache
def _critical(pairs: int) -> float:
    """Return the Kolmogorov–Smirnov statistic beyond which p is under 0.05, by effective number of rows."""
    return float(stats.kstwo.isf(LEVEL, pairs))


def _chi_squared(reference: np.ndarray, batch: np.ndarray) -> float:
    """Return the p-value; a category that the reference lacks makes it 0, as Evidently's does."""
    seen = (reference > 0) | (batch > 0)
    if not batch.sum() or seen.sum() < 2:
        return 1.0
    expected, found = reference[seen] * (batch.sum() / reference.sum()), batch[seen]
    if (expected == 0).any():
        return 0.0
    return float(stats.chi2.sf(((found - expected) ** 2 / expected).sum(), seen.sum() - 1))


def few_rows(reference: np.ndarray, chance: np.random.Generator, rows: int = 1000) -> np.ndarray:
    """Draw a reference of no more than ``rows`` rows out of a larger one."""
    return np.asarray(chance.multivariate_hypergeometric(reference, min(rows, int(reference.sum()))))
