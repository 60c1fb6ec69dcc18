"""Say how far a part of a day would be off if it were like the rest of that day.

A day has a shape of its own: delays grow towards its evening, a storm stands over one airport. The residuals of the
rows outside of a slice show it: along the prediction, along each column that slices are cut by. A weighted least
squares fit to them (the one-step estimate of a model with the predictions as offset: McCullagh and Nelder,
*Generalized Linear Models*, 1989, ch. 2.5), shrunk towards 0 by a ridge (Hoerl and Kennard 1970,
doi:10.1080/00401706.1970.10488634), is carried over to the rows inside. No row of the slice is fitted to, so a change
of the slice alone does not move it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.conditions import columns_of, parse_term
from ml.core.gate.slices import cut

SHRINKAGE_ROWS = 25
"""The fit is shrunk as much as if so many rows had said that nothing is off."""


class RowsAlike:
    """The rows of one labelled day, as a fit to a part of them needs them.

    Parameters
    ----------
    design : array of shape (n_rows, n_terms)
        As `design` makes it; a constant comes beside.
    residuals, variance : arrays of shape (n_rows,)
        What outcomes are beyond the predictions, and how much that varies if the model is right.
    """

    def __init__(self, design: np.ndarray, residuals: np.ndarray, variance: np.ndarray) -> None:
        self._design = np.column_stack([np.ones(len(residuals)), design])
        self._residuals, self._variance = residuals, variance
        self._weighted = self._design * variance[:, None]
        self._square, self._product = self._design.T @ self._weighted, self._design.T @ residuals
        self._ridge = np.full(self._design.shape[1], SHRINKAGE_ROWS * float(variance.mean()))
        self._ridge[0] = 1e-9 * float(variance.sum())

    def expected(self, held: np.ndarray) -> float:
        """Return the sum of the residuals that the rows outside of a slice would let expect inside.

        Parameters
        ----------
        held : boolean array of shape (n_rows,)
            The rows of the slice; some row is outside.
        """
        inside = self._weighted[held]
        square = self._square - self._design[held].T @ inside
        product = self._product - self._design[held].T @ self._residuals[held]
        effects = np.linalg.solve(square + np.diag(self._ridge), product)
        return float(inside.sum(axis=0) @ effects)


def design(rows: pd.DataFrame, prediction: np.ndarray, by: Sequence[str], *, min_rows: int) -> np.ndarray:
    """Lay out what days have a shape along: the prediction, and the columns that slices are cut by.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Not modified.
    prediction : array of shape (n_rows,)
        Of probabilities, their log odds.
    by
        Columns, each value of at least ``min_rows`` rows a term; and conditions, each numeric column of theirs two
        terms, itself and its square.

    Returns
    -------
    array of shape (n_rows, n_terms)
        Without nulls: where a number is absent it is the mean of the others.
    """
    terms = [_scaled(prediction)]
    numbers: dict[str, None] = {}
    for text in by:
        if text in rows:
            terms += [held.astype(float) for _, held in cut(rows, [text]) if held.sum() >= min_rows]
        else:
            columns = columns_of(parse_term(text))
            numbers |= dict.fromkeys(name for name in columns if pd.api.types.is_numeric_dtype(rows[name]))
    for name in numbers:
        scaled = _scaled(rows[name].to_numpy(dtype=float, na_value=np.nan))
        terms += [scaled, scaled**2]
    return np.column_stack(terms)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return numbers with mean 0 and standard deviation 1; 0 for what is absent, and all 0 where nothing varies."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    mean, spread = float(values[finite].mean()), float(values[finite].std())
    return np.where(finite, values - mean, 0.0) / spread if spread > 0 else np.zeros(len(values))
