"""On which days data are expected: what is declared, and what the days that are there teach."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import pytest

from ml.core.rest_days import rest_reason
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
