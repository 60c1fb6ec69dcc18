"""The drift methods that Evergreen has by itself, Evidently's own; to add one is to add it to the list here.

A separate package announces its own by an entry point of the group ``evergreen.drift_methods``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.core.monitoring.drift_method import DriftMethod, shares

if TYPE_CHECKING:
    import pandas as pd

WASSERSTEIN = "wasserstein"
JENSEN_SHANNON = "jensenshannon"
HELLINGER = "hellinger"
SMALLEST_SCALE = 0.001


def _wasserstein(points: np.ndarray | None, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the first Wasserstein distance in standard deviations of the reference."""
    assert points is not None  # it compares numbers only, and these are not binned
    gaps = np.diff(points)
    between = np.cumsum(p - q, axis=-1)[..., :-1]
    mean = (p * points).sum(axis=-1, keepdims=True)
    spread = np.sqrt((p * (points - mean) ** 2).sum(axis=-1))
    return np.asarray((np.abs(between) * gaps).sum(axis=-1) / np.maximum(spread, SMALLEST_SCALE))


def _wasserstein_of_rows(reference: pd.Series, current: pd.Series) -> float:
    from scipy.stats import wasserstein_distance

    scale = max(float(np.std(reference)), SMALLEST_SCALE)
    return float(wasserstein_distance(reference, current)) / scale


def _jensen_shannon(_: np.ndarray | None, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the root of the Jensen–Shannon divergence in nats, 0 to 0.83."""
    middle = (p + q) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.where(side == 0, 0.0, side * np.log(side / middle)).sum(axis=-1) for side in (p, q)]
    return np.asarray(np.sqrt(np.maximum(parts[0] + parts[1], 0) / 2))


def _jensen_shannon_of_rows(reference: pd.Series, current: pd.Series) -> float:
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(*shares(reference, current)))


def _hellinger(_: np.ndarray | None, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Hellinger distance, 0 to 1."""
    return np.asarray(np.sqrt(1 - np.clip(np.sqrt(p * q).sum(axis=-1), 0, 1)))


_ALL = (
    DriftMethod(WASSERSTEIN, ("numeric",), _wasserstein, of_rows=_wasserstein_of_rows, in_evidently=True),
    DriftMethod(
        JENSEN_SHANNON,
        ("numeric", "categorical"),
        _jensen_shannon,
        binned=True,
        of_rows=_jensen_shannon_of_rows,
        in_evidently=True,
    ),
    DriftMethod(HELLINGER, ("categorical",), _hellinger, in_evidently=True),
)
BUILT_IN = {method.name: method for method in _ALL}
"""The drift methods by name."""
