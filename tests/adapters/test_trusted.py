"""Any estimator of scikit-learn serves as it was fitted, or is refused before it is; a model holds nothing else."""

from __future__ import annotations

import functools
import importlib
import json
import operator
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators

from ml.adapters import models
from ml.adapters.trusted import TRUSTED_TYPES
from ml.core.training.estimators import build, predict, stand_in
from ml.errors import SettingsError
from ml.settings import Features, Fit, Task

FEATURES = Features(categorical=("shop",), numeric=("weight",), spline=("minute",), min_category_rows=5)
CATEGORIES = Features(categorical=("shop", "day_of_week"), min_category_rows=5)
NUMBER = Features(numeric=("weight",))
FUNCTIONS = {"scipy._lib.array_api_compat.numpy._aliases.asarray", "sklearn.utils.validation.check_array"}
RENAMED = {"scipy.interpolate._bsplines._BSpline"}
"""Of a newer SciPy than this one."""

REFUSED_BY_DEFAULT = {
    "classification": {
        "CategoricalNB", "ComplementNB", "MultinomialNB",  # no negative values
        "ClassifierChain", "MultiOutputClassifier",  # several targets
        # of other estimators
        "FixedThresholdClassifier", "OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier",
        "SelfTrainingClassifier", "StackingClassifier", "TunedThresholdClassifierCV", "VotingClassifier",
        "LinearSVC", "NuSVC", "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier", "RidgeClassifierCV",
        "SGDClassifier", "SVC",  # no probabilities
    },
    "regression": {
        "IsotonicRegression",  # one feature
        "MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV",
        "RegressorChain",  # several targets
        "StackingRegressor", "VotingRegressor",  # of estimators
    },
}  # fmt: skip
NEEDED: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "PLSCanonical": {"n_components": 1},
    "QuadraticDiscriminantAnalysis": {"reg_param": 0.1},  # one-hot columns are collinear
}
VARIANTS: list[tuple[str, dict[str, Any], Features]] = [
    ("sklearn.naive_bayes.MultinomialNB", {}, CATEGORIES),
    ("sklearn.naive_bayes.ComplementNB", {}, CATEGORIES),
    ("sklearn.naive_bayes.CategoricalNB", {}, CATEGORIES),
    ("sklearn.isotonic.IsotonicRegression", {"out_of_bounds": "clip"}, NUMBER),
    *(("sklearn.neighbors.KNeighborsClassifier", args, FEATURES) for args in [
        {"metric": "manhattan"}, {"metric": "minkowski", "p": 3}, {"metric": "chebyshev", "algorithm": "ball_tree"},
        {"algorithm": "brute"}, {"metric": "canberra"}, {"metric": "braycurtis", "weights": "distance"},
        {"metric": "cosine"},
    ]),
    ("sklearn.calibration.CalibratedClassifierCV", {"method": "isotonic"}, FEATURES),
    ("sklearn.calibration.CalibratedClassifierCV", {"method": "temperature", "ensemble": False}, FEATURES),
    *(("sklearn.neural_network.MLPClassifier", {"solver": solver, "max_iter": 9}, FEATURES)
      for solver in ("sgd", "lbfgs", "adam")),
    ("sklearn.neural_network.MLPRegressor", {"early_stopping": True, "max_iter": 20}, FEATURES),
    *(("sklearn.linear_model.SGDClassifier", {"loss": loss}, FEATURES) for loss in ("log_loss", "modified_huber")),
    *(("sklearn.linear_model.SGDRegressor", {"loss": loss}, FEATURES) for loss in ("huber", "epsilon_insensitive")),
    ("sklearn.svm.SVC", {"probability": True}, FEATURES),
    *(("sklearn.ensemble.GradientBoostingRegressor", {"loss": loss, "alpha": 0.5, "n_estimators": 5}, FEATURES)
      for loss in ("absolute_error", "huber", "quantile")),
    ("sklearn.ensemble.GradientBoostingClassifier", {"loss": "exponential", "n_estimators": 5}, FEATURES),
    *(("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": loss, "quantile": 0.5, "max_iter": 5}, FEATURES)
      for loss in ("absolute_error", "poisson", "gamma", "quantile")),
    ("sklearn.ensemble.HistGradientBoostingClassifier", {"early_stopping": True, "max_iter": 5}, FEATURES),
    ("sklearn.ensemble.HistGradientBoostingClassifier", {"categorical_features": [0, 1], "max_iter": 5}, FEATURES),
    ("sklearn.ensemble.RandomForestClassifier", {"criterion": "entropy", "oob_score": True}, FEATURES),
    ("sklearn.ensemble.RandomForestRegressor", {"criterion": "absolute_error", "n_estimators": 5}, FEATURES),
    ("sklearn.linear_model.TweedieRegressor", {"power": 1.5, "link": "log"}, FEATURES),
    ("sklearn.linear_model.LogisticRegression", {"solver": "saga", "l1_ratio": 0.5, "max_iter": 20}, FEATURES),
]  # fmt: skip


