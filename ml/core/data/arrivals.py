"""Which labels a day could see when it was scored: those that had arrived, with the content that they had then.

Labels that come late, or are corrected, are known today and were not known then. History features of training take what
serving had, so that a model is judged on what it will really be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd

from ml.core.training.lagged_means import lookback_days
from ml.core.training.target_sums import SEEN_FROM, SEEN_UNTIL
from ml.records import Arrival, Content
from ml.settings import HistoryFeature

ALWAYS = 0, date.max.toordinal()
"""What is seen by whichever day looks back on it, as ordinals."""


def contents_of(
    present: Mapping[date, str], arrivals: Mapping[date, Sequence[Arrival]], *, label_delay_days: int
) -> list[Content]:
    """List what the labels of each day were, and which scored days could see it.

    Parameters
    ----------
    present
        By label day, the md5 of what it is now.
    arrivals
        By label day, its contents in the order in which they came. Of a day without any, or whose newest is not its
        present content, nobody knows when it came: it is taken to have come when it was due.
    """
    contents = []
    for day, md5 in sorted(present.items()):
        due = due_day(day, label_delay_days)
        steps = [(arrival.partition, arrival.md5) for arrival in arrivals.get(day, ())]
        if not steps or steps[-1][1] != md5:
            steps = [(due, md5)]
        first, seen = due, [(due, "")]
        for partition, content in steps:
            first = max(first, partition)
            if content != seen[-1][1]:
                seen.append((first, content))
        for number, (start, content) in enumerate(seen[1:], start=1):
            until = seen[number + 1][0] if number + 1 < len(seen) else None
            if until != start:  # else nobody was scored in between
                contents.append(Content(day=day, md5=content, first=start, until=until))
    return contents


def due_day(day: date, label_delay_days: int) -> date:
    """Return the first scored day that may look back on a label day."""
    return day + timedelta(days=max(label_delay_days, 1))


def not_as_present(
    contents: Iterable[Content],
    present: Mapping[date, str],
    features: Sequence[HistoryFeature],
    *,
    label_delay_days: int,
    first_day: date,
    last_day: date,
) -> tuple[Content, ...]:
    """Keep the contents of label days that not every scored day saw as they are now.

    Parameters
    ----------
    first_day, last_day
        The scored days, both inclusive. What only other days could see makes no difference, and is left out.

    Returns
    -------
    tuple of Content
        In the order of the days; empty where all labels came when they were due and stayed as they were.
    """
    reach = lookback_days(features, label_delay_days=label_delay_days)
    by_day: dict[date, list[Content]] = {}
    for content in contents:
        by_day.setdefault(content.day, []).append(content)
    changed: list[Content] = []
    for day, versions in sorted(by_day.items()):
        due = due_day(day, label_delay_days)
        start, end = max(first_day, due), min(last_day, day + timedelta(days=reach))
        if not reach or start > end:
            continue
        seen = [
            version for version in versions if version.first <= end and (version.until is None or version.until > start)
        ]
        seen = [_clipped(version, start, end, due) for version in seen]
        if [(version.md5, version.first, version.until) for version in seen] != [(present.get(day), due, None)]:
            changed += seen or [Content(day=day, md5="", first=end + timedelta(days=1), until=None)]
    return tuple(changed)


def _clipped(content: Content, start: date, end: date, due: date) -> Content:
    """Let a content begin and end where that makes a difference: equal features have equal facts."""
    first = due if content.first <= start else content.first
    until = None if content.until is None or content.until > end else content.until
    return content.model_copy(update={"first": first, "until": until})


def as_seen(labelled: pd.DataFrame, earlier: Mapping[str, pd.DataFrame], contents: Sequence[Content]) -> pd.DataFrame:
    """Find of labelled rows which scored days could see them, for `ml.core.training.lagged_means.add_history`.

    Parameters
    ----------
    labelled : DataFrame of shape (n_rows, n_columns)
        The labelled rows as they are now, with ``day``; not modified.
    earlier
        By md5, the labelled rows of a day as they were before: of the contents that are not the present one.
    contents
        What `not_as_present` gave; all other days are seen by whoever looks back on them.

    Returns
    -------
    DataFrame of shape (n_rows and earlier ones, n_columns + 2)
        ``labelled`` itself if all of it was always seen.
    """
    if not contents:
        return labelled
    days = {content.day.isoformat() for content in contents}
    is_plain = ~labelled["day"].isin(days)
    parts = [labelled.loc[is_plain].assign(**dict(zip((SEEN_FROM, SEEN_UNTIL), ALWAYS, strict=True)))]
    for content in contents:
        if content.md5:
            rows = earlier.get(content.md5)
            rows = labelled.loc[labelled["day"] == content.day.isoformat()] if rows is None else rows
            parts.append(rows.assign(**seen_columns(content)))
    return pd.concat(parts, ignore_index=True)


def seen_columns(content: Content) -> dict[str, int]:
    """Return the two columns that say which scored days saw a content."""
    until = ALWAYS[1] if content.until is None else content.until.toordinal()
    return {SEEN_FROM: content.first.toordinal(), SEEN_UNTIL: until}


def facts_of(contents: Sequence[Content]) -> list[list[Any]]:
    """Return contents as plain values, as they are kept with a window and hashed into its fingerprint."""
    return [
        [content.day.isoformat(), content.md5, content.first.isoformat(), content.until and content.until.isoformat()]
        for content in contents
    ]


def read_facts(facts: Iterable[Sequence[Any]]) -> tuple[Content, ...]:
    """Read what `facts_of` gave."""
    return tuple(Content(day=day, md5=md5, first=first, until=until) for day, md5, first, until in facts)
