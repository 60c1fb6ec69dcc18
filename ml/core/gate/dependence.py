"""How a model's prediction depends on its strongest features: the mean prediction if all rows had one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

MOST_FEATURES, MOST_VALUES, MOST_ROWS = 3, 12, 500
LEAST_SHARE = 0.02
"""Of a numeric feature the values go from this quantile to the one as far from the other end."""

DIGITS = 6
Facts = dict[str, Any]


def dependence(
    predict: Callable[[pd.DataFrame], np.ndarray],
    matrix: pd.DataFrame,
    strongest: Sequence[str],
    *,
    classes: Sequence[str] = (),
    seed: int,
) -> list[Facts]:
    """Return the partial dependence of the strongest features (Friedman 2001, doi:10.1214/aos/1013203451).

    Each value of a feature is set in all rows of a sample, everything else stays as it is, and the predictions are
    averaged. Features that move together are set to values here that do not occur together.

    Parameters
    ----------
    predict
        Gives one prediction a row, of several classes a column for each.
    matrix : DataFrame of shape (n_rows, n_features)
        What the model sees, before any encoding. Not modified.
    strongest
        Names of features, the strongest first; the first three are taken that have two values at least.
    classes
        The names of several classes, in the order of the prediction's columns.

    Returns
    -------
    list of dict
        ``feature``; ``numeric``; ``values`` in order, at most twelve: of numbers from the second to the 98th
        percentile, of categories the most frequent; ``lines``, of each class (one without a name otherwise) its
        ``name`` and ``mean`` prediction by value; ``rows``, how many were averaged.
    """
    rows = matrix
    if len(matrix) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(matrix), MOST_ROWS, replace=False))
        rows = matrix.iloc[chosen]
    rows = rows.reset_index(drop=True)
    curves: list[Facts] = []
    for feature in strongest:
        numeric = is_numeric_dtype(matrix[feature]) and not is_bool_dtype(matrix[feature])
        values = _values(matrix[feature], numeric=numeric)
        if len(values) < 2 or rows.empty:
            continue
        repeated = pd.concat([rows] * len(values), ignore_index=True)
        repeated[feature] = values.repeat(len(rows)).reset_index(drop=True)
        predicted = np.asarray(predict(repeated), dtype=float).reshape(len(values), len(rows), -1).mean(axis=1)
        curves.append(
            {
                "feature": feature,
                "numeric": numeric,
                "values": [round(float(value), DIGITS) if numeric else str(value) for value in values],
                "lines": [
                    {"name": name, "mean": np.round(mean, DIGITS).tolist()}
                    for name, mean in zip(classes or ("",), predicted.T, strict=True)
                ],
                "rows": len(rows),
            }
        )
        if len(curves) == MOST_FEATURES:
            break
    return curves


def _values(column: pd.Series, *, numeric: bool) -> pd.Series:
    """Choose values that occur, with the column's own type."""
    known = column.dropna()
    if not numeric:
        frequent = known.astype(str).value_counts()
        order = sorted(frequent.index, key=lambda name: (-frequent[name], name))[:MOST_VALUES]
        first = known[~known.astype(str).duplicated()]
        by_name = dict(zip(first.astype(str), first.index, strict=True))
        chosen: pd.Series = known.loc[[by_name[name] for name in order]]
        return chosen
    ordered = known.sort_values(kind="stable").reset_index(drop=True)
    if ordered.empty:
        return ordered
    shares = np.linspace(LEAST_SHARE, 1 - LEAST_SHARE, MOST_VALUES)
    at = np.unique(np.round(shares * (len(ordered) - 1)).astype(int))
    picked: pd.Series = ordered.iloc[at].drop_duplicates()
    return picked
