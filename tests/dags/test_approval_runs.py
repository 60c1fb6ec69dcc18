"""Promotions that wait for a person, and a rollback from its form: real Dags, answered through the real API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any

import pytest

from tests.dags.world import Ran, World, running_world

pytestmark = pytest.mark.filterwarnings("ignore")  # tasks run in this process, where a warning is an error
FIRST = date(2013, 1, 1)
SEEDED = 40
TOO_EARLY = "too early in the season"
APPROVERS = ["anna@example.com", "ben@example.com"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("evergreen")) as (made, _):
        made.deliver(FIRST, FIRST + timedelta(days=SEEDED - 1))
        assert made.seed(FIRST, FIRST + timedelta(days=SEEDED - 1))["rejected"] == []
        yield made


def settings(world: World, *, approval: str, hours: float = 24.0, c: float = 0.001) -> AbstractContextManager[None]:
    """Let rules that any honest model passes judge, and people have the last word."""

    def change(params: dict[str, Any]) -> None:
        params["pull"]["min_days"] = 30
        params["fit"]["args"]["C"] = c
        rules = {"base rate": {"kind": "base_rate"}, "champion": {"kind": "champion", "max_loss": 1.0}}
        params["gate"] |= {"approval": approval, "approval_hours": hours, "rules": rules}
        params["retrain"]["refit"] = "never"
        params["notify"]["approvers"] = APPROVERS

    return world.with_params(change)


# --- chapter 1: nobody answers ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def timed_out(world: World) -> Ran:
    with settings(world, approval="required", hours=0.0005):
        return world.run("retrain", conf={"reason": "the first one"}, user="carla", meanwhile=world.let_time_pass)


def test_no_answer_in_time_is_a_no(timed_out: Ran, world: World) -> None:
    assert timed_out.state == "success"
    assert timed_out.states["approve"] == "success"
    assert timed_out.states["approved"] == timed_out.states["promote"] == "skipped"
    assert timed_out.states["describe"] == "success"
    assert world.services.tracking.alias("champion") is None
    (said,) = approvals(world)
    assert said["approved"] is False
    assert said["timed_out"] is True
    assert said["by"].startswith("nobody")


def test_who_pressed_the_button_asked(timed_out: Ran, world: World) -> None:
    workspace = world.services.workspace(timed_out.records["pull"]["workspace"])
    assert workspace.read_json("request.json")["requested_by"] == "carla"


def test_a_rejection_is_a_judgement_like_any_other(timed_out: Ran, world: World) -> None:
    with settings(world, approval="required", hours=0.0005):
        repeated = world.run("retrain", conf={"reason": "the very same again"})
    assert repeated.state == "success"
    assert set(repeated.states.values()) == {"skipped"}
    assert len(approvals(world)) == 1


# --- chapter 2: somebody says yes -------------------------------------------------------------------


@pytest.fixture(scope="module")
def approved(world: World, timed_out: Ran) -> tuple[Ran, dict[str, Any]]:
    asked: dict[str, Any] = {}

    def approve(run_id: str) -> None:
        if not asked:
            asked.update(world.question(run_id)[1], champion=world.services.tracking.alias("champion"))
            world.answer(run_id, "Approve")

    with settings(world, approval="required", c=0.002):
        return world.run(
            "retrain", conf={"reason": "a better idea", "requested_by": "the team"}, meanwhile=approve
        ), asked


def test_nothing_is_promoted_before_the_answer(approved: tuple[Ran, dict[str, Any]]) -> None:
    _, asked = approved
    assert asked["champion"] is None
    assert asked["options"] == ["Approve", "Reject"]
    assert asked["defaults"] == ["Reject"]


def test_the_question_shows_the_evidence(approved: tuple[Ran, dict[str, Any]]) -> None:
    _, asked = approved
    assert asked["subject"] == "flight-delay: may version 2 serve?"
    assert "| base rate | yes |" in asked["body"]
    assert "requested by the team" in asked["body"]
    assert "No answer within 24 hours means no" in asked["body"]


def test_the_approvers_are_mailed_once(approved: tuple[Ran, dict[str, Any]], world: World) -> None:
    ran, asked = approved
    mail, outcome = ran.mails
    assert outcome["Subject"] == "flight-delay: Version 2 was promoted"
    assert mail["Subject"] == asked["subject"]
    assert mail["To"] == ", ".join(APPROVERS)
    for kind in ("html", "plain"):
        said = mail.get_body((kind,)).get_content()
        assert "base rate" in said
        assert "/tasks/approve/required_actions" in said
        assert "http://airflow.test:8080/dags/flight-delay.retrain/runs/" in said


def test_who_approved_and_when_is_in_the_decision(approved: tuple[Ran, dict[str, Any]], world: World) -> None:
    ran, _ = approved
    assert ran.state == "success"
    assert set(ran.states.values()) == {"success"}
    assert world.services.tracking.alias("champion") == 2
    (decision,) = world.decisions("promotion")
    assert decision["approval"]["approved"] is True
    assert decision["approval"]["by"] == "anna"
    assert decision["approval"]["timed_out"] is False
    assert decision["approval"]["at"].startswith("20")


# --- chapter 3: somebody says no --------------------------------------------------------------------


@pytest.fixture(scope="module")
def rejected(world: World, approved: tuple[Ran, dict[str, Any]]) -> Ran:
    with settings(world, approval="required_if_champion_exists", c=0.003):
        return world.run(
            "retrain",
            conf={"reason": "another idea"},
            meanwhile=lambda run_id: world.answer(run_id, "Reject", TOO_EARLY),
        )


def test_a_no_keeps_the_champion_and_the_run_is_green(rejected: Ran, world: World) -> None:
    assert rejected.state == "success"
    assert rejected.states["approved"] == rejected.states["promote"] == "skipped"
    assert world.services.tracking.alias("champion") == 2
    assert len(world.decisions("promotion")) == 1
    said = [found for found in approvals(world) if not found["approved"] and not found["timed_out"]]
    assert [(found["by"], found["reason"]) for found in said] == [("anna", TOO_EARLY)]


# --- chapter 4: nobody need be asked, and what was promoted is taken back ---------------------------


@pytest.fixture(scope="module")
def unasked(world: World, rejected: Ran) -> Ran:
    with settings(world, approval="none", c=0.004):
        return world.run("retrain", conf={"reason": "trusted"})


def test_without_approval_it_goes_straight_to_promote(unasked: Ran, world: World) -> None:
    assert unasked.state == "success"
    assert unasked.states["approve"] == unasked.states["approved"] == "skipped"
    assert unasked.states["promote"] == "success"
    (outcome,) = unasked.mails
    assert outcome["Subject"] == "flight-delay: Version 4 was promoted, instead of version 2"
    assert world.services.tracking.alias("champion") == 4
    assert world.decisions("promotion")[-1].get("approval") is None


@pytest.fixture(scope="module")
def rolled_back(world: World, unasked: Ran) -> Ran:
    return world.run("rollback", conf={"reason": "it misjudges Sundays"}, user="carla")


def test_an_empty_form_brings_back_the_version_that_served_before(rolled_back: Ran, world: World) -> None:
    assert rolled_back.state == "success"
    assert rolled_back.states == {"rollback": "success", "alert": "success"}
    assert world.services.tracking.alias("champion") == 2
    (decision,) = world.decisions("rollback")
    assert "carla" in str(decision)
    assert "it misjudges Sundays" in str(decision)


def test_people_are_mailed_what_was_rolled_back(rolled_back: Ran, world: World) -> None:
    (mail,) = rolled_back.mails
    assert mail["Subject"].strip() == "flight-delay: Rolled back: version 2 serves again instead of version 4"
    for kind in ("html", "plain"):
        said = mail.get_body((kind,)).get_content()
        assert "it misjudges Sundays" in said
        assert "carla" in said
        assert "http://airflow.test:8080/dags/flight-delay.rollback/runs/" in said
        assert "None" not in said


def test_clearing_a_rollback_moves_and_mails_nothing_more(rolled_back: Ran, world: World) -> None:
    before = world.decisions()
    cleared = world.run("rollback", again=rolled_back)
    assert cleared.state == "success"
    assert cleared.mails == []
    assert world.decisions() == before
    assert world.services.tracking.alias("champion") == 2


def test_a_version_that_never_served_cannot_come_back(rolled_back: Ran, world: World) -> None:
    refused = world.run("rollback", conf={"reason": "a try", "to_version": 3})
    assert refused.state == "failed"
    assert refused.states == {"rollback": "failed", "alert": "upstream_failed"}
    assert world.services.tracking.alias("champion") == 2


# --- chapter 5: days that nothing may be learned from ------------------------------------------------


def test_days_are_excluded_in_the_name_of_who_triggered_it_and_count_again(rolled_back: Ran, world: World) -> None:
    day = FIRST + timedelta(days=5)
    marked = world.run("exclude", conf={"first_day": str(day), "reason": "a strike"}, user="carla")
    assert (marked.state, marked.states) == ("success", {"exclude": "success"})
    assert set(world.services.registry.excluded_days()) == {day}
    (decision,) = world.decisions("day_exclusion")
    assert (decision["requested_by"], decision["reason"], decision["days"]) == ("carla", "a strike", [str(day)])
    back = world.run("exclude", conf={"first_day": str(day), "reason": "it was none", "undo": True}, user="ben")
    assert back.state == "success"
    assert not world.services.registry.excluded_days()
    (decision,) = world.decisions("day_inclusion")
    assert decision["requested_by"] == "ben"


def approvals(world: World) -> list[dict[str, Any]]:
    """List what people said, in the order of the decisions."""
    return [entry["approval"] for entry in world.decisions() if entry.get("approval")]
