"""What breaks on a day is told on that day, and what is usual, rare or too little to tell is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.change_words import change_in_words, percent
from ml.core.monitoring.day_columns import DayColumn, count, profile, profile_of
from ml.core.monitoring.structural_faults import structural_faults, type_changes
from ml.records import Finding
from ml.settings import Drift

DRIFT = Drift(structural=("carrier", "minute"), environment=("temp", "wind", "gust"))
FIRST = date(2013, 1, 7)
DAYS = 28
TODAY = FIRST + timedelta(days=DAYS)
COLUMNS = ("carrier", "minute", "temp", "wind", "gust")


def frame(day: date, *, rows: int = 200, seed: int | None = None) -> pd.DataFrame:
    """Build a healthy day: three carriers of which SAT stays away on Saturdays, a schedule, and some weather."""
    chance = np.random.default_rng(day.toordinal() if seed is None else seed)
    carriers = ["AA", "BB"] if day.weekday() == 5 else ["AA", "BB", "SAT"]
    shares = [0.7, 0.3] if day.weekday() == 5 else [0.6, 0.3, 0.1]
    return pd.DataFrame(
        {
            "day": day.isoformat(),
            "carrier": chance.choice(carriers, rows, p=shares),
            "minute": chance.integers(300, 1400, rows),
            "temp": chance.normal(50, 10, rows).round(1),
            "wind": chance.normal(10, 3, rows).round(2),
            "gust": pd.Series(chance.normal(20, 3, rows).round(2)).mask(chance.uniform(size=rows) < 0.3),
        }
    )


def counted(rows: pd.DataFrame) -> dict[str, DayColumn]:
    return {column: count(rows[column], categorical=column == "carrier") for column in COLUMNS if column in rows}


REFERENCE = pd.concat([frame(FIRST + timedelta(days=n)) for n in range(DAYS)], ignore_index=True)
KNOWN = profile(REFERENCE, COLUMNS, DRIFT)


def faults(
    rows: pd.DataFrame,
    *,
    day: date = TODAY,
    before: pd.DataFrame | None = None,
    earlier: pd.DataFrame | None = None,
    **matters: bool,
) -> tuple[Finding, ...]:
    past = [None if other is None else counted(other) for other in (before, earlier)]
    return structural_faults(day, counted(rows), KNOWN, DRIFT, matters, yesterday=past[0], earlier=past[1])


def test_healthy_days_have_no_finding() -> None:
    for number in range(14):
        day = TODAY + timedelta(days=number)
        past = [frame(day - timedelta(days=days)) for days in (1, 2)]
        assert faults(frame(day), day=day, before=past[0], earlier=past[1]) == ()


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str, str, str]] = {
    "gone": (
        lambda f: f[f["carrier"] != "BB"], "vanished_category", "carrier", "alarm",
        "carrier: BB is gone: 30 % → 0 % of rows on 2013-02-04",
    ),
    "new": (
        lambda f: f.assign(carrier=f["carrier"].where(f.index >= 20, "ZZ")), "new_category", "carrier", "alarm",
        "carrier: ZZ is new: 0 % → 10 % of rows on 2013-02-04",
    ),
    "null": (
        lambda f: f.assign(temp=np.nan), "null_share", "temp", "warning",
        "temp: nulls 0 % at most → 100 % on 2013-02-04",
    ),
    "absent": (
        lambda f: f.drop(columns="temp"), "null_share", "temp", "warning",
        "temp: nulls 0 % at most → 100 % on 2013-02-04",
    ),
    "words": (
        lambda f: f.assign(temp="warm"), "null_share", "temp", "warning",
        "temp: nulls 0 % at most → 100 % on 2013-02-04",
    ),
    "stuck": (
        lambda f: f.assign(wind=12.5), "constant", "wind", "warning",
        "wind: a single value on 2013-02-04, never fewer than 176 before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_is_told_at_once_on_its_first_day(fault: str) -> None:
    broken, kind, column, severity, said = BROKEN[fault]
    (found,) = faults(broken(frame(TODAY)))
    assert (found.kind, found.column, found.severity, found.at_once) == (kind, column, severity, True)
    assert found.message == said


def test_when_all_codes_change_it_is_told_in_a_sentence_each_way() -> None:
    def day(at: date, case: str) -> pd.DataFrame:
        made = frame(at)
        return made.assign(carrier=[f"{case}{min(row % 7, 4)}" for row in range(len(made))])

    reference = pd.concat([day(FIRST + timedelta(days=n), "C") for n in range(DAYS)], ignore_index=True)
    known = profile(reference, COLUMNS, DRIFT)
    found = structural_faults(TODAY, counted(day(TODAY, "c")), known, DRIFT, {}, yesterday=None)
    said = [finding.message for finding in found]
    assert said == [
        (
            "carrier: 5 categories are gone: C4 (42 % → 0 % of rows), C0 (14 % → 0 % of rows), C1 (14 % → 0 % of rows) "
            "and 2 more on 2013-02-04"
        ),
        (
            "carrier: 5 categories are new: c4 (0 % → 42 % of rows), c0 (0 % → 14 % of rows), c1 (0 % → 14 % of rows) "
            "and 2 more on 2013-02-04"
        ),
    ]


def test_the_environment_alarms_where_the_champion_leans_on_it() -> None:
    (found,) = faults(frame(TODAY).assign(temp=np.nan), temp=True)
    assert (found.severity, found.matters) == ("alarm", True)
    (found,) = faults(frame(TODAY).assign(temp=np.nan), temp=False)
    assert (found.severity, found.matters) == ("warning", False)


def test_a_category_that_stays_away_on_that_weekday_is_not_missed() -> None:
    saturday = TODAY + timedelta(days=5)
    assert saturday.weekday() == 5
    assert faults(frame(saturday), day=saturday) == ()
    monday = frame(TODAY)
    assert [found.kind for found in faults(monday[monday["carrier"] != "SAT"])] == ["vanished_category"]


@pytest.mark.parametrize(("rows", "missed"), [(20, False), (200, True)])
def test_a_category_is_missed_only_where_rows_enough_were_expected(rows: int, missed: bool) -> None:
    found = faults(frame(TODAY, rows=rows).assign(carrier="AA"))
    assert any(finding.kind == "vanished_category" for finding in found) is missed


@pytest.mark.parametrize(("newcomers", "told"), [(3, False), (9, False), (12, True)])
def test_a_new_category_is_told_with_its_share_and_rows_enough(newcomers: int, told: bool) -> None:
    rows = frame(TODAY)
    found = faults(rows.assign(carrier=rows["carrier"].where(rows.index >= newcomers, "ZZ")))
    assert bool(found) is told
    rare = frame(TODAY, rows=2000)
    assert faults(rare.assign(carrier=rare["carrier"].where(rare.index >= newcomers, "ZZ"))) == ()


@pytest.mark.parametrize(("share", "told"), [(0.3, False), (0.5, False), (0.7, True)])
def test_nulls_are_held_against_the_worst_day_of_the_reference(share: float, told: bool) -> None:
    rows = frame(TODAY)
    found = faults(rows.assign(gust=rows["gust"].fillna(20.0).mask(rows.index < share * len(rows))))
    assert [finding.kind for finding in found] == (["null_share"] if told else [])


@pytest.mark.parametrize(("rows", "stuck"), [(20, False), (200, True)])
def test_a_single_category_all_day_is_stuck_where_rows_enough_would_have_shown_another(rows: int, stuck: bool) -> None:
    found = faults(frame(TODAY, rows=rows).assign(carrier="unknown"))
    assert any((f.kind, f.column, f.severity) == ("constant", "carrier", "alarm") for f in found) is stuck


def test_a_column_that_was_single_valued_before_is_not_stuck() -> None:
    calm = REFERENCE.assign(wind=REFERENCE["wind"].where(REFERENCE["day"] != FIRST.isoformat(), 0.0))
    known = profile(calm, COLUMNS, DRIFT)
    assert structural_faults(TODAY, counted(frame(TODAY).assign(wind=0.0)), known, DRIFT, {}) == ()


class TestRepeats:
    YESTERDAY = frame(TODAY - timedelta(days=1))

    def test_a_feed_that_stands_still_in_several_columns_alarms_whatever_their_role(self) -> None:
        rows = frame(TODAY).assign(**{name: self.YESTERDAY[name] for name in ("temp", "wind", "gust")})
        found = faults(rows, before=self.YESTERDAY)
        assert {(f.kind, f.column, f.severity) for f in found} == {
            ("constant", name, "alarm") for name in ("temp", "wind", "gust")
        }
        assert "the very values of the day before, as never before, and so in 3 columns" in found[0].message

    def test_a_day_that_came_twice_alarms(self) -> None:
        found = faults(self.YESTERDAY, before=self.YESTERDAY)
        assert {f.column for f in found if f.severity == "alarm"} == {"minute", "temp", "wind", "gust"}

    def test_one_or_two_columns_may_repeat_by_chance(self) -> None:
        rows = frame(TODAY).assign(temp=self.YESTERDAY["temp"], wind=self.YESTERDAY["wind"])
        assert faults(rows, before=self.YESTERDAY) == ()

    def test_one_column_of_many_numbers_that_days_never_share_is_enough(self) -> None:
        """An adopter may have one such column only: the others are categories, or counts of a few."""
        earlier = frame(TODAY - timedelta(days=2))
        rows = frame(TODAY).assign(wind=self.YESTERDAY["wind"])
        found = faults(rows, before=self.YESTERDAY, earlier=earlier)
        assert [(f.kind, f.column, f.severity) for f in found] == [("constant", "wind", "alarm")]
        assert found[0].message == f"wind: on {TODAY} the very values of the day before, as never before"

    @pytest.mark.parametrize("name", ["temp", "wind"])
    def test_one_column_whose_days_share_most_numbers_or_have_few_may_repeat(self, name: str) -> None:
        alike = self.YESTERDAY.assign(day="2013-02-02")
        rows = frame(TODAY).assign(**{name: self.YESTERDAY[name]})
        assert faults(rows, before=self.YESTERDAY, earlier=alike) == ()
        few = self.YESTERDAY.assign(**{name: self.YESTERDAY[name].round(-1)})
        earlier = frame(TODAY - timedelta(days=2)).assign(**{name: 0.5})
        assert faults(frame(TODAY).assign(**{name: few[name]}), before=few, earlier=earlier) == ()

    def test_what_repeated_in_the_reference_says_nothing(self) -> None:
        """Schedules repeat from day to day: they would, on a healthy day too."""
        same = pd.concat([self.YESTERDAY.assign(day=day) for day in REFERENCE["day"].unique()], ignore_index=True)
        known = profile(same, COLUMNS, DRIFT)
        yesterday = counted(self.YESTERDAY)
        assert structural_faults(TODAY, yesterday, known, DRIFT, {}, yesterday=yesterday) == ()

    def test_without_the_day_before_nothing_is_compared(self) -> None:
        assert faults(self.YESTERDAY) == ()


def test_a_day_in_parts_counts_as_the_whole() -> None:
    rows = frame(TODAY)
    for column in COLUMNS:
        categorical = column == "carrier"
        parts = [count(rows[column].iloc[at : at + 60], categorical=categorical) for at in range(0, 200, 60)]
        together = parts[0]
        for part in parts[1:]:
            together = together.and_also(part)
        assert together == count(rows[column], categorical=categorical)


def test_days_that_are_counted_together_are_what_each_is_by_itself() -> None:
    chance, rows = np.random.default_rng(1), 2000
    reference = pd.DataFrame(
        {
            "day": chance.choice([(FIRST + timedelta(days=number)).isoformat() for number in range(DAYS)], rows),
            "carrier": chance.choice(["AA", "BB", "SAT", None], rows),
            "minute": np.where(chance.random(rows) < 0.1, np.nan, chance.integers(0, 60, rows)),
            "temp": np.where(chance.random(rows) < 0.01, np.inf, chance.normal(size=rows)),
            "wind": pd.Series(chance.choice(np.array([1, 2.5, "n/a", None], dtype=object), rows), dtype=object),
            "gust": pd.Series([None] * rows, dtype=object),
        }
    )
    reference.loc[5, "day"] = None
    found = profile(reference, COLUMNS, DRIFT)
    for name in COLUMNS:
        categorical = found[name].categorical
        by_day = {date.fromisoformat(str(day)): values for day, values in reference.groupby("day")[name]}
        counted = {day: count(values, categorical=categorical) for day, values in by_day.items()}
        assert found[name] == profile_of(counted, categorical=categorical, drift=DRIFT)
    assert {name for name in COLUMNS if found[name].categorical} >= {"carrier", "wind"}


def test_so_many_categories_that_nobody_could_keep_them_leave_the_common_ones() -> None:
    values = pd.Series([f"id{n}" for n in range(30_000)] + ["AA"] * 1000)
    found = count(values, categorical=True)
    assert (len(found.counts), found.counts["AA"], found.rows) == (10_000, 1000, 31_000)


def test_a_profile_survives_json() -> None:
    from ml.core.monitoring.day_columns import ColumnProfile

    for known in KNOWN.values():
        assert ColumnProfile.model_validate_json(known.model_dump_json()) == known


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (["EWR", "EWR", "JFK"], ["EWR"], "JFK's share 33 % → 0 %"),
        ([9.0, 10.0, 11.0], [16.0, 16.1, 17.0], "median 10 → 16.1"),
        ([0.0, 0.0, 0.0, 1.5], [0.0, 0.0, 0.0, 15.0], "mean 0.375 → 3.75"),
        ([-1.0, 0.0, 1.0], [-5.0, 0.0, 5.0], "standard deviation 0.816 → 4.08"),
        ([0, 0, 0, 1], [0, 1], "rate 25 % → 50 %"),
        ([True, False], [True], "False's share 50 % → 0 %"),
        ([1.0, 2.0], [None, None], "nulls 0 % → 100 %"),
        ([1.0, 2.0], [1.0, 2.0], ""),
        (["A", "B"], ["A", "B"], ""),
        ([1.0], [], ""),
        ([None], [None], ""),
        ([1012.0, 1013.0], [1500.0, 1600.0], "median 1,012 → 1,550"),
    ],
)
def test_a_change_is_put_in_words(before: list[object], now: list[object], said: str) -> None:
    assert change_in_words(pd.Series(before), pd.Series(now)) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (0.0004, "0.1 %"), (0.05, "5 %"), (0.9999, "99.9 %"), (1, "100 %")]
)
def test_a_share_that_is_there_is_never_none_and_never_all(share: float, said: str) -> None:
    assert percent(share) == said


class TestColumnsOfAnotherType:
    DAY = date(2013, 6, 30)

    def found(self, name: str, kind: Any, column: str = "carrier") -> tuple[Finding, ...]:
        return type_changes(self.DAY, {self.DAY: {column: name}}, {column: kind}, Drift(structural=("carrier",)), {})

    def test_text_where_the_reference_has_numbers_is_an_alarm_on_its_first_day(self) -> None:
        (finding,) = self.found("string", "number")
        assert (finding.kind, finding.severity, finding.at_once) == ("type_change", "alarm", True)
        assert "string on 2013-06-30, but number in the champion's reference" in finding.message

    def test_it_only_warns_of_a_column_that_nobody_needs(self) -> None:
        assert [finding.severity for finding in self.found("string", "number", "note")] == ["warning"]

    @pytest.mark.parametrize(("name", "kind"), [("int64", "number"), ("float32", "number"), ("null", "text")])
    def test_another_width_or_no_value_at_all_is_no_change(self, name: str, kind: str) -> None:
        assert self.found(name, kind) == ()
