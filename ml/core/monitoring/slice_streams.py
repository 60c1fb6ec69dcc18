"""Turn the labelled rows of a day into numbers a stream: how far a part is off, and what the rest of the day is.

A stream is a covariate of the rows: whether a row is in a slice. Its number is the score statistic of adding that
covariate to the model beside a constant of the day (Rao 1948, doi:10.1017/S0305004100023987; Hosmer and Lemeshow,
*Applied Logistic Regression*, ch. 5): the residuals of the slice, less what the whole day is off, in units of their
expected variation. A day on which everything is late moves none. Two more numbers are of the rows outside of the slice
alone, so that a change of the slice moves neither: how far they are off, and what those of them that are like the rows
of the slice would let expect of it (`ml.core.monitoring.rows_alike`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit

from ml.core.gate.slices import cut
from ml.core.metric import Kind
from ml.core.monitoring.rows_alike import RowsAlike, design

REST, ALIKE = ", the rest of the day", ", rows alike in the rest of the day"
"""A stream's name and one of these is what the rows outside of its slice say: all of them, and those that are alike."""
EDGE = 1e-6


def expected_variance(prediction: np.ndarray, residuals: np.ndarray, kind: Kind) -> np.ndarray:
    """Return how much each residual varies if the model is right.

    A probability says its own variance. A regression does not: the variance of the day's residuals around their
    median, robustly, stands for each row.

    Parameters
    ----------
    prediction, residuals : arrays of shape (n_rows,)
    """
    if kind == "classification":
        clipped = np.clip(prediction, EDGE, 1 - EDGE)
        return np.asarray(clipped * (1 - clipped), dtype=float)
    spread = 1.4826 * np.median(np.abs(residuals - np.median(residuals)))
    return np.full(len(residuals), max(float(spread) ** 2, EDGE))


def slices_of(
    rows: pd.DataFrame, by: Sequence[str], edges: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name the slices of a day and which rows are in each.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``prediction`` and the columns to cut by; not modified.
    by
        Columns or conditions, as of the gate's slices.
    edges
        Where numbers are cut, by column: each part between two edges is a slice.
    """
    yield from ((name, held) for name, held in cut(rows, by) if not name.startswith("not ("))
    for column, at in edges.items():
        part = np.searchsorted(np.asarray(at, dtype=float), rows[column].to_numpy(dtype=float), side="right")
        absent = rows[column].isna().to_numpy(dtype=bool)
        for number in range(len(at) + 1):
            yield _between(column, at, number), (part == number) & ~absent


def _between(column: str, at: Sequence[float], number: int) -> str:
    if number == 0:
        return f"{column} < {at[0]:.4g}"
    if number == len(at):
        return f"{column} >= {at[-1]:.4g}"
    return f"{at[number - 1]:.4g} <= {column} < {at[number]:.4g}"


def quantile_edges(values: pd.Series, parts: int) -> list[float]:
    """Return where a numeric column is cut into parts of about the same size; fewer where values repeat."""
    shares = np.arange(1, parts) / parts
    return sorted({float(value) for value in values.dropna().quantile(shares)} - {float(values.min())})


def day_streams(
    rows: pd.DataFrame, kind: Kind, by: Sequence[str], edges: Mapping[str, Sequence[float]], *, min_rows: int
) -> dict[str, float]:
    """Measure every stream on one labelled day.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target`` and ``prediction`` (of a rate or a number, both finite), and the columns to cut by; not modified.
    min_rows
        A slice of fewer rows on the day, or with fewer rows outside of it, is left out.

    Returns
    -------
    dict
        Of each stream three numbers, in units of their expected variation: by its name the score, about standard
        normal where the model is right; by its name and `REST` what all rows outside of the slice are off, and by its
        name and `ALIKE` what they let expect of the score. Empty of a day with fewer rows.
    """
    if len(rows) < min_rows:
        return {}
    prediction = rows["prediction"].to_numpy(dtype=float)
    residuals = rows["target"].to_numpy(dtype=float) - prediction
    variance = expected_variance(prediction, residuals, kind)
    centred = residuals - variance * (residuals.sum() / variance.sum())
    along = logit(np.clip(prediction, EDGE, 1 - EDGE)) if kind == "classification" else prediction
    rest = RowsAlike(design(rows, along, by, min_rows=min_rows), residuals, variance)
    measured = {}
    for name, held in slices_of(rows, by, edges):
        if held.sum() < min_rows or (~held).sum() < min_rows:
            continue
        covariate = held.astype(float)
        spread = float(variance @ (covariate - (variance @ covariate) / variance.sum()) ** 2)
        if spread > EDGE:
            measured[name] = float(covariate @ centred) / np.sqrt(spread)
            measured[name + REST] = float(residuals[~held].sum() / np.sqrt(variance[~held].sum()))
            measured[name + ALIKE] = rest.expected(held) / np.sqrt(spread)
    return measured


def parts(streams: Iterable[str]) -> list[str]:
    """Name the slices, without what is kept of the rest of the day beside them; each once, in the order given."""
    return [name for name in dict.fromkeys(streams) if not name.endswith((REST, ALIKE))]
