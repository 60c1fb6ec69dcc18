"""What people said of an alarm: that they know of it, or that it is to be quiet until a day unless it gets worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ml.core.monitoring.episodes import Day, Episode, Event, alarms
from ml.records import Logged

KINDS = ("acknowledgement", "snooze")


@dataclass(frozen=True)
class Snooze:
    """Who wants no mail of an episode on the days before ``until``; a new kind of finding or a rollback is mailed."""

    decision_id: str
    until: date
    requested_by: str


def of_episode(episode: Episode, entries: Sequence[Logged]) -> list[Logged]:
    """Return what people said of an episode, oldest first."""
    return [entry for entry in entries if entry.kind in KINDS and entry.payload.get("episode") == episode.id]


def snooze_of(episode: Episode, entries: Sequence[Logged]) -> Snooze | None:
    """Return the newest snooze of an episode that is not over yet; None if there is none."""
    snoozes = [entry for entry in of_episode(episode, entries) if entry.kind == "snooze"]
    if not snoozes or snoozes[-1].decision_id in episode.snoozes_over:
        return None
    payload = snoozes[-1].payload
    return Snooze(snoozes[-1].decision_id, date.fromisoformat(str(payload["until"])), str(payload["requested_by"]))


def quieten(event: Event, before: Episode, today: Day, snooze: Snooze | None) -> Event:
    """Return what people are notified of, once a snooze is respected: nothing of it keeps the policy from acting.

    While it lasts an escalation is a repeat, unless it is worse: a kind of finding that people do not know of, or a
    rollback. That ends the snooze, as its last day does: then the alarm is mailed again, if it still stands. The end of
    the episode is always mailed.
    """
    if snooze is None or event.what in ("opened", "resolved"):
        return event
    episode = event.episode
    ended: dict[str, object] = {"snoozes_over": (*episode.snoozes_over, snooze.decision_id)}
    if today.day >= snooze.until:
        if event.what == "repeat" and not alarms(today, episode.family):
            return event
        reason = f"the snooze of {snooze.requested_by} until {snooze.until} is over, and the alarm goes on"
        reason = f"{event.reason}; {reason}" if event.reason else reason
        ended |= {"repeats": 0, "suppressed": before.suppressed}
        return Event("escalated", episode.model_copy(update=ended), event.news, before.repeats, reason)
    if event.what == "repeat":
        return event
    if _is_worse(event, before):
        reason = f"it is worse than when {snooze.requested_by} snoozed it until {snooze.until}: the snooze is over"
        reason = f"{event.reason}; {reason}" if event.reason else reason
        return Event("escalated", episode.model_copy(update=ended), event.news, event.repeats, reason)
    counted = {"repeats": before.repeats + 1, "suppressed": before.suppressed + 1}
    return Event("repeat", episode.model_copy(update=counted), repeats=before.repeats + 1)


def _is_worse(event: Event, before: Episode) -> bool:
    known = {name.partition(":")[0] for name in before.notified}
    rolled_back = "rollback" in event.episode.actions and "rollback" not in before.actions
    return rolled_back or any(name.partition(":")[0] not in known for name in event.news)


def in_words(entry: Logged) -> str:
    """Return who said what of an alarm, and when.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> payload = {"requested_by": "ann", "note": "the feed is repaired on Monday", "until": "2026-11-30"}
    >>> at = datetime(2026, 11, 26, 9, tzinfo=UTC)
    >>> entry = Logged(
    ...     decision_id="1", kind="snooze", decided_at=at, fingerprint=None, effective_day=None, payload=payload
    ... )
    >>> in_words(entry)
    'snoozed until 2026-11-30 by ann on 2026-11-26: the feed is repaired on Monday'
    """
    payload = entry.payload
    did = f"snoozed until {payload.get('until')}" if entry.kind == "snooze" else "acknowledged"
    return f"{did} by {payload.get('requested_by')} on {entry.decided_at:%Y-%m-%d}: {payload.get('note')}"
