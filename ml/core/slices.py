"""Cut a holdout into slices by columns and expressions, and measure each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.core.comparison import PairedGain, paired_gain
from ml.core.metrics import Kind, measure


@dataclass(frozen=True)
class Slice:
    """A named part of the holdout; ``gain`` is over the champion, None where the two cannot be compared."""

    name: str
    rows: int
    metrics: Mapping[str, float]
    gain: PairedGain | None = None


def cut(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Give each slice's name and which rows are in it.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        What the slices are cut by; not modified.
    by
        Names of columns (a slice for each value, one for nulls) or boolean expressions over columns, in
        the syntax of `pandas.DataFrame.eval` (a slice where it holds, and one where it does not).

    Yields
    ------
    tuple of str and boolean array of shape (n_rows,)

    Raises
    ------
    KeyError
        If a column is not there, or an expression cannot be computed.
    """
    for term in by:
        if term in rows:
            values = rows[term]
            for value in sorted(values.dropna().unique(), key=str):
                yield f"{term} = {value}", (values == value).fillna(False).to_numpy(dtype=bool)
            if values.isna().any():
                yield f"{term} is null", values.isna().to_numpy(dtype=bool)
            continue
        try:
            held = np.asarray(rows.eval(term, engine="python"))
        except Exception as err:  # whatever pandas' parser raises: NameError, SyntaxError, TypeError, ...
            raise KeyError(f"{term!r} is neither a column of inputs nor an expression over them ({err})") from err
        if held.shape != (len(rows),) or held.dtype != bool:
            raise KeyError(f"{term!r} does not say yes or no for each row")
        yield term, held
        yield f"not ({term})", ~held


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
    found = []
    for name, inside in cut(rows, by):
        part = scored.loc[inside]
        if len(part) < min_rows or part["day"].nunique() < min_days:
            continue
        gain = None
        if "champion" in part:
            gain = paired_gain(part, metric=metric, confidence=confidence, rounds=200, seed=0)
        found.append(Slice(name, len(part), measure(part["target"], part["challenger"], kind), gain))
    return tuple(found)
