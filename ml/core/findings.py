"""Structural faults that one day shows by itself, on its first day and from every one of its rows.

A distance over a trailing window finds what moved; it finds a category that went, a column that is null or a feed
that is stuck late or not at all, since nulls are dropped before it and a day is a seventh of the window. Here each
day is counted, and held against how the days of the champion's reference were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from ml.core.changes import percent
from ml.core.drift import is_number
from ml.core.schema import NULL, Kind, Types, kind_of
from ml.records import Finding, FindingKind, Record
from ml.settings import Drift

FEWEST_ROWS = 10
"""A category, or a null, is missed or noticed only where so many rows were expected, or came."""
MOST_NAMED = 3
"""So many categories that come or go at once are named; of more, the most frequent."""
MOST_CATEGORIES = 10_000
"""So many categories of a day are counted; of more, the rarest are forgotten."""
MOST_NUMBERS = 1_000
"""Distinct numbers are counted up to here: more of them are simply many."""
SAME_WEEKDAYS = 3
"""With so many days of the same weekday in the reference, a day is compared with those only."""
FEWEST_NUMBERS = 4
"""A day with a single value is stuck only if every day of the reference had so many, or more."""
FEWEST_PAIRS = 14
"""The values of the day before say nothing unless so many pairs of days in the reference all differed."""
STUCK_TOGETHER = 3
"""One or two columns repeat the day before by chance; so many at once are a feed that stands still."""


@dataclass(frozen=True)
class DayColumn:
    """What the rows of one day hold in one column, counted.

    ``counts`` are rows by category (empty for numbers), ``numbers`` the distinct numbers, up to `MOST_NUMBERS`.
    """

    rows: int
    nulls: int
    counts: Mapping[str, int] = field(default_factory=dict)
    numbers: frozenset[float] = frozenset()

    @property
    def distinct(self) -> int:
        """Give how many different values there are."""
        return len(self.counts) or len(self.numbers)

    @property
    def null_share(self) -> float:
        """Give the share of rows without a value; 0 without any row."""
        return self.nulls / self.rows if self.rows else 0.0

    def and_also(self, more: DayColumn) -> DayColumn:
        """Count further rows of the same day and column."""
        counts = dict(self.counts)
        for category, rows in more.counts.items():
            counts[category] = counts.get(category, 0) + rows
        numbers = sorted(self.numbers | more.numbers)[:MOST_NUMBERS]
        return DayColumn(self.rows + more.rows, self.nulls + more.nulls, _commonest(counts), frozenset(numbers))


class ColumnProfile(Record):
    """How a column's days were in the champion's reference; the lists are by day, in the order of ``days``.

    ``shares`` holds each category's share of all rows; ``usual`` the rows by day of those that have at least
    ``drift.min_category_share``. Of ``pairs`` of successive days, ``repeats`` had the very same distinct numbers.
    """

    categorical: bool
    days: tuple[date, ...]
    rows: tuple[int, ...]
    nulls: tuple[int, ...]
    distinct: tuple[int, ...]
    shares: dict[str, float]
    usual: dict[str, tuple[int, ...]]
    pairs: int
    repeats: int


def count(values: pd.Series, *, categorical: bool) -> DayColumn:
    """Count the values of a day, or of a part of it.

    What is no number in a column of numbers counts as null: the champion cannot read it either.
    """
    if categorical:
        found = values.dropna().astype(str).value_counts()
        return DayColumn(len(values), int(values.isna().sum()), _commonest({str(k): int(n) for k, n in found.items()}))
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    return DayColumn(len(values), len(values) - len(known), numbers=frozenset(np.unique(known)[:MOST_NUMBERS].tolist()))


def _commonest(counts: Mapping[str, int]) -> dict[str, int]:
    if len(counts) <= MOST_CATEGORIES:
        return dict(counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES])


def profile(reference: pd.DataFrame, columns: Sequence[str], drift: Drift) -> dict[str, ColumnProfile]:
    """Count each day of the reference, column by column.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string) and ``columns``; not modified.
    """
    by_day = reference.groupby("day", sort=True)
    return {
        column: profile_of(
            {
                date.fromisoformat(str(day)): count(values, categorical=not is_number(reference[column]))
                for day, values in by_day[column]
            },
            categorical=not is_number(reference[column]),
            drift=drift,
        )
        for column in columns
    }


def profile_of(counted: Mapping[date, DayColumn], *, categorical: bool, drift: Drift) -> ColumnProfile:
    """Put the counted days of one column together."""
    days = tuple(sorted(counted))
    total = sum(counted[day].rows for day in days)
    sums: dict[str, int] = {}
    for day in days:
        for category, rows in counted[day].counts.items():
            sums[category] = sums.get(category, 0) + rows
    shares = {category: rows / total for category, rows in sorted(_commonest(sums).items())} if total else {}
    usual = [category for category, share in shares.items() if share >= drift.min_category_share]
    pairs = [(counted[a].numbers, counted[b].numbers) for a, b in pairwise(days) if (b - a).days == 1]
    pairs = [(one, next_) for one, next_ in pairs if one and next_]
    return ColumnProfile(
        categorical=categorical,
        days=days,
        rows=tuple(counted[day].rows for day in days),
        nulls=tuple(counted[day].nulls for day in days),
        distinct=tuple(counted[day].distinct for day in days),
        shares=shares,
        usual={category: tuple(counted[day].counts.get(category, 0) for day in days) for category in usual},
        pairs=len(pairs),
        repeats=sum(one == next_ for one, next_ in pairs),
    )


def structural_faults(
    day: date,
    today: Mapping[str, DayColumn],
    known: Mapping[str, ColumnProfile],
    drift: Drift,
    matters: Mapping[str, bool | None],
    *,
    yesterday: Mapping[str, DayColumn] | None = None,
) -> tuple[Finding, ...]:
    """Find what broke on a day: categories that came or went, nulls that jumped, feeds that stand still.

    Each is told at once. It alarms in a structural column, in one that the champion leans on, and where columns
    repeat the day before together; it warns in the rest of the environment. Whoever has too few rows to tell
    gives no finding.

    Parameters
    ----------
    today
        Every row of ``day``, counted; a column that the day lacks altogether counts as all null.
    known
        The profile of the champion's reference, as `profile` gives it.
    matters
        Whether the champion leans on a column; None where that is not known.
    yesterday
        The day before, counted likewise; None if it is not there.
    """
    rows = max((column.rows for column in today.values()), default=0)
    faults: list[tuple[str, FindingKind, str]] = []
    for column, before in known.items():
        now = today.get(column, DayColumn(rows, rows))
        faults += [(column, *fault) for fault in _faults(day, now, before, drift)]
    still = [column for column, before in known.items() if _repeats(column, today, yesterday or {}, before)]
    if len(still) >= STUCK_TOGETHER:
        said = f"on {day} the very values of the day before, as never before, and so in {len(still)} columns"
        faults += [(column, "constant", said) for column in still]
    loud = {*drift.structural, *(column for column, leant in matters.items() if leant)}
    loud |= set(still) if len(still) >= STUCK_TOGETHER else set()
    return tuple(
        Finding(
            kind=kind,
            severity="alarm" if column in loud else "warning",
            said=f"{column}: {said}",
            column=column,
            at_once=True,
            matters=matters.get(column),
        )
        for column, kind, said in faults
    )


def type_changes(
    day: date,
    types: Mapping[date, Types],
    known: Mapping[str, Kind],
    drift: Drift,
    matters: Mapping[str, bool | None],
) -> tuple[Finding, ...]:
    """Find columns of the newest day that are of another kind than in the reference: nothing can be compared there.

    Parameters
    ----------
    types
        The types of each day's columns.
    known
        The kind of each column in the champion's reference.
    """
    loud = {*drift.structural, *(column for column, leant in matters.items() if leant)}
    return tuple(
        Finding(
            kind="type_change",
            severity="alarm" if column in loud else "warning",
            said=f"{column}: {types[day][column]} on {day}, but {kind} in the champion's reference: nothing can be "
            "compared there, and all its values are unknown to the champion",
            column=column,
            at_once=True,
            matters=matters.get(column),
        )
        for column, kind in known.items()
        if is_other_kind(types.get(day, {}).get(column, NULL), kind)
    )


def is_other_kind(name: str, kind: Kind) -> bool:
    """Say whether values of a type are of another kind than they were; nulls are of any."""
    return kind_of(name) != "null" and kind not in ("null", "other", kind_of(name))


def _repeats(
    column: str, today: Mapping[str, DayColumn], yesterday: Mapping[str, DayColumn], before: ColumnProfile
) -> bool:
    """Say whether a column's values are those of the day before, though no two days of the reference shared theirs."""
    now, last = today.get(column), yesterday.get(column)
    if now is None or last is None or before.repeats or before.pairs < FEWEST_PAIRS:
        return False
    return now.rows - now.nulls >= FEWEST_ROWS and now.numbers == last.numbers != frozenset()


