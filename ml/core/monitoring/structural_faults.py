"""Structural faults that one day shows by itself, on its first day and from every one of its rows.

A distance over a trailing window finds what moved; it finds a category that went, a column that is null or a feed
that is stuck late or not at all, since nulls are dropped before it and a day is a seventh of the window. Here each
day is counted, and held against how the days of the champion's reference were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from ml.core.data.schema import NULL, Kind, Types, kind_of
from ml.core.monitoring.change_words import percent
from ml.core.monitoring.day_columns import ColumnProfile, DayColumn
from ml.records import Finding, FindingKind
from ml.settings import Drift

FEWEST_ROWS = 10
"""A category, or a null, is missed or noticed only where so many rows were expected, or came."""
MOST_NAMED = 3
"""So many categories that come or go at once are named; of more, the most frequent."""
SAME_WEEKDAYS = 3
"""With so many days of the same weekday in the reference, a day is compared with those only."""
FEWEST_NUMBERS = 4
"""A day with a single value is stuck only if every day of the reference had so many, or more."""
FEWEST_PAIRS = 14
"""The values of the day before say nothing unless so many pairs of days in the reference all differed."""
STUCK_TOGETHER = 3
"""One or two columns repeat the day before by chance; so many at once are a feed that stands still."""
MANY_NUMBERS, MOST_ALIKE = 20, 0.5
"""So many different numbers do not repeat by chance where the two days before had no more than this share in common."""


def structural_faults(
    day: date,
    today: Mapping[str, DayColumn],
    profiles: Mapping[str, ColumnProfile],
    drift: Drift,
    matters: Mapping[str, bool | None],
    *,
    yesterday: Mapping[str, DayColumn] | None = None,
    earlier: Mapping[str, DayColumn] | None = None,
) -> tuple[Finding, ...]:
    """Find what broke on a day: categories that came or went, nulls that jumped, feeds that stand still.

    Each is notified at once. It alarms in a structural column, in one that the champion depends on, and where columns
    repeat the day before together, or one does whose numbers never repeat by chance; it warns in the rest of the
    environment. Whoever has too few rows to tell gives no finding.

    Parameters
    ----------
    today
        Every row of ``day``, counted; a column that the day lacks altogether counts as all null.
    profiles
        The profile of the champion's reference, as `profile` gives it.
    matters
        Whether the champion depends on a column; None where that is not known.
    yesterday
        The day before, counted likewise; None if it is not there.
    earlier
        The day before that one: how much of it the next day had in common shows what chance repeats.
    """
    rows = max((column.rows for column in today.values()), default=0)
    faults: list[tuple[str, FindingKind, str]] = []
    for column, before in profiles.items():
        now = today.get(column, DayColumn(rows, rows))
        faults += [(column, *fault) for fault in _faults(day, now, before, drift)]
    still = [column for column, before in profiles.items() if _repeats(column, today, yesterday or {}, before)]
    if len(still) < STUCK_TOGETHER:
        still = [column for column in still if _never_by_chance(column, yesterday or {}, earlier or {})]
    several = f", and so in {len(still)} columns" if len(still) > 1 else ""
    message = f"on {day} the very values of the day before, as never before{several}"
    faults += [(column, "constant", message) for column in still]
    loud = {*drift.structural, *(column for column, leant in matters.items() if leant)}
    loud |= set(still)
    return tuple(
        Finding(
            kind=kind,
            severity="alarm" if column in loud else "warning",
            message=f"{column}: {message}",
            column=column,
            at_once=True,
            matters=matters.get(column),
        )
        for column, kind, message in faults
    )


def type_changes(
    day: date,
    types: Mapping[date, Types],
    kinds: Mapping[str, Kind],
    drift: Drift,
    matters: Mapping[str, bool | None],
) -> tuple[Finding, ...]:
    """Find columns of the newest day that are of another kind than in the reference: nothing can be compared there.

    Parameters
    ----------
    types
        The types of each day's columns.
    kinds
        The kind of each column in the champion's reference.
    """
    loud = {*drift.structural, *(column for column, leant in matters.items() if leant)}
    return tuple(
        Finding(
            kind="type_change",
            severity="alarm" if column in loud else "warning",
            message=f"{column}: {types[day][column]} on {day}, but {kind} in the champion's reference: nothing can be "
            "compared there, and all its values are unknown to the champion",
            column=column,
            at_once=True,
            matters=matters.get(column),
        )
        for column, kind in kinds.items()
        if is_other_kind(types.get(day, {}).get(column, NULL), kind)
    )


def is_other_kind(name: str, kind: Kind) -> bool:
    """Return whether values of a type are of another kind than they were; nulls are of any."""
    return kind_of(name) != "null" and kind not in ("null", "other", kind_of(name))


def _repeats(
    column: str, today: Mapping[str, DayColumn], yesterday: Mapping[str, DayColumn], before: ColumnProfile
) -> bool:
    """Return whether a column's values are those of the day before, though no two reference days share theirs."""
    now, last = today.get(column), yesterday.get(column)
    if now is None or last is None or before.repeats or before.pairs < FEWEST_PAIRS:
        return False
    return now.rows - now.nulls >= FEWEST_ROWS and now.numbers == last.numbers != frozenset()


