"""Find since when a part of the data no longer follows the predictions, at every daily look.

A shift of all rows is no change of a part (`ml.core.monitoring.outcome_shifts` looks for it). Each stream of
`ml.core.monitoring.slice_streams` is standardised by its own trailing days, given what the rest of the day is off, and
feeds a Shiryaev-Roberts e-detector
(Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2024,
doi:10.51387/23-NEJSDS51): ``(1 + last) * e`` a day, where ``e`` is an e-value, on average at most 1 while nothing
changes. An average of e-detectors is an e-detector, whatever their dependence, and one that is called at c waits on
average at least c days while nothing changes: c is the budget, for all streams together. Days are neither independent
nor of a known spread, so ``bench/slice_changes.py`` measures what is left of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats

from ml.core.counting import counted
from ml.core.monitoring.slice_streams import ALIKE, REST, parts

TRAILING_DAYS, MIN_TRAILING_DAYS, MEMORY_DAYS = 70, 35, 56
"""Days that a day is standardised by, at most and at least; days over which evidence is gathered."""
STEPS = (0.75, 1.5)
"""The sizes of change, in standard deviations of a day, that the e-values bet on, in both directions."""
MOST = 2.5
"""No day counts for more standard deviations: one storm is no change."""
TINY = 1e-9
"""Columns of a regression that say the same share its slope."""
LASTING_DAYS = 7
"""A change that is called counts as present on so many days, the day of the call among them, unless it is called again.
"""


@dataclass(frozen=True)
class Change:
    """A stream that changed: since which day, and the mean score of a day since then with its 95 % interval."""

    stream: str
    since: str
    days: int
    shift: float
    low: float | None
    high: float | None


def standardise(
    scores: pd.DataFrame,
    *,
    newest: int | None = None,
    beside: Mapping[str, Sequence[str]] | None = None,
    least_scale: float = 1.0,
) -> pd.DataFrame:
    """Measure each day's score against the trailing days of the same stream.

    What a stream does on days that are worse or better as a whole is taken out, by least squares on the trailing
    days: evenings suffer more on a bad day, and that is no change. The scale is at least ``least_scale``, what chance
    alone does; it grows by ``sqrt((1 + r) / (1 - r))`` for a lag-1 autocorrelation ``r`` above 0, since neighbouring
    days that resemble each other prove less than they seem to.

    Parameters
    ----------
    scores : DataFrame of shape (n_days, n_columns)
        In day order; NaN where a stream was too small. Not modified.
    newest
        So many days are measured, the newest; None for all.
    beside
        Of each stream the columns that say how the day is off, as many of each; None for `companions`.

    Returns
    -------
    DataFrame of shape (n_days, n_streams)
        The streams of ``beside``. NaN on days with fewer than `MIN_TRAILING_DAYS` before them on which all is known,
        and on those that were not asked for.
    """
    beside = companions(scores) if beside is None else beside
    standardised = np.full((len(scores), len(beside)), np.nan)
    first = max(MIN_TRAILING_DAYS, len(scores) - (newest or len(scores)))
    if first < len(scores):
        for number, (stream, others) in enumerate(beside.items()):
            columns = scores.reindex(columns=[stream, *others]).to_numpy(dtype=float)
            standardised[first:, number] = _against_past(columns, first, least_scale)
    return pd.DataFrame(standardised, index=scores.index, columns=list(beside))


def companions(scores: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return, of each slice, the columns that say what the rest of the day is off; see `day_streams`."""
    return {name: tuple(name + what for what in (REST, ALIKE)) for name in parts(map(str, scores.columns))}


def _against_past(columns: np.ndarray, first: int, least_scale: float) -> np.ndarray:
    """Standardise the days of one stream from ``first`` on; of shape (n_days - first,).

    Parameters
    ----------
    columns : array of shape (n_days, 1 + n_others)
        The stream, and what it is regressed on.
    """
    known = np.isfinite(columns).all(axis=1)
    padded = np.concatenate(
        [np.full((TRAILING_DAYS, columns.shape[1]), np.nan), np.where(known[:, None], columns, np.nan)]
    )
    past = sliding_window_view(padded[:-1], TRAILING_DAYS, axis=0)[first:].transpose(0, 2, 1)
    now, usable = columns[first:], np.isfinite(past[:, :, 0])
    count = usable.sum(axis=1)
    enough = known[first:] & (count >= MIN_TRAILING_DAYS)
    measured = np.full(len(now), np.nan)
    if enough.any():
        measured[enough] = _regressed(past[enough], usable[enough], now[enough], count[enough], least_scale)
    return measured