def task(kind: str) -> Task:
    return Task(name="orders", kind=kind, target="amount", key=("day",), label_delay_days=1)


def fitted(
    kind: str, estimator: str, args: dict[str, Any], features: Features, **fit: Any
) -> tuple[Pipeline, pd.DataFrame]:
    rows, target = stand_in(task(kind), features)
    return build(task(kind), features, Fit(estimator=estimator, args=args, **fit)).fit(rows, target), rows


def test_a_list_of_names_is_complete() -> None:
    """A new scikit-learn that brings an estimator says so here."""
    assert sum(len(all_estimators(kind)) for kind in ("classifier", "regressor")) == 99


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (kind, name, f"{cls.__module__}.{name}")
        for kind, filter_ in (("classification", "classifier"), ("regression", "regressor"))
        for name, cls in all_estimators(filter_)
    ],
)
def test_every_estimator_predicts_the_same_when_loaded_or_is_refused_before_the_fit(
    kind: str, name: str, path: str, tmp_path: Path
) -> None:
    if name in REFUSED_BY_DEFAULT[kind]:
        with pytest.raises(SettingsError, match=rf"^fit\.(estimator|args).*{name}"):
            build(task(kind), FEATURES, Fit(estimator=path))
        return
    pipeline, rows = fitted(kind, path, NEEDED.get(name, {}), FEATURES)
    models.save(pipeline, tmp_path / "model.skops")
    assert np.array_equal(predict(models.load(tmp_path / "model.skops"), rows, kind), predict(pipeline, rows, kind))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "args", "features"), VARIANTS)
def test_other_arguments_hold_other_parts_which_are_trusted_too(
    path: str, args: dict[str, Any], features: Features, tmp_path: Path
) -> None:
    kind = "regression" if path.endswith(("Regressor", "Regression")) and "Logistic" not in path else "classification"
    encoding = "onehot"
    pipeline, rows = fitted(kind, path, args, features, encoding=encoding)
    models.save(pipeline, tmp_path / "model.skops")
    assert np.array_equal(predict(models.load(tmp_path / "model.skops"), rows, kind), predict(pipeline, rows, kind))


@pytest.mark.parametrize(
    "args", [{"C": "1e-3"}, {"C": -1}, {"max_iter": "many"}, {"penalty": 3}, {"class_weight": "even"}]
)
def test_an_argument_of_a_wrong_value_is_refused_before_the_fit(args: dict[str, Any]) -> None:
    said = r"fit.args do not suit sklearn.linear_model.LogisticRegression: The '\w+' parameter"
    with pytest.raises(SettingsError, match=said):
        build(task("classification"), FEATURES, Fit(estimator="sklearn.linear_model.LogisticRegression", args=args))


class TestList:
    def test_each_name_is_a_class_of_scikit_learn_or_one_of_a_few(self) -> None:
        """No function but two, no module as a whole: what a class holds is checked by its own type."""
        for name in TRUSTED_TYPES:
            module, _, attribute = name.rpartition(".")
            if name in RENAMED:
                continue
            what = getattr(importlib.import_module(module), attribute)
            assert isinstance(what, type) or name in FUNCTIONS, name
            assert module.split(".")[0] in {
                "sklearn",
                "scipy",
                "numpy",
                "functools",
                "datetime",
                "collections",
                "lightgbm",
                "xgboost",
            }, name
            assert not any(part in {"externals", "tests", "_mocking", "datasets"} for part in module.split(".")), name
            assert what not in {operator.methodcaller, operator.attrgetter, operator.itemgetter}
        assert len(TRUSTED_TYPES) == len(set(TRUSTED_TYPES))

    @pytest.mark.parametrize(
        "function",
        [os.system, eval, exec, getattr, importlib.import_module, operator.methodcaller("clip"),
         functools.partial(os.system), json.loads, np.load, LogisticRegression().fit],
    )  # fmt: skip
    def test_a_file_that_holds_what_can_be_called_is_refused(self, function: Any, tmp_path: Path) -> None:
        import skops.io as sio

        path = tmp_path / "model.skops"
        sio.dump(make_pipeline(FunctionTransformer(function)), path)
        with pytest.raises(SettingsError, match="types that are not trusted"):
            models.load(path)

    @pytest.mark.parametrize(
        ("module", "name"),
        [("joblib", "load"), ("sklearn.externals._arff", "load"), ("sklearn.datasets", "fetch_openml"),
         ("sklearn.utils._mocking", "CheckingClassifier"), ("sklearn.utils.parallel", "Parallel"), ("os", "system")],
    )  # fmt: skip
    def test_a_type_that_is_put_in_the_place_of_a_trusted_one_is_refused(
        self, module: str, name: str, tmp_path: Path
    ) -> None:
        import skops.io as sio

        sio.dump(make_pipeline(FunctionTransformer(np.exp), LogisticRegression()), tmp_path / "sound.skops")
        with zipfile.ZipFile(tmp_path / "sound.skops") as sound, zipfile.ZipFile(tmp_path / "bad.skops", "w") as bad:
            for entry in sound.namelist():
                content = sound.read(entry)
                if entry == "schema.json":
                    text = content.decode()
                    assert "sklearn.linear_model._logistic" in text
                    text = text.replace("sklearn.linear_model._logistic", module).replace("LogisticRegression", name)
                    content = text.encode()
                bad.writestr(entry, content)
        with pytest.raises(SettingsError, match=rf"types that are not trusted: {module}.{name}"):
            models.load(tmp_path / "bad.skops")


