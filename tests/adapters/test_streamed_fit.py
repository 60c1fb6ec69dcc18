"""Rows that come in parts: the model is the one of all rows at once, whatever the parts, and memory holds some."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.adapters import matrix_file, models
from ml.adapters.matrix_file import MatrixFile
from ml.adapters.window_rows import WindowRows, copy_days, sampled_by_key
from ml.core.scoring.shards import Rows
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.errors import DataRejected, SettingsError, Unavailable
from ml.steps.retrain.pipelines import fit_pipeline
from tests.adapters.streamed_rows import DAYS, FEATURES, declared, in_parts, table
from tests.builders import settings

TREES = [
    ("classification", "xgboost.XGBClassifier"),
    ("multiclass", "xgboost.XGBClassifier"),
    ("regression", "xgboost.XGBRegressor"),
    ("classification", "lightgbm.LGBMClassifier"),
    ("multiclass", "lightgbm.LGBMClassifier"),
    ("regression", "lightgbm.LGBMRegressor"),
]


@pytest.mark.parametrize("weight", [None, {"column": "age", "half_life_days": 5}], ids=["alike", "weighted"])
@pytest.mark.parametrize(("kind", "estimator"), TREES)
def test_trees_of_parts_are_those_of_all_rows_at_once(
    kind: str, estimator: str, weight: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, fit = table(kind), {"args": {"n_estimators": 9, "max_depth": 4}, "sample_weight": weight}
    at_once = fit_pipeline(frame, declared(kind, estimator, stream=None, **fit))
    streamed = fit_pipeline(frame, declared(kind, estimator, stream={}, **fit), source=in_parts(frame, 271))
    models.save(streamed, tmp_path / "model.skops")
    loaded = models.load(tmp_path / "model.skops")
    rows = matrix(frame, declared(kind, estimator, stream=None).features)
    expected = predict(at_once, rows, kind, 3)
    assert np.std(expected) > 0.05
    assert np.array_equal(predict(streamed, rows, kind, 3), expected)
    assert np.array_equal(predict(loaded, rows, kind, 3), expected)
    assert streamed.named_steps["estimator"].get_params()["n_estimators"] == 9


def test_pages_on_the_disk_change_xgboost_s_trees_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, fit = table("classification"), {"args": {"n_estimators": 9}}
    at_once = fit_pipeline(frame, declared("classification", "xgboost.XGBClassifier", stream=None, **fit))
    monkeypatch.setattr("ml.adapters.xgboost_fit.PAGE_BYTES", 5 * 4 * 700)  # five pages
    chosen = declared("classification", "xgboost.XGBClassifier", stream={}, **fit)
    streamed = fit_pipeline(frame, chosen, source=in_parts(frame, 400))
    rows = matrix(frame, chosen.features)
    assert np.abs(predict(streamed, rows, "classification") - predict(at_once, rows, "classification")).max() < 1e-4


@pytest.mark.parametrize("weight", [None, {"column": "age"}], ids=["alike", "weighted"])
@pytest.mark.parametrize(("kind", "estimator"), TREES[:3])
def test_rows_divided_among_workers_give_the_trees_of_one_process(kind: str, estimator: str, weight: Any) -> None:
    frame, fit = table(kind), {"args": {"n_estimators": 9, "max_depth": 4}, "sample_weight": weight}
    rows = matrix(frame, declared(kind, estimator, stream=None).features)
    one, two, again, three = (
        predict(
            fit_pipeline(
                frame, declared(kind, estimator, stream={"workers": workers}, **fit), source=in_parts(frame, 271)
            ),
            rows,
            kind,
            3,
        )
        for workers in (1, 2, 2, 3)
    )
    assert np.std(one) > 0.05
    assert np.abs(two - one).max() < 1e-5
    assert np.array_equal(two, again)
    # Where two splits gain as much as each other, rounding may choose the other one: the model is as good.
    assert np.abs(three - one).mean() < 0.05 * np.std(one)


def test_a_division_among_more_workers_than_rows_still_learns() -> None:
    frame = table("regression", rows=5)
    chosen = declared("regression", "xgboost.XGBRegressor", stream={"workers": 8}, args={"n_estimators": 3})
    assert np.isfinite(predict(fit_pipeline(frame, chosen), matrix(frame, chosen.features), "regression")).all()


@pytest.mark.parametrize("estimator", ["lightgbm.LGBMClassifier", "sklearn.naive_bayes.GaussianNB"])
def test_workers_are_refused_where_rows_cannot_be_divided_among_them(estimator: str) -> None:
    chosen = declared("classification", estimator, stream={"workers": 2})
    with pytest.raises(SettingsError, match=r"fit\.stream\.workers: rows of .* cannot be divided among workers"):
        fit_pipeline(table("classification"), chosen)


def test_what_ends_one_of_several_workers_is_what_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: matrix_file.MatrixPages, number: int) -> np.ndarray:
        if self.first:
            raise OSError(5, "the disk is broken")
        return np.zeros((self.rows, self.width), dtype="float32")

    monkeypatch.setattr(matrix_file.MatrixPages, "__getitem__", broken)
    with pytest.raises(OSError, match="the disk is broken"):
        fit_pipeline(
            table("classification"), declared("classification", "xgboost.XGBClassifier", stream={"workers": 3})
        )


def test_the_model_learns_from_all_rows_and_not_from_the_sample() -> None:
    frame, chosen = table("classification"), declared("classification", "xgboost.XGBClassifier", stream={})
    sample = frame.iloc[::10]
    of_all = fit_pipeline(sample, chosen, source=in_parts(frame, 500))
    of_sample = fit_pipeline(sample, chosen)
    loss = []
    for pipeline in (of_all, of_sample):
        predicted = predict(pipeline, matrix(frame, chosen.features), "classification").clip(1e-6, 1 - 1e-6)
        loss.append(-np.log(np.where(frame["y"] == 1, predicted, 1 - predicted)).mean())
    assert loss[0] < loss[1] - 0.05


@pytest.mark.parametrize("estimator", ["sklearn.linear_model.SGDClassifier", "sklearn.naive_bayes.GaussianNB"])
def test_an_estimator_that_learns_step_by_step_gives_the_same_model_again(estimator: str) -> None:
    frame, args = table("classification"), {"loss": "log_loss"} if "SGD" in estimator else {}
    chosen = declared("classification", estimator, stream={"passes": 3}, args=args)
    rows = matrix(frame, chosen.features)
    first, second = (
        predict(fit_pipeline(frame, chosen, source=in_parts(frame, size)), rows, "classification") for size in (400, 77)
    )
    assert np.array_equal(first, second)
    held = frame["y"].to_numpy() == 1
    assert first[held].mean() > first[~held].mean() + 0.15


def test_one_pass_of_steps_counts_each_row_once() -> None:
    frame = table("classification", rows=20_000)
    streamed, at_once = (
        fit_pipeline(frame, declared("classification", "sklearn.naive_bayes.GaussianNB", stream=stream)).named_steps
        for stream in ({}, None)
    )
    assert streamed["estimator"].class_count_.tolist() == at_once["estimator"].class_count_.tolist()
    assert streamed["estimator"].theta_ == pytest.approx(at_once["estimator"].theta_, abs=1e-5)


@pytest.mark.parametrize(
    ("estimator", "args", "says"),
    [
        ("sklearn.linear_model.LogisticRegression", {}, "needs all rows at once.*or remove fit.stream"),
        ("sklearn.linear_model.SGDClassifier", {"loss": "log_loss", "early_stopping": True}, "early_stopping, which"),
        ("xgboost.XGBClassifier", {"early_stopping_rounds": 5}, "early_stopping_rounds, which needs rows of its own"),
        ("xgboost.XGBClassifier", {"tree_method": "exact"}, "tree_method 'exact'; use hist"),
        ("xgboost.XGBClassifier", {"booster": "gblinear"}, "booster 'gblinear'; use gbtree or dart"),
    ],
)
def test_what_cannot_learn_from_parts_is_refused_before_data_are_read(
    estimator: str, args: dict[str, Any], says: str
) -> None:
    def never(columns: Any) -> Iterator[pd.DataFrame]:
        raise AssertionError("data were read")

    with pytest.raises(SettingsError, match=says):
        fit_pipeline(table("classification"), declared("classification", estimator, stream={}, args=args), source=never)


def test_features_of_a_function_are_refused_with_streaming() -> None:
    own = {**FEATURES, "python": {"function": "acme:lately", "numeric": ["recent"]}}
    with pytest.raises(SettingsError, match="results of features.python are held in memory"):
        settings(features=own, fit={"estimator": "xgboost.XGBClassifier", "stream": {}})


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_a_weight_that_is_none_in_any_part_names_column_and_day(bad: float) -> None:
    frame = table("classification").assign(premium=1.0)
    frame.loc[2500, "premium"] = bad
    chosen = declared("classification", "xgboost.XGBClassifier", stream={}, sample_weight={"column": "premium"})
    with pytest.raises(DataRejected, match=rf"'premium'.*1 row, first on {frame.loc[2500, 'day']}"):
        fit_pipeline(frame.iloc[:500], chosen, source=in_parts(frame, 500))


def test_a_disk_without_room_for_the_matrix_is_named_before_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(matrix_file.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(Unavailable, match=r"fit.stream writes 0.4 GB of it there, and 0.0 GB are free"):
        MatrixFile(tmp_path / "matrix", features=8, rows=10**7)
    assert not list(tmp_path.iterdir())


def test_a_matrix_is_read_in_any_order_of_its_parts(tmp_path: Path) -> None:
    values = np.arange(50, dtype=float).reshape(10, 5)
    with MatrixFile(tmp_path / "matrix", features=5, rows=10) as file:
        for first in (0, 4, 8):
            part = values[first : first + 4]
            file.append(part, part[:, 0] * 2, np.ones(len(part)))
    read = list(file.parts(3, [2, 0, 3, 1]))
    assert [len(part[0]) for part in read] == [3, 3, 1, 3]
    assert np.array_equal(read[1][0], values[:3]) and read[1][1].tolist() == [0, 10, 20]
    assert np.array_equal(np.concatenate([part[0] for part in file.parts(3)]), values)
    assert np.array_equal(file.mapped()[:, :5], values)


@pytest.mark.parametrize("rows_at_once", [1, 250, 700, 10_000])
def test_days_stay_whole_and_in_order_however_many_rows_are_read_at_once(
    rows_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table("regression")
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    monkeypatch.setattr("ml.adapters.window_rows.BATCH_ROWS", 190)
    rows = WindowRows(tmp_path / "rows.parquet")
    parts = list(rows.frames(rows_at_once=rows_at_once))
    assert_frame_equal(pd.concat(parts, ignore_index=True), frame, check_dtype=False)
    days = [set(part["day"]) for part in parts]
    assert sum(map(len, days)) == len(set.union(*days)) == len(DAYS)
    assert all(len(part) >= min(rows_at_once, len(frame)) for part in parts[:-1])
    assert rows.day_counts() == frame["day"].value_counts(sort=False).to_dict()
    part = WindowRows(tmp_path / "rows.parquet", Rows(int((frame["day"] < DAYS[4]).sum()), 900))
    assert next(iter(part.day_counts())) == DAYS[4] and sum(map(len, part.frames(["day"]))) == 900


def test_a_copy_of_some_days_has_their_rows_only(tmp_path: Path) -> None:
    frame = table("regression")
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    copy_days(tmp_path / "rows.parquet", tmp_path / "some.parquet", DAYS[3:5])
    expected = frame.loc[frame["day"].isin(DAYS[3:5])].reset_index(drop=True)
    assert_frame_equal(pd.read_parquet(tmp_path / "some.parquet"), expected, check_dtype=False)


def test_a_sample_is_drawn_by_key_whatever_the_parts() -> None:
    frame = table("regression")
    whole = sampled_by_key(frame, ["day", "id"], 0.2)
    parts = [sampled_by_key(frame.iloc[first : first + 100], ["day", "id"], 0.2) for first in range(0, 3000, 100)]
    assert whole["id"].tolist() == pd.concat(parts)["id"].tolist()
    assert 0.15 < len(whole) / len(frame) < 0.25
    assert sampled_by_key(frame, ["day", "id"], 1.0) is frame
