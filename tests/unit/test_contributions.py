"""What a linear model says of a row is the sum of what its columns say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.scoring.contributions import explainer, linear_contributions, linear_weights, transformed_sources
from ml.core.training.estimators import build, predict
from ml.settings import Features, Fit, Task

LOGISTIC = "sklearn.linear_model.LogisticRegression"
FEATURES = Features(categorical=("c", "d"), numeric=("n",), spline=("s",), min_category_rows=10)


def fitted(estimator: str, *, kind: str = "classification", encoding: str = "onehot", **args: Any) -> tuple[Any, Any]:
    chance = np.random.default_rng(0)
    rows = pd.DataFrame({
        "c": chance.choice(["a", "b", "rare"], 300, p=[0.5, 0.48, 0.02]), "d": chance.choice(["x", "y"], 300),
        "n": chance.normal(size=300), "s": chance.normal(size=300),
    })  # fmt: skip
    target = rows["n"] + (rows["c"] == "a") + chance.normal(size=300)
    target = (target > 0.5).astype(int) if kind == "classification" else target
    task = Task.model_validate({"name": "t", "kind": kind, "target": "y", "key": ["day", "id"], "label_delay_days": 1})
    fit = Fit.model_validate({"estimator": estimator, "args": args, "encoding": encoding})
    return build(task, FEATURES, fit).fit(rows, target), rows


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize(
    ("estimator", "kind"), [(LOGISTIC, "classification"), ("sklearn.linear_model.Ridge", "regression")]
)
def test_the_parts_of_a_row_add_up_to_the_difference_from_the_usual_row(
    estimator: str, kind: str, encoding: str
) -> None:
    pipeline, rows = fitted(estimator, kind=kind, encoding=encoding)
    weights = linear_weights(pipeline, rows, kind)
    assert weights is not None
    usual = pipeline[:-1].transform(rows).mean(axis=0)
    parts = linear_contributions(pipeline, rows, weights, usual)
    assert list(parts) == ["c", "d", "n", "s"]
    said = predict(pipeline, rows, kind)
    said = np.log(said / (1 - said)) if kind == "classification" else said
    assert np.allclose(parts.sum(axis=1), said - said.mean())
    assert np.allclose(parts.mean(), 0)


def test_each_transformed_column_has_its_source() -> None:
    pipeline, rows = fitted(LOGISTIC)
    sources = transformed_sources(pipeline)
    assert len(sources) == pipeline[:-1].transform(rows).shape[1]
    assert {name: sources.count(name) for name in ("c", "d", "n")} == {"c": 3, "d": 2, "n": 1}
    changed = rows.assign(s=rows["s"] + 1)
    moved = (pipeline[:-1].transform(rows) != pipeline[:-1].transform(changed)).any(axis=0)
    assert {source for source, other in zip(sources, moved, strict=True) if other} == {"s"}


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        ("sklearn.tree.DecisionTreeClassifier", "classification"),
        ("sklearn.linear_model.PoissonRegressor", "regression"),  # has weights, and predicts no sum
    ],
)
def test_a_model_whose_predictions_are_no_sum_has_no_weights(estimator: str, kind: str) -> None:
    pipeline, rows = fitted(LOGISTIC) if kind == "classification" else fitted("sklearn.linear_model.Ridge", kind=kind)
    from sklearn.linear_model import PoissonRegressor
    from sklearn.tree import DecisionTreeClassifier

    chosen = DecisionTreeClassifier() if kind == "classification" else PoissonRegressor()
    transformed = pipeline[:-1].transform(rows)
    chosen.fit(transformed, (rows["n"] > 0).astype(int) if kind == "classification" else np.exp(rows["n"]))
    pipeline.steps[-1] = ("estimator", chosen)
    assert linear_weights(pipeline, rows, kind) is None


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        ("lightgbm.LGBMClassifier", "classification"),
        ("lightgbm.LGBMRegressor", "regression"),
        ("xgboost.XGBClassifier", "classification"),
        ("xgboost.XGBRegressor", "regression"),
    ],
)
def test_the_parts_of_boosted_trees_add_up_and_name_what_moved_them(estimator: str, kind: str, encoding: str) -> None:
    pytest.importorskip(estimator.partition(".")[0])
    pipeline, rows = fitted(estimator, kind=kind, encoding=encoding, n_estimators=20)
    explain = explainer(pipeline, rows, kind)
    assert explain is not None
    parts = explain(rows.head(50))
    assert list(parts) == ["c", "d", "n", "s"]
    said = predict(pipeline, rows.head(50), kind)
    said = np.log(said / (1 - said)) if kind == "classification" else said
    apart = said - parts.sum(axis=1).to_numpy()
    assert np.allclose(apart, apart[0], atol=1e-3), "all but the mean row is in the parts"
    assert parts["n"].abs().mean() > parts["d"].abs().mean(), "d is noise"


def test_trees_that_do_not_add_up_to_their_prediction_have_no_parts() -> None:
    pytest.importorskip("lightgbm")
    pipeline, rows = fitted("sklearn.ensemble.HistGradientBoostingRegressor", kind="regression", max_iter=5)
    assert explainer(pipeline, rows, "regression") is None
    pipeline, rows = fitted("lightgbm.LGBMRegressor", kind="regression", n_estimators=20)
    halved = pipeline[-1].predict
    pipeline[-1].predict = lambda *rows, **how: halved(*rows, **how) / (1 if how else 2)
    assert explainer(pipeline, rows, "regression") is None