def _faults(day: date, now: DayColumn, before: ColumnProfile, drift: Drift) -> Iterable[tuple[FindingKind, str]]:
    known = [
        (n, nulls, rows) for n, nulls, rows in zip(before.distinct, before.nulls, before.rows, strict=True) if rows
    ]
    worst = max((nulls / rows for _, nulls, rows in known), default=None)
    if worst is not None and now.nulls >= FEWEST_ROWS and now.null_share - worst >= drift.min_null_jump:
        yield "null_share", f"nulls {percent(worst)} at most → {percent(now.null_share)} on {day}"
    if now.rows - now.nulls < FEWEST_ROWS:
        return
    fewest = min((n for n, nulls, rows in known if rows - nulls >= FEWEST_ROWS), default=0)
    if now.distinct == 1 and fewest >= (2 if before.categorical else FEWEST_NUMBERS) and _varies(now.rows, before):
        yield "constant", f"a single value on {day}, never fewer than {fewest} before"
    if before.categorical:
        yield from _gone(day, now, before)
        yield from _come(day, now, before, drift)


def _varies(rows: int, before: ColumnProfile) -> bool:
    """Say whether so many rows would have shown more than the one category that is the commonest."""
    return not before.categorical or rows * (1 - max(before.shares.values(), default=0.0)) >= FEWEST_ROWS


