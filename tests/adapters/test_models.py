"""Pipelines as skops files: whole, the same again, and never of types that nobody reviewed."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ml.adapters import models
from ml.core.training.estimators import build
from ml.core.training.features import matrix
from ml.errors import MissingArtifact, SettingsError
from ml.settings import Features, Fit, Task

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "shop": RANDOM.choice(["north", "south", "web"], 300),
        "weight": RANDOM.normal(size=300),
        "minute": RANDOM.uniform(0, 1439, 300),
    }
)
FEATURES = Features(categorical=("shop",), numeric=("weight",), spline=("minute",), min_category_rows=5)
ESTIMATORS = {
    "classification": [
        ("sklearn.linear_model.LogisticRegression", {}, "onehot"),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 5}, "ordinal"),
        ("sklearn.naive_bayes.GaussianNB", {}, "onehot"),
    ],
    "regression": [
        ("sklearn.linear_model.Ridge", {}, "onehot"),
        ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 5}, "ordinal"),
    ],
}


def pipeline_of(kind: str, estimator: str, args: dict[str, object], encoding: str) -> Pipeline:
    task = Task(name="orders", kind=kind, target="amount", key=("day",), label_delay_days=1)
    target = FRAME["weight"] + (FRAME["shop"] == "web")
    made = build(task, FEATURES, Fit(estimator=estimator, args=args, encoding=encoding))
    return made.fit(FRAME, (target > 0).astype("int64") if kind == "classification" else target)


@pytest.mark.parametrize(
    ("kind", "estimator", "args", "encoding"),
    [(kind, *entry) for kind, entries in ESTIMATORS.items() for entry in entries],
)
def test_a_pipeline_comes_back_the_same(
    kind: str, estimator: str, args: dict[str, object], encoding: str, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kind, estimator, args, encoding)
    models.save(pipeline, tmp_path / "pipeline.skops")
    loaded = models.load(tmp_path / "pipeline.skops")
    unseen = FRAME.assign(shop="never seen", weight=np.nan)
    for frame in (FRAME, unseen):
        with_labels = "predict_proba" if kind == "classification" else "predict"
        assert (getattr(loaded, with_labels)(frame) == getattr(pipeline, with_labels)(frame)).all()


def shout(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize(
    "values",
    [
        [date(2025, 1, 1), date(2025, 1, 2), None],
        pd.to_datetime(["2025-01-01", "2025-01-02", None]),
        pd.to_datetime(["2025-01-01", "2025-01-02", None]).tz_localize("Europe/Berlin"),
        [time(6), time(18), None],
        [True, False, None],
        [b"a", b"\xff", None],
    ],
    ids=["date", "timestamp", "instant", "time", "bool", "bytes"],
)
def test_categories_of_any_type_that_lands_can_be_trained_on_and_come_back(
    values: Any, encoding: Any, tmp_path: Path
) -> None:
    features = Features(categorical=("when",), numeric=("weight",), min_category_rows=2)
    frame = pd.concat([pd.DataFrame({"when": values})] * 20, ignore_index=True).assign(weight=0.5)
    target = (frame.index % 3 == 0).astype("int64")
    task = Task(name="orders", kind="classification", target="paid", key=("day",), label_delay_days=1)
    made = build(task, features, Fit(estimator="sklearn.linear_model.LogisticRegression", encoding=encoding))
    pipeline = made.fit(matrix(frame, features), target)
    models.save(pipeline, tmp_path / "pipeline.skops")
    found = models.load(tmp_path / "pipeline.skops").predict_proba(matrix(frame, features))
    assert (found == pipeline.predict_proba(matrix(frame, features))).all()
    assert encoding == "ordinal" or found[0, 1] > 0.5 > found[1, 1], "only the first is ever paid"


def test_types_that_nobody_reviewed_are_refused_when_saved_and_when_loaded(tmp_path: Path) -> None:
    import skops.io as sio  # by now ml.adapters.models has: the first import warns wherever Airflow is loaded

    pipeline = make_pipeline(FunctionTransformer(shout), StandardScaler()).fit(FRAME[["weight"]])
    said = r"types that are not trusted: .*shout.*name them under fit.trusted_types in params.yaml"
    with pytest.raises(SettingsError, match=said):
        models.save(pipeline, tmp_path / "saved.skops")
    sio.dump(pipeline, tmp_path / "smuggled.skops")
    with pytest.raises(SettingsError, match=said):
        models.load(tmp_path / "smuggled.skops")


def test_a_model_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=r"pipeline.skops: no such model file; train again"):
        models.load(tmp_path / "pipeline.skops")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive", b"pickle"])
def test_a_damaged_model_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pipeline.skops").write_bytes(content)
    with pytest.raises(MissingArtifact, match=r"pipeline.skops cannot be read as a model \(.*\); train again"):
        models.load(tmp_path / "pipeline.skops")


def test_a_file_that_holds_another_thing_is_no_model(tmp_path: Path) -> None:
    import skops.io as sio

    sio.dump(StandardScaler(), tmp_path / "pipeline.skops")
    with pytest.raises(MissingArtifact, match="holds no pipeline of ours"):
        models.load(tmp_path / "pipeline.skops")
