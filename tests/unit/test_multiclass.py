"""What three classes mean for each decision: settings, labels, features, metrics, gate, leakage, drift, performance."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from ml.core import predictions
from ml.core.data.targets import coded, odd_labels
from ml.core.gate import gate_evidence, holdout_tables, leakage, model_limits
from ml.core.gate.day_resampling import day_intervals
from ml.core.gate.refit import difference
from ml.core.metrics import curves, measure, measured_of, row_loss
from ml.core.monitoring import performance
from ml.core.monitoring.calibrations import fit_classes, learnable
from ml.core.monitoring.drift_report import reference_of
from ml.core.monitoring.estimated_performance import estimate
from ml.core.training.estimators import build, predict, stand_in
from ml.core.training.lagged_means import add_history, history_names
from ml.errors import DataRejected, SettingsError
from ml.settings import HistoryFeature, Settings, Task
from tests.builders import day, rows, settings

CLASSES = ("low", "middle", "high")
OF_CLASSES = {"kind": "multiclass", "classes": CLASSES}


def several(**sections: object) -> Settings:
    task = {**OF_CLASSES, **sections.pop("task", {})}  # type: ignore[dict-item]
    return settings(task=task, **sections)


TASK = several().task


def scored(count: int = 600, *, days: int = 12, seed: int = 3, skew: float = 0.0) -> pd.DataFrame:
    """Build days of outcomes that were drawn from what was predicted; ``skew`` moves predictions to the last class."""
    chance = np.random.default_rng(seed)
    p = chance.dirichlet([2.0, 1.0, 1.0], count)
    target = np.array([chance.choice(3, p=row) for row in p], dtype=float)
    logits = np.log(p) + skew * np.array([0.0, 0.0, 1.0])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "day": np.repeat([day(number) for number in range(days)], count // days),
            "target": target,
            "prediction": predictions.column(p),
            "version": 1,
        }
    )


class TestSettings:
    @pytest.mark.parametrize(
        ("task", "said"),
        [
            ({"classes": ()}, "at least three"),
            ({"classes": ("a", "b")}, "two are kind: classification"),
            ({"classes": ("a", "b", "A")}, "written alike, a, A"),
            ({"classes": ("a", "b", 3)}, "all text or all whole numbers"),
            ({"classes": (1, 2, 2.5)}, "2.5 is neither"),
            ({"classes": (True, 2, 3)}, "True is neither"),
            ({"classes": ("a", "b", " ")}, "' ' is neither"),
            ({"positive": "low"}, "give classes instead"),
            ({"threshold": 0.4}, "most probable class is decided"),
            ({"key": ["day", "probability_low"]}, "key names probability_low"),
            ({"target": "probability_low"}, "target names probability_low"),
        ],
    )
    def test_a_task_that_cannot_be_is_refused_by_name(self, task: dict[str, object], said: str) -> None:
        with pytest.raises(SettingsError, match=said):
            several(task=task)

    def test_classes_belong_to_several_classes_only(self) -> None:
        with pytest.raises(SettingsError, match="classes belong to kind: multiclass"):
            settings(task={"classes": CLASSES})

    @pytest.mark.parametrize(
        ("history", "said"),
        [
            ({"by": [], "days": [7]}, "by nothing has no 'of'.*any of low, middle, high"),
            ({"by": ["carrier"], "days": [7], "of": "none"}, "by carrier is of 'none', which is none of task.classes"),
        ],
    )
    def test_a_lagged_mean_is_the_share_of_a_class(self, history: dict[str, object], said: str) -> None:
        with pytest.raises(SettingsError, match=said):
            several(features={"history": [history]})

    def test_of_two_classes_no_share_is_asked_for(self) -> None:
        with pytest.raises(SettingsError, match="a classification has no such classes"):
            settings(features={"history": [{"by": [], "days": [7], "of": "low"}]})

    def test_what_moves_all_scores_by_one_number_is_refused(self) -> None:
        with pytest.raises(SettingsError, match=r"score\.adapt: intercept"):
            several(score={"adapt": "intercept"})

    def test_rules_of_two_classes_and_of_several(self) -> None:
        with pytest.raises(SettingsError, match="a multiclass task does not measure: prevalence"):
            several(gate={"rules": {"share": {"kind": "bound", "metric": "prevalence", "at_least": 0.1}}})
        with pytest.raises(SettingsError, match="a classification task does not measure: macro_f1"):
            settings(gate={"rules": {"hits": {"kind": "bound", "metric": "macro_f1", "at_least": 0.1}}})
        several(gate={"rules": {"calibration": {"kind": "calibration", "max_error": 0.1, "max_gap": 0.1}}})


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "classes"),
        [
            (["high", "low", None, "middle"], CLASSES),
            ([30, 10, None, 20], (10, 20, 30)),
            ([30.0, 10.0, np.nan, 20.0], (10, 20, 30)),
        ],
    )
    def test_a_label_is_its_number_among_the_classes(self, values: list[object], classes: tuple[object, ...]) -> None:
        np.testing.assert_array_equal(coded(pd.Series(values), None, classes), [2.0, 0.0, np.nan, 1.0])
        assert not odd_labels(pd.Series(values), several(task={"classes": classes}).task)[0].any()

    def test_what_is_none_of_them_is_named(self) -> None:
        values = pd.Series(["high", "lost", None, "Low"], name="size")
        odd, problem = odd_labels(values, TASK)
        assert odd.tolist() == [False, True, False, True]
        assert "'Low', 'lost' are none of task.classes ('low', 'middle', 'high')" in problem
        with pytest.raises(DataRejected, match="size holds 'Low', 'lost', which are none of the model's task.classes"):
            coded(values, None, CLASSES)

    def test_numbers_as_text_are_not_the_numbers(self) -> None:
        assert odd_labels(pd.Series(["10", "20"]), several(task={"classes": (10, 20, 30)}).task)[0].all()


def test_a_lagged_mean_is_the_share_of_its_class_by_group() -> None:
    frame = rows(days=6, per_day=40).assign(late=np.random.default_rng(1).integers(0, 3, 240).astype(float))
    history = (
        HistoryFeature(by=(), days=(3,), of="high"),
        HistoryFeature(by=("carrier",), days=(2,), of="low", prior_rows=0),
        HistoryFeature(by=("carrier",), days=(2,), of="high", prior_rows=0),
    )
    today = frame.loc[frame["day"] == day(5)]
    added = add_history(today, frame, history, target="late", label_delay_days=1, classes=CLASSES)
    assert history_names(history) == ["history_all_3d_high", "history_carrier_2d_low", "history_carrier_2d_high"]
    past = frame.loc[frame["day"].between(day(2), day(4))]
    assert np.allclose(added["history_all_3d_high"], (past["late"] == 2).mean())
    last = past.loc[past["day"] > day(2)]
    for number, label in ((0, "low"), (2, "high")):
        shares = (last["late"] == number).groupby(last["carrier"]).mean()
        assert np.allclose(added[f"history_carrier_2d_{label}"], today["carrier"].map(shares))


class TestPredictions:
    def test_a_class_that_was_not_fitted_on_has_the_probability_0(self) -> None:
        frame = pd.DataFrame({"x": np.arange(30.0)})
        fitted = Pipeline([("estimator", LogisticRegression())]).fit(frame, np.repeat([0, 2], 15))
        p = predict(fitted, frame, "multiclass", 3)
        assert p.shape == (30, 3) and (p[:, 1] == 0).all() and np.allclose(p.sum(axis=1), 1.0)
        assert predict(fitted, frame.iloc[:0], "multiclass", 3).shape == (0, 3)
        with pytest.raises(ValueError, match="how many classes"):
            predict(fitted, frame, "multiclass")

    def test_a_column_is_an_array_and_back_also_with_a_row_missing(self) -> None:
        p = np.random.default_rng(0).dirichlet([1, 1, 1], 4)
        column = pd.Series(predictions.column(p))
        np.testing.assert_array_equal(predictions.array(column), p)
        column.iloc[2] = None
        assert np.isnan(predictions.array(column)[2]).all() and np.isfinite(predictions.array(column)[3]).all()

    def test_published_columns_come_together_whatever_their_order(self) -> None:
        p = np.random.default_rng(0).dirichlet([1, 1, 1], 4)
        frame = pd.DataFrame({"id": range(4), **predictions.parted(p, TASK)})
        shuffled = frame[["probability_high", "id", "probability_low", "probability_middle"]]
        gathered = predictions.gathered(shuffled, TASK)
        assert list(gathered) == ["id", "prediction"]
        np.testing.assert_array_equal(predictions.array(gathered["prediction"]), p)
        lacking = predictions.gathered(frame.drop(columns="probability_low"), TASK)
        assert np.isnan(predictions.array(lacking["prediction"])[:, 0]).all()

    def test_the_most_probable_is_decided_and_of_equals_the_first(self) -> None:
        p = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
        assert predictions.decided(p, TASK, 0.5).tolist() == ["middle", "low"]  # type: ignore[union-attr]
        assert predictions.decided(p, several(task={"classes": (7, 8, 9)}).task, 0.5).dtype == np.int64  # type: ignore[union-attr]
        np.testing.assert_allclose(predictions.representative(p), [0.5, 0.4])

    def test_the_base_rate_is_the_share_of_each_class(self) -> None:
        np.testing.assert_allclose(predictions.base_rate([0.0, 0.0, 2.0, 0.0], TASK), [0.75, 0.0, 0.25])

    def test_a_pipeline_for_several_classes_is_built_and_one_without_probabilities_refused(self) -> None:
        made = several(features={"categorical": ["carrier"]})
        frame, target = stand_in(made.task, made.features)
        assert set(target) == {0, 1, 2}
        fitted = build(made.task, made.features, made.fit).fit(frame, target)
        assert predict(fitted, frame, "multiclass", 3).shape == (len(frame), 3)
        for estimator in ("sklearn.svm.LinearSVC", "sklearn.linear_model.Ridge"):
            wrong = several(fit={"estimator": estimator})
            with pytest.raises(SettingsError, match="gives no probabilities|does not fit a task of kind 'multiclass'"):
                build(wrong.task, wrong.features, wrong.fit)


class TestMetrics:
    def test_they_are_those_of_scikit_learn(self) -> None:
        frame = scored()
        y, p = frame["target"].to_numpy().astype(int), predictions.array(frame["prediction"])
        found, decided = measure(frame["target"], frame["prediction"], "multiclass"), p.argmax(axis=1)
        assert found["log_loss"] == pytest.approx(sk.log_loss(y, p))
        assert found["brier"] == pytest.approx(sk.brier_score_loss(y, p, scale_by_half=False))
        assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, decided))
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, decided))
        assert found["macro_f1"] == pytest.approx(sk.f1_score(y, decided, average="macro"))
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(np.eye(3)[y], p))
        by_class = [measure(y == number, p[:, number], "classification") for number in range(3)]
        assert found["calibration_error"] == pytest.approx(np.mean([one["calibration_error"] for one in by_class]))
        assert found["calibration_gap"] == pytest.approx(max((one["calibration_gap"] for one in by_class), key=abs))
        assert set(found) == {metric.name for metric in measured_of("multiclass")}

    def test_a_class_that_did_not_come_is_left_out_of_means_over_classes(self) -> None:
        frame = scored()
        frame = frame.loc[frame["target"] < 2]
        y, p = frame["target"].to_numpy().astype(int), predictions.array(frame["prediction"])
        found = measure(y, frame["prediction"], "multiclass")
        areas = [sk.roc_auc_score(y == number, p[:, number]) for number in (0, 1)]
        assert found["roc_auc"] == pytest.approx(np.mean(areas))
        recalls = [(p[y == number].argmax(axis=1) == number).mean() for number in (0, 1)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
        alone = measure(np.zeros(20), predictions.column(p[:20]), "multiclass")
        assert "roc_auc" not in alone and alone["log_loss"] > 0

    def test_a_class_that_was_held_impossible_costs_much_and_not_infinitely(self) -> None:
        assert 30 < row_loss([1.0], predictions.column(np.array([[1.0, 0.0, 0.0]])), "log_loss")[0] < 40

    def test_intervals_hold_their_values(self) -> None:
        frame = scored()
        found, ends = (
            measure(frame["target"], frame["prediction"], "multiclass"),
            day_intervals(frame, "multiclass", confidence=0.95, seed=0, n_resamples=200, column="prediction"),
        )
        assert set(ends) == set(found)
        for name in set(found) - {"calibration_error", "calibration_gap"}:
            assert ends[name][0] < found[name] < ends[name][1], name

    def test_the_curve_of_calibration_is_that_of_all_classes_together(self) -> None:
        frame = scored(3000)
        drawn = curves(frame["target"], frame["prediction"])
        assert set(drawn) == {"calibration"} and drawn["calibration"]["rows"].sum() == 3 * len(frame)
        assert (drawn["calibration"]["predicted"] - drawn["calibration"]["observed"]).abs().max() < 0.08


class TestGate:
    made = several(features={"numeric": ["number"], "categorical": ["carrier"]}, gate={"min_rows": 50})

    def evidence(self, gain: float):
        train, holdout = scored(seed=1), scored(seed=2)
        frames = [frame.assign(id=range(len(frame)), late=frame["target"], number=0.0) for frame in (train, holdout)]
        p = predictions.array(holdout["prediction"])
        held = gate_evidence.scored_holdout(*frames, p, self.made)
        blurred = (1 - gain) * p + gain * np.array([0.5, 0.25, 0.25])
        held = gate_evidence.with_champion(held, blurred, trained_until=day(-1))
        measured = gate_evidence.measure(held, self.made)
        return held, gate_evidence.collect(
            held, frames[1], measured, self.made, against_champion=True, refresh=False, leakage=None, when_judged={},
            blocked=False,
        )  # fmt: skip

    def test_models_are_compared_by_their_losses_day_by_day(self) -> None:
        held, evidence = self.evidence(gain=0.8)
        assert evidence.comparison is not None and evidence.comparison.low > 0
        per_row = row_loss(held["target"], held["champion"], "log_loss") - row_loss(
            held["target"], held["challenger"], "log_loss"
        )
        assert evidence.comparison.gain == pytest.approx(per_row.mean())
        assert self.evidence(gain=0.0)[1].comparison.gain == pytest.approx(0.0)
        assert evidence.challenger["log_loss"] < evidence.base_rate["log_loss"]

    def test_calibration_names_the_class_that_is_furthest_off(self) -> None:
        _, evidence = self.evidence(gain=0.5)
        rule = several(gate={"rules": {"c": {"kind": "calibration", "max_error": 0.5, "max_gap": 0.5}}}).gate.rules["c"]
        ruling = rule.judge("c", self.made.gate, evidence)  # type: ignore[attr-defined]
        by_class = {label: ruling.evidence[f"gap of {label}"] for label in CLASSES}
        furthest = max(by_class, key=lambda label: abs(by_class[label]))
        assert ruling.passed and ruling.reason.startswith("calibration error is ")
        assert ruling.reason.endswith(f", must be within 0.5 (of {furthest}, which is furthest off)")
        assert by_class[furthest] == pytest.approx(evidence.challenger["calibration_gap"])

    def test_a_refit_differs_by_half_of_the_sum_of_the_differences(self) -> None:
        judged, refit = np.array([[0.5, 0.3, 0.2]]), np.array([[0.4, 0.3, 0.3]])
        assert difference(judged, refit, "multiclass") == pytest.approx(0.1)

    def test_the_card_shows_each_class_and_how_often_the_decision_was_right(self) -> None:
        held, _ = self.evidence(gain=0.5)
        table = holdout_tables.class_table(held, self.made)
        assert [row.name for row in table] == list(CLASSES)
        assert sum(row.rows for row in table) == len(held)
        assert sum(row.predicted for row in table) == pytest.approx(1.0)
        assert sum(row.decided for row in table) == pytest.approx(1.0)
        bins = holdout_tables.calibration_table(held, confidence=0.95, seed=0)
        assert bins["rows"].sum() == 3 * len(held) and (bins["low"] <= bins["observed"]).all()
        (slices,) = holdout_tables.slice_tables(held.assign(carrier="A"), held, self.made)
        p = predictions.array(held["challenger"])
        assert slices.slices[0].observed == pytest.approx((p.argmax(axis=1) == held["target"]).mean())
        assert slices.slices[0].predicted == pytest.approx(p.max(axis=1).mean())

    def test_the_card_names_a_class_that_was_never_fitted_on(self) -> None:
        frames = [
            rows(days=range(first, first + 5)).assign(late=np.arange(100) % classes)
            for first, classes in ((0, 2), (5, 3))
        ]
        said = model_limits.limits(*frames, pd.DataFrame({"day": []}), self.made, unlabelled="")
        assert any("fitted on no row of high and gives it the probability 0" in sentence for sentence in said)
        assert any("its rows were 34.0% low (50.0% in training)" in sentence for sentence in said)


class TestLeakage:
    def looked(self, frame: pd.DataFrame, *features: str) -> leakage.Leakage:
        train, holdout = frame.loc[frame["day"] < day(7)], frame.loc[frame["day"] >= day(7)]
        return leakage.look(train, holdout, features, target="late", key=["day", "id"], kind="multiclass", classes=3)

    def test_what_tells_one_class_from_the_rest_is_found(self) -> None:
        chance = np.random.default_rng(0)
        frame = rows(days=10, per_day=200).assign(late=chance.integers(0, 3, 2000).astype(float))
        frame["tells"] = np.where(frame["late"] == 1, "m", chance.choice(["a", "b"], 2000))
        frame["planned"] = chance.normal(size=2000)
        frame["actual"] = frame["planned"] + np.where(frame["late"] == 2, 0.5, 0.0)
        found = self.looked(frame, "tells", "number", "planned", "actual")
        assert found.measure == "AUC"
        assert found.strengths["tells"] > 0.95
        assert max(found.strengths[name] for name in ("number", "planned", "actual")) < 0.7
        assert (
            found.pairs[
                "actual with planned" if "actual with planned" in found.pairs else "planned with actual"
            ].together
            > 0.9
        )

    def test_a_rare_class_does_not_count(self) -> None:
        frame = rows(days=10, per_day=200)
        frame.loc[frame.index % 200 == 0, "late"] = 2.0
        frame["tells"] = (frame["late"] == 2).astype(float)
        assert self.looked(frame, "tells").strengths["tells"] < 0.6


class TestMonitoring:
    made = several(performance={"min_days": 3, "window_days": 14}, gate={"bootstrap_rounds": 400})

    def assessed(self, live: pd.DataFrame):
        held = scored(2400, seed=9).rename(columns={"prediction": "challenger"})
        base = predictions.base_rate(held["target"].to_numpy(), self.made.task)
        held = held.assign(base_rate=predictions.column(predictions.constant(base, len(held))))
        expected = performance.expected(held, self.made)
        return performance.assess(date(2013, 1, 13), 1, live, [], expected=expected, settings=self.made)

    def test_what_was_promised_is_fine_and_each_class_has_its_gap(self) -> None:
        report = self.assessed(scored(2400, seed=4))
        assert report.status == "fine", report.reason
        assert {f"gap of {label}" for label in CLASSES} <= set(report.window) & set(report.expected)
        gaps = [report.window[f"gap of {label}"].value for label in CLASSES]
        assert sum(gaps) == pytest.approx(0.0, abs=1e-5)
        assert report.window["gap"].value in gaps
        assert report.window["skill"].value == pytest.approx(report.expected["skill"], abs=0.1)

    def test_a_class_that_is_predicted_too_often_is_named(self) -> None:
        report = self.assessed(scored(2400, seed=4, skew=1.5))
        assert report.status == "decay"
        assert "version 1 predicts high" in report.findings[0].message and "too high" in report.findings[0].message

    def test_drift_compares_each_probability_and_the_labels_as_categories(self) -> None:
        drift = {"structural": ["carrier"], "min_rows": 30}
        made = several(drift=drift)
        train = rows(days=28, per_day=40)
        frame = scored(1120, days=28)
        reference = reference_of(train, frame, made)
        assert {"carrier", "label", *map("probability_{}".format, CLASSES)} == set(reference.limits)
        assert predictions.compared_labels(frame["target"], made.task).isin(CLASSES).all()

    def test_the_expected_loss_follows_from_calibrated_scores(self) -> None:
        frame = scored(4000, days=10, skew=1.0)
        learned = fit_classes(predictions.array(frame["prediction"]), frame["target"].to_numpy())
        fresh = scored(4000, days=10, seed=8, skew=1.0)
        found = measure(fresh["target"], fresh["prediction"], "multiclass")
        expected = learned.expected(fresh["prediction"])
        assert set(expected) == {"log_loss", "brier", "roc_auc"}
        assert all(expected[name] == pytest.approx(found[name], abs=0.03) for name in expected)
        assert not learnable(frame["prediction"], frame["target"].clip(upper=1))

    def test_where_the_mix_of_a_day_says_how_hard_it_is_the_newest_day_is_estimated(self) -> None:
        easy = scored(18000, days=30, skew=1.0)
        sure = predictions.array(easy["prediction"]).max(axis=1)
        hard_day = easy["day"].map({day(number): number % 2 == 0 for number in range(30)})
        easy = easy.loc[(sure < 0.6) | ~hard_day]  # the sure rows of every second day are left out
        report = performance.assess(
            date(2013, 2, 1), 2, easy.iloc[:0], [], expected=performance.ExpectedPerformance({}), settings=self.made,
            estimate=estimate(easy, easy.iloc[:0], easy.loc[easy["day"] == day(29)], self.made),
        )  # fmt: skip
        assert report.status == "unknown" and report.estimated is not None
        assert report.estimated_low is not None and report.estimated_low < report.estimated
        assert report.estimate_error is not None and "the same as before" in report.estimate_reason


def test_a_task_of_two_classes_or_of_a_number_keeps_its_one_column() -> None:
    binary = Task(name="t", kind="classification", target="late", key=("day", "id"), label_delay_days=1)
    assert predictions.names(binary) == ("prediction",)
    values = pd.Series([0.2, 0.7])
    assert predictions.compared_predictions(values, binary)["prediction"] is values
    assert predictions.compared_labels(values, binary) is values
    assert predictions.gathered(frame := pd.DataFrame({"prediction": values}), binary) is frame
    assert predictions.decided(values.to_numpy(), binary, 0.5).tolist() == [False, True]  # type: ignore[union-attr]
