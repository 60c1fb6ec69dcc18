"""Propose how much of a column may be null."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ml.core.data.suite_proposals.limits import MIN_DAYS, ORIGINS
from ml.core.data.suite_proposals.proposed import ProposedExpectation

MIN_ROWS = 200
"""With fewer rows nothing is said of what a column never holds."""
NULL_MARGIN = 0.1
IDENTIFIER = re.compile(r"^[A-Za-z]\w*$")
"""What a parameter may be called."""
SHARE = "expect_column_proportion_of_non_null_values_to_be_between"
MOST_EMPTY_DAYS = 14
"""A longer run of days without a value is not bounded: the recent past is hardly longer."""
EMPTY_OR_SHARE = "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between"


def null_expectations(table: pd.DataFrame, column: str, *, key: bool) -> Iterator[ProposedExpectation]:
    """Yield that a column is never null, or which share of it must hold a value.

    Where a day had no value at all, such days stay legal, but not for twice as many days in a row as ever before, and
    the share is that of the others. A share that follows the recent past would refuse the first such day, and so each
    one after it.
    """
    values = table[column]
    nulls = int(values.isna().sum())
    if key or (not nulls and len(values) >= MIN_ROWS):
        reason = f"No null in {len(values):,} rows." if not nulls else "A part of the key."
        yield ProposedExpectation("expect_column_values_to_not_be_null", {"column": column}, "row", reason)
    if not nulls or key:
        return
    by_day = values.isna().groupby(table["day"].to_numpy()).mean()
    if by_day.max() >= 1:
        yield from _where_not_empty(column, by_day.to_numpy())
        return
    worst, usual = float(by_day.max()), float(by_day.median())
    spread = f"By day {usual:.1%} of it is null as a rule, {worst:.1%} at most."
    if IDENTIFIER.match(column) and _follows_recent_past(by_day.to_numpy()):
        bound: object = {"$PARAMETER": f"min_non_null_share__{column}"}
        yield ProposedExpectation(
            SHARE, {"column": column, "min_value": bound}, "table", f"{spread} The limit follows the recent past."
        )
    else:
        least = max(_least_share(by_day.to_numpy()), 0.01)
        yield ProposedExpectation(SHARE, {"column": column, "min_value": least}, "table", spread)


def _where_not_empty(column: str, null_shares: np.ndarray) -> Iterator[ProposedExpectation]:
    """Yield which share of a column holds a value on days that have any, if limits from the past have held.

    Parameters
    ----------
    null_shares : array of shape (n_days,)
        In the order of days; 1 where a day has no value.
    """
    others = null_shares[null_shares < 1]
    least = _least_share(others) if len(others) >= MIN_DAYS else 0.0
    held = all(
        1 - others[first:].max(initial=0) >= _least_share(others[:first])
        for first in (max(5, int(len(others) * share)) for share in ORIGINS)
    )
    if least <= 0 or not held:
        return
    empty = null_shares >= 1
    longest = _longest_run(empty)
    most = 2 * longest
    kwargs: dict[str, object] = {"column": column, "min_value": least}
    in_a_row = ""
    if IDENTIFIER.match(column) and most <= MOST_EMPTY_DAYS:
        kwargs |= {"max_empty_days": most, "empty_days_before": {"$PARAMETER": f"empty_days_before__{column}"}}
        in_a_row = f", on at most {most} days in a row"
    reason = (
        f"On {empty.sum()} of {len(empty)} days it has no value, on {longest} in a row at most. On the others "
        f"{np.median(others):.1%} of it is null as a rule, {others.max():.1%} at most."
    )
    rule = f"{column} must have no value on the whole day{in_a_row}, or one in at least {least:.0%} of the rows"
    yield ProposedExpectation(EMPTY_OR_SHARE, kwargs, "table", reason, rule)


def _longest_run(empty: np.ndarray) -> int:
    """Return how many days in a row are empty at most, of an array of bool."""
    runs = np.diff(np.flatnonzero(np.concatenate(([True], ~empty, [True]))))
    return int(runs.max()) - 1


def _least_share(null_shares: np.ndarray) -> float:
    """Return which share of a column must hold a value: what days had, and room."""
    worst = float(null_shares.max())
    return round(1 - worst - max(NULL_MARGIN, worst / 2), 2)


def _follows_recent_past(null_shares: np.ndarray) -> bool:
    """Return whether limits from the days before would have accepted each day."""
    return all(
        null_shares[day] <= null_shares[max(0, day - 28) : day].max() + NULL_MARGIN
        for day in range(7, len(null_shares))
    )
