"""How much each training row counts in a fit: by a column of inputs, by its age, or by both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from ml.core.data.contracts import counted
from ml.core.data.row_checks import TAKE_OUT
from ml.errors import DataRejected, SettingsError
from ml.settings import SampleWeight


def weights(rows: pd.DataFrame, wanted: SampleWeight) -> np.ndarray:
    """Compute the weight of each row; 1 on average, so that an estimator's regularization means the same.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` and the column that is named; not modified.

    Returns
    -------
    array of shape (n_rows,)

    Raises
    ------
    DataRejected
        If the column is missing, or a weight is null, negative, infinite or no number, or all are 0.
    """
    result = unscaled(rows, wanted, newest=str(rows["day"].max()) if len(rows) else "")
    return result * scale(len(rows), float(result.sum())) if len(rows) else result


def unscaled(rows: pd.DataFrame, wanted: SampleWeight, *, newest: str) -> np.ndarray:
    """Compute the weights of some of the training rows, not yet scaled to 1 on average.

    Parameters
    ----------
    newest
        The newest training day, in ISO form, from which ages count.

    Raises
    ------
    DataRejected
        If the column is missing, or a weight is null, negative, infinite or no number.
    """
    result = np.ones(len(rows)) if wanted.column is None else _of_column(rows, wanted.column)
    if wanted.half_life_days is not None and len(rows):
        age = (pd.Timestamp(newest) - pd.to_datetime(rows["day"])).dt.days.to_numpy(dtype=float)
        result = result * np.exp2(-age / wanted.half_life_days)
    return result


def scale(rows: int, total: float) -> float:
    """Return what weights of some total are multiplied by, so that they are 1 on average.

    Raises
    ------
    DataRejected
        If all are 0.
    """
    if not total > 0:
        raise DataRejected(
            f"all {rows} training rows have the weight 0 by fit.sample_weight; correct the column or the settings"
        )
    return rows / total


def _of_column(rows: pd.DataFrame, column: str) -> np.ndarray:
    if column not in rows:
        raise DataRejected(
            f"fit.sample_weight.column names {column!r}, which is not in inputs; correct params.yaml or the source"
        )
    values = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise DataRejected(
            f"column {column!r} (fit.sample_weight.column) is null, negative or no finite number in "
            f"{counted(int(bad.sum()))}, first on {rows.loc[bad, 'day'].astype(str).min()}; correct the "
            f"source and ingest the day again, or take it out with '{TAKE_OUT}'"
        )
    return values


def fit_arguments(pipeline: Pipeline, rows: pd.DataFrame, wanted: SampleWeight | None) -> dict[str, Any]:
    """Return what ``pipeline.fit`` needs to weight these rows; nothing without ``fit.sample_weight``."""
    if wanted is None:
        return {}
    return {f"estimator__{_parameter(pipeline.named_steps['estimator'])}": weights(rows, wanted)}


def refuse_unweighted(estimator: BaseEstimator, path: str) -> None:
    """Raise if an estimator cannot weight its rows.

    Raises
    ------
    SettingsError
        Naming its path.
    """
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    if not has_fit_parameter(last, "sample_weight"):
        raise SettingsError(
            f"fit.estimator {path} takes no sample weights; leave fit.sample_weight out, or choose another, such as "
            "sklearn.linear_model.LogisticRegression"
        )


def _parameter(estimator: BaseEstimator) -> str:
    """Name the argument as the last step of a pipeline in a pipeline takes it."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{_parameter(last)}"
    return "sample_weight"
