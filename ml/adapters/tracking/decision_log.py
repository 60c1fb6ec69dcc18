"""Read of the decision log what a question needs, so that no answer takes longer because more was decided before.

Each reading returns what `Tracking.decisions` returns of the same decisions: the finished, one a key, and of the
changes of the champion those in force. The latter are few, depend on one another, and are read together. Others are
found by their tags ``days`` and ``versions``; those of older releases have none until they get them, and are read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from ml.adapters.tracking.decision_tags import PREFIX, UNTAGGED, days_of, drop_doubles, versions_of
from ml.core.champions.tenures import CHAMPION_CHANGES, OTHER_KINDS
from ml.errors import EvergreenError
from ml.records import Logged

if TYPE_CHECKING:
    from ml.adapters.tracking import Tracking

KINDS = (*CHAMPION_CHANGES, *OTHER_KINDS)
MOST_MONTHS = 12
"""Longer spans are searched by years."""

MORE = 20
"""So many more than wanted are read at once: doubles, and the unfinished, are left out."""

RUN_ID = re.compile(r"[0-9a-f]{32}")
CURSOR = re.compile(r"(\d{1,17})-([0-9a-f]{32})?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Position = tuple[datetime, str]


@dataclass(frozen=True)
class Page:
    """Some decisions, newest first; ``next`` is where the older ones begin, None if there are none."""

    entries: tuple[Logged, ...]
    next: str | None


@dataclass
class DecisionLog:
    """The decisions of one task; what changed the champion is read once."""

    tracking: Tracking

    @cached_property
    def changes(self) -> list[Logged]:
        """Read what changed the champion, oldest first, whole."""
        return self.tracking.decisions(kinds=CHAMPION_CHANGES)

    def on_days(self, first: date, last: date) -> list[Logged]:
        """Read what names a day of a span, both ends inclusive, oldest first.

        A decision names the days from which it is in force and on which it judged; if neither, the one on which it
        was decided.
        """

        def names(entry: Logged) -> bool:
            return any(first <= day <= last for day in days_of(entry.effective_day, entry.decided_at, entry.payload))

        return self._matching(names, [f"tags.`{PREFIX}days` LIKE '%{part}-%'" for part in _name_months(first, last)])

    def about(self, *versions: int) -> list[Logged]:
        """Read what is about some versions, or weighed them, oldest first."""

        def names(entry: Logged) -> bool:
            return not versions_of(entry.payload).isdisjoint(versions)

        return self._matching(names, [f"tags.`{PREFIX}versions` LIKE '%|{version:d}|%'" for version in versions])

    def since(self, start: datetime, *, kinds: Sequence[str]) -> list[Logged]:
        """Read what was decided at an instant and after it, of some kinds and all changes of the champion."""
        instant = f"attributes.start_time >= {_milliseconds(start)}"
        searches = [f"{instant} and tags.`{PREFIX}kind` = '{kind}'" for kind in kinds if kind not in CHAMPION_CHANGES]
        return _sort(
            [
                *self.changes,
                *_select_counted([entry for filter_string in searches for entry in self._search(filter_string)]),
            ]
        )

    def newest(self, count: int, *, before: str | None = None, kind: str | None = None) -> Page:
        """Read the newest decisions, of one kind or of all, or those that come before them.

        Parameters
        ----------
        before
            The `Page.next` of the page before; None begins with the newest.

        Raises
        ------
        EvergreenError
            If there is no such kind, or no page begins there.
        """
        if kind is not None and kind not in KINDS:
            raise EvergreenError(f"there are no decisions of the kind {kind!r}; ask for one of {', '.join(KINDS)}")
        end = None if before is None else _parse_cursor(before)
        terms = [f"attributes.start_time <= {_milliseconds(end[0])}"] if end else []
        terms += [f"tags.`{PREFIX}kind` = '{kind}'"] if kind else []

        def wanted(entries: Sequence[Logged]) -> list[Logged]:
            return [entry for entry in entries if kind in (None, entry.kind) and (not end or _sort_key(entry) < end)]

        decisions: list[Logged] = []
        others: list[Logged] = []
        pages = (
            self.tracking.pages_of_decisions(" and ".join(terms), page_size=count + MORE)
            if kind not in CHAMPION_CHANGES
            else ()
        )
        for page in pages:
            decisions += page
            others = wanted(_sort(_select_counted(decisions))[::-1])
            if len(others) > count and page and page[-1].decided_at < others[count].decided_at:
                break
        entries = _sort([*others, *wanted(self.changes)])[::-1]
        more = len(entries) > count
        return Page(tuple(entries[:count]), _format_cursor(entries[count - 1]) if more else None)

    def newest_first(self, *, at_once: int = 20) -> Iterator[Logged]:
        """Yield all decisions, newest first, reading on only as long as somebody asks."""
        page = self.newest(at_once)
        yield from page.entries
        while page.next is not None:
            page = self.newest(at_once, before=page.next)
            yield from page.entries

    def find(self, decision_id: str) -> Logged | None:
        """Read one decision; None if there is none, or it does not count (yet)."""
        change = next((entry for entry in self.changes if entry.decision_id == decision_id), None)
        if change is not None or not RUN_ID.fullmatch(decision_id):
            return change
        decisions = self._search(f"attributes.run_id = '{decision_id}'")
        if decisions and decisions[0].key and "'" not in decisions[0].key:
            decisions = self._search(f"tags.`{PREFIX}key` = '{decisions[0].key}'")
        return next((entry for entry in _select_counted(decisions) if entry.decision_id == decision_id), None)

    @cached_property
    def _untagged(self) -> list[Logged]:
        return self._search(UNTAGGED)

    def _search(self, filter_string: str) -> list[Logged]:
        return [entry for page in self.tracking.pages_of_decisions(filter_string) for entry in page]

    def _matching(self, names: Callable[[Logged], bool], searches: Sequence[str]) -> list[Logged]:
        """Return what matches of the changes of the champion, and of all that some searches find."""
        decisions = [entry for filter_string in searches for entry in self._search(filter_string)]
        return _sort(
            [entry for entry in [*self.changes, *_select_counted([*decisions, *self._untagged])] if names(entry)]
        )


def merged(*parts: Iterable[Logged]) -> list[Logged]:
    """Merge parts of the log, each decision once, oldest first."""
    return _sort(list({(entry.decision_id, entry.key): entry for part in parts for entry in part}.values()))


def _select_counted(entries: Sequence[Logged]) -> list[Logged]:
    """Return of decisions that leave the champion the finished ones, one a key."""
    once = {entry.decision_id: entry for entry in entries if entry.kind not in CHAMPION_CHANGES and entry.finished}
    return drop_doubles(once.values())


def _sort_key(entry: Logged) -> Position:
    return entry.decided_at, entry.decision_id


def _sort(entries: Sequence[Logged]) -> list[Logged]:
    return sorted(entries, key=_sort_key)


def _name_months(first: date, last: date) -> list[str]:
    """List the months of a span, or its years where those are too many."""
    ends = [12 * day.year + day.month - 1 for day in (first, last)]
    months = range(ends[0], ends[1] + 1)
    if len(months) > MOST_MONTHS:
        return [f"{year:04}" for year in range(first.year, last.year + 1)]
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in months]


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def _milliseconds(instant: datetime) -> int:
    return _microseconds(instant) // 1000


def _format_cursor(entry: Logged) -> str:
    return f"{_microseconds(entry.decided_at)}-{entry.decision_id}"


def _parse_cursor(cursor: str) -> Position:
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise EvergreenError(f"no page of decisions begins at {cursor!r}; begin again with the newest ones")
    return EPOCH + timedelta(microseconds=int(match[1])), match[2] or ""
