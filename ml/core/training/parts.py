"""Build a training window: its rows with lagged target means, and which of them are held out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import pandas as pd

from ml.core.data.arrivals import as_seen
from ml.core.data.windows import holdout_first_day
from ml.core.training.lagged_means import add_history
from ml.errors import DataRejected
from ml.records import Content
from ml.settings import Settings


def first_held_out(days: Collection[date], first_day: date, last_day: date, settings: Settings) -> str:
    """Return the first day of the holdout, in ISO form: the newest ``split.holdout_days`` days with labelled rows.

    Parameters
    ----------
    days
        The days of the window that have labelled rows.
    first_day, last_day
        The window, which may begin or end with days that have none.

    Raises
    ------
    DataRejected
        If no day is left to train on.
    """
    if len(days) <= settings.split.holdout_days:
        raise DataRejected(
            f"only {len(days)} days from {first_day} to {last_day} have labelled rows, and "
            f"split.holdout_days is {settings.split.holdout_days}: nothing is left to train on; "
            "lengthen the window, or check the labels"
        )
    return holdout_first_day(days, settings.split.holdout_days).isoformat()


def with_history(
    rows: pd.DataFrame,
    labelled: pd.DataFrame,
    settings: Settings,
    *,
    earlier: Mapping[str, pd.DataFrame],
    contents: Sequence[Content],
) -> pd.DataFrame:
    """Add the lagged target means to the rows of a window, from labels as each day could see them.

    Parameters
    ----------
    labelled : DataFrame of shape (n_labelled, n_columns)
        The rows of the window and of the days before it that are looked back on.
    earlier, contents
        See `ml.core.data.arrivals.as_seen`.
    """
    return add_history(
        rows,
        as_seen(labelled, earlier, contents),
        settings.features.history,
        target=settings.task.target,
        label_delay_days=settings.task.label_delay_days,
        classes=settings.task.classes,
    )


def cut(rows: pd.DataFrame, first: str, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the rows of a window into training part and holdout, which begins on the ISO day ``first``.

    Raises
    ------
    DataRejected
        If either part of a task with classes holds a single one: nothing can be learnt from it, or judged on it.
    """
    train, holdout = rows.loc[rows["day"] < first], rows.loc[rows["day"] >= first]
    target = settings.task.target
    for name, part in (("training part", train), ("holdout", holdout)):
        if settings.task.kind != "regression" and part[target].nunique() < 2:
            raise DataRejected(
                f"the {name} ({part['day'].min()} to {part['day'].max()}, {len(part)} rows) holds a single class of "
                f"{target!r}; lengthen the window or split.holdout_days, or check the labels"
            )
    return train, holdout
