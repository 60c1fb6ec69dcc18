"""Labels say one of two classes, whatever they are written as, or a number; anything else is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.data.row_checks import UsedColumns, check_table, refuse_third_label
from ml.core.data.targets import coded, odd_labels, other_label
from ml.core.training.features import join_labels
from ml.errors import DataRejected
from ml.settings import Task


def task(kind: str = "classification", **more: Any) -> Task:
    return Task(name="churn", kind=kind, target="churned", key=("day", "id"), label_delay_days=1, **more)  # type: ignore[arg-type]


SERIES: list[tuple[Any, Any, list[float]]] = [
    (pd.Series([1, 2, 2]), 2, [0, 1, 1]),
    (pd.Series([-1, 1]), 1, [0, 1]),
    (pd.Series([1.0, 2.0, np.nan]), 2, [0, 1, np.nan]),
    (pd.Series(["no", "yes", None]), "yes", [0, 1, np.nan]),
    (pd.Series(["no", "yes", None], dtype="string"), "yes", [0, 1, np.nan]),
    (pd.Series(["no", "yes"], dtype="category"), "yes", [0, 1]),
    (pd.Series([False, True]), True, [0, 1]),
    (pd.array([False, True, None], dtype="boolean"), False, [1, 0, np.nan]),
    (pd.Series([Decimal(1), Decimal(2)]), 2, [0, 1]),
    (pd.Series(["1", "2"]), "2", [0, 1]),
    (pd.Series([1, 2], dtype="uint8"), 2, [0, 1]),
]


@pytest.mark.parametrize(("values", "positive", "wanted"), SERIES)
def test_the_positive_class_is_one_and_the_other_zero(values: Any, positive: Any, wanted: list[float]) -> None:
    series = pd.Series(values)
    np.testing.assert_array_equal(coded(series, positive).to_numpy(dtype=float), wanted)
    assert not odd_labels(series, task(positive=positive))[0].any()


@pytest.mark.parametrize(
    "values", [[0, 1], [0.0, 1.0, None], [True, False], [Decimal(0), Decimal(1)], [0], [None, None], []]
)
def test_without_it_labels_are_zero_and_one(values: list[Any]) -> None:
    assert not odd_labels(pd.Series(values), task())[0].any()


@pytest.mark.parametrize(
    ("values", "rows", "said"),
    [
        (
            [1, 2, 1],
            [False, True, False],
            "2 is neither 0 nor 1, which classification means: correct the labels, or set task.positive",
        ),
        ([-1, 1, 0], [True, False, False], "-1 is neither 0 nor 1"),
        ([0, 1, 2, 3], [False, False, True, True], "2, 3 are neither 0 nor 1"),
        (
            ["no", "yes"],
            [True, True],
            "'no', 'yes' are neither 0 nor 1, which classification means: correct the labels, or set task.positive",
        ),
        (["0", "1"], [True, True], "'0', '1' are neither 0 nor 1"),
        ([0.5, 1.0], [True, False], "0.5 is neither 0 nor 1"),
    ],
)
def test_anything_else_is_named_with_what_to_set(values: list[Any], rows: list[bool], said: str) -> None:
    odd, reason = odd_labels(pd.Series(values), task())
    assert odd.tolist() == rows
    assert said in reason


def test_a_third_class_is_named_beside_the_two() -> None:
    odd, reason = odd_labels(pd.Series(["no", "yes", "no", "maybe", None]), task(positive="yes"))
    assert odd.tolist() == [False, False, False, True, False]
    assert "'maybe' is neither task.positive ('yes') nor the other class ('no')" in reason


def test_a_declared_other_class_is_asked_of_each_day() -> None:
    declared = task(positive="yes", negative="no")
    assert odd_labels(pd.Series(["n", "yes"]), declared)[0].tolist() == [True, False]
    assert not odd_labels(pd.Series(["n", "yes"]), task(positive="yes"))[0].any()
    assert other_label(pd.Series(["n", "yes", "n"]), task(positive="yes")) == "n"


def test_days_that_do_not_agree_on_the_other_class_are_named() -> None:
    refuse_third_label({"labels of 2025-01-01": "no", "labels of 2025-01-02": None, "labels of 2025-01-03": "no"})
    with pytest.raises(DataRejected, match=r"'no' in labels of 2025-01-01, 'n' in labels of 2025-01-02"):
        refuse_third_label({"labels of 2025-01-01": "no", "labels of 2025-01-02": "n"})


@pytest.mark.parametrize("values", [[1, 2.5, None], [Decimal("1.5"), None], [True, False]])
def test_a_regression_takes_numbers(values: list[Any]) -> None:
    assert not odd_labels(pd.Series(values), task("regression"))[0].any()


def test_a_regression_takes_no_text() -> None:
    odd, reason = odd_labels(pd.Series([1.5, "2.5", None]), task("regression"))
    assert odd.tolist() == [False, True, False]
    assert "'2.5' is no number, and a regression predicts one" in reason


def test_a_table_of_labels_is_refused_with_values_column_and_rows() -> None:
    frame = pd.DataFrame({"day": "d", "id": [1, 2, 3], "churned": [1, 2, 2]})
    (failure,) = check_table("labels", frame, UsedColumns(task=task()), np.array([7, 8, 9]))
    assert (failure.level, failure.unexpected_rows, failure.examples) == ("table", 2, ("row 8", "row 9"))
    assert "column 'churned'" in failure.message and "2 is neither 0 nor 1" in failure.message


def test_labels_are_read_as_numbers_where_they_are_joined() -> None:
    key = pd.DataFrame({"day": "d", "id": [1, 2, 3]})
    joined = join_labels(
        key, key.assign(churned=["yes", None, "no"]), key=["day", "id"], target="churned", positive="yes"
    )
    assert joined["churned"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "regression", "positive": 1}, "positive names a class"),
        ({"negative": "no"}, "give both"),
        ({"positive": "no", "negative": "no"}, "not the same"),
    ],
)
def test_settings_that_name_no_two_classes_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        task(**more)


def test_text_that_nobody_gave_a_meaning_is_named_where_it_is_read() -> None:
    with pytest.raises(
        DataRejected, match="churned holds text such as 'yes', and the model's task.positive is not set"
    ):
        coded(pd.Series(["yes", None], name="churned"), None)
