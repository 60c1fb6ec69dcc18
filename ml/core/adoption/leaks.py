"""Name the columns that know the outcome: alone, by a sum that equals it, or by being null only where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from ml.core.gate import leakage
from ml.core.metric import Kind
from ml.settings import Label

MOST_STRENGTH = 0.98
"""A column that explains more by itself (AUC, or R² of a regression) is taken to know the outcome."""

ROWS, TRAINED_SHARE, BLOCKS = 30_000, 0.7, 6
MOST_COLUMNS, MIN_VALUES = 60, 3
EXACT_SHARE, SUM_R2, SUM_PART = 0.99, 0.999_99, 0.01


def strengths(
    table: pd.DataFrame, columns: Sequence[str], *, target: str, kind: Kind, classes: int = 0
) -> dict[str, float]:
    """Return how much each column alone explains of the newest days, as the gate's leakage rule measures it.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Labelled rows with ``day``; the target is a number.
    classes
        How many classes there are, of ``multiclass``.
    """
    train, holdout = cut(table)
    measured: dict[str, float] = {}
    for column in columns:
        looked = leakage.look(train, holdout, [column], target=target, key=["day"], kind=kind, classes=classes)
        measured[column] = looked.strengths[column]
    return measured


def strongest_of_blocks(
    table: pd.DataFrame, columns: Sequence[str], *, target: str, kind: Kind, classes: int = 0, days: int
) -> tuple[str, float]:
    """Return the column that explains most of any of the newest blocks of so many days, and how much.

    A short holdout shows more of a column, or less, than a long one: the most of several is what an honest column may
    reach.
    """
    ordered = sorted(table["day"].unique())
    best = ("none", 0.0)
    for block in range(BLOCKS):
        scored = ordered[len(ordered) - (block + 1) * days : len(ordered) - block * days]
        if len(scored) < days or len(ordered) - (block + 1) * days < days:
            break
        train, holdout = table.loc[table["day"] < scored[0]], table.loc[table["day"].isin(scored)]
        for column in columns:
            looked = leakage.look(train, holdout, [column], target=target, key=["day"], kind=kind, classes=classes)
            value = looked.strengths[column]
            best = (column, value) if np.isfinite(value) and value > best[1] else best
    return best


def cut(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the earlier days and those of the newest ones, of many rows an even sample."""
    ordered = table.sort_values("day", kind="stable")
    if len(ordered) > ROWS:
        ordered = ordered.iloc[np.unique(np.linspace(0, len(ordered) - 1, ROWS).astype(int))]
    first = ordered["day"].iloc[int(len(ordered) * TRAINED_SHARE)]
    return ordered.loc[ordered["day"] < first], ordered.loc[ordered["day"] >= first]


def name_leaks(
    table: pd.DataFrame,
    columns: Sequence[str],
    measured: dict[str, float],
    *,
    target: str,
    kind: Kind,
    classes: Sequence[Label] = (),
) -> dict[str, str]:
    """Return the columns that are suspected to know the outcome, each with what was seen.

    Parameters
    ----------
    measured
        See `strengths`.
    classes
        The labels of ``multiclass``: it is said which of them a column tells, and how rare it is.
    """
    measure = "R²" if kind == "regression" else "AUC"
    suspects: dict[str, str] = {}
    for column in columns:
        straight = _straight(table[column], table[target], kind)
        if max(measured.get(column, 0.0), straight) > MOST_STRENGTH:
            nulls = _null_words(table[column], table[target], kind)
            what = _told(table, column, target, classes) if classes else f"predicts {target}"
            suspects[column] = (
                f"alone it {what} almost perfectly ({measure} {max(measured[column], straight):.3f}){nulls}"
            )
    alone = frozenset(suspects)
    for parts, words in _exact(table, columns, alone, target, kind):
        for part in parts:
            suspects.setdefault(part, words)
    return suspects


