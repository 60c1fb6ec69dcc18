"""Propose relations between numbers that held on every row: equal, ordered, sums, a clock, a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ml.core.data.suite_proposals.limits import ROOMS, NumberLimits, limits_that_held, outward, seen_when_exchanged
from ml.core.data.suite_proposals.proposed import ProposedExpectation

SUM = "expect_weighted_sum_to_be_between"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
MIN_ROWS = 200
MOST_COLUMNS = 40
"""Of wider tables only so many columns of numbers are compared with each other."""
TOUCHES = 3
"""Two columns that never change order, and are equal at so many values on so many days, are ordered by nature."""
NEARLY_ALWAYS, ROOM_OF_SHARE = 0.8, 0.05
TIGHT = 0.1
"""A line holds if no row lies further from it than this share of the column's spread (standard deviation)."""


def relation_expectations(
    table: pd.DataFrame, columns: Sequence[str], limits: Mapping[str, NumberLimits]
) -> Iterator[ProposedExpectation]:
    """Yield the relations between some columns of numbers.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Carries ``day``. Not modified.
    columns
        Columns of numbers that vary.
    limits
        What each of them must be by itself: an order that says no more is left out.
    """
    columns = list(columns)[:MOST_COLUMNS]
    numbers = {column: table[column].to_numpy(dtype=float) for column in columns}
    days = table["day"].astype(str).to_numpy()
    tied: set[frozenset[str]] = set()
    for first, second in combinations(columns, 2):
        proposal = _equal(numbers, first, second) or _line(numbers, days, first, second)
        if proposal is not None:
            tied.add(frozenset((first, second)))
            yield proposal
    yield from _sums(numbers)
    yield from _orders(numbers, days, limits)


def _both(numbers: dict[str, np.ndarray], *columns: str) -> np.ndarray:
    return np.asarray(np.logical_and.reduce([np.isfinite(numbers[column]) for column in columns]), dtype=bool)


def _equal(numbers: dict[str, np.ndarray], first: str, second: str) -> ProposedExpectation | None:
    both = _both(numbers, first, second)
    rows = int(both.sum())
    if rows < MIN_ROWS or (numbers[first][both] != numbers[second][both]).any():
        return None
    return ProposedExpectation(
        "expect_column_pair_values_to_be_equal",
        {"column_A": first, "column_B": second, "ignore_row_if": "either_value_is_missing"},
        "row",
        f"Equal in each of {rows:,} rows.",
        f"{first} must equal {second}",
    )


def _line(numbers: dict[str, np.ndarray], days: np.ndarray, first: str, second: str) -> ProposedExpectation | None:
    """Propose that one column lies close to a line through the other, as a copy in another unit does."""
    both = _both(numbers, first, second)
    if both.sum() < MIN_ROWS:
        return None
    x, y = numbers[first][both], numbers[second][both]
    if abs(np.corrcoef(x, y)[0, 1]) < 0.95:
        return None
    slope = float(f"{np.cov(x, y)[0, 1] / x.var(ddof=1):.6g}")
    rest = pd.Series(y - slope * x).groupby(days[both])
    lows, highs = limits_that_held(rest.min().to_numpy()), limits_that_held(rest.max().to_numpy())
    if lows is None or highs is None:
        return None
    low, high = outward(lows[0], highs[1])
    if high - low > 2 * TIGHT * y.std() * 5:
        return None
    return ProposedExpectation(
        SUM,
        {"column_list": [second, first], "weights": [1.0, -slope], "min_value": low, "max_value": high},
        "row",
        f"Of {int(both.sum()):,} rows from {rest.min().min():.4g} to {rest.max().max():.4g}; with room.",
        f"{second} - {slope:g} * {first} must be between {low:g} and {high:g}",
    )


def _sums(numbers: dict[str, np.ndarray]) -> Iterator[ProposedExpectation]:
    """Yield triples where one column is the sum of two others, as it is or on a clock."""
    columns = list(numbers)
    all_rows = len(next(iter(numbers.values()))) if numbers else 0
    few = np.unique(np.linspace(0, all_rows - 1, 500).astype(int)) if all_rows else np.array([], dtype=int)
    for total in columns:
        for first, second in combinations([column for column in columns if column != total], 2):
            sample = numbers[total][few] - numbers[first][few] - numbers[second][few]
            sample = np.round(sample[np.isfinite(sample)], 6)
            if len(sample) < 50 or len(np.unique(sample)) > 3:
                continue
            proposal = _sum(numbers, total, first, second)
            if proposal is not None:
                yield proposal


