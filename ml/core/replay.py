"""What a replayed policy comes to: its metrics with intervals by week, its episodes of alarm, what it found.

Rows of a week share its weather and its luck, so the week is the unit of chance wherever an interval is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.comparison import POWER, PairedGain, expanded_tails, mean_by_day, paired_gain
from ml.core.metrics import Kind, measure, row_loss
from ml.records import Interval

SHOWN: dict[Kind, tuple[str, ...]] = {
    "classification": ("log_loss", "roc_auc", "brier"),
    "regression": ("rmse", "mae", "r2"),
}
"""The metrics of a backtest's table."""
BINS = 2000
CONFIDENCE = 0.95
CALM_DAYS = 7
"""So many days without an alarm end an episode: what is alarmed within them is the same story."""


@dataclass(frozen=True)
class Episode:
    """Days of alarm that belong together, both ends inclusive."""

    first_day: date
    last_day: date


@dataclass(frozen=True)
class Span:
    """The days on which something was wrong, both ends inclusive, and what."""

    name: str
    first_day: date
    last_day: date


@dataclass(frozen=True)
class Discovery:
    """When a fault was first noticed, and by what; None where nobody noticed in its time."""

    fault: str
    day: date | None
    days_to_find: int | None
    by: str


@dataclass(frozen=True)
class Cost:
    """How much more was lost per row under a fault, with its interval by day, and how many rows went unscored."""

    loss: Interval
    rows: int
    unscored: int


def weeks(days: pd.Series) -> pd.Series:
    """Give the ISO week of each ISO day, as text that sorts in time."""
    codes, unique = pd.factorize(days)
    named = np.array([_week(date.fromisoformat(str(day))) for day in unique])
    return pd.Series(named[codes] if len(named) else [], index=days.index, dtype="str")


def _week(day: date) -> str:
    year, number, _ = day.isocalendar()
    return f"{year}-W{number:02d}"


def measured(
    scored: pd.DataFrame, kind: Kind, *, rounds: int = 1000, seed: int = 0, confidence: float = 0.95
) -> dict[str, Interval]:
    """Measure all rows of a period, with percentile intervals of a bootstrap of whole weeks.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``prediction``; rows without an outcome are left out. Not modified.

    Returns
    -------
    dict
        The metrics of `SHOWN`; empty without a row. The ends are None with fewer than two weeks, and for R².
    """
    known = scored.loc[scored["target"].notna()]
    exact = measure(known["target"], known["prediction"], kind)
    week, _ = pd.factorize(weeks(known["day"]))
    count = int(week.max()) + 1 if len(week) else 0
    found = {name: Interval(value=exact[name]) for name in SHOWN[kind] if name in exact}
    if count < 2:
        return found
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rounds)
    tail = (1 - confidence) / 2
    for name in found:
        drawn = _drawn(name, known, week, draws)
        if drawn is not None:
            low, high = np.nanquantile(drawn, [tail, 1 - tail])
            found[name] = Interval(value=exact[name], low=float(low), high=float(high))
    return found


def _drawn(name: str, known: pd.DataFrame, week: np.ndarray, draws: np.ndarray) -> np.ndarray | None:
    if name == "r2":
        return None
    target, prediction = (known[column].to_numpy(dtype=float) for column in ("target", "prediction"))
    if name == "roc_auc":
        return _drawn_auc(target, prediction, week, draws)
    sums, rows = np.bincount(week, row_loss(target, prediction, name)), np.bincount(week)
    means = (draws @ sums) / (draws @ rows)
    return np.asarray(np.sqrt(means) if name == "rmse" else means)


