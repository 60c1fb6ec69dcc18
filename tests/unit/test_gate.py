"""The gate promotes what is shown to be better, and holds everything else."""

from __future__ import annotations

from typing import Any

import pytest

from ml.core.gate import Evidence, decide
from ml.core.gate.comparison import PairedGain
from ml.core.gate.leakage import Leakage, Pair
from ml.core.gate.rules.package import judge_package
from ml.core.gate.slices import Slice
from ml.records import PackageCheck, Ruling, SliceEvidence, Verdict
from ml.settings import Cut, Gate
from tests.builders import settings

RULES: dict[str, Any] = {
    "discrimination": {"kind": "bound", "metric": "roc_auc", "at_least": 0.6, "at_most": 0.99},
    "base rate": {"kind": "base_rate"},
    "champion": {"kind": "champion", "min_gain": 0.001},
    "slices": {"kind": "slices", "by": ["carrier"], "max_loss": 0.01},
    "fairness": {"kind": "slice_gap", "by": "origin", "metric": "brier", "max_gap": 0.1},
    "calibration": {"kind": "calibration", "max_error": 0.1, "max_gap": 0.05},
    "leakage": {"kind": "leakage", "max_single_feature": 0.9},
    "package": {"kind": "package", "max_ms_per_1000_rows": 100, "max_megabytes": 10},
}
BETTER = PairedGain(gain=0.01, low=0.002, high=0.018, days=14, rows=9000, standard_error=0.004, resolution=0.012)
METRICS = {"log_loss": 0.5, "roc_auc": 0.7, "calibration_error": 0.05, "calibration_gap": -0.02}
PACKAGE = PackageCheck(identical=True, refuses_bad_input=True, rows=1000, ms_per_1000_rows=12.0, megabytes=0.3)
CLEAN = Leakage(measure="AUC", strengths={"hour": 0.65, "carrier": 0.6}, shared_days=0, shared_keys=0)


def gate(rules: dict[str, Any] = RULES, **facts: Any) -> Gate:
    return settings(gate={"rules": rules, **facts}).gate


def gained(gain: float, error: float = 0.001) -> PairedGain:
    return PairedGain(gain, gain - 2 * error, gain + 2 * error, 14, 500, error, 3 * error)


def evidence(**facts: Any) -> Evidence:
    given: dict[str, Any] = {
        "challenger": METRICS,
        "base_rate": {"log_loss": 0.55},
        "holdout_days": 14,
        "holdout_rows": 9000,
        "against_champion": True,
        "comparison": BETTER,
        "slices": {
            "slices": (Slice("carrier = A", 500, {}, gained(0.02)), Slice("carrier = B", 500, {}, gained(-0.005))),
            "fairness": (Slice("origin = X", 500, {"brier": 0.15}), Slice("origin = Y", 500, {"brier": 0.2})),
        },
        "leakage": CLEAN,
        "package": PACKAGE,
    }
    return Evidence(**{**given, **facts})


def ruling(verdict: Verdict, rule: str) -> Ruling:
    return next(found for found in verdict.rulings if found.rule == rule)


def better(**facts: Any) -> PairedGain:
    return PairedGain(**{**BETTER.__dict__, **facts})


