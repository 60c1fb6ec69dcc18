"""Days in alarm: read from what monitoring left of each day, whoever was notified."""

from __future__ import annotations

from datetime import date, timedelta

from ml.core.monitoring.alarm_days import day_of, days_in_alarm, findings_of, of_days
from ml.core.monitoring.day_summary import read, summarise, text
from ml.core.monitoring.episodes import Day
from ml.records import Decision, DriftReport, Finding

DAY = date(2013, 4, 1)
MOVED = Finding(kind="drift", severity="alarm", message="distance moved", column="distance")
KofN = (2, 3)


def day_after(number: int) -> date:
    return DAY + timedelta(days=number)


def monitored(number: int, *findings: Finding, version: int = 3, alarm: bool = True) -> Day:
    return Day(day_after(number), version, findings, alarm and bool(findings))


def in_alarm(*days: Day, window_days: int = 1) -> set[date]:
    found = of_days(days, family="drift", alarm_days=KofN)
    return days_in_alarm(found, window_days=window_days, longest_days=28)


def test_the_days_of_an_episode_are_in_alarm_from_its_first_day_to_its_last() -> None:
    days = [monitored(0, MOVED, alarm=False), monitored(1, MOVED), monitored(2, MOVED, version=4, alarm=False)]
    assert in_alarm(*days) == {day_after(n) for n in range(3)}


def test_two_episodes_are_kept_apart_by_the_calm_days_between_them() -> None:
    first = [monitored(0, MOVED, alarm=False), monitored(1, MOVED)]
    calm = [monitored(n) for n in range(2, 8)]
    second = [monitored(8, MOVED, alarm=False), monitored(9, MOVED)]
    assert in_alarm(*first, *calm, *second).isdisjoint({day_after(n) for n in range(4, 8)})
    assert in_alarm(*first, *calm, *second) >= {day_after(n) for n in (0, 1, 8, 9)}


def test_an_alarm_that_stands_for_longer_is_the_new_normal() -> None:
    days = [monitored(0, MOVED, alarm=False), *(monitored(n, MOVED) for n in range(1, 29))]
    assert len(in_alarm(*days[:-1])) == 28
    assert in_alarm(*days) == set()


def test_the_days_of_the_first_window_in_alarm_may_have_the_fault_already() -> None:
    days = [monitored(n) for n in range(5)] + [monitored(5, MOVED, alarm=False), monitored(6, MOVED)]
    assert in_alarm(*days, window_days=3) == {day_after(n) for n in (3, 4, 5, 6)}


def test_columns_that_moved_count_where_they_made_up_drift() -> None:
    reasons = {"drift": "1 of 7 columns moved", "decay": ""}
    assert findings_of([MOVED], {"drift": "calm", "decay": "fine"}, reasons) == ()
    assert findings_of([MOVED], {"drift": "drift", "decay": "fine"}, reasons) == (MOVED,)


def test_a_verdict_without_a_finding_is_one_itself() -> None:
    found = findings_of([], {"drift": "drift", "decay": "decay"}, {"drift": "columns moved", "decay": "it lost skill"})
    assert [(finding.kind, finding.severity, finding.message) for finding in found] == [
        ("drift", "alarm", "columns moved"),
        ("decay", "alarm", "it lost skill"),
    ]


def test_a_day_is_read_from_its_summary() -> None:
    decision = Decision(
        day=DAY, action="retrain", reasons=("drift",), alarm=True, state="alarm", champion_version=3, findings=(MOVED,)
    )
    drift = DriftReport(
        day=DAY, champion_version=3, status="drift", reason="distance moved", current_first_day=DAY, current_rows=700
    )
    day = day_of(read(text(summarise(decision, drift, None)).encode()))
    assert day == Day(DAY, 3, (MOVED,), alarm=True, action="retrain", known=frozenset({"drift"}))
    undecided = Decision(day=DAY, action="nothing", reasons=("nobody serves",), alarm=False)
    assert day_of(read(text(summarise(undecided, None, None)).encode())).known == frozenset()
