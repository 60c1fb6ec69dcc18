"""Predictions of a pipeline whose parts are transformed once are the pipeline's own, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ml.core.training import estimators
from ml.core.training.blockwise import BlockwisePipeline
from ml.core.training.features import feature_columns, matrix
from ml.core.training.importance import measure_importance, overall_loss
from ml.settings import Settings
from tests.builders import settings

FEATURES = {
    "categorical": ["shop", "kind"],
    "numeric": ["number", "size"],
    "spline": ["hour"],
}
TREES = {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "args": {"n_estimators": 5}, "encoding": "ordinal"}
CASES: dict[str, dict[str, Any]] = {
    "classification": {},
    "regression": {"task": {"kind": "regression"}, "gate": {"metric": "rmse"}, "fit": TREES},
    "multiclass": {"task": {"kind": "multiclass", "classes": ["a", "b", "c"]}},
}


def declared(kind: str) -> Settings:
    features = FEATURES | {"history": [{"by": ["shop"], "days": [7], **({"of": "a"} if kind == "multiclass" else {})}]}
    return settings(features=features, **CASES[kind])


def rows_of(of: Settings, n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Make up rows with nulls and categories that are rare, never seen, or not there."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame({name: chance.normal(size=n) for name in feature_columns(of.features)})
    for name in of.features.categories:
        frame[name] = chance.choice(["x", "y", "z", "rare", f"new {seed}"], n, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    frame = frame.mask(chance.random(frame.shape) < 0.03)
    strength = frame["number"].fillna(0).to_numpy() + chance.normal(size=n)
    bounds = [-0.5, 0.5] if of.task.classes else [0.0]
    target = strength if of.task.kind == "regression" else np.digitize(strength, bounds)
    return matrix(frame, of.features), target


def fitted(of: Settings) -> Pipeline:
    return estimators.build(of.task, of.features, of.fit).fit(*rows_of(of, 3000, 0))


@pytest.mark.parametrize("kind", CASES)
def test_importance_is_what_scikit_learn_measures_of_the_whole_pipeline(kind: str) -> None:
    of = declared(kind)
    pipeline, (rows, truth) = fitted(of), rows_of(of, 600, 1)
    task, metric = of.task, of.gate.metric

    def negative_loss(model: Pipeline, permuted: pd.DataFrame, target: np.ndarray) -> float:
        return -overall_loss(target, estimators.predict(model, permuted, task.kind, len(task.classes)), metric)

    whole = permutation_importance(
        pipeline, rows, truth.astype(float), scoring=negative_loss, n_repeats=3, random_state=5
    )
    found = measure_importance(
        pipeline, rows, truth, kind=task.kind, classes=len(task.classes), metric=metric, seed=5, repeats=3
    )
    by_name = dict(zip(found.features, zip(found.increase, found.sd, strict=True), strict=True))
    means, spreads = whole.importances_mean.tolist(), whole.importances_std.tolist()
    assert by_name == dict(zip(rows.columns, zip(means, spreads, strict=True), strict=True))
    assert max(found.increase) > 0


def test_only_the_part_whose_column_changed_is_transformed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    of = declared("classification")
    pipeline, (rows, _) = fitted(of), rows_of(of, 300, 1)
    blockwise = BlockwisePipeline(pipeline, rows)
    transformed: list[str] = []
    for name, part in pipeline.named_steps["features"].named_transformers_.items():
        transform = part.transform
        monkeypatch.setattr(
            part, "transform", lambda frame, name=name, then=transform: (transformed.append(name), then(frame))[1]
        )
    changed = rows.assign(**{of.features.numbers[0]: rows[of.features.numbers[0]].to_numpy()[::-1]})
    predicted = blockwise.predict_proba(changed)
    assert transformed == ["numeric"]
    assert np.array_equal(predicted, pipeline.predict_proba(changed))


def test_a_pipeline_of_another_shape_is_asked_as_it_is() -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(chance.normal(size=(200, 3)), columns=["a", "b", "c"])
    truth = (frame["a"] > 0).astype(int)
    through = ColumnTransformer([("scaled", StandardScaler(), ["c"])], remainder="passthrough")
    for steps in (
        [("features", through), ("estimator", LogisticRegression())],
        [("scaler", StandardScaler()), ("more", StandardScaler()), ("estimator", LogisticRegression())],
        [("estimator", LogisticRegression())],
    ):
        pipeline = Pipeline(steps).fit(frame, truth)
        blockwise = BlockwisePipeline(pipeline, frame)
        other = frame.assign(b=frame["b"].to_numpy()[::-1])
        assert np.array_equal(blockwise.predict_proba(other), pipeline.predict_proba(other))
        assert np.array_equal(blockwise.predict(other), pipeline.predict(other))
