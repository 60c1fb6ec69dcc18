"""The winner's refit serves in its place, if it agrees with what was judged."""

from __future__ import annotations

import pytest

from ml.core.champions.tenures import champion_of
from ml.core.gate.refit import agreement
from ml.core.gate.rules.package import package_rulings
from ml.records import PackageCheck
from ml.steps.retrain import promote, refit
from tests.builders import settings
from tests.steps.conftest import LAST_DAY, NEXT_DAY, Contest


def test_without_a_refit_what_was_judged_is_what_serves(contest: Contest) -> None:
    world = contest.world.having(retrain={"refit": "never"})
    assert world.run(refit, contest.window, contest.judgement) == contest.judgement


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
    tenure, _ = champion_of(NEXT_DAY, tracking.decisions())
    assert tenure is not None and (tenure.version, tenure.effective_day) == (3, NEXT_DAY)
    assert contest.window.last_day < LAST_DAY


def test_mlflow_says_what_became_of_both_runs_and_how_the_refit_was_judged(contest: Contest) -> None:
    world = contest.world.having(retrain={"refit": "after_gate", "refit_max_difference": 0.2})
    tracking, last_day = world.services.tracking, contest.window.last_day
    found = world.run(refit, contest.window, contest.judgement)
    judged, whole = (tracking.version_tags(version)["run_id"] for version in (2, 3))
    assert tracking.client.get_run(whole).info.run_name == f"refit up to {last_day}"
    world.run(promote, contest.window, found)
    runs = [tracking.client.get_run(run_id) for run_id in (judged, whole)]
    assert [run.info.run_name for run in runs] == [
        f"training up to {last_day}: judged in place of version 3",
        f"retrain up to {last_day}: promoted as version 3",
    ]
    described = {
        version: tracking.client.get_model_version(tracking.name, str(version)).description for version in (2, 3)
    }
    assert described[2].startswith("Judged in place of version 3, which is this recipe fitted again")
    assert described[3].startswith(
        f"Promoted over version 1, with data up to {last_day}. Gain over the champion in log "
    )
    assert described[3].endswith("Judged as version 2, fitted again on all days since.")
    assert (
        "The alias champion is at the one that serves"
        in tracking.client.get_registered_model(tracking.name).description
    )
    assert runs[1].data.metrics["judged_log_loss"] == runs[0].data.metrics["log_loss"]
    assert "version 2 was judged in its place" in runs[1].data.tags["mlflow.note.content"]
    params = runs[1].data.params
    assert (params["task.key"], params["features.history.2.by"]) == ("day, carrier, flight, origin", "carrier")
    assert not [value for value in params.values() if value.startswith(("{", "[", '"'))]


def test_a_refit_that_disagrees_is_held(contest: Contest) -> None:
    world = contest.world.having(retrain={"refit": "after_gate", "refit_max_difference": 1e-9})
    found = world.run(refit, contest.window, contest.judgement)
    assert found.verdict.decision == "hold"
    assert "refit and judged model differ by" in found.verdict.reasons[0]
    assert not world.run(promote, contest.window, found).promoted
    run_id = world.services.tracking.version_tags(3)["run_id"]
    named = world.services.tracking.client.get_run(run_id).info.run_name
    assert named == f"retrain up to {contest.window.last_day}: held as version 3"
    tracking = world.services.tracking
    described = tracking.client.get_model_version(tracking.name, "3").description
    assert described.startswith("Held: version 1 went on serving, with data up to ") and "differ by" in described
    assert world.services.tracking.alias("champion") == 1
    assert [entry.kind for entry in world.services.tracking.decisions()] == ["promotion", "hold"]


@pytest.mark.parametrize(("difference", "passed"), [(0.01, True), (0.0101, False), (float("nan"), None)])
def test_what_agreement_is(difference: float, passed: bool | None) -> None:
    assert agreement(difference, 0.01).passed is passed


SOUND = PackageCheck(identical=True, refuses_bad_input=True, rows=100, ms_per_1000_rows=50.0, megabytes=3.0)
OWN = {"mine": {"kind": "package", "max_ms_per_1000_rows": 10}, "base rate": {"kind": "base_rate"}}


@pytest.mark.parametrize(
    ("facts", "passed", "said"),
    [
        ({}, True, "of the refit: in a fresh process it predicts 100 kept rows bit-identically"),
        ({"identical": False}, False, "does not predict what it predicted in training"),
        ({"refuses_bad_input": False}, False, "accepts input that breaks its signature"),
        ({"problem": "no module named sklearn"}, False, "does not work: no module named sklearn"),
        ({"megabytes": None}, None, "could not be measured"),
    ],
)
def test_a_refit_has_to_work_as_packaged_even_where_no_rule_says_so(
    facts: dict[str, object], passed: bool | None, said: str
) -> None:
    (ruling,) = package_rulings(SOUND.model_copy(update=facts), settings(gate={"rules": {}}).gate)
    assert (ruling.rule, ruling.passed) == ("refit's package", passed)
    assert said in ruling.reason


def test_a_refit_is_held_to_the_declared_budgets() -> None:
    (ruling,) = package_rulings(SOUND, settings(gate={"rules": OWN}).gate)
    assert (ruling.rule, ruling.passed) == ("refit's mine", False)
    assert ruling.reason == "of the refit: it takes 50 ms per 1,000 rows, at most 10"
    assert ruling.evidence["max_ms_per_1000_rows"] == 10
