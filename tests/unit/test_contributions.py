"""What a linear model, or trees, say of a row is the sum of what its columns say."""

from __future__ import annotations

import time
from itertools import combinations
from math import factorial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from ml.core.scoring import tree_tables
from ml.core.scoring.additive import additive
from ml.core.scoring.contributions import explainer, is_slow, transformed_sources
from ml.core.training.estimators import build, predict
from ml.errors import EvergreenError
from ml.serving import explanations
from ml.settings import Features, Fit, Task

LOGISTIC = "sklearn.linear_model.LogisticRegression"
CLASSES = ("low", "middle", "high")
FEATURES = Features(categorical=("c", "d"), numeric=("n",), spline=("s",), min_category_rows=10)


def fitted(
    estimator: str, /, *, kind: str = "classification", encoding: str = "onehot", **args: Any
) -> tuple[Any, Any]:
    chance = np.random.default_rng(0)
    rows = pd.DataFrame({
        "c": chance.choice(["a", "b", "rare"], 300, p=[0.5, 0.48, 0.02]), "d": chance.choice(["x", "y"], 300),
        "n": chance.normal(size=300), "s": chance.normal(size=300),
    })  # fmt: skip
    target = rows["n"] + (rows["c"] == "a") + chance.normal(size=300)
    if kind == "classification":
        target = (target > 0.5).astype(int)
    elif kind == "multiclass":
        target = np.digitize(target, [-0.3, 0.9])
    classes = {"classes": CLASSES} if kind == "multiclass" else {}
    task = Task.model_validate({
        "name": "t", "kind": kind, "target": "y", "key": ["day", "id"], "label_delay_days": 1, **classes
    })  # fmt: skip
    fit = Fit.model_validate({"estimator": estimator, "args": args, "encoding": encoding})
    return build(task, FEATURES, fit).fit(rows, target), rows


def logit(chance: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(chance / (1 - chance)))


def check_sums(pipeline: Any, rows: pd.DataFrame, raw: np.ndarray, predicted: np.ndarray, atol: float = 1e-8) -> Any:
    """Check that the parts of each row add up to its raw score, minus a constant; return the parts."""
    explain = explainer(pipeline, rows)
    assert explain is not None
    parts = explain(rows, predicted)
    assert list(parts) == ["c", "d", "n", "s"], "columns of the caller, not what they are made into"
    apart = raw - parts.sum(axis=1).to_numpy()
    assert np.allclose(apart, apart[0], atol=atol), "all but the base is in the parts"
    assert np.ptp(parts.sum(axis=1)) > 0.05
    assert parts["n"].abs().mean() > parts["d"].abs().mean(), "d is noise"
    return parts


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize(
    ("estimator", "kind"), [(LOGISTIC, "classification"), ("sklearn.linear_model.Ridge", "regression")]
)
def test_the_parts_of_a_row_add_up_to_the_difference_from_the_usual_row(
    estimator: str, kind: str, encoding: str
) -> None:
    pipeline, rows = fitted(estimator, kind=kind, encoding=encoding)
    predicted = predict(pipeline, rows, kind)
    raw = logit(predicted) if kind == "classification" else predicted
    parts = check_sums(pipeline, rows, raw, predicted)
    assert np.allclose(parts.sum(axis=1), raw - raw.mean())
    assert np.allclose(parts.mean(), 0)
    assert not is_slow(pipeline)


def test_each_transformed_column_has_its_source() -> None:
    pipeline, rows = fitted(LOGISTIC)
    sources = transformed_sources(pipeline)
    assert len(sources) == pipeline[:-1].transform(rows).shape[1]
    assert {name: sources.count(name) for name in ("c", "d", "n")} == {"c": 3, "d": 2, "n": 1}
    changed = rows.assign(s=rows["s"] + 1)
    moved = (pipeline[:-1].transform(rows) != pipeline[:-1].transform(changed)).any(axis=0)
    assert {source for source, other in zip(sources, moved, strict=True) if other} == {"s"}


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
def test_the_parts_of_boosters_add_up_and_name_what_moved_them(estimator: str, kind: str, encoding: str) -> None:
    pytest.importorskip(estimator.partition(".")[0])
    pipeline, rows = fitted(estimator, kind=kind, encoding=encoding, n_estimators=20)
    predicted = predict(pipeline, rows, kind)
    check_sums(pipeline, rows, logit(predicted) if kind == "classification" else predicted, predicted, atol=1e-3)


@pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
@pytest.mark.parametrize("name", sorted(kind.__name__ for kind in tree_tables.KINDS))
def test_the_parts_of_trees_of_scikit_learn_add_up(name: str, encoding: str) -> None:
    path = f"sklearn.{'ensemble' if hasattr(__import__('sklearn.ensemble').ensemble, name) else 'tree'}.{name}"
    kind = "classification" if name.endswith("Classifier") else "regression"
    pipeline, rows = fitted(path, kind=kind, encoding=encoding, **few(name))
    assert is_slow(pipeline)
    predicted = predict(pipeline, rows, kind)
    raw = logit(predicted) if kind == "classification" and "GradientBoosting" in name else predicted
    check_sums(pipeline, rows, raw, predicted)


def few(name: str) -> dict[str, Any]:
    if "GradientBoosting" in name:
        return {"max_iter" if "Hist" in name else "n_estimators": 15}
    return {"min_samples_leaf": 5} | ({"n_estimators": 15} if "Trees" in name or "Forest" in name else {})


@pytest.mark.parametrize(
    ("estimator", "args", "link"),
    [
        ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "poisson", "max_iter": 15}, np.log),
        ("sklearn.ensemble.HistGradientBoostingRegressor", {"loss": "absolute_error", "max_iter": 15}, np.asarray),
        ("sklearn.linear_model.PoissonRegressor", {}, np.log),
    ],
)
def test_counts_are_divided_as_their_logarithm_and_other_losses_as_they_are(
    estimator: str, args: dict[str, Any], link: Any
) -> None:
    pipeline, rows = fitted("sklearn.linear_model.Ridge", kind="regression")
    task = Task.model_validate(
        {"name": "t", "kind": "regression", "target": "y", "key": ["day", "id"], "label_delay_days": 1}
    )
    pipeline = build(task, FEATURES, Fit.model_validate({"estimator": estimator, "args": args}))
    pipeline.fit(rows, np.exp(rows["n"] / 2 + (rows["c"] == "a")))
    predicted = predict(pipeline, rows, "regression")
    check_sums(pipeline, rows, link(predicted), predicted)


def test_half_a_logit_is_what_trees_of_the_exponential_loss_add_up_to() -> None:
    pipeline, rows = fitted("sklearn.ensemble.GradientBoostingClassifier", loss="exponential", n_estimators=15)
    predicted = predict(pipeline, rows, "classification")
    check_sums(pipeline, rows, logit(predicted) / 2, predicted)


@pytest.mark.parametrize(
    ("estimator", "args"),
    [
        (LOGISTIC, {}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 15}),
        ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 15}),
        ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimators": 15, "min_samples_leaf": 5}),
        ("lightgbm.LGBMClassifier", {"n_estimators": 15}),
        ("xgboost.XGBClassifier", {"n_estimators": 15}),
    ],
)
def test_of_several_classes_the_score_of_the_predicted_one_is_divided(estimator: str, args: dict[str, Any]) -> None:
    pytest.importorskip(estimator.partition(".")[0])
    pipeline, rows = fitted(estimator, kind="multiclass", **args)
    predicted = predict(pipeline, rows, "multiclass", len(CLASSES))
    explain, chosen = explainer(pipeline, rows), predicted.argmax(axis=1)
    assert explain is not None and set(chosen) == {0, 1, 2}
    for number in range(3):  # whatever class is the predicted one, its score is divided
        parts = explain(rows, np.eye(3)[np.full(len(rows), number)]).sum(axis=1).to_numpy()
        others = explain(rows, np.eye(3)[np.full(len(rows), (number + 1) % 3)]).sum(axis=1).to_numpy()
        if "ExtraTrees" in estimator:
            apart = predicted[:, number] - parts
        else:  # scores of classes are known up to a number that all of them share
            apart = np.log(predicted[:, number] / predicted[:, (number + 1) % 3]) - (parts - others)
        assert np.allclose(apart, apart[0], atol=1e-3)
        own = chosen == number
        assert np.array_equal(explain(rows, predicted).sum(axis=1).to_numpy()[own], parts[own])


