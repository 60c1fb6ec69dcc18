"""Episodes: notified when they open, when they get worse and when they are over; never in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain
from typing import Any

import pytest

from ml.core.monitoring.alarm_conditions import KINDS
from ml.core.monitoring.episodes import Day, Episode, Event, Family, follow
from ml.records import Finding

DAY = date(2013, 4, 1)
MOVED = Finding(kind="drift", severity="alarm", message="distance moved", column="distance")
OTHER = Finding(kind="drift", severity="alarm", message="origin moved", column="origin")
NULLS = Finding(kind="null_share", severity="alarm", message="visib is null", column="visib", at_once=True)
WARNING = Finding(kind="drift", severity="warning", message="it is warm", column="temp")
DECAY = Finding(kind="decay", severity="alarm", message="the gap is 0.2")
UNKNOWN = "unknown"
KofN = (2, 3)


def a_day(number: int, *findings: Finding, version: int | None = 3, **facts: Any) -> Day:
    """Build a day; without further word it raises an alarm if anything on it could."""
    alarm = any(finding.severity == "alarm" for finding in findings)
    return Day(DAY + timedelta(days=number), version, findings, **({"alarm": alarm} | facts))


def story(*days: Day, family: Family = "drift", alarm_days: tuple[int, int] = KofN) -> list[tuple[Event, ...]]:
    """Follow a family over days, each the newest one when it comes; give what happened on each."""
    before: Episode | None = None
    events_by_day = []
    for number, today in enumerate(days):
        events = follow(before, today, days[:number], family=family, alarm_days=alarm_days)
        before = events[-1].episode if events else before
        events_by_day.append(events)
    return events_by_day


def mailed(events_by_day: Sequence[tuple[Event, ...]]) -> list[list[str]]:
    return [[event.what for event in events if event.what != "repeat"] for events in events_by_day]


def test_calm_days_say_nothing() -> None:
    assert story(a_day(0), a_day(1, WARNING), a_day(2)) == [(), (), ()]


def test_one_day_of_findings_is_no_episode_yet() -> None:
    assert mailed(story(a_day(0, MOVED, alarm=False), a_day(1))) == [[], []]


def test_an_episode_is_told_once_however_long_it_lasts() -> None:
    events_by_day = story(a_day(0, MOVED, alarm=False), *(a_day(n, MOVED) for n in range(1, 20)))
    assert mailed(events_by_day) == [[], ["opened"], *[[] for _ in range(18)]]
    assert events_by_day[1][0].episode.first_day == DAY
    assert events_by_day[-1][0].episode.suppressed == 18


def test_what_speaks_for_itself_opens_an_episode_on_its_first_day() -> None:
    events_by_day = story(a_day(0, NULLS))
    assert mailed(events_by_day) == [["opened"]]
    assert events_by_day[0][0].news == ("null_share:visib",)


def test_a_family_is_not_opened_by_the_alarm_of_the_other() -> None:
    days = [a_day(0, DECAY, alarm=False), a_day(1, DECAY, MOVED)]
    assert mailed(story(*days, family="decay")) == [[], ["opened"]]
    assert mailed(story(*days, family="drift")) == [[], []]


def test_kinds_of_findings_count_by_themselves_as_the_policy_counts_them() -> None:
    feed = Finding(kind="constant", severity="alarm", message="stuck", column="visib")
    days = [a_day(0, feed, alarm=False), a_day(1, MOVED, DECAY)]
    assert mailed(story(*days, a_day(2, MOVED), alarm_days=(2, 2))) == [[], ["opened"], []]  # nobody else explains it
    explained = [a_day(0, feed, DECAY, alarm=False), a_day(1, MOVED, DECAY)]
    assert mailed(story(*explained)) == [[], []]
    assert {"drift", "broken data"} < set(KINDS)


def test_an_alarm_that_no_family_explains_is_told_all_the_same() -> None:
    assert mailed(story(a_day(9, MOVED))) == [["opened"]]


def test_nothing_opens_without_the_policys_alarm() -> None:
    assert mailed(story(a_day(0, MOVED, alarm=False), a_day(1, MOVED, alarm=False))) == [[], []]


def test_a_new_column_escalates_once_it_has_lasted_as_long_as_an_alarm_must() -> None:
    events_by_day = story(
        a_day(0, MOVED, alarm=False),
        a_day(1, MOVED),
        a_day(2, MOVED, OTHER),
        a_day(3, MOVED, OTHER),
        a_day(4, MOVED, OTHER),
    )
    assert mailed(events_by_day) == [[], ["opened"], [], ["escalated"], []]
    assert events_by_day[3][0].news == ("drift:origin",)
    assert events_by_day[3][0].repeats == 1
    assert events_by_day[3][0].episode.repeats == 0


def test_a_new_kind_that_speaks_for_itself_escalates_at_once() -> None:
    events_by_day = story(a_day(0, MOVED, alarm=False), a_day(1, MOVED), a_day(2, MOVED, NULLS))
    assert mailed(events_by_day)[-1] == ["escalated"]


def test_what_comes_and_goes_inside_an_episode_is_told_once() -> None:
    both, one = (MOVED, NULLS), (MOVED,)
    events_by_day = story(*(a_day(n, *(both if n % 2 else one)) for n in range(8)))
    assert list(chain(*mailed(events_by_day))) == ["opened", "escalated"]


@pytest.mark.parametrize("action", ["retrain", "rollback"])
def test_doing_something_after_waiting_is_told_once(action: str) -> None:
    waits = [a_day(n, MOVED, alarm=n > 0) for n in range(3)]
    events_by_day = story(*waits, a_day(3, MOVED, action=action), a_day(4, MOVED), a_day(5, MOVED, action=action))
    assert mailed(events_by_day)[3:] == [["escalated"], [], []]


def test_what_was_done_when_it_opened_is_no_news() -> None:
    events_by_day = story(a_day(0, NULLS, action="retrain"), a_day(1, NULLS, action="retrain"))
    assert mailed(events_by_day) == [["opened"], []]


def test_one_quiet_day_is_no_end_two_are() -> None:
    events_by_day = story(a_day(0, MOVED, alarm=False), a_day(1, MOVED), a_day(2), a_day(3, MOVED), a_day(4), a_day(5))
    assert mailed(events_by_day) == [[], ["opened"], [], [], [], ["resolved"]]
    (end,) = events_by_day[-1]
    assert "2 days" in end.reason
    assert end.repeats == 1
    assert not end.episode.open


def test_with_one_day_of_one_an_episode_ends_on_the_first_quiet_day() -> None:
    assert mailed(story(a_day(0, MOVED), a_day(1), alarm_days=(1, 1))) == [["opened"], ["resolved"]]


def test_unknown_resolves_nothing_and_breaks_no_row_of_quiet_days() -> None:
    unmeasured = frozenset[Family]({"decay"})
    blind = [a_day(n, known=unmeasured) for n in range(2, 9)]
    opened = [a_day(0, MOVED, alarm=False), a_day(1, MOVED)]
    assert list(chain(*mailed(story(*opened, *blind)))) == ["opened"]
    events_by_day = story(*opened, a_day(2), a_day(3, known=unmeasured), a_day(4))
    assert mailed(events_by_day)[2:] == [[], [], ["resolved"]]


def test_a_day_without_a_champion_changes_nothing() -> None:
    events_by_day = story(a_day(0, NULLS), a_day(1, version=None), a_day(2, version=None), a_day(3, version=None))
    assert mailed(events_by_day) == [["opened"], [], [], []]


def test_an_episode_goes_on_when_another_version_comes_to_serve() -> None:
    events_by_day = story(
        a_day(0, NULLS), a_day(1, NULLS, version=4), a_day(2, NULLS, version=4), a_day(3, NULLS, version=4)
    )
    assert mailed(events_by_day) == [["opened"], ["escalated"], [], []]
    (again,) = events_by_day[1]
    assert again.reason == "version 4 serves instead of version 3, and the alarm goes on"
    assert again.episode.id == events_by_day[0][0].episode.id
    assert (again.episode.champion_version, again.episode.serves) == (3, 4)


def test_a_promotion_by_itself_resolves_nothing() -> None:
    events_by_day = story(a_day(0, NULLS), a_day(1, version=4))
    assert mailed(events_by_day) == [["opened"], []]
    assert events_by_day[-1][0].episode.open


def test_an_episode_ends_after_as_many_calm_days_under_another_version() -> None:
    events_by_day = story(a_day(0, NULLS), a_day(1, version=4), a_day(2, version=4))
    assert mailed(events_by_day) == [["opened"], [], ["resolved"]]
    assert events_by_day[-1][0].episode.serves == 4


def test_a_new_champion_whose_performance_is_unknown_does_not_end_a_decay() -> None:
    unmeasured = frozenset[Family]({"drift"})
    days = [a_day(0, DECAY, alarm=False), a_day(1, DECAY)]
    blind = [a_day(n, version=4, known=unmeasured) for n in range(2, 9)]
    assert list(chain(*mailed(story(*days, *blind, family="decay")))) == ["opened"]


def test_findings_under_another_version_wait_for_its_own_alarm() -> None:
    events_by_day = story(
        a_day(0, MOVED, alarm=False),
        a_day(1, MOVED),
        a_day(2, MOVED, version=4, alarm=False),
        a_day(3, MOVED, version=4),
    )
    assert mailed(events_by_day) == [[], ["opened"], [], ["escalated"]]


def test_what_comes_back_is_a_new_episode() -> None:
    events_by_day = story(a_day(0, NULLS), a_day(1), a_day(2), a_day(3, NULLS))
    assert mailed(events_by_day) == [["opened"], [], ["resolved"], ["opened"]]
    assert events_by_day[0][0].episode.id != events_by_day[-1][0].episode.id


def test_a_day_that_arrives_late_is_never_told() -> None:
    (opened,) = follow(None, a_day(5, NULLS), [], family="drift", alarm_days=KofN)
    late = a_day(3, NULLS, OTHER, version=9)
    assert follow(opened.episode, late, [], family="drift", alarm_days=KofN) == ()


def test_the_same_day_twice_tells_and_counts_nothing_more() -> None:
    first = a_day(0, MOVED, alarm=False)
    today = a_day(1, MOVED)
    (opened,) = follow(None, today, [first], family="drift", alarm_days=KofN)
    (again,) = follow(opened.episode, today, [first], family="drift", alarm_days=KofN)
    assert again.what == "repeat"
    assert again.episode == opened.episode
    assert follow(None, today, [first], family="drift", alarm_days=KofN) == (opened,)


def test_the_same_quiet_day_twice_is_one_quiet_day() -> None:
    (opened,) = follow(None, a_day(0, NULLS), [], family="drift", alarm_days=KofN)
    (quiet,) = follow(opened.episode, a_day(1), [], family="drift", alarm_days=KofN)
    (again,) = follow(quiet.episode, a_day(1), [], family="drift", alarm_days=KofN)
    assert again.what == "repeat"
    assert again.episode.clean_days == 1


def test_a_day_whose_data_were_corrected_is_closed_by_the_days_after_it() -> None:
    (opened,) = follow(None, a_day(0, NULLS), [], family="drift", alarm_days=KofN)
    (corrected,) = follow(opened.episode, a_day(0), [], family="drift", alarm_days=KofN)
    (ended,) = follow(corrected.episode, a_day(1), [a_day(0)], family="drift", alarm_days=KofN)
    assert (corrected.what, ended.what) == ("repeat", "resolved")


def test_an_episode_survives_a_trip_through_storage() -> None:
    (opened,) = follow(None, a_day(0, NULLS), [], family="drift", alarm_days=KofN)
    assert Episode.model_validate(opened.episode.model_dump(mode="json")) == opened.episode


def test_decay_that_is_a_warning_by_now_is_not_over() -> None:
    warned = Finding(kind="decay", severity="warning", message="the gap is 0.1")
    days = (
        a_day(0, DECAY, alarm=False),
        a_day(1, DECAY),
        *(a_day(n, warned) for n in range(2, 9)),
        *map(a_day, (9, 10)),
    )
    assert mailed(story(*days, family="decay")) == [[], ["opened"], *[[] for _ in range(8)], ["resolved"]]


def test_a_warning_of_decay_opens_nothing() -> None:
    warned = Finding(kind="decay", severity="warning", message="the gap is 0.1")
    assert mailed(story(*(a_day(n, warned) for n in range(9)), family="decay")) == [[] for _ in range(9)]
