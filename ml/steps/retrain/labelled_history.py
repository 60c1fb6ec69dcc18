"""The labelled rows that the history features of a model look back on."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml.adapters.data_registry.seen_labels import open_earlier, seen_by
from ml.core.data.arrivals import as_seen
from ml.core.training.lagged_means import lookback_days
from ml.core.training.many_days import join_by_task
from ml.settings import Settings
from ml.wiring import Services


def labelled_before(first: date, last: date, own: Settings, services: Services, *, rev: str | None) -> pd.DataFrame:
    """Read the labelled rows that the history features of ``first`` to ``last`` look back on.

    Parameters
    ----------
    own
        The settings of the model that is asked: its features reach back as far as they do,
        whatever another model's window holds.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns)
        The key, every column named in ``by``, and the target; as each day could see it (`ml.core.data.arrivals`).
    """
    key, target = own.task.key, own.task.target
    columns = list(dict.fromkeys([*key, *(name for feature in own.features.history for name in feature.by)]))
    reach = lookback_days(own.features.history, label_delay_days=own.task.label_delay_days)
    if not reach:
        return pd.DataFrame(columns=[*columns, target])
    oldest, newest = first - timedelta(days=reach), last - timedelta(days=max(own.task.label_delay_days, 1))
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=oldest, last_day=newest, may_be_empty=True)
        for asset in ("inputs", "labels")
    )

    def joined(day: date, path: Path) -> pd.DataFrame:
        rows, outcomes = pd.read_parquet(inputs[day], columns=columns), pd.read_parquet(path)
        return join_by_task(rows, outcomes, own.task)

    days = sorted(set(inputs) & set(labels))
    if not days:
        return pd.DataFrame(columns=[*columns, target])
    held = services.registry.days("labels", rev)
    files = [held[day] for day in days]
    contents = seen_by(first, last, files, own, services.registry, rev=rev or services.registry.head())
    earlier = {md5: joined(day, path) for md5, (day, path) in open_earlier(contents, files, services.registry).items()}
    parts = [joined(day, labels[day]) for day in days]
    return as_seen(pd.concat(parts, ignore_index=True), earlier, contents)
