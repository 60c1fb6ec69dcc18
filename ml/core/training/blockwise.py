"""Predict again and again where one column changed: only what is made of that column is transformed anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline


class BlockwisePipeline:
    """A fitted pipeline that keeps what each part of its features gave, for rows that are asked for next.

    Predictions are those of the pipeline itself, to the last bit. A pipeline of another shape than
    `ml.core.training.estimators.build` gives is asked as it is, and so is one whose parts, put side by side, are not
    what it makes of the first rows.
    """

    def __init__(self, pipeline: Pipeline, rows: pd.DataFrame) -> None:
        self._pipeline, self._estimator = pipeline, pipeline.steps[-1][1]
        self._parts = parts_of(pipeline)
        self._inputs: dict[str, pd.DataFrame] = {}
        self._outputs: dict[str, np.ndarray] = {}
        self._matrix = np.zeros((0, 0))
        if self._parts and not same(self._transform(rows), pipeline[:-1].transform(rows)):
            self._parts = {}

    @property
    def classes_(self) -> np.ndarray:
        """Return the classes that the pipeline was fitted on."""
        classes: np.ndarray = self._pipeline.classes_
        return classes

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Predict as the pipeline does."""
        predicted: np.ndarray = (
            self._estimator.predict(self._transform(rows)) if self._parts else self._pipeline.predict(rows)
        )
        return predicted

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """Predict probabilities as the pipeline does."""
        predicted: np.ndarray = (
            self._estimator.predict_proba(self._transform(rows)) if self._parts else self._pipeline.predict_proba(rows)
        )
        return predicted

    def _transform(self, rows: pd.DataFrame) -> np.ndarray:
        """Transform each part whose columns are others than those that it was given last, and put it in its place."""
        start, together = 0, len(self._matrix) == len(rows)
        for name, (transformer, columns) in self._parts.items():
            part = rows[columns]
            if name not in self._inputs or not part.equals(self._inputs[name]):
                self._inputs[name], self._outputs[name] = part, np.asarray(transformer.transform(part))
                if together:
                    self._matrix[:, start : start + self._outputs[name].shape[1]] = self._outputs[name]
            start += self._outputs[name].shape[1]
        if not together:
            self._matrix = np.hstack([self._outputs[name] for name in self._parts])
        return self._matrix


def parts_of(pipeline: Pipeline) -> dict[str, tuple[Any, list[str]]]:
    """Return transformer and columns of each part; nothing where the pipeline has another shape."""
    features = pipeline.steps[0][1]
    if len(pipeline.steps) != 2 or not isinstance(features, ColumnTransformer):
        return {}
    fitted = {name: (of, columns) for name, of, columns in features.transformers_ if of != "drop"}
    if any(isinstance(transformer, str) or not isinstance(columns, list) for transformer, columns in fitted.values()):
        return {}
    return fitted


def same(ours: np.ndarray, theirs: object) -> bool:
    """Return whether two matrices are equal to the last bit, and lie in memory alike: sums depend on that."""
    return (
        isinstance(theirs, np.ndarray)
        and ours.dtype == theirs.dtype
        and ours.flags.c_contiguous == theirs.flags.c_contiguous
        and ours.flags.f_contiguous == theirs.flags.f_contiguous
        and ours.shape == theirs.shape
        and ours.tobytes("A") == theirs.tobytes("A")
    )
