"""Divide what a linear model says of a row among the columns that it read, exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from ml.core.training.estimators import predict

TOLERANCE = 1e-6
"""By so much a prediction may differ from the sum of its parts, where the parts are right."""


def linear_weights(pipeline: Pipeline, sample: pd.DataFrame, kind: str) -> np.ndarray | None:
    """Return the weights of a linear model's transformed columns; None if its predictions are no sum of columns.

    Whether they are is tried on ``sample``: a model may have coefficients and predict something else than their sum.

    Returns
    -------
    array of shape (n_transformed,) or None
    """
    estimator = pipeline[-1]
    weights = np.asarray(getattr(estimator, "coef_", ()), dtype=float)
    intercept = np.ravel(getattr(estimator, "intercept_", 0.0))
    if sample.empty or not weights.size or weights.ndim > 2 or (weights.ndim == 2 and len(weights) != 1):
        return None
    weights = weights.ravel()
    transformed = np.asarray(pipeline[:-1].transform(sample), dtype=float)
    total = transformed @ weights + intercept[0]
    expected = expit(total) if kind == "classification" else total
    return weights if np.allclose(expected, predict(pipeline, sample, kind), rtol=TOLERANCE, atol=TOLERANCE) else None


def linear_contributions(
    pipeline: Pipeline, seen: pd.DataFrame, weights: np.ndarray, usual: np.ndarray
) -> pd.DataFrame:
    """Compute by how much each column moves each row away from what the model says of the usual row.

    Parameters
    ----------
    seen : DataFrame of shape (n_rows, n_columns)
        The rows as the pipeline sees them.
    weights : array of shape (n_transformed,)
        See `linear_weights`.
    usual : array of shape (n_transformed,)
        The usual row: the means of the transformed columns.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        In logits for a classification, else in the target's unit. The sum of a row is what the model says of it, minus
        what it says of the usual row.
    """
    parts = (np.asarray(pipeline[:-1].transform(seen), dtype=float) - usual) * weights
    sources = transformed_sources(pipeline)
    return pd.DataFrame(
        {name: parts[:, [source == name for source in sources]].sum(axis=1) for name in dict.fromkeys(sources)}
    )


def transformed_sources(pipeline: Pipeline) -> list[str]:
    """Name the column that each transformed column was made from."""
    sources: list[str] = []
    for _, transformer, columns in pipeline[0].transformers_:
        if isinstance(transformer, str):  # "drop"
            continue
        last = transformer[-1] if isinstance(transformer, Pipeline) else transformer
        if isinstance(last, OneHotEncoder):
            widths = _one_hot_widths(last)
        else:
            whole = len(transformer.get_feature_names_out(columns))
            widths = [whole // len(columns)] * len(columns)
        sources += [str(name) for name, width in zip(columns, widths, strict=True) for _ in range(width)]
    return sources


def _one_hot_widths(encoder: OneHotEncoder) -> list[int]:
    rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    return [
        len(categories) if infrequent is None else len(categories) - len(infrequent) + 1
        for categories, infrequent in zip(encoder.categories_, rare, strict=True)
    ]
