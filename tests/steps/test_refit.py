"""The winner's refit serves in its place, if it agrees with what was judged."""

from __future__ import annotations

import pytest

from ml.core.history import champion_of
from ml.steps import promote, refit
from tests.steps.conftest import LAST_DAY, NEXT_DAY, Contest


def test_by_default_what_was_judged_is_what_serves(contest: Contest) -> None:
    assert contest.world.run(refit, contest.window, contest.judgement) == contest.judgement


def test_the_refit_knows_the_whole_window_and_is_what_is_promoted(contest: Contest) -> None:
    world = contest.world.having(retrain={"refit": "after_gate", "refit_max_difference": 0.2})
    found = world.run(refit, contest.window, contest.judgement)
    assert (found.version, found.judged_version, found.verdict.decision) == (3, 2, "promote")
    assert [ruling.rule for ruling in found.verdict.rulings][-2:] == ["refit agrees", "refit's package"]
    again = world.run(refit, contest.window, contest.judgement)
    assert (again.version, again.judged_version, again.decision_id) == (3, 2, None)

    promotion = world.run(promote, contest.window, found)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (True, 3, 1)
    tracking = world.services.tracking
    judged, whole = tracking.version_tags(2), tracking.version_tags(3)
    assert whole["train_last_day"] == contest.window.last_day.isoformat() > judged["train_last_day"]
    assert judged["fingerprint"] != whole["fingerprint"]
    decision = tracking.decisions()[-1]
    assert (decision.payload["version"], decision.payload["judged_version"]) == (3, 2)
    assert decision.fingerprint == contest.window.fingerprint
    reign, _ = champion_of(NEXT_DAY, tracking.decisions())
    assert reign is not None and (reign.version, reign.effective_day) == (3, NEXT_DAY)
    assert contest.window.last_day < LAST_DAY


def test_a_refit_that_disagrees_is_held(contest: Contest) -> None:
    world = contest.world.having(retrain={"refit": "after_gate", "refit_max_difference": 1e-9})
    found = world.run(refit, contest.window, contest.judgement)
    assert found.verdict.decision == "hold"
    assert "refit and judged model differ by" in found.verdict.reasons[0]
    assert not world.run(promote, contest.window, found).promoted
    assert world.services.tracking.alias("champion") == 1
    assert [entry.kind for entry in world.services.tracking.decisions()] == ["promotion", "hold"]


@pytest.mark.parametrize(("difference", "passed"), [(0.01, True), (0.0101, False), (float("nan"), None)])
def test_what_agreement_is(difference: float, passed: bool | None) -> None:
    assert refit.agreement(difference, 0.01).passed is passed
