"""Put the tables of many days together, where what is made of the whole is what is made of each day by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.core.training.features import join_labels
from ml.errors import DataRejected
from ml.settings import Task

Tables = Mapping[date, pd.DataFrame]


def are_alike(tables: Iterable[pd.DataFrame]) -> bool:
    """Return whether tables have the same columns, in order and of the same types: put together, no value changes."""
    first, *others = tables
    return all(list(table.columns) == list(first.columns) and table.dtypes.equals(first.dtypes) for table in others)


def put_together(
    inputs: Tables, labels: Tables, days: Sequence[date], key: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Put days together; None if some are of other types, or if rows of one could be joined with rows of another."""
    if len(days) < 2 or "day" not in key:
        return None
    sides = []
    for tables in (inputs, labels):
        parts = [tables[day] for day in days]
        if not are_alike(parts):
            return None
        whole = pd.concat(parts, ignore_index=True)
        names = np.repeat(np.array([day.isoformat() for day in days], dtype=object), [len(part) for part in parts])
        if not (whole["day"].to_numpy(dtype=object) == names).all():
            return None
        sides.append(whole)
    return sides[0], sides[1]


def join_by_task(rows: pd.DataFrame, outcomes: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return the rows whose outcome is known, as a task reads labels; see `ml.core.training.features.join_labels`."""
    return join_labels(rows, outcomes, key=task.key, target=task.target, positive=task.positive, classes=task.classes)


def labelled_parts(inputs: Tables, labels: Tables, days: Sequence[date], task: Task) -> list[pd.DataFrame]:
    """Return the rows of some days whose outcome is known, one below the other: in one part where that can be.

    See `join_by_task`, which is asked of each day by itself where days are unlike.
    """
    whole = put_together(inputs, labels, days, task.key)
    if whole is not None:
        try:
            return [join_by_task(*whole, task)]
        except (DataRejected, pd.errors.MergeError):  # the day by itself says what is wrong with it
            pass
    return [join_by_task(inputs[day], labels[day], task) for day in days]
