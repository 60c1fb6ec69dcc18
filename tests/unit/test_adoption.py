"""What is seen in somebody's table, and what is proposed for it, each from a small frame that has just that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from ml import yaml_file
from ml.core.adoption import leaks, limits, outputs, recipes, replays
from ml.core.adoption.answers import Answers
from ml.core.adoption.columns import sort_columns, useless
from ml.core.adoption.day_gaps import DayGaps, measure_gaps
from ml.core.adoption.facts import Facts, see
from ml.core.adoption.gate_rules import gate_rows, gate_rules
from ml.core.adoption.grain import Grain, parts_worth
from ml.core.adoption.holdouts import choose_holdout, least_days, past_refreshes
from ml.core.adoption.keys import find_key
from ml.core.adoption.origins import Location, with_iso_time
from ml.core.adoption.proposal import Proposal, propose_model
from ml.core.adoption.recipes import Validated
from ml.core.adoption.samples import Sample, typed_columns
from ml.core.adoption.seasons import without_season
from ml.core.adoption.spread import spread_of
from ml.core.adoption.suites import suites
from ml.core.adoption.targets import describe_target, measure_delay
from ml.core.adoption.texts import read_text
from ml.core.adoption.times import find_time, read_instants
from ml.core.data.time_parts import part_of
from ml.core.monitoring.drift import FEWEST_ROWS, never_measured
from ml.errors import SettingsError
from ml.names import alike
from ml.settings import Drift, Features, Fit, Task, parse
from ml.steps.retrain.past_refreshes import MOST_REFRESHES, measure
from ml.views.adopted_params import _entry, params_text, scalar
from ml.views.adopted_summary import summary

TODAY = date(2026, 11, 28)


def texts(*values: str | None) -> pd.Series:
    return pd.Series(list(values), dtype=object, name="x")


class TestTexts:
    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (("1", "2"), "int64"),
            (("1", None), "float64"),
            (("1.5", "2e3"), "float64"),
            (("1.5", "-inf", "Infinity"), "float64"),
            (("inf", "-inf"), "string"),
            (("01067", "10115"), "string"),
            (("true", "False"), "bool"),
            (("yes", "no"), "string"),
            (("12345678901234567890", "1"), "float64"),
        ],
    )
    def test_a_column_has_the_type_that_all_its_values_ask_for(self, values: Any, kind: str) -> None:
        read = read_text(texts(*values))
        assert (read.kind, read.changed) == (kind, "")

    @pytest.mark.parametrize(
        ("values", "numbers", "words"),
        [
            (("1.204,5", "3,25"), [1204.5, 3.25], "decimal commas"),
            (("1,204.5", "3"), [1204.5, 3.0], "thousands"),
            (("NA", "2", "3"), [np.nan, 2, 3], "NA is read as a null"),
            ((" 2", "3 "), [2, 3], "spaces"),
        ],
    )
    def test_numbers_that_the_source_would_not_read_are_read_and_said(
        self, values: Any, numbers: list[float], words: str
    ) -> None:
        read = read_text(texts(*values))
        assert words in read.changed
        np.testing.assert_array_equal(read.column.to_numpy(dtype=float), numbers)

    @pytest.mark.parametrize(
        ("others", "written", "numbers"),
        [
            (("0.5", "12.25"), ("1,204", "356", "12,500"), [1204, 356, 12500]),
            (("0,5", "12,25"), ("1,204", "356", "12,500"), [1.204, 356, 12.5]),
            (("0,5", "12,25"), ("1.204", "356", "12.500"), [1204, 356, 12500]),
            (("0.5", "12.25"), ("1.204", "356", "12.500"), [1.204, 356, 12.5]),
            (("a", "b"), ("1.204", "356", "12.500"), [1.204, 356, 12.5]),
            (("a", "b"), ("1,204,000", "356", "12,500"), [1204000, 356, 12500]),
            (("1,204.5", "3"), (" 1,204", "NA", "$"), None),
        ],
    )
    def test_the_mark_before_decimals_is_that_of_the_whole_table(
        self, others: Any, written: Any, numbers: list[float] | None
    ) -> None:
        table = pd.DataFrame({"other": texts(*others, None)[: len(written)], "x": texts(*written)})
        typed, types, _ = typed_columns(Sample(table, True))
        if numbers is None:
            assert types["x"] == "string"
        else:
            assert typed["x"].tolist() == numbers

    def test_a_mark_that_no_other_column_explains_is_never_guessed(self) -> None:
        table = pd.DataFrame({"day": ["2024-01-01", "2024-01-02"], "x": texts("1,204", "356")})
        typed, types, _ = typed_columns(Sample(table, True))
        assert types["x"] == "string"
        assert "such as 1,204" in useless(typed["x"], typed["day"])
        with pytest.raises(SettingsError, match="such as 1,204.* a point before decimals"):
            describe_target(typed["x"])
        assert find_key(table.assign(shop=[1, 1]), time="day", target="y").columns == ()

    @pytest.mark.parametrize(
        ("written", "numbers", "words"),
        [
            (("$1,204.50", "$3"), [1204.5, 3], "$ is cut off"),
            (("1.204,50 €", "-3,2 €"), [1204.5, -3.2], "€ is cut off"),
            (("12.5%", "7 %"), [12.5, 7], "% is cut off"),
            (("1’204.50", "356.2"), [1204.5, 356.2], "between thousands"),
            (("12\u202f500,75", "3,25"), [12500.75, 3.25], "between thousands"),
        ],
    )
    def test_one_unit_of_all_values_is_cut_off(self, written: Any, numbers: list[float], words: str) -> None:
        read = read_text(texts(*written))
        assert words in read.changed
        np.testing.assert_array_equal(read.column.to_numpy(dtype=float), numbers)

    @pytest.mark.parametrize("written", [("$5", "€5"), ("5%", "5"), ("A5", "A6"), ("0 41 22", "12 345")])
    def test_values_of_several_units_stay_text(self, written: Any) -> None:
        assert read_text(texts(*written)).kind == "string"

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ("{} mm", "mm is cut off"),
            ("{}km/h", "km/h is cut off"),
            ("{},5\u00a0°C", "°C is cut off"),
            ("-{} units", "units is cut off"),
            ("EUR {},50", "EUR is cut off"),
            ("{},50\u00a0€", "€ is cut off"),
        ],
    )
    def test_numbers_with_a_unit_of_measure_are_numbers(self, form: str, words: str) -> None:
        read = read_text(texts(*(form.format(number) for number in range(1, 20))))
        assert read.kind == "float64"
        assert words in read.changed
        assert abs(read.column.iloc[3]) == pytest.approx(4.5 if "," in form else 4)

    def test_one_and_many_of_a_unit_are_one_unit(self) -> None:
        days = ["1 day", *(f"{number} days" for number in range(2, 20))]
        assert read_text(texts(*days)).column.tolist() == list(range(1, 20))

    @pytest.mark.parametrize(
        "written",
        [
            ["36 months", "60 months"],  # two categories, for which no copy is needed
            [f"{number}B" for number in range(20)],
            [f"{number} km" if number % 2 else f"{number} m" for number in range(20)],
            [f"0{number} kg" for number in range(20)],
        ],
    )
    def test_names_and_measures_in_several_units_stay_text(self, written: list[str]) -> None:
        assert read_text(texts(*written)).kind == "string"

    def test_words_beside_few_numbers_are_values(self) -> None:
        assert read_text(texts("NA", "NA", "NA", "1")).kind == "string"


class TestTime:
    def test_instants_with_offsets_are_read_in_utc_and_shown_by_the_clocks_of_a_zone(self) -> None:
        column = read_instants(texts("2024-03-31T22:30:00Z", "2024-04-01T02:00:00+02:00"), certain=False)
        assert column is not None and column.is_iso and column.has_offset
        assert column.local(ZoneInfo("Europe/Berlin")).dt.strftime("%Y-%m-%d %H").tolist() == [
            "2024-04-01 00",
            "2024-04-01 02",
        ]

    @pytest.mark.parametrize(
        ("values", "day"),
        [
            (("31.12.2023 08:00", "2024-01-01 09:00"), "2023-12-31"),
            (("12/31/2023", "1/2/2024"), "2023-12-31"),
            (("31/12/2023", "02/01/2024"), "2023-12-31"),
            (("12/31/23 08:00", "1/2/24 09:15"), "2023-12-31"),
            (("31-Dec-23", "02-Jan-24"), "2023-12-31"),
            (("December 31 2023", "January 2 2024"), "2023-12-31"),
            (("2023-12-31 08:00:00 PM", "2024-01-02 09:00:00 AM"), "2023-12-31"),
            (("2023-12-31 08:00:00.125 UTC", "2024-01-02 09:00:00 UTC"), "2023-12-31"),
        ],
    )
    def test_other_ways_to_write_an_instant_are_read_and_need_a_copy(self, values: Any, day: str) -> None:
        column = read_instants(texts(*values), certain=False)
        assert column is not None and not column.is_iso and column.formats
        assert column.instants.dt.strftime("%Y-%m-%d")[0] == day

    def test_the_order_of_day_and_month_is_told_by_one_value_or_by_the_rows_and_never_guessed(self) -> None:
        days = pd.Series(pd.date_range("2024-01-01", "2024-03-12"))
        early = days[days.dt.day <= 12].repeat(3)
        for form in ("%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y 08:30"):
            written = early.dt.strftime(form)
            column = read_instants(written.astype(object).rename("at"), certain=False)
            assert column is not None and not column.doubt
            assert column.instants.dt.strftime("%Y-%m-%d").tolist() == early.dt.strftime("%Y-%m-%d").tolist()
            mixed = written.sample(frac=1, random_state=1).astype(object).rename("at")
            with pytest.raises(SettingsError, match="--time at: no value tells whether .* begins with the day"):
                find_time(mixed.to_frame(), name=None)
        same = read_instants(texts("03/03/2024", "04/04/2024"), certain=False)
        assert same is not None and not same.doubt

    def test_dates_of_both_orders_are_no_dates(self) -> None:
        assert read_instants(texts("31/12/2023", "12/31/2023", "03/04/2024"), certain=False) is None

    def test_seconds_since_1970_count_where_the_name_says_so(self) -> None:
        seconds = pd.Series([1_700_000_000, 1_700_003_600], name="ts")
        column = read_instants(seconds, certain=False)
        assert column is not None and column.has_offset
        assert read_instants(seconds.rename("amount"), certain=False) is None
        for per_second in (1_000, 1_000_000, 1_000_000_000):
            finer = read_instants(seconds * per_second, certain=False)
            assert finer is not None and (finer.instants == column.instants).all()

    def test_the_time_is_never_null_and_rises(self) -> None:
        table = pd.DataFrame(
            {
                "ended": texts("2024-01-09", None, "2024-01-05"),
                "born": texts("1999-01-01", "1950-02-02", "1980-03-03"),
                "started": texts("2024-01-01", "2024-01-02", "2024-01-03"),
            }
        )
        column = find_time(table, name=None)
        assert (column.name, column.others) == ("started", ("born", "ended"))

    def test_a_table_without_instants_says_what_to_do(self) -> None:
        with pytest.raises(SettingsError, match="--time"):
            find_time(pd.DataFrame({"a": [1, 2]}), name=None)

    @pytest.mark.parametrize(("days", "has_month"), [(300, False), (364, False), (365, True)])
    def test_the_month_is_a_part_of_a_whole_year_only(self, days: int, has_month: bool) -> None:
        grain = Grain("2024-01-01", "2024-12-31", days, days, 24, 24, 60)
        assert ("month" in parts_worth(grain)) == has_month

    def test_dates_with_names_of_months_are_read(self) -> None:
        for text in ("Jan 2 2000", "2 Jan 2000", "January 2, 2000", "2-Jan-2000"):
            column = read_instants(texts(text, text.replace("2", "3", 1)), certain=False)
            assert column is not None and column.instants.dt.month.eq(1).all(), text

    def test_parts_of_an_instant(self) -> None:
        local = pd.Series(pd.to_datetime(["2024-04-01 13:45"]))
        assert [part_of(local, p)[0] for p in ("hour", "minute_of_day", "weekday", "month")] == [13, 825, 1, 4]


class TestTarget:
    @pytest.mark.parametrize(
        ("values", "kind", "positive"),
        [
            ([0, 1, 1], "classification", None),
            (["no", "yes", "no"], "classification", "yes"),
            (["DOWN", "UP", "UP"], "classification", "UP"),
            (["a", "a", "b"], "classification", "b"),
            ([True, False, False], "classification", True),
            ([1, 2, 2], "classification", 2),
            ([1.5, 2.5, 7.0], "regression", None),
        ],
    )
    def test_its_values_say_which_task_it_is(self, values: list[Any], kind: str, positive: Any) -> None:
        target = describe_target(pd.Series(values, name="y"))
        assert (target.kind, target.positive) == (kind, positive)

    def test_labels_that_differ_in_capitals_only_are_no_classes_of_their_own(self) -> None:
        values = texts("yes", "no", "Yes", "NO")
        with pytest.raises(SettingsError, match="NO, Yes, no, yes differ in capitals only"):
            describe_target(values)
        assert describe_target(values, kind="multiclass").kind == "multiclass"

    def test_three_texts_are_classes_and_one_value_is_nothing(self) -> None:
        assert describe_target(pd.Series(["a", "b", "c"])).classes == ("a", "b", "c")
        with pytest.raises(SettingsError, match="1 different values"):
            describe_target(pd.Series(["a", "a"], name="y"))

    def test_where_a_null_is_often_an_outcome_only_many_of_them_are_a_delay(self) -> None:
        days = pd.Series([f"2024-01-{n:02d}" for n in range(1, 31)]).repeat(5)
        known = pd.Series(np.where(np.random.default_rng(1).random(150) < 0.6, 1.0, np.nan), index=days.index)
        assert not measure_delay(days, known.mask(days.to_numpy() >= "2024-01-30")).is_certain
        late = measure_delay(days, known.mask(days.to_numpy() >= "2024-01-24"))
        assert (late.days, late.is_certain) == (7, True)

    def test_the_delay_shows_where_the_newest_outcomes_are_not_known(self) -> None:
        days = pd.Series([f"2024-01-{n:02d}" for n in range(1, 31)])
        known = pd.Series([1.0] * 23 + [np.nan] * 7)
        delay = measure_delay(days, known)
        assert (delay.days, delay.is_certain) == (7, True)
        assert not measure_delay(days, pd.Series([1.0] * 30)).is_certain


class TestKey:
    TABLE = pd.DataFrame(
        {
            "day": ["a", "a", "b", "b"],
            "at": ["1", "2", "1", "2"],
            "shop_id": ["7", "8", "7", "8"],
            "amount": [1.5, 2.5, 1.5, 3.0],
            "y": [0, 1, 0, 1],
        }
    )

    def test_one_column_with_the_name_of_a_key_goes_before_the_time(self) -> None:
        assert find_key(self.TABLE, time="at", target="y").columns == ("shop_id",)

    def test_two_columns_where_none_alone_is_unique(self) -> None:
        doubled = pd.concat([self.TABLE, self.TABLE.assign(shop_id="9")], ignore_index=True)
        assert set(find_key(doubled, time="at", target="y").columns) == {"shop_id", "at"}

    def test_rows_that_are_the_same_in_all_columns_do_not_break_it_and_are_said(self) -> None:
        table = pd.concat([self.TABLE, self.TABLE.iloc[:1]], ignore_index=True)
        key = find_key(table, time="at", target="y")
        assert key.columns == ("shop_id",) and "quarantined" in key.reason

    def test_a_key_that_no_row_breaks_goes_before_one_that_some_rows_repeat(self) -> None:
        rows = 400
        times = [f"2024-01-01 00:{n // 60:02d}:{n % 60:02d}" for n in range(rows)]
        table = pd.DataFrame({"day": "2024-01-01", "at": [times[0], *times[:-1]], "y": np.arange(rows) * 0.5})
        assert find_key(table, time="at", target="y").columns == ("at",)
        named = table.assign(idNum=[f"17-{n:05d}" for n in range(rows)])
        assert find_key(named, time="at", target="y").columns == ("idNum",)

    def test_the_number_of_a_row_is_the_last_resort_and_humid_is_no_name_of_a_key(self) -> None:
        rows = 400
        table = pd.DataFrame(
            {
                "day": np.repeat(["a", "b"], rows // 2),
                "rownames": np.arange(1, rows + 1)[::-1],
                "humid": np.tile(np.arange(rows // 2), 2),
                "origin": np.tile(["E", "L"], rows // 2),
                "hour": np.tile(np.arange(rows // 4).repeat(2), 2).astype(str),
                "y": np.arange(rows) * 0.5,
            }
        )
        without = table.drop(columns="humid")
        assert set(find_key(without, time="t", target="y").columns) == {"origin", "hour"}
        assert find_key(without.drop(columns="hour"), time="t", target="y").columns == ("rownames",)
        humid = table.assign(humid=table["humid"] + 0.0)
        assert "humid" not in find_key(humid, time="t", target="y").columns

    def test_no_key_says_what_to_do(self) -> None:
        table = pd.DataFrame({"day": ["a"] * 3, "kind": ["k"] * 3, "y": [1.5, 2.5, 3.5]})
        with pytest.raises(SettingsError, match="--key"):
            find_key(table, time="t", target="y")
        with pytest.raises(SettingsError, match="another row"):
            find_key(table, time="t", target="y", named=["kind"])


class TestLeaks:
    def rows(self) -> pd.DataFrame:
        chance = np.random.default_rng(1)
        days = pd.date_range("2024-01-01", periods=40).repeat(30).strftime("%Y-%m-%d")
        a, b, c = (chance.integers(0, 90, len(days)).astype(float) for _ in range(3))
        y = a + b
        return pd.DataFrame({"day": days, "a": a, "b": b, "c": c, "again": 2 * y + 1, "y": y})

    def test_a_sum_that_equals_the_target_and_a_column_that_is_it_are_named(self) -> None:
        rows, columns = self.rows(), ["a", "b", "c", "again"]
        measured = leaks.strengths(rows, columns, target="y", kind="regression")
        suspects = leaks.name_leaks(rows, columns, measured, target="y", kind="regression")
        assert set(suspects) == {"a", "b", "again"}
        assert suspects["a"] == "a + b is y" and "alone" in suspects["again"]

    def test_a_part_of_a_sum_is_named_where_the_other_part_alone_is_nearly_all_of_it(self) -> None:
        rows = self.rows()
        rows = rows.assign(b=rows["b"] / 100, y=rows["a"] + rows["b"] / 100).drop(columns="again")
        measured = leaks.strengths(rows, ["a", "b", "c"], target="y", kind="regression")
        assert set(leaks.name_leaks(rows, ["a", "b", "c"], measured, target="y", kind="regression")) == {"a", "b"}

    def test_of_a_difference_only_what_holds_the_target_is_named(self) -> None:
        rows = self.rows()
        rows = rows.assign(y=rows["a"] - rows["b"]).drop(columns="again")
        measured = leaks.strengths(rows, ["a", "b", "c"], target="y", kind="regression")
        assert leaks.name_leaks(rows, ["a", "b", "c"], measured, target="y", kind="regression") == {"a": "a - b is y"}

    def test_of_several_classes_the_one_that_a_column_tells_is_named_with_its_share(self) -> None:
        chance, rows = np.random.default_rng(3), 6_000
        days = np.sort(pd.date_range("2024-01-01", periods=60).repeat(100).strftime("%Y-%m-%d"))
        dish = chance.choice(["greek", "other", "plain"], rows, p=[0.04, 0.5, 0.46])
        size = np.where(dish == "greek", 2, chance.integers(0, 2, rows)).astype(float)
        table = pd.DataFrame({"day": days, "dish": dish, "size": size})
        measured = leaks.strengths(table, ["dish"], target="size", kind="multiclass", classes=3)
        suspects = leaks.name_leaks(
            table, ["dish"], measured, target="size", kind="multiclass", classes=("L", "M", "XL")
        )
        share = (size == 2).mean()
        assert suspects["dish"].startswith(f"alone it tells size XL ({share:.1%} of the rows) from the rest")

    def test_a_column_that_is_null_exactly_where_nothing_happened_is_named(self) -> None:
        rows = self.rows()
        happened = np.random.default_rng(2).random(len(rows)) < 0.3
        rows = rows.assign(y=happened.astype(float), ended=np.where(happened, "2024", None))
        measured = leaks.strengths(rows, ["ended", "c"], target="y", kind="classification")
        suspects = leaks.name_leaks(rows, ["ended", "c"], measured, target="y", kind="classification")
        assert set(suspects) == {"ended"} and "null exactly where y is 0" in suspects["ended"]


class TestOutputs:
    """Columns that another model may have written."""

    def rows(self) -> pd.DataFrame:
        chance = np.random.default_rng(4)
        rows = 4000
        days = pd.date_range("2024-01-01", periods=40).repeat(rows // 40).strftime("%Y-%m-%d")
        x, z = chance.normal(size=(2, rows))
        p = 1 / (1 + np.exp(-1.5 * x - z))
        return pd.DataFrame(
            {
                "day": days,
                "x": x,
                "z": z,
                "shop": chance.choice(["a", "b"], rows),
                "risk": p.round(3),
                "safety": (1 - p).round(3),
                "scaled": (x - x.min()) / (x.max() - x.min()),
                "share": chance.random(rows),
                "y": (chance.random(rows) < p).astype(float),
            }
        )

    @pytest.mark.parametrize(
        ("column", "is_output"),
        [
            ("y_pred", True),
            ("prediction", True),
            ("score_prob", True),
            ("y_pred_proba_card", True),
            ("predictedPrice", True),
            ("y_hat", True),
            ("problem", False),
            ("credit_score", False),
            ("predecessor", False),
            ("hat_size", False),
        ],
    )
    def test_by_name(self, column: str, is_output: bool) -> None:
        table = self.rows().rename(columns={"shop": column})
        assert (column in outputs.name_outputs(table, [column], target="y", kind="regression")) == is_output

    def test_a_calibrated_probability_that_ranks_as_well_as_all_others_is_named_and_no_honest_share_is(self) -> None:
        columns = ["x", "z", "shop", "risk", "safety", "scaled", "share"]
        named = outputs.name_outputs(self.rows(), columns, target="y", kind="classification")
        assert set(named) == {"risk", "safety"} and "AUC 0.8" in named["risk"] and "1 minus it" in named["safety"]

    def test_a_share_that_says_little_beside_the_others_is_an_honest_column(self) -> None:
        rows = self.rows()
        weak = rows["x"].map(lambda x: 0.35 if x < 0 else 0.65) + np.random.default_rng(1).normal(0, 0.01, len(rows))
        named = outputs.name_outputs(rows.assign(rate=weak), ["x", "z", "rate"], target="y", kind="classification")
        assert named == {}

    def test_of_several_classes_the_probability_of_one_is_named(self) -> None:
        rows = self.rows().assign(y=lambda table: table["y"] + (table["shop"] == "b"))
        only = rows.assign(p=np.where(rows["shop"] == "b", 0, 1 - rows["risk"]) + 1e-9)
        named = outputs.name_outputs(only, ["x", "p"], target="y", kind="multiclass", classes=3)
        assert set(named) == {"p"}

    def test_it_is_left_out_until_a_person_says_that_it_is_known(self) -> None:
        table = self.rows().drop(columns=["risk", "safety", "scaled"]).assign(y_pred="yes")
        table.loc[::3, "y_pred"] = "no"
        table = table.assign(y=table["y"].map({0.0: "no", 1.0: "yes"}))
        seen = see(Sample(table.assign(n=np.arange(len(table)).astype(str)), False), Answers(target="y"))
        assert set(seen.outputs) == {"y_pred"} and "y_pred" in seen.columns.left_out
        assert any(question.subject == "known" and "y_pred" in question.text for question in seen.questions())
        known = see(Sample(table, False), Answers(target="y", known=("y_pred",), key=("x",)))
        assert known.outputs == {} and "y_pred" in known.columns.categories


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.repeat([2016, 2017], 2000), "only rises"),
        (np.arange(40).repeat(100) // 7, "only rises"),
        (np.random.default_rng(0).permutation(4000), "counts the rows"),
        (np.repeat([9, 12], 2000), ""),
        (np.random.default_rng(0).integers(0, 4000, 4000), ""),
        (np.array([f"{n // 60:02d}:{n % 60:02d}" for n in range(1000)] * 4), "time of day"),
    ],
)
def test_what_only_counts_or_only_rises_teaches_nothing(values: Any, says: str) -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=40).repeat(100).strftime("%Y-%m-%d"), name="day")
    reason = useless(pd.Series(values, name="year" if says == "only rises" else "value"), days)
    assert says in reason and bool(says) == bool(reason)


class TestLimits:
    """Limits that can pass, and that can fail."""

    @staticmethod
    def validated(mean_loss: float, base: float, *, rows_per_day: int = 24, seed: int = 0, days: int = 60) -> Validated:
        chance = np.random.default_rng(seed)
        day = pd.date_range("2024-01-01", periods=days).repeat(rows_per_day).strftime("%Y-%m-%d")
        truth = chance.normal(0, np.sqrt(base), len(day))
        predicted = truth + np.random.default_rng(seed + 1).normal(0, np.sqrt(mean_loss), len(day))
        rows = pd.DataFrame({"day": day, "truth": truth, "predicted": predicted, "base": 0.0, "fold": 0})
        fit = Fit(estimator="sklearn.linear_model.Ridge")
        return Validated(recipes.Recipe(f"recipe {seed}", Features(numeric=("x",)), fit), rows, "regression")

    def grain(self, rows_per_day: float, days: int) -> Grain:
        return Grain("2024-01-01", "2024-12-31", days, days, rows_per_day, 1, 0)

    def test_the_difference_that_a_holdout_shows_is_in_the_unit_of_the_metric(self) -> None:
        best = self.validated(100.0, 900.0)
        holdout = choose_holdout(best, [best, self.validated(105.0, 900.0)], self.grain(24, 300), days=300)
        higher = np.sqrt(best.loss + holdout.detectable)
        assert f"a rise of the RMSE from {best.score:.4g} to {higher:.4g} (" in holdout.reason

    @pytest.mark.parametrize(
        ("other", "words"), [(100.01, "from 10.0847 to 10.0849 ("), (100.0, "any rise of the RMSE from 10.08 (")]
    )
    def test_a_rise_is_never_written_as_from_a_number_to_the_same_one(self, other: float, words: str) -> None:
        best = self.validated(100.0, 900.0)
        holdout = choose_holdout(best, [best, self.validated(other, 900.0)], self.grain(24, 300), days=300)
        assert words in holdout.reason

    def test_where_no_recipe_is_as_good_the_noise_is_that_beside_the_next_and_not_beside_the_base_rate(self) -> None:
        best, second = self.validated(0.25, 380.0), self.validated(0.4, 380.0)
        holdout = choose_holdout(best, [best, second], self.grain(24, 300), days=300)
        assert holdout.detectable < 0.5

    def test_a_difference_that_is_more_than_the_skill_is_said_to_be_that(self) -> None:
        other = self.validated(100.0, 900.0)
        best = replace(other, rows=other.rows.assign(predicted=0.001 * other.rows["truth"]))
        noisy = replace(other, rows=other.rows.assign(predicted=np.random.default_rng(3).normal(0, 5, len(other.rows))))
        holdout = choose_holdout(best, [best, noisy], self.grain(24, 300), days=300)
        assert "(more than all that the model gains over the base rate)" in holdout.reason

    @pytest.mark.parametrize(("rows_per_day", "holdout_days"), [(1, 7), (1, 28), (5, 7), (24, 14), (20_000, 7)])
    def test_a_usual_holdout_has_the_rows_that_the_gate_asks_for(self, rows_per_day: float, holdout_days: int) -> None:
        assert 1 <= gate_rows(rows_per_day, holdout_days) <= 0.6 * rows_per_day * holdout_days

    @pytest.mark.parametrize("rows_per_day", [0.8, 1.0, 3.0, 5.0, 24.0, 3000.0])
    def test_a_usual_window_has_the_rows_that_drift_is_measured_on(self, rows_per_day: float) -> None:
        days, _ = limits.drift_window(rows_per_day)
        drift = Drift(window_days=days)
        usual = [max(1, round(rows_per_day))] * 90
        assert days % 7 == 0 and never_measured(drift, usual) == ()
        assert days == 7 or (days - 7) * rows_per_day < 1.5 * FEWEST_ROWS

    def test_too_few_rows_for_drift_are_said(self) -> None:
        assert "will not be measured" in limits.drift_window(0.1)[1]

    def test_a_gate_that_knows_the_past_lets_refreshes_lose_a_tenth_of_the_skill_at_most(self) -> None:
        best, other = self.validated(500.0, 560.0, rows_per_day=2), self.validated(520.0, 560.0, rows_per_day=2, seed=9)
        holdout = choose_holdout(best, [best, other], self.grain(2, 200), days=200)
        options: dict[str, Any] = {"strongest": ("x", 0.1), "slices": [], "slice_rows": 60}
        spread = spread_of(best)
        skill = best.base_loss - best.loss
        learned, _ = gate_rules(best, spread, holdout, **options, learns=True)["champion"]
        assert learned["refresh_max_loss"] == pytest.approx(0.1 * skill, rel=0.1)
        strict, _ = gate_rules(best, spread, holdout, **options, learns=False)["champion"]
        assert strict["refresh_max_loss"] == pytest.approx(holdout.detectable, rel=0.1)  # what a holdout can show

    def test_the_bounds_of_leakage_let_a_very_good_model_pass(self) -> None:
        best = self.validated(0.25, 400.0)
        holdout = choose_holdout(best, [best, self.validated(0.3, 400.0)], self.grain(24, 300), days=300)
        spread = spread_of(best)
        options: dict[str, Any] = {"slices": [], "slice_rows": 60, "learns": True}
        rule, _ = gate_rules(best, spread, holdout, **options, strongest=("x", 0.995))["leakage"]
        assert spread.most("r2") > 0.999
        assert spread.most("r2") < rule["max_feature_pair"] < 1 and spread.most("r2") < rule["max_first_score"] < 1
        assert 0.995 < rule["max_single_feature"] < 1
        (lost, _) = limits.performance_limits(best, spread, holdout)["max_lost_skill"]
        assert lost == pytest.approx(0.5 * best.score, rel=0.1)  # and not three tenths of a skill of 20

    def test_how_many_refreshes_the_past_holds_is_as_the_gate_finds_them(self) -> None:
        task = {"name": "t", "kind": "regression", "target": "y", "key": ["day", "x"], "label_delay_days": 1}
        for days, held in ((60, 7), (90, 14), (100, 28), (300, 28), (40, 14)):
            settings = parse(
                {
                    "task": task,
                    "source": {"kind": "demo"},
                    "features": {"numeric": ["x"]},
                    "fit": {"estimator": "sklearn.linear_model.Ridge"},
                    "split": {"holdout_days": held},
                    "pull": {"min_days": least_days(held)},
                    "gate": {"min_days": 2, "metric": "rmse"},
                }
            )
            train = pd.date_range("2024-01-01", periods=days - held).strftime("%Y-%m-%d")
            rows = pd.DataFrame({"day": train.repeat(3), "x": range(3 * len(train)), "y": np.arange(3.0 * len(train))})
            measured = measure(rows, settings, once=lambda _, made: made())
            expected = min(past_refreshes(days, held), MOST_REFRESHES)
            assert abs(len(measured) - expected) <= 1


def test_each_column_is_what_it_is() -> None:
    chance = np.random.default_rng(0)
    rows = 4000
    days = pd.Series(pd.date_range("2024-01-01", periods=40).repeat(100).strftime("%Y-%m-%d"), name="day")
    table = pd.DataFrame(
        {
            "day": days,
            "shop": chance.choice(["a", "b"], rows),
            "item": chance.choice([f"i{n}" for n in range(900)], rows),
            "grade": chance.integers(1, 6, rows),
            "open": chance.integers(0, 2, rows),
            "price": chance.normal(size=rows),
            "constant": 1,
            "empty": np.nan,
            "row": np.arange(rows),
            "uuid": [f"u{n}" for n in range(rows)],
            "text": [f"a remark of some words with number {n}" for n in range(rows)],
            "birthday": "1990-01-01",
        }
    )
    table.loc[::2, "birthday"] = "1991-02-03"
    columns = sort_columns(table, [c for c in table if c != "day"], left_out={})
    assert (columns.texts, columns.many, columns.few, columns.pairs, columns.numbers) == (
        ("shop",), ("item",), ("grade",), ("open",), ("price",),
    )  # fmt: skip
    assert set(columns.left_out) == {"constant", "empty", "row", "uuid", "text", "birthday"}
    assert "counts the rows" in useless(table["row"], days)


class TestRecipes:
    def results(self, *losses: float, estimators: tuple[str, ...] = ()) -> list[Validated]:
        """Results whose daily losses are ``losses`` with the same luck of the day, and a little of their own."""
        chance = np.random.default_rng(5)
        day = pd.date_range("2024-01-01", periods=100).strftime("%Y-%m-%d")
        luck, found = chance.gamma(4, 0.25, len(day)), []
        for number, loss in enumerate(losses):
            squared = luck * loss + chance.normal(0, 0.02, len(day))
            rows = pd.DataFrame({"day": day, "truth": 0.0, "predicted": np.sqrt(squared), "base": 0.0, "fold": 0})
            estimator = estimators[number] if estimators else "sklearn.linear_model.Ridge"
            recipe = recipes.Recipe(str(number), Features(numeric=("x",)), Fit(estimator=estimator))
            found.append(Validated(recipe, rows, "regression"))
        return found

    def test_a_simpler_one_is_taken_if_it_cannot_be_told_from_the_best(self) -> None:
        for losses, taken in (((1.0, 1.0, 0.999), "0"), ((1.1, 1.0, 0.999), "1"), ((1.1, 1.05, 1.0), "2")):
            assert recipes.simplest_of_the_best(self.results(*losses)).recipe.name == taken

    def test_a_library_that_has_to_be_installed_has_to_be_worth_it(self) -> None:
        both = ("sklearn.linear_model.Ridge", "xgboost.XGBRegressor")
        assert recipes.simplest_of_the_best(self.results(1.008, 1.0, estimators=both)).recipe.name == "0"
        assert recipes.simplest_of_the_best(self.results(1.1, 1.0, estimators=both)).recipe.name == "1"

    def test_few_days_are_validated_in_as_many_folds_as_they_are(self) -> None:
        chance = np.random.default_rng(2)
        table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=6).repeat(50).strftime("%Y-%m-%d")})
        table["x"] = chance.normal(size=len(table))
        table["amount"] = table["x"] + chance.normal(size=len(table))
        said = {"name": "few", "kind": "regression", "target": "amount", "key": ["day", "x"], "label_delay_days": 0}
        task = Task.model_validate(said)
        recipe = recipes.Recipe("linear", Features(numeric=("x",)), Fit(estimator="sklearn.linear_model.Ridge"))
        found = recipes.validate(recipe, table, task, longest=28)
        assert found is not None and found.rows["fold"].nunique() == 5
        assert found.loss < found.base_loss


class TestReplay:
    def test_most_of_the_period_lies_before_today_and_enough_ahead(self) -> None:
        period = replays.choose_period(date(2011, 1, 1), date(2012, 12, 31), TODAY)
        assert period is not None and period.days_before > 450 and period.days_ahead >= 56

    def test_new_data_are_no_past_period(self) -> None:
        assert not replays.is_past(date(2026, 11, 20), TODAY, label_delay_days=1)
        assert replays.is_past(date(2026, 10, 1), TODAY, label_delay_days=1)


def test_row_counts_get_bounds_from_their_own_spread() -> None:
    calm = pd.Series(np.repeat(pd.date_range("2024-01-01", periods=90).strftime("%Y-%m-%d"), 24))
    (low, high), _ = limits.row_count_ratio(calm)
    assert (low, high) == (0.75, 1.33)
    assert limits.row_count_ratio(calm.iloc[:100])[0] == (0.5, 2.0)


@pytest.mark.parametrize(
    "value", ["no", "007", "a: b", "x, y", "# no", 'say "so"', "1e-3", "", "[", "null", "ä b", "it's"]
)
def test_text_comes_back_from_yaml_as_it_is(value: str) -> None:
    assert yaml_file.parse(f"k: [{scalar(value)}]") == {"k": [value]}
    assert yaml_file.parse(f"k: {scalar(value)}") == {"k": value}


def rentals(days: int = 45) -> pd.DataFrame:
    """Hourly rows as text: a target that is a sum of two columns, and one that says when it is over."""
    chance = np.random.default_rng(3)
    time = pd.date_range("2026-10-10", periods=24 * days, freq="h")
    hour = time.hour.to_numpy()
    temp = 12 + 8 * np.sin(hour / 4) + chance.normal(0, 2, len(time))
    casual = np.round(20 + 10 * np.sin(hour / 3) + temp + chance.normal(0, 3, len(time))).clip(0)
    member = np.round(40 + 30 * (np.abs(hour - 17) < 2) + chance.normal(0, 5, len(time))).clip(0)
    table = pd.DataFrame(
        {
            "at": time.strftime("%Y-%m-%d %H:%M"),
            "station": [f"{n:03d}" for n in chance.choice([7, 12, 99], len(time))],
            "temp": temp.round(1),
            "casual": casual.astype(int),
            "member": member.astype(int),
            "rented": (casual + member).astype(int),
        }
    )
    return table.astype(str).astype(object)


@pytest.fixture(scope="module")
def seen() -> Facts:
    return see(Sample(rentals(), True), Answers(target="rented"))


@pytest.fixture(scope="module")
def proposal(seen: Facts) -> Proposal:
    with threadpool_limits(1):
        return propose_model(seen, name="rentals", location=Location("data/rentals.csv"), today=TODAY)


def test_what_is_seen_of_a_table(seen: Facts) -> None:
    assert (seen.time.name, seen.key.columns, seen.target.kind) == ("at", ("at",), "regression")
    assert set(seen.suspects) == {"casual", "member"} and seen.changed == ()
    assert seen.parts == ("hour", "weekday") and seen.types["station"] == "string"
    assert [question.subject for question in seen.questions()] == ["label_delay_days", "timezone", "known"]


def test_answers_end_the_questions() -> None:
    answers = Answers(target="rented", label_delay_days=2, timezone="Europe/Paris", known=("casual", "member"))
    seen = see(Sample(rentals(), True), answers)
    assert seen.questions() == [] and "casual" in seen.columns.numeric
    assert (seen.delay.days, seen.zone) == (2, "Europe/Paris")


def test_the_proposal_is_settings_that_count_and_the_file_says_the_same(proposal: Proposal) -> None:
    text = params_text(proposal)
    settings = parse(yaml_file.parse(text))
    assert settings.task.key == ("day", "at")
    assert "casual" not in text.split("# Columns")[0] and "# casual: casual + member is rented" in text
    assert settings.gate.rules["explains"].kind == "bound"
    assert settings.pull.min_days > settings.split.holdout_days
    assert settings.gate.min_rows < 24 * 7
    assert settings.types.inputs["station"] == "string"
    assert proposal.period is None and "replay" not in text  # the data are of last week


def test_what_only_says_the_weekday_is_no_drift_where_days_are_missing(proposal: Proposal) -> None:
    watched = parse(yaml_file.parse(params_text(proposal))).drift
    assert "at_hour" in {*watched.structural, *watched.environment}
    assert "at_weekday" not in {*watched.structural, *watched.environment}


def test_the_model_is_better_than_the_base_rate_and_lagged_means_are_point_in_time(proposal: Proposal) -> None:
    assert proposal.best.score < 0.6 * proposal.best.base_score
    assert {result.recipe.name for result in proposal.results} >= {"linear model", "boosted trees"}


def test_the_summary_says_what_was_assumed_and_what_to_decide(proposal: Proposal, seen: Facts) -> None:
    said = summary(proposal, seen.questions())
    for words in ("at", "casual is left out", "--label-delay-days", "--timezone", "--known", "base rate"):
        assert words in said


def test_the_summary_says_what_is_needed_for_a_library_and_doubts_what_is_too_good(proposal: Proposal) -> None:
    assert "make boosting" not in summary(proposal, []) and "honest columns" not in summary(proposal, [])
    fit = proposal.best.recipe.fit.model_copy(update={"estimator": "xgboost.XGBRegressor"})
    rows = proposal.best.rows.assign(predicted=proposal.best.rows["truth"] + 0.01)
    best = Validated(replace(proposal.best.recipe, fit=fit), rows, "regression")
    shown = summary(replace(proposal, best=best), [])
    assert "xgboost is needed wherever the model runs" in shown and "make boosting" in shown
    assert "R² 1.0000 is more than honest columns usually explain" in shown


def test_the_summary_doubts_a_gain_that_chance_could_make(proposal: Proposal) -> None:
    assert "distinguished from chance" not in summary(proposal, [])
    rows = proposal.best.rows
    off, days = rows["truth"] - rows["base"], pd.factorize(rows["day"])[0]
    either = [  # a fifth less loss on every other day, and a fifth more on the others
        Validated(
            proposal.best.recipe,
            rows.assign(predicted=rows["truth"] - off * np.sqrt(np.where(days % 2 == parity, 0.8, 1.2))),
            "regression",
        )
        for parity in (0, 1)
    ]
    best = min(either, key=lambda validated: validated.loss)
    assert best.loss < best.base_loss
    assert "that gain cannot be distinguished from chance" in summary(replace(proposal, best=best), [])


def test_rows_without_an_outcome_are_said(proposal: Proposal, seen: Facts) -> None:
    assert "are not learned from" not in summary(proposal, [])
    table = seen.table.assign(rented=seen.table["rented"].where(np.arange(len(seen.table)) % 4 != 0))
    shown = summary(replace(proposal, facts=replace(seen, table=table)), [])
    assert "25% of the rows up to 2026-11-23 have no rented, and are not learned from" in shown


def test_the_time_of_the_year_is_left_out_where_the_history_has_less_than_a_year(seen: Facts) -> None:
    months = seen.time.instants.dt.month
    columns = replace(seen.columns, few=(*seen.columns.few, "own_month", "at_month"))
    table = seen.table.assign(own_month=months, at_month=months)
    whole = replace(seen, table=table, parts=(*seen.parts, "month"), columns=columns)
    assert without_season(whole, 365) is whole
    less = without_season(whole, 364)
    assert "month" not in less.parts and not {"own_month", "at_month"} & {*less.columns.numeric}
    assert "at_month" not in less.table and "the 364 days of history" in less.columns.left_out["own_month"]
    assert less.columns.numeric == seen.columns.numeric


def test_three_texts_are_a_task_of_several_classes() -> None:
    table = rentals(40).drop(columns=["casual", "member"])
    numbers = table["rented"].astype(int)
    table = table.assign(rented=pd.cut(numbers, [-1, 70, 95, 999], labels=["low", "middle", "high"]).astype(object))
    seen = see(Sample(table, True), Answers(target="rented"))
    with threadpool_limits(1):
        proposal = propose_model(seen, name="rentals", location=Location("t.csv"), today=TODAY)
    settings = parse(yaml_file.parse(params_text(proposal)))
    assert settings.task.kind == "multiclass" and settings.task.classes == ("high", "low", "middle")
    assert proposal.best.score < 0.8 * proposal.best.base_score
    named = {kwargs["column"] for p in suites(proposal)["predictions"] if "column" in (kwargs := p.kwargs)}
    assert {"probability_low", "probability_middle", "probability_high"} <= named
    (values,) = [
        p.kwargs["value_set"] for p in suites(proposal)["labels"] if p.columns == ("rented",) and "set" in p.type
    ]
    assert set(values) == {"low", "middle", "high"}


def test_labels_of_their_own_table_are_put_beside_their_inputs() -> None:
    table = rentals(40)
    labels = table[["at", "rented"]].iloc[: 24 * 33]
    inputs = table.drop(columns=["casual", "member", "rented"])
    seen = see(Sample(inputs, True, labels=labels), Answers(target="rented"))
    assert (seen.delay.days, seen.delay.is_certain) == (7, True)
    assert seen.table["rented"].notna().sum() == 24 * 33


def test_a_column_called_day_that_is_none_is_renamed_and_said() -> None:
    seen = see(Sample(rentals(40).assign(day="Monday"), True), Answers(target="rented"))
    assert any("day_of_data" in reason for reason in seen.changed) and "day_of_data" in seen.table


def test_columns_with_our_marks_get_names_that_nobody_has() -> None:
    table = rentals(40).assign(__temp="1", temp_2="2", day="Monday", day_of_data="x")
    seen = see(Sample(table, True), Answers(target="rented"))
    assert seen.table.columns.is_unique and {"temp", "temp_2", "temp_3", "day_of_data_2"} <= set(seen.table)
    assert any(words.startswith("__temp becomes temp_3") for words in seen.changed)
    named = see(Sample(rentals(40).rename(columns={"rented": "__rented"}), True), Answers(target="__rented"))
    assert named.answers.target == "rented" and named.table["rented"].notna().all()


HALF_A_YEAR = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", "2024-06-30")]


class TestGaps:
    def test_each_day_and_days_that_the_calendar_knows_are_no_gaps(self) -> None:
        assert measure_gaps(HALF_A_YEAR) == DayGaps()
        assert measure_gaps([day for day in HALF_A_YEAR if pd.Timestamp(day).dayofweek < 5]) == DayGaps()

    def test_a_week_between_the_days_is_a_step_though_one_of_them_is_missing(self) -> None:
        gaps = measure_gaps(HALF_A_YEAR[0:70:7] + HALF_A_YEAR[77::7])
        assert (gaps.every_days, gaps.empty_days) == (7, 0)

    def test_days_that_are_often_empty_may_be_and_an_outage_may_not(self) -> None:
        often = [day for number, day in enumerate(HALF_A_YEAR) if number % 10 not in (4, 5, 6)]
        assert measure_gaps(often).empty_days == 3
        outage = measure_gaps(HALF_A_YEAR[:40] + HALF_A_YEAR[60:])
        assert outage.empty_days == 0
        assert outage.reason == "20 expected days have no rows, the most in a row from 2024-02-10 to 2024-02-29"


def test_columns_whose_names_differ_in_capitals_only_get_other_names() -> None:
    table = rentals(40).assign(Temp="1", Day="Monday", RENTED="7")
    seen = see(Sample(table, True), Answers(target="rented", left_out=("Temp",)))
    assert {"Day_2", "RENTED_2", "rented", "Temp", "temp"} <= set(seen.table) and "Temp" not in seen.columns.categories
    both = see(Sample(table, True), Answers(target="rented"))
    assert not alike(map(str, both.table)) and "Temp_2" in both.table and any("Temp" in words for words in both.changed)
    parts = table.drop(columns=["at", "Day"]).assign(Year="2026", Month="10", Day=table["at"].str.slice(8, 10))
    assert see(Sample(parts.iloc[:480], True), Answers(target="rented")).time.name == "time"


def test_columns_of_lists_and_objects_are_left_out_and_named() -> None:
    plain = rentals(40).assign(rented=lambda rows: rows["rented"].astype(int))
    table = plain.assign(tags=[["a", "b"]] * 960, made=[{"by": 1}] * 960)
    seen = see(Sample(table, False), Answers(target="rented"))
    assert {"tags", "made"} <= set(seen.columns.left_out) and "lists or objects" in seen.columns.left_out["tags"]
    with pytest.raises(SettingsError, match="tags: it holds lists or objects"):
        see(Sample(table, False), Answers(target="tags"))


def test_year_month_day_and_hour_of_their_own_columns_become_the_time() -> None:
    at = pd.to_datetime(rentals(40)["at"])
    parts = {"Year": at.dt.year, "MONTH": at.dt.month, "day": at.dt.day, "hr": at.dt.hour}
    table = rentals(40).drop(columns="at").assign(**{name: values.astype(str) for name, values in parts.items()})
    table.loc[7, "MONTH"] = "13"
    seen = see(Sample(table, True), Answers(target="rented"))
    assert seen.time.name == "time" and seen.changed[0] == "Year, MONTH, day, hr become one column, time"
    assert seen.time.instants.dropna().tolist() == at.drop(7).tolist() and seen.rows_without_time == 1
    assert with_iso_time(seen, seen.table)["time"].iloc[0] == at[0].isoformat()
    with pytest.raises(SettingsError, match="no columns year, month and day"):
        see(Sample(table.drop(columns="day"), True), Answers(target="rented"))


def test_days_begin_in_the_time_zone_that_the_column_itself_is_in() -> None:
    table = rentals(40).assign(rented=lambda rows: rows["rented"].astype(int))
    table["at"] = pd.to_datetime(table["at"]).dt.tz_localize("America/New_York", ambiguous=False)
    seen = see(Sample(table, False, has_types=True), Answers(target="rented"))
    assert seen.zone == "America/New_York" and seen.grain.days == 40
    assert see(Sample(table, False, has_types=True), Answers(target="rented", timezone="UTC")).grain.days == 41
    table["at"] = table["at"].dt.tz_convert("+02:00")
    assert see(Sample(table, False, has_types=True), Answers(target="rented")).zone == "UTC"


def test_a_copy_keeps_the_fractions_of_seconds() -> None:
    table = rentals(40)
    table["at"] = table["at"].str.slice(0, 16) + ":59.123456"
    seen = see(Sample(table, True, changed=("separated by ';'",)), Answers(target="rented"))
    assert with_iso_time(seen, seen.table)["at"].str.endswith(":59.123456").all()


def test_one_huge_outcome_makes_no_leak_of_honest_columns() -> None:
    chance = np.random.default_rng(4)
    table = on_days().assign(claim=np.where(chance.random(1200) < 0.7, 0, chance.gamma(2, 500, 1200)).round(2))
    table = table.assign(price=chance.gamma(2, 9, 1200).round(2), part=(table["claim"] / 3).round(6))
    table.loc[77, ["claim", "part"]] = [9e9, 3e9]
    table = table.assign(rest=table["claim"] - table["part"])
    seen = see(Sample(table, False), Answers(target="claim"))
    assert "price" not in seen.suspects and "number" not in seen.suspects
    assert {"part", "rest"} <= set(seen.suspects)


def test_labels_that_contradict_each_other_are_nobodys_guess() -> None:
    table = rentals(40)
    inputs, labels = table.drop(columns=["casual", "member", "rented"]), table[["at", "rented"]]
    again = labels.iloc[[5, 9]].assign(rented=["0", labels["rented"].iloc[9]])
    seen = see(Sample(inputs, True, labels=pd.concat([labels, again])), Answers(target="rented"))
    assert seen.table["rented"].isna().sum() == 1 and len(seen.table) == len(table)
    assert any("1 row are there more than once" in words or "labels of 1 row" in words for words in seen.set_apart)


def on_days(days: int = 120, per_day: int = 10) -> pd.DataFrame:
    chance = np.random.default_rng(2)
    at = pd.date_range("2025-01-01", periods=days).repeat(per_day).strftime("%Y-%m-%d")
    number = chance.normal(size=len(at)).round(3)
    late = np.where(number + chance.normal(size=len(at)) > 0, "yes", "no")
    ids = np.tile(np.arange(per_day), days).astype(str)
    return pd.DataFrame({"at": at, "id": ids, "number": number.astype(str), "late": late}, dtype=object)


@pytest.mark.parametrize("placeholder", ["1900-01-01", "0001-01-01", "2099-12-31", "9999-12-31"])
@pytest.mark.parametrize("has_day", [True, False])
def test_a_placeholder_in_place_of_a_time_says_nothing_of_the_days(placeholder: str, has_day: bool) -> None:
    table = on_days()
    table.loc[[17, 400], "at"] = placeholder
    table = table.assign(day=table["at"]) if has_day else table
    seen = see(Sample(table, True), Answers(target="late", time="at"))
    assert (seen.grain.first_day, seen.grain.last_day, seen.grain.days) == ("2025-01-01", "2025-04-30", 120)
    assert len(seen.table) == 1198 and seen.rows_without_time == 0 and not seen.changed
    (words,) = seen.set_apart
    assert words.startswith(f"2 rows of {placeholder} lie more than 180 days from all others by at")


def test_a_year_that_is_apart_but_has_many_rows_and_a_gap_of_some_months_are_data() -> None:
    older, newer = on_days(40), on_days(40)
    newer["at"] = (pd.to_datetime(newer["at"]) + pd.Timedelta(days=400)).dt.strftime("%Y-%m-%d")
    assert not see(Sample(pd.concat([older, newer], ignore_index=True), True), Answers(target="late")).set_apart
    rare = on_days(120)
    rare.loc[:4, "at"] = "2024-09-01"
    assert see(Sample(rare, True), Answers(target="late")).grain.first_day == "2024-09-01"


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e308"])
def test_rows_that_the_loop_quarantines_for_a_number_are_not_looked_at(value: str) -> None:
    table = on_days()
    table.loc[[5, 700], "number"] = value
    seen = see(Sample(table, True), Answers(target="late"))
    assert len(seen.table) == 1198 and "number" in seen.columns.numeric
    assert seen.set_apart == (
        "number is infinite or beyond 3.4e38 in 2 rows, which the loop quarantines: they are not looked at",
    )


def test_a_column_that_is_often_infinite_is_left_out_and_keeps_its_rows() -> None:
    table = on_days()
    table.loc[::20, "number"] = "inf"
    seen = see(Sample(table, True), Answers(target="late"))
    assert len(seen.table) == 1200 and "number" not in seen.columns.numeric
    assert "in 5% of the rows, each of which would be quarantined" in seen.columns.left_out["number"]


def test_an_infinite_target_is_no_outcome_and_hides_no_other() -> None:
    table = on_days().drop(columns="late").rename(columns={"number": "late"})
    table.loc[[5, 700], "late"] = ["1e308", "inf"]
    seen = see(Sample(table, True), Answers(target="late"))
    assert seen.target.kind == "regression" and not seen.suspects and len(seen.table) == 1198


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (Answers(target="nothing"), "--target nothing"),
        (Answers(target="rented", time="temp"), "--time temp"),
        (Answers(target="rented", timezone="Mars"), "--timezone Mars"),
        (Answers(target="rented", key=("who",)), "--key"),
    ],
)
def test_a_wrong_answer_is_named_with_its_option(answers: Answers, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        see(Sample(rentals(40), True), answers)


def test_a_query_of_several_lines_stays_readable_and_comes_back_as_it_is() -> None:
    query = 'SELECT "a: b"\nFROM (\n  select 1 -- "one"\t# no comment\n\n) AS all_rows\nWHERE x >= :day'
    section = {"inputs": ({"query": query, "time": "at"}, "known when a day is scored")}
    lines = _entry("inputs", *section["inputs"], 2)
    assert "    query: |-" in lines and "      FROM (" in lines
    assert yaml_file.parse("source:\n" + "\n".join(lines)) == {"source": {"inputs": {"query": query, "time": "at"}}}
