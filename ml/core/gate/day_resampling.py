"""Intervals of metrics by resampling whole days, whose rows share the luck of the day."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import assert_never

import numpy as np
import pandas as pd

from ml.core.gate.comparison import expanded_tails
from ml.core.metric import Kind, Mean, Metric, Ranked, Ranks, Sums, Whole, against_the_rest
from ml.core.metrics import attempt, measured_of
from ml.core.predictions import array

N_RESAMPLES = 500
Interval = tuple[float, float]


def day_intervals(
    scored: pd.DataFrame,
    kind: Kind,
    *,
    confidence: float,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    column: str = "challenger",
    quantile: float | None = None,
) -> dict[str, Interval]:
    """Return an interval to each metric of `ml.core.metrics.measure`, resampling whole days.

    Rows of a day share its luck, so the day is the unit (cluster bootstrap; Cameron, Gelbach & Miller
    2008, doi:10.1162/rest.90.3.414). The percentiles are `ml.core.gate.comparison.expanded_tails`.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``column``; not modified.

    Returns
    -------
    dict
        Empty for fewer than two days. A metric that most resamples do not have (one class only) is
        left out.
    """
    days, codes = day_codes(scored)
    if days < 2:
        return {}
    draws = np.random.default_rng(seed).integers(0, days, size=(n_resamples, days))
    times = np.stack([np.bincount(draw, minlength=days) for draw in draws])
    y, p = scored["target"].to_numpy(dtype=float), array(scored[column])
    resampled = _resampled(measured_of(kind, quantile), y, p, codes, times)
    tails = expanded_tails(days, confidence)
    intervals = {}
    for name, values in resampled.items():
        finite = values[np.isfinite(values)]
        if len(finite) > n_resamples / 2:
            low, high = np.quantile(finite, tails)
            intervals[name] = (float(low), float(high))
    return intervals


def day_codes(scored: pd.DataFrame) -> tuple[int, np.ndarray]:
    """Return the number of days, and the number of each row's day in their order."""
    codes, unique_days = pd.factorize(scored["day"], sort=True)
    return len(unique_days), codes


def _resampled(
    metrics: Sequence[Metric], y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute each metric of each resample; ``times`` says how often each round drew each day."""
    ranked = [metric for metric in metrics if isinstance(metric.resampling, Ranked)]
    values = {
        metric.name: attempt(metric, partial(_of_rows, metric, y, p, codes, times))
        for metric in metrics
        if metric not in ranked
    }
    if ranked:
        values |= _of_ranks(ranked, y, p, codes, times) if p.ndim == 1 else _of_classes(ranked, y, p, codes, times)
    return {name: drawn for name, drawn in values.items() if drawn is not None}


def _of_rows(metric: Metric, y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    def total(values: np.ndarray) -> np.ndarray:
        return np.asarray(times @ np.bincount(codes, weights=values, minlength=times.shape[1]))

    rows = total(np.ones_like(y))
    match metric.resampling:
        case Mean() as mean:
            return np.asarray(metric.of_mean(total(mean.rows(y, p)) / rows))
        case Sums() as sums:
            return sums.combine(rows, *(total(summand) for summand in sums.rows(y, p)))
        case Whole():
            return _anew(metric, y, p, codes, times)
        case Ranked():
            raise ValueError(f"{metric.name} follows from ranks, not from rows")
        case _:
            assert_never(metric.resampling)


def _of_ranks(
    metrics: Sequence[Metric], y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray
) -> dict[str, np.ndarray | None]:
    """Resample what follows from the order of predictions: sorted once, each round only weighs the rows."""
    order = np.argsort(p, kind="stable")
    y, p, codes = y[order], p[order], codes[order]
    starts = np.flatnonzero(np.r_[True, np.diff(p) > 0])

    def ranks(drawn: np.ndarray) -> Ranks:
        weight = drawn[codes].astype(float)
        return Ranks(p[starts], np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts))

    values: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
    for drawn in map(ranks, times):
        for metric in metrics:
            assert isinstance(metric.resampling, Ranked)
            if None in values[metric.name]:
                continue
            values[metric.name].append(attempt(metric, partial(_number, metric.resampling, drawn)))
    return {name: None if None in of_it else np.array(of_it) for name, of_it in values.items()}


def _of_classes(
    metrics: Sequence[Metric], y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray
) -> dict[str, np.ndarray | None]:
    """Resample what follows from ranks of several classes: the mean over those that a resample has it for."""
    sides = [_of_ranks(metrics, *side, codes, times) for side in against_the_rest(y, p)]
    drawn: dict[str, np.ndarray | None] = {}
    for metric in metrics:
        parts = [part for side in sides if (part := side[metric.name]) is not None]
        stacked = np.stack(parts) if len(parts) == len(sides) else None
        there = None if stacked is None else np.isfinite(stacked)
        if stacked is None or there is None:
            drawn[metric.name] = None
            continue
        total = np.where(there, stacked, 0.0).sum(axis=0)
        drawn[metric.name] = np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)
    return drawn


def _number(form: Ranked, drawn: Ranks) -> float:
    return float(form.measure(drawn))


def _anew(metric: Metric, y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Compute a metric of each resample from its rows; NaN where it does not exist."""
    rows = [np.repeat(np.arange(len(y)), drawn[codes]) for drawn in times]
    values = [metric.compute(y[drawn], p[drawn]) for drawn in rows]
    return np.array([np.nan if value is None else value for value in values])
