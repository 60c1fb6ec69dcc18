"""A held challenger with a split is judged by it, and serves by the promotion protocol if it is better."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from ml.adapters import layout
from ml.champions import split_control
from ml.cli import history, traffic
from ml.cli.main import main
from ml.errors import EvergreenError
from ml.records import Promotion, RollbackRequest, SplitDay, SplitJudgementRequest
from ml.steps import judge_split, rollback
from ml.steps.monitor import measure_requests
from ml.steps.score import resolve
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from tests.steps.conftest import LAST_DAY, Contest, World
from tests.steps.test_serving import Asked, a_row
from tests.steps.test_traffic import HALF, hold

REQUEST = SplitJudgementRequest(version=2, requested_by="ann", reason="its split looks good")


@pytest.fixture
def held(contest: Contest) -> World:
    return hold(contest).having(**HALF)


def keep_days(world: World, gain: float, *, count: int = 20, rows: int = 400, champion: int = 1) -> None:
    """Let a split have been measured on the newest labelled days."""
    chance = np.random.default_rng(3)
    folder = world.services.storage_folder(layout.serving.split_days("randomised", champion, 2))
    for number in range(count):
        day = LAST_DAY - timedelta(days=count - number)
        kept = SplitDay(
            day=day, kind="randomised", champion=champion, challenger=2, rows=rows, challenger_rows=rows,
            difference=-gain + float(chance.normal(0, 0.01)), metric=world.settings.gate.metric,
        )  # fmt: skip
        folder.write_json(layout.days.day_json(day), kept.model_dump(mode="json"))


def judge(world: World, **changes: Any) -> Promotion:
    outcome: Promotion = world.run(judge_split, REQUEST.model_copy(update=changes))
    return outcome


def test_one_that_is_better_on_its_split_serves_and_the_decision_says_by_what(held: World) -> None:
    keep_days(held, 0.03)
    service = Asked(held)
    done = judge(held)
    assert (done.promoted, done.version, done.previous_version) == (True, 2, 1)
    services = held.services
    assert services.tracking.alias("champion") == 2 and services.tracking.alias("challenger") is None
    assert services.tracking.alias("previous_champion") == 1
    champion = history.run(services=services)["champion"]
    assert (champion["version"], champion["requested_by"]) == (2, "ann")
    facts = champion["evidence"]
    assert facts["judged_by"] == "randomised" and len(facts["split_days"]) == 20
    (ruling,) = [one for one in facts["verdict"]["rulings"] if one["kind"] == "champion"]
    assert ruling["passed"] and ruling["comparison"]["low"] > 0 and ruling["evidence"]["challenger_rows"] == 8000
    rules = {one["rule"] for one in facts["verdict"]["rulings"]}
    assert set(held.settings.gate.rules) <= rules, "what the holdout said of everything else is in the verdict"
    (card,) = (held.home / "storage").glob("runs/*/card/model_card.md")
    assert "Gate: promote" in card.read_text() and "8,000 of version 2" in card.read_text()
    MEMORY.forget()
    row = next(row for row in overview.decisions(services)["decisions"] if row["kind"] == "promotion")
    assert "requests that chance divided" in row["gain"]["sentence"]
    service.follower.look()
    assert service.post([a_row(held)]).json()["version"] == 2 and "challenger" not in service.ready()
    assert judge(held) == done, "a second call finds what was done"
    assert len(services.tracking.decisions(kinds=("promotion",))) == 2


def test_one_that_is_not_better_stays_held_once_for_the_same_days_and_can_be_judged_again(held: World) -> None:
    keep_days(held, 0.0)
    first, second = judge(held), judge(held)
    assert not first.promoted and first.decision_id == second.decision_id
    assert "must be above 0 beyond noise" in first.reason
    (entry,) = held.services.tracking.decisions(kinds=("split_hold",))
    assert (entry.payload["version"], entry.payload["reason"]) == (2, REQUEST.reason)
    assert held.services.tracking.alias("champion") == 1
    keep_days(held, 0.03)
    held.services.storage_folder(layout.serving.split_days("randomised", 1, 2)).write_json(
        layout.days.day_json(LAST_DAY),
        SplitDay(
            day=LAST_DAY, kind="randomised", champion=1, challenger=2, rows=400, challenger_rows=400,
            difference=-0.03, metric="log_loss",
        ).model_dump(mode="json"),
    )  # fmt: skip
    assert judge(held).promoted


def test_without_days_of_a_split_it_holds_and_says_what_to_do(held: World) -> None:
    assert "set serving.traffic to {challenger: SHARE}" in judge(held).reason
    keep_days(held, 0.05, count=5)
    assert "2 more days like these" in judge(held).reason
    assert held.services.tracking.alias("champion") == 1


@pytest.mark.parametrize("failing", [None, "bound"])
def test_one_that_was_not_held_or_failed_another_rule_is_not_judged(contest: Contest, failing: str | None) -> None:
    world = hold(contest, failing=failing) if failing else contest.world
    keep_days(world, 0.05)
    with pytest.raises(EvergreenError, match="has not held" if failing is None else "did not pass"):
        judge(world)


def test_a_stopped_split_and_days_before_it_was_resumed_speak_against_it(held: World) -> None:
    keep_days(held, 0.03)
    split_control.stop_by_hand(2, "complaints", "bob", held.services)
    assert "its split was stopped: complaints" in judge(held).reason
    keep_days(held, -0.03)
    split_control.resume(2, "mended", "bob", held.services, today=LAST_DAY)
    assert not judge(held).promoted, "nobody chooses the days: those before count too"


def test_one_that_was_held_against_another_champion_or_was_rolled_back_is_trained_anew(contest: Contest) -> None:
    world = hold(contest)
    keep_days(world, 0.03)
    assert judge(world).promoted
    world.run(rollback, RollbackRequest(to_version=1, requested_by="a test", reason="to see"))
    assert "rolled back" in judge(world).reason
    assert world.services.tracking.alias("champion") == 1


def test_where_a_person_has_to_approve_the_one_who_asks_says_so(held: World) -> None:
    keep_days(held, 0.03)
    world = held.having(gate={"approval": "required_if_champion_exists"})
    waiting = judge(world)
    assert not waiting.promoted and waiting.decision_id is None and "--approve" in waiting.reason
    assert judge(world, approved=True).promoted
    approval = world.services.tracking.decisions(kinds=("promotion",))[-1].payload["approval"]
    assert (approval["by"], approval["approved"]) == ("ann", True)


def test_a_model_file_that_was_replaced_is_not_promoted(held: World) -> None:
    keep_days(held, 0.03)
    (record,) = (held.home / "storage").glob("registered/version=2/*.json")
    text = record.read_text()
    digest = text.split('"model_sha256": "')[1][:64]
    record.write_text(text.replace(digest, "0" * 64))
    with pytest.raises(EvergreenError, match="somebody replaced it"):
        judge(held)
    assert held.services.tracking.alias("champion") == 1


def test_a_change_that_was_claimed_and_whose_owner_was_killed_is_carried_out(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_days(held, 0.03)

    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr("ml.adapters.tracking.Tracking.move_alias", dies)
    with pytest.raises(Killed):
        judge(held)
    monkeypatch.undo()
    monkeypatch.setattr("ml.champions.promotion_protocol.PATIENCE_SECONDS", 0.0)
    assert judge(held).promoted and held.services.tracking.alias("champion") == 2


def test_monitor_says_what_the_gate_would_say_and_the_page_has_it(held: World) -> None:
    keep_days(held, 0.03)
    (split,) = held.run(measure_requests, held.run(resolve, LAST_DAY)).splits
    (ruling,) = split.gate
    assert ruling.passed and ruling.rule == "champion"
    assert traffic.show(held.services)["gate"] == [f"champion: passed: {ruling.reason}"]
    MEMORY.forget()
    (shown,) = overview.served(held.services)["performance"]["splits"]
    assert shown["gate"][0]["passed"] is True and shown["challenger"] == 2


def test_the_command_prints_what_came_of_it(
    held: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_days(held, 0.03)
    for name, value in held.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["traffic", "judge", "2", "--reason", "its split looks good", "--by", "ann"]) == 0
    assert "promoted          True" in capsys.readouterr().out
    assert held.services.tracking.alias("champion") == 2
