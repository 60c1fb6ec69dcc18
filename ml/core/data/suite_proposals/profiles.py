"""Propose what a day as a whole may look like: where the numbers of a column lie, which shares its categories have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ml.core.data.suite_proposals.limits import NumberLimits, limits_that_held, outward, room_for_days
from ml.core.data.suite_proposals.proposed import ProposedExpectation

QUANTILES = (0.1, 0.5, 0.9)
SEEN = "By day from {low:.4g} to {high:.4g}; limits with the room that the past needed."
MOST_CATEGORIES = 50
HOLDOUT = 0.01
"""The weight of values that were never seen before, together."""
SAYS_MORE = 0.7
SATURATED, STANDS_OUT, NEIGHBOURS = 0.005, 5.0, 5
"""A scale ends at its smallest or largest value if that is so large a share of all, and so many times as frequent as
each of so many values next to it.
"""
FULL = (1, 100)
"""What a share and a percentage are at most."""
FEW_SHARE, FEW_ROWS = 0.02, 2
"""So many rows of a day, whichever is more, may be on the other side of a quantile than they were."""


def number_profile(table: pd.DataFrame, column: str, limits_of_values: NumberLimits) -> Iterator[ProposedExpectation]:
    """Yield limits for a day's mean, standard deviation, quantiles, and share of zeros.

    Where a day had no value, which is legal then, a day may have no mean; nor a deviation where one had a single value.
    Where a scale has an end that the past has seen, a day may lie wholly at it: its deviation has no lower limit.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Carries ``day``. Not modified.
    limits_of_values
        What each value must be: limits of a day that say no more are left out.
    """
    numbers = table[column].astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    spread = float(numbers.std())
    if not spread > 0:
        return
    by_day = numbers.groupby(table["day"].to_numpy())
    room = room_for_days(table["day"])
    fewest = int(by_day.count().min())
    if fewest < 1:
        yield from _zeros(table, column)
        return
    means, deviations = by_day.mean().dropna(), by_day.std().dropna()
    limits = limits_that_held(means.to_numpy(), least_span=0.1 * spread, least_room=room)
    if limits is not None and _says_more(limits, limits_of_values):
        kwargs = _between(column, *outward(*limits))
        yield ProposedExpectation("expect_column_mean_to_be_between", kwargs, "table", _seen(means))
    limits = limits_that_held(deviations.to_numpy(), least_span=0.1, least_room=room, logarithmic=True)
    if limits is not None and fewest > 1 and (deviations > 0).all() and limits[1] < 10 * deviations.max():
        kwargs = _between(column, float(f"{limits[0]:.3g}"), float(f"{limits[1]:.3g}"))
        if _saturates(numbers) or _is_full_share(numbers):
            del kwargs["min_value"]
        yield ProposedExpectation("expect_column_stdev_to_be_between", kwargs, "table", _seen(deviations))
    yield from _quantiles(by_day, column, spread, room, limits_of_values)
    yield from _zeros(table, column)


def _saturates(numbers: pd.Series) -> bool:
    """Return whether values pile up at an end of a scale, such as a humidity of 100 %: a day may then hardly vary."""
    counts = numbers.value_counts().sort_index()
    return any(
        ordered.iloc[0] > max(SATURATED * counts.sum(), STANDS_OUT * ordered.iloc[1 : 1 + NEIGHBOURS].max())
        for ordered in (counts, counts[::-1])
        if len(ordered) > 1
    )


def _is_full_share(numbers: pd.Series) -> bool:
    """Return whether a share or a percentage was once full, such as a humidity of 100 %: it may be for a whole day."""
    return bool(numbers.min() >= 0 and numbers.max() in FULL)


def _says_more(limits: tuple[float, float], of_values: NumberLimits) -> bool:
    """Return whether limits of a day are clearly narrower than those of each value."""
    low, high = max(limits[0], of_values.low), min(limits[1], of_values.high)
    return high - low < SAYS_MORE * (of_values.high - of_values.low)


def _between(column: str, low: float, high: float) -> dict[str, Any]:
    return {"column": column, "min_value": low, "max_value": high}


def _seen(by_day: pd.Series) -> str:
    return SEEN.format(low=by_day.min(), high=by_day.max())


def _quantiles(
    by_day: Any, column: str, spread: float, room: float, limits_of_values: NumberLimits
) -> Iterator[ProposedExpectation]:
    """Yield limits for the quantiles of a day that have some.

    A quantile is a value of the day, the nearest, as Great Expectations takes it: of a column of few values it steps
    from one to the next where a few rows more are on one side, so that these are within the limits.
    """
    quantiles, ranges, seen = [], [], []
    few = max(FEW_SHARE, FEW_ROWS / max(float(by_day.count().median()), 1.0))
    for quantile in QUANTILES:
        values = _nearest(by_day, quantile)
        limits = limits_that_held(values.to_numpy(), least_span=0.1 * spread, least_room=room)
        if limits is None:
            continue
        below, above = _nearest(by_day, max(quantile - few, 0.0)), _nearest(by_day, min(quantile + few, 1.0))
        limits = min(limits[0], float(below.min())), max(limits[1], float(above.max()))
        if _says_more(limits, limits_of_values):
            quantiles.append(quantile)
            ranges.append(list(outward(*limits)))
            seen.append(f"{quantile:.0%} from {values.min():.4g} to {values.max():.4g}")
    if not quantiles:
        return
    yield ProposedExpectation(
        "expect_column_quantile_values_to_be_between",
        {"column": column, "quantile_ranges": {"quantiles": quantiles, "value_ranges": ranges}},
        "table",
        f"By day {', '.join(seen)}; limits with the room that the past needed.",
        "; ".join(
            f"{quantile:.0%} of {column} must lie at or below a value between {low:g} and {high:g}"
            for quantile, (low, high) in zip(quantiles, ranges, strict=True)
        ),
    )


def _nearest(by_day: Any, quantile: float) -> pd.Series:
    values: pd.Series = by_day.quantile(quantile, interpolation="nearest").dropna()
    return values


def _zeros(table: pd.DataFrame, column: str) -> Iterator[ProposedExpectation]:
    """Yield of how many rows a column may be 0 at most; 0 is what many systems write for a null."""
    values = table[column].dropna()
    by_day = (values == 0).groupby(table.loc[values.index, "day"].to_numpy()).mean()
    if not 0 < by_day.max() < 0.9:
        return
    limits = limits_that_held(by_day.to_numpy(), least_span=0.05)
    if limits is None or limits[1] >= 0.95:
        return
    mostly = float(np.floor(100 * (1 - limits[1])) / 100)
    yield ProposedExpectation(
        "expect_column_values_to_not_be_in_set",
        {"column": column, "value_set": [0], "mostly": mostly},
        "table",
        f"By day 0 in {by_day.min():.1%} to {by_day.max():.1%} of the rows.",
        f"{column} must not be 0 in at least {mostly:.0%} of the rows",
    )


def category_profile(table: pd.DataFrame, column: str) -> Iterator[ProposedExpectation]:
    """Yield how far the shares of a category's values may lie from those of the past, by Kullback and Leibler."""
    values = table[column].dropna()
    shares = values.value_counts(normalize=True).sort_index()
    if not 2 <= len(shares) <= MOST_CATEGORIES:
        return
    weights = np.round(shares.to_numpy(), 5)
    weights[weights.argmax()] += round(1 - weights.sum(), 5)
    if (weights <= 0).any():
        return
    counts = pd.crosstab(table.loc[values.index, "day"].to_numpy(), values.to_numpy())[list(shares.index)]
    of_day = counts.div(counts.sum(axis=1), axis=0).to_numpy()
    distances = (of_day * np.log(np.where(of_day > 0, of_day / weights, 1.0))).sum(axis=1)
    limits = limits_that_held(distances, least_span=0.3, logarithmic=True)
    if limits is None or limits[1] > 1:
        return
    yield ProposedExpectation(
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": column,
            "partition_object": {"values": [str(value) for value in shares.index], "weights": weights.tolist()},
            "threshold": float(f"{limits[1]:.3g}"),
            "tail_weight_holdout": HOLDOUT,
        },
        "table",
        f"By day from {distances.min():.3g} to {distances.max():.3g}; with the room that the past needed.",
        f"the shares of the values of {column} must lie near those of the past (divergence of at most {limits[1]:.3g})",
    )