def _told(table: pd.DataFrame, column: str, target: str, classes: Sequence[Label]) -> str:
    """Say which of several classes a column tells from the others: it may be a rare one that it tells honestly."""
    train, holdout = cut(table)
    looked = leakage.look(train, holdout, [column], target=target, key=["day"], kind="multiclass", classes=len(classes))
    number = looked.best_classes[column]
    return f"tells {target} {classes[number]} ({(table[target] == number).mean():.1%} of the rows) from the rest"


def _straight(values: pd.Series, target: pd.Series, kind: Kind) -> float:
    """Return the R² of a straight line from a column of numbers to the target; 0 where there is none."""
    if kind != "regression" or not pd.api.types.is_numeric_dtype(values.dtype) or values.nunique() < MIN_VALUES:
        return 0.0
    correlation = values.astype("float64").corr(target)
    return float(correlation**2) if np.isfinite(correlation) else 0.0


def _null_words(values: pd.Series, target: pd.Series, kind: Kind) -> str:
    if kind != "classification" or not values.isna().any():
        return ""
    by_class = values.isna().groupby(target.to_numpy()).mean()
    telling = by_class.max() > 0.99 and by_class.min() < 0.01
    return f": it is null exactly where {target.name} is {by_class.idxmax():g}" if telling else ""


def _exact(
    table: pd.DataFrame, columns: Sequence[str], alone: frozenset[str], target: str, kind: Kind
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield columns of numbers that give the target by a sum, a difference, a product or a ratio.

    Those that predict it ``alone`` are no part of a weighted sum: it would be theirs.
    """
    if kind != "regression":
        return
    numeric = [c for c in columns if pd.api.types.is_numeric_dtype(table[c].dtype) and table[c].nunique() > 2]
    numeric = numeric[:MOST_COLUMNS]
    rows = table.dropna(subset=[*numeric, target])
    rows = rows.iloc[np.unique(np.linspace(0, max(len(rows) - 1, 0), 5_000).astype(int))] if len(rows) else rows
    if len(rows) < 30 or not numeric:
        return
    truth = rows[target].to_numpy(dtype=float)
    values = {column: rows[column].to_numpy(dtype=float) for column in numeric}
    tolerance = 1e-6 * np.maximum(np.abs(truth), 1.0) + 0.006 * (truth % 1 != 0).any()
    telling = truth != _usual(truth)  # a sum that is 0 wherever nothing happened says nothing there
    if telling.sum() < 30:
        return
    for first, second in combinations(numeric, 2):
        a, b = (rows[column].to_numpy(dtype=float) for column in (first, second))
        with np.errstate(divide="ignore", invalid="ignore"):
            results = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}
        for sign, result in results.items():
            for left, right, guess in ((first, second, result), (second, first, _turned(sign, a, b))):
                if guess is None:
                    continue
                is_exact = np.abs(guess - truth) <= tolerance
                if min(is_exact.mean(), is_exact[telling].mean()) >= EXACT_SHARE:
                    # what is taken from another column, or divides it, need not know the outcome
                    yield (left,) if sign in "-/" else (left, right), f"{left} {sign} {right} is {target}"
                    values.pop(left, None)
    yield from _linear({c: v for c, v in values.items() if c not in alone}, truth, target)


def _usual(truth: np.ndarray) -> float:
    """Return the value that is there most often."""
    values, counts = np.unique(truth, return_counts=True)
    return float(values[counts.argmax()])


def _turned(sign: str, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"-": b - a, "/": b / a}.get(sign)


def _linear(values: dict[str, np.ndarray], truth: np.ndarray, target: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the columns of which a weighted sum is the target."""
    if not values:
        return
    matrix = np.column_stack([*values.values(), np.ones(len(truth))])
    weights, *_ = np.linalg.lstsq(matrix, truth, rcond=None)
    rest = truth - matrix @ weights
    if truth.std() == 0 or 1 - rest.var() / truth.var() < SUM_R2:
        return
    parts = tuple(
        column
        for column, weight in zip(values, weights[:-1], strict=True)
        if abs(weight) * values[column].std() > SUM_PART * truth.std()
    )
    yield parts, f"{target} is a weighted sum of {', '.join(parts)}"
