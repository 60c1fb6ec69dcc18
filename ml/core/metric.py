"""What a metric is: its name and direction, how it is computed, and how resamples of it are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Direction = Literal["lower", "higher", "nearer 0", ""]
"""In which direction it improves; empty if neither is better."""

Kind = Literal["classification", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("classification", "multiclass", "regression")
OfRows = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From target and prediction, arrays of shape (n_rows,), to one value a row.

Of ``multiclass`` the target is the number of the class and the prediction of shape (n_rows, n_classes).
"""


@dataclass(frozen=True)
class Ranks:
    """Rows in the order of their predictions, ties taken together; arrays of shape (..., n_levels).

    ``levels`` are the different predictions in rising order; ``positive`` and ``negative`` how many rows of either
    class are predicted so, counted as often as they were drawn.
    """

    levels: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


@dataclass(frozen=True)
class Mean:
    """A metric that is a mean over rows of ``rows``, or the root of it.

    ``mean_label`` names the mean where it is not the metric itself, as of a root.
    """

    rows: OfRows
    root: bool = False
    mean_label: str = ""


@dataclass(frozen=True)
class Sums:
    """A metric that follows from sums over rows: ``combine`` takes the number of rows and the sum of each of ``rows``.

    ``combine`` gets arrays of shape (n_resamples,) and returns one; NaN where it does not exist.
    """

    rows: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]
    combine: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Ranked:
    """A metric of classification that follows from `Ranks`, along their last axis; NaN where it does not exist.

    Of several classes it is the mean over the classes that it exists for, each against the rest.
    """

    measure: Callable[[Ranks], np.ndarray]


@dataclass(frozen=True)
class Whole:
    """A metric of which nothing more is known: each resample is computed anew, which takes its time."""


Resampling = Mean | Sums | Ranked | Whole


def against_the_rest(target: np.ndarray, prediction: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield target and prediction of each class as if it were the one of two that counts as 1.

    Parameters
    ----------
    target : array of shape (n_rows,)
        The number of the class of each row.
    prediction : array of shape (n_rows, n_classes)
    """
    for number in range(prediction.shape[1]):
        yield (target == number).astype(float), prediction[:, number]


@dataclass(frozen=True)
class Metric:
    """One metric of predictions.

    Attributes
    ----------
    name, label
        What ``params.yaml`` and records call it, and what people read.
    direction
        In which direction it improves.
    kinds
        The kinds of task that it measures.
    resampling
        How it is computed of many resamples of whole days at once, for its interval.
    function
        From target and prediction (finite arrays as `OfRows` takes them, at least one row) to the value; None where it
        does not exist, as a ranking of a single class. May be left out for a `Mean`. Of a `Ranked` it gets one class
        against the rest.
    short
        The label in the heads of narrow tables, if it is another.
    backtest_column
        At which place the table of a backtest shows it; None if it does not.
    """

    name: str
    label: str
    direction: Direction
    kinds: tuple[Kind, ...]
    resampling: Resampling
    function: Callable[[np.ndarray, np.ndarray], float | None] | None = None
    short: str = ""
    backtest_column: int | None = None

    def __post_init__(self) -> None:
        if self.function is None and not isinstance(self.resampling, Mean):
            raise ValueError(f"the metric {self.name!r} needs a function: only that of a Mean follows from its rows")

    @property
    def is_loss(self) -> bool:
        """Return whether the gate can judge by it: a mean of row losses, so that two models are paired row by row."""
        return isinstance(self.resampling, Mean) and self.direction == "lower"

    @property
    def is_root(self) -> bool:
        """Return whether it is the root of the mean of its rows."""
        return isinstance(self.resampling, Mean) and self.resampling.root

    @property
    def mean_label(self) -> str:
        """Return the name of the mean of its rows, which of a root is not the metric itself."""
        return (self.resampling.mean_label if isinstance(self.resampling, Mean) else "") or self.label

    def compute(self, target: np.ndarray, prediction: np.ndarray) -> float | None:
        """Return the value over all rows; None where it does not exist."""
        if prediction.ndim > 1 and isinstance(self.resampling, Ranked):
            sides = against_the_rest(target, prediction)
            by_class = [value for side in sides if (value := self.compute(*side)) is not None]
            return float(np.mean(by_class)) if by_class else None
        if self.function is not None:
            value = self.function(target, prediction)
            return None if value is None or not np.isfinite(value) else float(value)
        assert isinstance(self.resampling, Mean)
        return float(self.of_mean(self.resampling.rows(target, prediction).mean()))

    def of_mean(self, mean: Any) -> Any:
        """Return means of row losses in the metric's own unit; they may be one number, an array or a Series."""
        return np.sqrt(mean) if self.is_root else mean
