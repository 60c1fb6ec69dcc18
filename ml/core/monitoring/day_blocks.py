"""Days as counts, and how far a block of days lies from other days.

The distances are those of `ml.core.monitoring.drift.distance`, computed from counts: every rolling
block of a year against the rest of it costs a second, where sorting rows anew would cost minutes. The
bins of a number, where its method wants them, are those of all days together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.core.monitoring.drift import find_method, method
from ml.core.monitoring.drift_method import NAMES_UP_TO, is_number
from ml.settings import Methods

MAX_POINTS = 10_000
"""A column with more distinct values is counted on so many: quantiles of numbers, the commonest of categories."""
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class DailyCounts:
    """How often each value of a column came on each day.

    ``counts`` is of shape (n_days, n_points), in day order; ``points`` of shape (n_points,) holds the values
    in rising order for numbers, and is None for categories and bins. Nulls are counted nowhere.
    """

    method: str
    points: np.ndarray | None
    counts: np.ndarray


def daily_counts(values: pd.Series, days: pd.Series, methods: Methods) -> DailyCounts:
    """Count a column by day, as its method compares it: by value, or by bin.

    Parameters
    ----------
    values, days : Series of shape (n_rows,)
        A column and the ISO day of each row; not modified. Infinite numbers count as nulls.
    """
    chosen = method(values, methods)
    day_codes, unique = pd.factorize(days, sort=True)
    points: np.ndarray | None = None
    if is_number(values):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        valid = np.isfinite(numbers)
        codes, points = _on_grid(numbers[valid])
        if find_method(chosen).binned:
            codes, points = _in_bins(codes, points), None
    else:
        valid = values.notna().to_numpy()
        codes = _commonest(pd.factorize(values[valid].astype(str))[0])
    size = int(codes.max(initial=-1)) + 1 if points is None else len(points)
    flat = np.bincount(day_codes[valid] * size + codes, minlength=len(unique) * size)
    return DailyCounts(chosen, points, flat.reshape(len(unique), size))


def _commonest(codes: np.ndarray) -> np.ndarray:
    """Let the rarest categories share one code, where there are too many."""
    rows = np.bincount(codes)
    if len(rows) <= MAX_POINTS:
        return codes
    rank = np.empty(len(rows), dtype=np.intp)
    rank[np.argsort(-rows, kind="stable")] = np.arange(len(rows))
    return np.asarray(np.minimum(rank[codes], MAX_POINTS - 1))


def _on_grid(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code numbers by their distinct values, or by the next of many quantiles."""
    points, codes = np.unique(numbers, return_inverse=True)
    if len(points) <= MAX_POINTS:
        return codes, points
    grid = np.unique(np.quantile(numbers, np.linspace(0, 1, MAX_POINTS)))
    return np.searchsorted((grid[1:] + grid[:-1]) / 2, numbers), grid


def _in_bins(codes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Code numbers by bins of equal width, if more than a few are distinct: as `ml.core.monitoring.drift` does."""
    if len(points) <= NAMES_UP_TO:
        return codes
    edges = np.histogram_bin_edges(points[codes], bins="sturges")
    return np.asarray(np.clip(np.searchsorted(edges, points, side="right") - 1, 0, len(edges) - 2)[codes])


def rolling(counts: np.ndarray, days: int) -> np.ndarray:
    """Sum the counts of every run of ``days`` days: shape (n_days - days + 1, n_points)."""
    total = np.concatenate([np.zeros((1, counts.shape[1]), dtype=np.int64), counts.cumsum(axis=0, dtype=np.int64)])
    return np.asarray(total[days:] - total[:-days])


def apart(counted: DailyCounts, reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Measure how far each of ``current`` lies from its ``reference``, both as counts.

    Parameters
    ----------
    reference, current : array of shape (..., n_points)
        Not modified.

    Returns
    -------
    array of shape (...)
        NaN where either side holds no value.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = reference / reference.sum(axis=-1, keepdims=True)
        q = current / current.sum(axis=-1, keepdims=True)
    return find_method(counted.method).apart(counted.points, p, q)


def variability(counted: DailyCounts, days: int) -> np.ndarray:
    """Measure how far each run of ``days`` days lies from all the other days.

    Returns
    -------
    array of shape (n_days - days + 1,)
        NaN where the block, or the rest, holds no value.
    """
    total = counted.counts.sum(axis=0)
    blocks = rolling(counted.counts, days)
    step = max(1, CHUNK_CELLS // max(1, blocks.shape[1]))
    parts = [
        apart(counted, total - blocks[start : start + step], blocks[start : start + step])
        for start in range(0, len(blocks), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def count_all(frame: pd.DataFrame, columns: list[str], methods: Methods) -> Mapping[str, DailyCounts]:
    """Count each column that is there and holds a value."""
    return {
        column: daily_counts(frame[column], frame["day"], methods)
        for column in columns
        if column in frame and frame[column].notna().any()
    }