def _drawn_auc(target: np.ndarray, prediction: np.ndarray, week: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Give the AUC of each draw of weeks, from counts in `BINS` equally filled bins of the prediction."""
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, prediction, side="right") + (len(edges) + 1) * week
    size = (draws.shape[1], len(edges) + 1)
    late = np.bincount(place, target, minlength=size[0] * size[1]).reshape(size)
    rest = np.bincount(place, 1 - target, minlength=size[0] * size[1]).reshape(size)
    positive, negative = draws @ late, draws @ rest
    below = negative.cumsum(axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))


def paired(
    scored: pd.DataFrame, reference: pd.DataFrame, metric: str, *, rounds: int = 4000, seed: int = 0
) -> PairedGain | None:
    """Say how much lower a policy's ``metric`` is than the reference's, in its own unit, on rows that both have scored.

    The gain in ``rmse`` is the difference of two roots; see `root_gain` for its interval.

    Parameters
    ----------
    scored, reference : DataFrame of shape (n_rows, n_columns)
        ``row`` (which row it is), ``day``, ``target`` and ``prediction``; rows without an outcome, and those that
        only one has scored, are left out. Not modified. Of a row's two outcomes the first frame's counts.

    Returns
    -------
    PairedGain or None
        ``days`` counts weeks, the units of chance. None with fewer than two.
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
    if metric == "rmse":
        losses = [row_loss(together["target"], together[name], metric) for name in ("champion", "challenger")]
        return root_gain(together["day"], losses[0], losses[1], rounds=rounds, seed=seed)
    return paired_gain(together, metric=metric, confidence=0.95, rounds=rounds, seed=seed)


def root_gain(units: pd.Series, first: np.ndarray, second: np.ndarray, *, rounds: int, seed: int) -> PairedGain | None:
    """Say by how much the root of the mean of ``second`` is lower than that of ``first``.

    A root has no rows to average, so whole units (days, weeks) are resampled and both roots taken of each draw. As in
    `ml.core.comparison.paired_gain` the interval is the wider, at either end, of that and of Student's t, here with the
    error of the linearised difference (delta method; Efron and Tibshirani 1993, ch. 21).

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
    linear = mean_by_day(pd.Series(codes), scaled[0] - scaled[1], confidence=CONFIDENCE, rounds=rounds, seed=seed)
    assert linear is not None  # there are two units
    draws = np.random.default_rng(seed).integers(0, count, size=(rounds, count))
    rows = np.bincount(codes)[draws].sum(axis=1)
    drawn = [np.sqrt(np.bincount(codes, squares)[draws].sum(axis=1) / rows) for squares in (first, second)]
    low, high = np.quantile(drawn[0] - drawn[1], expanded_tails(count, CONFIDENCE))
    gain = roots[0] - roots[1]
    reach = float(stats.t.isf((1 - CONFIDENCE) / 2, linear.freedom)) * linear.error
    return PairedGain(
        gain=gain,
        low=float(min(low, gain - reach)),
        high=float(max(high, gain + reach)),
        days=count,
        rows=len(first),
        error=linear.error,
        resolution=float(reach + stats.t.ppf(POWER, linear.freedom) * linear.error),
        freedom=linear.freedom,
    )


def rolling(scored: pd.DataFrame, metric: str, *, days: int) -> pd.Series:
    """Give the loss over the trailing ``days`` calendar days, by day, in the unit of ``metric``.

    It is NaN until the days are full.
    """
    known = scored.loc[scored["target"].notna()]
    loss = pd.Series(row_loss(known["target"], known["prediction"], metric))
    by_day = loss.groupby(pd.to_datetime(known["day"].to_numpy())).agg(["sum", "size"])
    if by_day.empty:
        return pd.Series(dtype=float)
    summed = by_day.asfreq("D", fill_value=0).rolling(days, min_periods=days).sum()
    return in_its_unit(summed["sum"] / summed["size"], metric)


def in_its_unit(mean: pd.Series, metric: str) -> pd.Series:
    """Give means of row losses in the unit of ``metric``: of ``rmse`` the row losses are squares."""
    return np.sqrt(mean) if metric == "rmse" else mean


def episodes(alarmed: Sequence[date]) -> list[Episode]:
    """Put days of alarm together that are at most `CALM_DAYS` apart.

    Examples
    --------
    >>> days = [date(2013, 5, 1), date(2013, 5, 3), date(2013, 6, 1)]
    >>> [(e.first_day.day, e.last_day.day) for e in episodes(days)]
    [(1, 3), (1, 1)]
    """
    found: list[Episode] = []
    for day in sorted(alarmed):
        if found and day - found[-1].last_day <= timedelta(days=CALM_DAYS):
            found[-1] = Episode(found[-1].first_day, day)
        else:
            found.append(Episode(day, day))
    return found


def false_alarms(found: Sequence[Episode], faults: Sequence[Span], *, window_days: int) -> list[Episode]:
    """List the episodes that began while no injected fault was in the data, or in the window over them."""
    reach = timedelta(days=window_days)
    return [each for each in found if not any(f.first_day <= each.first_day <= f.last_day + reach for f in faults)]


def discovered(fault: Span, seen: Mapping[str, Collection[date]], *, window_days: int) -> Discovery:
    """Say when a fault was first noticed, and by what.

    Parameters
    ----------
    seen
        By what notices (``contract``, ``alarm``, ``warning``, strongest first), the days on which it did while the
        same run without the fault did not. A weaker one counts only where no stronger one ever noticed.
    window_days
        So long after its last day a fault is still in what drift looks at.
    """
    end = fault.last_day + timedelta(days=window_days)
    for by, days in seen.items():
        inside = [day for day in days if fault.first_day <= day <= end]
        if inside:
            return Discovery(fault.name, min(inside), (min(inside) - fault.first_day).days, by)
    return Discovery(fault.name, None, None, "nobody")


def cost(faulty: pd.DataFrame, clean: pd.DataFrame, metric: str, *, rounds: int = 4000, seed: int = 0) -> Cost | None:
    """Say by how much a fault raised the loss, in the unit of ``metric``, of rows that were scored with and without it.

    Parameters
    ----------
    faulty, clean : DataFrame of shape (n_rows, n_columns)
        As in `paired`, of the days of the fault; each row is held against its own world's outcome.

    Returns
    -------
    Cost or None
        None without a row that both have scored.
    """
    wanted = ["row", "target", "prediction"]
    both = faulty.merge(clean[wanted], on="row", how="inner", validate="one_to_one", suffixes=("", "_clean"))
    both = both.loc[both["target"].notna() & both["target_clean"].notna()]
    if both.empty:
        return None
    with_fault = row_loss(both["target"], both["prediction"], metric)
    without = row_loss(both["target_clean"], both["prediction_clean"], metric)
    unscored = len(clean) - len(set(clean["row"]) & set(faulty["row"]))
    if metric == "rmse":
        value = float(np.sqrt(with_fault.mean()) - np.sqrt(without.mean()))
        roots = root_gain(both["day"], with_fault, without, rounds=rounds, seed=seed)
        edges = (roots.low, roots.high) if roots else (None, None)
        return Cost(Interval(value=value, low=edges[0], high=edges[1]), len(both), unscored)
    more = with_fault - without
    found = mean_by_day(both["day"], more, confidence=0.95, rounds=rounds, seed=seed)
    ends = (found.low, found.high) if found else (None, None)
    return Cost(Interval(value=float(more.mean()), low=ends[0], high=ends[1]), len(both), unscored)
