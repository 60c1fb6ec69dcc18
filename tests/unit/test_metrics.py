"""Metrics are scikit-learn's and arithmetic's; what cannot be measured is absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from ml.core.metrics import by_day, calibration, curves, direction, measure, measured_of, row_loss
from ml.settings import METRICS
from tests.builders import day

CHANCE = np.random.default_rng(5)
TARGET = CHANCE.integers(0, 2, 500).astype(float)
PREDICTION = np.clip(CHANCE.normal(0.3 + 0.3 * TARGET, 0.2), 0.01, 0.99)


class TestClassification:
    def test_it_says_what_scikit_learn_says(self) -> None:
        found = measure(TARGET, PREDICTION, "classification")
        assert found["log_loss"] == pytest.approx(sk.log_loss(TARGET, PREDICTION))
        assert found["brier"] == pytest.approx(sk.brier_score_loss(TARGET, PREDICTION))
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(TARGET, PREDICTION))
        assert found["average_precision"] == pytest.approx(sk.average_precision_score(TARGET, PREDICTION))

    def test_four_rows_by_hand(self) -> None:
        found = measure([1, 0, 1, 0], [0.8, 0.4, 0.3, 0.1], "classification")
        assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.6, 0.3, 0.9]).mean())
        assert found["brier"] == pytest.approx((0.04 + 0.16 + 0.49 + 0.01) / 4)
        assert found["roc_auc"] == pytest.approx(3 / 4)
        assert found["calibration_gap"] == pytest.approx(0.4 - 0.5)
        assert found["prevalence"] == 0.5
        assert found["calibration_error"] == pytest.approx((0.2 + 0.4 + 0.7 + 0.1) / 4)

    def test_it_gives_what_the_settings_let_a_gate_bound(self) -> None:
        assert set(measure(TARGET, PREDICTION, "classification")) == {
            metric.name for metric in measured_of("classification")
        }

    @pytest.mark.parametrize("only", [0.0, 1.0])
    def test_a_single_class_has_no_ranking_metric(self, only: float) -> None:
        found = measure(np.full(20, only), np.linspace(0.1, 0.9, 20), "classification")
        assert {"roc_auc", "average_precision"}.isdisjoint(found)
        assert found["prevalence"] == only
        assert np.isfinite(list(found.values())).all()

    def test_a_prediction_that_is_surely_wrong_costs_much_and_not_infinitely(self) -> None:
        assert 30 < measure([0, 1], [1.0, 0.0], "classification")["log_loss"] < 40

    def test_integers_and_booleans_are_targets_too(self) -> None:
        expected = measure(TARGET, PREDICTION, "classification")
        assert measure(pd.Series(TARGET, dtype="Int64"), PREDICTION, "classification") == expected
        assert measure(TARGET.astype(bool), PREDICTION, "classification") == expected


class TestCalibration:
    def test_a_constant_is_off_by_its_distance_from_the_rate(self) -> None:
        target = np.repeat([1.0, 0.0], [30, 70])
        assert measure(target, np.full(100, 0.3), "classification")["calibration_error"] == pytest.approx(0.0)
        assert measure(target, np.full(100, 0.5), "classification")["calibration_error"] == pytest.approx(0.2)

    def test_bins_are_equally_filled_and_in_order(self) -> None:
        found = calibration(TARGET, PREDICTION)
        assert found["rows"].tolist() == [50] * 10
        assert found["predicted"].is_monotonic_increasing

    def test_bins_hold_what_a_slow_count_gives(self) -> None:
        order = np.argsort(PREDICTION)
        found = calibration(TARGET, PREDICTION)
        for number, part in enumerate(np.split(order, 10)):
            assert found["predicted"][number] == pytest.approx(PREDICTION[part].mean())
            assert found["observed"][number] == pytest.approx(TARGET[part].mean())

    def test_errors_in_opposite_directions_do_not_cancel(self) -> None:
        target, prediction = np.repeat([1.0, 0.0], 50), np.repeat([0.6, 0.4], 50)
        found = measure(target, prediction, "classification")
        assert found["calibration_error"] == pytest.approx(0.4)
        assert found["calibration_gap"] == pytest.approx(0.0)

    def test_ties_share_a_bin_whatever_their_order(self) -> None:
        prediction = np.repeat([0.2, 0.6], [70, 30])
        target = CHANCE.integers(0, 2, 100).astype(float)
        order = CHANCE.permutation(100)
        assert len(calibration(target, prediction)) == 2
        pd.testing.assert_frame_equal(calibration(target, prediction), calibration(target[order], prediction[order]))


class TestRegression:
    def test_it_says_what_scikit_learn_says(self) -> None:
        target, prediction = CHANCE.normal(size=200), CHANCE.normal(size=200)
        found = measure(target, prediction, "regression")
        assert set(found) == {metric.name for metric in measured_of("regression")}
        assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(target, prediction))
        assert found["mae"] == pytest.approx(sk.mean_absolute_error(target, prediction))
        assert found["r2"] == pytest.approx(sk.r2_score(target, prediction))
        assert found["bias"] == pytest.approx(prediction.mean() - target.mean())

    @pytest.mark.parametrize("target", [[3.0], [3.0, 3.0]])
    def test_a_target_that_does_not_vary_has_no_r2(self, target: list[float]) -> None:
        found = measure(target, [4.0] * len(target), "regression")
        assert found == {"rmse": 1.0, "mae": 1.0, "bias": 1.0}


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_row_that_is_not_finite_leaves_nothing_measured(kind: str, bad: float) -> None:
    assert measure([0, 1, 1], [0.2, bad, 0.7], kind) == {}  # type: ignore[arg-type]
    assert measure([0, bad, 1], [0.2, 0.4, 0.7], kind) == {}  # type: ignore[arg-type]
    assert measure([], [], kind) == {}  # type: ignore[arg-type]


class TestRowLoss:
    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            ("log_loss", [-np.log(0.8), -np.log(0.6)]),
            ("brier", [0.04, 0.16]),
            ("rmse", [0.04, 0.16]),
            ("mae", [0.2, 0.4]),
        ],
    )
    def test_each_row_has_its_share(self, metric: str, expected: list[float]) -> None:
        np.testing.assert_allclose(row_loss([1, 0], [0.8, 0.4], metric), expected)

    def test_a_metric_that_is_no_mean_of_rows_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'roc_auc' is not a mean of row losses"):
            row_loss([1], [0.5], "roc_auc")


def test_by_day_gives_each_day_its_rows_and_mean_loss_in_day_order() -> None:
    days = pd.Series([day(1), day(0), day(1), day(1)], index=[7, 7, 2, 1])
    found = by_day(days, [0, 0, 0, 0], [1, 5, 2, 6], "mae")
    assert found.to_dict("list") == {"day": [day(0), day(1)], "rows": [1, 3], "loss": [5.0, 3.0]}


def test_only_ranking_hits_and_explained_variance_improve_upwards() -> None:
    assert {name for name in METRICS.names() if direction(name) == "higher"} == {
        "roc_auc", "average_precision", "r2", "accuracy", "balanced_accuracy", "macro_f1",
    }  # fmt: skip


class TestCurves:
    def test_each_is_thinned_and_keeps_its_ends(self) -> None:
        target = CHANCE.integers(0, 2, 5000)
        found = curves(target, CHANCE.uniform(size=5000))
        assert set(found) == {"roc", "precision_recall", "calibration"}
        assert all(len(curve) <= 200 for curve in found.values())
        assert found["roc"].iloc[[0, -1]].to_numpy().tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert found["precision_recall"]["recall"].iloc[[0, -1]].tolist() == [1.0, 0.0]

    def test_the_area_under_the_roc_points_is_the_auc(self) -> None:
        found = curves(TARGET, PREDICTION)["roc"]
        area = np.trapezoid(found["true_positive_rate"], found["false_positive_rate"])
        assert area == pytest.approx(sk.roc_auc_score(TARGET, PREDICTION))

    def test_a_single_class_has_none(self) -> None:
        assert curves([1, 1, 1], [0.1, 0.2, 0.3]) == {}
