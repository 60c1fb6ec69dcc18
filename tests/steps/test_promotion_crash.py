"""Killed before or after any of its moves, a promotion or a rollback ends as if nothing had happened.

Either it is run again, or whoever comes by next finishes it; of several at once exactly one moves the alias.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier
from typing import Any

import pytest

from ml.adapters.local_files import LocalObjects
from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_tags import PREFIX
from ml.champions import promotion_protocol, serving_state
from ml.core.champions.tenures import champion_of
from ml.errors import EvergreenError
from ml.records import (
    Approval,
    Challenger,
    Champion,
    DriftReport,
    Judgement,
    LivePerformance,
    Promotion,
    Rollback,
    RollbackRequest,
    Verdict,
)
from ml.settings import PROJECT_ROOT
from ml.steps import rollback
from ml.steps.monitor import decide
from ml.steps.retrain import gate, promote
from tests.steps.conftest import NEXT_DAY, Contest, World

MOVES = ("open_decision", "move_alias", "drop_alias", "tag_version", "drop_other_decisions", "close_decision")
PROMOTION = (
    "claim",
    "open_decision",
    "agree",
    "previous_champion",
    "champion",
    "challenger",
    "drop_other_decisions",
    "close_decision",
)
ROLLBACK = (
    "claim",
    "open_decision",
    "agree",
    "previous_champion",
    "rolled_back",
    "champion",
    "drop_other_decisions",
    "close_decision",
)
OTHER = "f" * 64
BACK = RollbackRequest(requested_by="a test", reason="it is worse")
WHEN = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


class Killed(BaseException):
    """What no code of ours catches, as no code catches a kill."""


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every owner of a claim that is met for killed."""
    monkeypatch.setattr(promotion_protocol, "PATIENCE_SECONDS", 0.0)


def kill_at(patch: pytest.MonkeyPatch, wanted: str, *, after: bool) -> None:
    """Die before or after the move named ``wanted``: a method, a claim, or the alias or tag that it moves."""

    def deadly(real: Callable[..., Any], name_of: Callable[..., str | None]) -> Callable[..., Any]:
        def move(self: Any, *args: Any, **options: Any) -> Any:
            met = name_of(*args) == wanted
            if met and not after:
                raise Killed
            result = real(self, *args, **options)
            if met:
                raise Killed
            return result

        return move

    def created(name: str, _: bytes) -> str | None:
        return "claim" if "/after=" in name else "agree" if "/decision=" in name else None

    patch.setattr(LocalObjects, "create_bytes", deadly(LocalObjects.create_bytes, created))
    for name in MOVES:
        called = {
            "tag_version": lambda *args: args[1],
            "move_alias": lambda *args: args[0],
            "drop_alias": lambda *args: args[0],
        }.get(name, lambda *_, name=name: name)
        patch.setattr(Tracking, name, deadly(getattr(Tracking, name), called))


def truth(world: World) -> dict[str, Any]:
    """Who serves, by alias and by history, and what was decided; instants and ids left out."""
    tracking = world.services.tracking
    decisions = tracking.decisions()
    tenure, _ = champion_of(NEXT_DAY, decisions)
    return {
        "aliases": aliases(world),
        "champion of the next day": tenure.version if tenure else None,
        "decisions": [(d.kind, d.fingerprint, d.effective_day, d.payload) for d in decisions],
        "runs": [run.info.status for run in decision_runs(tracking)],
    }


def aliases(world: World) -> list[int | None]:
    return [world.services.tracking.alias(name) for name in ("champion", "previous_champion", "challenger")]


def told(world: World) -> list[tuple[str, int]]:
    return [(entry.kind, entry.payload["version"]) for entry in world.services.tracking.decisions()]


def decision_runs(tracking: Tracking) -> list:
    return sorted(
        tracking._runs(tracking.client, f"{tracking.name}-decisions", {}), key=lambda run: run.info.start_time
    )


def register_copy(world: World, *, version: int, fingerprint: str = OTHER) -> None:
    tracking = world.services.tracking
    known = tracking.client.get_model_version(tracking.name, "2")
    tags = known.tags | {PREFIX + "fingerprint": fingerprint}
    made = tracking.client.create_model_version(tracking.name, known.source, known.run_id, tags=tags)
    assert int(made.version) == version


