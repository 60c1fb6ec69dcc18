"""A small catalogue of what goes wrong with data, to see whether monitoring finds it and what it costs.

A fault is read from text, such as ``visib in km from 2013-07-01 to 2013-07-31``; without a last day it stays.
All functions are pure: frames come and go, nothing is modified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ml.core.data.keys import merge_exactly
from ml.errors import SettingsError

UNITS = {"km": (1.609344, 0.0), "C": (1 / 1.8, -32 / 1.8), "m/s": (0.44704, 0.0), "hours": (1 / 60, 0.0)}
"""Factor and offset from miles, degrees Fahrenheit, miles an hour and minutes."""
DAY_MINUTES = 24 * 60
CATALOGUE = {
    "COLUMN in UNIT": f"a number in another unit ({', '.join(UNITS)}: from miles, Fahrenheit, mph, minutes)",
    "COLUMN times FACTOR": "a number multiplied, such as a feed that went from kilo to unit",
    "COLUMN shifted by MINUTES": "a minute of the day in another time zone",
    "COLUMNS stuck [by COLUMN]": "a feed that repeats its last value (of each group) for ever",
    "COLUMNS null": "a feed that is gone",
    "COLUMN VALUE recoded NEW": "a category under another code; * recodes all",
    "COLUMN VALUE missing": "the rows of a category are gone",
    "day duplicated": "every row comes twice",
    "outcome times FACTOR [where COLUMN >= NUMBER]": "concept change: the target's rate (or value) where it holds",
    "labels all VALUE": "a feed of labels that sends one value only; what truly happens stays as it is",
    "labels inverted [by SHARE]": "1 for 0 and the other way round, or a number mirrored in the day's range",
    "labels shuffled": "labels that stand with other rows of their day",
    "labels VALUE read as NEW [by SHARE]": "some labels of a value come as another one; null: they do not come",
}
"""What `parse` understands, before ``from DAY [to DAY]``; COLUMNS are separated by commas."""

Change = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
"""Gives the affected rows as they arrive, from the true ones and those of the days before."""
FeedChange = Callable[[pd.Series, np.random.Generator], pd.Series]
"""Gives the labels of a day as they arrive, from the true ones."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong from ``first_day`` on, until ``last_day`` (None: for ever).

    ``kind`` is the entry of `CATALOGUE`; ``columns`` those that it falsifies (empty: whole rows or the outcome).
    """

    text: str
    kind: str
    columns: tuple[str, ...]
    first_day: date
    last_day: date | None
    change: Change | None = None
    outcome: tuple[float, str | None, float] | None = None
    feed: FeedChange | None = None

    @property
    def on_labels(self) -> bool:
        """Return whether it changes labels, and not what is recorded of the inputs."""
        return self.outcome is not None or self.feed is not None


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
    for pattern, read in _READERS:
        match = re.fullmatch(pattern, whole[1])
        if match is not None:
            return read(" ".join(text.split()), match, first, last)
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
    if fault.feed is not None and inside.any():
        return _as_sent(fault.feed, labels, inside, target)
    if fault.outcome is None or not inside.any():
        return labels
    factor, column, least = fault.outcome
    if column is not None:
        if column not in inputs:
            raise SettingsError(f"fault {fault.text!r} names a column that inputs do not have: {column}")
        seen = merge_exactly(
            labels[list(key)], inputs[list(dict.fromkeys([*key, column]))], key, how="left", validate="one_to_one"
        )
        inside = inside & (seen[column] >= least).to_numpy(dtype=bool)
    if not (pd.api.types.is_numeric_dtype(labels[target]) or pd.api.types.is_bool_dtype(labels[target])):
        raise SettingsError(f"fault {fault.text!r} changes outcomes, and {target} holds text: it needs numbers")
    values = labels[target].to_numpy(dtype=float, copy=True)
    labelled = inside & ~np.isnan(values)
    if not labelled.any():
        return labels
    if not set(np.unique(values[~np.isnan(values)])) <= {0.0, 1.0}:
        values[labelled] *= factor
        return labels.assign(**{target: values})
    for day in sorted(labels.loc[labelled, "day"].unique()):
        rows = np.flatnonzero(labelled & (labels["day"] == day).to_numpy())
        values[rows] = _rate_times(values[rows], factor, date.fromisoformat(str(day)).toordinal())
    return labels.assign(**{target: values})


def _as_sent(feed: FeedChange, labels: pd.DataFrame, inside: np.ndarray, target: str) -> pd.DataFrame:
    """Return labels with those of each affected day as their feed sends them; the same ones each time."""
    sent = labels[target].copy()
    for day in sorted(labels.loc[inside, "day"].unique()):
        rows = inside & (labels["day"] == day).to_numpy() & labels[target].notna().to_numpy()
        chance = np.random.default_rng(date.fromisoformat(str(day)).toordinal())
        sent.loc[rows] = feed(labels.loc[rows, target], chance).to_numpy()
    return labels.assign(**{target: sent})


def _rate_times(values: np.ndarray, factor: float, seed: int) -> np.ndarray:
    """Multiply the rate of ones, up to 1, by turning as many rows as it takes, chosen by ``seed``."""
    wanted = min(len(values), round(values.sum() * factor))
    turned = values.copy()
    from_value = 0.0 if wanted > values.sum() else 1.0
    candidates = np.flatnonzero(values == from_value)
    number = abs(wanted - int(values.sum()))
    turned[np.random.default_rng(seed).permutation(candidates)[:number]] = 1 - from_value
    return turned


def _inside(fault: Fault, frame: pd.DataFrame) -> np.ndarray:
    last = fault.last_day or date.max
    return frame["day"].between(fault.first_day.isoformat(), last.isoformat()).to_numpy(dtype=bool)


def _unit(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    if match[2] not in UNITS:
        raise _unknown(text, f"unit {match[2]!r} is not one of {', '.join(UNITS)}")
    return _linear(text, "COLUMN in UNIT", match[1], *UNITS[match[2]], first, last)


def _times(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    return _linear(text, "COLUMN times FACTOR", match[1], float(match[2]), 0.0, first, last)


def _linear(text: str, kind: str, column: str, factor: float, offset: float, first: date, last: date | None) -> Fault:
    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{column: rows[column].astype(float) * factor + offset})

    return Fault(text, kind, (column,), first, last, change)


def _shifted(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, minutes = match[1], int(match[2])

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{column: (rows[column] + minutes) % DAY_MINUTES})

    return Fault(text, "COLUMN shifted by MINUTES", (column,), first, last, change)


def _stuck(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    columns, by = tuple(match[1].split(",")), match[2]

    def change(rows: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
        if earlier.empty:
            raise SettingsError(f"fault {text!r} repeats the last value before {first}, and no earlier day is there")
        earlier_rows = earlier.sort_values("day", kind="stable")
        if by is None:
            return rows.assign(**{column: earlier_rows[column].dropna().iloc[-1] for column in columns})
        if by not in rows:
            raise SettingsError(f"fault {text!r} names columns that inputs do not have: {by}")
        newest = earlier_rows.groupby(by)[list(columns)].last()
        return rows.assign(**{column: rows[by].map(newest[column]) for column in columns})

    return Fault(text, "COLUMNS stuck [by COLUMN]", columns, first, last, change)


def _null(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    columns = tuple(match[1].split(","))

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        nowhere = np.zeros(len(rows), dtype=bool)
        return rows.assign(**{column: rows[column].where(nowhere) for column in columns})

    return Fault(text, "COLUMNS null", columns, first, last, change)


def _recoded(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, value, new = match[1], match[2], match[3]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        unchanged = rows[column].isna() | ((rows[column].astype(str) != value) & (value != "*"))
        return rows.assign(**{column: rows[column].where(unchanged, new)})

    return Fault(text, "COLUMN VALUE recoded NEW", (column,), first, last, change)


def _missing(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    column, value = match[1], match[2]

    def change(rows: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
        return rows.loc[rows[column].astype(str) != value]

    return Fault(text, "COLUMN VALUE missing", (column,), first, last, change)


def _duplicated(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    return Fault(text, match[0], (), first, last, lambda rows, _: pd.concat([rows, rows], ignore_index=True))


def _outcome(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    least = float(match[3]) if match[3] else 0.0
    kind = "outcome times FACTOR [where COLUMN >= NUMBER]"
    return Fault(text, kind, (), first, last, None, (float(match[1]), match[2], least))


def _all(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    value = match[1]

    def feed(labels: pd.Series, _: np.random.Generator) -> pd.Series:
        return pd.Series([_as_label(value, labels)] * len(labels), index=labels.index, dtype=labels.dtype)

    return Fault(text, "labels all VALUE", (), first, last, feed=feed)


def _inverted(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    share = float(match[1] or 1)

    def feed(labels: pd.Series, chance: np.random.Generator) -> pd.Series:
        if pd.api.types.is_bool_dtype(labels):
            mirrored = ~labels
        elif pd.api.types.is_numeric_dtype(labels):
            binary = set(labels.unique()) <= {0, 1}
            mirrored = (1 if binary else labels.min() + labels.max()) - labels
        else:
            classes = sorted(labels.unique())
            mirrored = labels.map(dict(zip(classes, reversed(classes), strict=True)))
        return labels.where(chance.random(len(labels)) >= share, mirrored)

    return Fault(text, "labels inverted [by SHARE]", (), first, last, feed=feed)


def _shuffled(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    return Fault(
        text, match[0], (), first, last,
        feed=lambda labels, chance: pd.Series(chance.permutation(labels.to_numpy()), index=labels.index),
    )  # fmt: skip


def _read_as(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    old, new, share = match[1], match[2], float(match[3] or 1)

    def feed(labels: pd.Series, chance: np.random.Generator) -> pd.Series:
        hit = (labels == _as_label(old, labels)) & (chance.random(len(labels)) < share)
        return labels.mask(hit) if new == "null" else labels.mask(hit, _as_label(new, labels))

    return Fault(text, "labels VALUE read as NEW [by SHARE]", (), first, last, feed=feed)


def _as_label(value: str, labels: pd.Series) -> object:
    """Return a value of the text of a fault as labels hold values."""
    if not (pd.api.types.is_numeric_dtype(labels) or pd.api.types.is_bool_dtype(labels)):
        return value
    try:
        return labels.dtype.type(float(value))
    except ValueError as err:
        raise SettingsError(f"labels are numbers, and the fault names {value!r}: name a number") from err


_NUMBER = r"(\d+(?:\.\d+)?)"
_COLUMNS = r"(\w+(?:,\w+)*)"
_READERS: tuple[tuple[str, Callable[[str, re.Match[str], date, date | None], Fault]], ...] = (
    (rf"outcome times {_NUMBER}(?: where (\w+) >= {_NUMBER})?", _outcome),
    (r"labels all (\S+)", _all),
    (rf"labels inverted(?: by {_NUMBER})?", _inverted),
    (r"labels shuffled", _shuffled),
    (rf"labels (\S+) read as (\S+)(?: by {_NUMBER})?", _read_as),
    (r"day duplicated", _duplicated),
    (r"(\w+) in (\S+)", _unit),
    (rf"(\w+) times {_NUMBER}", _times),
    (r"(\w+) shifted by (-?\d+)(?: minutes)?", _shifted),
    (rf"{_COLUMNS} stuck(?: by (\w+))?", _stuck),
    (rf"{_COLUMNS} null", _null),
    (r"(\w+) (\S+) recoded (\S+)", _recoded),
    (r"(\w+) (\S+) missing", _missing),
)
