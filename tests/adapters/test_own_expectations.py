"""Expectations of our own, asked by Great Expectations, of a whole table and of its parts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.contracts import Contracts
from ml.adapters.contracts.day_files import screen_file
from ml.adapters.contracts.trial import Trial, found_by_kind, missed, profiles_of
from ml.adapters.suite_files import read_entries, write_entries, write_suite
from ml.core.data.planted_errors import errors_for
from ml.core.data.suite_proposals import propose_suite
from ml.errors import SettingsError
from ml.settings import Task

ENTRIES = [
    {
        "type": "expect_column_values_to_be_multiples_of",
        "kwargs": {"column": "a", "step": 0.01},
        "meta": {"level": "row"},
    },
    {
        "type": "expect_weighted_sum_to_be_between",
        "kwargs": {"column_list": ["a", "b"], "weights": [1, -1], "min_value": 0, "max_value": 0, "modulus": 10},
        "meta": {"level": "row"},
    },
    {
        "type": "expect_last_column_to_follow_from_others",
        "kwargs": {"column_list": ["k", "j", "a"], "known": [["x", 1, 1.5], ["x", 1, 1.6], ["y", 1, 2.0]]},
        "meta": {"level": "row"},
    },
]
FRAME = pd.DataFrame(
    {
        "a": [1.5, 2.001, 3.0, None, 2.0, 1.6],
        "b": [1.5, 2.001, 13.0, 5.0, 3.0, 1.6],
        "k": ["x", "z", "z", "x", "y", "x"],
        "j": [1, 1, 1, 1, 1, 1],
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_entries(tmp_path / "inputs.json", ENTRIES)
    return tmp_path


def test_each_names_the_rows_that_break_it(folder: Path) -> None:
    screened = Contracts(folder).screen("inputs", FRAME, parameters={})
    by_type = {failure.expectation: failure.positions for failure in screened.failures}
    assert by_type == {
        "expect_column_values_to_be_multiples_of": (1,),
        "expect_weighted_sum_to_be_between": (4,),
    }
    other = FRAME.assign(a=[1.7, 2.0, 3.0, None, 2.0, 1.6], b=[1.7, 2.0, 3.0, None, 2.0, 1.6])
    screened = Contracts(folder).screen("inputs", other, parameters={})
    assert [failure.positions for failure in screened.failures] == [(0,)]


def test_parts_say_the_same_as_the_whole(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    pd.concat([FRAME] * 50, ignore_index=True).assign(id=np.arange(300)).to_parquet(path)
    results = []
    for rows_at_once in (1000, 100):
        workdir = tmp_path / str(rows_at_once)
        workdir.mkdir()
        screened = screen_file(
            Contracts(folder), "inputs", path, key=["id"], parameters={}, folder=workdir, rows_at_once=rows_at_once
        ).screened
        results.append({(f.expectation, f.unexpected_rows) for f in screened.failures})
    assert results[0] == results[1]


EMPTY_OR = "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between"


def test_a_column_may_not_be_empty_for_ever(tmp_path: Path) -> None:
    """The days before count as they were accepted: after the most that are legal, each further one is rejected."""
    run = {"max_empty_days": 2, "empty_days_before": {"$PARAMETER": "empty_days_before__a"}}
    share = {"type": EMPTY_OR, "kwargs": {"column": "a", "min_value": 0.9, **run}, "meta": {"level": "table"}}
    write_entries(tmp_path / "inputs.json", [share])
    contracts, accepted, rejected = Contracts(tmp_path), [], []
    for number, has_values in enumerate([True, False, False, True, False, False, False, False, True]):
        day = date(2024, 1, 1 + number)
        frame = pd.DataFrame({"id": range(20), "a": 1.0 if has_values else np.nan})
        parameters = contracts.baselines("inputs", accepted, day=day)
        if contracts.screen("inputs", frame, parameters=parameters).rejected:
            rejected.append(number)
        else:
            accepted += profiles_of({day: frame})
    assert rejected == [6, 7]


@pytest.mark.parametrize(("values", "met"), [(0, True), (3, False), (270, True), (300, True)])
@pytest.mark.parametrize("rows_at_once", [1000, 100])
def test_a_column_may_be_empty_on_a_whole_day_and_not_on_most_of_one(
    tmp_path: Path, values: int, met: bool, rows_at_once: int
) -> None:
    of_type = {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "a", "type_": "float64"}}
    share = {"type": EMPTY_OR, "kwargs": {"column": "a", "min_value": 0.9}}
    write_entries(tmp_path / "inputs.json", [{**entry, "meta": {"level": "table"}} for entry in (of_type, share)])
    path = tmp_path / "day.parquet"
    pd.DataFrame({"id": np.arange(300), "a": np.where(np.arange(300) < values, 1.5, np.nan)}).to_parquet(path)
    screened = screen_file(
        Contracts(tmp_path), "inputs", path, key=["id"], parameters={}, folder=tmp_path, rows_at_once=rows_at_once
    ).screened
    assert screened.rejected is not met
    assert met or screened.reason == (
        "unless a has no value at all, the share of it that holds one must be at least 90.0%, but it is 1.00%"
    )


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (
            "expect_weighted_sum_to_be_between",
            {"column_list": ["a", "b"], "weights": [1], "min_value": 0, "max_value": 0},
        ),
        ("expect_last_column_to_follow_from_others", {"column_list": ["a", "b"], "known": [[1]]}),
        ("expect_column_values_to_be_multiples_of", {"column": "a", "step": 0}),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, kind: str, kwargs: dict[str, object]) -> None:
    write_entries(tmp_path / "inputs.json", [{"type": kind, "kwargs": kwargs, "meta": {"level": "row"}}])
    with pytest.raises(SettingsError, match="Great Expectations refuses it"):
        Contracts(tmp_path).suite("inputs")


def test_what_is_proposed_accepts_later_days_and_finds_errors(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=40)]
    net = np.round(chance.gamma(3.0, 20.0, 100 * len(days)) + 5, 2)
    tax = np.round(net * 0.2, 2)
    shop = chance.choice(["north", "south", "west"], len(net), p=[0.6, 0.3, 0.1])
    table = pd.DataFrame({"day": np.repeat(days, 100), "id": np.arange(len(net)), "shop": shop, "net": net, "tax": tax})
    table["gross"] = np.round(table["net"] + table["tax"], 2)
    task = Task(name="sales", kind="regression", target="units", key=("day", "id"), label_delay_days=1)
    write_suite(tmp_path / "inputs.json", propose_suite(table[table["day"] < days[30]], asset="inputs", task=task))
    assert all(entry["meta"]["proposed"] for entry in read_entries(tmp_path / "inputs.json"))
    frames = {pd.Timestamp(day).date(): frame.reset_index(drop=True) for day, frame in table.groupby("day")}
    later = {day: frame for day, frame in frames.items() if str(day) >= days[30]}
    trial = Trial(Contracts(tmp_path), "inputs", later, profiles_of(frames))
    assert [result.day for result in trial.clean_days() if result.rejected] == []
    last = max(later)
    errors = [error for error in errors_for(later[last], key=task.key) if error.kind != "other unit"]
    trials = list(trial.planted(errors, [last], shares=(0.2,)))
    assert missed(trials) == []
    assert {row["rejected"] for row in found_by_kind(trials)} == {1.0}
