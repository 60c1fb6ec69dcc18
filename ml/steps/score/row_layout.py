"""Lay out rows of a day as the estimator of a version sees them, straight from their columns where that is possible."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.pipeline import Pipeline

from ml.adapters import coded_batches
from ml.core.data.row_checks import LARGEST
from ml.core.training.coded_columns import CodedColumn, Columns
from ml.core.training.features import feature_columns
from ml.core.training.lagged_means import TargetAggregates, history_names
from ml.core.training.row_encoding import ROWS_TRIED, RowEncoder
from ml.settings import Features

logger = logging.getLogger(__name__)


class RowLayout:
    """Encodes the rows of batches as a pipeline does, in a fraction of its time; not safe for several threads.

    Parameters
    ----------
    matrix
        Lays out rows of a batch as the pipeline sees them; what is encoded has to be what it makes of them.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        features: Features,
        aggregates: TargetAggregates,
        matrix: Callable[[pa.Table], pd.DataFrame],
    ) -> None:
        self._encoder, self._matrix = RowEncoder(pipeline), matrix
        self._features, self._aggregates = features, aggregates
        self._is_tried = False

    def encoded(self, batch: pa.Table, places: np.ndarray) -> np.ndarray | None:
        """Return rows as the estimator sees them, an array of shape (n_places, n_encoded_columns).

        Parameters
        ----------
        places : array of shape (n_places,)
            The rows that are wanted.

        Returns
        -------
        array or None
            None where the pipeline has to be asked: it has another shape, a column is of a type that only pandas
            brings to a value, a number is none that can be used, or rows are of several days.
        """
        if not self._encoder.can_encode or not batch.num_rows:
            return None
        columns = self._columns(batch)
        if columns is None:
            return None
        if not self._is_tried:
            self._is_tried = True
            if not self._encoder.tried(columns, self._matrix(batch.slice(0, ROWS_TRIED))):
                logger.warning("rows are laid out by the pipeline itself, which takes longer: it makes others of them")
                return None
        return self._encoder.encode(columns, places)

    def _columns(self, batch: pa.Table) -> Columns | None:
        features, columns = self._features, dict[str, CodedColumn | np.ndarray]()
        groups = {name for feature in features.history for name in feature.by}
        looked_up = history_names(features.history)
        for name in dict.fromkeys([*feature_columns(features), *groups]):
            if name in looked_up:
                continue
            column = batch[name] if name in batch.schema.names else None
            if column is None or not coded_batches.is_codable(column.type):
                return None
            if name in features.categories or name in groups:
                columns[name] = coded_batches.coded(column)
        numbers = dict[str, np.ndarray]()
        for name in (*features.numbers, *features.spline):
            if not coded_batches.is_number(batch[name].type):
                return None
            numbers[name] = coded_batches.doubles(batch[name])
            if (np.abs(numbers[name]) > LARGEST).any():
                return None  # what lays out rows one by one says which
        days = pc.unique(batch["day"])
        if len(days) != 1 or not days[0].is_valid:
            return None
        day = date.fromisoformat(str(days[0]))
        return columns | self._aggregates.of_day(day, columns, batch.num_rows) | numbers
