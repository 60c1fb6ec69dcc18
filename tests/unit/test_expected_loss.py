"""What is expected of a refresh: a prior from its own past, updated by the holdout."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest

from ml.core import gate
from ml.core.gate import expected_loss
from ml.core.gate.comparison import PairedGain
from ml.core.gate.expected_loss import most_of_a_refit
from ml.core.gate.rule import Evidence
from ml.records import PastRefresh, RefreshHistory
from ml.settings import Gate
from tests.builders import settings

MARGIN = 0.01
MOVED = (0.025, 0.03, 0.02, 0.035, 0.03)
CHAMPION = {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": MARGIN}


def past(gains=(0.004, 0.006, 0.005, 0.003, 0.007), error=0.001, **days) -> RefreshHistory:
    refreshes = [
        PastRefresh(
            day=date(2013, 1, 7) + timedelta(days=7 * n),
            gain=gain,
            standard_error=error,
            difference=0.03,
            moved=MOVED[n % len(MOVED)],
        )
        for n, gain in enumerate(gains)
    ]
    return RefreshHistory(refreshes=refreshes, **{"apart_days": 14, "judged_days": 0, "unjudged_days": 14, **days})


def compared(gain: float, error: float = 0.004, days: int = 14) -> PairedGain:
    return PairedGain(gain, gain - 2 * error, gain + 2 * error, days, 900 * days, error, 3 * error)


def evidence(comparison: PairedGain | None, history: RefreshHistory | None = None, **facts) -> Evidence:
    known = {"challenger": {"log_loss": 0.5}, "champion": {"log_loss": 0.5}, "base_rate": {"log_loss": 0.55}}
    known |= {"holdout_days": 14, "holdout_rows": 12000, "against_champion": True, "is_refresh": True}
    return Evidence(**{**known, "comparison": comparison, "refreshes": past() if history is None else history, **facts})


def verdict(facts: Evidence, **given):
    return gate.decide(Gate(**{"rules": {"champion": CHAMPION}, **given}), facts)


class TestPrior:
    def test_a_past_of_too_few_refreshes_says_nothing(self) -> None:
        assert expected_loss.learned(past((0.01, 0.02))) is None
        assert expected_loss.learned(None) is None

    def test_what_few_refreshes_gained_is_believed_less(self) -> None:
        few, many = (expected_loss.learned(past((0.006, 0.004) * n)) for n in (2, 10))
        assert 0 < few.mean < many.mean < 0.005
        assert few.sd > many.sd

    def test_scatter_that_the_errors_explain_is_no_spread_of_true_gains(self) -> None:
        sure, unsure = (expected_loss.learned(past((0.0, 0.01, -0.01, 0.004, -0.004), error)) for error in (1e-4, 0.02))
        assert unsure.sd < sure.sd

    @pytest.mark.parametrize(("days", "times"), [(14, 1), (7, 0.5), (-7, -0.5), (0, 0), (100, 2), (-100, -2)])
    def test_a_gain_follows_the_days_of_newer_data_up_to_twice_what_was_seen(self, days: int, times: float) -> None:
        usual = expected_loss.Normal(0.004, 0.001)
        assert expected_loss.after(usual, days, 14).mean == pytest.approx(0.004 * times)


class TestDecision:
    def test_noise_about_zero_does_not_hold_what_helped_before(self) -> None:
        small = evidence(compared(-0.004, error=0.03))
        assert verdict(small).decision == "promote"
        assert verdict(small, refresh="not_worse").decision == "hold"

    def test_a_disaster_is_not_shrunk_away_by_a_calm_past(self) -> None:
        judged = verdict(evidence(compared(-0.05, error=0.004)))
        assert judged.decision == "hold"
        (ruling,) = [ruling for ruling in judged.rulings if ruling.kind == "champion"]
        assert ruling.evidence["probability_unusual"] > 0.9
        assert "unlike the refreshes before" in ruling.reason

    def test_what_moves_predictions_further_than_any_refresh_before_is_decided_by_the_holdout(self) -> None:
        """Noise about a loss is shrunk towards the past's gain, unless the refresh is probably of another kind."""
        noisy = compared(-0.02, error=0.015)
        usual, unlike = (verdict(evidence(noisy, moved=moved)) for moved in (0.03, 0.3))
        assert (usual.decision, unlike.decision) == ("promote", "hold")
        (ruling,) = [ruling for ruling in unlike.rulings if ruling.kind == "champion"]
        assert (
            "differ from the champion's by 0.3 on average, where refreshes before moved them by 0.035" in ruling.reason
        )
        assert ruling.evidence["prior_unusual"] > 0.9

    def test_nothing_is_expected_of_the_further_days_of_a_refresh_of_another_kind(self) -> None:
        disaster = expected_loss.weigh(past(), compared(-0.05, error=0.002), unusual_sd=0.05, tolerated=0.001)
        assert disaster.unjudged.mean == pytest.approx(0.0042, abs=0.0005)
        assert disaster.gain == pytest.approx(-0.05, abs=0.001)

    def test_what_moves_predictions_far_and_gains_is_promoted(self) -> None:
        assert verdict(evidence(compared(0.03, error=0.015), moved=0.3)).decision == "promote"

    def test_what_lost_in_its_past_is_held_without_news_from_the_holdout(self) -> None:
        losing = past((-0.02, -0.03, -0.025, -0.02, -0.03))
        assert verdict(evidence(compared(0.0), losing)).decision == "hold"

    def test_it_says_prior_evidence_posterior_and_what_would_have_tipped_it(self) -> None:
        (ruling,) = verdict(evidence(compared(0.001))).rulings[:1]
        parts = ("5 refreshes in the past gained +0.0042", "gained +0.0010 over the champion", "should add +0.0042")
        for part in (*parts, "Together: expected gain over the champion", "or worse on these days would have held it"):
            assert part in ruling.reason
        assert ruling.evidence["posterior_gain"] == pytest.approx(0.0042, abs=0.0005)
        assert json.loads(ruling.model_dump_json())["evidence"]["prior_gain"] == 0.0

    def test_a_hold_says_what_would_have_promoted_it_and_keeps_the_comparison(self) -> None:
        (ruling,) = verdict(evidence(compared(-0.05))).rulings[:1]
        assert ruling.reason.endswith("or better on these days would have promoted it")
        assert ruling.comparison is not None and ruling.comparison.gain == -0.05
        assert ruling.evidence["superior"] == 0.0

    @pytest.mark.parametrize(
        ("least", "gain", "superior"), [(0.0, 0.02, 1.0), (0.02, 0.02, 1.0), (0.021, 0.02, 0.0), (0.0, 0.007, 0.0)]
    )
    def test_a_refresh_that_is_better_beyond_noise_is_said_to_be(
        self, least: float, gain: float, superior: float
    ) -> None:
        rules = {"champion": {**CHAMPION, "min_gain": least}}
        assert verdict(evidence(compared(gain)), rules=rules).rulings[0].evidence["superior"] == superior

    def test_the_difference_that_is_named_does_tip_it(self) -> None:
        for gain in (0.001, -0.05):
            first = verdict(evidence(compared(gain)))
            tips_at = first.rulings[0].evidence["tips_at"]
            assert verdict(evidence(compared(tips_at))).decision != first.decision
            assert verdict(evidence(compared((gain + tips_at) / 2 + (gain - tips_at) * 0.4))).decision == first.decision

    def test_a_judged_model_that_is_older_than_the_champion_is_expected_to_be_worse(self) -> None:
        history = past(judged_days=-7, unjudged_days=14)
        posterior = expected_loss.weigh(history, compared(-0.002), unusual_sd=0.05, tolerated=0.001)
        assert posterior.prior.mean < 0 < posterior.gain

    def test_without_a_past_it_must_not_be_worse_as_before(self) -> None:
        short = past((0.01,))
        assert verdict(evidence(compared(-0.004, error=0.03), short)).decision == "hold"
        assert "must lose no more than 0.01, beyond noise" in verdict(evidence(compared(-0.03), short)).reasons[0]

    def test_another_recipe_must_be_better_whatever_the_past_of_this_one(self) -> None:
        assert verdict(evidence(compared(0.002, error=0.004), is_refresh=False)).decision == "hold"

    def test_a_comparison_that_is_missing_holds(self) -> None:
        assert verdict(evidence(None)).decision == "hold"

    def test_identical_predictions_leave_what_the_past_says(self) -> None:
        posterior = expected_loss.weigh(past(), compared(0.0, error=0.0), unusual_sd=0.05, tolerated=0.001)
        assert posterior.gain == pytest.approx(0.005 * 5 / 6, rel=0.01)
        assert posterior.tips_at is None

    def test_the_mixture_is_what_integration_comes_to(self) -> None:
        history, measured, spread = past(judged_days=14, unjudged_days=0), compared(-0.012, error=0.005), 0.05
        posterior = expected_loss.weigh(history, measured, unusual_sd=spread, tolerated=0.001)
        error = measured.standard_error * 2.160368656 / 1.959963985
        x = np.linspace(-0.5, 0.5, 400_001)

        def density(mean: float, sd: float) -> np.ndarray:
            return np.exp(-0.5 * ((x - mean) / sd) ** 2) / sd

        weight = (0.95 * density(posterior.prior.mean, posterior.prior.sd) + 0.05 * density(0, spread)) * density(
            measured.gain, error
        )
        assert posterior.gain == pytest.approx(float((x * weight).sum() / weight.sum()), abs=1e-5)
        assert posterior.worse == pytest.approx(float(weight[x < 0].sum() / weight.sum()), abs=1e-3)