class TestVerdict:
    def test_a_challenger_that_passes_every_rule_is_promoted(self) -> None:
        found = decide(gate(), evidence())
        assert found.decision == "promote", found.reasons
        assert [rule.rule for rule in found.rulings] == [*RULES, "holdout size"]
        assert all(rule.passed for rule in found.rulings)

    def test_every_rule_is_listed_with_its_threshold_whatever_is_missing(self) -> None:
        nothing = Evidence(challenger={}, base_rate={}, holdout_days=0, holdout_rows=0, against_champion=True)
        found = decide(gate(), nothing)
        assert found.decision == "hold"
        assert [rule.rule for rule in found.rulings] == [*RULES, "holdout size"]
        assert {rule.passed for rule in found.rulings} == {None, False}
        assert [rule.kind for rule in found.rulings] == [*(rule["kind"] for rule in RULES.values()), "holdout_size"]
        assert len(found.reasons) == len(RULES) + 1
        thresholds = ["at_least", "min_gain", "max_loss", "max_gap", "max_error", "max_single_feature", "max_megabytes"]
        listed = {name for rule in found.rulings for name in rule.evidence}
        assert set(thresholds) <= listed

    def test_a_hold_gives_the_reason_of_each_rule_that_failed_and_of_no_other(self) -> None:
        found = decide(gate(), evidence(challenger={**METRICS, "roc_auc": 0.5}, comparison=None))
        assert found.reasons[0] == "ROC AUC is 0.5000, must be at least 0.6 and at most 0.99"
        assert any(reason.startswith("champion and challenger could not be compared") for reason in found.reasons)
        assert not any("base rate" in reason for reason in found.reasons)

    def test_a_champion_that_could_not_score_the_holdout_is_held_with_the_cause(self) -> None:
        found = decide(gate(), evidence(comparison=None, champion_problem="it predicts another target: fare"))
        assert ruling(found, "champion").reason.endswith("on the same days: it predicts another target: fare")

    def test_what_is_judged_without_asking_for_a_champion_does_not_claim_that_nobody_serves(self) -> None:
        found = decide(gate(), evidence(comparison=None, against_champion=False, champion_asked=False))
        for rule in ("champion", "slices"):
            assert "no champion serves" not in ruling(found, rule).reason
            assert "only a registered challenger" in ruling(found, rule).reason

    def test_a_promotion_gives_the_reason_of_each_rule(self) -> None:
        found = decide(gate(), evidence())
        assert found.reasons == tuple(rule.reason for rule in found.rulings)
        assert found.reasons[-1] == "holdout of 14 days and 9000 rows, must be at least 7 and 1000"
        assert ruling(found, "holdout size").evidence == {"days": 14.0, "rows": 9000.0}

    def test_a_gate_without_rules_holds_even_the_first(self) -> None:
        found = decide(gate({}), evidence(against_champion=False))
        assert (found.decision, found.rulings) == ("hold", ())
        assert found.reasons == ("no rule is declared under gate.rules: nothing can be shown",)

    def test_nobody_is_replaced_without_a_comparison(self) -> None:
        lax = {"base rate": {"kind": "base_rate"}}
        assert decide(gate(lax), evidence(against_champion=False)).decision == "promote"
        found = decide(gate(lax), evidence())
        assert found.decision == "hold"
        assert ruling(found, "champion").passed is None

    def test_what_was_rolled_back_is_held_however_good_it_looks(self) -> None:
        found = decide(gate(), evidence(blocked=True))
        assert found.decision == "hold"
        assert "rolled back" in found.reasons[0]

    def test_the_first_challenger_needs_no_champion(self) -> None:
        found = decide(gate(), evidence(against_champion=False, comparison=None))
        assert found.decision == "promote"
        assert ruling(found, "champion").reason == "no champion serves yet: there is nobody to be compared with"

    @pytest.mark.parametrize(
        ("days", "rows", "passed"), [(7, 1000, True), (6, 1000, False), (7, 999, False), (0, 0, False)]
    )
    def test_a_small_holdout_holds(self, days: int, rows: int, passed: bool) -> None:
        found = decide(gate(), evidence(holdout_days=days, holdout_rows=rows))
        assert ruling(found, "holdout size").passed is passed
        assert (found.decision == "promote") is passed


class TestBounds:
    @pytest.mark.parametrize(
        ("value", "passed"), [(0.6, True), (0.5999, False), (0.99, True), (0.9901, False), (float("nan"), None)]
    )
    def test_a_bound_is_met_from_its_own_value_on(self, value: float, passed: bool | None) -> None:
        found = decide(gate(), evidence(challenger={**METRICS, "roc_auc": value}))
        assert ruling(found, "discrimination").passed is passed
        assert (found.decision == "promote") is (passed is True)

    @pytest.mark.parametrize(
        ("bound", "value", "passed", "must"),
        [
            ({"at_least": 0.0}, 0.0, True, "must be at least 0"),
            ({"at_least": 0.6}, 1e9, True, "must be at least 0.6"),
            ({"at_most": 0.6}, -1e9, True, "must be at most 0.6"),
            ({"at_most": 0.0}, 0.1, False, "must be at most 0"),
        ],
    )
    def test_one_bound_asks_nothing_of_the_other_side(
        self, bound: dict[str, float], value: float, passed: bool, must: str
    ) -> None:
        rules = {"weak": {"kind": "bound", "metric": "roc_auc", **bound}}
        found = ruling(decide(gate(rules), evidence(challenger={**METRICS, "roc_auc": value})), "weak")
        assert found.passed is passed
        assert found.reason.endswith(f", {must}")
        assert found.evidence == {"roc_auc": value, **bound}

    @pytest.mark.parametrize(
        ("base", "passed"), [(0.5001, True), (0.5, False), (0.4, False), (float("nan"), None), (None, None)]
    )
    def test_a_tie_with_the_base_rate_holds(self, base: float | None, passed: bool | None) -> None:
        found = decide(gate(), evidence(base_rate={} if base is None else {"log_loss": base}))
        assert ruling(found, "base rate").passed is passed

    @pytest.mark.parametrize(
        ("error", "gap", "passed"),
        [(0.1, 0.05, True), (0.1001, 0.0, False), (0.0, 0.051, False), (0.0, -0.051, False), (None, 0.0, None)],
    )
    def test_calibration_is_bounded_in_the_small_and_in_the_large(
        self, error: float | None, gap: float, passed: bool | None
    ) -> None:
        measured = {**METRICS, "calibration_gap": gap, "calibration_error": error}
        found = decide(gate(), evidence(challenger={k: v for k, v in measured.items() if v is not None}))
        assert ruling(found, "calibration").passed is passed