def _sum(numbers: dict[str, np.ndarray], total: str, first: str, second: str) -> ProposedExpectation | None:
    whole = _both(numbers, total, first, second)
    if whole.sum() < MIN_ROWS:
        return None
    rest = numbers[total][whole] - numbers[first][whole] - numbers[second][whole]
    values = np.unique(np.round(rest, 6))
    if len(values) > 3:
        return None
    modulus = None
    if len(values) > 1:
        gaps = np.unique(np.round(np.diff(values), 6))
        if len(gaps) != 1 or not (np.abs(values) < 1e-6).any():
            return None
        modulus = float(gaps[0])
    constant = 0.0 if modulus else float(values[0])
    offset = f" + {constant:g}" if constant else ""
    kwargs: dict[str, object] = {
        "column_list": [total, first, second],
        "weights": [1.0, -1.0, -1.0],
        "min_value": constant,
        "max_value": constant,
    }
    if modulus:
        kwargs["modulus"] = modulus
    rule = f"{total} must be {first} + {second}{offset}" + (f", modulo {modulus:g}" if modulus else "")
    return ProposedExpectation(SUM, kwargs, "row", f"Held in each of {int(whole.sum()):,} rows.", rule)


def _orders(
    numbers: dict[str, np.ndarray], days: np.ndarray, limits_by_column: Mapping[str, NumberLimits]
) -> Iterator[ProposedExpectation]:
    """Yield which number is never above which other; and of what share of a day's rows that is true, if of most."""
    always: dict[tuple[str, str], int] = {}
    shares: dict[tuple[str, str], Any] = {}
    for first, second in combinations(numbers, 2):
        both = _both(numbers, first, second)
        if both.sum() < MIN_ROWS:
            continue
        a, b = numbers[first][both], numbers[second][both]
        if not _overlap(a, b):
            continue
        share = float((a >= b).mean())
        larger, smaller = (first, second) if share >= 0.5 else (second, first)
        difference = a - b if share >= 0.5 else b - a
        if difference.min() >= 0 and difference.any() and _by_nature(difference, a, days[both]):
            always[larger, smaller] = int(both.sum())
        elif (difference >= 0).mean() >= NEARLY_ALWAYS and not (
            seen_when_exchanged(a, b, days[both], limits_by_column[first])
            or seen_when_exchanged(b, a, days[both], limits_by_column[second])
        ):
            shares[larger, smaller] = pd.Series(difference).groupby(days[both])
    for (larger, smaller), rows in sorted(always.items()):
        if any((larger, between) in always and (between, smaller) in always for between in numbers):
            continue
        yield _greater(larger, smaller, None, f"Held in each of {rows:,} rows.")
    for (larger, smaller), differences in shares.items():
        by_day = differences.apply(lambda of_day: float((of_day >= 0).mean()))
        limits = limits_that_held(by_day.to_numpy(), least_span=0.02)
        if limits is None:
            continue
        mostly = float(np.floor(100 * (min(limits[0], by_day.min()) - ROOM_OF_SHARE)) / 100)
        if mostly > 0.55 and _keeps_apart(differences, mostly):
            reason = f"By day it held in {by_day.min():.1%} to {by_day.max():.1%} of the rows."
            yield _greater(larger, smaller, mostly, reason)


def _keeps_apart(differences: Any, mostly: float) -> bool:
    """Return whether the difference that ``mostly`` rows of a day exceed will stay above 0, by its own limits."""
    by_day = differences.quantile(1 - mostly)
    limits = limits_that_held(by_day.to_numpy(), least_span=float(by_day.std()), least_room=ROOMS[1])
    return limits is not None and limits[0] >= 0


def _greater(larger: str, smaller: str, mostly: float | None, reason: str) -> ProposedExpectation:
    kwargs: dict[str, object] = {"column_A": larger, "column_B": smaller, "or_equal": True}
    kwargs["ignore_row_if"] = "either_value_is_missing"
    if mostly is None:
        return ProposedExpectation(GREATER, kwargs, "row", reason, f"{smaller} must not be above {larger}")
    rule = f"{smaller} must not be above {larger} in at least {mostly:.0%} of the rows"
    return ProposedExpectation(GREATER, kwargs | {"mostly": mostly}, "table", reason, rule)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether the ranges of two columns meet: else their own limits say it already."""
    return bool(min(a.max(), b.max()) > max(a.min(), b.min()))


def _by_nature(difference: np.ndarray, a: np.ndarray, days: np.ndarray) -> bool:
    """Return whether two columns that never changed order will not: they touch often, or keep apart with room."""
    touching = difference == 0
    if len(np.unique(a[touching])) >= TOUCHES and len(np.unique(days[touching])) >= TOUCHES:
        return True
    limits = limits_that_held(pd.Series(difference).groupby(days).min().to_numpy(), least_span=0.1 * difference.std())
    return limits is not None and limits[0] >= 0
