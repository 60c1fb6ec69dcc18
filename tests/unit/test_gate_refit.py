"""A winner's refit may serve where it predicts what the judged model does, and its own package works."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.refit import COMPARED_ROWS, agreement, compared_rows, conclude, difference
from ml.core.gate.rules.package import package_rulings
from ml.records import PackageCheck, Ruling, Verdict
from ml.settings import Gate

WORKS = PackageCheck(identical=True, refuses_bad_input=True, rows=1000, ms_per_1000_rows=12.0, megabytes=0.3)


@pytest.mark.parametrize("rows", [1, 3, COMPARED_ROWS, 2 * COMPARED_ROWS + 7])
def test_rows_from_all_over_the_training_part_are_compared(rows: int) -> None:
    numbers = compared_rows(pd.DataFrame({"number": range(rows)}))["number"].tolist()
    assert len(numbers) == min(rows, COMPARED_ROWS)
    assert (numbers[0], numbers[-1]) == (0, rows - 1)
    assert numbers == sorted(set(numbers))


class TestDifference:
    def test_of_probabilities_it_is_their_mean_distance(self) -> None:
        judged, refit = np.array([0.2, 0.6, 0.5]), np.array([0.3, 0.3, 0.5])
        assert difference(judged, refit, "classification") == pytest.approx(0.4 / 3)

    def test_of_several_classes_it_is_half_of_the_sum_over_classes(self) -> None:
        judged = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
        refit = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
        assert difference(judged, refit, "multiclass") == pytest.approx((0.2 + 1.0) / 2)

    def test_of_a_regression_it_is_in_standard_deviations_of_the_judged_model(self) -> None:
        judged = np.array([0.0, 20.0])
        assert difference(judged, judged + 5, "regression") == pytest.approx(0.5)
        assert difference(judged - 7, judged - 2, "regression") == pytest.approx(0.5)

    def test_predictions_that_do_not_vary_have_no_unit(self) -> None:
        assert math.isnan(difference(np.array([3.0, 3.0]), np.array([3.0, 4.0]), "regression"))
        assert difference(np.array([0.3, 0.3]), np.array([0.3, 0.4]), "classification") == pytest.approx(0.05)


class TestAgreement:
    @pytest.mark.parametrize(("apart", "passed"), [(0.0, True), (0.05, True), (0.0501, False)])
    def test_a_refit_may_differ_up_to_the_bound(self, apart: float, passed: bool) -> None:
        ruling = agreement(apart, 0.05)
        assert (ruling.passed, ruling.kind) == (passed, "refit_agreement")
        assert ruling.evidence == {"difference": apart, "max_difference": 0.05}
        assert ruling.reason == f"refit and judged model differ by {apart:.4f} on average, must be at most 0.05"

    @pytest.mark.parametrize("apart", [float("nan"), float("inf")])
    def test_what_could_not_be_compared_does_not_pass(self, apart: float) -> None:
        ruling = agreement(apart, 0.05)
        assert ruling.passed is None
        assert ruling.evidence == {"difference": None, "max_difference": 0.05}
        assert ruling.reason == "refit and judged model could not be compared"


class TestPackage:
    def test_it_is_judged_by_each_rule_of_its_kind_and_by_no_other(self) -> None:
        rules = {
            "small": {"kind": "package", "max_megabytes": 0.2},
            "quick": {"kind": "package", "max_ms_per_1000_rows": 20},
            "base rate": {"kind": "base_rate"},
        }
        small, quick = package_rulings(WORKS, Gate(rules=rules))
        assert (small.rule, small.passed, quick.rule, quick.passed) == ("refit's small", False, "refit's quick", True)
        assert small.reason == "of the refit: it is 0.3 MB large, at most 0.2"
        assert small.evidence == {
            "ms_per_1000_rows": 12.0, "megabytes": 0.3, "rows": 1000.0, "max_ms_per_1000_rows": 1000.0,
            "max_megabytes": 0.2,
        }  # fmt: skip

    def test_without_a_rule_it_has_to_work(self) -> None:
        gate = Gate(rules={"base rate": {"kind": "base_rate"}})
        (ruling,) = package_rulings(WORKS.model_copy(update={"megabytes": 1e6}), gate)
        assert (ruling.rule, ruling.passed) == ("refit's package", True)
        (ruling,) = package_rulings(WORKS.model_copy(update={"identical": False}), gate)
        assert ruling.passed is False


def ruling(name: str, passed: bool | None) -> Ruling:
    return Ruling(rule=name, kind="package", passed=passed, evidence={}, reason=f"{name} said")


@pytest.mark.parametrize(
    ("passed", "decision", "reasons"),
    [(True, "promote", ("won", "a said", "b said")), (False, "hold", ("b said",)), (None, "hold", ("b said",))],
)
def test_a_refit_serves_if_every_ruling_on_it_passed(
    passed: bool | None, decision: str, reasons: tuple[str, ...]
) -> None:
    judged = Verdict(decision="promote", reasons=("won",), rulings=(ruling("first", True),))
    verdict = conclude(judged, [ruling("a", True), ruling("b", passed)])
    assert (verdict.decision, verdict.reasons) == (decision, reasons)
    assert [found.rule for found in verdict.rulings] == ["first", "a", "b"]
