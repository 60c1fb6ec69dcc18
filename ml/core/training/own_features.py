"""Run an adopter's own function of features on one day: it sees that day's inputs, and nothing that came later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml import own_code
from ml.core.data.row_checks import too_large
from ml.core.data.schema import kind_of_values
from ml.errors import DataRejected, SettingsError
from ml.settings import PythonFeature

Function = Callable[[pd.DataFrame, pd.DataFrame], Any]


def load(wanted: PythonFeature) -> Function:
    """Import the function that ``features.python`` names.

    Raises
    ------
    SettingsError
        If it cannot be imported, or is not a function.
    """
    try:
        function = own_code.find(wanted.function, "features.python.function")
    except SettingsError:
        raise
    except Exception as err:
        raise SettingsError(
            f"features.python.function {wanted.function!r} cannot be imported ({type(err).__name__}: {err}); correct "
            "the module beside params.yaml, or the path"
        ) from err
    if not callable(function):
        raise SettingsError(f"features.python.function {wanted.function!r} is not a function; correct the path")
    loaded: Function = function
    return loaded


def names(wanted: PythonFeature | None) -> list[str]:
    """Name the columns that the function returns, numbers first; none without a function."""
    return [*wanted.numeric, *wanted.categorical] if wanted else []


def compute(
    function: Function, wanted: PythonFeature, day: date, inputs: pd.DataFrame, labelled: pd.DataFrame
) -> pd.DataFrame:
    """Compute the declared columns of a day.

    The function gets copies: what it does to them stays there.

    Parameters
    ----------
    inputs : DataFrame of shape (n_rows, n_columns)
        All rows of the day, as they were delivered.
    labelled : DataFrame of shape (n_labelled, n_columns + 1)
        Rows of earlier days with their target: those whose labels had arrived by ``day``.

    Returns
    -------
    DataFrame of shape (n_rows, n_declared)
        In the order of ``inputs``, numbers as float64.

    Raises
    ------
    DataRejected
        If the function fails, or does not return what was declared; naming function, day and column.
    """
    where = f"features.python.function {wanted.function} on {day}"
    taken = [name for name in names(wanted) if name in inputs]
    if taken:
        raise DataRejected(
            f"{where}: inputs have a column {taken[0]!r} already; rename it in the function and settings"
        )
    try:
        returned = function(inputs.reset_index(drop=True), labelled.reset_index(drop=True).copy())
    except Exception as err:
        raise DataRejected(
            f"{where} failed on {len(inputs)} rows of inputs and {len(labelled)} labelled ones "
            f"({type(err).__name__}: {err}); correct the function"
        ) from err
    if not isinstance(returned, pd.DataFrame) or len(returned) != len(inputs):
        shape = f"{len(returned)} rows" if isinstance(returned, pd.DataFrame) else f"a {type(returned).__name__}"
        raise DataRejected(
            f"{where} returned {shape}; it must return a DataFrame of {len(inputs)} rows, in their order"
        )
    if list(returned.index) != list(range(len(inputs))):
        raise DataRejected(
            f"{where} returned rows in another order than its inputs (see their index); keep their order"
        )
    missing = [name for name in names(wanted) if name not in returned]
    if missing:
        raise DataRejected(f"{where} returned no column {missing[0]!r}, which features.python declares; correct either")
    return pd.DataFrame(
        {
            **{name: _numbers(returned[name], name, where) for name in wanted.numeric},
            **{name: _categories(returned[name], name, where) for name in wanted.categorical},
        }
    )


def _numbers(values: pd.Series, name: str, where: str) -> pd.Series:
    try:
        numbers = values.astype("float64")
    except (TypeError, ValueError) as err:
        raise DataRejected(f"{where}: column {name!r} holds what is no number ({err}); correct the function") from err
    if (too_large(numbers)).any():
        row = int(np.flatnonzero(too_large(numbers))[0])
        raise DataRejected(f"{where}: column {name!r} is infinite or too large in row {row}; correct the function")
    return numbers


def _categories(values: pd.Series, name: str, where: str) -> pd.Series:
    if kind_of_values(values) not in {"text", "null"}:
        raise DataRejected(f"{where}: column {name!r} is a category and holds other than text; return texts or nulls")
    return values.astype("object").where(values.notna(), None)
