"""Decide what a contract asks of a day, which rows may go on, and when the whole day is refused.

What a day may look like depends on its recent past: a Saturday has fewer rows than a Friday, and a
column with some nulls every day is not broken. The recent past is a list of `DayProfile`, one an
accepted day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Literal

import numpy as np
import pandas as pd

from ml.settings import Screen

Level = Literal["row", "table"]
FINITE, KEYED = "expect_column_values_to_be_finite", "expect_key_to_be_whole"
NAMES_ITS_ROWS = (FINITE, KEYED)
"""What is asked of every row whatever the suite says; see `ml.core.data.row_checks`."""
ANY_ROW_COUNT = 1_000_000_000
NESTED = (list, dict, set, np.ndarray)
SLOT = "\0"
ANY_VALUE_AT_ALL = 1e-9
"""A share below one value in any table that fits in memory, and above none: refuses all-null only."""


@dataclass(frozen=True)
class DayProfile:
    """How many rows an accepted day had, and how many nulls in each column it had."""

    day: date
    rows: int
    null_counts: Mapping[str, int]

    def null_share(self, column: str) -> float | None:
        """Return the share of nulls in ``column``; None if the day says nothing about it."""
        nulls = self.null_counts.get(column)
        return None if nulls is None or self.rows == 0 else nulls / self.rows


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met, in plain words.

    ``positions`` are the row numbers (from 0) to quarantine; empty at level ``table``, which refuses
    the whole table. ``unexpected_rows`` counts bad rows at either level.
    """

    expectation: str
    column: str | None
    level: Level
    message: str
    unexpected_rows: int = 0
    examples: tuple[str, ...] = ()
    positions: tuple[int, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, object]:
        """Return what an e-mail or a report needs, ready for JSON."""
        return {
            "expectation": self.expectation,
            "column": self.column,
            "level": self.level,
            "message": self.message,
            "unexpected_rows": self.unexpected_rows,
            "examples": list(self.examples),
        }


def recent_past(profiles: Sequence[DayProfile], *, day: date, recent_days: int) -> tuple[DayProfile, ...]:
    """Keep the days before ``day`` and at most ``recent_days`` back, oldest first.

    Days after it are left out: a day that is ingested later is judged as it would have been on its date.
    """
    first = day - timedelta(days=recent_days)
    return tuple(sorted((p for p in profiles if first <= p.day < day), key=lambda p: p.day))


def baselines(
    profiles: Sequence[DayProfile], *, day: date, screen: Screen, columns: Sequence[str] = ()
) -> dict[str, object]:
    """Turn the recent past into the parameters that a suite may name.

    Parameters
    ----------
    profiles
        Accepted days in any order; those outside the recent past of ``day`` are ignored.
    columns
        Columns for which a bound on nulls is wanted.

    Returns
    -------
    dict
        ``day``, ``days`` (a list of that one day), ``row_count_min``, ``row_count_max`` and, for each
        column, ``min_non_null_share__<column>`` and ``empty_days_before__<column>``.
    """
    recent = recent_past(profiles, day=day, recent_days=screen.recent_days)
    low, high = row_count_bounds(recent, day=day, screen=screen)
    shares = {f"min_non_null_share__{c}": min_non_null_share(recent, c, screen=screen) for c in columns}
    return {
        "day": day.isoformat(),
        "days": [day.isoformat()],
        "row_count_min": low,
        "row_count_max": high,
        **shares,
        **{f"empty_days_before__{c}": empty_days_before(recent, c) for c in columns},
    }


def row_count_bounds(recent: Sequence[DayProfile], *, day: date, screen: Screen) -> tuple[int, int]:
    """Return how few and how many rows ``day`` may have, beside the same weekdays of the recent past.

    The median of the same weekdays times ``screen.row_count_ratio``. Where only one is the same, that one and the
    median of all recent days both count: a rejected day is none of the past, so that quiet Sundays would be rejected
    for ever once the second one was. Where none is the same, the median of all counts. With fewer than
    ``screen.min_recent_days`` days to compare with, any number but none is legal.

    Examples
    --------
    >>> week = [DayProfile(date(2013, 1, d), 100, {}) for d in range(1, 9)]
    >>> row_count_bounds(week, day=date(2013, 1, 9), screen=Screen())
    (50, 200)
    """
    if len(recent) < screen.min_recent_days:
        return 1, ANY_ROW_COUNT
    same = [p.rows for p in recent if p.day.weekday() == day.weekday()]
    usual = [median(same)] if len(same) >= 2 else [median(p.rows for p in recent), *same]
    low, high = screen.row_count_ratio
    return max(1, math.floor(min(usual) * low)), max(1, math.ceil(max(usual) * high))


def min_non_null_share(recent: Sequence[DayProfile], column: str, *, screen: Screen) -> float:
    """Return which share of ``column`` must hold a value.

    One minus the largest daily null share of the recent past and ``screen.null_share_margin``. Whatever
    the margin, a column without any value is refused unless some recent day had none either. With too
    short a recent past, a share of ``null_share_margin`` must hold a value.
    """
    shares = [s for p in recent if (s := p.null_share(column)) is not None]
    if len(shares) < screen.min_recent_days:
        return max(screen.null_share_margin, ANY_VALUE_AT_ALL)
    worst = max(shares)
    if worst >= 1.0:
        return 0.0
    return max(1.0 - worst - screen.null_share_margin, ANY_VALUE_AT_ALL)


