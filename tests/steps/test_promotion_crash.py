"""Killed before or after any of its moves and run again, a promotion ends as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest

from ml.adapters.tracking import Tracking
from ml.core.history import champion_of
from ml.errors import EvergreenError
from ml.records import Challenger, Champion, DriftReport
from ml.settings import PROJECT_ROOT
from ml.steps import decide, gate, promote
from tests.steps.conftest import NEXT_DAY, Contest, World

MOVES = ("open_decision", "move_alias", "drop_alias", "close_decision")
SUB_STEPS = ("open_decision", "previous_champion", "champion", "challenger", "close_decision")


class Killed(BaseException):
    """What no code of ours catches, as no code catches a kill."""


def kill_at(patch: pytest.MonkeyPatch, wanted: str, *, after: bool) -> None:
    """Die before or after the move named ``wanted``: a method, or the alias that it moves."""
    for name in MOVES:
        real = getattr(Tracking, name)

        def move(self: Tracking, *args, name: str = name, real=real, **options):
            what = args[0] if name.endswith("alias") else name
            if what == wanted and not after:
                raise Killed
            result = real(self, *args, **options)
            if what == wanted:
                raise Killed
            return result

        patch.setattr(Tracking, name, move)


def truth(world: World) -> dict[str, object]:
    """Who serves, by alias and by history, and what was decided; instants and ids left out."""
    tracking = world.services.tracking
    decisions = tracking.decisions()
    reign, _ = champion_of(NEXT_DAY, decisions)
    return {
        "aliases": [tracking.alias(name) for name in ("champion", "previous_champion", "challenger")],
        "champion of the next day": reign.version if reign else None,
        "decisions": [(d.kind, d.fingerprint, d.effective_day, d.payload) for d in decisions],
        "runs": [run.info.status for run in decision_runs(tracking)],
    }


def decision_runs(tracking: Tracking) -> list:
    return sorted(
        tracking._runs(tracking.client, f"{tracking.name}-decisions", {}), key=lambda run: run.info.start_time
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("sub_step", SUB_STEPS)
def test_a_promotion_killed_at(sub_step: str, after: bool, contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    world = contest.world
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(promote, contest.window, contest.judgement)

    meanwhile = truth(world)
    moved = SUB_STEPS.index(sub_step) > 2 or (sub_step == "champion" and after)
    serving = 2 if moved else 1
    assert meanwhile["aliases"][0] == meanwhile["champion of the next day"] == serving
    assert len(meanwhile["decisions"]) == serving

    promotion = world.run(promote, contest.window, contest.judgement)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (True, 2, 1)
    end = truth(world)
    assert end["aliases"] == [2, 1, None]
    assert end["champion of the next day"] == 2
    assert [(kind, payload["version"]) for kind, _, _, payload in end["decisions"]] == [
        ("promotion", 1),
        ("promotion", 2),
    ]
    assert end["runs"] == ["FINISHED", "FINISHED"]


def test_a_promotion_whose_process_is_really_killed(contest: Contest) -> None:
    world = contest.world
    (world.home / "window.json").write_text(contest.window.model_dump_json())
    (world.home / "judgement.json").write_text(contest.judgement.model_dump_json())
    script = f"""
import os
from pathlib import Path
from ml.adapters.tracking import Tracking
from ml.records import Judgement, Window
from ml.steps import promote
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


def test_a_promotion_never_closed_still_counts_when_the_next_one_has_replaced_it(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = contest.world
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "close_decision", after=False)
        world.run(promote, contest.window, contest.judgement)
    third = contest.judgement.model_copy(update={"version": 3, "champion_version": 2, "fingerprint": "f" * 64})
    register_copy(world, version=3)
    world.run(promote, contest.window, third)
    assert [entry.payload["version"] for entry in world.services.tracking.decisions()] == [1, 2, 3]


def register_copy(world: World, *, version: int) -> None:
    tracking = world.services.tracking
    known = tracking.client.get_model_version(tracking.name, "2")
    made = tracking.client.create_model_version(tracking.name, known.source, known.run_id, tags=known.tags)
    assert int(made.version) == version


def test_a_promotion_is_refused_if_another_version_was_promoted_meanwhile(contest: Contest) -> None:
    world = contest.world
    register_copy(world, version=3)
    world.run(promote, contest.window, contest.judgement.model_copy(update={"version": 3, "fingerprint": "f" * 64}))
    before = truth(world)
    with pytest.raises(EvergreenError, match=r"version 3 was promoted since version 2 was judged.*clear 'evaluate'"):
        world.run(promote, contest.window, contest.judgement)
    assert truth(world) == before


def test_a_promotion_over_nobody_is_refused_if_somebody_serves_by_now(contest: Contest) -> None:
    first = contest.judgement.model_copy(update={"champion_version": None})
    with pytest.raises(EvergreenError, match="version 1 was promoted since version 2 was judged against None"):
        contest.world.run(promote, contest.window, first)


@pytest.fixture
def strict(contest: Contest) -> Iterator[tuple[World, Challenger]]:
    """The same contest before a gate that the challenger cannot pass."""
    challenger = Challenger(fingerprint=contest.window.fingerprint, run_id="unknown", version=2)
    yield contest.world.having(gate={"floors": {"roc_auc": 0.99}}), challenger


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
    world, day = contest.world, date(2013, 7, 1)
    champion = Champion(day=day, version=1, reason="a test", data_version=world.services.registry.head())
    drift = DriftReport(day=day, status="drift", champion_version=1, reason="everything moved")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, sub_step, after=after)
        world.run(decide, champion, drift)
    decision = world.run(decide, champion, drift)
    assert (decision.action, decision.alarm) == ("retrain", True)
    (asked,) = world.services.tracking.decisions(kinds=("retrain_request",))
    assert asked.effective_day == day
    assert asked.payload["reasons"] == ["drift: everything moved"]
    assert truth(world)["runs"] == ["FINISHED", "FINISHED"]
    assert truth(world)["champion of the next day"] == 1
