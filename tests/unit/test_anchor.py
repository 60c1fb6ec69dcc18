"""All refreshes together may lose one margin to the last version that won by superiority."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest

from ml.core.champions import tenures
from ml.core.gate import expected_loss
from ml.core.gate.anchor import judge_anchor
from ml.records import Logged
from ml.settings import Gate
from tests.unit.test_expected_loss import CHAMPION, compared, evidence, past, verdict

GATE = Gate(rules={"champion": CHAMPION})


def against_anchor(gain: float, **facts):
    known = {"anchor_version": 3, "anchor": compared(gain, error=0.002)}
    return dataclasses.replace(evidence(compared(0.0), past(anchor_days=60)), **{**known, **facts})


@pytest.mark.parametrize(("gain", "passed"), [(0.0, True), (-0.006, True), (-0.02, False), (0.01, True)])
def test_a_chain_is_held_once_it_has_lost_more_than_one_margin(gain: float, passed: bool) -> None:
    facts = against_anchor(gain)
    assert judge_anchor(GATE, facts).passed is passed
    assert (verdict(facts).decision == "promote") is passed


def test_an_anchor_that_cannot_score_these_days_is_named_and_a_person_decides() -> None:
    ruling = judge_anchor(GATE, against_anchor(0.0, anchor=None, anchor_problem="the column wind is not there"))
    assert ruling.passed is None
    assert "version 3" in ruling.reason and "the column wind is not there; a person decides" in ruling.reason


@pytest.mark.parametrize("facts", [{"is_refresh": False}, {"anchor_version": None}], ids=str)
def test_another_recipe_and_the_first_refresh_are_asked_nothing(facts: dict[str, object]) -> None:
    assert judge_anchor(GATE, against_anchor(-0.5, **facts)) is None


def test_not_worse_asks_nothing_of_an_anchor() -> None:
    assert judge_anchor(Gate(rules={"champion": CHAMPION}, refresh="not_worse"), against_anchor(-0.5)) is None


def test_without_a_past_the_difference_itself_is_within_the_margin() -> None:
    assert judge_anchor(GATE, against_anchor(-0.011, refreshes=None)).passed is False
    assert judge_anchor(GATE, against_anchor(-0.009, refreshes=None)).passed is True


@pytest.mark.parametrize(("gain", "passed"), [(-0.01, True), (-0.0101, False)])
def test_a_loss_of_just_one_margin_is_within_it(gain: float, passed: bool) -> None:
    ruling = judge_anchor(GATE, against_anchor(gain, refreshes=None))
    assert ruling.passed is passed
    assert ruling.evidence == {"anchor_version": 3.0, "refresh_max_loss": 0.01, "posterior_gain": gain, "superior": 0.0}


def test_the_comparison_is_weighed_by_what_the_days_since_the_anchor_make_likely() -> None:
    """Sixty days of newer data usually gain: what the holdout shows is raised towards that; nothing comes on top."""
    history = past(anchor_days=60)
    facts = against_anchor(-0.006, refreshes=history)
    ruling = judge_anchor(GATE, facts)
    expected = expected_loss.weigh(
        history.model_copy(update={"judged_days": 60, "unjudged_days": 0}), facts.anchor,
        unusual_sd=expected_loss.worth(GATE, facts), tolerated=0.01, doubt=0.01,
    )  # fmt: skip
    assert ruling.evidence["posterior_gain"] == pytest.approx(expected.gain)
    assert ruling.evidence["tips_at"] == pytest.approx(expected.tips_at)
    assert expected.gain > -0.006
    assert f"-0.0060 log loss on 14 days, expected {expected.gain:+.4f}; all refreshes since" in ruling.reason
    assert ruling.comparison is not None and ruling.comparison.gain == -0.006


def test_a_past_of_too_few_refreshes_leaves_the_difference_itself() -> None:
    ruling = judge_anchor(GATE, against_anchor(-0.006, refreshes=past((0.01,), anchor_days=60)))
    assert ruling.evidence["posterior_gain"] == -0.006
    assert "tips_at" not in ruling.evidence


@pytest.mark.parametrize(("gain", "superior"), [(0.05, 1.0), (0.0499, 0.0)])
def test_who_gains_as_much_as_another_recipe_must_is_a_new_anchor(gain: float, superior: float) -> None:
    rules = {"champion": {**CHAMPION, "min_gain": 0.05}}
    assert judge_anchor(Gate(rules=rules), against_anchor(gain)).evidence["superior"] == superior


def promotion(version: int, previous: int | None, *rulings: dict[str, object]) -> Logged:
    day = date(2013, 5, 1) + timedelta(days=version)
    verdict = {"decision": "promote", "reasons": [], "rulings": list(rulings)}
    facts = {"version": version, "previous_version": previous, "window_last_day": str(day), "verdict": verdict}
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Logged(decision_id=str(version), kind="promotion", decided_at=at, fingerprint=None, effective_day=day,
                  payload=facts)  # fmt: skip


BETTER = {"kind": "champion", "evidence": {"min_gain": 0.001}}
REFRESH = {"kind": "champion", "evidence": {"refresh_max_loss": 0.01, "superior": 0.0}}
SUPERIOR = {"kind": "champion", "evidence": {"refresh_max_loss": 0.01, "superior": 1.0}}


@pytest.mark.parametrize(
    ("decisions", "anchor"),
    [
        ([promotion(1, None, BETTER)], 1),
        ([promotion(1, None, BETTER), promotion(2, 1, REFRESH), promotion(3, 2, REFRESH)], 1),
        ([promotion(1, None, BETTER), promotion(2, 1, REFRESH), promotion(3, 2, BETTER)], 3),
        ([promotion(1, None, BETTER), promotion(2, 1, SUPERIOR), promotion(3, 2, REFRESH)], 2),
        # better than a champion that has lost a little since is not better than the anchor
        ([promotion(1, None, BETTER), promotion(2, 1, REFRESH), promotion(3, 2, SUPERIOR)], 1),
        ([promotion(1, None, BETTER), promotion(2, 1, REFRESH),
          promotion(3, 2, REFRESH, {"kind": "anchor", "evidence": {"superior": 1.0}})], 3),
    ],
)  # fmt: skip
def test_the_anchor_is_the_last_that_won_by_superiority(decisions: list[Logged], anchor: int) -> None:
    assert tenures.anchor_of(decisions[-1].payload["version"], decisions) == anchor


def test_a_version_that_nobody_promoted_is_its_own_anchor() -> None:
    assert tenures.anchor_of(9, []) == 9
