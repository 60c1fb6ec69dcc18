"""The pipeline learns what is there, bears what it never saw, and refuses what it cannot use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from ml.core.training.estimators import as_trained, build, predict, refuse_other_kinds, trained_kinds
from ml.core.training.features import matrix
from ml.errors import DataRejected, SettingsError
from ml.settings import Features, Fit, Task
from tests.builders import settings

LOGISTIC = "sklearn.linear_model.LogisticRegression"
TREES = "sklearn.ensemble.HistGradientBoostingClassifier"
FEATURES = Features(categorical=("carrier",), numeric=("number",), spline=("minute",), min_category_rows=20)
ENCODINGS = pytest.mark.parametrize(("estimator", "encoding"), [(LOGISTIC, "onehot"), (TREES, "ordinal")])


def table(n: int = 800, *, seed: int = 0) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "carrier": chance.choice(list("ABC"), n),
            "number": chance.normal(size=n),
            "minute": chance.uniform(0, 1440, n),
        }
    )


def planted(frame: pd.DataFrame, *, seed: int = 9) -> pd.Series:
    """Make late what flies with B, has a large number, or leaves around noon."""
    logit = 2.5 * (frame["carrier"] == "B") + 1.5 * frame["number"] + 3 * (abs(frame["minute"] - 720) < 200) - 2
    return (np.random.default_rng(seed).uniform(size=len(frame)) < 1 / (1 + np.exp(-logit))).astype("int64")


def task(kind: str = "classification") -> Task:
    return Task(name="t", kind=kind, target="late", key=("day", "id"), label_delay_days=1)  # type: ignore[arg-type]


def fitted(
    frame: pd.DataFrame,
    target: pd.Series,
    *,
    kind: str = "classification",
    features: Features = FEATURES,
    estimator: str = LOGISTIC,
    encoding: str = "onehot",
    seed: int = 1,
    args: dict[str, Any] | None = None,
) -> Pipeline:
    fit = Fit(estimator=estimator, encoding=encoding, seed=seed, args=args or {})  # type: ignore[arg-type]
    return build(task(kind), features, fit).fit(matrix(frame, features), target)


def auc(pipeline: Pipeline, frame: pd.DataFrame, target: pd.Series) -> float:
    return float(roc_auc_score(target, predict(pipeline, matrix(frame, FEATURES), "classification")))


class TestLearning:
    @ENCODINGS
    def test_it_learns_a_planted_signal(self, estimator: str, encoding: str) -> None:
        train, fresh = table(4000), table(2000, seed=1)
        pipeline = fitted(train, planted(train), estimator=estimator, encoding=encoding)
        assert auc(pipeline, fresh, planted(fresh, seed=8)) > 0.85

    @pytest.mark.parametrize("column", ["carrier", "number", "minute"])
    def test_every_kind_of_feature_carries_its_part_of_the_signal(self, column: str) -> None:
        train, fresh = table(4000), table(2000, seed=1)
        pipeline = fitted(train, planted(train))
        shuffled = fresh.assign(**{column: fresh[column].sample(frac=1, random_state=1).to_numpy()})
        truth = planted(fresh, seed=8)
        assert auc(pipeline, shuffled, truth) < auc(pipeline, fresh, truth) - 0.03

    def test_planted_noise_teaches_it_nothing(self) -> None:
        train, fresh = table(4000), table(4000, seed=1)
        coin = pd.Series(np.random.default_rng(2).integers(0, 2, 4000))
        pipeline = fitted(train, coin, args={"C": 0.001})
        prediction = predict(pipeline, matrix(fresh, FEATURES), "classification")
        assert 0.45 < roc_auc_score(np.random.default_rng(3).integers(0, 2, 4000), prediction) < 0.55
        assert np.std(prediction) < 0.03

    def test_columns_that_are_not_declared_are_not_seen(self) -> None:
        train = table()
        target = planted(train)
        blind, leaky = (fitted(frame, target) for frame in (train, train.assign(answer=target)))
        assert np.array_equal(*(predict(p, matrix(train, FEATURES), "classification") for p in (blind, leaky)))

    def test_regression_predicts_the_value(self) -> None:
        train, fresh = table(2000), table(500, seed=1)
        pipeline = fitted(
            train, 10 + 3 * train["number"], kind="regression", estimator="sklearn.linear_model.LinearRegression"
        )
        found = predict(pipeline, matrix(fresh, FEATURES), "regression")
        np.testing.assert_allclose(found, 10 + 3 * fresh["number"], atol=1e-6)

    def test_classification_predicts_the_probability_of_one(self) -> None:
        train = table(2000)
        pipeline = fitted(train, planted(train))
        found = predict(pipeline, matrix(train, FEATURES), "classification")
        assert found.mean() == pytest.approx(planted(train).mean(), abs=0.01)
        assert found.dtype == np.float64
        assert found.shape == (2000,)

    @pytest.mark.parametrize("kind", ["classification", "regression"])
    def test_no_rows_give_no_predictions(self, kind: str) -> None:
        train = table()
        estimator = LOGISTIC if kind == "classification" else "sklearn.linear_model.Ridge"
        pipeline = fitted(train, planted(train), kind=kind, estimator=estimator)
        assert predict(pipeline, matrix(train.iloc[:0], FEATURES), kind).shape == (0,)


class TestSeed:
    FOREST = "sklearn.ensemble.RandomForestClassifier"

    def predictions(self, seed: int, **args: Any) -> np.ndarray:
        train = table()
        pipeline = fitted(train, planted(train), estimator=self.FOREST, seed=seed, args={"n_estimators": 10, **args})
        return predict(pipeline, matrix(table(seed=1), FEATURES), "classification")

    def test_the_same_seed_gives_the_same_model_bit_for_bit(self) -> None:
        assert np.array_equal(self.predictions(7), self.predictions(7))

    def test_another_seed_gives_another_model(self) -> None:
        assert not np.array_equal(self.predictions(7), self.predictions(8))

    def test_the_one_seed_wins_over_a_random_state_among_the_arguments(self) -> None:
        assert np.array_equal(self.predictions(7, random_state=3), self.predictions(7))


class TestWhatItNeverSaw:
    def with_a_rare_one(self, estimator: str, encoding: str) -> Pipeline:
        train = table()
        train.loc[:9, "carrier"] = "RARE"
        train.loc[10:15, "carrier"] = "ODD"
        train.loc[16:49, "carrier"] = None
        return fitted(train, planted(train), estimator=estimator, encoding=encoding)

    def test_an_unseen_category_is_predicted_like_a_rare_one(self) -> None:
        pipeline = self.with_a_rare_one(LOGISTIC, "onehot")
        frames = (table(50, seed=1).assign(carrier=name) for name in ("UNSEEN", "RARE", "A"))
        unseen, rare, usual = (predict(pipeline, matrix(f, FEATURES), "classification") for f in frames)
        assert np.array_equal(unseen, rare)
        assert not np.array_equal(unseen, usual)

    def test_an_unseen_category_has_a_code_of_its_own_for_trees(self) -> None:
        pipeline = self.with_a_rare_one(TREES, "ordinal")
        names = ["A", "B", "C", "RARE", "ODD", "UNSEEN", None]
        seen = matrix(table(len(names)).assign(carrier=names), FEATURES)
        codes = dict(zip(names, pipeline["features"].transform(seen)[:, 0], strict=True))
        assert codes["RARE"] == codes["ODD"]
        assert (codes["UNSEEN"], codes[None]) == (-1, -2)
        assert len(set(codes.values())) == 6
        assert np.isfinite(predict(pipeline, seen, "classification")).all()

    @ENCODINGS
    @pytest.mark.parametrize("column", ["carrier", "number", "minute"])
    @pytest.mark.parametrize("nothing", [np.nan, None], ids=["nan", "None"])
    @pytest.mark.parametrize("where", ["fitted", "scored"])
    def test_a_column_without_any_value_is_borne(
        self, estimator: str, encoding: str, column: str, nothing: float | None, where: str
    ) -> None:
        full = table(300)
        empty = full.assign(**{column: nothing})
        train, scored = (empty, full) if where == "fitted" else (full, empty)
        pipeline = fitted(train, planted(full), estimator=estimator, encoding=encoding)
        assert np.isfinite(predict(pipeline, matrix(scored, FEATURES), "classification")).all()

    @ENCODINGS
    def test_single_nulls_are_borne_and_say_nothing_of_their_neighbours(self, estimator: str, encoding: str) -> None:
        train = table()
        pipeline = fitted(train.mask(np.random.default_rng(1).uniform(size=train.shape) < 0.1), planted(train),
                          estimator=estimator, encoding=encoding)  # fmt: skip
        holey = train.copy()
        holey.loc[3] = None
        before, after = (predict(pipeline, matrix(f, FEATURES), "classification") for f in (train, holey))
        assert np.isfinite(after).all()
        assert np.array_equal(np.delete(before, 3), np.delete(after, 3))

    def test_a_constant_spline_column_is_borne(self) -> None:
        train = table().assign(minute=5.0)
        assert np.isfinite(predict(fitted(train, planted(table())), matrix(table(), FEATURES), "classification")).all()

    def test_beyond_its_range_a_spline_stays_where_it_ended(self) -> None:
        train = table()
        pipeline = fitted(train, planted(train))
        ends = pd.DataFrame({"carrier": "A", "number": 0.0, "minute": [train["minute"].max(), 1e6]})
        first, second = predict(pipeline, matrix(ends, FEATURES), "classification")
        assert first == pytest.approx(second)


class TestRefusals:
    def refused(self, *, kind: str = "classification", estimator: str, args: dict[str, Any] | None = None) -> str:
        with pytest.raises(SettingsError) as caught:
            build(task(kind), FEATURES, Fit(estimator=estimator, args=args or {}))
        return str(caught.value)

    @pytest.mark.parametrize(
        "path", ["LogisticRegression", "sklearn.nowhere.X", "sklearn.linear_model.Nope", ".", "..up.X", "a."]
    )
    def test_a_path_that_leads_nowhere_is_named_with_an_example_of_a_right_one(self, path: str) -> None:
        said = self.refused(estimator=path)
        assert f"fit.estimator {path!r} cannot be imported" in said
        assert said.endswith("give the full path of a scikit-learn class such as " + LOGISTIC)

    @pytest.mark.parametrize("path", ["sklearn.linear_model", "os.getcwd", "builtins.dict", "subprocess.Popen"])
    def test_what_is_no_estimator_is_refused_and_never_called(self, path: str) -> None:
        said = self.refused(estimator=path, args={"args": ["false"]})
        assert f"{path!r} is no scikit-learn estimator; give the full path" in said

    def test_an_argument_that_it_does_not_take_is_named(self) -> None:
        said = self.refused(estimator=LOGISTIC, args={"depth": 3})
        assert "'depth'" in said
        assert said.endswith("see the class's own parameters")

    @pytest.mark.parametrize(
        ("kind", "path"),
        [
            ("classification", "sklearn.linear_model.Ridge"),
            ("regression", LOGISTIC),
            ("classification", "sklearn.cluster.KMeans"),
        ],
    )
    def test_an_estimator_of_the_wrong_kind_is_refused(self, kind: str, path: str) -> None:
        said = self.refused(kind=kind, estimator=path)
        assert f"{path} does not fit a task of kind {kind!r}; choose another" in said

    @pytest.mark.parametrize("path", ["sklearn.svm.LinearSVC", "sklearn.linear_model.SGDClassifier"])
    def test_a_classifier_without_probabilities_is_refused_before_it_is_fitted(self, path: str) -> None:
        assert "gives no probabilities (predict_proba); choose one" in self.refused(estimator=path)

    def test_its_arguments_may_give_it_probabilities(self) -> None:
        assert build(task(), FEATURES, Fit(estimator="sklearn.linear_model.SGDClassifier", args={"loss": "log_loss"}))


class TestKindsOfColumns:
    FEATURES = Features(categorical=("zip",), numeric=("spend",), min_category_rows=1)

    def fitted(self, zips: list[Any], encoding: str) -> Pipeline:
        frame = pd.DataFrame({"zip": zips, "spend": [1.0, 2.0, 3.0, 4.0]})
        fit = Fit(estimator="sklearn.linear_model.LogisticRegression", encoding=encoding)
        return build(settings().task, self.FEATURES, fit).fit(frame, [0, 1, 0, 1])

    @pytest.mark.parametrize("encoding", ["onehot", "ordinal"])
    @pytest.mark.parametrize(
        ("zips", "kind"), [([1, 2, 1, 2], "number"), (["1", None, "2", "2"], "text"), ([True, False] * 2, "bool")]
    )
    def test_a_pipeline_knows_of_what_kind_its_categories_were(self, zips: list[Any], kind: str, encoding: str) -> None:
        assert trained_kinds(self.fitted(zips, encoding), self.FEATURES) == {"zip": kind, "spend": "number"}

    def test_a_day_of_another_kind_is_refused_with_both_before_anything_is_scored(self) -> None:
        with pytest.raises(DataRejected, match=r"version 3: column 'zip' is string, but .* trained on number"):
            refuse_other_kinds({"zip": "number"}, {"zip": "string"}, "inputs of 2013-04-01, for version 3")

    @pytest.mark.parametrize("name", ["int8", "float64", "null", "bool"])
    def test_other_widths_nulls_and_a_missing_column_are_not_refused_here(self, name: str) -> None:
        refuse_other_kinds({"zip": "number"}, {"zip": name}, "x")
        refuse_other_kinds({"zip": "number"}, {}, "x")

    def test_codes_are_spelled_as_a_model_knows_them_to_compare_it(self) -> None:
        seen = pd.DataFrame({"zip": ["10115", "01a", None]})
        assert as_trained(seen, {"zip": "number"})["zip"].tolist()[0] == 10115
        assert as_trained(pd.DataFrame({"zip": [10115.0, None]}), {"zip": "text"})["zip"].tolist()[0] == "10115"
