"""Cut a holdout into slices by columns and conditions, and measure each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.conditions import Comparison, Condition, Joined, Negated, parse_term
from ml.core.gate.comparison import PairedGain, paired_gain
from ml.core.metric import Kind
from ml.core.metrics import measure

COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Slice:
    """A named part of the holdout; ``gain`` is over the champion, None where the two cannot be compared."""

    name: str
    rows: int
    metrics: Mapping[str, float]
    gain: PairedGain | None = None


def cut(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Return each slice's name and which rows are in it.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        What the slices are cut by; not modified.
    by
        Names of columns (a slice for each value, one for nulls) or conditions on columns, as `ml.conditions`
        reads them (a slice where it holds, and one where it does not; a null meets only ``!=`` and ``not in``).

    Yields
    ------
    tuple of str and boolean array of shape (n_rows,)

    Raises
    ------
    KeyError
        If a column is not there, or does not compare with the literal beside it.
    """
    for text in by:
        term = text if text in rows else _parsed(text)
        if isinstance(term, str):
            values = _column(rows, term)
            for value in sorted(values.dropna().unique(), key=str):
                yield f"{term} = {value}", (values == value).fillna(False).to_numpy(dtype=bool)
            if values.isna().any():
                yield f"{term} is null", values.isna().to_numpy(dtype=bool)
            continue
        held = _holds(rows, term)
        yield text, held
        yield f"not ({text})", ~held


def _parsed(text: str) -> str | Condition:
    try:
        return parse_term(text)
    except ValueError as err:
        raise KeyError(str(err)) from err


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    if name not in rows:
        raise KeyError(f"{name!r} is no column of inputs")
    return rows[name]


def _holds(rows: pd.DataFrame, condition: Condition) -> np.ndarray:
    """Return for each row whether a condition holds."""
    match condition:
        case Negated():
            return ~_holds(rows, condition.part)
        case Joined():
            join = np.logical_and if condition.word == "and" else np.logical_or
            return np.asarray(join.reduce([_holds(rows, part) for part in condition.parts]), dtype=bool)
        case Comparison():
            return _compared(_column(rows, condition.column), condition)


def _compared(values: pd.Series, asked: Comparison) -> np.ndarray:
    literals = asked.value if isinstance(asked.value, tuple) else (asked.value,)
    kinds = {"text" if isinstance(literal, str) else "a number" for literal in literals}
    kind = _kind(values)
    if kind is not None and kinds != {kind}:
        raise KeyError(f"the column {asked.column!r} holds {kind} and cannot be compared with {asked.value!r}")
    if asked.operator in ("in", "not in"):
        inside = values.isin(list(literals)).to_numpy(dtype=bool)
        return inside if asked.operator == "in" else ~inside
    try:
        held = COMPARE[asked.operator](values, asked.value)
    except (TypeError, ValueError) as err:
        raise KeyError(f"the column {asked.column!r} cannot be compared with {asked.value!r} ({err})") from err
    return np.asarray(held.fillna(asked.operator == "!="), dtype=bool)


def _kind(values: pd.Series) -> str | None:
    """Return whether a column holds text or numbers; None for what compares as it may (dates, nothing but nulls)."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred == "categorical":
        inferred = pd.api.types.infer_dtype(values.cat.categories, skipna=True)
    if inferred == "string":
        return "text"
    return "a number" if inferred in ("integer", "floating", "boolean", "decimal", "mixed-integer-float") else None


def gains(
    scored: pd.DataFrame,
    rows: pd.DataFrame,
    by: Sequence[str],
    *,
    kind: Kind,
    metric: str,
    confidence: float,
    min_rows: int,
    min_days: int,
    quantile: float | None = None,
) -> tuple[Slice, ...]:
    """Compare champion and challenger on each slice that is large enough.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``challenger`` and, if one serves, ``champion``; not modified.
    rows : DataFrame of shape (n_rows, n_columns)
        The same rows' columns to cut by, in the same order.

    Raises
    ------
    KeyError
        As `cut`.
    """
    slices = []
    for name, inside in cut(rows, by):
        part = scored.loc[inside]
        if len(part) < min_rows or part["day"].nunique() < min_days:
            continue
        gain = None
        if "champion" in part:
            gain = paired_gain(part, metric=metric, confidence=confidence, n_resamples=200, seed=0)
        measured = measure(part["target"], part["challenger"], kind, quantile)
        slices.append(Slice(name, len(part), measured, gain))
    return tuple(slices)
