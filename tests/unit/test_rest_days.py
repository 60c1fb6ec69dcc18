"""On which days data are expected: what is declared, and what the days that are there teach."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import pytest

from ml.core.data.rest_days import rest_reason
from ml.core.monitoring import performance, policy_facts, served
from ml.core.scoring import adaptation
from ml.errors import SettingsError
from ml.settings import Land
from tests.builders import settings

FIRST = date(2025, 1, 1)  # a Wednesday
SATURDAY, TUESDAY = date(2025, 2, 8), date(2025, 2, 11)


def days(weekdays: Collection[int], *, until: date = SATURDAY) -> set[date]:
    span = (FIRST + timedelta(days=n) for n in range((until - FIRST).days))
    return {day for day in span if day.weekday() in weekdays}


def test_a_weekday_that_no_week_has_rests_and_others_do_not() -> None:
    have = days(range(5))
    assert rest_reason(SATURDAY, have, Land()) == (
        f"no data are expected on Saturday {SATURDAY}: no Saturday of the 5 weeks around it had any "
        "(land.calendar: learned)"
    )
    assert rest_reason(SATURDAY + timedelta(days=1), have, Land())
    assert rest_reason(TUESDAY, have, Land()) == ""


def test_a_single_saturday_with_data_lets_all_of_them_be_expected() -> None:
    assert rest_reason(SATURDAY, days(range(5)) | {SATURDAY - timedelta(weeks=4)}, Land()) == ""


def test_a_young_registry_teaches_nothing() -> None:
    young = {day for day in days(range(5)) if day >= SATURDAY - timedelta(days=16)}
    assert rest_reason(SATURDAY, young, Land()) == ""
    assert rest_reason(SATURDAY, set(), Land()) == ""


def test_weeks_in_which_the_feed_stood_still_teach_nothing() -> None:
    have = {day for day in days(range(7), until=date(2025, 1, 6)) if day.weekday() != 5} | {date(2025, 2, 7)}
    assert rest_reason(SATURDAY, have, Land()) == ""


def test_a_source_of_one_day_a_week_rests_on_the_other_six() -> None:
    mondays = days([0])
    assert rest_reason(SATURDAY, mondays, Land())
    assert rest_reason(date(2025, 2, 10), mondays, Land()) == ""


def test_a_day_between_others_is_judged_by_the_weeks_before_and_after_it() -> None:
    early = date(2025, 1, 11)
    assert rest_reason(early, days(range(5)), Land())
    assert rest_reason(early, days(range(7)) - {early}, Land()) == ""


@pytest.mark.parametrize(
    ("calendar", "named"),
    [("weekdays", "Monday to Friday"), (["Monday", "thursday"], "Monday, Thursday")],
)
def test_a_declared_calendar_needs_no_history(calendar: object, named: str) -> None:
    land = settings(land={"calendar": calendar}).land
    assert rest_reason(SATURDAY, [], land).endswith(f"land.calendar names {named}")
    assert rest_reason(date(2025, 2, 10), [], land) == ""


def test_a_closed_day_rests_under_any_calendar() -> None:
    land = settings(land={"calendar": "daily", "closed": ["2025-12-25"]}).land
    assert rest_reason(date(2025, 12, 25), [], land) == (
        "no data are expected on Thursday 2025-12-25: land.closed names it"
    )
    assert rest_reason(SATURDAY, days(range(5)), land) == ""


@pytest.mark.parametrize("calendar", ["sometimes", [], ["Caturday"]])
def test_a_calendar_that_is_none_is_refused(calendar: object) -> None:
    with pytest.raises(SettingsError, match=r"land\.calendar"):
        settings(land={"calendar": calendar})


class TestEmptyDays:
    @pytest.mark.parametrize(("empty", "allowed"), [(1, True), (2, True), (3, False)])
    def test_so_many_in_a_row_may_be_without_data(self, empty: int, allowed: bool) -> None:
        have = days(range(7), until=TUESDAY - timedelta(days=empty - 1))
        assert bool(rest_reason(TUESDAY, have, Land(calendar="daily", empty_days=2))) is allowed

    def test_it_says_the_how_manieth_it_is_and_by_which_setting(self) -> None:
        have = days(range(7), until=TUESDAY - timedelta(days=1))
        assert rest_reason(TUESDAY, have, Land(calendar="daily", empty_days=3)) == (
            f"no data came on Tuesday {TUESDAY}, day 2 in a row of the 3 that may be without any (land.empty_days is 3)"
        )
        assert rest_reason(TUESDAY, have, Land(calendar="daily", every_days=7)).endswith("(land.every_days is 7)")

    def test_days_that_the_calendar_leaves_out_do_not_count(self) -> None:
        monday, have = date(2025, 2, 10), days(range(5), until=date(2025, 2, 7))  # the Friday before is empty too
        assert rest_reason(monday, have, Land(calendar="weekdays", empty_days=2))
        assert not rest_reason(monday, have, Land(calendar="weekdays", empty_days=1))

    def test_a_registry_that_has_nothing_before_the_day_expects_it(self) -> None:
        assert not rest_reason(TUESDAY, [], Land(calendar="daily", empty_days=5))
        assert not rest_reason(TUESDAY, [TUESDAY + timedelta(days=1)], Land(calendar="daily", empty_days=5))

    def test_a_week_between_two_deliveries_is_no_gap_and_the_eighth_day_is(self) -> None:
        weekly, have = Land(calendar="daily", every_days=7), {date(2025, 2, 3)}
        rests = [bool(rest_reason(date(2025, 2, 3) + timedelta(days=n), have, weekly)) for n in range(1, 9)]
        assert rests == [True] * 6 + [False, False]

    @pytest.mark.parametrize("calendar", ["learned", ("monday",), "weekdays"])
    def test_a_weekly_feed_that_stands_still_is_an_error_on_its_first_day_whatever_the_calendar_leaves_out(
        self, calendar: str
    ) -> None:
        monday, weekly = date(2025, 3, 3), Land.model_validate({"calendar": calendar, "every_days": 7})
        have = days([0], until=monday)
        for week in range(3):
            expected = monday + timedelta(weeks=week)
            assert not rest_reason(expected, have, weekly)
        between = [monday + timedelta(days=n - 7) for n in range(1, 7)]
        assert all(rest_reason(day, have, weekly) for day in between)

    def test_a_month_that_does_not_come_is_an_error_after_its_longest_step(self) -> None:
        monthly, have = Land(every_days=31), {date(2025, month, 1) for month in range(1, 12)}
        assert rest_reason(date(2025, 12, 1), have, monthly)  # 30 days since the last one
        assert not rest_reason(date(2025, 12, 2), have, monthly)
        assert all(rest_reason(date(2025, 11, day), have, monthly) for day in range(2, 31))


class TestWindows:
    def test_of_weekly_data_they_count_days_with_data(self) -> None:
        weekly = settings(land={"every_days": 7}, screen={"recent_days": 63}, drift={"alarm_days": [2, 3]})
        daily, day = settings(drift={"alarm_days": [2, 3]}), date(2025, 2, 10)
        assert performance.days_of(day, daily)[1:] == (date(2025, 1, 27), date(2025, 2, 9))
        assert performance.days_of(day, weekly)[1:] == (date(2024, 11, 4), date(2025, 2, 9))
        assert policy_facts.earlier_days(day, daily) == [date(2025, 2, 9), date(2025, 2, 8)]
        assert {day - timedelta(days=7), day - timedelta(days=14)} <= set(policy_facts.earlier_days(day, weekly))
        assert day - timedelta(days=21) not in policy_facts.earlier_days(day, weekly)
        assert adaptation.reach(day, weekly)[0] == date(2025, 2, 9) - timedelta(days=7 * 7 + 7 - 1)
        serving = served.Serving(first_day=day)
        by = [served.expected_by(serving, answered=False, settings=each) for each in (daily, weekly)]
        assert by == [date(2025, 2, 17), date(2025, 3, 25)]

    def test_a_screen_that_holds_too_few_days_of_data_is_refused_with_what_would_do(self) -> None:
        with pytest.raises(SettingsError, match=r"screen\.recent_days \(28\) hold 4 days with data.* set it to 56"):
            settings(land={"every_days": 7})
