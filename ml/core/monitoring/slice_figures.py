"""What is shown of each part of the data, labelled day by labelled day: what was predicted, and what came.

A loss of a slice mostly says how hard the slice is. Mean prediction and mean outcome say whether the model is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.monitoring.slice_findings import MIN_ROWS, complete_rows, cuttable_terms
from ml.core.monitoring.slice_streams import slices_of
from ml.settings import Settings

DAY = "the whole day"

Figures = Mapping[str, Sequence[float]]
"""Of each slice of a day its number of rows, and the sums of its predictions and of its outcomes."""

Kept = dict[date, tuple[str, dict[str, float], dict[str, list[float]]]]
"""Of labelled days what they were measured of, the score of each stream, and `Figures`."""

LEAST_DAYS = 3
"""With fewer days a gap has no interval."""

CONFIDENCE, DIGITS = 0.95, 6


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
    """Sum a slice over the window of each day, by differences of running sums: three years are asked at once."""
    measured = sorted((day, by_day[day][name]) for day in by_day if name in by_day[day])
    at = np.array([day.toordinal() for day, _ in measured], dtype=int)
    rows, predicted, observed = np.array([figures for _, figures in measured], dtype=float).reshape(-1, 3).T
    apart = predicted - observed
    terms = np.stack([rows, predicted, observed, apart**2, apart * rows, rows**2])
    running = np.concatenate([np.zeros((len(terms), 1)), terms.cumsum(axis=1)], axis=1)
    last = np.array([day.toordinal() for day in days], dtype=int)
    begin, end = np.searchsorted(at, last - window + 1), np.searchsorted(at, last, side="right")
    total_rows, *sums = running[:, end] - running[:, begin]
    held = np.where(total_rows > 0, total_rows, np.nan)
    means = [sums[0] / held, sums[1] / held]
    gap = means[0] - means[1]
    reach = _reach(gap, held, sums[2:], end - begin)
    columns = dict(zip(("predicted", "observed", "gap"), (*means, gap), strict=True))
    return {
        "rows": [int(count) or None for count in total_rows],
        **{key: _rounded(values) for key, values in {**columns, "low": gap - reach, "high": gap + reach}.items()},
    }


def _reach(gap: np.ndarray, rows: np.ndarray, squares: Sequence[np.ndarray], days: np.ndarray) -> np.ndarray:
    """Return how far the interval of a gap reaches; NaN for too few days."""
    enough = days >= LEAST_DAYS
    count = np.where(enough, days, LEAST_DAYS)
    residual = np.maximum(squares[0] - 2 * gap * squares[1] + gap**2 * squares[2], 0.0)
    error = np.sqrt(count / (count - 1) * residual) / rows
    return np.where(enough, stats.t.isf((1 - CONFIDENCE) / 2, count - 1) * error, np.nan)


def _rounded(values: np.ndarray) -> list[float | None]:
    return [round(float(value), DIGITS) if np.isfinite(value) else None for value in values]