class TestOtherRules:
    def test_a_refresh_that_is_no_worse_than_the_base_rate_than_the_champion_passes(self) -> None:
        weak = {"challenger": {"log_loss": 0.72}, "champion": {"log_loss": 0.73}, "base_rate": {"log_loss": 0.69}}
        rules = {"base rate": {"kind": "base_rate"}, "champion": CHAMPION}
        assert verdict(evidence(compared(0.01), **weak), rules=rules).decision == "promote"
        assert verdict(evidence(compared(0.01), **weak), rules=rules, refresh="not_worse").decision == "hold"
        better = {**weak, "champion": {"log_loss": 0.6}}
        assert verdict(evidence(compared(0.01), **better), rules=rules).decision == "hold"

    @pytest.mark.parametrize(("champion", "passed"), [(0.69, True), (0.6899, False)])
    def test_a_refresh_that_ties_with_the_base_rate_passes_where_the_champion_does_no_better(
        self, champion: float, passed: bool
    ) -> None:
        tie = {"challenger": {"log_loss": 0.69}, "champion": {"log_loss": champion}, "base_rate": {"log_loss": 0.69}}
        rules = {"base rate": {"kind": "base_rate"}, "champion": CHAMPION}
        (found,) = [r for r in verdict(evidence(compared(0.01), **tie), rules=rules).rulings if r.kind == "base_rate"]
        assert found.passed is passed
        assert found.evidence == {"log_loss": 0.69, "base_rate": 0.69} | ({"champion": champion} if passed else {})
        assert ("; so is the champion's, 0.6900: to keep it would be no better" in found.reason) is passed

    @pytest.mark.parametrize(
        ("challenger", "champion", "passed"),
        [
            ((0.3, 0.25), (0.3, 0.25), True),
            ((0.3, 0.25), (0.31, -0.26), True),
            ((0.3, -0.25), (0.3, 0.25), True),
            ((0.3, 0.25), (0.29, 0.25), False),
            ((0.3, 0.25), (0.3, 0.24), False),
            ((0.3, 0.25), (0.3, None), False),
            ((0.2, 0.25), (0.1, 0.25), True),
            ((0.2, 0.25), (0.1, 0.24), False),
            ((0.3, 0.2), (0.3, 0.1), True),
            ((0.3, 0.2), (0.29, 0.1), False),
        ],
    )
    def test_a_refresh_is_off_by_no_more_than_what_is_allowed_or_the_champion(
        self, challenger: tuple[float, float], champion: tuple[float, float | None], passed: bool
    ) -> None:
        rules = {"calibration": {"kind": "calibration", "max_error": 0.2, "max_gap": 0.2}, "champion": CHAMPION}
        names = ("calibration_error", "calibration_gap")
        scores = [
            {"log_loss": 0.5} | {name: value for name, value in zip(names, off, strict=True) if value is not None}
            for off in (challenger, champion)
        ]
        facts = evidence(compared(0.01), challenger=scores[0], champion=scores[1])
        (found,) = [r for r in verdict(facts, rules=rules).rulings if r.kind == "calibration"]
        assert found.passed is passed
        assert ("to keep it would be no better" in found.reason) is passed
        assert verdict(facts, rules=rules, refresh="not_worse").decision == "hold"

    def test_slices_too_small_to_be_clearly_harmed_hold_no_refresh(self) -> None:
        rules = {"slices": {"kind": "slices", "by": ["carrier"], "max_loss": 0.02}, "champion": CHAMPION}
        facts = evidence(compared(0.001), slices={"slices": ()})
        judged = verdict(facts, rules=rules)
        assert judged.decision == "promote"
        assert judged.rulings[0].reason == (
            "no slice of 300 rows and 5 days is new to both models: none is clearly harmed, and the refresh as a whole "
            "is judged by the rule of kind champion"
        )
        assert verdict(facts, rules=rules, refresh="not_worse").decision == "hold"


@pytest.mark.parametrize(("refresh", "bound"), [("expected_loss", 0.12), ("not_worse", 0.05)])
def test_a_refit_may_differ_as_successive_refits_of_its_past_did(refresh: str, bound: float) -> None:
    known = [refresh.model_copy(update={"difference": 0.08}) for refresh in past().refreshes]
    given = settings(gate={"refresh": refresh, "rules": {"champion": CHAMPION}})
    assert most_of_a_refit(given, known) == pytest.approx(bound)
    assert most_of_a_refit(given, known[:2]) == given.retrain.refit_max_difference
    assert most_of_a_refit(given, ()) == given.retrain.refit_max_difference
