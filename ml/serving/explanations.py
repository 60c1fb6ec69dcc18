"""The contributions of one version: what divides its predictions, made when it is loaded or first asked for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ml.core.scoring.contributions import Explain, explainer, is_slow
from ml.errors import EvergreenError, Unavailable

TIMED_ROWS = 16
"""On so many rows of the sample it is measured how long a row takes, after one that is not counted."""

MOST_SECONDS_A_ROW = 1.0
"""Contributions of a model that takes longer are not answered: the process answers nothing else meanwhile."""

RETRY_SECONDS = 60.0
"""So long after a package that is needed could not be imported, whoever asks has it tried again."""


class Explanations:
    """Divides the predictions of a version among the columns that it reads; safe for several threads.

    Where shap is needed, it is imported, and the sum tried, only once somebody asks: that takes seconds, and most
    answers need none of it.

    Parameters
    ----------
    sample : DataFrame of shape (n_rows, n_columns)
        Rows as the pipeline sees them, on which it is tried that parts add up.
    name
        What the estimator is called in messages.
    """

    def __init__(self, pipeline: Pipeline, sample: pd.DataFrame, name: str) -> None:
        self._pipeline, self._sample, self._name = pipeline, sample, name
        self._lock = threading.Lock()
        self._explain: Explain | None = None
        self._tried = False
        self._retry_at = float("inf")
        self.seconds_a_row = 0.0
        self.reason = ""
        if not is_slow(pipeline):
            self.make()

    @property
    def is_made(self) -> bool:
        """Return whether `make` has nothing to do: it was tried, and what failed by an import not long ago."""
        return self._tried and time.monotonic() < self._retry_at

    def make(self) -> None:
        """Make what divides predictions, unless it is made already; may take seconds."""
        with self._lock:
            if self.is_made:
                return
            retry_at = float("inf")
            try:
                self._explain = explainer(self._pipeline, self._sample)
            except EvergreenError as err:
                self.reason = f"no contributions: {err}"
                if isinstance(err, Unavailable):
                    retry_at = time.monotonic() + RETRY_SECONDS
            else:
                self.reason = ""
                if self._explain is None:
                    self.reason = (
                        f"no contributions: the predictions of {self._name} are no sum of columns that is known, so "
                        "that none are exact; ask without them"
                    )
                else:
                    self.seconds_a_row = self._measure(self._explain)
            self._tried, self._retry_at = True, retry_at

    def refusal(self, rows: int, *, seconds: float) -> str:
        """Return why contributions of so many rows are not answered within a time; empty if they are.

        Parameters
        ----------
        seconds
            How long they may take together.
        """
        if self.reason:
            return self.reason
        takes = f"contributions of {self._name} take about {self.seconds_a_row:.2g} s a row"
        if self.seconds_a_row > MOST_SECONDS_A_ROW:
            return f"no contributions: {takes}; fewer or flatter trees (max_depth, max_leaf_nodes) would be divided"
        if rows * self.seconds_a_row > seconds:
            return f"{takes}: ask for those of at most {max(1, int(seconds / self.seconds_a_row))} rows at once"
        return ""

    def of(self, seen: pd.DataFrame, predicted: np.ndarray) -> pd.DataFrame:
        """Return the contributions of rows, a column for each that the model reads.

        Parameters
        ----------
        seen : DataFrame of shape (n_rows, n_columns)
            The rows as the pipeline sees them.
        predicted : array of shape (n_rows,) or (n_rows, n_classes)

        Raises
        ------
        EvergreenError
            If there are none; `refusal` says so before.
        """
        self.make()
        if self._explain is None:
            raise EvergreenError(self.reason)
        return self._explain(seen, predicted)

    def _measure(self, explain: Explain) -> float:
        classes = getattr(self._pipeline[-1], "classes_", ())
        several = len(classes) > 2 or (len(classes) > 0 and int(max(classes)) > 1)
        predicted = np.zeros((TIMED_ROWS, int(max(classes)) + 1)) if several else np.zeros(TIMED_ROWS)
        rows = self._sample.iloc[:TIMED_ROWS]
        explain(rows.iloc[:1], predicted[:1])
        started = time.perf_counter()
        explain(rows, predicted[: len(rows)])
        return (time.perf_counter() - started) / len(rows)
