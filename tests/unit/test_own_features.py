"""A function of an adopter's own: what it is given, and what is refused of what it returns."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.training.estimators import build, predict, stand_in
from ml.core.training.features import feature_columns
from ml.core.training.own_features import compute, load
from ml.errors import DataRejected, SettingsError
from ml.settings import Features, PythonFeature
from tests.builders import settings

DAY = date(2024, 1, 9)
WANTED = PythonFeature(function="tests.unit.test_own_features:spend", numeric=("spend",), categorical=("kind",))
INPUTS = pd.DataFrame({"day": ["2024-01-09"] * 3, "shop": ["a", "b", "c"]}, index=[7, 8, 9])
LABELLED = pd.DataFrame({"day": ["2024-01-07"] * 2, "shop": ["a", "b"], "amount": [1.0, 2.0]})


def spend(inputs: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    means = labelled.groupby("shop")["amount"].mean()
    return pd.DataFrame({"spend": inputs["shop"].map(means), "kind": np.where(inputs["shop"] == "a", "old", "new")})


def test_it_gives_the_declared_columns_in_the_order_of_the_inputs() -> None:
    columns = compute(load(WANTED), WANTED, DAY, INPUTS, LABELLED)
    assert columns["spend"].tolist()[:2] == [1.0, 2.0] and np.isnan(columns["spend"][2])
    assert columns["kind"].tolist() == ["old", "new", "new"]
    assert list(columns) == ["spend", "kind"]


def test_what_it_does_to_its_arguments_stays_there() -> None:
    inputs, labelled = INPUTS.copy(), LABELLED.copy()

    def greedy(rows: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
        rows["shop"], earlier["amount"] = "x", 0.0
        return rows.assign(spend=1, kind="x")

    compute(greedy, WANTED, DAY, inputs, labelled)
    pd.testing.assert_frame_equal(inputs, INPUTS)
    pd.testing.assert_frame_equal(labelled, LABELLED)


GOOD = {"spend": [1, 2, 3], "kind": ["a", "b", None]}


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda: 1 / 0, r"failed on 3 rows of inputs and 2 labelled ones \(ZeroDivisionError: division by zero\)"),
        (lambda: [1, 2, 3], "returned a list; it must return a DataFrame of 3 rows"),
        (lambda: pd.DataFrame(GOOD).head(2), "returned 2 rows; it must return a DataFrame of 3 rows"),
        (lambda: pd.DataFrame(GOOD).iloc[::-1], "rows in another order"),
        (lambda: pd.DataFrame(GOOD).drop(columns="spend"), "returned no column 'spend'"),
        (
            lambda: pd.DataFrame({**GOOD, "spend": [1.0, np.inf, 3.0]}),
            "column 'spend' is infinite .* in row 1",
        ),
        (lambda: pd.DataFrame({**GOOD, "spend": ["a", "b", "c"]}), "column 'spend' holds what is no number"),
        (lambda: pd.DataFrame({**GOOD, "kind": [1, 2, 3]}), "column 'kind' is a category and holds other than text"),
    ],
)
def test_what_it_must_not_return_names_function_day_and_column(returned: Any, said: str) -> None:
    with pytest.raises(DataRejected, match=rf"tests.unit.test_own_features:spend on 2024-01-09.*{said}"):
        compute(lambda _inputs, _labelled: returned(), WANTED, DAY, INPUTS, LABELLED)


def test_a_column_that_inputs_have_already_is_refused() -> None:
    with pytest.raises(DataRejected, match="inputs have a column 'spend' already"):
        compute(load(WANTED), WANTED, DAY, INPUTS.assign(spend=1), LABELLED)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("no_such_module:f", "cannot be imported"),
        ("tests.unit.test_own_features:nothing", "cannot be imported"),
        ("tests.unit.test_own_features:DAY", "is not a function"),
    ],
)
def test_a_path_that_leads_to_no_function_is_an_error_of_the_settings(function: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(PythonFeature(function=function, numeric=("spend",)))


@pytest.mark.parametrize(
    "python",
    [
        {"function": "acme.f", "numeric": ["x"]},
        {"function": "acme:f"},
        {"function": "acme:f", "numeric": ["x", "x"]},
        {"function": "acme:f", "numeric": ["number"]},
        {"function": "acme:f", "numeric": ["x"], "days": 0},
    ],
)
def test_wrong_declarations_are_errors_of_the_settings(python: dict[str, Any]) -> None:
    with pytest.raises((SettingsError, ValueError)):
        settings(features={"python": python})


def test_a_model_sees_them_as_it_sees_others() -> None:
    features = Features(numeric=("weight",), python=WANTED, min_category_rows=1)
    assert feature_columns(features) == ["kind", "weight", "spend"]
    task = settings().task
    rows, target = stand_in(task, features)
    pipeline = build(task, features, settings().fit).fit(rows, target)
    assert np.isfinite(predict(pipeline, rows.assign(kind=None, spend=np.nan), "classification")).all()