def _never_by_chance(column: str, yesterday: Mapping[str, DayColumn], earlier: Mapping[str, DayColumn]) -> bool:
    """Return whether a column has so many numbers, and so few of them twice, that no two days are alike by chance."""
    if column not in yesterday or column not in earlier:
        return False
    last, before = yesterday[column].numbers, earlier[column].numbers
    return bool(before) and len(last) >= MANY_NUMBERS and len(last & before) <= MOST_ALIKE * len(last)


def _faults(day: date, now: DayColumn, before: ColumnProfile, drift: Drift) -> Iterable[tuple[FindingKind, str]]:
    days_with_rows = [
        (n, nulls, rows) for n, nulls, rows in zip(before.distinct, before.nulls, before.rows, strict=True) if rows
    ]
    worst = max((nulls / rows for _, nulls, rows in days_with_rows), default=None)
    if worst is not None and now.nulls >= FEWEST_ROWS and now.null_share - worst >= drift.min_null_jump:
        yield "null_share", f"nulls {percent(worst)} at most → {percent(now.null_share)} on {day}"
    if now.rows - now.nulls < FEWEST_ROWS:
        return
    fewest = min((n for n, nulls, rows in days_with_rows if rows - nulls >= FEWEST_ROWS), default=0)
    if now.distinct == 1 and fewest >= (2 if before.categorical else FEWEST_NUMBERS) and _varies(now.rows, before):
        yield "constant", f"a single value on {day}, never fewer than {fewest} before"
    if before.categorical:
        yield from _gone(day, now, before)
        yield from _come(day, now, before, drift)


def _varies(rows: int, before: ColumnProfile) -> bool:
    """Return whether so many rows would have shown more than the one category that is the commonest."""
    return not before.categorical or rows * (1 - max(before.shares.values(), default=0.0)) >= FEWEST_ROWS


def _come(day: date, now: DayColumn, before: ColumnProfile, drift: Drift) -> Iterable[tuple[FindingKind, str]]:
    """Find categories that the reference never had."""
    shares = {
        category: share
        for category, rows in sorted(now.counts.items())
        if category not in before.shares
        and rows >= FEWEST_ROWS
        and (share := rows / now.rows) >= drift.min_category_share
    }
    changed = {category: f"0 % → {percent(share)}" for category, share in shares.items()}
    return (("new_category", message) for message in _sentences(shares, changed, "new", day))


def _gone(day: date, now: DayColumn, before: ColumnProfile) -> Iterable[tuple[FindingKind, str]]:
    """Find categories that every comparable day had and this one has not, though it had rows enough."""
    same = [
        at
        for at, reference_day in enumerate(before.days)
        if reference_day.weekday() == day.weekday() and before.rows[at]
    ]
    compared = same if len(same) >= SAME_WEEKDAYS else [at for at, rows in enumerate(before.rows) if rows]
    shares = {}
    for category, rows in before.usual.items():
        least = min((rows[at] / before.rows[at] for at in compared), default=0.0)
        if now.counts.get(category, 0) == 0 and least * now.rows >= FEWEST_ROWS:
            shares[category] = before.shares[category]
    changed = {category: f"{percent(share)} → 0 %" for category, share in shares.items()}
    return (("vanished_category", message) for message in _sentences(shares, changed, "gone", day))


def _sentences(shares: Mapping[str, float], changed: Mapping[str, str], how: str, day: date) -> Iterable[str]:
    """Put a few categories into a sentence each, and many, as when all codes change, into one for all of them."""
    if len(shares) <= MOST_NAMED:
        return [f"{category} is {how}: {change} of rows on {day}" for category, change in changed.items()]
    largest = sorted(shares, key=lambda category: -shares[category])[:MOST_NAMED]
    named = ", ".join(f"{category} ({changed[category]} of rows)" for category in largest)
    return [f"{len(shares)} categories are {how}: {named} and {len(shares) - MOST_NAMED} more on {day}"]
