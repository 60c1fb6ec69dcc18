"""Turn the labelled rows of a day into a number a stream: how far a part is off, beyond what the whole day is.

A stream is a covariate of the rows: whether a row is in a slice. Its number is the score statistic of adding that
covariate to the model beside a constant of the day (Rao 1948, doi:10.1017/S0305004100023987; Hosmer and Lemeshow,
*Applied Logistic Regression*, ch. 5): the residuals of the slice, less what the whole day is off, in units of their
expected variation. A day on which everything is late moves none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ml.core.gate.slices import cut
from ml.core.metric import Kind

DAY = "the whole day"
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
) -> pd.DataFrame:
    """Measure every stream on one labelled day.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target`` and ``prediction`` (of a rate or a number, both finite), and the columns to cut by; not modified.
    min_rows
        A slice of fewer rows on the day, or with fewer rows outside of it, is left out.

    Returns
    -------
    DataFrame of shape (n_streams, 4)
        ``stream``; ``score``, about standard normal where the model is right; ``excess``, the mean residual of the
        slice beyond that of the day; ``rows``.
    """
    columns = ["stream", "score", "excess", "rows"]
    if len(rows) < min_rows:
        return pd.DataFrame(columns=columns)
    prediction = rows["prediction"].to_numpy(dtype=float)
    residuals = rows["target"].to_numpy(dtype=float) - prediction
    variance = expected_variance(prediction, residuals, kind)
    centred = residuals - variance * (residuals.sum() / variance.sum())
    measured = [(DAY, residuals.sum() / np.sqrt(variance.sum()), float(residuals.mean()), len(rows))]
    for name, held in slices_of(rows, by, edges):
        if held.sum() < min_rows or (~held).sum() < min_rows:
            continue
        covariate = held.astype(float)
        spread = float(variance @ (covariate - (variance @ covariate) / variance.sum()) ** 2)
        if spread > EDGE:
            score = float(covariate @ centred) / np.sqrt(spread)
            measured.append((name, score, float(centred[held].mean()), int(held.sum())))
    return pd.DataFrame(measured, columns=columns)
