"""Sum up the labels of a day, so that days can be compared without their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ml.core import predictions
from ml.records import LabelDay, LabelPart
from ml.settings import Task

QUANTILES = (0.1, 0.9)
MOST_CLASSES = 30
"""Pairs of more classes are not compared: a day would be summed up in more than 435 figures."""

MANY_NUMBERS = 20
"""Fewer different numbers may be those of another day by chance: of a count that is mostly zero, say."""
WORTH = 0.1
"""Rows of a day resemble each other, so that they are taken to tell as much as so small a share of independent ones:
on half-hourly demand, which rises and falls by the clock, one true day in ten has the very classes of another one."""


def label_day(
    day: date,
    target: ArrayLike,
    predicted: ArrayLike | None,
    task: Task,
    *,
    content: str = "",
    parts: Mapping[str, LabelPart] | None = None,
) -> LabelDay:
    """Sum up the labels of a day, and what was predicted of the same rows.

    Parameters
    ----------
    target : array of shape (n_rows,)
        Labels as numbers: 0 and 1, the number of the class, or the value. Those that are NaN do not count.
    predicted : array or None
        What was predicted of the same rows, see `ml.core.predictions`; None if nothing was. A row may be NaN.
    content
        See `content_of`; empty if the day is not compared with other days row by row.
    parts
        What `ml.core.data.label_parts.label_parts` gave of the same rows.
    """
    labels = np.asarray(target, dtype=float)
    labelled = np.isfinite(labels)
    labels = labels[labelled]
    regression = task.kind == "regression"
    facts = {
        "day": day,
        "rows": len(labels),
        "level": _level(shares(labels, task), regression=regression) if len(labels) else (),
        "spread": float(labels.std()) if regression and len(labels) else 0.0,
        "single": len(labels) > 0 and bool((labels == labels[0]).all()),
        "content": content,
        "counts": class_counts(labels, task) if not regression else (),
        "parts": dict(parts or {}),
        "surprise": _surprise(labels) if regression and len(np.unique(labels)) >= MANY_NUMBERS else 0.0,
    }
    if predicted is None:
        return LabelDay.model_validate(facts)
    values = predictions.array(predicted)[labelled]
    both = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
    labels, values = labels[both], values[both]
    if not len(labels):
        return LabelDay.model_validate(facts)
    if not regression:
        facts["surprise"] = WORTH * min(_surprise(labels), _surprise_predicted(shares(labels, task), values))
    columns = values[:, None] if values.ndim == 1 else values
    facts["expected"] = _level(columns, regression=regression)
    facts["association"], facts["association_error"] = association(shares(labels, task), columns, regression)
    if 0 < len(task.classes) <= MOST_CLASSES:
        facts["pair_orders"] = _pair_orders(labels, values)
    return LabelDay.model_validate(facts)


def content_of(keys: pd.DataFrame, target: ArrayLike) -> str:
    """Hash the labels of a day in the order of their keys, so that a day can be compared with others row by row.

    Parameters
    ----------
    keys : DataFrame of shape (n_rows, n_key_columns)
        The key without the day; not modified.
    target : array of shape (n_rows,)
        Labels as numbers.
    """
    labels = np.asarray(target, dtype=float)
    if len(keys.columns):
        labels = labels[keys.reset_index(drop=True).sort_values(list(keys.columns), kind="stable").index.to_numpy()]
    return hashlib.blake2b(labels.tobytes(), digest_size=16).hexdigest()


def _surprise(labels: np.ndarray) -> float:
    """Return how improbable these labels are if each value were as probable as it is frequent on the day."""
    counts = np.unique(labels, return_counts=True)[1]
    return float(-(counts * np.log(counts / max(len(labels), 1))).sum())


def _surprise_predicted(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return how improbable these labels of a class are by the predictions."""
    ones = predicted[:, None] if predicted.ndim == 1 else predicted
    likely = np.where(labels == 1, ones, 1 - ones) if predicted.ndim == 1 else (labels * ones).sum(axis=1)
    return float(-np.log(np.clip(likely, np.finfo(float).tiny, None)).sum())


def class_counts(labels: np.ndarray, task: Task) -> tuple[int, ...]:
    """Return how many rows are of each class."""
    return tuple(int((labels == number).sum()) for number in range(max(len(task.classes), 2)))


def shares(labels: np.ndarray, task: Task) -> np.ndarray:
    """Return labels as columns, of several classes one for each."""
    return predictions.outcomes(labels, len(task.classes)) if task.classes else labels[:, None]


def _level(columns: np.ndarray, *, regression: bool) -> tuple[float, ...]:
    """Return the log odds of each column's mean (half a row of each kind added), or mean and quantiles of a number."""
    if regression:
        return (float(columns.mean()), *map(float, np.quantile(columns[:, 0], QUANTILES)))
    ones, rows = columns.sum(axis=0), len(columns)
    return tuple(map(float, np.log((ones + 0.5) / (rows - ones + 0.5))))


def association(labels: np.ndarray, predicted: np.ndarray, regression: bool) -> tuple[float | None, float | None]:
    """Return how alike labels and predictions order the rows, and its standard error if they did not at all.

    Spearman's rank correlation for numbers. For classes Somers' D, twice the area under the ROC curve less one, each
    class against all others, weighted by the rows of that class; its error is that of the Mann-Whitney statistic
    (Hanley and McNeil, *Radiology* 143, 1982, for the area; Mann and Whitney 1947 for its variance under no relation).
    """
    rows = len(labels)
    ranks = rankdata(predicted, axis=0)
    if regression:
        ordered = rankdata(labels[:, 0])
        if rows < 3 or not ordered.std() or not ranks[:, 0].std():
            return None, None
        return float(np.corrcoef(ordered, ranks[:, 0])[0, 1]), float(1 / np.sqrt(rows - 1))
    ones = labels.sum(axis=0)
    zeros = rows - ones
    usable = (ones > 0) & (zeros > 0) & (ranks.std(axis=0) > 0)
    if not usable.any():
        return None, None
    ones, zeros = ones[usable], zeros[usable]
    wins = (labels[:, usable] * ranks[:, usable]).sum(axis=0) - ones * (ones + 1) / 2
    somers = 2 * wins / (ones * zeros) - 1
    errors = 2 * np.sqrt((rows + 1) / (12 * ones * zeros))
    weights = ones / ones.sum()
    return float(weights @ somers), float(weights @ errors)


def _pair_orders(labels: np.ndarray, predicted: np.ndarray) -> tuple[float | None, ...]:
    """Return of each two classes by how many standard errors their rows are ordered as predicted.

    The rows of the two are ordered by which of both is predicted; see `association`.
    """
    logs = np.log(np.clip(predicted, np.finfo(float).tiny, None))
    members = [labels == number for number in range(predicted.shape[1])]
    orders: list[float | None] = []
    for first, second in combinations(range(predicted.shape[1]), 2):
        rows = members[first] | members[second]
        pair = members[second][rows][:, None].astype(float)
        odds = (logs[rows, second] - logs[rows, first])[:, None]
        somers, error = association(pair, odds, regression=False) if rows.any() else (None, None)
        orders.append(None if somers is None or not error else round(somers / error, 3))
    return tuple(orders)
