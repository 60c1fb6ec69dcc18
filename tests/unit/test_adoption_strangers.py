"""What tables of strangers hold: numbers that are names, words among numbers, months, days ahead, odd column names."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.conditions import parse_term
from ml.core.adoption import replays
from ml.core.adoption.answers import Answers
from ml.core.adoption.columns import sort_columns
from ml.core.adoption.day_gaps import measure_gaps
from ml.core.adoption.facts import see
from ml.core.adoption.gate_rules import auc_by_chance, slice_columns
from ml.core.adoption.grain import measure_grain, parts_worth
from ml.core.adoption.keys import find_key
from ml.core.adoption.recipes import Recipe, Validated
from ml.core.adoption.samples import Sample
from ml.core.adoption.sections import _max_age
from ml.core.adoption.targets import describe_target
from ml.core.adoption.texts import read_text
from ml.errors import SettingsError
from ml.settings import Features, Fit

DAYS = pd.date_range("2026-01-01", periods=60).strftime("%Y-%m-%d")


def days(rows: int) -> pd.Series:
    return pd.Series(np.repeat(DAYS, rows), name="day")


class TestNumbersThatAreNames:
    @pytest.mark.parametrize("name", ["region_id", "Kunden-Nr.", "Kundennummer", "storeId", "bot_id_str", "customerid"])
    def test_those_that_come_again_are_categories(self, name: str) -> None:
        table = pd.DataFrame({"day": days(40), name: np.tile(np.arange(100.0, 140.0), 60)})
        columns = sort_columns(table, [name], left_out={})
        assert columns.texts == (name,) and columns.left_out == {}

    def test_many_of_them_are_categories_with_many_values(self) -> None:
        chance = np.random.default_rng(0)
        table = pd.DataFrame({"day": days(40), "customer_id": chance.integers(0, 500, 2400)})
        assert sort_columns(table, ["customer_id"], left_out={}).many == ("customer_id",)

    @pytest.mark.parametrize("dtype", ["int64", "float64"])
    def test_those_that_hardly_come_again_name_rows(self, dtype: str) -> None:
        numbers = np.random.default_rng(0).integers(0, 10**15, 2400).astype(dtype)
        table = pd.DataFrame({"day": days(40), "tweet_id_str": numbers, "patient_no": numbers % 3000})
        columns = sort_columns(table, ["tweet_id_str", "patient_no"], left_out={})
        assert set(columns.left_out) == {"tweet_id_str", "patient_no"}
        assert all("names rows" in reason for reason in columns.left_out.values())

    def test_those_that_are_new_on_the_newest_days_teach_nothing(self) -> None:
        table = pd.DataFrame({"day": days(40), "session_id": np.arange(2400) // 10 * 977 % 100_003})
        assert "newest days" in sort_columns(table, ["session_id"], left_out={}).left_out["session_id"]

    @pytest.mark.parametrize("name", ["humid", "number of rooms", "price"])
    def test_amounts_stay_numbers(self, name: str) -> None:
        table = pd.DataFrame({"day": days(40), name: np.tile(np.arange(100.0, 140.0), 60)})
        assert sort_columns(table, [name], left_out={}).numbers == (name,)


class TestKeys:
    def test_the_number_of_a_row_goes_before_columns_that_some_rows_repeat(self) -> None:
        table = pd.DataFrame({"day": days(40), "at": np.tile(np.arange(40), 60).astype(str), "ticket": np.arange(2400)})
        table.loc[1, "at"] = "0"
        assert find_key(table, time="at", target="y").columns == ("ticket",)
        named = table.rename(columns={"at": "order_id"})
        assert find_key(named, time="t", target="y").columns == ("order_id",)  # a name of a key, repeated or not

    def test_remarks_of_several_words_are_no_key(self) -> None:
        words = [f"a b c d e {number}" for number in range(2400)]
        table = pd.DataFrame({"day": days(40), "remark": words, "Kunden-Nr.": np.arange(2400)})
        assert find_key(table, time="t", target="y").columns == ("Kunden-Nr.",)

    def test_a_column_that_could_be_one_but_for_its_name_is_named(self) -> None:
        table = pd.DataFrame({"day": days(40), "row": [f"r{number}" for number in range(2400)], "y": 0.5})
        with pytest.raises(SettingsError, match="row can be none, since Evergreen has a column of that name: rename"):
            find_key(table, time="t", target="y")


class TestWordsAmongNumbers:
    NUMBERS = tuple(f"{number / 8}" for number in range(400))

    def test_few_words_in_few_rows_are_nulls_and_said(self) -> None:
        read = read_text(pd.Series([*self.NUMBERS, "unknown", "n/a", "pending"], dtype=object))
        assert read.kind == "float64" and read.column.isna().sum() == 3
        assert read.changed == "n/a, pending, unknown are read as nulls"

    def test_they_are_said_beside_what_else_was_changed(self) -> None:
        written = [number.replace(".", ",") for number in self.NUMBERS]
        read = read_text(pd.Series([*written, "unbekannt"], dtype=object))
        assert read.kind == "float64" and "decimal commas" in read.changed and "unbekannt" in read.changed

    @pytest.mark.parametrize(
        "values",
        [
            [str(number) for number in range(10)] * 40 + ["x"],  # a grade with a letter
            [*NUMBERS, *["a", "b", "c", "d"]],  # more words
            [*NUMBERS, *["unknown"] * 100],  # in many rows
            [*NUMBERS, "12a"],  # a code
        ],
    )
    def test_other_words_are_values(self, values: list[str]) -> None:
        assert read_text(pd.Series(values, dtype=object)).kind == "string"

    @pytest.mark.parametrize("value", ["{},5", "{},5 km", "1.{:03d},0"])
    def test_numbers_of_which_most_rows_have_none_are_numbers(self, value: str) -> None:
        written = [value.format(number) for number in range(100, 140)]
        read = read_text(pd.Series([*written, *[None] * 200], dtype=object))
        assert read.kind == "float64" and read.column.notna().sum() == 40


class TestMonths:
    MONTHS = pd.Series(pd.date_range("2020-01-01", "2026-11-01", freq="MS"))

    def test_the_weekday_of_the_first_of_a_month_says_nothing(self) -> None:
        grain = measure_grain(self.MONTHS.dt.strftime("%Y-%m-%d"), self.MONTHS)
        assert grain.days_apart == 30 and "weekday" not in parts_worth(grain)
        every_day = pd.Series(pd.date_range("2026-01-01", periods=60))
        assert "weekday" in parts_worth(measure_grain(every_day.dt.strftime("%Y-%m-%d"), every_day))

    def test_last_months_data_are_those_of_today(self) -> None:
        today, last = date(2026, 12, 1), date(2026, 11, 1)
        assert not replays.is_past(last, today, label_delay_days=1, days_apart=30)
        assert replays.is_past(last, today, label_delay_days=1)
        assert replays.is_past(date(2026, 9, 1), today, label_delay_days=1, days_apart=30)

    def test_a_challenger_waits_for_two_months_of_data(self) -> None:
        assert (_max_age(30)[0], _max_age(7)[0], _max_age(1)[0]) == (60, 14, 14)

    def test_how_often_data_come_is_said(self) -> None:
        gaps = measure_gaps(self.MONTHS.dt.strftime("%Y-%m-%d"))
        assert gaps.reason == "rows come every 28 to 31 days" and (gaps.every_days, gaps.empty_days) == (31, 0)


class TestDaysAhead:
    @staticmethod
    def sample(share_ahead: float) -> Sample:
        table = pd.DataFrame(
            {"at": days(40), "item": np.tile([f"i{n}" for n in range(40)], 60), "y": np.arange(2400) % 7}
        )
        table["x"] = np.random.default_rng(0).normal(size=2400).round(3)
        table.loc[table.index[-int(share_ahead * 2400) :], "at"] = "2026-06-01"
        table["item"] = [f"i{number}" for number in range(2400)]
        return Sample(table.astype(str).astype(object), True)

    def test_rows_of_days_that_have_not_come_are_not_looked_at(self) -> None:
        seen = see(self.sample(0.1), Answers("y"), today=date(2026, 3, 1))
        assert seen.grain.last_day < "2026-03-02" and len(seen.table) == 2160
        assert any("240 rows of 2026-06-01 to 2026-06-01 lie ahead by at" in words for words in seen.set_apart)

    def test_a_table_that_lies_ahead_as_a_whole_is_looked_at(self) -> None:
        seen = see(self.sample(0.1), Answers("y"), today=date(2024, 3, 1))
        assert len(seen.table) == 2400 and seen.set_apart == ()


def test_columns_of_any_name_cut_slices_by_terms_that_the_settings_take() -> None:
    chance = np.random.default_rng(0)
    named = ["2. Vertrag?", "time in hospital", "a`b", "Größe (€)"]
    table = pd.DataFrame({"day": days(40)}).assign(**{name: chance.choice(["t", "f"], 2400) for name in named})
    terms, _ = slice_columns(table, named, days=28, rows_per_day=40)
    assert [parse_term(term) for term in terms] == ["2. Vertrag?", "time in hospital", "Größe (€)"]


def test_labels_of_rows_whose_time_is_called_day_are_those_of_the_same_day() -> None:
    inputs = pd.DataFrame({"day": days(40), "machine": np.tile([f"M{n}" for n in range(40)], 60)})
    labels = inputs.assign(broken=np.random.default_rng(0).normal(size=2400).round(3).astype(str))
    seen = see(Sample(inputs, True, labels=labels), Answers("broken"))
    assert seen.table["broken"].astype(str).tolist() == labels["broken"].astype(float).astype(str).tolist()
    assert seen.set_apart == ()


class TestChanceInSmallHoldouts:
    @staticmethod
    def validated(rows: int, share: float, kind: Any = "classification") -> Validated:
        chance = np.random.default_rng(0)
        truth = (chance.random(60 * rows) < share).astype(float)
        frame = pd.DataFrame({"day": days(rows), "truth": truth, "predicted": share, "base": share, "fold": 0})
        fit = Fit(estimator="sklearn.linear_model.LogisticRegression")
        return Validated(Recipe("x", Features(numeric=("x",)), fit), frame, kind)

    def test_few_rows_of_a_class_show_much_by_chance(self) -> None:
        assert auc_by_chance(self.validated(10, 0.5), 7) == pytest.approx(0.78, abs=0.03)
        assert auc_by_chance(self.validated(10, 0.05), 7) > 0.9
        assert auc_by_chance(self.validated(2000, 0.5), 7) < 0.53
        assert auc_by_chance(self.validated(10, 0.5, "regression"), 7) == 0

    def test_days_of_few_rows_count_beside_days_of_many(self) -> None:
        many = self.validated(400, 0.5)
        few = many.rows.loc[(many.rows["day"] == DAYS[20]) | (many.rows.groupby("day").cumcount() < 10)]
        assert auc_by_chance(Validated(many.recipe, few, "classification"), 7) > 0.7


class TestSpacesAroundText:
    def test_values_that_differ_by_more_are_taken_as_they_are(self) -> None:
        written = pd.Series([" Private", " State gov", "Private house"], dtype=object)
        read = read_text(written)
        assert read.changed == "" and read.column.tolist() == written.tolist()

    @pytest.mark.parametrize("values", [["a", "a ", "b"], ["a", "  ", "b"]])
    def test_values_that_differ_by_these_alone_are_one(self, values: list[str]) -> None:
        read = read_text(pd.Series(values, dtype=object))
        assert read.changed == "spaces are cut off" and read.column.nunique() == 2

    def test_a_label_is_known_by_its_word(self) -> None:
        target = describe_target(pd.Series([" no", " yes", " no"], name="y"))
        assert (target.positive, target.negative) == (" yes", " no")
