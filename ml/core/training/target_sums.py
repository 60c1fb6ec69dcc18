"""Sum up the targets of labelled days by group: all that the history features of later days need of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
import pandas as pd

from ml.settings import HistoryFeature, Label

Grouping = tuple[str, ...]


DAY, TOTAL, COUNT = "__day", "__total", "__count"
"""Columns of a tally, beside those of its group; of several classes there is a total of each, see `totals`."""
SEEN_FROM, SEEN_UNTIL = "__seen_from", "__seen_until"
"""The first scored day (an ordinal) that could see these labels, and the first that no more could."""


def groupings(features: Sequence[HistoryFeature]) -> list[Grouping]:
    """Name the groups by which earlier days are summed up; the empty one, of all rows, is always there."""
    return list(dict.fromkeys([(), *(feature.by for feature in features)])) if features else []


def totals(classes: Mapping[Label, int]) -> list[str]:
    """Name the columns of a tally that are summed up: the total of the target, or the rows of each class."""
    return [f"{TOTAL}_{number}" for number in classes.values()] or [TOTAL]


def aggregate(
    labelled: pd.DataFrame, by: Sequence[str], *, target: str, classes: Mapping[Label, int] = MappingProxyType({})
) -> pd.DataFrame:
    """Sum up the targets of labelled rows by day and group: all that history features need of them.

    Tallies of different days may be put one under the other.

    Returns
    -------
    DataFrame of shape (n_days_and_groups, n_by + 2 + n_totals)
        ``by``, and the day (an ordinal), the sum of the target (or `totals`) and the number of rows; and what
        `SEEN_FROM` and `SEEN_UNTIL` say of the rows, where these columns are there.
    """
    if SEEN_FROM in labelled:
        parts = []
        for _, rows in labelled.groupby([SEEN_FROM, SEEN_UNTIL], sort=True):
            seen = {name: int(rows[name].iloc[0]) for name in (SEEN_FROM, SEEN_UNTIL)}
            unseen = rows.drop(columns=list(seen))
            parts.append(aggregate(unseen, by, target=target, classes=classes).assign(**seen))
        return pd.concat(parts, ignore_index=True)
    ordinals, numbers = np.unique(ordinals_of(labelled["day"]), return_inverse=True)
    groups, codes = group_codes(labelled, by)
    cell = numbers * len(groups) + codes
    counts = np.bincount(cell, minlength=len(ordinals) * len(groups))
    outcome = labelled[target].to_numpy(dtype=float)
    weights = [outcome == number for number in classes.values()] or [outcome]
    summed = [np.bincount(cell, weights=weight, minlength=len(counts)) for weight in weights]
    filled = np.flatnonzero(counts)
    of_group = groups.iloc[filled % max(len(groups), 1)].reset_index(drop=True)
    return of_group.assign(
        **{DAY: ordinals[filled // max(len(groups), 1)]},
        **{name: total[filled] for name, total in zip(totals(classes), summed, strict=True)},
        **{COUNT: counts[filled].astype(float)},
    )


def class_numbers(features: Sequence[HistoryFeature], classes: Sequence[Label]) -> dict[Label, int]:
    """Return the number among ``task.classes`` of each class whose share is a feature; empty without classes."""
    wanted = {feature.of for feature in features}
    return {label: number for number, label in enumerate(classes) if label in wanted}


def group_codes(rows: pd.DataFrame, by: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the different values of some columns, and which of them each row has; all rows are one group of none."""
    if not by:
        return pd.DataFrame(index=range(1)), np.zeros(len(rows), dtype=np.intp)
    distinct = rows[list(by)].drop_duplicates().reset_index(drop=True)
    index = pd.MultiIndex.from_frame(distinct)
    return distinct, index.get_indexer(pd.MultiIndex.from_frame(rows[list(by)]))


def ordinals_of(days: pd.Series) -> np.ndarray:
    """Return ISO days as ordinals, an array of shape (n_rows,)."""
    codes, unique = pd.factorize(days)
    ordinals = np.array([date.fromisoformat(str(day)).toordinal() for day in unique], dtype=np.int64)
    return ordinals[codes] if len(ordinals) else np.zeros(0, dtype=np.int64)