class Part:
    """What only a fitted estimator holds."""


class Own(ClassifierMixin, BaseEstimator):
    """Somebody's own estimator."""

    def fit(self, _: Any, target: Any) -> Own:
        self.classes_, self.part_, self.rate_ = np.array([0, 1]), Part(), float(np.mean(target))
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        return np.tile([1 - self.rate_, self.rate_], (len(rows), 1))


class TestOwn:
    PATH = f"{__name__}.Own"
    TYPES = (f"{__name__}.Own", f"{__name__}.Part")

    def test_it_is_refused_with_its_full_path_until_it_is_trusted(self) -> None:
        with pytest.raises(SettingsError, match=rf"none of scikit-learn's own: .*name {self.PATH} .*fit.trusted_types"):
            fitted("classification", self.PATH, {}, FEATURES)

    def test_what_it_holds_when_fitted_is_found_before_there_are_data(self) -> None:
        from ml.steps.retrain.pipelines import rehearse
        from tests.builders import settings

        fit = {"estimator": self.PATH, "args": {}, "trusted_types": self.TYPES[:1]}
        with pytest.raises(SettingsError, match=rf"not trusted: {__name__}.Part; .*fit.trusted_types"):
            rehearse(settings(fit=fit))
        rehearse(settings(fit={**fit, "trusted_types": self.TYPES}))

    def test_what_went_well_is_not_rehearsed_again_and_what_did_not_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ml.core.training import estimators
        from ml.steps.retrain.pipelines import rehearse
        from tests.builders import settings

        built, build = [], estimators.build
        monkeypatch.setattr(estimators, "build", lambda *sections: (built.append(sections), build(*sections))[1])
        fit = {"estimator": "sklearn.linear_model.LogisticRegression", "args": {"C": 0.123}}
        for _ in range(2):
            rehearse(settings(fit=fit))
        assert len(built) == 1
        rehearse(settings(fit={**fit, "args": {"C": 0.124}}))
        assert len(built) == 2
        bad = {"estimator": self.PATH, "args": {}, "trusted_types": self.TYPES[:1]}
        for _ in range(2):
            with pytest.raises(SettingsError, match="not trusted"):
                rehearse(settings(fit=bad))
        assert len(built) == 4

    def test_the_list_of_the_settings_counts_and_the_file_s_own_does_not(self, tmp_path: Path) -> None:
        pipeline, rows = fitted("classification", self.PATH, {}, FEATURES, trusted_types=self.TYPES)
        models.save(pipeline, tmp_path / "model.skops", trusted=self.TYPES)
        loaded = models.load(tmp_path / "model.skops", trusted=self.TYPES)
        assert (predict(loaded, rows, "classification") == predict(pipeline, rows, "classification")).all()
        with pytest.raises(SettingsError, match="not trusted"):
            models.load(tmp_path / "model.skops")

    @pytest.mark.parametrize(
        "name", ["os.system", "builtins.eval", "operator.methodcaller", "joblib.load", "subprocess.Popen"]
    )
    def test_what_reaches_the_system_can_never_be_trusted(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name} would let a model file run commands"):
            Fit(estimator="a.B", trusted_types=(name,))

    @pytest.mark.parametrize("name", ["", "Own", "a.b()", "a..b", "*", "a.*"])
    def test_a_trusted_type_is_one_full_path(self, name: str) -> None:
        with pytest.raises(ValueError, match="trusted_types"):
            Fit(estimator="a.B", trusted_types=(name,))