def _come(day: date, now: DayColumn, before: ColumnProfile, drift: Drift) -> Iterable[tuple[FindingKind, str]]:
    """Find categories that the reference never had."""
    found = {
        category: share
        for category, rows in sorted(now.counts.items())
        if category not in before.shares
        and rows >= FEWEST_ROWS
        and (share := rows / now.rows) >= drift.min_category_share
    }
    changed = {category: f"0 % → {percent(share)}" for category, share in found.items()}
    return (("new_category", said) for said in _told(found, changed, "new", day))


def _gone(day: date, now: DayColumn, before: ColumnProfile) -> Iterable[tuple[FindingKind, str]]:
    """Find categories that every comparable day had and this one has not, though it had rows enough."""
    same = [at for at, known in enumerate(before.days) if known.weekday() == day.weekday() and before.rows[at]]
    compared = same if len(same) >= SAME_WEEKDAYS else [at for at, rows in enumerate(before.rows) if rows]
    found = {}
    for category, rows in before.usual.items():
        least = min((rows[at] / before.rows[at] for at in compared), default=0.0)
        if now.counts.get(category, 0) == 0 and least * now.rows >= FEWEST_ROWS:
            found[category] = before.shares[category]
    changed = {category: f"{percent(share)} → 0 %" for category, share in found.items()}
    return (("vanished_category", said) for said in _told(found, changed, "gone", day))


def _told(shares: Mapping[str, float], changed: Mapping[str, str], how: str, day: date) -> Iterable[str]:
    """Put a few categories into a sentence each, and many, as when all codes change, into one for all of them."""
    if len(shares) <= MOST_NAMED:
        return [f"{category} is {how}: {change} of rows on {day}" for category, change in changed.items()]
    largest = sorted(shares, key=lambda category: -shares[category])[:MOST_NAMED]
    named = ", ".join(f"{category} ({changed[category]} of rows)" for category in largest)
    return [f"{len(shares)} categories are {how}: {named} and {len(shares) - MOST_NAMED} more on {day}"]