class TestAgainstTheChampion:
    @pytest.mark.parametrize(
        ("facts", "passed"),
        [
            ({"gain": 0.0, "low": 0.0, "high": 0.0}, False),
            ({"low": 0.0}, False),
            ({"low": -0.001}, False),
            ({"low": 1e-9}, True),
            ({"gain": 0.001, "low": 0.0005}, True),
            ({"gain": 0.0009, "low": 0.0005}, False),
            ({"gain": -0.01, "low": -0.02, "high": -0.001}, False),
            ({"gain": float("nan")}, None),
            ({"low": float("inf")}, None),
            ({"high": float("inf")}, None),
            ({"days": 6}, None),
            ({"days": 7, "rows": 1000}, True),
            ({"rows": 999}, None),
        ],
    )
    def test_superiority_is_beyond_noise_and_large_enough(self, facts: dict[str, Any], passed: bool | None) -> None:
        found = decide(gate(), evidence(comparison=better(**facts)))
        assert ruling(found, "champion").passed is passed
        assert (found.decision == "promote") is (passed is True)

    @pytest.mark.parametrize(("low", "passed"), [(-0.0049, True), (-0.005, False), (-0.006, False), (0.01, True)])
    def test_non_inferiority_bounds_what_may_be_lost(self, low: float, passed: bool) -> None:
        rules = {**RULES, "champion": {"kind": "champion", "max_loss": 0.005}}
        found = decide(gate(rules), evidence(comparison=better(gain=low + 0.001, low=low)))
        assert ruling(found, "champion").passed is passed

    @pytest.mark.parametrize(
        ("is_refresh", "low", "passed"),
        [(True, -0.0049, True), (True, -0.005, False), (False, -0.0049, False), (False, 0.002, True)],
    )
    def test_a_refresh_may_tie_and_another_recipe_must_be_better(
        self, is_refresh: bool, low: float, passed: bool
    ) -> None:
        rules = {**RULES, "champion": {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": 0.005}}
        told = evidence(comparison=better(gain=low + 0.001, low=low), is_refresh=is_refresh)
        found = ruling(decide(gate(rules), told), "champion")
        assert found.passed is passed
        asked = "refresh_max_loss" if is_refresh else "min_gain"
        assert {"refresh_max_loss", "min_gain", "max_loss"} & set(found.evidence) == {asked}
        assert ("it is not the champion's recipe on newer data" in found.reason) is (not is_refresh and not passed)

    @pytest.mark.parametrize(("gain", "low", "passed"), [(0.01, 0.002, True), (1e-9, 1e-10, True), (0.0, 0.0, False)])
    def test_a_gain_of_nothing_at_least_asks_for_any_gain_beyond_noise(
        self, gain: float, low: float, passed: bool
    ) -> None:
        rules = {"champion": {"kind": "champion", "min_gain": 0.0}}
        found = ruling(decide(gate(rules), evidence(comparison=better(gain=gain, low=low))), "champion")
        assert found.passed is passed
        assert ("must be above 0 beyond noise and at least 0" in found.reason) is not passed

    def test_the_comparison_is_kept_with_what_few_days_could_not_decide(self) -> None:
        found = ruling(decide(gate(), evidence(comparison=better(days=6, rows=900))), "champion")
        assert found.reason == (
            "only 6 days and 900 rows are new to both models; the comparison needs 7 days and 1000 rows"
        )
        assert found.comparison is not None
        assert found.comparison.model_dump(exclude_none=True) == {
            "gain": 0.01, "low": 0.002, "high": 0.018, "resolution": 0.012, "days": 6, "rows": 900,
        }  # fmt: skip

    def test_without_a_common_day_it_is_said_why_nothing_could_be_compared(self) -> None:
        found = ruling(decide(gate(), evidence(comparison=None)), "champion")
        assert found.reason.endswith("on the same days: no day is new to both, or a row has no finite loss")
        assert found.evidence == {"min_gain": 0.001}

    def test_a_refresh_without_a_margin_of_its_own_must_be_better_too(self) -> None:
        found = decide(gate(), evidence(comparison=better(low=-0.0001), is_refresh=True))
        assert ruling(found, "champion").passed is False

    def test_a_refresh_that_cannot_be_compared_is_held(self) -> None:
        rules = {**RULES, "champion": {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": 0.005}}
        found = decide(gate(rules), evidence(comparison=None, is_refresh=True))
        assert ruling(found, "champion").passed is None

    def test_what_the_holdout_can_tell_is_said(self) -> None:
        found = ruling(decide(gate(), evidence()), "champion")
        assert "with 14 days this gate can see a gain of about 0.0120" in found.reason
        assert found.comparison is not None
        assert found.comparison.resolution == 0.012


class TestSlices:
    def test_a_slice_that_loses_more_than_the_margin_beyond_noise_holds(self) -> None:
        parts = (Slice("carrier = A", 500, {}, gained(0.02)), Slice("carrier = B", 500, {}, gained(-0.05)))
        found = decide(gate(), evidence(slices={**evidence().slices, "slices": parts}))
        assert ruling(found, "slices").passed is False
        assert "carrier = B" in ruling(found, "slices").reason
        assert "carrier = A lost" not in ruling(found, "slices").reason
        assert ruling(found, "slices").slices == SliceEvidence(
            measure="gain", values={"carrier = B": -0.05, "carrier = A": 0.02}
        )
        assert ruling(found, "slices").evidence == {"max_loss": 0.01}

    def test_the_holdout_is_cut_as_the_rule_declares_it(self) -> None:
        fairness = {**RULES["fairness"], "min_rows": 50}
        rules = gate({"slices": {**RULES["slices"], "min_rows": 40, "min_days": 3}, "fairness": fairness}).rules
        assert rules["slices"].cut() == Cut(("carrier",), 40, 3, new_to_both=True)
        assert rules["fairness"].cut() == Cut(("origin",), 50)

    def test_the_first_challenger_harms_no_slice(self) -> None:
        found = ruling(decide(gate(), evidence(against_champion=False, comparison=None, slices={})), "slices")
        assert (found.passed, found.reason) == (True, "no champion serves yet: no slice can regress")

    def test_the_worst_slice_is_said_with_its_gain_and_its_rows(self) -> None:
        found = ruling(decide(gate(), evidence()), "slices")
        assert found.passed is True
        assert found.reason == "the worst of 2 slices, carrier = B: -0.0050 log loss on 500 rows"

    def test_of_many_slices_the_ten_worst_are_kept(self) -> None:
        parts = tuple(Slice(f"carrier = {n:02}", 500, {}, gained(n / 1000)) for n in reversed(range(12)))
        found = ruling(decide(gate(), evidence(slices={**evidence().slices, "slices": parts})), "slices")
        assert found.slices is not None
        assert list(found.slices.values.items()) == [(f"carrier = {n:02}", n / 1000) for n in range(10)]

    def test_slices_are_no_evidence_where_the_models_could_not_be_compared_at_all(self) -> None:
        found = ruling(decide(gate(), evidence(comparison=None)), "slices")
        assert (found.passed, found.slices) == (None, None)
        assert found.reason == "no slice of 300 rows and 5 days is new to both models"

    def test_over_many_slices_one_unlucky_one_is_borne(self) -> None:
        """At a level of 0.05 the one alone would be rejected; among thirty such luck is expected (Holm)."""
        unlucky = Slice("carrier = B", 500, {}, gained(-0.01 - 0.0021, error=0.001))
        alone = decide(gate(), evidence(slices={**evidence().slices, "slices": (unlucky,)}))
        others = tuple(Slice(f"carrier = {n}", 500, {}, gained(0.0)) for n in range(30))
        among = decide(gate(), evidence(slices={**evidence().slices, "slices": (unlucky, *others)}))
        assert (ruling(alone, "slices").passed, ruling(among, "slices").passed) == (False, True)

    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            (None, "the slices by carrier could not be cut: a column of them is not in inputs"),
            ((), "no slice of 300 rows and 5 days is new to both models"),
            ((Slice("A", 500, {}, gained(0.02)), Slice("B", 500, {}, None)), "no loss could be compared for B"),
        ],
    )
    def test_slices_that_could_not_be_compared_hold(self, parts: tuple[Slice, ...] | None, said: str) -> None:
        found = decide(gate(), evidence(slices={**evidence().slices, "slices": parts}))
        assert ruling(found, "slices").passed is None
        assert ruling(found, "slices").reason == said
        assert found.decision == "hold"

    @pytest.mark.parametrize(
        ("values", "passed"), [((0.15, 0.25), True), ((0.15, 0.2501), False), ((0.15, float("nan")), None), ((), None)]
    )
    def test_the_gap_between_any_two_slices_is_bounded(self, values: tuple[float, ...], passed: bool | None) -> None:
        parts = tuple(Slice(f"origin = {n}", 500, {"brier": value}) for n, value in enumerate(values))
        found = decide(gate(), evidence(slices={**evidence().slices, "fairness": parts}))
        assert ruling(found, "fairness").passed is passed

    def test_the_two_slices_that_are_furthest_apart_are_named_with_their_values(self) -> None:
        values = {"origin = X": 0.15, "origin = Y": 0.3, "origin = Z": 0.1, "origin = W": 0.2}
        parts = tuple(Slice(name, 500, {"brier": value}) for name, value in values.items())
        found = ruling(decide(gate(), evidence(slices={**evidence().slices, "fairness": parts})), "fairness")
        assert found.reason == ("Brier score differs by 0.2000 between origin = Z and origin = Y, must be at most 0.1")
        assert found.slices == SliceEvidence(measure="brier", values={"origin = Z": 0.1, "origin = Y": 0.3})
        assert found.evidence == {"gap": pytest.approx(0.2), "max_gap": 0.1}

    def test_a_slice_that_could_not_be_measured_is_named(self) -> None:
        parts = (Slice("origin = X", 500, {"brier": 0.15}), Slice("origin = Y", 500, {}))
        found = ruling(decide(gate(), evidence(slices={**evidence().slices, "fairness": parts})), "fairness")
        assert found.reason == "Brier score could not be measured for origin = Y"
        assert found.slices == SliceEvidence(measure="brier", values={"origin = X": 0.15, "origin = Y": None})


class TestLeakage:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({"strengths": {"hour": 0.65, "air_time": 0.97}}, "air_time alone explains"),
            ({"shared_days": 1}, "share 1 days"),
            ({"shared_keys": 3}, "3 keys"),
            ({"label_columns": ("arr_delay",)}, "columns of labels are features: arr_delay"),
        ],
    )
    def test_what_a_model_cannot_know_holds(self, facts: dict[str, Any], says: str) -> None:
        found = decide(gate(), evidence(leakage=CLEAN.model_copy(update=facts)))
        assert ruling(found, "leakage").passed is False
        assert says in ruling(found, "leakage").reason

    @pytest.mark.parametrize(("strength", "passed"), [(0.9, True), (0.9001, False)])
    def test_a_feature_may_explain_as_much_as_is_allowed(self, strength: float, passed: bool) -> None:
        strong = CLEAN.model_copy(update={"strengths": {"hour": strength, "carrier": 0.6}})
        found = ruling(decide(gate(), evidence(leakage=strong)), "leakage")
        assert (found.passed, found.evidence["hour"]) == (passed, strength)

    @pytest.mark.parametrize("strengths", [{}, {"hour": float("nan")}])
    def test_what_could_not_be_measured_holds(self, strengths: dict[str, float]) -> None:
        found = decide(gate(), evidence(leakage=CLEAN.model_copy(update={"strengths": strengths})))
        assert ruling(found, "leakage").passed is None

    @pytest.mark.parametrize(
        ("together", "alone", "passed"),
        [(0.93, 0.65, False), (0.89, 0.65, True), (0.9, 0.65, True), (0.93, 0.9, True)],
    )
    def test_two_features_that_say_together_what_neither_says_hold(
        self, together: float, alone: float, passed: bool
    ) -> None:
        pairs = {"actual with planned": Pair(together=together, alone=alone)}
        found = ruling(decide(gate(), evidence(leakage=CLEAN.model_copy(update={"pairs": pairs}))), "leakage")
        assert found.passed is passed
        assert found.evidence["actual with planned"] == together
        if not passed:
            assert "actual with planned explains the target suspiciously well (AUC 0.930 together" in found.reason
            assert "raise gate.rules.leakage.max_feature_pair and retrain with force" in found.reason

    def test_a_score_that_is_too_good_for_the_past_holds_until_a_person_has_looked(self) -> None:
        own, base = {"log_loss": 0.30}, {"log_loss": 0.50}
        past = [({"log_loss": 0.46}, base), ({"log_loss": 0.44}, base)]
        facts = {"challenger": {**evidence().challenger, **own}, "base_rate": base}
        found = ruling(decide(gate(), evidence(**facts, past=past)), "leakage")
        assert found.passed is False
        assert (
            "it avoids 40% of the base rate's log loss, the champion and those before it 12% at best: too good"
            in found.reason
        )
        assert "raise gate.rules.leakage.max_skill_gain and retrain with force" in found.reason
        raised = {**RULES, "leakage": {"kind": "leakage", "max_single_feature": 0.9, "max_skill_gain": 0.3}}
        assert ruling(decide(gate(raised), evidence(**facts, past=past)), "leakage").passed is True
        before = [*past, ({"log_loss": 0.35}, base)]
        assert ruling(decide(gate(), evidence(**facts, past=before)), "leakage").passed is True, "as good as before"

    @pytest.mark.parametrize(
        ("metric", "score", "bounds", "passed"),
        [
            ("roc_auc", 0.97, {}, True),
            ("roc_auc", 0.995, {}, False),
            ("roc_auc", 0.995, {"max_first_score": 0.999}, True),
            ("roc_auc", 0.995, {"max_single_feature": 0.999}, True),  # a person has believed as much of one feature
            ("r2", 0.99, {}, True),
            ("r2", 0.998, {}, False),
        ],
    )
    def test_a_first_score_that_is_too_good_holds_until_a_person_has_looked(
        self, metric: str, score: float, bounds: dict[str, float], passed: bool
    ) -> None:
        challenger = {name: value for name, value in evidence().challenger.items() if name != "roc_auc"}
        facts = {"challenger": {**challenger, metric: score}, "against_champion": False, "comparison": None}
        rules = {"leakage": {"kind": "leakage", "max_single_feature": 0.9, **bounds}}
        found = ruling(decide(gate(rules), evidence(**facts)), "leakage")
        assert found.passed is passed
        if not passed:
            most = {"roc_auc": 0.98, "r2": 0.995}[metric]
            assert f"is {score:.3f}, too good for a first model (at most {most} is believed)" in found.reason
            assert "raise gate.rules.leakage.max_first_score and retrain with force" in found.reason

    @pytest.mark.parametrize(
        "past",
        [[], [({"log_loss": 0.50}, {"log_loss": 0.50})], [({}, {"log_loss": 0.5})], [({"log_loss": 0.4}, {})]],
    )
    def test_a_past_without_skill_says_nothing(self, past: list[Any]) -> None:
        facts = {"challenger": {**evidence().challenger, "log_loss": 0.30}, "base_rate": {"log_loss": 0.50}}
        assert ruling(decide(gate(), evidence(**facts, past=past)), "leakage").passed is True


