"""Join and sum up many small days in one go, where that gives what each day by itself gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from ml.core.data.keys import merge_exactly
from ml.core.training.features import join_labels
from ml.core.training.many_days import Tables, are_alike, put_together
from ml.core.training.target_sums import DAY, Grouping, aggregate
from ml.errors import DataRejected
from ml.settings import Label


def joined(inputs: Tables, labels: Tables, days: Sequence[date], *, key: Sequence[str], target: str) -> Tables:
    """Return the rows of each day whose outcome is known; see `ml.core.training.features.join_labels`."""
    whole = put_together(inputs, labels, days, key)
    if whole is not None:
        try:
            rows = join_labels(*whole, key=key, target=target)
        except (DataRejected, pd.errors.MergeError):  # the day by itself says what is wrong with it
            whole = None
    if whole is None:
        return {day: join_labels(inputs[day], labels[day], key=key, target=target) for day in days}
    numbers = rows["day"].map({day.isoformat(): number for number, day in enumerate(days)}).to_numpy()
    return dict(zip(days, _cut(rows, np.searchsorted(numbers, np.arange(len(days) + 1))), strict=True))


def outcomes(
    inputs: Tables, labels: Tables, days: Sequence[date], *, key: Sequence[str], target: str
) -> dict[date, np.ndarray]:
    """Return the outcome of each input row of each day, NaN where it never came."""
    whole = put_together(inputs, labels, days, key)
    if whole is not None:
        values = _outcomes(*whole, key, target)
        if len(values) == len(whole[0]):
            ends = np.cumsum([len(inputs[day]) for day in days])
            return dict(zip(days, np.split(values, ends[:-1]), strict=True))
    return {day: _outcomes(inputs[day], labels[day], key, target) for day in days}


def _outcomes(inputs: pd.DataFrame, labels: pd.DataFrame, key: Sequence[str], target: str) -> np.ndarray:
    merged = merge_exactly(inputs[list(key)], labels[[*key, target]], key, how="left")
    return merged[target].to_numpy(dtype=float)


def sums(
    rows: Tables, groupings: Sequence[Grouping], *, target: str, classes: Mapping[Label, int]
) -> dict[date, dict[Grouping, pd.DataFrame]]:
    """Return the targets of each day's labelled rows, summed up by group; see `aggregate`."""
    days = sorted(day for day, table in rows.items() if len(table))
    by_day: dict[date, dict[Grouping, pd.DataFrame]] = {day: {} for day in rows}
    together = len(days) > 1 and are_alike(rows[day] for day in days)
    whole = pd.concat([rows[day] for day in days], ignore_index=True) if together else None
    for by in groupings:
        for day in (day for day in rows if whole is None or day not in days):
            by_day[day][by] = aggregate(rows[day], by, target=target, classes=classes)
        if whole is not None:
            summed = aggregate(whole, by, target=target, classes=classes)
            starts = np.searchsorted(
                summed[DAY].to_numpy(), [*(day.toordinal() for day in days), days[-1].toordinal() + 1]
            )
            for day, part in zip(days, _cut(summed, starts), strict=True):
                by_day[day][by] = part
    return by_day


def _cut(rows: pd.DataFrame, starts: np.ndarray) -> list[pd.DataFrame]:
    return [rows.iloc[start:end].reset_index(drop=True) for start, end in pairwise(starts)]
