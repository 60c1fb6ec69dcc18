"""What a replay has lived through and decided, by what it wrote down."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ml.adapters import layout
from ml.adapters.replayed_days import Replayed, ReplayLog
from ml.adapters.storage import open_objects
from ml.adapters.workspace import Workspace
from ml.records import Logged, ReplayedDay, ReplayPeriod

FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 2)
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> ReplayLog:
    return ReplayLog(Workspace(open_objects(str(tmp_path)), layout.ingest.REPLAYED))


def minutes(n: int) -> datetime:
    return AT + timedelta(minutes=n)


def decided(at: datetime, *, effective: date | None = None, **payload: str) -> Logged:
    return Logged(
        decision_id="d", kind="promotion", decided_at=at, fingerprint=None, effective_day=effective, payload=payload
    )


def test_where_nothing_was_replayed_nothing_is_marked(log: ReplayLog) -> None:
    assert log.read() == Replayed()
    assert not log.read().decided(decided(AT, effective=SECOND))


def test_what_was_decided_while_a_day_was_lived_through_is_of_the_replay(log: ReplayLog) -> None:
    log.write_period(ReplayPeriod(first_day=FIRST, last_day=SECOND))
    assert log.begin(FIRST, AT) == AT
    assert log.begin(FIRST, minutes(5)) == AT, "an interrupted day was begun at its first attempt"
    log.finish(ReplayedDay(day=FIRST, began_at=AT, ended_at=minutes(9)))
    replayed = log.read()
    assert replayed.days == {FIRST}
    assert [replayed.decided(decided(minutes(n), effective=SECOND)) for n in (-1, 0, 4, 9, 10)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_of_a_day_that_is_not_over_only_its_own_decisions_are(log: ReplayLog) -> None:
    log.write_period(ReplayPeriod(first_day=FIRST, last_day=SECOND))
    log.begin(FIRST, AT)
    replayed = log.read()
    assert replayed.days == {FIRST}
    assert replayed.decided(decided(minutes(3), effective=SECOND))
    assert replayed.decided(decided(minutes(3), judged_on=str(FIRST)))
    assert not replayed.decided(decided(minutes(3), effective=date(2026, 11, 22)))


def test_days_of_older_releases_are_replayed_too(log: ReplayLog) -> None:
    log.stored.write_json(layout.days.day_json(FIRST), {"day": str(FIRST), "event": "promoted version 2"})
    log.stored.write_json(layout.ingest.REPLAY_PERIOD, {"first_day": str(FIRST), "last_day": str(SECOND)})
    assert log.read().days == {FIRST}
    assert log.period() == ReplayPeriod(first_day=FIRST, last_day=SECOND)
