"""Measure what a replayed policy comes to: its metrics with intervals by week, and its gain over another.

Rows of a week share its weather and its luck, so the week is the unit of chance wherever an interval is given.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import assert_never

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.gate.comparison import POWER, PairedGain, expanded_tails, mean_by_day, paired_gain
from ml.core.metric import Kind, Mean, Metric, Ranked, Ranks, Sums, Whole, against_the_rest
from ml.core.metrics import attempt, loss_of, measure, measured_of, row_loss
from ml.core.predictions import array
from ml.records import Interval

BINS = 2000
CONFIDENCE = 0.95


def weeks(days: pd.Series) -> pd.Series:
    """Return the ISO week of each ISO day, as text that sorts in time."""
    codes, unique = pd.factorize(days)
    named = np.array([_week(date.fromisoformat(str(day))) for day in unique])
    return pd.Series(named[codes] if len(named) else [], index=days.index, dtype="str")


def _week(day: date) -> str:
    year, number, _ = day.isocalendar()
    return f"{year}-W{number:02d}"


def measured(
    scored: pd.DataFrame,
    kind: Kind,
    *,
    quantile: float | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Measure all rows of a period, with percentile intervals of a bootstrap of whole weeks.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``prediction``; rows without an outcome are left out. Not modified.

    Returns
    -------
    dict
        The metrics that a backtest shows; empty without a row. The ends are None with fewer than two weeks, and for
        what is neither a mean of rows nor a ranking (R²).
    """
    labelled = scored.loc[scored["target"].notna()]
    exact = measure(labelled["target"], labelled["prediction"], kind, quantile)
    week, _ = pd.factorize(weeks(labelled["day"]))
    count = int(week.max()) + 1 if len(week) else 0
    known = [metric for metric in measured_of(kind, quantile) if metric.name in exact]
    shown = [metric for metric in known if metric.backtest_column is not None]
    shown.sort(key=lambda metric: metric.backtest_column or 0)
    intervals = {metric.name: Interval(value=exact[metric.name]) for metric in shown}
    if count < 2:
        return intervals
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n_resamples)
    tail = (1 - confidence) / 2
    for metric in shown:
        drawn = attempt(metric, partial(_drawn, metric, labelled, week, draws))
        if drawn is not None:
            low, high = np.nanquantile(drawn, [tail, 1 - tail])
            intervals[metric.name] = Interval(value=exact[metric.name], low=float(low), high=float(high))
    return intervals


def _drawn(metric: Metric, labelled: pd.DataFrame, week: np.ndarray, draws: np.ndarray) -> np.ndarray | None:
    target, prediction = labelled["target"].to_numpy(dtype=float), array(labelled["prediction"])
    match metric.resampling:
        case Mean() as mean:
            sums, rows = np.bincount(week, mean.rows(target, prediction)), np.bincount(week)
            return np.asarray(metric.of_mean((draws @ sums) / (draws @ rows)))
        case Ranked() as form if prediction.ndim > 1:
            sides = against_the_rest(target, prediction)
            by_class = [form.measure(_drawn_ranks(*side, week, draws)) for side in sides]
            return np.asarray(np.nanmean(by_class, axis=0))
        case Ranked() as form:
            return form.measure(_drawn_ranks(target, prediction, week, draws))
        case Sums() | Whole():
            return None
        case _:
            assert_never(metric.resampling)


def _drawn_ranks(target: np.ndarray, prediction: np.ndarray, week: np.ndarray, draws: np.ndarray) -> Ranks:
    """Count the rows of each draw of weeks in `BINS` equally filled bins of the prediction, each as one level."""
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, BINS + 1)[1:-1]))
    inside = np.searchsorted(edges, prediction, side="right")
    place = inside + (len(edges) + 1) * week
    size = (draws.shape[1], len(edges) + 1)
    late = np.bincount(place, target, minlength=size[0] * size[1]).reshape(size)
    rest = np.bincount(place, 1 - target, minlength=size[0] * size[1]).reshape(size)
    rows = np.bincount(inside, minlength=size[1])
    levels = np.bincount(inside, prediction, minlength=size[1]) / np.maximum(rows, 1)
    return Ranks(levels, draws @ late, draws @ rest)


