"""The door to Evidently: per-column drift scores and the HTML report of a day."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

from ml.core.drift import JENSEN_SHANNON, WASSERSTEIN, method

EVIDENTLY_METHODS = {WASSERSTEIN: "wasserstein", JENSEN_SHANNON: "jensenshannon"}


@dataclass(frozen=True)
class Measured:
    """What Evidently said: scores by column (None if it could not tell), methods, and the page."""

    scores: dict[str, float | None]
    methods: dict[str, str]
    html: str
    result: dict[str, Any]


def measure(reference: pd.DataFrame, current: pd.DataFrame, limits: Mapping[str, float]) -> Measured:
    """Measure how far each column of ``limits`` moved, with its own limit as the threshold.

    The method follows from the column's type and is always named: left to itself, Evidently
    switches methods at 1,000 reference rows. A column without a value on either side is not
    measured and scores None.

    Parameters
    ----------
    reference, current : DataFrame of shape (n_rows, n_columns)
        Not modified; nulls are dropped by the distances.
    """
    columns = [
        column
        for column in limits
        if column in reference
        and column in current
        and reference[column].notna().any()
        and current[column].notna().any()
    ]
    methods = {column: method(reference[column]) for column in columns}
    numeric = [column for column in columns if methods[column] == WASSERSTEIN]
    categorical = [column for column in columns if methods[column] == JENSEN_SHANNON]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    sides = []
    for frame in (reference, current):
        typed = frame[columns].astype(dict.fromkeys(categorical, object))
        sides.append(Dataset.from_pandas(typed.reset_index(drop=True), data_definition=definition))
    metrics = [
        ValueDrift(column=column, method=EVIDENTLY_METHODS[methods[column]], threshold=limits[column])
        for column in columns
    ]
    scores: dict[str, float | None] = dict.fromkeys(limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = Report(list(metrics)).run(current_data=sides[1], reference_data=sides[0])
        html = snapshot.get_html_str(as_iframe=False)
        result = snapshot.dict()
    for entry in result["metrics"]:
        column = entry["config"]["column"]
        value = float(entry["value"])
        scores[column] = value if np.isfinite(value) else None
    return Measured(scores, methods, html, _plain(result))


def _plain(value: Any) -> Any:
    """Turn numpy scalars into numbers that JSON knows, and what is not finite into None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
