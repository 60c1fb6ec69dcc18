"""The gate promotes what is shown to be better, and holds everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.core.gate import PairedGain, decide, paired_gain
from ml.records import Ruling, Verdict
from ml.settings import Gate
from tests.builders import holdout

GATE = Gate(floors={"roc_auc": 0.6}, ceilings={"calibration_error": 0.1}, min_gain=0.001, min_days=7, min_rows=1000)
GOOD = {"log_loss": 0.5, "roc_auc": 0.7, "calibration_error": 0.05}
BASE = {"log_loss": 0.55}
BETTER = PairedGain(gain=0.01, low=0.002, high=0.018, days=14, rows=9000)


def judged(
    gate: Gate = GATE,
    *,
    challenger: Mapping[str, float] = GOOD,
    base_rate: Mapping[str, float] = BASE,
    days: int = 14,
    rows: int = 9000,
    against: PairedGain | str | None = "nobody",
) -> Verdict:
    return decide(
        gate,
        challenger=challenger,
        base_rate=base_rate,
        holdout_days=days,
        holdout_rows=rows,
        against_champion=against != "nobody",
        comparison=against if isinstance(against, PairedGain) else None,
    )


def ruling(verdict: Verdict, rule: str) -> Ruling:
    return next(found for found in verdict.rulings if found.rule == rule)


def better(**facts: Any) -> PairedGain:
    return PairedGain(**{**BETTER.__dict__, **facts})


class TestVerdict:
    def test_the_first_challenger_is_promoted_without_a_champion_if_all_rules_pass(self) -> None:
        found = judged()
        assert found.decision == "promote"
        assert "champion" not in {rule.rule for rule in found.rulings}

    def test_a_challenger_shown_to_be_better_is_promoted(self) -> None:
        found = judged(against=BETTER)
        assert found.decision == "promote"
        assert ruling(found, "champion").evidence == {
            "gain": 0.01, "low": 0.002, "high": 0.018, "days": 14.0, "rows": 9000.0, "min_gain": 0.001,
        }  # fmt: skip

    @pytest.mark.parametrize("against", ["nobody", BETTER, None])
    @pytest.mark.parametrize("challenger", [GOOD, {}, {"log_loss": 9.0, "roc_auc": 0.1, "calibration_error": 0.9}])
    def test_every_rule_is_listed_whatever_fails(
        self, against: PairedGain | str | None, challenger: dict[str, float]
    ) -> None:
        expected = ["floor: roc_auc", "ceiling: calibration_error", "base rate", "champion", "holdout size"]
        if against == "nobody":
            expected.remove("champion")
        found = judged(against=against, challenger=challenger, days=1, rows=1)
        assert [rule.rule for rule in found.rulings] == expected

    def test_a_hold_gives_the_reason_of_each_rule_that_failed_and_of_no_other(self) -> None:
        found = judged(challenger={**GOOD, "roc_auc": 0.5}, against=None)
        assert found.decision == "hold"
        assert found.reasons == (
            "roc_auc is 0.5000, must be at least 0.6",
            "champion and challenger could not be compared on the same days",
        )

    def test_a_gate_without_rules_holds_even_the_first(self) -> None:
        found = judged(Gate(base_rate=False), days=100, rows=10**6)
        assert (found.decision, found.rulings) == ("hold", ())
        assert found.reasons == ("no rule is declared under gate: nothing can be shown",)


class TestBounds:
    @pytest.mark.parametrize(("value", "passed"), [(0.6, True), (0.5999, False), (0.7, True)])
    def test_a_floor_is_met_from_its_own_value_on(self, value: float, passed: bool) -> None:
        found = judged(challenger={**GOOD, "roc_auc": value})
        assert ruling(found, "floor: roc_auc").passed is passed
        assert (found.decision == "promote") is passed

    @pytest.mark.parametrize(("value", "passed"), [(0.1, True), (0.1001, False), (0.0, True)])
    def test_a_ceiling_is_met_up_to_its_own_value(self, value: float, passed: bool) -> None:
        found = judged(challenger={**GOOD, "calibration_error": value})
        assert ruling(found, "ceiling: calibration_error").passed is passed
        assert (found.decision == "promote") is passed

    @pytest.mark.parametrize("name", ["roc_auc", "calibration_error", "log_loss"])
    @pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
    def test_a_metric_that_is_missing_or_not_finite_holds(self, name: str, value: float | None) -> None:
        challenger = {**GOOD, name: value} if value is not None else {k: v for k, v in GOOD.items() if k != name}
        found = judged(challenger=challenger)
        assert found.decision == "hold"
        assert [rule.passed for rule in found.rulings].count(None) == 1
        assert None in next(rule for rule in found.rulings if rule.passed is None).evidence.values()


class TestBaseRate:
    @pytest.mark.parametrize(("base", "passed"), [(0.5001, True), (0.5, False), (0.4, False)])
    def test_a_tie_with_the_base_rate_holds(self, base: float, passed: bool) -> None:
        found = judged(base_rate={"log_loss": base})
        assert ruling(found, "base rate").passed is passed
        assert (found.decision == "promote") is passed

    @pytest.mark.parametrize("base", [{}, {"log_loss": float("nan")}])
    def test_a_base_rate_that_could_not_be_measured_holds(self, base: dict[str, float]) -> None:
        found = judged(base_rate=base)
        assert found.decision == "hold"
        assert ruling(found, "base rate").passed is None

    def test_it_is_no_rule_if_it_is_off(self) -> None:
        found = judged(Gate(floors={"roc_auc": 0.6}, base_rate=False), base_rate={})
        assert found.decision == "promote"


class TestAgainstTheChampion:
    def test_missing_evidence_holds(self) -> None:
        found = judged(against=None)
        assert found.decision == "hold"
        assert ruling(found, "champion").passed is None

    @pytest.mark.parametrize("field", ["gain", "low", "high"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_evidence_that_is_not_finite_holds(self, field: str, value: float) -> None:
        found = judged(against=better(**{field: value}))
        assert found.decision == "hold"
        assert ruling(found, "champion").passed is None

    @pytest.mark.parametrize(
        ("facts", "decision"),
        [
            ({"gain": 0.0, "low": 0.0, "high": 0.0}, "hold"),
            ({"low": 0.0}, "hold"),
            ({"low": -0.001}, "hold"),
            ({"low": 1e-9}, "promote"),
            ({"gain": 0.001, "low": 0.0005}, "promote"),
            ({"gain": 0.0009, "low": 0.0005}, "hold"),
            ({"gain": -0.01, "low": -0.02, "high": -0.001}, "hold"),
        ],
        ids=["tie", "low at zero", "low below zero", "low above zero", "min_gain", "under min_gain", "worse"],
    )
    def test_the_gain_must_be_beyond_noise_and_large_enough(self, facts: dict[str, float], decision: str) -> None:
        assert judged(against=better(**facts)).decision == decision

    def test_a_tie_holds_even_if_no_gain_is_asked_for(self) -> None:
        gate = GATE.model_copy(update={"min_gain": 0.0})
        assert judged(gate, against=better(gain=0.0, low=0.0, high=0.0)).decision == "hold"

    @pytest.mark.parametrize(
        ("facts", "passed"),
        [({"days": 6}, None), ({"days": 7}, True), ({"rows": 999}, None), ({"rows": 1000}, True)],
    )
    def test_too_few_days_or_rows_that_both_can_be_judged_on_are_missing_evidence(
        self, facts: dict[str, int], passed: bool | None
    ) -> None:
        found = judged(against=better(**facts))
        assert ruling(found, "champion").passed is passed
        assert (found.decision == "promote") is (passed is True)

    def test_the_unit_of_a_gain_in_rmse_is_said_to_be_squared(self) -> None:
        gate = Gate(metric="rmse", base_rate=False)
        assert "+0.0100 mean squared error" in ruling(judged(gate, against=BETTER), "champion").reason


@pytest.mark.parametrize(
    ("days", "rows", "passed"), [(7, 1000, True), (6, 1000, False), (7, 999, False), (0, 0, False)]
)
def test_a_small_holdout_holds(days: int, rows: int, passed: bool) -> None:
    found = judged(days=days, rows=rows)
    assert ruling(found, "holdout size").passed is passed
    assert (found.decision == "promote") is passed


def gain_of(frame: pd.DataFrame, *, seed: int = 1, rounds: int = 1000, confidence: float = 0.95) -> PairedGain:
    found = paired_gain(frame, metric="mae", confidence=confidence, rounds=rounds, seed=seed)
    assert found is not None
    return found


class TestPairedGain:
    def test_it_is_what_resampling_two_days_by_hand_gives(self) -> None:
        """Of 2 days, a resample is (A, A), (A, B), (B, A) or (B, B): gains 3, 1.5, 1.5 and 1."""
        frame = pd.DataFrame(
            {
                "day": ["A", "B", "B", "B"],
                "target": 0.0,
                "champion": [4.0, 2.0, 2.0, 2.0],
                "challenger": [1.0, 1.0, 0.5, 1.5],
            }
        )
        found = gain_of(frame)
        assert found == PairedGain(gain=pytest.approx(1.5), low=1.0, high=3.0, days=2, rows=4)  # type: ignore[arg-type]
        inner = gain_of(frame, confidence=0.4)
        assert (inner.low, inner.high) == (1.5, 1.5)
        outer = gain_of(frame, confidence=0.6)
        assert (outer.low, outer.high) == (1.0, 3.0)

    def test_busy_days_count_by_their_rows(self) -> None:
        frame = pd.concat([holdout(1.0, days=1, per_day=90), holdout(0.0, days=2, per_day=10).iloc[10:]])
        assert gain_of(frame).gain == pytest.approx(0.9, abs=0.05)

    def test_positive_means_that_the_challenger_is_better(self) -> None:
        better_one, worse_one = gain_of(holdout(0.5)), gain_of(holdout(-0.5))
        assert 0 < better_one.low < better_one.gain < better_one.high
        assert worse_one.low < worse_one.gain < worse_one.high < 0

    def test_rows_of_a_day_are_not_independent(self) -> None:
        """Ten times the rows of the same days make the interval no narrower."""
        few, many = (gain_of(holdout(days=14, per_day=n, day_sd=1.0)) for n in (50, 500))
        assert (many.high - many.low) > 0.9 * (few.high - few.low)

    def test_more_confidence_is_a_wider_interval(self) -> None:
        frame = holdout(day_sd=1.0)
        narrow, wide = (gain_of(frame, confidence=c) for c in (0.8, 0.99))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_the_same_seed_gives_the_same_interval(self) -> None:
        frame = holdout(day_sd=1.0)
        assert gain_of(frame, seed=3) == gain_of(frame, seed=3)
        assert gain_of(frame, seed=3).low != gain_of(frame, seed=4).low
        assert gain_of(frame, seed=3).gain == gain_of(frame, seed=4).gain

    def test_a_challenger_that_is_the_champion_gains_nothing(self) -> None:
        found = gain_of(holdout(day_sd=1.0).assign(challenger=10.0))
        assert (found.gain, found.low, found.high) == (0.0, 0.0, 0.0)

    @pytest.mark.parametrize("days", [0, 1])
    def test_fewer_than_two_days_carry_no_interval(self, days: int) -> None:
        frame = holdout(days=2).iloc[: 80 * days]
        assert paired_gain(frame, metric="mae", confidence=0.95, rounds=200, seed=1) is None

    @pytest.mark.parametrize("model", ["challenger", "champion", "target"])
    def test_a_row_that_one_did_not_predict_is_no_tie_but_missing_evidence(self, model: str) -> None:
        frame = holdout(0.5)
        frame.loc[3, model] = np.nan
        assert paired_gain(frame, metric="mae", confidence=0.95, rounds=200, seed=1) is None

    def test_the_holdout_is_not_modified(self) -> None:
        frame = holdout()
        gain_of(frame)
        assert_frame_equal(frame, holdout())


class TestErrorRates:
    """What fourteen days can tell, when the luck of a day (sd 1) is ten times that of a row."""

    HOLDOUTS = 400

    def promoted(self, gain: float) -> float:
        gate = Gate(metric="mae", base_rate=False, min_rows=100)
        verdicts = [
            judged(gate, against=gain_of(holdout(gain, day_sd=1.0, per_day=20, seed=seed), rounds=400))
            for seed in range(self.HOLDOUTS)
        ]
        return sum(verdict.decision == "promote" for verdict in verdicts) / self.HOLDOUTS

    def test_an_equal_model_is_promoted_in_at_most_a_twentieth_of_holdouts(self) -> None:
        assert self.promoted(0.0) <= 0.05

    def test_a_much_better_model_is_promoted_nearly_always(self) -> None:
        assert self.promoted(1.5) >= 0.95

    def test_a_bootstrap_of_rows_would_have_been_fooled(self) -> None:
        """The same holdouts, each row taken for a day of its own: what this gate avoids."""
        fooled = 0
        for seed in range(60):
            frame = holdout(0.0, day_sd=1.0, per_day=20, seed=seed)
            fooled += gain_of(frame.assign(day=np.arange(len(frame))), rounds=200).low > 0
        assert fooled / 60 > 0.2
