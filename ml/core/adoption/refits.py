"""Measure how far a refit on all days may predict from the model that was judged: data that trend move it."""

from __future__ import annotations

import warnings

import pandas as pd

from ml.core.adoption.recipes import Recipe
from ml.core.adoption.rounding import round_up
from ml.core.gate.refit import compared_rows, difference
from ml.core.training import estimators
from ml.core.training.features import matrix
from ml.core.training.lagged_means import add_history
from ml.errors import EvergreenError
from ml.settings import Retrain, Task

ROOM = 2.0


def refit_bound(recipe: Recipe, table: pd.DataFrame, task: Task, *, days: int, holdout_days: int) -> float | None:
    """Return ``retrain.refit_max_difference``: twice what the holdout moves a fit by; None if the default has room.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Labelled rows with ``day`` and the target as a number; not modified.
    days
        How many days with rows the first model has, the holdout among them.
    """
    rows = add_history(
        table, table, recipe.features.history, target=task.target, label_delay_days=task.label_delay_days,
        classes=task.classes,
    )  # fmt: skip
    known = sorted(rows["day"].unique())[-days:]
    if len(known) <= holdout_days:
        return None
    whole = rows.loc[rows["day"] >= known[0]]
    train = whole.loc[whole["day"] < known[-holdout_days]]
    seen = matrix(compared_rows(train), recipe.features)
    predicted = []
    try:
        for part in (train, whole):
            pipeline = estimators.build(task, recipe.features, recipe.fit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pipeline.fit(matrix(part, recipe.features), part[task.target])
            predicted.append(estimators.predict(pipeline, seen, task.kind, len(task.classes)))
    except (EvergreenError, ValueError):
        return None
    moved = difference(predicted[0], predicted[1], task.kind)
    default = float(Retrain().refit_max_difference)
    return round_up(ROOM * moved, 2) if ROOM * moved > default else None
