"""Propose what follows from what: a value from a code or from two, and which values come together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ml.core.data.suite_proposals.proposed import ProposedExpectation

FOLLOWS = "expect_last_column_to_follow_from_others"
MOST_LISTED = 1000
"""A table of more combinations than so many is no part of a contract that people read."""
MOST_VALUES = 1.1
"""A column follows from others if a combination of these comes with so many of its values in the mean."""
REPEATED = 5.0
"""So many rows for each combination are needed, or what follows from it is chance."""
FEW_VALUES = 12
ABSENT_BUT_EXPECTED = 20.0
"""A pair of values that never came, though by chance it would have so often, does not go together."""


def code_expectations(
    table: pd.DataFrame, codes: Sequence[str], others: Sequence[str]
) -> Iterator[ProposedExpectation]:
    """Yield which column follows from one code or from two, and which values of two codes come together.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Carries ``day``. Not modified.
    codes
        Categories: columns of text with few values for their rows.
    others
        Further columns that may follow from codes.
    """
    followed: set[tuple[frozenset[str], str]] = set()
    for size in (1, 2):
        for left in combinations(codes, size):
            for right in [column for column in (*codes, *others) if column not in left]:
                if any(earlier <= set(left) and right == target for earlier, target in followed):
                    continue
                proposal = _follows(table, left, right)
                if proposal is not None:
                    followed.add((frozenset(left), right))
                    yield proposal
    for first, second in combinations(codes, 2):
        if (frozenset({first}), second) not in followed and (frozenset({second}), first) not in followed:
            yield from _pairs(table, first, second)


def _follows(table: pd.DataFrame, left: Sequence[str], right: str) -> ProposedExpectation | None:
    whole = table[[*left, right]].dropna()
    combination = whole.groupby(list(left), sort=True)[right]
    distinct = combination.nunique()
    if not 2 <= len(distinct) <= MOST_LISTED or len(whole) < REPEATED * len(distinct):
        return None
    if distinct.max() > 1 or whole[right].nunique() < 2:
        return None
    if (combination.size() > 1).mean() < 0.5:
        return None
    known = [
        [*_plain(row[:-1]), *_plain(row[-1:])] for row in combination.first().reset_index().itertuples(index=False)
    ]
    reason = f"{right} is the same in all {len(whole):,} rows of each of {len(known)} combinations; new ones are legal."
    rule = f"{right} must be the one that is known for {' and '.join(left)}"
    return ProposedExpectation(FOLLOWS, {"column_list": [*left, right], "known": known}, "row", reason, rule)


def _plain(values: Iterable[Any]) -> list[Any]:
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _pairs(table: pd.DataFrame, first: str, second: str) -> Iterator[ProposedExpectation]:
    """Yield which pairs of values come, if some that chance would bring never did."""
    whole = table[[first, second]].dropna()
    counts = pd.crosstab(whole[first], whole[second])
    if not len(whole) or max(counts.shape) > FEW_VALUES:
        return
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(whole)
    absent = (counts.to_numpy() == 0) & (by_chance >= ABSENT_BUT_EXPECTED)
    unclear = (counts.to_numpy() == 0) & (by_chance < ABSENT_BUT_EXPECTED)
    if not absent.any():
        return
    pairs = [
        [str(counts.index[row]), str(counts.columns[column])]
        for row, column in zip(*np.nonzero((counts.to_numpy() > 0) | unclear), strict=True)
    ]
    reason = f"{int(absent.sum())} pairs never came in {len(whole):,} rows, though chance would have brought them."
    yield ProposedExpectation(
        "expect_column_pair_values_to_be_in_set",
        {"column_A": first, "column_B": second, "value_pairs_set": pairs, "ignore_row_if": "either_value_is_missing"},
        "row",
        reason,
        f"{first} and {second} must come in pairs that are known",
    )
