"""Join tables by their keys exactly: 2**53 and 2**53 + 1 are two customers, whatever types hold them.

pandas joins int64 with uint64, and whole numbers with floats, through floats, in which large identifiers are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.core.data.schema import CHANGE_TYPE
from ml.errors import DataRejected

INT64 = np.iinfo(np.int64)
EXACT_IN_FLOAT = 2**53


def merge_exactly(
    left: pd.DataFrame,
    right: pd.DataFrame,
    key: Sequence[str],
    *,
    how: Literal["inner", "left"],
    validate: Literal["one_to_one"] | None = None,
) -> pd.DataFrame:
    """Join two tables as `pandas.merge` does, by the exact values of the key; it has the types of ``left``.

    Raises
    ------
    DataRejected
        If a column of the key is text on one side and a number on the other.
    """
    ours, theirs = aligned(left, right, key)
    joined = ours.merge(theirs, on=list(key), how=how, validate=validate)
    changed = {name: left[name].dtype for name in key if ours[name].dtype != left[name].dtype}
    return joined.astype(changed) if changed else joined


def aligned(left: pd.DataFrame, right: pd.DataFrame, key: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables whose key columns have one type, in which equal values are equal and others are not.

    Columns that have it already are not touched; neither table is modified.
    """
    for name in key:
        column, other = left[name], right[name]
        if column.dtype == other.dtype and not pd.api.types.is_object_dtype(column.dtype):
            continue
        numbers = [_is_number(side) for side in (column, other)]
        if all(numbers):
            same = _whole(column), _whole(other)
            if same[0] is None or same[1] is None:
                same = _objects(column), _objects(other)
            left, right = left.assign(**{name: same[0]}), right.assign(**{name: same[1]})
        elif any(numbers) and column.notna().any() and other.notna().any():
            kinds = " on one side and ".join("a number" if number else "text" for number in numbers)
            raise DataRejected(
                f"key column '{name}' is {kinds} on the other{_on_day(left)}, such as '{column.dropna().iloc[0]}' and "
                f"'{other.dropna().iloc[0]}'; deliver both as one type, or bring the days of the data registry to one: "
                f"{CHANGE_TYPE}"
            )
    return left, right


def _on_day(rows: pd.DataFrame) -> str:
    """Name the day of the rows, if they are of one."""
    days = list(rows["day"].dropna().unique()) if "day" in rows else []
    return f" on {days[0]}" if len(days) == 1 else ""


def _is_number(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values.dtype):
        return False
    if not pd.api.types.is_object_dtype(values.dtype):
        return bool(pd.api.types.is_numeric_dtype(values.dtype))
    return pd.api.types.infer_dtype(values, skipna=True) in ("integer", "floating", "mixed-integer-float", "decimal")


def _whole(values: pd.Series) -> pd.Series | None:
    """Return whole numbers as int64; None if one is not, or does not fit."""
    kind = values.dtype
    if pd.api.types.is_object_dtype(kind) or values.isna().any():
        return None
    if pd.api.types.is_integer_dtype(kind):
        return values.astype("int64") if not len(values) or int(values.max()) <= INT64.max else None
    numbers = values.to_numpy(dtype=float)
    whole = np.isfinite(numbers) & (np.abs(numbers) <= EXACT_IN_FLOAT) & (np.floor(numbers) == numbers)
    return values.astype("int64") if whole.all() else None


def _objects(values: pd.Series) -> pd.Series:
    return pd.Series([_exact(value) for value in values.astype(object)], index=values.index, dtype=object)


def _exact(value: Any) -> Any:
    """Return a whole number as Python's own, of any size; a null as None, anything else as it is."""
    if pd.isna(value):
        return None
    if isinstance(value, float | Decimal | np.floating):
        return int(value) if np.isfinite(float(value)) and value == int(value) else value
    return int(value)
