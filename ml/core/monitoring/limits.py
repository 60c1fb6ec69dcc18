"""How far each column wanders while nothing changes, and the limit that follows from it at a declared rate.

A reference is cut into every run of ``window_days`` days, and each run's distance from the rest is taken: that is how
far a column wanders. Distances of blocks are lengths of sums over days, so their power 2/3 is close to
normal (Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684), and a column's limit is

    (mean + multiplier * sd) ** 1.5    of its distances to the power 2/3,

one multiplier for all. It is a prediction limit (Hahn and Meeker, Statistical Intervals): it allows for what
a short reference cannot know. As with water wells that are watched for years (Davis and McNichols 1987,
Technometrics 29:359; Gibbons, Statistical Methods for Groundwater Monitoring), the rate is that of the whole rule, for
all columns together and with repeated looks, and such rules have no closed form: the multiplier is the one with which
this very rule, on simulated columns that never change, raises as many alarms as were declared. Days of the simulated
columns are independent and heavy-tailed (Student's t with 3 degrees of freedom): real days have holidays and storms.
That tail was chosen on the columns of the demo, calm and bursty ones, and on noise (decision 12): on other data
take the rate for an order of magnitude, and measure it (`bench/false_alarms.py`). A reference with an unusual week of
its own may have moved further than its limit: such a week is not counted to its baseline range.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce

import numpy as np
import pandas as pd

from ml.core.monitoring.day_blocks import count_all, daily_counts, variability
from ml.core.monitoring.drift import LABEL
from ml.core.predictions import compared_labels, compared_predictions
from ml.records import Limit
from ml.settings import Drift, Task

QUARTER_DAYS = 91
MIN_BLOCKS = 3
SHORT_FACTOR = 3.0
"""Under ``MIN_BLOCKS`` blocks only a gross move counts: so many times the effect-size floor."""
MAX_ROWS = 1_000_000
POWER = 2 / 3
SIMULATED_QUARTERS = 2000
SIMULATED_CELLS = 2_000_000
LONGEST_REFERENCE_DAYS = 364
DIRECTIONS = 3
TAIL = 3
SEED = 20130101


def limits_of(reference: pd.DataFrame, drift: Drift) -> dict[str, Limit]:
    """Return each watched column its own limit, from its baseline variability in the reference.

    All structural columns together, and labels where ``drift.labels`` is ``alarm``, then raise about
    ``drift.false_alarms_per_quarter`` alarms in 91 days while nothing changes; fewer where the floor
    ``drift.min_distance`` binds, where columns move together, or where ``min_drifted_columns`` is more than one. An
    environment column gets its limit at the rate of one structural column.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string); not modified. Of more than a million rows a seeded sample is read.

    Returns
    -------
    dict
        Column to limit. A column without any value has none and will read as unknown.
    """
    if len(reference) > MAX_ROWS:
        reference = reference.sample(n=MAX_ROWS, random_state=SEED)
    counted = count_all(reference, [*drift.structural, *drift.environment], drift.methods)
    wandering = {column: variability(counts, drift.window_days) for column, counts in counted.items()}
    return limits_from(wandering, reference["day"].nunique(), drift)


def limits_from(wandering: Mapping[str, np.ndarray], days: int, drift: Drift) -> dict[str, Limit]:
    """Return the limits of columns whose blocks' distances are known; otherwise as `limits_of`.

    Parameters
    ----------
    wandering
        Of each column, the distances that `ml.core.monitoring.day_blocks.variability` gives.
    days
        How many days the reference has.
    """
    together = _sharing(sum(column in wandering for column in drift.structural), drift)
    return {column: _limit(moved, days, drift, together, drift.min_distance) for column, moved in wandering.items()}


def limit_of_series(values: pd.Series, days: pd.Series, drift: Drift, *, floor: float) -> Limit | None:
    """Return the limit of one further column (predictions, labels), at the rate of one structural column.

    Parameters
    ----------
    values, days : Series of shape (n_rows,)
        The reference's values and the ISO day of each; not modified.
    floor
        No limit is lower.

    Returns
    -------
    Limit or None
        None if there is no value at all.
    """
    if not values.notna().any():
        return None
    counts = daily_counts(values, days, drift.methods)
    moved = variability(counts, drift.window_days)
    return _limit(moved, len(counts.counts), drift, _sharing(len(drift.structural), drift), floor)


def own_limits(predicted: pd.DataFrame, declared: Drift, task: Task) -> dict[str, Limit]:
    """Compute limits of predictions and labels from how their own blocks of days vary.

    Of several classes the probability of each has a limit of its own.

    Parameters
    ----------
    predicted : DataFrame of shape (n_rows, n_columns)
        ``day``, ``prediction`` and ``target``, out of fold; not modified.
    """
    sides = compared_predictions(predicted["prediction"], task)
    series = [(name, values, declared.min_prediction_distance) for name, values in sides.items()]
    series.append((LABEL, compared_labels(predicted["target"], task), declared.min_distance))
    limits = {name: limit_of_series(values, predicted["day"], declared, floor=floor) for name, values, floor in series}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _sharing(structural: int, drift: Drift) -> int:
    """Return among how many the declared rate is shared: all that can raise an alarm by having moved."""
    return max(1, structural + (drift.labels == "alarm"))


def _limit(moved: np.ndarray, days: int, drift: Drift, together: int, floor: float) -> Limit:
    moved = moved[np.isfinite(moved)]
    blocks = days // drift.window_days
    if blocks < MIN_BLOCKS or len(moved) <= drift.window_days:
        return Limit(limit=SHORT_FACTOR * floor, baseline_range=None, blocks=min(blocks, len(moved)))
    times = multiplier(
        days, drift.window_days, together, alarm_days=drift.alarm_days, rate=drift.false_alarms_per_quarter
    )
    normal = moved**POWER
    limit = float(normal.mean() + times * normal.std()) ** (1 / POWER)
    limit = max(floor, limit)
    return Limit(limit=limit, baseline_range=float(moved[moved <= limit].max(initial=0.0)), blocks=blocks)


def alarms(over: np.ndarray, alarm_days: tuple[int, int]) -> np.ndarray:
    """Return on which days an alarm stands: over on k of the newest n days, this day among them.

    Parameters
    ----------
    over : bool array of shape (..., n_days)

    Returns
    -------
    bool array of shape (..., n_days)
    """
    wanted, newest = alarm_days
    total = np.concatenate([np.zeros((*over.shape[:-1], newest), dtype=int), over.cumsum(axis=-1)], axis=-1)
    return np.asarray(over & (total[..., newest:] - total[..., :-newest] >= wanted))


def episodes(alarm: np.ndarray) -> np.ndarray:
    """Mark the first day of each run of alarm days; same shape, bool."""
    before = np.concatenate([np.zeros((*alarm.shape[:-1], 1), dtype=bool), alarm[..., :-1]], axis=-1)
    return np.asarray(alarm & ~before)


def multiplier(days: int, window_days: int, columns: int, *, alarm_days: tuple[int, int], rate: float) -> float:
    """Find how many standard deviations over the mean raise ``rate`` alarms per 91 days, of all columns together.

    Parameters
    ----------
    days
        Length of the reference; shorter ones need more. At least three windows.
    rate
        Episodes per 91 days, averaged over references.

    Examples
    --------
    >>> short = multiplier(35, 7, 5, alarm_days=(2, 3), rate=1.0)
    >>> short > multiplier(91, 7, 5, alarm_days=(2, 3), rate=1.0)
    True
    """
    days = min(days, max(LONGEST_REFERENCE_DAYS, MIN_BLOCKS * window_days))
    return _multiplier(days, window_days, columns, tuple(alarm_days), rate)


@lru_cache(maxsize=256)
def _multiplier(days: int, window_days: int, columns: int, alarm_days: tuple[int, int], rate: float) -> float:
    lead = alarm_days[1]
    furthest = _furthest(days, window_days, columns, lead + QUARTER_DAYS)

    def raised(height: float) -> float:
        starts = episodes(alarms(furthest > height, alarm_days))[:, lead:]
        return float(starts.sum(axis=-1).mean())

    low, high = 0.0, float(furthest.max())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if raised(middle) > rate else (low, middle)
    return high


@lru_cache(maxsize=16)
def _furthest(days: int, window_days: int, columns: int, looks: int) -> np.ndarray:
    """Simulate the furthest column's standardised distance on each look after a reference.

    Returns
    -------
    array of shape (n_quarters, looks)
    """
    chance = np.random.default_rng(SEED)
    length = days + window_days - 1 + looks
    at_once = max(1, SIMULATED_CELLS // (length * columns * DIRECTIONS))
    quarters = int(np.clip(20 * SIMULATED_CELLS // (length * columns * DIRECTIONS), 200, SIMULATED_QUARTERS))
    parts = [
        _one_batch(min(at_once, quarters - first), days, window_days, columns, length, chance)
        for first in range(0, quarters, at_once)
    ]
    return np.concatenate(parts)


def _one_batch(
    size: int, days: int, window_days: int, columns: int, length: int, chance: np.random.Generator
) -> np.ndarray:
    shape = (size, length, columns)
    moves = chance.standard_normal((*shape, DIRECTIONS))
    spread = np.sqrt(chance.chisquare(TAIL, shape) / TAIL)
    # One direction after the other: most of the time goes into memory. Squares are added up in the order of a norm.
    squares = [_squares(moves[..., direction] / spread, days, window_days) for direction in range(DIRECTIONS)]
    variability, later = (np.sqrt(reduce(np.add, parts)) ** POWER for parts in zip(*squares, strict=True))
    standard = (later - variability.mean(axis=1, keepdims=True)) / variability.std(axis=1, keepdims=True)
    return np.asarray(standard.max(axis=-1))


def _squares(moves: np.ndarray, days: int, window_days: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances in one direction: of the reference's blocks from the rest of it, and of later ones."""
    size, length, columns = moves.shape
    total = np.zeros((size, length + 1, columns))
    moves.cumsum(axis=1, out=total[:, 1:])
    blocks, reference = total[:, window_days:] - total[:, :-window_days], total[:, [days]]
    inside, after = blocks[:, : days - window_days + 1], blocks[:, days:]
    from_rest = inside / window_days - (reference - inside) / (days - window_days)
    return from_rest**2, (after / window_days - reference / days) ** 2