class TestPackage:
    @pytest.mark.parametrize(
        ("facts", "passed"),
        [
            ({"identical": False}, False),
            ({"refuses_bad_input": False}, False),
            ({"ms_per_1000_rows": 101.0}, False),
            ({"megabytes": 10.1}, False),
            ({"problem": "it holds types that are not trusted"}, False),
            ({"ms_per_1000_rows": None}, None),
            ({"megabytes": float("nan")}, None),
            ({"rows": 0}, None),
        ],
    )
    def test_a_model_that_would_not_work_where_it_serves_holds(
        self, facts: dict[str, Any], passed: bool | None
    ) -> None:
        found = decide(gate(), evidence(package=PACKAGE.model_copy(update=facts)))
        assert ruling(found, "package").passed is passed
        assert found.decision == "hold"

    def test_without_a_budget_it_only_has_to_work(self) -> None:
        slow = PACKAGE.model_copy(update={"ms_per_1000_rows": 1e6, "megabytes": 1e6})
        assert judge_package("package", None, slow).passed is True
        assert judge_package("package", None, slow.model_copy(update={"identical": False})).passed is False
        assert judge_package("package", None, None).passed is None


def test_the_unit_of_a_gain_in_rmse_is_said_to_be_squared() -> None:
    rules = {"champion": {"kind": "champion", "min_gain": 0.0}}
    squared = settings(task={"kind": "regression"}, gate={"metric": "rmse", "rules": rules}).gate
    assert "+0.0100 mean squared error" in ruling(decide(squared, evidence()), "champion").reason
