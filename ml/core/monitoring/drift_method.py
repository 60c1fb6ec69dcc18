"""What a drift method is: a distance between two samples of a column, from rows and from counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # settings are read without pandas
    import pandas as pd

ColumnKind = Literal["numeric", "categorical"]
Apart = Callable[[np.ndarray | None, np.ndarray, np.ndarray], np.ndarray]
NAMES_UP_TO = 20
"""Evidently cuts a number into bins for Jensen–Shannon only if its reference has more distinct values."""


@dataclass(frozen=True)
class DriftMethod:
    """A distance between what a column was and what it is.

    Attributes
    ----------
    name
        What ``drift.methods`` calls it.
    columns
        Which kinds of columns it compares; a bool is a category.
    apart
        From the values and the share of rows of each, in the reference and now, to the distance. The values are an
        array of shape (n_points,) in rising order, None for categories and bins. Both shares are of shape (...,
        n_points), the distance of shape (...): many blocks of days are compared at once. Shares are NaN, and so is the
        distance, where there is no row.
    binned
        Whether numbers with many values are cut into bins of equal width first, as Evidently does.
    of_rows
        The same distance from the rows themselves, if it is to be computed in another way; without nulls.
    in_evidently
        Whether Evidently has the method under this name; it is given `of_rows` of any other.
    """

    name: str
    columns: tuple[ColumnKind, ...]
    apart: Apart
    binned: bool = False
    of_rows: Callable[[pd.Series, pd.Series], float] | None = None
    in_evidently: bool = False

    def distance(self, reference: pd.Series, current: pd.Series) -> float:
        """Return the distance of two samples of a column, of shapes (n_reference,) and (n_current,), without nulls."""
        if self.of_rows is not None:
            return float(self.of_rows(reference, current))
        if is_number(reference) and not self.binned:
            points, before, now = shares_of_values(reference, current)
            return float(self.apart(points, before, now))
        return float(self.apart(None, *shares(reference, current)))


def is_number(column: pd.Series) -> bool:
    """Return whether a column is compared as numbers; a bool is two categories."""
    from pandas.api import types

    return bool(types.is_numeric_dtype(column) and not types.is_bool_dtype(column))


def shares(reference: pd.Series, current: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each category, or of each of Evidently's bins of equal width, on either side."""
    import pandas as pd

    if is_number(reference) and reference.nunique() > NAMES_UP_TO:
        both = np.concatenate([reference.to_numpy(float), current.to_numpy(float)])
        edges = np.histogram_bin_edges(both, bins="sturges")
        counted = [np.histogram(side, edges)[0] / len(side) for side in (reference, current)]
        return counted[0], counted[1]
    kind = float if is_number(reference) else str
    sides = [side.astype(kind).value_counts(normalize=True) for side in (reference, current)]
    aligned = pd.concat(sides, axis=1).fillna(0.0).to_numpy()
    return aligned[:, 0], aligned[:, 1]


def shares_of_values(reference: pd.Series, current: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all different numbers of both sides in rising order, and the share of each on either side."""
    sides = [side.to_numpy(dtype=float) for side in (reference, current)]
    points, codes = np.unique(np.concatenate(sides), return_inverse=True)
    counted = [np.bincount(part, minlength=len(points)) for part in np.split(codes, [len(sides[0])])]
    return points, counted[0] / len(sides[0]), counted[1] / len(sides[1])
