"""The labelled rows of some days with all features of a recipe, as each day could see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from ml.core.data.keys import merge_exactly
from ml.core.training.features import join_labels
from ml.core.training.lagged_means import add_history
from ml.settings import Settings
from ml.steps.own_features import OwnFeatures
from ml.steps.retrain.labelled_history import labelled_before
from ml.wiring import Services


def labelled_rows(days: Sequence[date], settings: Settings, services: Services, *, rev: str) -> pd.DataFrame:
    """Join inputs and labels of days that the data registry holds, and add lagged target means and own features.

    Parameters
    ----------
    days
        In order, at least one.
    rev
        The data version that is read.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns)
        In day order; ``task.target`` as numbers.
    """
    first, last, task = days[0], days[-1], settings.task
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=first, last_day=last) for asset in ("inputs", "labels")
    )
    parts = [
        join_labels(
            pd.read_parquet(inputs[day]),
            pd.read_parquet(labels[day], columns=[*task.key, task.target]),
            key=task.key,
            target=task.target,
            positive=task.positive,
            classes=task.classes,
        )
        for day in days
    ]
    rows = add_history(
        pd.concat(parts, ignore_index=True),
        labelled_before(first, last, settings, services, rev=rev),
        settings.features.history,
        target=task.target,
        label_delay_days=task.label_delay_days,
        classes=task.classes,
    )
    if not settings.features.python:
        return rows
    computed = OwnFeatures(settings, services, first, last, rev=rev)
    return merge_exactly(rows, computed.with_key(days), task.key, how="left", validate="one_to_one")
