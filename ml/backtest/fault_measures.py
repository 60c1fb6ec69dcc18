"""What monitoring made of injected faults: episodes of alarm, when a fault was found, and what it cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.backtest.measures import root_gain
from ml.core.gate.comparison import mean_by_day
from ml.core.metrics import loss_of, row_loss
from ml.records import Interval

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


def episodes(alarmed: Sequence[date]) -> list[Episode]:
    """Put days of alarm together that are at most `CALM_DAYS` apart.

    Examples
    --------
    >>> days = [date(2013, 5, 1), date(2013, 5, 3), date(2013, 6, 1)]
    >>> [(e.first_day.day, e.last_day.day) for e in episodes(days)]
    [(1, 3), (1, 1)]
    """
    joined: list[Episode] = []
    for day in sorted(alarmed):
        if joined and day - joined[-1].last_day <= timedelta(days=CALM_DAYS):
            joined[-1] = Episode(joined[-1].first_day, day)
        else:
            joined.append(Episode(day, day))
    return joined


def false_alarms(episodes: Sequence[Episode], faults: Sequence[Span], *, window_days: int) -> list[Episode]:
    """List the episodes that began while no injected fault was in the data, or in the window over them."""
    reach = timedelta(days=window_days)
    return [
        episode
        for episode in episodes
        if not any(f.first_day <= episode.first_day <= f.last_day + reach for f in faults)
    ]


def discovered(fault: Span, seen: Mapping[str, Collection[date]], *, window_days: int) -> Discovery:
    """Return when a fault was first noticed, and by what.

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


def cost(
    faulty: pd.DataFrame, clean: pd.DataFrame, metric: str, *, n_resamples: int = 4000, seed: int = 0
) -> Cost | None:
    """Return by how much a fault raised the loss, in the unit of ``metric``, of rows scored with and without it.

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
    if loss_of(metric).is_root:
        value = float(np.sqrt(with_fault.mean()) - np.sqrt(without.mean()))
        roots = root_gain(both["day"], with_fault, without, n_resamples=n_resamples, seed=seed)
        edges = (roots.low, roots.high) if roots else (None, None)
        return Cost(Interval(value=value, low=edges[0], high=edges[1]), len(both), unscored)
    more = with_fault - without
    mean = mean_by_day(both["day"], more, confidence=0.95, n_resamples=n_resamples, seed=seed)
    ends = (mean.low, mean.high) if mean else (None, None)
    return Cost(Interval(value=float(more.mean()), low=ends[0], high=ends[1]), len(both), unscored)
