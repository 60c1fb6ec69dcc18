"""Divide what a model says of a row among the columns that it read, exactly: linear models, and trees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from ml.core.scoring.additive import additive, needs_shap

Explain = Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]
"""Takes rows as the pipeline sees them, and what was predicted for them (see `ml.core.training.estimators.predict`).

Returns a column of contributions for each column that was read: of several classes to the score of the predicted one.
"""


def explainer(pipeline: Pipeline, sample: pd.DataFrame) -> Explain | None:
    """Return what divides this model's predictions; None if they are no sum of parts that is known.

    The contributions of a row add up to its raw score (`ml.core.scoring.additive`), minus that of the usual row: of
    linear models the mean of ``sample``, of trees that of the rows that they were trained on.

    Parameters
    ----------
    sample : DataFrame of shape (n_rows, n_columns)
        Rows as the pipeline sees them: on these the sum is tried.

    Raises
    ------
    Unavailable
        If the package shap is needed and not installed; see `is_slow`.
    """
    if sample.empty:
        return None
    division = additive(pipeline[-1], _transformed(pipeline, sample))
    if division is None:
        return None
    sources = transformed_sources(pipeline)

    def explain(seen: pd.DataFrame, predicted: np.ndarray) -> pd.DataFrame:
        parts = division.parts(_transformed(pipeline, seen))
        return _by_source(sources, _of_predicted(parts, predicted, pipeline))

    return explain


def is_slow(pipeline: Pipeline) -> bool:
    """Return whether `explainer` takes seconds for a model: it then imports shap."""
    return needs_shap(pipeline[-1])


def _transformed(pipeline: Pipeline, seen: pd.DataFrame) -> np.ndarray:
    return np.asarray(pipeline[:-1].transform(seen), dtype=float)


def _of_predicted(parts: np.ndarray, predicted: np.ndarray, pipeline: Pipeline) -> np.ndarray:
    """Return the parts of each row's predicted class, an array of shape (n_rows, n_transformed).

    One score stands for both of two classes: what speaks for the second speaks against the first.
    """
    if predicted.ndim == 1:
        return np.asarray(parts[:, :, 0])
    classes = np.asarray(pipeline[-1].classes_).astype(int)
    places = predicted[:, classes].argmax(axis=1)
    if parts.shape[2] == 1:
        return np.asarray(parts[:, :, 0] * np.where(places == 1, 1.0, -1.0)[:, None])
    return np.asarray(parts[np.arange(len(parts)), :, places])


def _by_source(sources: list[str], parts: np.ndarray) -> pd.DataFrame:
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