def test_a_class_that_was_never_trained_on_shifts_no_other() -> None:
    pipeline, rows = fitted("sklearn.ensemble.RandomForestClassifier", kind="multiclass", n_estimators=5)
    pipeline.fit(rows, np.where(rows["n"] > 0, 2, 0))  # none is 1
    predicted = predict(pipeline, rows, "multiclass", 3)
    explain = explainer(pipeline, rows)
    assert explain is not None
    apart = predicted.max(axis=1) - explain(rows, predicted).sum(axis=1).to_numpy()
    for number in (0, 2):
        own = predicted.argmax(axis=1) == number
        assert own.any() and np.allclose(apart[own], apart[own][0])


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
@pytest.mark.parametrize(
    "inner",
    [
        {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "args": {"max_iter": 15}},
        {"estimator": "sklearn.svm.LinearSVC", "args": {}},
    ],
)
def test_a_calibrated_model_is_divided_before_its_calibration(inner: dict[str, Any], method: str) -> None:
    calibrated = "sklearn.calibration.CalibratedClassifierCV"
    pipeline, rows = fitted(calibrated, estimator=inner, method=method, cv=3)
    transformed = pipeline[:-1].transform(rows)
    members = [member.estimator for member in pipeline[-1].calibrated_classifiers_]
    raw = np.mean([member.decision_function(transformed) for member in members], axis=0)
    assert len(members) == 3
    check_sums(pipeline, rows, raw, predict(pipeline, rows, "classification"))


def test_a_pipeline_within_is_divided_as_long_as_its_steps_mix_no_columns() -> None:
    trees = {"estimator": "sklearn.ensemble.RandomForestClassifier", "args": {"n_estimators": 10}}

    def within(*steps: dict[str, Any]) -> tuple[Any, Any]:
        named = [[f"step {number}", step] for number, step in enumerate([*steps, trees])]
        return fitted("sklearn.pipeline.Pipeline", steps=named)

    pipeline, rows = within({"estimator": "sklearn.feature_selection.SelectKBest", "args": {"k": 2}})
    explain, predicted = explainer(pipeline, rows), predict(pipeline, rows, "classification")
    assert explain is not None and is_slow(pipeline)
    parts = explain(rows, predicted)
    apart = predicted - parts.sum(axis=1).to_numpy()
    assert np.allclose(apart, apart[0]) and (parts == 0).all().any(), "a column that was dropped moves nothing"
    pipeline, rows = within({"estimator": "sklearn.decomposition.PCA", "args": {}})
    assert explainer(pipeline, rows) is None


def test_columns_that_a_pipeline_within_turns_round_keep_their_parts() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, (rows[:, 1] > 0).astype(int))
    found = additive(model, rows)
    assert found is not None
    assert np.abs(found.parts(rows)[:, :, 0]).mean(axis=0).argmax() == 1
    assert np.allclose(found.scores(rows)[:, 0], model.decision_function(rows))


def test_parts_are_the_shapley_values_by_their_definition() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(120, 3))
    model = DecisionTreeRegressor(max_depth=4).fit(rows, rows[:, 0] * rows[:, 1] + rows[:, 2])
    tree = model.tree_

    def expected(row: np.ndarray, known: tuple[int, ...], node: int = 0) -> float:
        """What the tree says of a row of which only some columns are known: others as the training rows went."""
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            return float(tree.value[node, 0, 0])
        if tree.feature[node] in known:
            return expected(row, known, left if row[tree.feature[node]] <= tree.threshold[node] else right)
        weight = tree.weighted_n_node_samples
        return float(
            (weight[left] * expected(row, known, left) + weight[right] * expected(row, known, right)) / weight[node]
        )

    def shapley(row: np.ndarray, column: int) -> float:
        others = [other for other in range(3) if other != column]
        return sum(
            factorial(size) * factorial(2 - size) / factorial(3)
            * (expected(row, (*known, column)) - expected(row, known))
            for size in range(3)
            for known in combinations(others, size)
        )  # fmt: skip

    parts = tree_tables.TreeParts(model)(rows[:10])[:, :, 0]
    wanted = [[shapley(row.astype(np.float32), column) for column in range(3)] for row in rows[:10]]
    assert np.allclose(parts, wanted)


