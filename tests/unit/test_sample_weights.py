"""Rows that count more: by a column, by their age, in whatever estimator takes weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ml.core.training.estimators import build, predict
from ml.core.training.features import matrix
from ml.core.training.sample_weights import weights
from ml.errors import DataRejected, SettingsError
from ml.settings import SampleWeight
from ml.steps.retrain.pipelines import fit_pipeline
from tests.builders import settings

ROWS = pd.DataFrame({"day": ["2024-01-01", "2024-01-01", "2024-01-11", "2024-01-21"], "premium": [1.0, 0.0, 3.0, 4.0]})


def test_weights_are_the_column_s_and_1_on_average() -> None:
    assert weights(ROWS, SampleWeight(column="premium")).tolist() == [0.5, 0.0, 1.5, 2.0]


def test_a_row_counts_half_after_its_half_life() -> None:
    found = weights(ROWS, SampleWeight(half_life_days=10))
    assert (found / found[-1]).tolist() == [0.25, 0.25, 0.5, 1.0]
    assert found.mean() == pytest.approx(1)


def test_both_are_multiplied() -> None:
    found = weights(ROWS, SampleWeight(column="premium", half_life_days=10))
    assert (found / found[-1]).tolist() == [0.0625, 0.0, 0.375, 1.0]


@pytest.mark.parametrize("bad", [None, np.nan, -1.0, np.inf, "many"])
def test_a_weight_that_is_none_names_column_and_day(bad: Any) -> None:
    rows = ROWS.assign(premium=pd.Series([1.0, 1.0, bad, 1.0], dtype=object))
    with pytest.raises(DataRejected, match=r"'premium' .* 1 row, first on 2024-01-11; correct the source"):
        weights(rows, SampleWeight(column="premium"))


def test_a_missing_column_and_weights_that_are_all_zero_are_rejected() -> None:
    with pytest.raises(DataRejected, match="names 'prize', which is not in inputs"):
        weights(ROWS, SampleWeight(column="prize"))
    with pytest.raises(DataRejected, match="all 4 training rows have the weight 0"):
        weights(ROWS.assign(premium=0), SampleWeight(column="premium"))


def regression(fit: dict[str, Any]) -> Any:
    return settings(
        task={"kind": "regression"}, features={"categorical": [], "numeric": ["number"], "spline": [], "history": []},
        fit=fit, gate={"metric": "rmse", "rules": {}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("estimator", "args"),
    [
        ("sklearn.linear_model.LinearRegression", {}),
        ("lightgbm.LGBMRegressor", {"n_estimators": 30}),
        ("xgboost.XGBRegressor", {"n_estimators": 30, "max_depth": 2}),
        ("sklearn.pipeline.Pipeline", {"steps": [
            ["all", {"estimator": "sklearn.decomposition.PCA"}],
            ["last", {"estimator": "sklearn.linear_model.LinearRegression"}]]}),
    ],
)  # fmt: skip
def test_a_fit_follows_the_days_that_count(estimator: str, args: dict[str, Any]) -> None:
    """The relation turned round half-way: with a half-life the newer one is learned, without it neither."""
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    rows = pd.DataFrame({"day": np.repeat(days, 20), "number": random.normal(size=800)})
    sign = np.where(rows["day"] < days[20], -1.0, 1.0)
    probe = pd.DataFrame({"number": [1.5]})

    def predicted(fit: dict[str, Any]) -> float:
        chosen = regression({"estimator": estimator, "args": args, **fit})
        labelled = rows.assign(**{chosen.task.target: sign * rows["number"]})
        return float(predict(fit_pipeline(labelled, chosen), matrix(probe, chosen.features), "regression")[0])

    assert predicted({"sample_weight": {"half_life_days": 2}}) > 1.2
    assert abs(predicted({})) < 0.8


@pytest.mark.parametrize(
    "path", ["sklearn.neighbors.KNeighborsClassifier", "sklearn.gaussian_process.GaussianProcessClassifier"]
)
def test_an_estimator_that_takes_no_weights_is_refused_before_the_fit(path: str) -> None:
    chosen = settings(fit={"estimator": path, "args": {}, "sample_weight": {"half_life_days": 30}})
    with pytest.raises(SettingsError, match=rf"fit.estimator {path} takes no sample weights; leave"):
        build(chosen.task, chosen.features, chosen.fit)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({}, "say by what"), ({"half_life_days": 0}, "greater than 0"), ({"column": "day"}, "cannot be 'day'")],
)
def test_wrong_weights_are_errors_of_the_settings(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, SettingsError), match=said):
        settings(fit={"sample_weight": wanted})


def test_the_column_is_held_to_be_finite_like_a_feature() -> None:
    from ml.core.data.row_checks import used_columns

    assert "premium" in (used_columns(settings(fit={"sample_weight": {"column": "premium"}})).finite or ())
