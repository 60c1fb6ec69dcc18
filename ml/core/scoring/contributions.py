"""Divide what a model says of a row among the columns that it read, exactly: a linear model, or boosted trees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from ml.core.training.boosting import tree_shares
from ml.core.training.estimators import predict

TOLERANCE, TREE_TOLERANCE = 1e-6, 1e-4
"""By so much a prediction may differ from the sum of its parts, where the parts are right; trees add in 32 bits."""

Explain = Callable[[pd.DataFrame], pd.DataFrame]
"""Takes rows as the pipeline sees them, and returns a column of contributions for each column that was read."""


def explainer(pipeline: Pipeline, sample: pd.DataFrame, kind: str) -> Explain | None:
    """Return what divides this model's predictions; None if they are no sum of parts that is known.

    Parameters
    ----------
    sample : DataFrame of shape (n_rows, n_columns)
        Rows as the pipeline sees them: on these the sum is tried.
    """
    weights = linear_weights(pipeline, sample, kind)
    if weights is not None:
        usual = np.asarray(pipeline[:-1].transform(sample), dtype=float).mean(axis=0)
        return lambda seen: linear_contributions(pipeline, seen, weights, usual)
    shares = None if sample.empty else _tree_shares(pipeline, sample)
    if shares is None:
        return None
    total = shares.sum(axis=1)
    expected = expit(total) if kind == "classification" else total
    if not np.allclose(expected, predict(pipeline, sample, kind), rtol=TREE_TOLERANCE, atol=TREE_TOLERANCE):
        return None
    return lambda seen: tree_contributions(pipeline, seen)


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
    return _by_source(pipeline, parts)


def tree_contributions(pipeline: Pipeline, seen: pd.DataFrame) -> pd.DataFrame:
    """Compute by how much each column moves each row away from what boosted trees say of the mean row.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        In logits for a classification, else in the target's unit.
    """
    shares = _tree_shares(pipeline, seen)
    assert shares is not None
    return _by_source(pipeline, shares[:, :-1])


def _tree_shares(pipeline: Pipeline, seen: pd.DataFrame) -> np.ndarray | None:
    return tree_shares(pipeline[-1], np.asarray(pipeline[:-1].transform(seen), dtype=float))


def _by_source(pipeline: Pipeline, parts: np.ndarray) -> pd.DataFrame:
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
