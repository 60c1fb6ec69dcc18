"""XGBoost, LightGBM and estimators of estimators: the same model again, saved safely, refused with the next move."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from ml.adapters import models
from ml.core.training.boosting import BOOSTER_TYPES, INSTALL
from ml.core.training.estimators import build, predict, stand_in
from ml.errors import SettingsError
from ml.settings import Features, Fit, Task

FEATURES = Features(categorical=("shop",), numeric=("weight",), spline=("minute",), min_category_rows=5)
FAST: dict[str, Any] = {"n_estimators": 8}
PATHS = sorted(BOOSTER_TYPES)
SHORT = ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier"]


def kind_of(path: str) -> Literal["classification", "regression"]:
    return "classification" if path.endswith("Classifier") else "regression"


def task(kind: Literal["classification", "regression"]) -> Task:
    return Task(name="orders", kind=kind, target="amount", key=("day",), label_delay_days=1)


def fitted(path: str, *, rows: int = 200, **fit: Any) -> tuple[Pipeline, pd.DataFrame, str]:
    kind = kind_of(path)
    frame, target = stand_in(task(kind), FEATURES, rows=rows)
    chosen = Fit(estimator=path, **({"args": FAST} | fit))
    return build(task(kind), FEATURES, chosen).fit(frame, target), frame, kind


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize("path", PATHS)
def test_each_predicts_the_same_when_loaded_and_bears_nulls_and_new_categories(
    path: str, encoding: str, tmp_path: Path
) -> None:
    pipeline, rows, kind = fitted(path, encoding=encoding)
    models.save(pipeline, tmp_path / "model.skops")
    loaded = models.load(tmp_path / "model.skops")
    assert np.std(predict(pipeline, rows, kind)) > 0
    for frame in (rows, rows.assign(shop=None, weight=np.nan), rows.assign(shop="never seen")):
        predicted = predict(loaded, frame, kind)
        assert np.isfinite(predicted).all()
        assert np.array_equal(predicted, predict(pipeline, frame, kind))


SAMPLED: dict[str, dict[str, Any]] = {
    "xgboost.XGBClassifier": {**FAST, "subsample": 0.5},
    "lightgbm.LGBMClassifier": {**FAST, "bagging_fraction": 0.5, "bagging_freq": 1},
}


@pytest.mark.parametrize("path", SHORT)
class TestTheSameModelAgain:
    def predictions(self, path: str, **fit: Any) -> np.ndarray:
        pipeline, rows, kind = fitted(path, rows=3000, args=SAMPLED[path], **fit)
        return predict(pipeline, rows, kind)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_seed_decides_bit_for_bit(self, path: str, threads: int) -> None:
        assert np.array_equal(*(self.predictions(path, seed=7, threads=threads) for _ in range(2)))
        assert not np.array_equal(*(self.predictions(path, seed=seed, threads=threads) for seed in (7, 8)))

    def test_the_settings_decide_how_many_threads(self, path: str) -> None:
        assert fitted(path, threads=2)[0]["estimator"].n_jobs == 2
        assert fitted(path, threads=2, args={**FAST, "n_jobs": 1})[0]["estimator"].n_jobs == 1

    def test_a_parameter_that_nobody_knows_is_refused_and_not_passed_over(self, path: str) -> None:
        with pytest.raises(SettingsError, match=r"has no parameter 'depht'; name any of .*max_depth"):
            fitted(path, args={"depht": 3})

    def test_a_value_that_it_cannot_take_is_an_error_of_the_settings(self, path: str) -> None:
        from ml.steps.retrain.pipelines import fit_pipeline
        from tests.builders import settings

        args = {"objective": "no such thing"}
        chosen = settings(features=FEATURES.model_dump(), fit={"estimator": path, "args": args})
        rows, target = stand_in(chosen.task, FEATURES)
        with pytest.raises(SettingsError, match="cannot be fitted on 200 training rows"):
            fit_pipeline(rows.assign(**{chosen.task.target: target}), chosen)

    def test_what_is_not_installed_says_how_to_install_it(
        self, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        package = path.partition(".")[0]
        pipeline, _, _ = fitted(path)
        models.save(pipeline, tmp_path / "model.skops")
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(SettingsError) as refused:
            fitted(path)
        assert str(refused.value) == f"fit.estimator '{path}': {package} is not installed; {INSTALL}"
        with pytest.raises(
            SettingsError, match=r"holds a model of a package that is not installed here.*make boosting"
        ):
            models.load(tmp_path / "model.skops")

    def test_a_system_library_that_is_missing_is_named(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from ml import own_code

        def broken(_: str) -> None:
            raise OSError("libgomp.so.1: cannot open shared object file")

        monkeypatch.setattr(own_code.importlib, "import_module", broken)
        with pytest.raises(SettingsError, match=r"cannot be loaded \(libgomp.so.1.*\); install the system library"):
            fitted(path)


SVM = {"estimator": "sklearn.svm.LinearSVC", "args": {"C": 0.5}}
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier", "args": {"max_depth": 2}}
NESTED: list[tuple[str, dict[str, Any]]] = [
    ("sklearn.calibration.CalibratedClassifierCV", {"estimator": SVM, "cv": 3}),
    ("sklearn.calibration.CalibratedClassifierCV",
     {"estimator": {"estimator": "xgboost.XGBClassifier", "args": FAST}, "cv": 2, "method": "isotonic"}),
    ("sklearn.ensemble.BaggingClassifier", {"estimator": TREE, "n_estimators": 3}),
    ("sklearn.ensemble.VotingClassifier", {"estimators": [["tree", TREE], ["bayes", {
        "estimator": "sklearn.naive_bayes.GaussianNB"}]], "voting": "soft"}),
    ("sklearn.ensemble.StackingClassifier", {"estimators": [["tree", TREE], ["svm", SVM]], "cv": 2,
      "final_estimator": {"estimator": "sklearn.linear_model.LogisticRegression"}}),
    ("sklearn.pipeline.Pipeline", {"steps": [
        ["few", {"estimator": "sklearn.decomposition.PCA", "args": {"n_components": 3}}], ["last", TREE]]}),
    ("sklearn.multiclass.OneVsRestClassifier", {"estimator": TREE}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "args"), NESTED)
def test_an_estimator_of_estimators_comes_back_the_same_with_one_seed(
    path: str, args: dict[str, Any], tmp_path: Path
) -> None:
    rows, target = stand_in(task("classification"), FEATURES)
    first, second = (
        build(task("classification"), FEATURES, Fit(estimator=path, args=args)).fit(rows, target) for _ in range(2)
    )
    models.save(first, tmp_path / "model.skops")
    predicted = predict(first, rows, "classification")
    assert np.array_equal(predicted, predict(second, rows, "classification"))
    assert np.array_equal(predicted, predict(models.load(tmp_path / "model.skops"), rows, "classification"))
    seeds = {value for name, value in first["estimator"].get_params().items() if name.endswith("random_state")}
    assert seeds <= {Fit(estimator=path).seed}


@pytest.mark.parametrize(
    ("nested", "said"),
    [
        ({"estimator": "sklearn.svm.Nope"}, r"fit.args: estimator 'sklearn.svm.Nope' cannot be imported"),
        ({"estimator": "os.getcwd"}, r"fit.args: estimator 'os.getcwd' is no scikit-learn estimator"),
        ({"estimator": "sklearn.svm.LinearSVC", "args": {"C": -1}}, r"do not suit sklearn.svm.LinearSVC: The 'C'"),
        ({"estimator": f"{__name__}.Own"}, rf"fit.args: estimator .* none of scikit-learn's own: .*{__name__}.Own"),
    ],
)
def test_an_inner_estimator_is_refused_as_the_outer_one_is(nested: dict[str, Any], said: str) -> None:
    fit = Fit(estimator="sklearn.calibration.CalibratedClassifierCV", args={"estimator": nested})
    with pytest.raises(SettingsError, match=said):
        build(task("classification"), FEATURES, fit)


class Own(Pipeline):
    """Somebody's own."""

    def __init__(self) -> None:
        super().__init__([])