def test_models_whose_predictions_are_no_sum_have_no_parts() -> None:
    pipeline, rows = fitted("sklearn.ensemble.HistGradientBoostingClassifier", encoding="ordinal", max_iter=5)
    categories = {"categorical_features": [0, 1], "max_iter": 15, "min_samples_leaf": 2}
    sets, _ = fitted("sklearn.ensemble.HistGradientBoostingClassifier", encoding="ordinal", **categories)
    assert explainer(sets, rows) is None, "its trees divide rows by sets of categories"
    neighbours, _ = fitted("sklearn.neighbors.KNeighborsClassifier")
    assert explainer(neighbours, rows) is None and not is_slow(neighbours)
    assert explainer(pipeline, rows.head(0)) is None
    honest = pipeline[-1].predict_proba
    pipeline[-1].predict_proba = lambda *rows, **how: honest(*rows, **how) ** 2
    assert explainer(pipeline, rows) is None


def test_boosters_that_do_not_add_up_to_their_prediction_have_no_parts() -> None:
    pytest.importorskip("lightgbm")
    pipeline, rows = fitted("lightgbm.LGBMRegressor", kind="regression", n_estimators=20)
    halved = pipeline[-1].predict
    pipeline[-1].predict = lambda *rows, **how: halved(*rows, **how) / (1 if how else 2)
    assert explainer(pipeline, rows) is None


def test_shap_is_given_one_row_at_a_time_where_a_row_takes_long() -> None:
    random = np.random.default_rng(2)
    rows, target = random.normal(size=(4000, 4)), random.integers(0, 2, 4000)
    small = tree_tables.TreeParts(RandomForestClassifier(2, max_depth=3).fit(rows, target))
    large = tree_tables.TreeParts(RandomForestClassifier(60).fit(rows, target))
    assert large.rows_at_once < small.rows_at_once == 256
    whole = large(rows[:5])
    large.rows_at_once = 1
    assert np.array_equal(large(rows[:5]), whole)


def test_an_import_that_failed_is_tried_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, rows = fitted("sklearn.tree.DecisionTreeClassifier", max_depth=3)
    predicted = predict(pipeline, rows, "classification")
    now, tries = 1000.0, []

    def unavailable(name: str) -> Any:
        tries.append(name)
        raise ImportError(f"no {name}")

    clock = SimpleNamespace(monotonic=lambda: now, perf_counter=time.perf_counter)
    monkeypatch.setattr(explanations, "time", clock)
    with monkeypatch.context() as missing:
        missing.setattr(tree_tables, "import_module", unavailable)
        made = explanations.Explanations(pipeline, rows, "version 1")
        for _ in range(2):
            with pytest.raises(EvergreenError, match="no shap"):
                made.of(rows, predicted)
        assert made.is_made and tries == ["shap"], "not at each request"
        assert "no shap" in made.refusal(1, seconds=60)
        now += explanations.RETRY_SECONDS
        assert not made.is_made
        made.make()
        assert made.is_made and tries == ["shap"] * 2
    now += explanations.RETRY_SECONDS
    made.make()
    assert made.refusal(1, seconds=60) == "" and len(made.of(rows, predicted)) == len(rows)
    now += 1e9
    assert made.is_made, "what is made stays"


def test_the_package_shap_is_not_imported_before_trees_are_divided() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import ml.core.scoring.contributions, ml.serving.explanations; "
        "assert 'shap' not in sys.modules and 'numba' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
