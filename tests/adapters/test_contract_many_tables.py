"""Tables judged with prepared expectations, many in one pass, come out as `batch.validate` says of each for itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.adapters.contracts import Contracts, Screened
from ml.adapters.contracts.many_tables import metrics_by_table
from ml.adapters.contracts.parts import OF_EACH_ROW
from ml.adapters.contracts.prepared import can_be_prepared
from ml.adapters.contracts.suite import Entry, read_suite
from ml.adapters.sources.demo import DemoSource
from ml.adapters.suite_files import write_entries
from ml.core.data.contracts import DayProfile
from ml.core.data.planted_errors import errors_for
from ml.core.data.row_checks import UsedColumns
from ml.settings import PROJECT_ROOT
from tests.adapters.test_contract_day_files import INPUTS, KEY, LABELS

judging = importlib.import_module("ml.adapters.contracts.judge")
SOURCE = DemoSource(replay=False)
FIRST = date(2013, 4, 3)
ROWS = 150
Frames = Mapping[str, tuple[date, pd.DataFrame, pd.DataFrame | None]]

GENERIC: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "n", "or_equal": True}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "x", "column_B": "n"}),
    ("expect_column_pair_values_to_be_in_set", {"column_A": "n", "column_B": "m", "value_pairs_set": [(1, 1), (2, 0)]}),
    ("expect_column_value_lengths_to_be_between", {"column": "t", "min_value": 1, "max_value": 3}),
    ("expect_column_value_lengths_to_equal", {"column": "t", "value": 2}),
    ("expect_column_values_to_be_between", {"column": "x", "min_value": -1, "max_value": 2}),
    ("expect_column_values_to_be_between", {"column": "o", "min_value": 0}),
    ("expect_column_values_to_be_between", {"column": "t", "min_value": "2013-01-01", "mostly": 0.5}),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "t"}),
    ("expect_column_values_to_be_in_set", {"column": "t", "value_set": ["a", "ab", ""]}),
    ("expect_column_values_to_be_in_set", {"column": "o", "value_set": [1, 2.5, "a", True]}),
    ("expect_column_values_to_be_json_parseable", {"column": "t"}),
    ("expect_column_values_to_be_null", {"column": "x"}),
    ("expect_column_values_to_match_json_schema", {"column": "t", "json_schema": {"type": "number"}}),
    ("expect_column_values_to_match_regex", {"column": "t", "regex": "^[ab]+$"}),
    ("expect_column_values_to_match_regex", {"column": "o", "regex": "a"}),
    ("expect_column_values_to_match_regex_list", {"column": "t", "regex_list": ["^a", "b$"]}),
    ("expect_column_values_to_match_strftime_format", {"column": "t", "strftime_format": "%Y"}),
    ("expect_column_values_to_not_be_in_set", {"column": "x", "value_set": [0, 1.5]}),
    ("expect_column_values_to_not_be_null", {"column": "o"}),
    ("expect_column_values_to_not_match_regex", {"column": "t", "regex": "1"}),
    ("expect_column_values_to_not_match_regex_list", {"column": "t", "regex_list": ["1", "2"]}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["x", "n"], "sum_total": 1}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["n", "m"]}),
    ("expect_column_values_to_be_multiples_of", {"column": "x", "step": 0.5}),
    ("expect_last_column_to_follow_from_others", {"column_list": ["t", "n"], "known": [["a", 1], ["a", 2], ["", 0]]}),
    (
        "expect_weighted_sum_to_be_between",
        {"column_list": ["x", "n"], "weights": [1, 2], "min_value": 0, "max_value": 3, "modulus": 7},
    ),
    ("expect_column_values_to_be_of_type", {"column": "o", "type_": "str"}),
    ("expect_column_values_to_be_of_type", {"column": "x", "type_": "float64"}),
    ("expect_column_values_to_be_in_type_list", {"column": "o", "type_list": ["str", "int"]}),
    ("expect_column_values_to_be_unique", {"column": "n"}),
    ("expect_column_values_to_be_increasing", {"column": "n"}),
    ("expect_column_value_z_scores_to_be_less_than", {"column": "x", "threshold": 1, "double_sided": True}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["n", "t"]}),
    ("expect_column_mean_to_be_between", {"column": "x", "min_value": -1, "max_value": 1}),
    ("expect_column_median_to_be_between", {"column": "x", "min_value": -1, "max_value": 1}),
    ("expect_column_min_to_be_between", {"column": "n", "min_value": 0}),
    ("expect_column_max_to_be_between", {"column": "n", "max_value": 2}),
    ("expect_column_stdev_to_be_between", {"column": "x", "max_value": 2}),
    ("expect_column_sum_to_be_between", {"column": "x", "max_value": 2}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "m", "value_set": [1]}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "t", "value_set": ["a", "ab", ""]}),
    ("expect_column_distinct_values_to_contain_set", {"column": "t", "value_set": ["a"]}),
    ("expect_column_distinct_values_to_equal_set", {"column": "t", "value_set": ["a", "ab"]}),
    ("expect_column_unique_value_count_to_be_between", {"column": "n", "max_value": 3}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "n", "max_value": 0.8}),
    ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "x", "min_value": 0.8}),
    (
        "expect_column_quantile_values_to_be_between",
        {"column": "x", "quantile_ranges": {"quantiles": [0.1, 0.9], "value_ranges": [[-2, 0], [0, 2]]}},
    ),
    ("expect_column_kl_divergence_to_be_less_than", {
        "column": "m", "threshold": 0.1, "partition_object": {"values": [0, 1], "weights": [0.5, 0.5]},
    }),
    ("expect_column_kl_divergence_to_be_less_than", {
        "column": "x", "threshold": 0.5,
        "partition_object": {"bins": [-4.0, 0.5, 3.0], "weights": [0.5, 0.5], "tail_weights": [0.0, 0.0]},
    }),
    ("expect_column_kl_divergence_to_be_less_than", {"column": "n", "threshold": 0.1, "bucketize_data": False}),
    ("expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between", {"column": "x", "min_value": 0.5}),
    ("expect_column_to_exist", {"column": "t"}),
    ("expect_table_column_count_to_equal", {"value": 5}),
    ("expect_table_columns_to_match_set", {"column_set": ["x", "n", "m", "t", "o"]}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["x", "n", "m", "t", "z"]}),
    ("expect_table_row_count_to_be_between", {"min_value": 3}),
]  # fmt: skip


def facts(results: Mapping[int, Any]) -> dict[int, Any]:
    """Return results as Great Expectations writes them, without the lines of its code that an error passed."""
    written = {number: result.to_json_dict() for number, result in results.items()}
    for result in written.values():
        for info in (result["exception_info"], *result["exception_info"].values()):
            if isinstance(info, dict):
                info.pop("exception_traceback", None)
    return written


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Entry, ...]:
    folder = tmp_path_factory.mktemp("suite")
    entries = [{"type": kind, "kwargs": kwargs, "meta": {"level": "table"}} for kind, kwargs in GENERIC]
    write_entries(folder / "things.json", entries)
    return read_suite(folder / "things.json")


def test_every_expectation_that_looks_at_a_row_alone_is_tried() -> None:
    assert {kind for kind, _ in GENERIC} >= OF_EACH_ROW


NUMBER = st.sampled_from([0.0, 1.0, 1.5, 2.0, -3.25, 1e300, np.nan, np.inf])
TEXT = st.sampled_from(["a", "ab", "", "2013", "{", "1", None])
OBJECT = st.sampled_from([1, 2.5, "a", True, None, "1"])
ROW = st.tuples(NUMBER, st.integers(0, 3), st.integers(0, 1), TEXT, OBJECT)
TABLE = st.lists(ROW, min_size=1, max_size=8)


def as_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "x": np.array(columns[0], dtype=float),
            "n": np.array(columns[1], dtype=np.int64),
            "m": np.array(columns[2], dtype=np.int64),
            "t": pd.Series(columns[3], dtype="str"),
            "o": pd.Series(columns[4], dtype=object),
        }
    )


@pytest.mark.timeout(600)
@settings(max_examples=5, deadline=None)
@given(tables=st.lists(TABLE, min_size=2, max_size=4))
def test_any_tables_are_judged_as_each_for_itself(
    tables: Sequence[Sequence[tuple[Any, ...]]], suite: Sequence[Entry]
) -> None:
    frames = [as_table(rows) for rows in tables]
    for frame, known in zip(frames, metrics_by_table(suite, frames), strict=True):
        each = judging.evaluate_anew(suite, frame, {})
        prepared = {entry.number: judging.evaluate([entry], frame, {}, known)[entry.number] for entry in suite}
        assert facts(prepared) == facts(each)


def test_tables_without_errors_are_not_handed_back_to_batch_validate(
    suite: Sequence[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(0.0, 0, 1, "1", "a"), (1.0, 1, 0, "2", "b")]
    expected = judging.evaluate_anew(suite, as_table(rows), {})
    fails = {number for number, result in expected.items() if judging.exception_of(result)}
    assert {entry.kwargs["column"] for entry in suite if entry.number in fails} == {"t", "o"}  # text is no number
    suite = [entry for entry in suite if entry.number not in fails and can_be_prepared(entry)]
    expected = judging.evaluate_anew(suite, as_table(rows), {})
    monkeypatch.setattr(judging, "evaluate_anew", lambda entries, *_: dict.fromkeys(entries))
    assert facts(judging.evaluate(suite, as_table(rows), {})) == facts(expected)


@pytest.fixture(scope="module")
def frames() -> dict[str, Frames]:
    """Return days of inputs and labels, good and broken in every way that the tests of large days know, and planted."""
    days = [FIRST + timedelta(days=n) for n in range(6)]
    changes: dict[str, dict[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {"inputs": INPUTS, "labels": LABELS}
    made: dict[str, Any] = {"inputs": {}, "labels": {}}
    for number, day in enumerate(days):
        inputs, labels = SOURCE.inputs(day).head(ROWS), SOURCE.labels(day).head(ROWS)
        for what, change in list(changes["inputs"].items())[number :: len(days)]:
            made["inputs"][f"{what} on {day}"] = (day, change(inputs).reset_index(drop=True), None)
        for what, change in list(changes["labels"].items())[number :: len(days)]:
            made["labels"][f"{what} on {day}"] = (day, change(labels).reset_index(drop=True), inputs[list(KEY)])
        for asset, table, keys in (("inputs", inputs, None), ("labels", labels, inputs[list(KEY)])):
            made[asset][f"as it came on {day}"] = (day, table.reset_index(drop=True), keys)
    inputs = SOURCE.inputs(FIRST).head(ROWS).reset_index(drop=True)
    errors = list(errors_for(inputs, key=KEY))
    for error in errors[:: len(errors) // 12]:
        planted, _ = error.plant(inputs, 0.05, 7)
        made["inputs"][f"{error.kind} of {error.columns}"] = (FIRST, planted, None)
    return made  # fmt: skip


def screened(contracts: Contracts, asset: str, frames: Frames, *, at_once: bool) -> dict[str, Screened]:
    found = contracts.row_metrics(asset, [frame for _, frame, _ in frames.values()]) if at_once else None
    recent = [DayProfile(FIRST - timedelta(days=n), ROWS, {"temp": n % 3}) for n in range(1, 29)]
    return {
        what: contracts.screen(
            asset,
            frame,
            parameters={"day": day.isoformat(), **contracts.baselines(asset, recent, day=day)},
            known_keys=keys,
            row_metrics=found[number] if found else None,
        )
        for number, (what, (day, frame, keys)) in enumerate(frames.items())
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("asset", ["inputs", "labels"])
def test_days_good_and_broken_come_to_the_same_verdict_rows_reasons_and_report(
    asset: str, frames: dict[str, Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = Contracts(PROJECT_ROOT / "expectations", used=UsedColumns(KEY))
    at_once = screened(contracts, asset, frames[asset], at_once=True)
    monkeypatch.setattr(judging, "evaluate", lambda entries, frame, parameters, *_: judging.evaluate_anew(
        entries, frame, parameters
    ))  # fmt: skip
    one_by_one = screened(contracts, asset, frames[asset], at_once=False)
    assert {screened.rejected for screened in one_by_one.values()} == {False, True}
    assert any(len(screened.quarantined) for screened in one_by_one.values())
    for what, ours in at_once.items():
        theirs = one_by_one[what]
        assert (ours.html, ours.result, ours.failures) == (theirs.html, theirs.result, theirs.failures), what
        assert (ours.rejected, ours.reason) == (theirs.rejected, theirs.reason), what
        pd.testing.assert_frame_equal(ours.accepted, theirs.accepted)
        pd.testing.assert_frame_equal(ours.quarantined, theirs.quarantined)


def test_metrics_of_another_table_are_refused() -> None:
    contracts = Contracts(PROJECT_ROOT / "expectations", used=UsedColumns(KEY))
    frame = SOURCE.inputs(FIRST).head(ROWS)
    found = contracts.row_metrics("inputs", [frame, frame.head(20)])
    with pytest.raises(ValueError, match="150 rows of inputs do not belong to 20"):
        contracts.screen("inputs", frame.head(20), parameters={}, row_metrics=found[0])
