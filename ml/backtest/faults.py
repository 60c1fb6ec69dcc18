"""A small catalogue of what goes wrong with data, to see whether monitoring finds it and what it costs.

A fault is read from text, such as ``visib in km from 2013-07-01 to 2013-07-31``; without a last day it stays.
All functions are pure: frames come and go, nothing is modified.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.backtest import input_faults, label_faults
from ml.backtest.fault import Fault
from ml.conditions import columns_of, parse_term
from ml.core.data.keys import merge_exactly
from ml.core.gate.slices import cut
from ml.errors import SettingsError

UNITS = input_faults.UNITS
CATALOGUE = {**input_faults.CATALOGUE, **label_faults.CATALOGUE}
"""What `parse` understands, before ``from DAY [to DAY]``."""


def parse(text: str) -> Fault:
    """Read a fault.

    Raises
    ------
    SettingsError
        If the text is not in the catalogue; the message lists it.

    Examples
    --------
    >>> parse("temp,dewp stuck by origin from 2013-07-01").columns
    ('temp', 'dewp')
    """
    whole = re.fullmatch(r"\s*(.+?)\s+from\s+(\S+)(?:\s+to\s+(\S+))?\s*", text)
    if whole is None:
        raise _unknown(text, "it names no first day")
    try:
        first = date.fromisoformat(whole[2])
        last = date.fromisoformat(whole[3]) if whole[3] else None
    except ValueError as err:
        raise _unknown(text, str(err)) from err
    if last is not None and last < first:
        raise _unknown(text, "it ends before it begins")
    for pattern, read in (*label_faults.READERS, *input_faults.READERS):
        match = re.fullmatch(pattern, whole[1])
        if match is not None:
            try:
                return read(" ".join(text.split()), match, first, last)
            except ValueError as err:
                raise _unknown(text, str(err)) from err
    raise _unknown(text, "nothing is known under that name")


def _unknown(text: str, reason: str) -> SettingsError:
    catalogue = "\n".join(f"  {entry}: {description}" for entry, description in CATALOGUE.items())
    return SettingsError(
        f"fault {text!r} cannot be read: {reason}. Write 'FAULT from DAY [to DAY]', FAULT one of\n{catalogue}"
    )


def on_inputs(fault: Fault, inputs: pd.DataFrame, *, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the inputs as they arrive under the fault.

    Parameters
    ----------
    inputs : DataFrame of shape (n_rows, n_columns)
        One or more days, each row with its ``day`` (ISO string); only days of the fault change. Not modified.
    before : DataFrame or None
        Rows of days before the fault, needed only for a feed that is stuck if ``inputs`` holds none.

    Returns
    -------
    DataFrame of shape (n_arriving, n_columns)
        In day order.

    Raises
    ------
    SettingsError
        If a column that it needs is not there, or nothing is known of the time before.
    """
    inside = _inside(fault, inputs)
    if fault.change is None or not inside.any():
        return inputs
    missing = [column for column in fault.columns if column not in inputs]
    if missing:
        raise SettingsError(f"fault {fault.text!r} names columns that inputs do not have: {', '.join(missing)}")
    earlier = inputs if before is None else pd.concat([before, inputs], ignore_index=True)
    earlier = earlier.loc[earlier["day"] < fault.first_day.isoformat()]
    changed = fault.change(inputs.loc[inside], earlier)
    arrived = pd.concat([inputs.loc[~inside], changed]) if not inside.all() else changed
    return arrived.sort_values("day", kind="stable", ignore_index=True)


def on_labels(
    fault: Fault, labels: pd.DataFrame, inputs: pd.DataFrame, *, key: Sequence[str], target: str
) -> pd.DataFrame:
    """Return the labels as they come true under the fault, or as their feed sends them.

    A rate (a target of 0 and 1) is raised by turning some 0 into 1, the same rows each time; other targets are
    multiplied.

    Parameters
    ----------
    labels, inputs : DataFrame
        The key with the target, and the true inputs of the same days; not modified.
    """
    inside = _inside(fault, labels)
    if not fault.on_labels or not inside.any():
        return labels
    if fault.where is not None:
        inside = inside & _meets(fault, fault.where, labels, inputs, key)
    if fault.feed is not None:
        return label_faults.as_sent(fault.feed, labels, inside, target)
    assert fault.outcome is not None
    if not (pd.api.types.is_numeric_dtype(labels[target]) or pd.api.types.is_bool_dtype(labels[target])):
        raise SettingsError(f"fault {fault.text!r} changes outcomes, and {target} holds text: it needs numbers")
    values = labels[target].to_numpy(dtype=float, copy=True)
    labelled = inside & ~np.isnan(values)
    if not labelled.any():
        return labels
    if not set(np.unique(values[~np.isnan(values)])) <= {0.0, 1.0}:
        values[labelled] *= fault.outcome
        return labels.assign(**{target: values})
    for day in sorted(labels.loc[labelled, "day"].unique()):
        rows = np.flatnonzero(labelled & (labels["day"] == day).to_numpy())
        values[rows] = label_faults.rate_times(values[rows], fault.outcome, date.fromisoformat(str(day)).toordinal())
    return labels.assign(**{target: values})


def _meets(fault: Fault, where: str, labels: pd.DataFrame, inputs: pd.DataFrame, key: Sequence[str]) -> np.ndarray:
    """Return of which labels the inputs meet a condition."""
    columns = list(columns_of(parse_term(where)))
    missing = [column for column in columns if column not in inputs]
    if missing:
        raise SettingsError(f"fault {fault.text!r} names a column that inputs do not have: {', '.join(missing)}")
    wanted = inputs[list(dict.fromkeys([*key, *columns]))]
    seen = merge_exactly(labels[list(key)], wanted, key, how="left", validate="one_to_one")
    try:
        return next(iter(cut(seen, [where])))[1]
    except KeyError as err:
        raise SettingsError(f"fault {fault.text!r}: {err.args[0]}") from err


def _inside(fault: Fault, frame: pd.DataFrame) -> np.ndarray:
    last = fault.last_day or date.max
    return frame["day"].between(fault.first_day.isoformat(), last.isoformat()).to_numpy(dtype=bool)