def paired(
    scored: pd.DataFrame, reference: pd.DataFrame, metric: str, *, n_resamples: int = 4000, seed: int = 0
) -> PairedGain | None:
    """Return how much lower a policy's ``metric`` is than the reference's, in its unit, on rows that both scored.

    The gain in ``rmse`` is the difference of two roots; see `root_gain` for its interval.

    Parameters
    ----------
    scored, reference : DataFrame of shape (n_rows, n_columns)
        ``row`` (which row it is), ``day``, ``target`` and ``prediction``; rows without an outcome, and those that
        only one has scored, are left out. Not modified. Of a row's two outcomes the first frame's counts.

    Returns
    -------
    PairedGain or None
        ``days`` counts weeks, the resampling units. None with fewer than two.
    """
    both = scored.loc[scored["target"].notna()].merge(
        reference[["row", "prediction"]], on="row", how="inner", validate="one_to_one", suffixes=("", "_reference")
    )
    if both.empty:
        return None
    together = pd.DataFrame(
        {
            "day": weeks(both["day"]),
            "target": both["target"],
            "challenger": both["prediction"],
            "champion": both["prediction_reference"],
        }
    )
    if loss_of(metric).is_root:
        losses = [row_loss(together["target"], together[name], metric) for name in ("champion", "challenger")]
        return root_gain(together["day"], losses[0], losses[1], n_resamples=n_resamples, seed=seed)
    return paired_gain(together, metric=metric, confidence=0.95, n_resamples=n_resamples, seed=seed)


def root_gain(
    units: pd.Series, first: np.ndarray, second: np.ndarray, *, n_resamples: int, seed: int
) -> PairedGain | None:
    """Return by how much the root of the mean of ``second`` is lower than that of ``first``.

    A root has no rows to average, so whole units (days, weeks) are resampled and both roots taken of each draw. As in
    `ml.core.gate.comparison.paired_gain` the interval is the wider, at either end, of that and of Student's t, here
    with the error of the linearised difference (delta method; Efron and Tibshirani 1993, ch. 21).

    Parameters
    ----------
    units : Series of length n_rows
        What luck is shared within.
    first, second : array of shape (n_rows,)
        Squared errors of the same rows.

    Returns
    -------
    PairedGain or None
        None with fewer than two units, or if any error is not finite.
    """
    roots = [float(np.sqrt(squares.mean())) if len(squares) else 0.0 for squares in (first, second)]
    codes, _ = pd.factorize(units, sort=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    if count < 2 or not np.isfinite(roots).all():
        return None
    scaled = [
        squares / (2 * root) if root > 0 else squares for squares, root in zip((first, second), roots, strict=True)
    ]
    linear = mean_by_day(
        pd.Series(codes), scaled[0] - scaled[1], confidence=CONFIDENCE, n_resamples=n_resamples, seed=seed
    )
    assert linear is not None  # there are two units
    draws = np.random.default_rng(seed).integers(0, count, size=(n_resamples, count))
    rows = np.bincount(codes)[draws].sum(axis=1)
    drawn = [np.sqrt(np.bincount(codes, squares)[draws].sum(axis=1) / rows) for squares in (first, second)]
    low, high = np.quantile(drawn[0] - drawn[1], expanded_tails(count, CONFIDENCE))
    gain = roots[0] - roots[1]
    reach = float(stats.t.isf((1 - CONFIDENCE) / 2, linear.degrees_of_freedom)) * linear.standard_error
    return PairedGain(
        gain=gain,
        low=float(min(low, gain - reach)),
        high=float(max(high, gain + reach)),
        days=count,
        rows=len(first),
        standard_error=linear.standard_error,
        resolution=float(reach + stats.t.ppf(POWER, linear.degrees_of_freedom) * linear.standard_error),
        degrees_of_freedom=linear.degrees_of_freedom,
    )


def rolling(scored: pd.DataFrame, metric: str, *, days: int) -> pd.Series:
    """Return the loss over the trailing ``days`` calendar days, by day, in the unit of ``metric``.

    It is NaN until the days are full.
    """
    labelled = scored.loc[scored["target"].notna()]
    loss = pd.Series(row_loss(labelled["target"], labelled["prediction"], metric))
    by_day = loss.groupby(pd.to_datetime(labelled["day"].to_numpy())).agg(["sum", "size"])
    if by_day.empty:
        return pd.Series(dtype=float)
    summed = by_day.asfreq("D", fill_value=0).rolling(days, min_periods=days).sum()
    return in_its_unit(summed["sum"] / summed["size"], metric)


def in_its_unit(mean: pd.Series, metric: str) -> pd.Series:
    """Return means of row losses in the unit of ``metric``: of ``rmse`` the row losses are squares."""
    in_unit: pd.Series = loss_of(metric).of_mean(mean)
    return in_unit
