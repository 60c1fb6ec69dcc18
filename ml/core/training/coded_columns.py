"""Columns of a batch as numbers, and as their different values with the place of each row's value among them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class CodedColumn:
    """A column as its different values, and which of them each row has.

    Attributes
    ----------
    keys : list of length n_values
        The values as keys of a dictionary; None stands for a null, of whatever kind. There may be several.
    codes : array of shape (n_rows,)
        The place of each row's value among ``keys``.
    read
        Returns ``different``, which are seldom asked for.
    """

    keys: list[Hashable]
    codes: np.ndarray
    read: Callable[[], pd.Series] = field(repr=False)

    @cached_property
    def different(self) -> pd.Series:
        """Return the different values as pandas holds the whole column, a Series of shape (n_values,)."""
        return self.read()

    @property
    def rows(self) -> pd.Series:
        """Return the value of each row."""
        return self.different.take(self.codes).reset_index(drop=True)


Columns = Mapping[str, CodedColumn | np.ndarray]
"""Columns of the same rows: coded, or float64 of shape (n_rows,), where NaN stands for a null."""


def as_coded(column: CodedColumn | np.ndarray) -> CodedColumn:
    """Return a column that has to be coded.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(column, CodedColumn):
        raise TypeError("the column is not coded")
    return column


def as_numbers(column: CodedColumn | np.ndarray) -> np.ndarray:
    """Return a column that has to be numbers.

    Raises
    ------
    TypeError
        If it is coded.
    """
    if isinstance(column, CodedColumn):
        raise TypeError("the column is coded")
    return column
