"""Faults of labels: a target that changes, and feeds that send something else than what happened."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd

from ml.backtest.fault import Fault, FeedChange, Reader
from ml.conditions import parse_term
from ml.errors import SettingsError

CATALOGUE = {
    "outcome times FACTOR [where CONDITION]": (
        "concept change: the target's rate (or value) where it holds, such as hour >= 18 or carrier == 'B6'"
    ),
    "labels all VALUE [where CONDITION]": (
        "a feed of labels that sends one value only; what truly happens stays as it is"
    ),
    "labels inverted [by SHARE] [where CONDITION]": (
        "1 for 0 and the other way round, or a number mirrored in the day's range"
    ),
    "labels shuffled": "labels that stand with other rows of their day",
    "labels VALUE and OTHER swapped": "labels of two classes that stand for each other",
    "labels VALUE read as NEW [by SHARE]": "some labels of a value come as another one; null: they do not come",
}
"""What can be said, before ``from DAY [to DAY]``."""


def as_sent(feed: FeedChange, labels: pd.DataFrame, inside: np.ndarray, target: str) -> pd.DataFrame:
    """Return labels with those of each affected day as their feed sends them; the same ones each time."""
    sent = labels[target].copy()
    for day in sorted(labels.loc[inside, "day"].unique()):
        rows = inside & (labels["day"] == day).to_numpy() & labels[target].notna().to_numpy()
        chance = np.random.default_rng(date.fromisoformat(str(day)).toordinal())
        sent.loc[rows] = feed(labels.loc[rows, target], chance).to_numpy()
    return labels.assign(**{target: sent})


def rate_times(values: np.ndarray, factor: float, seed: int) -> np.ndarray:
    """Multiply the rate of ones, up to 1, by turning as many rows as it takes, chosen by ``seed``."""
    wanted = min(len(values), round(values.sum() * factor))
    turned = values.copy()
    from_value = 0.0 if wanted > values.sum() else 1.0
    candidates = np.flatnonzero(values == from_value)
    number = abs(wanted - int(values.sum()))
    turned[np.random.default_rng(seed).permutation(candidates)[:number]] = 1 - from_value
    return turned


def _outcome(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    kind = "outcome times FACTOR [where CONDITION]"
    return Fault(text, kind, (), first, last, outcome=float(match[1]), where=_condition(match[2]))


def _condition(where: str | None) -> str | None:
    if where is not None and isinstance(parse_term(where), str):
        raise ValueError(f"{where!r} is a column, and no condition such as carrier == 'B6'")
    return where


def _all(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    value = match[1]

    def feed(labels: pd.Series, _: np.random.Generator) -> pd.Series:
        return pd.Series([_as_label(value, labels)] * len(labels), index=labels.index, dtype=labels.dtype)

    kind = "labels all VALUE [where CONDITION]"
    return Fault(text, kind, (), first, last, feed=feed, where=_condition(match[2]))


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

    kind = "labels inverted [by SHARE] [where CONDITION]"
    return Fault(text, kind, (), first, last, feed=feed, where=_condition(match[2]))


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


def _swapped(text: str, match: re.Match[str], first: date, last: date | None) -> Fault:
    def feed(labels: pd.Series, _: np.random.Generator) -> pd.Series:
        one, other = (_as_label(value, labels) for value in match.groups())
        return labels.replace({one: other, other: one})

    return Fault(text, "labels VALUE and OTHER swapped", (), first, last, feed=feed)


def _as_label(value: str, labels: pd.Series) -> object:
    """Return a value of the text of a fault as labels hold values."""
    if not (pd.api.types.is_numeric_dtype(labels) or pd.api.types.is_bool_dtype(labels)):
        return value
    try:
        return labels.dtype.type(float(value))
    except ValueError as err:
        raise SettingsError(f"labels are numbers, and the fault names {value!r}: name a number") from err


_NUMBER = r"(\d+(?:\.\d+)?)"
READERS: tuple[tuple[str, Reader], ...] = (
    (rf"outcome times {_NUMBER}(?: where (.+))?", _outcome),
    (r"labels all (\S+)(?: where (.+))?", _all),
    (rf"labels inverted(?: by {_NUMBER})?(?: where (.+))?", _inverted),
    (r"labels shuffled", _shuffled),
    (r"labels (\S+) and (\S+) swapped", _swapped),
    (rf"labels (\S+) read as (\S+)(?: by {_NUMBER})?", _read_as),
)
