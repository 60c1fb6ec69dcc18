"""What a decision begins with: the gain with interval and margin, then what did not pass; never a list of all rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ml.records import Logged
from ml.settings import Gate
from ml.views import gain

GATE = Gate(metric="log_loss", confidence=0.95)


def champion(passed: bool | None = True, **evidence: float | None) -> dict[str, Any]:
    compared = {"gain": 0.0123, "low": -0.0021, "high": 0.0267, "resolution": 0.02, "days": 14, "rows": 9000}
    return {
        "rule": "champion",
        "kind": "champion",
        "passed": passed,
        "reason": "long words",
        "evidence": evidence,
        "comparison": compared,
    }


def other(rule: str, passed: bool | None, kind: str = "bound") -> dict[str, Any]:
    return {"rule": rule, "kind": kind, "passed": passed, "reason": f"{rule} reason", "evidence": {}}


def decision(kind: str, *rulings: dict[str, Any], **payload: Any) -> Logged:
    reasons = [ruling["reason"] for ruling in rulings]
    verdict = {"decision": "promote", "reasons": reasons, "rulings": list(rulings)}
    return Logged(
        decision_id="a",
        kind=kind,
        decided_at=datetime(2013, 4, 1, tzinfo=UTC),
        fingerprint=None,
        effective_day=None,
        payload={"version": 4, "verdict": verdict, **payload},
    )


def test_a_promotion_begins_with_gain_interval_and_margin_and_counts_the_rules() -> None:
    first, second = gain.reasons_of(decision("promotion", other("a", True), champion(min_gain=0.001)), GATE)
    assert first == (
        "Gain over the champion in log loss: +0.0123 (95 % interval \u22120.0021 to +0.0267, margin +0.0010) "
        "on the same 14 days"
    )
    assert second == "All 2 rules of the gate passed"


def test_the_margin_of_a_refresh_is_what_it_may_lose() -> None:
    assert gain.of([champion(refresh_max_loss=0.01)], GATE)["margin"] == -0.01  # type: ignore[index]


def test_a_refresh_that_its_past_decides_on_shows_the_gain_that_would_have_tipped_it() -> None:
    by_past = champion(refresh_max_loss=0.01, posterior_gain=0.005, tips_at=-0.0032, probability_worse=0.48)
    found = gain.of([by_past], GATE)
    assert found is not None
    assert (found["margin"], found["expected"]) == (-0.0032, 0.005)
    assert found["sentence"].endswith("+0.0050 is expected (the probability that it is worse is 48 %)")


def test_what_a_person_said_comes_first_and_a_hold_names_what_did_not_pass() -> None:
    held = decision("hold", champion(False, min_gain=0.001), other("slices", None), other("a", True), reason="by hand")
    said, lead, slices, rules = gain.reasons_of(held, GATE)
    assert said == "by hand"
    assert lead.startswith("Gain over the champion")
    assert slices == "slices: slices reason"
    assert rules == "Not passed: champion, slices (1 of 3 rules passed)"


def test_the_first_promotion_begins_with_the_base_rate() -> None:
    first = decision("promotion", other("base rate", True, "base_rate"), other("a", True))
    assert gain.reasons_of(first, GATE) == ["base rate reason", "All 2 rules of the gate passed"]


def test_a_decision_without_a_verdict_keeps_its_own_reasons() -> None:
    assert gain.reasons_of(decision("rollback", reason="worse", verdict=None), GATE) == ["worse"]