def empty_days_before(recent: Sequence[DayProfile], column: str) -> int:
    """Return on how many of the newest days of the recent past, without a break, a column had no value."""
    shares = [profile.null_share(column) for profile in reversed(recent)]
    return next((number for number, share in enumerate(shares) if share != 1), len(shares))


def spare_exact_copies(
    frame: pd.DataFrame, positions: Sequence[int], key: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sort rows that share a key into those that contradict each other and those that merely repeat.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Not modified.
    positions
        Row numbers of all rows whose key is not unique.
    key
        The columns that should be unique together.

    Returns
    -------
    tuple of tuples of int
        Row numbers that contradict (one key, different values: nobody can say which is right, so none
        may go on), and row numbers that repeat an identical row which does go on.

    Examples
    --------
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2], "x": [5, 5, 6, 7]})
    >>> spare_exact_copies(frame, [0, 1, 2, 3], ["id"])
    ((2, 3), (1,))
    """
    rows = comparable(frame.reset_index(drop=True).iloc[list(positions)])
    distinct = rows.drop_duplicates()
    versions = distinct.groupby(list(key), dropna=False, sort=False)[key[0]].transform("size")
    clashing_keys = distinct.loc[versions > 1, list(key)]
    clashes = pd.MultiIndex.from_frame(rows[list(key)]).isin(pd.MultiIndex.from_frame(clashing_keys))
    repeats = ~clashes & rows.duplicated(keep="first").to_numpy()
    return tuple(rows.index[clashes].tolist()), tuple(rows.index[repeats].tolist())


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose values can all be compared: lists, structs and maps as text, everything else as it is.

    Examples
    --------
    >>> comparable(pd.DataFrame({"id": [1, 2], "tags": [["a"], {"b": 1}]}))["tags"].tolist()
    ["['a']", "{'b': 1}"]
    """
    objects = [name for name in frame if pd.api.types.is_object_dtype(frame[name].dtype)]
    nested = [str(name) for name in objects if any(isinstance(value, NESTED) for value in frame[name])]
    return frame.assign(**{name: frame[name].map(_as_text) for name in nested}) if nested else frame


def _as_text(value: object) -> object:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return repr(value) if isinstance(value, NESTED) else value


def split(frame: pd.DataFrame, failures: Sequence[Failure]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the rows that may go on from those that failed.

    Returns
    -------
    tuple of DataFrame
        Accepted rows (the columns of ``frame``) and quarantined rows (those and ``reasons``), each in
        the order of ``frame`` and numbered from 0.
    """
    reasons = reasons_of(failures)
    bad = list(reasons)
    rows = frame.reset_index(drop=True)
    column = next(name for name in ("reasons", "reasons_", "reasons__") if name not in rows)
    quarantined = rows.loc[bad].assign(**{column: pd.Series(list(reasons.values()), index=bad, dtype="str")})
    return rows.drop(index=bad).reset_index(drop=True), quarantined.reset_index(drop=True)


def reasons_of(failures: Sequence[Failure]) -> dict[int, str]:
    """Find of each bad row, by its number and in their order, everything that is wrong with it."""
    reasons: dict[int, list[str]] = {}
    for failure in failures:
        by_row = failure.expectation in NAMES_ITS_ROWS
        for position in failure.positions:
            reasons.setdefault(position, []).append(f"{failure.message}, row {position}" if by_row else failure.message)
    return {position: "; ".join(reasons[position]) for position in sorted(reasons)}


def refusal(failures: Sequence[Failure], *, rows: int, bad_rows: int, max_bad_share: float) -> str:
    """Return why the whole table is refused; an empty string lets its good rows go on.

    Any unmet table-level expectation refuses, and so does a share of bad rows above
    ``max_bad_share``, or one that leaves nothing.
    """
    reasons = _sentences(f for f in failures if f.level == "table")
    if bad_rows and (bad_rows > max_bad_share * rows or bad_rows == rows):
        reasons.append(
            f"{bad_rows:,} of {rows:,} rows ({bad_rows / rows:.1%}) break row-level expectations, "
            f"more than the {max_bad_share:.1%} that may be quarantined (screen.max_quarantined_share)"
        )
        reasons += _sentences(f for f in failures if f.level == "row")
    return "; ".join(reasons)


def counted(rows: int) -> str:
    """Return a number of rows.

    Examples
    --------
    >>> counted(1), counted(2000)
    ('1 row', '2,000 rows')
    """
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _sentences(failures: Iterable[Failure]) -> list[str]:
    """Return each failure once; columns of which the very same is to be said share a sentence."""
    columns_by_template: dict[str, list[str]] = {}
    for failure in failures:
        many = [counted(failure.unexpected_rows)] if failure.unexpected_rows else []
        shown = [f"such as {', '.join(failure.examples[:3])}"] if failure.examples else []
        detail = f" ({', '.join(many + shown)})" if many or shown else ""
        column = failure.column or ""
        template = failure.message.replace(column, SLOT, 1) if column else failure.message
        columns_by_template.setdefault(template + detail, []).append(column)
    return [template.replace(SLOT, ", ".join(columns), 1) for template, columns in columns_by_template.items()]
