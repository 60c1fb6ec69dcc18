"""How a model's prediction depends on its strongest features: the mean prediction if all rows had one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

MOST_FEATURES, MOST_VALUES, MOST_ROWS = 3, 12, 500
LEAST_SHARE = 0.02
"""Of a numeric feature the values go from this quantile to the one as far from the other end."""

DIGITS = 6
Facts = dict[str, Any]
Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True, eq=False)
class OtherModel:
    """A model to show beside, and the rows of `sample` as that one sees them, in the same order."""

    predict: Predict
    rows: pd.DataFrame


def sample(rows: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the rows that predictions are averaged over: all, or as many as are quickly predicted.

    Frames of the same length have the same rows chosen by the same seed.
    """
    if len(rows) <= MOST_ROWS:
        return rows.reset_index(drop=True)
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    return rows.iloc[chosen].reset_index(drop=True)


def dependence(
    predict: Predict,
    matrix: pd.DataFrame,
    strongest: Sequence[str],
    *,
    classes: Sequence[str] = (),
    champion: OtherModel | None = None,
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
    champion
        The model to show beside this one, at the same values and over the same rows. None if there is none.

    Returns
    -------
    list of dict
        ``feature``; ``numeric``; ``values`` in order, at most twelve: of numbers from the second to the 98th
        percentile, of categories the most frequent; ``lines``, of each class (one without a name otherwise) its
        ``name`` and ``mean`` prediction by value; ``champion_lines``, the same of the champion (empty without one,
        and of a feature that it does not know); ``rows``, how many were averaged.
    """
    own = OtherModel(predict, sample(matrix, seed=seed))
    curves: list[Facts] = []
    for feature in strongest:
        numeric = is_numeric_dtype(matrix[feature]) and not is_bool_dtype(matrix[feature])
        values = _values(matrix[feature], numeric=numeric)
        if len(values) < 2 or own.rows.empty:
            continue
        beside = champion if champion is not None and feature in champion.rows else None
        curves.append(
            {
                "feature": feature,
                "numeric": numeric,
                "values": [round(float(value), DIGITS) if numeric else str(value) for value in values],
                "lines": _lines(own, feature, values, classes),
                "champion_lines": [] if beside is None else _lines(beside, feature, values, classes),
                "rows": len(own.rows),
            }
        )
        if len(curves) == MOST_FEATURES:
            break
    return curves


def _lines(model: OtherModel, feature: str, values: pd.Series, classes: Sequence[str]) -> list[Facts]:
    """Average what a model predicts if all rows had one value of a feature, value by value."""
    repeated = pd.concat([model.rows] * len(values), ignore_index=True)
    repeated[feature] = values.repeat(len(model.rows)).reset_index(drop=True)
    means = np.asarray(model.predict(repeated), dtype=float).reshape(len(values), len(model.rows), -1).mean(axis=1)
    return [
        {"name": name, "mean": np.round(mean, DIGITS).tolist()}
        for name, mean in zip(classes or ("",), means.T, strict=True)
    ]


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
