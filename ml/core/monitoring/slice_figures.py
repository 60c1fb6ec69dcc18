"""What is shown of each part of the data, labelled day by labelled day: what was predicted, and what came.

A loss of a slice mostly says how hard the slice is. Mean prediction and mean outcome say whether the model is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.monitoring.slice_findings import MIN_ROWS, complete_rows, cuttable_terms
from ml.core.monitoring.slice_streams import DAY, slices_of
from ml.settings import Settings

Figures = Mapping[str, Sequence[float]]
"""Of each slice of a day its number of rows, and the sums of its predictions and of its outcomes."""

Kept = dict[date, tuple[str, dict[str, float], dict[str, list[float]]]]
"""Of labelled days what they were measured of, the score of each stream, and `Figures`."""

LEAST_DAYS = 3
"""With fewer days a gap has no interval."""

CONFIDENCE = 0.95


def figures_of(rows: pd.DataFrame, settings: Settings) -> dict[str, list[float]]:
    """Measure each slice of a labelled day, and the day as a whole.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        As `ml.core.monitoring.slice_findings.scores_of` takes them; not modified.

    Returns
    -------
    dict
        See `Figures`; slices of fewer than `MIN_ROWS` rows are left out.
    """
    known = complete_rows(rows)
    predicted, outcome = (known[name].to_numpy(dtype=float) for name in ("prediction", "target"))
    parts = [(DAY, np.full(len(known), True)), *slices_of(known, cuttable_terms(known, settings), {})]
    return {
        name: [int(held.sum()), *(float(f"{values[held].sum():.8g}") for values in (predicted, outcome))]
        for name, held in parts
        if held.sum() >= MIN_ROWS
    }


def kept_days(facts: Mapping[str, Any]) -> Kept:
    """Read what *monitor* keeps of labelled days in one file.

    Raises
    ------
    ValueError, TypeError, AttributeError
        If it is damaged, or of another release.
    """
    return {
        date.fromisoformat(day): (
            str(content),
            {name: float(score) for name, score in scores.items()},
            {name: [float(figure) for figure in figures] for name, figures in slices.items()},
        )
        for day, (content, scores, slices) in facts.items()
    }


def slice_history(by_day: Mapping[date, Figures], days: Sequence[date], *, window: int) -> list[dict[str, Any]]:
    """Follow each slice over the trailing days up to each of some days.

    The interval of a gap is that of a ratio of daily sums, days being drawn as clusters (Cochran 1977, *Sampling
    Techniques*, ch. 6 and 9A), with a t distribution.

    Parameters
    ----------
    by_day
        What `figures_of` gave of labelled days.
    days
        The days that are shown, in order.
    window
        Over how many calendar days each figure is taken, the day included.

    Returns
    -------
    list of dict
        By slice, the day as a whole first and then the largest: ``slice``, and of as many entries as ``days``:
        ``rows``, ``predicted`` and ``observed`` (means), their ``gap`` with ``low`` and ``high``; None without a row.
    """
    names: dict[str, float] = {}
    for figures in by_day.values():
        for name, (rows, *_) in figures.items():
            names[name] = names.get(name, 0) + rows
    order = sorted(names, key=lambda name: (name != DAY, -names[name], name))
    return [{"slice": name, **_followed(name, by_day, days, window)} for name in order]


def _followed(name: str, by_day: Mapping[date, Figures], days: Sequence[date], window: int) -> dict[str, list[Any]]:
    measured = sorted((day, by_day[day][name]) for day in by_day if name in by_day[day])
    at = np.array([day.toordinal() for day, _ in measured], dtype=int)
    sums = np.array([figures for _, figures in measured], dtype=float).reshape(-1, 3)
    columns: dict[str, list[Any]] = {key: [] for key in ("rows", "predicted", "observed", "gap", "low", "high")}
    for day in days:
        first, last = (day - timedelta(days=window - 1)).toordinal(), day.toordinal()
        part = sums[np.searchsorted(at, first) : np.searchsorted(at, last, side="right")]
        for key, value in zip(columns, _summed(part), strict=True):
            columns[key].append(value)
    return columns


def _summed(part: np.ndarray) -> tuple[Any, ...]:
    if not len(part):
        return (None,) * 6
    rows, predicted, observed = part.sum(axis=0)
    gap = float((predicted - observed) / rows)
    means = tuple(round(float(mean), 6) for mean in (predicted / rows, observed / rows, gap))
    if len(part) < LEAST_DAYS:
        return int(rows), *means, None, None
    apart = part[:, 1] - part[:, 2] - gap * part[:, 0]
    error = float(np.sqrt(len(part) / (len(part) - 1) * (apart**2).sum()) / rows)
    reach = float(stats.t.isf((1 - CONFIDENCE) / 2, len(part) - 1)) * error
    return int(rows), *means, round(gap - reach, 6), round(gap + reach, 6)
