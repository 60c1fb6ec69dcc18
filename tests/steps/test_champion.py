"""What is said of the champion was measured: of itself, or of the version whose refit it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.summary import Champion
from ml.records import Evaluation, Judgement, RollbackRequest, Window
from ml.settings import PROJECT_ROOT
from ml.steps import rollback
from ml.steps.retrain import promote, refit
from tests.steps.conftest import World


@pytest.fixture(scope="module")
def refitted_once(judged_once: tuple[World, Window, Judgement], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Version 3 serves: the refit of version 2, which was judged."""
    before, window, judgement = judged_once
    world = before.copied_to(tmp_path_factory.mktemp("refitted") / "home")
    world = world.having(retrain={"refit": "after_gate", "refit_max_difference": 0.2})
    window = window.model_copy(update={"workspace": window.workspace.replace(str(before.home), str(world.home))})
    assert world.run(promote, window, world.run(refit, window, judgement)).promoted
    return world


@pytest.fixture
def refitted(refitted_once: World, tmp_path: Path) -> World:
    return refitted_once.copied_to(tmp_path / "home")


def test_a_champion_that_was_judged_itself_has_its_own_metrics(judged_once: tuple[World, Window, Judgement]) -> None:
    world, *_ = judged_once
    said = world.run_champion()
    assert (said["version"], said["judged_version"]) == (1, 1)
    assert "log_loss" in said["metrics"]
    assert said["metrics"] == world.services.tracking.run_metrics(said["run_id"])
    assert Champion.read(said).judged_version is None


def test_a_refit_is_told_with_the_metrics_of_the_version_that_was_judged(
    judged_once: tuple[World, Window, Judgement], refitted_once: World
) -> None:
    world, window, _ = judged_once
    evaluation = Evaluation.model_validate(
        world.services.workspace(window.workspace).read_json("evaluation/evaluation.json")
    )
    tracking, said = refitted_once.services.tracking, refitted_once.run_champion()
    assert (said["version"], said["judged_version"]) == (3, 2)
    assert said["run_id"] == tracking.version_tags(3)["run_id"]
    assert set(evaluation.challenger) & set(tracking.run_metrics(said["run_id"])) == set(), "a refit was never measured"
    assert said["metrics"].items() >= evaluation.challenger.items()
    sentence = Champion.read(json.loads(json.dumps(said))).sentence("log_loss")
    assert sentence.startswith(f"champion v3: log loss {evaluation.challenger['log_loss']:.3f} vs ")
    assert sentence.endswith(" for the base rate, judged as version 2, refitted as 3")


def test_a_refit_that_serves_again_after_a_rollback_is_told_the_same(refitted: World) -> None:
    before = refitted.run_champion()
    refitted.run(rollback, RollbackRequest(requested_by="ada", reason="a try", to_version=1))
    assert (refitted.run_champion()["version"], refitted.run_champion()["judged_version"]) == (1, 1)
    refitted.run(rollback, RollbackRequest(requested_by="ada", reason="it was better", to_version=3))
    assert refitted.run_champion() == before


def test_who_serves_is_told_although_the_judged_version_was_removed(refitted: World) -> None:
    refitted.services.tracking.client.delete_model_version(refitted.services.tracking.name, "2")
    said = refitted.run_champion()
    assert (said["version"], said["judged_version"], said["metrics"]) == (3, 2, {})


def test_the_command_prints_what_the_launcher_reads(refitted_once: World) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ml.cli.champion", "--json"],
        check=False,
        env={**os.environ, **refitted_once.environ},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    champion = Champion.read(json.loads(ran.stdout))
    assert (champion.version, champion.judged_version) == (3, 2)
    assert "log_loss" in champion.metrics and "base_rate_log_loss" in champion.metrics