def other(contest: Contest, *, version: int = 3, against: int = 1, fingerprint: str = OTHER) -> Judgement:
    """Register one more challenger, and take the verdict that it is better than ``against``."""
    register_copy(contest.world, version=version, fingerprint=fingerprint)
    changes = {"version": version, "champion_version": against, "fingerprint": fingerprint}
    return contest.judgement.model_copy(update=changes)


def promoted(contest: Contest) -> World:
    """Let the contest's challenger win: version 2 over version 1."""
    assert contest.world.run(promote, contest.window, contest.judgement).promoted
    return contest.world


# -- killed, and run again -------------------------------------------------------------------------


@WHEN
@pytest.mark.parametrize("sub_step", PROMOTION)
def test_a_promotion_killed_at(sub_step: str, after: bool, contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    world = contest.world
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(promote, contest.window, contest.judgement)

    meanwhile = truth(world)
    moved = PROMOTION.index(sub_step) > PROMOTION.index("champion") or (sub_step == "champion" and after)
    serving = 2 if moved else 1
    assert meanwhile["aliases"][0] == meanwhile["champion of the next day"] == serving
    assert len(meanwhile["decisions"]) == serving

    promotion = world.run(promote, contest.window, contest.judgement)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (True, 2, 1)
    end = truth(world)
    assert end["aliases"] == [2, 1, None]
    assert end["champion of the next day"] == 2
    assert told(world) == [("promotion", 1), ("promotion", 2)]
    assert end["runs"] == ["FINISHED", "FINISHED"]
    assert world.run(promote, contest.window, contest.judgement) == promotion
    assert truth(world) == end


@WHEN
@pytest.mark.parametrize("sub_step", ROLLBACK)
def test_a_rollback_killed_at(sub_step: str, after: bool, contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    world = promoted(contest)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(rollback, BACK)

    meanwhile = truth(world)
    moved = ROLLBACK.index(sub_step) > ROLLBACK.index("champion") or (sub_step == "champion" and after)
    assert meanwhile["aliases"][0] == meanwhile["champion of the next day"] == (1 if moved else 2)
    assert len(meanwhile["decisions"]) == (3 if moved else 2)

    done = world.run(rollback, BACK)
    assert (done.version, done.from_version) == (1, 2)
    assert done.moved is ((sub_step, after) != ("close_decision", True))
    end = truth(world)
    assert end["aliases"] == [1, None, None]
    assert end["champion of the next day"] == 1
    assert told(world) == [("promotion", 1), ("promotion", 2), ("rollback", 1)]
    assert end["runs"] == ["FINISHED"] * 3
    assert world.services.tracking.version_tags(2)["rolled_back"].endswith("it is worse")
    assert not world.run(rollback, BACK).moved
    assert truth(world) == end


# -- killed, and never run again -------------------------------------------------------------------


@pytest.mark.parametrize("sub_step", PROMOTION)
def test_who_comes_by_finishes_the_promotion_that_was_killed_after(
    sub_step: str, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 3 is the same model as version 2: judged again, against version 2, it is held."""
    world, third = contest.world, other(contest)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=True)
        world.run(promote, contest.window, contest.judgement)

    promotion = world.run(promote, contest.window, third)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (False, 3, 2)
    assert "gain over the champion" in promotion.reason
    assert told(world) == [("promotion", 1), ("promotion", 2), ("hold", 3)]
    end = truth(world)
    assert end["aliases"] == [2, 1, None]
    assert end["runs"] == ["FINISHED"] * 3


@pytest.mark.parametrize("sub_step", ["claim", "previous_champion", "champion", "close_decision"])
def test_who_comes_by_finishes_the_rollback_that_was_killed_after(
    sub_step: str, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 3 was judged against version 2; over version 1, which is bad, it is promoted."""
    world = promoted(contest)
    third = other(contest, against=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=True)
        world.run(rollback, BACK)

    promotion = world.run(promote, contest.window, third)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (True, 3, 1), promotion.reason
    assert told(world) == [("promotion", 1), ("promotion", 2), ("rollback", 1), ("promotion", 3)]
    assert aliases(world) == [3, 1, None]
    assert truth(world)["runs"] == ["FINISHED"] * 4


def test_a_rollback_overtaken_by_a_promotion_that_was_under_way_moves_nothing(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked to leave version 1 gets version 2, which was decided before; that one is not left for version 1."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "claim", after=True)
        contest.world.run(promote, contest.window, contest.judgement)
    done = contest.world.run(rollback, BACK)
    assert (done.moved, done.version) == (False, 2)
    assert "version 1 serves no more: version 2 does" in done.reason
    assert told(contest.world) == [("promotion", 1), ("promotion", 2)]


def test_a_promotion_whose_process_is_really_killed(contest: Contest) -> None:
    world = contest.world
    (world.home / "window.json").write_text(contest.window.model_dump_json())
    (world.home / "judgement.json").write_text(contest.judgement.model_dump_json())
    script = f"""
import os
from pathlib import Path
from ml.adapters.tracking import Tracking
from ml.records import Judgement, Window
from ml.steps.retrain import promote
from ml.wiring import open_services
real = Tracking.move_alias
def move(self, alias, version):
    real(self, alias, version)
    if alias == "champion":
        os._exit(9)
Tracking.move_alias = move
services, home = open_services(), Path({str(world.home)!r})
window = Window.model_validate_json((home / "window.json").read_text())
judgement = Judgement.model_validate_json((home / "judgement.json").read_text())
promote.run(window, judgement, settings=services.settings, services=services)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={**os.environ, **world.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 9, ran.stderr
    assert truth(world)["aliases"] == [2, 1, 2]
    assert truth(world)["champion of the next day"] == 2
    world.run(promote, contest.window, contest.judgement)
    assert truth(world)["aliases"] == [2, 1, None]
    assert truth(world)["runs"] == ["FINISHED", "FINISHED"]


def test_the_owner_of_a_fresh_claim_is_left_to_carry_it_out(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "claim", after=True)
        contest.world.run(promote, contest.window, contest.judgement)
    monkeypatch.setattr(promotion_protocol, "PATIENCE_SECONDS", 60.0)

    class Waited(Exception):
        pass

    def wait(_: float) -> None:
        raise Waited

    monkeypatch.setattr(promotion_protocol.time, "sleep", wait)
    with pytest.raises(Waited):
        contest.world.run(promote, contest.window, contest.judgement)
    assert aliases(contest.world) == [1, None, 2]


def test_a_mover_that_slept_while_others_moved_on_puts_the_aliases_back(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one hole of an alias that moves unconditionally: a late move, after it was carried out by others."""
    world, third = contest.world, other(contest, against=2)
    real, slept = Tracking.move_alias, []

    def late(self: Tracking, alias: str, version: int) -> None:
        if alias == "champion" and not slept:
            slept.append(alias)
            world.run(promote, contest.window, contest.judgement)
            world.run(promote, contest.window, third)
        real(self, alias, version)

    monkeypatch.setattr(Tracking, "move_alias", late)
    world.run(promote, contest.window, contest.judgement)
    assert told(world) == [("promotion", 1), ("promotion", 2), ("promotion", 3)]
    assert aliases(world) == [3, 2, None]


def test_a_claim_that_cannot_be_carried_out_says_how_to_give_it_up(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, third = contest.world, other(contest)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "claim", after=True)
        world.run(promote, contest.window, third)
    tracking = world.services.tracking
    tracking.client.delete_model_version(tracking.name, "3")
    with pytest.raises(
        EvergreenError, match=r"'promote version 3 over 1' was decided but .*; put that right.*remove"
    ) as told_so:
        world.run(promote, contest.window, contest.judgement)
    from pathlib import Path

    Path(str(told_so.value).rpartition("remove ")[2]).unlink()
    assert world.run(promote, contest.window, contest.judgement).promoted
    assert aliases(world) == [2, 1, None]


# -- several at once -------------------------------------------------------------------------------


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do the work in as many threads, which all begin together."""
    together = Barrier(count)

    def begin(number: int) -> Any:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_of_eight_challengers_at_once_exactly_one_moves(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have beaten version 1; judged again, against the one that was quickest, the others lose."""
    world = contest.world
    contenders = [contest.judgement]
    contenders += [other(contest, version=3 + n, fingerprint=f"{n:064d}") for n in range(7)]

    def lost(judgement: Judgement, *_: Any) -> Judgement:
        serving = serving_state.read_serving(world.services)
        verdict = Verdict(decision="hold", reasons=("no better",), rulings=())
        return judgement.model_copy(update={"verdict": verdict, "champion_version": serving.version})

    monkeypatch.setattr(promote, "_judge_again", lost)
    results: list[Promotion] = at_once(8, lambda n: world.run(promote, contest.window, contenders[n]))
    (winner,) = [result for result in results if result.promoted]
    assert {result.previous_version for result in results if not result.promoted} == {winner.version}
    assert told(world) == [("promotion", 1), ("promotion", winner.version)]
    assert aliases(world)[:2] == [winner.version, 1]
    assert truth(world)["runs"] == ["FINISHED", "FINISHED"]


def test_the_same_judgement_twenty_times_at_once_is_one_decision(contest: Contest) -> None:
    world = contest.world
    results = at_once(20, lambda _: world.run(promote, contest.window, contest.judgement))
    assert {(result.promoted, result.version, result.decision_id) for result in results} == {
        (True, 2, results[0].decision_id)
    }
    assert told(world) == [("promotion", 1), ("promotion", 2)]
    assert truth(world)["runs"] == ["FINISHED", "FINISHED"]
    assert aliases(world) == [2, 1, None]


def test_rollbacks_and_promotions_at_once_leave_one_line_of_succession(contest: Contest) -> None:
    """Whoever comes while the same request is carried out cannot know whether its owner lives: it says so too."""
    world = promoted(contest)
    results: list[Rollback] = at_once(8, lambda _: world.run(rollback, BACK))
    assert any(result.moved for result in results)
    assert {result.decision_id for result in results} == {world.services.tracking.decisions()[-1].decision_id}
    assert {result.version for result in results} == {1}
    assert told(world) == [("promotion", 1), ("promotion", 2), ("rollback", 1)]
    assert truth(world)["runs"] == ["FINISHED"] * 3
    assert aliases(world) == [1, None, None]


# -- another champion than the one judged against ----------------------------------------------------


def test_a_promotion_never_closed_is_closed_by_the_next_one(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    world = contest.world
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "close_decision", after=False)
        world.run(promote, contest.window, contest.judgement)
    assert world.run(promote, contest.window, other(contest, against=2)).promoted
    assert told(world) == [("promotion", 1), ("promotion", 2), ("promotion", 3)]
    assert truth(world)["runs"] == ["FINISHED"] * 3


def test_over_another_champion_than_the_one_it_was_judged_against_it_is_judged_again(contest: Contest) -> None:
    """Version 1, the champion, is bad: judged again against it, a verdict given over nobody stands."""
    first = contest.judgement.model_copy(update={"champion_version": None, "judged_version": 2})
    promotion = contest.world.run(promote, contest.window, first)
    assert (promotion.promoted, promotion.previous_version) == (True, 1)
    assert "gain over the champion" in promotion.reason
    (_, decision) = contest.world.services.tracking.decisions()
    assert decision.payload["judged_version"] == 2
    assert decision.payload["requested_by"] == "a test"


def test_an_approval_holds_for_the_champion_that_was_shown_only(contest: Contest) -> None:
    world = promoted(contest)
    approval = Approval(approved=True, by="ada", at=datetime(2013, 6, 15, tzinfo=UTC))
    promotion = world.run(promote, contest.window, other(contest), approval=approval)
    assert not promotion.promoted
    assert "version 2 serves by now; run 'evaluate' and what follows again, to judge and ask again" in promotion.reason
    assert told(world)[-1] == ("hold", 3)
    assert aliases(world)[0] == 2


def test_where_people_are_asked_nobody_unasked_replaces_a_champion_that_came_meanwhile(contest: Contest) -> None:
    """Judged while nobody served, a challenger needs no approval; it does once somebody serves."""
    world = contest.world.having(gate={"approval": "required_if_champion_exists"})
    unasked = contest.judgement.model_copy(update={"champion_version": None})
    promotion = world.run(promote, contest.window, unasked)
    assert not promotion.promoted
    assert "without anybody being asked" in promotion.reason
    assert world.services.tracking.alias("champion") == 1


@pytest.mark.parametrize("approved", [True, False])
def test_who_approved_or_rejected_and_when_is_in_the_decision(contest: Contest, approved: bool) -> None:
    approval = Approval(approved=approved, by="ada", at=datetime(2013, 6, 15, 9, 30, tzinfo=UTC))
    promotion = contest.world.run(promote, contest.window, contest.judgement, approval=approval)
    assert promotion.promoted is approved
    (_, decision) = contest.world.services.tracking.decisions()
    assert decision.kind == ("promotion" if approved else "rejection")
    assert Approval.model_validate(decision.payload["approval"]) == approval
    assert f"{'approved' if approved else 'rejected'} by ada at 2013-06-15 09:30" in promotion.reason
    assert aliases(contest.world)[0] == (2 if approved else 1)


def test_an_alias_moved_by_hand_stops_promotions_until_it_is_back(contest: Contest) -> None:
    world = promoted(contest)
    third = other(contest, against=2)
    world.services.tracking.move_alias("champion", 1)
    with pytest.raises(
        EvergreenError, match=r"points at version 1, but .* version 2 serves; .*rollback --to 2 --reason"
    ):
        world.run(promote, contest.window, third)
    back = world.run(rollback, RollbackRequest(requested_by="ada", reason="moved by hand", to_version=2))
    assert (back.moved, back.version, back.from_version) == (True, 2, 1)
    assert world.run(promote, contest.window, third).promoted


@pytest.fixture
def strict(contest: Contest) -> Iterator[tuple[World, Challenger]]:
    """The same contest before a gate that the challenger cannot pass."""
    challenger = Challenger(fingerprint=contest.window.fingerprint, run_id="unknown", version=2)
    yield (
        contest.world.having(gate={"rules": {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.999}}}),
        challenger,
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("sub_step", ["open_decision", "close_decision"])
def test_a_hold_killed_at(
    sub_step: str, after: bool, contest: Contest, strict: tuple[World, Challenger], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, challenger = strict
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(gate, contest.window, challenger=challenger)
    assert truth(world)["champion of the next day"] == truth(world)["aliases"][0] == 1
    assert len(truth(world)["decisions"]) == (2 if (sub_step, after) == ("close_decision", True) else 1)

    judgement = world.run(gate, contest.window, challenger=challenger)
    assert judgement.verdict.decision == "hold"
    end = truth(world)
    assert [kind for kind, *_ in end["decisions"]] == ["promotion", "hold"]
    assert end["runs"] == ["FINISHED", "FINISHED"]
    assert world.run(gate, contest.window, challenger=challenger) == judgement
    assert truth(world) == end


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("sub_step", ["open_decision", "close_decision"])
def test_a_retrain_request_killed_at(
    sub_step: str, after: bool, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, day = contest.world.having(drift={"alarm_days": [1, 1]}, retrain={"max_age_days": None}), date(2013, 7, 1)
    champion = Champion(day=day, version=1, reason="a test", data_version=world.services.registry.head())
    drift = DriftReport(day=day, status="drift", champion_version=1, reason="everything moved")
    unmeasured = LivePerformance(day=day, labelled_day=None, rows=0, metrics={}, reason="no labels")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(decide, champion, drift, unmeasured)
    decision = world.run(decide, champion, drift, unmeasured)
    assert (decision.action, decision.alarm) == ("retrain", True)
    (asked,) = world.services.tracking.decisions(kinds=("retrain_request",))
    assert asked.effective_day == day
    assert asked.payload["reasons"] == ["drift: everything moved"]
    assert truth(world)["runs"] == ["FINISHED", "FINISHED"]
    assert truth(world)["champion of the next day"] == 1
