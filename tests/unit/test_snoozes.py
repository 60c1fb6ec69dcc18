"""What a snooze keeps from people, and what it does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from ml.core.monitoring import snoozes
from ml.core.monitoring.episodes import Day, Episode, Event, follow
from ml.records import Finding, Logged

FIRST = date(2013, 6, 1)
BY = "ann"


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


def moved(column: str = "dest", kind: str = "drift") -> Finding:
    return Finding(kind=kind, severity="alarm", message=f"{column} moved", column=column)


def day(number: int, *findings: Finding, version: int = 1, action: str = "nothing") -> Day:
    return Day(on(number), version, findings, alarm=bool(findings), action=action)


def snoozed(until: int, episode: Episode, number: str = "1") -> Logged:
    payload = {"episode": episode.id, "until": on(until).isoformat(), "requested_by": BY, "note": "known"}
    at = datetime(2013, 6, 2, 12, tzinfo=UTC)
    return Logged(
        decision_id=number, kind="snooze", decided_at=at, fingerprint=None, effective_day=None, payload=payload
    )


class Alarm:
    """An episode of drift of two columns that is followed day by day."""

    def __init__(self) -> None:
        self.days: list[Day] = [day(0, moved())]
        (opened,) = follow(None, day(1, moved()), self.days, family="drift", alarm_days=(2, 3))
        self.episode, self.entries = opened.episode, list[Logged]()
        self.days.append(day(1, moved()))

    def snooze(self, until: int) -> None:
        self.entries.append(snoozed(until, self.episode, str(len(self.entries) + 1)))

    def on(self, number: int, *findings: Finding, **more: Any) -> Event:
        today = day(number, *findings, **more)
        (event,) = follow(self.episode, today, self.days, family="drift", alarm_days=(2, 3))
        event = snoozes.quieten(event, self.episode, today, snoozes.snooze_of(self.episode, self.entries))
        self.episode = event.episode
        self.days.append(today)
        return event


def test_a_snooze_keeps_back_what_is_not_worse_and_is_over_on_its_day() -> None:
    alarm = Alarm()
    alarm.snooze(5)
    assert alarm.on(2, moved(), action="retrain").what == "repeat", "the policy goes on, and people know"
    assert alarm.on(3, moved(), moved("origin"), version=2).what == "repeat", "another champion, the same alarm"
    assert alarm.on(4, moved(), moved("origin"), version=2).what == "repeat", "another column, the same kind"
    event = alarm.on(5, moved(), moved("origin"), version=2)
    assert (event.what, event.reason) == (
        "escalated",
        "the snooze of ann until 2013-06-06 is over, and the alarm goes on",
    )
    assert event.repeats == 3 and alarm.on(6, moved(), version=2).what == "repeat", "it is mailed once"


def test_without_a_snooze_the_same_days_are_mailed() -> None:
    alarm = Alarm()
    assert alarm.on(2, moved(), action="retrain").what == "escalated"
    assert alarm.on(3, moved(), version=2).what == "escalated"


def test_a_new_kind_of_finding_or_a_rollback_breaks_it() -> None:
    alarm = Alarm()
    alarm.snooze(20)
    nulls = moved("carrier", "null_share")
    assert alarm.on(2, moved(), nulls).what == "repeat", "one day is no alarm yet"
    event = alarm.on(3, moved(), nulls)
    assert event.what == "escalated" and "worse than when ann snoozed it" in event.reason
    assert alarm.on(4, moved(), nulls, action="retrain").what == "escalated", "a broken snooze stays broken"

    alarm = Alarm()
    alarm.snooze(20)
    event = alarm.on(2, moved(), action="rollback")
    assert event.what == "escalated"
    alarm.snooze(20)
    assert alarm.on(3, moved(), action="retrain").what == "repeat", "a person may snooze it again"


def test_its_end_is_mailed_and_a_quiet_day_is_no_reason_to_mail() -> None:
    alarm = Alarm()
    alarm.snooze(3)
    assert alarm.on(2).what == "repeat"
    assert alarm.on(3).what == "resolved"

    alarm = Alarm()
    alarm.snooze(3)
    alarm.on(2, moved())
    assert alarm.on(3).what == "repeat", "nothing was found that day"
    assert alarm.on(4, moved()).what == "escalated"


def test_the_same_day_judged_twice_says_it_once() -> None:
    alarm = Alarm()
    alarm.snooze(3)
    alarm.on(2, moved())
    assert [alarm.on(3, moved()).what for _ in range(2)] == ["escalated", "repeat"]


def test_another_alarm_is_not_snoozed() -> None:
    alarm = Alarm()
    other = alarm.episode.model_copy(update={"first_day": on(-30)})
    assert snoozes.snooze_of(alarm.episode, [snoozed(9, other)]) is None
