"""What a prediction is, of each kind of task: its columns in files, its value in a frame, what it decides.

Of ``classification`` (the probability of 1) and ``regression`` (the value) a row's prediction is a number. Of
``multiclass`` it is a vector, the probability of each of ``task.classes`` in their order; the target is then the number
of the class, from 0 on. In a frame a prediction is always one column, of numbers or of vectors, so that rows are cut,
joined and drawn alike; as an array it is of shape (n_rows,) or (n_rows, n_classes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ml.names import LOWER, UPPER, probability_name
from ml.settings import Task

if TYPE_CHECKING:  # settings are read without pandas
    import pandas as pd

PREDICTION, RAW = "prediction", "raw_prediction"


def names(task: Task) -> tuple[str, ...]:
    """Name the columns that hold a prediction in the files that are published.

    Examples
    --------
    >>> names(Task(name="t", kind="regression", target="y", key=("day", "id"), label_delay_days=1))
    ('prediction',)
    >>> names(Task(name="t", kind="multiclass", target="y", key=("day", "id"), label_delay_days=1,
    ...            classes=("low", "middle", "high")))
    ('probability_low', 'probability_middle', 'probability_high')
    """
    return tuple(map(probability_name, task.classes)) if task.classes else (PREDICTION,)


def column(predicted: np.ndarray) -> Any:
    """Return predictions as a column of a frame: numbers as they are, of several classes a vector a row."""
    if predicted.ndim == 1:
        return predicted
    vectors = np.empty(len(predicted), dtype=object)
    vectors[:] = list(predicted)
    return vectors


def array(values: ArrayLike) -> np.ndarray:
    """Return a column of predictions as an array of shape (n_rows,) or (n_rows, n_classes).

    A row without a vector among others is NaN for each class.
    """
    predicted = np.asarray(values)
    if predicted.dtype != object or predicted.ndim != 1:
        return np.asarray(predicted, dtype=float)
    widths = {len(value) for value in predicted if isinstance(value, np.ndarray | list | tuple)}
    if not widths:
        return np.asarray(predicted, dtype=float)
    missing = np.full(max(widths), np.nan)
    rows = [value if isinstance(value, np.ndarray | list | tuple) else missing for value in predicted]
    return np.asarray(rows, dtype=float)


def constant(value: Any, rows: int) -> np.ndarray:
    """Return the same prediction for each of so many rows."""
    return np.full((rows, *np.shape(value)), value, dtype=float)


def gathered(frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Put the columns of a published file together as one column, ``prediction``; a missing one is NaN.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        With `names` among its columns; not modified.
    """
    if not task.classes:
        return frame
    wanted = list(names(task))
    vectors = column(frame.reindex(columns=wanted).to_numpy(dtype=float))
    return frame.drop(columns=wanted, errors="ignore").assign(**{PREDICTION: vectors})


def parted(predicted: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Return predictions as the columns of a published file, by `names`."""
    sides = predicted.T if task.classes else predicted[None, :]
    return dict(zip(names(task), sides, strict=True))


def base_rate(train_target: ArrayLike, task: Task) -> Any:
    """Return the constant that knows no feature: prevalence, mean or quantile in training, or each class's share."""
    target = np.asarray(train_target)
    if task.quantile is not None:
        return float(np.quantile(target, task.quantile, method="inverted_cdf"))
    if not task.classes:
        return float(np.mean(target))
    return outcomes(target, len(task.classes)).mean(axis=0)


def outcomes(target: ArrayLike, classes: int) -> np.ndarray:
    """Return 1 where a row is of a class and 0 where not, an array of shape (n_rows, n_classes)."""
    return np.asarray(np.asarray(target, dtype=float)[:, None] == np.arange(classes), dtype=float)


def decided(predicted: np.ndarray, task: Task, threshold: float) -> np.ndarray | None:
    """Return what is decided of each row; None of a regression, which decides nothing.

    Of several classes it is the label of the most probable one, of equally probable ones the first declared.
    """
    if task.classes:
        labels: np.ndarray = np.array(task.classes, dtype="int64" if isinstance(task.classes[0], int) else object)
        return np.asarray(labels[predicted.argmax(axis=1)])
    return np.asarray(predicted >= threshold) if task.kind == "classification" else None


def bounds(predicted: np.ndarray, half_width: float | np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the ends of prediction intervals as the columns of a published file; empty for models without any.

    Parameters
    ----------
    half_width
        See `ml.records.IntervalWidth`, of all rows or of each; None for no intervals.
    """
    return {} if half_width is None else {LOWER: predicted - half_width, UPPER: predicted + half_width}


def representative(predicted: np.ndarray) -> np.ndarray:
    """Return a number a row, of shape (n_rows,): the prediction itself, or the probability of the decided class."""
    return predicted if predicted.ndim == 1 else predicted.max(axis=1, initial=0.0)


def gaps(
    target: ArrayLike, values: ArrayLike, classes: Sequence[object] = (), *, quantile: float | None = None
) -> dict[str, np.ndarray]:
    """Return by how much each row was predicted too high: under "gap", or "gap of <class>" for each class.

    Of a quantile it is 1 where the outcome is at or below the prediction and 0 where not, minus the quantile: on
    average the share of rows by which it is too high.
    """
    predicted = array(values)
    if quantile is not None:
        return {"gap": (np.asarray(target, dtype=float) <= predicted) - quantile}
    if predicted.ndim == 1:
        return {"gap": predicted - np.asarray(target, dtype=float)}
    apart = predicted - outcomes(target, predicted.shape[1])
    labels = classes or range(predicted.shape[1])
    return {f"gap of {label}": apart[:, number] for number, label in enumerate(labels)}


def compared_predictions(values: pd.Series, task: Task) -> Mapping[str, pd.Series]:
    """Return a column of predictions as the columns that drift compares: one, or one for each class."""
    if not task.classes:
        return {PREDICTION: values}
    import pandas as pd

    predicted = array(values) if len(values) else np.zeros((0, len(task.classes)))
    return {name: pd.Series(part, index=values.index) for name, part in parted(predicted, task).items()}


def compared_labels(target: pd.Series, task: Task) -> pd.Series:
    """Return targets as drift compares them: numbers as they are, of several classes the labels as text."""
    if not task.classes:
        return target
    return target.map({float(number): str(label) for number, label in enumerate(task.classes)}).astype(object)
