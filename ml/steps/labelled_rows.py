"""The labelled rows of some days with all features of a recipe, as each day could see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from ml.adapters import layout
from ml.adapters.aggregates import AggregateStore
from ml.adapters.rows import count_rows, sampled, types_of
from ml.core.data.keys import merge_exactly
from ml.core.training.many_days import join_by_task
from ml.settings import Settings
from ml.steps.own_features import OwnFeatures
from ml.wiring import Services


def labelled_rows(
    days: Sequence[date], settings: Settings, services: Services, *, rev: str, most: int | None = None
) -> pd.DataFrame:
    """Join inputs and labels of days that the data registry holds, and add lagged target means and own features.

    Parameters
    ----------
    days
        In order, at least one.
    rev
        The data version that is read.
    most
        About so many rows are read, the same share of the keys of every day; None means all.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns)
        In day order; ``task.target`` as numbers.
    """
    first, last, task = days[0], days[-1], settings.task
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=first, last_day=last) for asset in ("inputs", "labels")
    )
    outcomes = [*task.key, task.target]
    share = 1.0 if most is None else most / max(sum(count_rows(labels[day]) for day in days), 1)
    parts = [
        join_by_task(
            sampled(inputs[day], types_of(inputs[day]).names, key=task.key, share=share),
            sampled(labels[day], outcomes, key=task.key, share=share),
            task,
        )
        for day in days
    ]
    aggregates = AggregateStore(services.registry, services.storage_folder(layout.training.AGGREGATES), services.engine)
    rows = aggregates.aggregates(first, last, settings, rev=rev).add_to(pd.concat(parts, ignore_index=True))
    if not settings.features.python:
        return rows
    computed = OwnFeatures(settings, services, first, last, rev=rev)
    return merge_exactly(rows, computed.with_key(days), task.key, how="left", validate="one_to_one")
