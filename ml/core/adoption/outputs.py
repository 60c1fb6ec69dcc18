"""Name the columns that look like the output of another model: by their names, or because they act like one.

Such a column is no leak for certain. But the other model may have been fitted on these very outcomes: then it knows
more of them than it will of new ones. And one day it is changed, or switched off. So a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from ml.core.adoption.leaks import cut
from ml.core.metric import Kind

WORDS = {
    "pred", "preds", "predict", "predicted", "prediction", "predictions", "yhat", "prob", "proba", "probs",
    "probability", "probabilities", "logit", "logits",
}  # fmt: skip
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
LEAST_VALUES, MOST_NULLS = 20, 0.1
BINS, CALIBRATED = 10, 0.03
"""In bins of equal size, a column of probabilities lies no further from the shares of the outcome on average, beyond
what chance makes of true probabilities.
"""

LEAST_AUC, NEARLY = 0.6, 0.9
"""It acts like a model if it ranks better than this, and has so much of what a model of all others has beyond 0.5."""


def name_outputs(
    table: pd.DataFrame, columns: Sequence[str], *, target: str, kind: Kind, classes: int = 0
) -> dict[str, str]:
    """Return the columns that look like another model's output, each with what was seen.

    By value a column is found for a classification only: it lies between 0 and 1, is by itself a calibrated
    probability of the outcome on the newest days, and ranks them nearly as well as boosted trees of all other columns
    do. Of a regression nothing tells a prediction from an honest earlier value.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Labelled rows with ``day``; the target is a number: 0 and 1, or the number of a class.
    columns
        Those that are looked at, and that another model may be fitted on.
    """
    named = {
        column: f"by its name it is the output of another model of {target}" for column in columns if _named(column)
    }
    if kind == "regression":
        return named
    rest = [column for column in columns if column not in named]
    candidates = [column for column in rest if _is_probability(table[column])]
    others = [column for column in rest if column not in candidates]
    train, newest = cut(table)
    for column in candidates:
        outcomes = [1.0] if kind == "classification" else [float(number) for number in range(classes)]
        for outcome in outcomes:
            if seen := _acts_like_one(train, newest, column, others, target, outcome):
                named[column] = seen
                break
    return named


def _named(column: str) -> bool:
    parts = [part.lower() for part in PART.findall(column)]
    pairs = {"".join(pair) for pair in pairwise(parts)}
    return bool(WORDS & {*parts}) or "yhat" in pairs


def _is_probability(values: pd.Series) -> bool:
    if not pd.api.types.is_float_dtype(values.dtype) or values.isna().mean() > MOST_NULLS:
        return False
    known = values.dropna()
    return bool(known.between(0, 1).all()) and known.nunique() >= LEAST_VALUES


def _acts_like_one(
    train: pd.DataFrame, newest: pd.DataFrame, column: str, others: Sequence[str], target: str, outcome: float
) -> str:
    """Return what was seen if a column is a probability of an outcome as good as a model's; empty if it is not."""
    rows = newest.loc[newest[column].notna()]
    truth = (rows[target] == outcome).to_numpy(dtype=float)
    if len(np.unique(truth)) < 2:
        return ""
    for shown, values in _sides(rows[column]):
        alone = float(roc_auc_score(truth, values))
        if alone < LEAST_AUC or _distance(values.to_numpy(dtype=float), truth) > CALIBRATED:
            continue
        whole = _auc_of_others(train, rows, others, target, outcome)
        if alone - 0.5 >= NEARLY * (whole - 0.5):
            return (
                f"{shown} is a calibrated probability of {target}, and ranks the newest days as well as a model of all "
                f"other columns does (AUC {alone:.2f} and {whole:.2f}): it looks like the output of another model"
            )
    return ""


def _sides(values: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    yield "it", values
    yield "1 minus it", 1 - values


def _distance(values: np.ndarray, truth: np.ndarray) -> float:
    """Return how far predicted and observed shares lie apart, in bins of equal numbers of rows, beyond chance.

    Of true probabilities the observed share of a bin is normal, nearly, and lies off by sqrt(2 / pi) of its standard
    deviation on average.
    """
    order = np.argsort(values, kind="stable")
    total = 0.0
    for part in np.array_split(order, BINS):
        if len(part):
            share = float(values[part].mean())
            chance = np.sqrt(2 / np.pi * share * (1 - share) / len(part))
            total += len(part) * (abs(share - float(truth[part].mean())) - chance)
    return float(total / len(values))


def _auc_of_others(
    train: pd.DataFrame, rows: pd.DataFrame, others: Sequence[str], target: str, outcome: float
) -> float:
    labels = (train[target] == outcome).to_numpy(dtype=float)
    if not others or len(np.unique(labels)) < 2:
        return 0.5
    both = pd.concat([train[list(others)], rows[list(others)]], ignore_index=True)
    matrix = np.column_stack([_as_numbers(both[column]) for column in others])
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(matrix[: len(train)], labels)
    truth = (rows[target] == outcome).to_numpy(dtype=float)
    return float(roc_auc_score(truth, model.predict_proba(matrix[len(train) :])[:, 1]))


def _as_numbers(values: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=float, na_value=np.nan)
    return pd.factorize(values.astype("str"))[0].astype(float)