def _regressed(
    past: np.ndarray, usable: np.ndarray, now: np.ndarray, count: np.ndarray, least_scale: float
) -> np.ndarray:
    """Measure days against what a regression on their trailing days expects of them.

    Parameters
    ----------
    past : array of shape (n_days, n_trailing, 1 + n_others)
        NaN where not ``usable``, of shape (n_days, n_trailing); ``now`` and ``count`` are of the days themselves.
    """
    mean, spread = np.nanmean(past, axis=1), np.nanstd(past, axis=1)
    unit = np.where(spread > 0, spread, 1.0)[:, 1:]
    around = np.where(usable[:, :, None], past - mean[:, None, :], 0.0)
    others = around[:, :, 1:] / unit[:, None]
    square = np.einsum("dti,dtj->dij", others, others) + TINY * count[:, None, None] * np.eye(others.shape[2])
    slopes = np.linalg.solve(square, np.einsum("dti,dt->di", others, around[:, :, 0])[:, :, None])[:, :, 0]
    residuals = around[:, :, 0] - np.einsum("dti,di->dt", others, slopes)
    lowest, highest = np.nanmin(past, axis=1), np.nanmax(past, axis=1)
    ahead = (np.clip(now, lowest, highest) - mean)[:, 1:] / unit
    centre = mean[:, 0] + np.einsum("di,di->d", ahead, slopes)
    terms = 1 + others.shape[2]
    scale = np.maximum(np.sqrt((residuals**2).sum(axis=1) / (count - terms)), least_scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.clip(residuals / scale[:, None], -3, 3)
        lag = np.clip((near[:, 1:] * near[:, :-1]).sum(axis=1) / np.maximum((near**2).sum(axis=1), 1e-9), 0.0, 0.8)
        scale = scale * np.sqrt((1 + lag) / (1 - lag) * (1 + terms / count))
        return np.where(scale > 0, (now[:, 0] - centre) / scale, np.nan)


def evidence(
    standardised: pd.DataFrame, *, limit: float, steps: Sequence[float] = STEPS, most: float = MOST
) -> pd.DataFrame:
    """Run the e-detectors of all streams over the days; after a call, all begin anew.

    Parameters
    ----------
    standardised : DataFrame of shape (n_days, n_streams)
        In day order; a stream that is NaN on a day gains nothing that day.
    limit
        The mean number of days between calls while nothing changes.
    steps, most
        As `STEPS` and `MOST`.

    Returns
    -------
    DataFrame of shape (n_days, n_parts + 1)
        Each stream's part of the total, and ``total``: a change is called where it reaches ``limit``.
    """
    clipped = standardised.clip(-most, most)
    bets = np.array([sign * step for step in steps for sign in (-1.0, 1.0)])
    weights = stream_weights(standardised.columns.tolist())
    state = np.zeros((standardised.shape[1], len(bets)))
    rows = []
    for values in clipped.to_numpy(dtype=float):
        seen = np.isfinite(values)
        state[seen] = (1 + state[seen]) * np.exp(bets * values[seen, None] - bets**2 / 2)
        parts = weights * state.mean(axis=1)
        rows.append([*parts, parts.sum()])
        if parts.sum() >= limit:
            state[:] = 0
    return pd.DataFrame(rows, index=standardised.index, columns=[*standardised.columns, "total"], dtype=float)


def stream_weights(streams: Sequence[str]) -> np.ndarray:
    """Return each stream's part of the budget: each cut has the same, and its slices share it."""
    cuts = [stream.split(" ")[0] for stream in streams]
    return np.array([1 / (len(set(cuts)) * cuts.count(name)) for name in cuts])


def change_on(scores: pd.DataFrame, *, limit: float, first_day: str | None = None) -> Change | None:
    """Return the stream that changed, as its newest day shows it; None unless a change was called on the newest days.

    Parameters
    ----------
    scores : DataFrame of shape (n_days, n_columns)
        What `ml.core.monitoring.slice_streams.day_streams` gave, in day order, by ISO day; not modified.
    first_day
        Evidence counts from this day on: the first that the champion served. Days before it only standardise.
    """
    if len(scores) <= MIN_TRAILING_DAYS:
        return None
    recent = scores.tail(TRAILING_DAYS + MEMORY_DAYS)
    standardised = standardise(recent, newest=MEMORY_DAYS).tail(MEMORY_DAYS)
    if first_day is not None:
        standardised = standardised.loc[standardised.index >= first_day]
    return called_change(standardised, limit=limit)


def called_change(
    standardised: pd.DataFrame, *, limit: float, steps: Sequence[float] = STEPS, most: float = MOST
) -> Change | None:
    """Return the stream that changed most, out of standardised days; see `evidence` and `change_on`."""
    if standardised.empty or not _measured(standardised):
        return None
    gathered = evidence(standardised, limit=limit, steps=steps, most=most)
    if not (gathered["total"].tail(LASTING_DAYS) >= limit).any():
        return None
    recent_changes = [_change(str(name), standardised[name].dropna(), most) for name in _measured(standardised)]
    return max(recent_changes, key=lambda change: change.days * change.shift**2)


def _measured(standardised: pd.DataFrame) -> list[object]:
    """Name the streams that the newest day measures."""
    return [name for name in standardised if np.isfinite(standardised[name].iloc[-1])]


def _change(stream: str, values: pd.Series, most: float) -> Change:
    """Find the day from which on the newest days speak most for a change, and by how much they are off."""
    backwards = values.to_numpy(dtype=float)[::-1]
    counts = np.arange(1, len(backwards) + 1)
    within = np.clip(backwards, -most, most)
    days = int(np.argmax(np.cumsum(within) ** 2 / counts)) + 1
    own = backwards[:days]
    low = high = None
    if days > 1:
        half = float(stats.t.ppf(0.975, days - 1)) * max(float(own.std(ddof=1)), 0.5) / float(np.sqrt(days))
        low, high = float(own.mean()) - half, float(own.mean()) + half
    return Change(stream, str(values.index[-days]), days, float(own.mean()), low, high)


def size(change: Change) -> str:
    """Say how large a change is, in standard deviations of a day; the words before it say in which direction."""
    ends = ""
    if change.low is not None and change.high is not None:
        low, high = (change.low, change.high) if change.shift >= 0 else (-change.high, -change.low)
        ends = f" (95 % interval {low:.1f} to {high:.1f})"
    return f"{abs(change.shift):.1f} standard deviations of a day{ends} over {counted(change.days, 'labelled day')}"


def message(change: Change, *, limit: float) -> str:
    """Say in a sentence which part of the data changed, since when and by how much."""
    return (
        f"outcomes are {'lower' if change.shift < 0 else 'higher'} than predicted where {change.stream}, beyond what "
        f"the whole day is off, since about {change.since}: {size(change)}; called at most once in {limit:.0f} days "
        "while nothing changes"
    )
