"""Encode rows for the estimator of a fitted pipeline: what scikit-learn makes of a category is asked once.

`sklearn.compose.ColumnTransformer` takes some eight milliseconds for any number of rows, and looks up every category of
every row. Here different values are encoded, by the fitted transformers themselves, and put in place for all rows.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from ml.core.training.blockwise import parts_of, same
from ml.core.training.coded_columns import CodedColumn, Columns, as_coded, as_numbers

MOST_VALUES = 100_000
"""So many values of a column are remembered; others are encoded anew in each batch."""

ROWS_TRIED = 1000
"""On so many rows it is enough to try an encoder."""


class RowEncoder:
    """What lays out rows as the estimator of a pipeline sees them, equal to the last bit to what the pipeline makes.

    Not safe for several threads.

    Attributes
    ----------
    can_encode
        False for a pipeline of another shape than `ml.core.training.estimators.build` gives, and once its rows were
        not those of the pipeline.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._parts: list[_Categories | _Numbers] = []
        for transformer, columns in parts_of(pipeline).values():
            part = _part(transformer, columns)
            if part is None:
                self._parts = []
                break
            self._parts.append(part)
        self.can_encode = bool(self._parts)
        self._order: Literal["C", "F"] = "C"

    def tried(self, columns: Columns, rows: pd.DataFrame) -> bool:
        """Try the encoder on some rows; it can encode none if they are not what the pipeline makes of them.

        Parameters
        ----------
        columns
            The columns of ``rows``, and of further rows behind them.
        rows : DataFrame of shape (n_rows, n_columns)
            As the pipeline sees them.
        """
        if self.can_encode:
            theirs = self._pipeline[:-1].transform(rows)
            if isinstance(theirs, np.ndarray):
                self._order = "C" if theirs.flags.c_contiguous else "F"
            self.can_encode = same(self.encode(columns, np.arange(len(rows))), theirs)
        return self.can_encode

    def encode(self, columns: Columns, places: np.ndarray) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        columns
            Those that the pipeline was fitted on: categories coded, all others as float64.
        places : array of shape (n_encoded,)
            The rows that are wanted; one may come more than once.

        Returns
        -------
        array of shape (n_encoded, n_encoded_columns)
        """
        matrix = np.zeros((len(places), sum(part.width for part in self._parts)), order=self._order)
        start = 0
        for part in self._parts:
            part.fill(matrix[:, start : start + part.width], columns, places)
            start += part.width
        return matrix


def _part(transformer: Any, columns: list[str]) -> _Categories | _Numbers | None:
    """Return what encodes some columns as a transformer does; None for a transformer that is not known."""
    if isinstance(transformer, OneHotEncoder):
        known = transformer.drop is None and not transformer.sparse_output
        return _Categories(transformer, columns, _one_hot_widths(transformer)) if known else None
    if isinstance(transformer, OrdinalEncoder):
        return _Categories(transformer, columns, [1] * len(columns))
    steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else []
    if len(steps) != 2 or not isinstance(steps[0], SimpleImputer):
        return None
    imputer, last = steps
    known = imputer.keep_empty_features and not imputer.add_indicator and len(imputer.statistics_) == len(columns)
    return _Numbers(imputer.statistics_, last, columns) if known else None


def _one_hot_widths(encoder: OneHotEncoder) -> list[int]:
    """Return how many columns each column becomes; those categories that are rare share one."""
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    return [
        len(known) - (0 if shared is None else len(shared) - 1)
        for known, shared in zip(encoder.categories_, rare, strict=True)
    ]


class _Categories:
    """Categorical columns: of each value the one that it becomes, one-hot, or its number."""

    def __init__(self, encoder: OneHotEncoder | OrdinalEncoder, columns: list[str], widths: list[int]) -> None:
        self._encoder, self._columns, self._widths = encoder, columns, widths
        self._one_hot = isinstance(encoder, OneHotEncoder)
        self._encoded: list[dict[Hashable, float]] = [{} for _ in columns]
        self.width = sum(widths)

    def fill(self, matrix: np.ndarray, columns: Columns, places: np.ndarray) -> None:
        """Put the encoded rows into their place."""
        given = [as_coded(columns[name]) for name in self._columns]
        encoded = self._of_values(given)
        start, rows = 0, np.arange(len(places))
        for column, width, values in zip(given, self._widths, encoded, strict=True):
            of_rows = values[column.codes[places]]
            if self._one_hot:
                hot = of_rows >= 0
                matrix[rows[hot], start + of_rows[hot].astype(np.intp)] = 1.0
            else:
                matrix[:, start] = of_rows
            start += width

    def _of_values(self, given: list[CodedColumn]) -> list[np.ndarray]:
        """Return what each different value becomes, asking the encoder for those that are not known yet."""
        new = [
            [at for at, key in enumerate(column.keys) if key not in known]
            for column, known in zip(given, self._encoded, strict=True)
        ]
        asked: list[dict[Hashable, float]] = [{} for _ in given]
        if count := max(map(len, new)):
            asked = self._ask(given, new, count)
        numbers = []
        for column, known, more in zip(given, self._encoded, asked, strict=True):
            both = known | more if more else known
            numbers.append(np.array([both[key] for key in column.keys]))
            if len(known) + len(more) <= MOST_VALUES:
                known.update(more)
        return numbers

    def _ask(self, given: list[CodedColumn], new: list[list[int]], count: int) -> list[dict[Hashable, float]]:
        """Encode values: one row holds one of each column, and columns with fewer repeat their last one."""
        frame = {
            name: column.different.take(np.resize(places or [0], count)).reset_index(drop=True)
            for name, column, places in zip(self._columns, given, new, strict=True)
        }
        matrix = np.asarray(self._encoder.transform(pd.DataFrame(frame)))
        asked, start = [], 0
        for column, width, places in zip(given, self._widths, new, strict=True):
            block = matrix[: len(places), start : start + width]
            numbers = np.where(block.any(axis=1), block.argmax(axis=1), -1) if self._one_hot and width else None
            values = block[:, 0] if not self._one_hot else np.full(len(places), -1) if numbers is None else numbers
            asked.append({column.keys[place]: value for place, value in zip(places, values.tolist(), strict=True)})
            start += width
        return asked


class _Numbers:
    """Numeric columns: nulls are filled in, and the last step transforms them."""

    def __init__(self, statistics: np.ndarray, last: Any, columns: list[str]) -> None:
        self._statistics, self._last, self._columns = statistics, last, columns
        self.width = len(last.get_feature_names_out())

    def fill(self, matrix: np.ndarray, columns: Columns, places: np.ndarray) -> None:
        """Put the transformed rows into their place."""
        block = np.empty((len(places), len(self._columns)))
        for at, (name, statistic) in enumerate(zip(self._columns, self._statistics, strict=True)):
            values = as_numbers(columns[name])[places]
            block[:, at] = np.where(np.isnan(values), statistic, values)
        matrix[:] = self._last.transform(block)
