"""What exports of spreadsheets and databases hold: parts of times in several columns, rows without a name, few days."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from ml.core.adoption import limits
from ml.core.adoption.answers import Answers
from ml.core.adoption.facts import see
from ml.core.adoption.grain import Grain
from ml.core.adoption.holdouts import choose_holdout, history_days
from ml.core.adoption.origins import Location
from ml.core.adoption.proposal import propose_model
from ml.core.adoption.recipes import Recipe, Validated
from ml.core.adoption.refits import refit_bound
from ml.core.adoption.samples import Sample
from ml.core.adoption.suites import suites
from ml.core.adoption.times import read_instants
from ml.core.data.suite_proposals import propose_predictions, propose_suite, propose_window
from ml.errors import SettingsError
from ml.settings import Features, Fit, Task
from ml.views.adopted_params import flow
from ml.yaml_file import parse

DAYS = 40


def orders(**columns: Any) -> pd.DataFrame:
    """Return four rows a day as text, two of which are the same but for what they cost."""
    chance = np.random.default_rng(5)
    day = pd.Series(np.repeat(pd.date_range("2024-03-01", periods=DAYS), 4))
    size = np.tile(["M", "M", "L", "S"], DAYS)
    cost = chance.normal(12, 2, 4 * DAYS).round(2)
    table = pd.DataFrame({"sold": day.dt.strftime("%Y-%m-%d"), "size": size, "cost": cost, **columns})
    return table.astype(str).astype(object)


class TestTimesInSeveralColumns:
    CLOCKS = np.tile(["9:05 AM", "11:59:30 PM", "12:00 PM", "1:30PM"], DAYS)

    def test_a_time_of_day_beside_a_date_becomes_one_instant_where_a_copy_is_made(self) -> None:
        seen = see(Sample(orders(at=self.CLOCKS), True, changed=("fields are separated by ';'",)), Answers("cost"))
        assert seen.time.name == "time" and "sold and at become one column, time" in seen.changed
        shown = seen.time.instants.iloc[:4].dt.strftime("%d %H:%M:%S").tolist()
        assert shown == ["01 09:05:00", "01 23:59:30", "01 12:00:00", "01 13:30:00"]
        assert seen.grain.days == DAYS and seen.grain.times_of_day == 4

    def test_a_table_that_is_read_as_it_is_gets_no_copy_for_its_time_of_day(self) -> None:
        key = np.tile(["a", "b", "c", "d"], DAYS)
        seen = see(Sample(orders(at=self.CLOCKS, till=key), True), Answers("cost"))
        assert seen.time.name == "sold" and seen.changed == ()

    def test_two_times_of_day_are_not_guessed_between(self) -> None:
        table = orders(at=self.CLOCKS, until=self.CLOCKS, till=np.tile(["a", "b", "c", "d"], DAYS))
        seen = see(Sample(table, True, changed=("fields are separated by ';'",)), Answers("cost"))
        assert seen.time.name == "sold"

    def test_a_month_is_dated_by_its_first_day(self) -> None:
        months = pd.period_range("2015-01", periods=60, freq="M")
        table = pd.DataFrame({"year": months.year, "month": months.month, "sales": np.arange(60) % 7})
        seen = see(Sample(table.astype(str).astype(object), True), Answers("sales"))
        assert seen.changed[0] == "year, month become one column, time, the first day of the month"
        assert seen.table["day"].iloc[[0, -1]].tolist() == ["2015-01-01", "2019-12-01"]

    @pytest.mark.parametrize("written", ["Mar 31 2024 11:38AM", "3/31/2024 1:05PM"])
    def test_a_clock_without_a_blank_before_am_is_read(self, written: str) -> None:
        assert read_instants(pd.Series([written], name="at"), certain=True) is not None


class TestRowsWithoutAName:
    def test_they_are_refused_with_a_move_that_works(self) -> None:
        table = orders()
        with pytest.raises(SettingsError, match="--number-rows"):
            see(Sample(table, True), Answers("cost"))
        table.loc[5, "sold"] = None
        seen = see(Sample(table, True), Answers("cost", number_rows=True))
        assert seen.key.columns == ("row_of_day",) and seen.key.repeated == 0
        assert seen.table["row_of_day"].tolist() == [1, 2, 3, 4, 1, 2, 3, *[1, 2, 3, 4] * (DAYS - 2)]
        assert any("row_of_day" in words for words in seen.changed)
        assert "row_of_day" not in {*seen.columns.categories, *seen.columns.numeric}

    def test_rows_that_are_alike_all_stay(self) -> None:
        table = orders(cost=["5", "5", "7", "9"] * DAYS)
        seen = see(Sample(table, True), Answers("cost", number_rows=True))
        assert len(seen.table) == 4 * DAYS and seen.key.repeated == 0

    def test_answers_of_a_person_are_taken_beside_the_numbers(self) -> None:
        sample = Sample(orders(), True)
        first = see(sample, Answers("cost", number_rows=True))
        assert see(sample, first.answers).key == first.key

    @pytest.mark.parametrize(
        ("sample", "answers", "words"),
        [
            (Sample(orders(), True, labels=orders()), {}, "labels in a table of their own"),
            (Sample(orders(), True), {"key": ("size",)}, "leave --key out"),
        ],
    )
    def test_a_number_that_could_not_be_kept_is_refused(
        self, sample: Sample, answers: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(SettingsError, match=words):
            see(sample, Answers("cost", number_rows=True, **answers))


class TestOneRowADay:
    TASK = Task(name="rain", kind="regression", target="rain", key=("day",), label_delay_days=1)

    def test_a_key_of_one_column_is_unique_by_itself_since_great_expectations_takes_no_set_of_one(self) -> None:
        days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
        inputs = pd.DataFrame({"day": days, "wind": np.arange(60) % 7 / 2})
        labels = pd.DataFrame({"day": days, "rain": np.arange(60) % 5 / 4})
        of_inputs = propose_suite(inputs, asset="inputs", task=self.TASK)
        of_labels = propose_suite(labels, asset="labels", task=self.TASK)
        window = propose_window(of_inputs, of_labels, self.TASK)
        for proposals in (of_inputs, of_labels, window, propose_predictions(of_inputs, self.TASK)):
            unique = [proposed for proposed in proposals if proposed.type.endswith("be_unique")]
            assert [(one.type, one.kwargs) for one in unique] == [
                ("expect_column_values_to_be_unique", {"column": "day"})
            ]


@pytest.mark.parametrize(
    ("days", "calendar_days", "rows", "landed"),
    [
        (700, 700, 24, 365), (500, 700, 24, 365), (104, 728, 24, 728), (60, 1800, 1, 1800), (1000, 7000, 24, 2555),
        (1461, 1461, 1, 1095), (700, 700, 2, 700),
    ],
)  # fmt: skip
def test_data_of_which_a_year_holds_little_are_landed_for_longer(
    days: int, calendar_days: int, rows: float, landed: int
) -> None:
    grain = Grain("2010-01-01", "2020-01-01", days, calendar_days, rows, 1, 0)
    assert history_days(calendar_days, grain) == landed


def validated(kind: str, truth: np.ndarray, rows_per_day: int) -> Validated:
    """Return what a recipe did that is a little better than the base rate."""
    days = np.repeat(pd.date_range("2024-01-01", periods=len(truth) // rows_per_day).strftime("%Y-%m-%d"), rows_per_day)
    recipe = Recipe("linear", Features(numeric=("x",)), Fit(estimator="sklearn.linear_model.Ridge"))
    base = float(truth.mean())
    rows = pd.DataFrame({"day": days, "truth": truth, "predicted": (truth + base) / 2, "base": base, "fold": 0})
    return Validated(recipe, rows, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows_per_day", "days", "longest"), [(1, 1095, 70), (1, 365, 70), (1, 200, 28), (24, 365, 28)]
)
def test_a_holdout_of_one_row_a_day_has_more_than_four_weeks(rows_per_day: int, days: int, longest: int) -> None:
    chance = np.random.default_rng(3)
    best = validated("regression", chance.normal(0, 1, 280 * rows_per_day), rows_per_day)
    grain = Grain("2024-01-01", "2026-12-31", days, days, rows_per_day, 1, 0)
    held = choose_holdout(best, [best], grain, days=days).days
    assert held == longest if rows_per_day == 1 else held <= longest


def test_a_refit_may_differ_by_what_trending_data_move_it() -> None:
    task = Task(name="price", kind="regression", target="price", key=("day", "x"), label_delay_days=1)
    days = np.repeat(pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d"), 5)
    x = np.tile(np.arange(5.0), 100)
    recipe = Recipe("linear", Features(numeric=("x",)), Fit(estimator="sklearn.linear_model.Ridge"))
    trend = np.repeat(np.arange(100.0) ** 2 / 300, 5)
    calm = pd.DataFrame({"day": days, "x": x, "price": 3 * x})
    assert refit_bound(recipe, calm, task, days=100, holdout_days=21) is None
    moved = refit_bound(recipe, calm.assign(price=3 * x + trend), task, days=100, holdout_days=21)
    assert moved is not None and moved > 0.5
    assert refit_bound(recipe, calm, task, days=20, holdout_days=21) is None


def test_the_past_that_is_served_is_written_so_that_dvc_reads_it() -> None:
    text = flow({"from": date(2024, 1, 1).isoformat()})
    assert text == '{from: "2024-01-01"}' and parse(text) == {"from": "2024-01-01"}


def test_days_of_one_row_beside_days_of_many_are_within_the_bounds_of_their_own_past() -> None:
    counts = np.random.default_rng(2).choice([1, 60, 80], 400, p=[0.05, 0.5, 0.45])
    days = pd.Series(np.repeat(pd.date_range("2023-01-01", periods=400).strftime("%Y-%m-%d"), counts))
    (low, _), _ = limits.row_count_ratio(days)
    assert low * 80 < 1


class TestNumbersWrittenAsText:
    """Parquet and databases say that a column is text: nobody makes numbers of it without being asked."""

    TEMPS = tuple(f"{number / 10:.1f}".replace(".", ",") for number in range(4 * DAYS))

    def test_a_target_names_what_to_do_and_not_another_column(self) -> None:
        table = orders(temp=self.TEMPS)
        with pytest.raises(SettingsError, match="numbers that are written as text, such as 0,0"):
            see(Sample(table, False, has_types=True), Answers("temp", number_rows=True))
        assert see(Sample(table, True), Answers("temp", number_rows=True)).target.kind == "regression"

    def test_a_column_is_left_out_and_named(self) -> None:
        table = orders(temp=[f"{text} °C" for text in self.TEMPS]).assign(cost=np.arange(4.0 * DAYS) % 7)
        seen = see(Sample(table, False, has_types=True), Answers("cost", number_rows=True))
        assert "written as text, such as 0,0 °C" in seen.columns.left_out["temp"]

    def test_codes_of_digits_stay_categories(self) -> None:
        codes = np.tile([f"{10000 + 7 * number}" for number in range(40)], DAYS // 10)
        table = orders(code=codes).assign(cost=np.arange(4.0 * DAYS) % 7)
        seen = see(Sample(table, False, has_types=True), Answers("cost", number_rows=True))
        assert "code" in seen.columns.categories


class TestOutcomesThatEnded:
    def test_rows_long_after_the_last_outcome_are_not_taken_for_a_label_delay(self) -> None:
        table = orders(hurt=np.tile(["yes", "no", "no", "yes"], DAYS)).assign(till=np.tile(["a", "b", "c", "d"], DAYS))
        table = pd.concat([table, table.assign(sold=lambda rows: rows["sold"].str.replace("2024-", "2025-"))])
        table = table.reset_index(drop=True)
        table.loc[table["sold"] > "2024-04-05", "hurt"] = None
        seen = see(Sample(table, True), Answers("hurt"))
        assert (seen.grain.last_day, seen.delay.days, seen.delay.is_certain) == ("2024-04-05", 1, False)
        assert "--label-delay-days" in seen.set_apart[0] and "after 2024-04-05 have no hurt" in seen.set_apart[0]
        said = see(Sample(table, True), Answers("hurt", label_delay_days=400))
        assert len(said.table) == len(table) and said.delay.days == 400

    def test_outcomes_that_are_still_to_come_are_a_delay(self) -> None:
        table = orders(hurt=np.tile(["yes", "no", "no", "yes"], DAYS)).assign(till=np.tile(["a", "b", "c", "d"], DAYS))
        table.loc[table["sold"] > "2024-03-25", "hurt"] = None
        seen = see(Sample(table, True), Answers("hurt"))
        assert (seen.delay.days, seen.delay.is_certain, seen.set_apart) == (15, True, ())

    def test_days_on_which_most_outcomes_are_missing_are_within_the_contract(self) -> None:
        table = orders(hurt=np.tile(["yes", "no", "no", "yes"], DAYS)).assign(till=np.tile(["a", "b", "c", "d"], DAYS))
        table.loc[(table.index % 8).isin([1, 2, 3]), "hurt"] = None
        with threadpool_limits(1):
            proposal = propose_model(
                see(Sample(table, True), Answers("hurt")),
                name="hurt",
                location=Location("t.csv"),
                today=date(2024, 4, 12),
            )
        asked = next(p for p in suites(proposal)["labels"] if "proportion_of_non_null" in p.type)
        assert asked.kwargs["min_value"] < 0.25
