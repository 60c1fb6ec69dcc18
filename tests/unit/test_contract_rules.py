"""What a day may look like beside its recent past, which rows go on, and when none may."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from ml.core.data.contracts import (
    ANY_ROW_COUNT,
    DayProfile,
    Failure,
    baselines,
    min_non_null_share,
    recent_past,
    refusal,
    row_count_bounds,
    spare_exact_copies,
    split,
)
from ml.settings import Screen

DAY = date(2013, 4, 6)  # a Saturday
SCREEN = Screen()


def past(*, days: int, rows: int = 1000, saturdays: int | None = None, nulls: int = 0) -> list[DayProfile]:
    """Build the ``days`` days before `DAY`; Saturdays have their own row count if given."""
    profiles = []
    for back in range(1, days + 1):
        day = DAY - timedelta(days=back)
        count = saturdays if saturdays is not None and day.weekday() == 5 else rows
        profiles.append(DayProfile(day, count, {"temp": nulls}))
    return profiles


def bad(*positions: int, message: str = "temp must be at most 110", column: str = "temp") -> Failure:
    return Failure("expect_x", column, "row", message, len(positions), (), positions)


def broken(message: str, column: str | None = None, **facts: object) -> Failure:
    return Failure("expect_x", column, "table", message, **facts)  # type: ignore[arg-type]


class TestRecentPast:
    def test_days_after_the_judged_day_do_not_count(self) -> None:
        later = DayProfile(DAY + timedelta(days=1), 5, {})
        assert recent_past([later, DayProfile(DAY, 5, {})], day=DAY, recent_days=28) == ()

    def test_days_come_oldest_first_and_not_from_before_the_window(self) -> None:
        kept = recent_past(past(days=40), day=DAY, recent_days=28)
        assert [p.day for p in kept] == [DAY - timedelta(days=n) for n in range(28, 0, -1)]


class TestRowCountBounds:
    def test_a_saturday_is_compared_with_saturdays(self) -> None:
        assert row_count_bounds(past(days=28, saturdays=600), day=DAY, screen=SCREEN) == (300, 1200)

    def test_one_saturday_alone_is_compared_with_beside_all_days(self) -> None:
        assert row_count_bounds(past(days=8, saturdays=600), day=DAY, screen=SCREEN) == (300, 2000)
        assert row_count_bounds(past(days=8, saturdays=3000), day=DAY, screen=SCREEN) == (500, 6000)

    def test_without_a_saturday_all_days_are_compared_with(self) -> None:
        weekdays = [profile for profile in past(days=28) if profile.day.weekday() != DAY.weekday()]
        assert row_count_bounds(weekdays, day=DAY, screen=SCREEN) == (500, 2000)

    @pytest.mark.parametrize("share", [0.3, 3.5])
    def test_a_weekday_of_its_own_is_accepted_from_the_first_week_on(self, share: float) -> None:
        accepted: list[DayProfile] = []
        for number in range(35):
            day = DAY + timedelta(days=number - 3)
            rows = int(1000 * share) if day.weekday() == DAY.weekday() else 1000
            recent = recent_past(accepted, day=day, recent_days=28)
            low, high = row_count_bounds(recent, day=day, screen=SCREEN)
            assert low <= rows <= high, day
            accepted.append(DayProfile(day, rows, {}))

    def test_too_short_a_past_allows_any_count_but_none(self) -> None:
        assert row_count_bounds(past(days=6), day=DAY, screen=SCREEN) == (1, ANY_ROW_COUNT)

    def test_a_tiny_table_still_needs_a_row(self) -> None:
        assert row_count_bounds(past(days=28, rows=1), day=DAY, screen=SCREEN) == (1, 2)


class TestNullShares:
    def test_the_worst_recent_day_and_a_margin_are_allowed(self) -> None:
        recent = [*past(days=20), DayProfile(DAY - timedelta(days=21), 1000, {"temp": 300})]
        assert min_non_null_share(recent, "temp", screen=SCREEN) == pytest.approx(0.6)

    @pytest.mark.parametrize("margin", [0.1, 1.0])
    def test_a_column_without_any_value_is_refused_whatever_the_margin(self, margin: float) -> None:
        screen = Screen(null_share_margin=margin)
        assert min_non_null_share(past(days=28, nulls=950), "temp", screen=screen) > 0
        assert min_non_null_share([], "temp", screen=screen) > 0

    def test_a_column_that_was_empty_on_a_recent_day_may_be_empty(self) -> None:
        assert min_non_null_share(past(days=28, nulls=1000), "temp", screen=SCREEN) == 0.0

    def test_a_column_without_a_past_must_hold_the_margins_share(self) -> None:
        assert min_non_null_share(past(days=28), "dewp", screen=SCREEN) == 0.1

    def test_a_margin_of_nothing_still_refuses_an_empty_column(self) -> None:
        assert min_non_null_share([], "temp", screen=Screen(null_share_margin=0)) > 0

    def test_a_day_without_rows_says_nothing_of_nulls(self) -> None:
        assert DayProfile(DAY, 0, {"temp": 0}).null_share("temp") is None


def test_baselines_name_every_parameter_that_a_suite_may_use() -> None:
    assert baselines(past(days=28), day=DAY, screen=SCREEN, columns=["temp"]) == {
        "day": "2013-04-06",
        "days": ["2013-04-06"],
        "row_count_min": 500,
        "row_count_max": 2000,
        "min_non_null_share__temp": 0.9,
        "empty_days_before__temp": 0,
    }


class TestCopies:
    def test_the_first_of_identical_rows_goes_on(self) -> None:
        frame = pd.DataFrame({"id": [7, 7, 7, 8], "x": [1.0, 1.0, 1.0, 2.0]})
        assert spare_exact_copies(frame, [0, 1, 2], ["id"]) == ((), (1, 2))

    def test_rows_of_one_key_that_contradict_each_other_all_stop(self) -> None:
        frame = pd.DataFrame({"id": [7, 7, 7], "x": [1.0, 1.0, 2.0]})
        assert spare_exact_copies(frame, [0, 1, 2], ["id"]) == ((0, 1, 2), ())

    def test_nulls_are_equal_to_nulls(self) -> None:
        frame = pd.DataFrame({"id": ["a", "a", None, None], "x": [None, None, 1.0, 2.0]})
        assert spare_exact_copies(frame, [0, 1, 2, 3], ["id"]) == ((2, 3), (1,))


class TestSplit:
    def test_bad_rows_leave_with_all_their_reasons_and_the_rest_keep_their_order(self) -> None:
        frame = pd.DataFrame({"x": [10, 11, 12, 13]}, index=[9, 9, 9, 9])
        accepted, quarantined = split(frame, [bad(2, 0, message="one"), bad(2, message="two")])
        assert accepted["x"].tolist() == [11, 13]
        assert quarantined["x"].tolist() == [10, 12]
        assert quarantined["reasons"].tolist() == ["one", "one; two"]

    def test_nothing_bad_gives_an_empty_quarantine_with_the_same_columns(self) -> None:
        accepted, quarantined = split(pd.DataFrame({"x": [1]}), [])
        assert len(accepted) == 1
        assert list(quarantined) == ["x", "reasons"]
        assert quarantined.empty


class TestRefusal:
    def test_a_share_of_bad_rows_at_the_limit_goes_on(self) -> None:
        assert refusal([bad(*range(5))], rows=100, bad_rows=5, max_bad_share=0.05) == ""

    def test_one_row_over_the_limit_refuses_and_says_how_many_and_why(self) -> None:
        reason = refusal([bad(*range(6))], rows=100, bad_rows=6, max_bad_share=0.05)
        assert "6 of 100 rows (6.0%)" in reason
        assert "temp must be at most 110 (6 rows)" in reason

    def test_a_table_without_one_good_row_is_refused_even_if_all_may_be_bad(self) -> None:
        assert refusal([bad(0, 1)], rows=2, bad_rows=2, max_bad_share=1.0)

    def test_any_table_level_breach_refuses(self) -> None:
        assert refusal([broken("the table has no rows")], rows=0, bad_rows=0, max_bad_share=1.0) == (
            "the table has no rows"
        )

    def test_the_same_breach_of_many_columns_is_said_once(self) -> None:
        failures = [broken(f"the share of {c} is 0%", column=c) for c in ("temp", "dewp")]
        assert refusal(failures, rows=9, bad_rows=0, max_bad_share=0) == "the share of temp, dewp is 0%"


def test_copies_with_lists_and_structs_are_told_from_contradictions() -> None:
    tags = [["a"], ["a"], {"b": 1}, {"b": 2}]
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "tags": pd.Series(tags, dtype=object)})
    assert spare_exact_copies(frame, [0, 1, 2, 3], ["id"]) == ((2, 3), (1,))
