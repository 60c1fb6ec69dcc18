"""The contracts of the demo's tables, held against good and broken data by the real Great Expectations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters.contracts import Contracts, Screened, profile
from ml.adapters.sources.demo import DemoSource
from ml.core.data.contracts import DayProfile
from ml.errors import DataRejected, SettingsError
from ml.settings import PROJECT_ROOT, Screen

DAY = date(2013, 4, 3)
KEY = ["day", "carrier", "flight", "origin"]
SOURCE = DemoSource(replay=False)
SUITES = PROJECT_ROOT / "expectations"


def profile_of(day: date, frame: pd.DataFrame) -> DayProfile:
    return DayProfile(day, len(frame), {str(c): int(n) for c, n in frame.isna().sum().items()})


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return Contracts(SUITES)


@pytest.fixture(scope="module")
def recent() -> dict[str, list[DayProfile]]:
    days = [DAY - timedelta(days=n) for n in range(1, 29)]
    return {
        "inputs": [profile_of(d, SOURCE.inputs(d)) for d in days],
        "labels": [profile_of(d, SOURCE.labels(d)) for d in days],
    }


@pytest.fixture
def inputs() -> pd.DataFrame:
    return SOURCE.inputs(DAY)


@pytest.fixture
def labels() -> pd.DataFrame:
    return SOURCE.labels(DAY)


Judge = Callable[[pd.DataFrame], Screened]


@pytest.fixture
def screen_inputs(contracts: Contracts, recent: dict[str, list[DayProfile]]) -> Judge:
    parameters = contracts.baselines("inputs", recent["inputs"], day=DAY)
    return lambda frame: contracts.screen("inputs", frame, parameters=parameters)


@pytest.fixture
def screen_labels(contracts: Contracts, recent: dict[str, list[DayProfile]], inputs: pd.DataFrame) -> Judge:
    parameters = contracts.baselines("labels", recent["labels"], day=DAY)
    return lambda frame: contracts.screen("labels", frame, parameters=parameters, known_keys=inputs[KEY])


def set_first(frame: pd.DataFrame, column: str, value: float | str | None, rows: int = 1) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[changed.index[:rows], column] = value
    return changed


class TestInputs:
    def test_a_real_day_is_accepted_unchanged(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        before = inputs.copy(deep=True)
        screened = screen_inputs(inputs)
        assert (screened.rejected, screened.reason, screened.failures) == (False, "", ())
        pd.testing.assert_frame_equal(screened.accepted, before.reset_index(drop=True))
        pd.testing.assert_frame_equal(inputs, before)
        assert screened.quarantined.empty

    def test_threads_that_judge_at_once_do_not_mix_their_tables(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        tables = [inputs.head(600 + 20 * number) for number in range(8)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(screen_inputs, tables))
        assert [(len(each.accepted), each.reason) for each in found] == [(len(table), "") for table in tables]

    def test_the_same_day_gives_the_same_report_twice(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        assert screen_inputs(inputs).html == screen_inputs(inputs).html

    def test_a_missing_column_is_named_once_and_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(inputs.drop(columns=["dest"]))
        assert screened.reason == "column 'dest' is missing"
        assert [f.column for f in screened.failures] == ["dest"]

    def test_a_missing_key_column_is_named_once_and_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        assert screen_inputs(inputs.drop(columns=["flight"])).reason == "column 'flight' is missing"

    def test_an_extra_column_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(inputs.assign(dep_delay=3.0))
        assert screened.reason == "column 'dep_delay' is not in the contract"

    def test_words_in_a_column_of_numbers_refuse_and_are_said_once(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        screened = screen_inputs(inputs.assign(temp=inputs["temp"].astype("str")))
        assert screened.reason == "temp must be of type float64, but it is str"

    @pytest.mark.parametrize("first", [np.nan, 1.5])
    def test_a_null_or_a_fraction_among_integers_refuses_and_says_what_happened(
        self, screen_inputs: Judge, inputs: pd.DataFrame, first: float
    ) -> None:
        flight = inputs["flight"].astype("float64")
        flight.iloc[0] = first
        screened = screen_inputs(inputs.assign(flight=flight))
        words = "flight must be of type int64, but it is float64, as integers become when one of them is null or has a"
        assert f"{words} fraction" in screened.reason

    def test_an_empty_day_refuses_with_one_sentence(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(inputs.iloc[:0])
        assert screened.rejected
        assert screened.reason == "the table has no rows"

    def test_half_a_day_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(inputs.iloc[: len(inputs) // 3])
        assert "the row count must be between" in screened.reason

    def test_a_day_that_came_twice_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(pd.concat([inputs, inputs]))
        assert screened.rejected
        assert "an exact copy of an earlier row" in screened.reason

    def test_an_exact_copy_is_quarantined_and_the_first_goes_on(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        screened = screen_inputs(pd.concat([inputs, inputs.iloc[[4]]]))
        pd.testing.assert_frame_equal(screened.accepted, inputs.reset_index(drop=True))
        assert screened.quarantined["reasons"].tolist() == ["an exact copy of an earlier row"]

    def test_two_rows_that_contradict_each_other_are_both_quarantined(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        screened = screen_inputs(pd.concat([inputs, inputs.iloc[[4]].assign(distance=99.0)]))
        assert not screened.rejected
        assert len(screened.accepted) == len(inputs) - 1
        assert set(screened.quarantined["reasons"]) == {"day, carrier, flight, origin must be unique together"}
        assert screened.failures[0].examples[0].startswith("2013-04-03 ")

    def test_a_category_never_seen_before_is_accepted(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        new = set_first(set_first(inputs, "carrier", "ZZ", rows=3), "dest", "QQQ", rows=5)
        screened = screen_inputs(new)
        assert (screened.rejected, len(screened.quarantined)) == (False, 0)

    def test_a_malformed_category_is_quarantined(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(set_first(inputs, "origin", "<b>XX</b>"))
        assert screened.quarantined["reasons"].tolist() == ["origin must be one of EWR, JFK, LGA"]

    def test_a_column_without_any_value_refuses(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screened = screen_inputs(inputs.assign(visib=np.nan))
        assert screened.reason == ("the share of visib that holds a value must be at least 90.0%, but it is 0.00%")

    def test_a_column_without_any_value_refuses_on_the_very_first_day_too(
        self, contracts: Contracts, inputs: pd.DataFrame
    ) -> None:
        parameters = contracts.baselines("inputs", [], day=DAY)
        assert not contracts.screen("inputs", inputs, parameters=parameters).rejected
        assert contracts.screen("inputs", inputs.assign(visib=np.nan), parameters=parameters).rejected

    @pytest.mark.parametrize("column", ["temp", "dewp", "wind_speed", "pressure"])
    def test_nulls_in_a_column_that_no_feature_uses_leave_the_day_to_be_scored(
        self, screen_inputs: Judge, inputs: pd.DataFrame, column: str
    ) -> None:
        halved = inputs.assign(**{column: inputs[column].where(np.arange(len(inputs)) % 2 == 0)})
        screened = screen_inputs(halved)
        assert not screened.rejected and screened.quarantined.empty

    @pytest.mark.parametrize("value", [np.inf, -np.inf, 1e9])
    @pytest.mark.parametrize(
        "column", ["distance", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
    )
    def test_impossible_numbers_are_quarantined(
        self, screen_inputs: Judge, inputs: pd.DataFrame, column: str, value: float
    ) -> None:
        screened = screen_inputs(set_first(inputs, column, value))
        assert not screened.rejected
        assert [r.split(" must be between")[0] for r in screened.quarantined["reasons"]] == [column]

    def test_another_days_rows_are_quarantined_and_a_wrong_day_refuses(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        few = screen_inputs(set_first(inputs, "day", "2013-04-02", rows=2))
        assert few.quarantined["reasons"].tolist() == ["day must be the partition's own"] * 2
        every = screen_inputs(inputs.assign(day="2013-04-02"))
        assert every.rejected
        assert f"{len(inputs)} of {len(inputs)} rows (100.0%)" in every.reason

    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            ("UA ", "'UA '"),
            ("U\u200bA", "'U\\u200bA'"),
            ("U\u00a0A", "'U\\xa0A'"),
            ("A\u030a", "'A\\u030a'"),
            ("", "''"),
        ],
    )
    def test_a_bad_value_that_looks_like_a_good_one_is_shown_with_what_nobody_sees(
        self, screen_inputs: Judge, inputs: pd.DataFrame, written: str, shown: str
    ) -> None:
        screened = screen_inputs(set_first(inputs, "carrier", written, rows=60))
        with pytest.raises(DataRejected, match=re.escape(f"(60 rows, such as {shown})")):
            screened.raise_if_rejected("file:///reports/x.html", "inputs of 2013-04-03")

    def test_a_few_bad_rows_are_quarantined_with_every_reason_and_the_rest_go_on(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        broken = set_first(set_first(inputs, "temp", 500.0, rows=10), "carrier", None)
        screened = screen_inputs(broken.set_index(np.arange(len(broken))[::-1]))
        assert not screened.rejected
        assert len(screened.accepted) == len(inputs) - 10
        assert screened.quarantined["reasons"].iloc[0] == ("carrier must not be null; temp must be between -20 and 110")
        assert list(screened.quarantined) == [*inputs, "reasons"]
        assert screened.result["verdict"] == "accepted, some rows quarantined"

    def test_too_many_bad_rows_refuse_with_share_examples_and_the_next_move(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        screened = screen_inputs(set_first(inputs, "temp", 500.0, rows=60))
        assert 'class="verdict bad"' in screened.html and "<strong>Next:</strong>" in screened.html
        with pytest.raises(DataRejected) as caught:
            screened.raise_if_rejected("file:///reports/x.html", "inputs of 2013-04-03")
        said = str(caught.value)
        assert said.startswith("inputs of 2013-04-03 rejected: 60 of ")
        assert "temp must be between -20 and 110 (60 rows, such as 500)" in said
        assert "file:///reports/x.html" in said
        assert "fix the source and run this again" in said
        assert caught.value.report_uri == "file:///reports/x.html"
        assert caught.value.failures[0]["unexpected_rows"] == 60

    def test_what_is_accepted_is_not_raised(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        screen_inputs(inputs).raise_if_rejected("file:///x", "inputs")

    def test_the_report_escapes_what_the_data_say_and_fetches_nothing(
        self, screen_inputs: Judge, inputs: pd.DataFrame
    ) -> None:
        html = screen_inputs(set_first(inputs, "origin", "<script>x</script>")).html
        assert "&lt;script&gt;" in html
        assert "<script" not in html
        assert not [word for word in ("http://", "https://", "src=", "@import", "url(") if word in html]

    def test_the_result_survives_strict_json(self, screen_inputs: Judge, inputs: pd.DataFrame) -> None:
        result = screen_inputs(set_first(inputs, "temp", np.inf)).result
        assert json.loads(json.dumps(result, allow_nan=False)) == result


class TestLabels:
    def test_a_real_day_is_accepted(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        screened = screen_labels(labels)
        assert (screened.reason, len(screened.accepted)) == ("", len(labels))
        assert list(screened.accepted) == list(labels)

    def test_labels_of_unknown_keys_are_quarantined(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        screened = screen_labels(set_first(labels, "flight", 9998, rows=1))
        assert not screened.rejected
        assert screened.quarantined["reasons"].tolist() == ["the key must be among that day's inputs"]
        assert screened.failures[0].examples[0].split()[2] == "9998"

    def test_labels_that_leave_many_inputs_out_refuse(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        screened = screen_labels(labels.iloc[: int(len(labels) * 0.8)])
        assert "at least 90 % of that day's inputs must have a label row, but it is 0.7" in screened.reason

    def test_labels_without_their_inputs_refuse_and_say_what_to_do(
        self, contracts: Contracts, labels: pd.DataFrame
    ) -> None:
        parameters = contracts.baselines("labels", [], day=DAY)
        reason = contracts.screen("labels", labels, parameters=parameters).reason
        assert reason.endswith("ingest the inputs of the day first")

    def test_a_missing_key_column_is_named_once(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        assert screen_labels(labels.drop(columns=["origin"])).reason == "column 'origin' is missing"

    def test_a_target_that_is_neither_is_quarantined(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        screened = screen_labels(set_first(labels, "late", 0.5))
        assert screened.quarantined["reasons"].tolist() == ["late must be one of 0, 1"]

    def test_a_day_without_outcomes_refuses(self, screen_labels: Judge, labels: pd.DataFrame) -> None:
        assert "the share of late that holds a value" in screen_labels(labels.assign(late=np.nan)).reason


class TestPredictions:
    @pytest.fixture
    def predictions(self, inputs: pd.DataFrame) -> pd.DataFrame:
        chance = np.linspace(0, 1, len(inputs))
        return inputs[KEY].assign(prediction=chance, decision=chance >= 0.5, model_version=3)

    def screen(self, contracts: Contracts, frame: pd.DataFrame, expected: int | None = None) -> Screened:
        parameters = {"days": [DAY.isoformat()], "expected_rows": expected or len(frame)}
        return contracts.screen("predictions", frame, parameters=parameters)

    def test_whole_predictions_pass(self, contracts: Contracts, predictions: pd.DataFrame) -> None:
        assert self.screen(contracts, predictions).reason == ""

    @pytest.mark.parametrize("value", [1.01, -0.1, np.nan, np.inf])
    def test_one_impossible_probability_refuses_them_all(
        self, contracts: Contracts, predictions: pd.DataFrame, value: float
    ) -> None:
        assert "prediction must" in self.screen(contracts, set_first(predictions, "prediction", value)).reason

    def test_a_key_predicted_twice_refuses(self, contracts: Contracts, predictions: pd.DataFrame) -> None:
        twice = pd.concat([predictions.iloc[:-1], predictions.iloc[[0]]])
        assert "unique together (2 rows" in self.screen(contracts, twice).reason

    def test_a_row_too_few_refuses(self, contracts: Contracts, predictions: pd.DataFrame) -> None:
        screened = self.screen(contracts, predictions.iloc[1:], expected=len(predictions))
        assert screened.reason.startswith(f"the row count must be {len(predictions)}, but it is")


@pytest.fixture(scope="module")
def window() -> pd.DataFrame:
    days = [date(2013, 4, n) for n in (1, 2, 3)]
    rows = [SOURCE.inputs(d).merge(SOURCE.labels(d), on=KEY) for d in days]
    return pd.concat(rows).dropna(subset=["late"])


class TestWindow:
    PARAMETERS: ClassVar = {"days": ["2013-04-01", "2013-04-02", "2013-04-03"], "min_days": 3}

    def test_labelled_days_pass(self, contracts: Contracts, window: pd.DataFrame) -> None:
        assert contracts.screen("window", window, parameters=self.PARAMETERS).reason == ""

    @pytest.mark.parametrize(
        ("breach", "said"),
        [
            (lambda w: w.assign(late=0.0), "the mean of late must be between 0.01 and 0.99"),
            (lambda w: set_first(w, "late", None), "late must not be null"),
            (lambda w: w[w["day"] != "2013-04-02"], "the number of different values of day"),
            (lambda w: set_first(w, "day", "2013-04-09"), "day must lie in the window"),
            (lambda w: pd.concat([w, w.iloc[[0]]]), "must be unique together"),
        ],
    )
    def test_what_nobody_should_train_on_refuses(
        self, contracts: Contracts, window: pd.DataFrame, breach: Any, said: str
    ) -> None:
        assert said in contracts.screen("window", breach(window), parameters=self.PARAMETERS).reason


class TestSuiteFiles:
    GOOD: ClassVar[dict[str, Any]] = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "x", "min_value": 0},
        "meta": {"level": "row"},
    }

    def write(self, folder: Path, *expectations: object) -> Contracts:
        text = json.dumps({"name": "things", "expectations": list(expectations)})
        (folder / "things.json").write_text(text, encoding="utf-8")
        return Contracts(folder)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"meta": {}}, 'meta.level is None; say "row"'),
            ({"meta": {"level": "warning"}}, "meta.level is 'warning'"),
            ({"type": "expect_column_values_to_be_lovely"}, "expect_column_values_to_be_lovely not found"),
            ({"kwargs": {"colum": "x", "min_value": 0}}, "colum"),
            ({"severity": "info"}, "unknown key severity"),
            (
                {"kwargs": {"column": "x", "min_value": 0, "row_condition": [{"$PARAMETER": "a"}]}},
                "must be the whole value of a kwarg",
            ),
            ({"type": "expect_column_mean_to_be_between"}, "cannot say which rows are bad"),
        ],
    )
    def test_a_wrong_entry_is_named_with_file_number_and_next_move(
        self, tmp_path: Path, change: dict[str, object], said: str
    ) -> None:
        contracts = self.write(tmp_path, self.GOOD, {**self.GOOD, **change})
        with pytest.raises(SettingsError) as caught:
            contracts.suite("things")
        assert f"{tmp_path / 'things.json'}: expectation 2" in str(caught.value)
        assert said in str(caught.value)

    @pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', '{"name": "x", "expectations": []}', "\xff"])
    def test_a_file_that_is_no_suite_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "things.json").write_text(text, encoding="latin-1")
        with pytest.raises(SettingsError, match=r"things\.json"):
            Contracts(tmp_path).suite("things")

    def test_a_missing_suite_says_where_it_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"things\.json: no such suite"):
            Contracts(tmp_path).suite("things")

    def test_a_parameter_that_is_not_given_is_named(self, tmp_path: Path) -> None:
        wants = {**self.GOOD, "kwargs": {"column": "x", "min_value": {"$PARAMETER": "low"}}}
        with pytest.raises(SettingsError, match=r"low.*those given are day"):
            self.write(tmp_path, wants).screen("things", pd.DataFrame({"x": [1]}), parameters={"day": "d"})

    def test_an_expectation_that_raises_inside_refuses(self, tmp_path: Path) -> None:
        contracts = self.write(tmp_path, self.GOOD)
        screened = contracts.screen("things", pd.DataFrame({"x": ["a", "b"]}), parameters={})
        assert screened.rejected
        assert "could not be evaluated" in screened.reason

    def test_the_suite_of_another_data_set_needs_nothing_but_its_file(self, tmp_path: Path) -> None:
        contracts = Contracts(self.write(tmp_path, self.GOOD).folder, Screen(max_quarantined_share=0.5))
        screened = contracts.screen("things", pd.DataFrame({"x": [1, -1]}), parameters={})
        assert screened.quarantined["reasons"].tolist() == ["x must be at least 0"]


class TestProfile:
    def test_a_footer_says_rows_and_nulls(self, tmp_path: Path) -> None:
        path = tmp_path / "day=2013-04-03.parquet"
        pd.DataFrame({"a": [1.0, np.nan, np.nan], "b": ["x", None, "y"]}).to_parquet(path, row_group_size=2)
        assert profile(path) == DayProfile(DAY, 3, {"a": 2, "b": 1})

    def test_a_footer_without_statistics_has_its_columns_read(self, tmp_path: Path) -> None:
        path = tmp_path / "day=2013-04-03.parquet"
        pq.write_table(pa.table({"a": [1, None], "b": ["x", "y"]}), path, write_statistics=["b"])
        assert profile(path) == DayProfile(DAY, 2, {"a": 1, "b": 0})

    def test_an_open_file_may_be_given_with_its_day(self, tmp_path: Path) -> None:
        pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "f")
        with (tmp_path / "f").open("rb") as file:
            assert profile(file, day=DAY) == DayProfile(DAY, 1, {"a": 0})

    def test_a_name_without_a_day_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="say which day"):
            profile(tmp_path / "f.parquet")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2013, 1, 31), date(2013, 2, 10)),  # a blizzard: over half of two days' flights never left
        (date(2013, 2, 27), date(2013, 3, 9)),  # the barometer of one airport fails
        (date(2013, 11, 20), date(2013, 11, 30)),  # Thanksgiving: a third fewer flights than usual
    ],
)
def test_real_days_pass_in_order_with_their_own_past(contracts: Contracts, first: date, last: date) -> None:
    past: dict[str, list[DayProfile]] = {"inputs": [], "labels": []}
    for n in range((last - first).days + 1):
        day = first + timedelta(days=n)
        frames = {"inputs": SOURCE.inputs(day), "labels": SOURCE.labels(day)}
        for asset, frame in frames.items():
            screened = contracts.screen(
                asset,
                frame,
                parameters=contracts.baselines(asset, past[asset], day=day),
                known_keys=frames["inputs"][KEY],
            )
            assert (day, asset, screened.reason, len(screened.quarantined)) == (day, asset, "", 0)
            past[asset].append(profile_of(day, screened.accepted))


def test_the_day_whose_weather_never_came_is_refused_in_one_readable_sentence(contracts: Contracts) -> None:
    day = date(2013, 12, 31)
    past = [profile_of(day - timedelta(days=n), SOURCE.inputs(day - timedelta(days=n))) for n in range(1, 29)]
    screened = contracts.screen("inputs", SOURCE.inputs(day), parameters=contracts.baselines("inputs", past, day=day))
    assert screened.reason == (
        "the share of humid, precip, visib that holds a value must be at least 90.0%, but it is 0.00%"
    )


class TestColumnsWithoutAnyValue:
    """Parquet's null type asks no expectation for its type by itself."""

    @pytest.mark.parametrize(("kind", "rejected"), [("int64", True), ("float64", False), ("str", False)])
    def test_it_is_judged_as_nulls_of_its_type_are(self, tmp_path: Path, kind: str, rejected: bool) -> None:
        expectation = {
            "type": "expect_column_values_to_be_of_type",
            "kwargs": {"column": "n", "type_": kind},
            "meta": {"level": "table"},
        }
        (tmp_path / "inputs.json").write_text(json.dumps({"name": "inputs", "expectations": [expectation]}))
        frame = pa.table({"id": [1, 2], "n": pa.nulls(2)}).to_pandas()
        screened = Contracts(tmp_path).screen("inputs", frame, parameters={})
        assert screened.rejected is rejected
        if rejected:
            assert "float64, as integers become when one of them is null" in screened.reason
