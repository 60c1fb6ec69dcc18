"""What a champion must bring along to be compared with, on real days and in a real MLflow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.tracking._tracking_service import utils as mlflow_memory

from ml.adapters.aggregates import AggregateStore
from ml.champions import recorded_settings
from ml.errors import MissingArtifact
from ml.steps.retrain import promote, refit
from tests.steps.conftest import NEXT_DAY, REQUEST, World


@pytest.fixture(autouse=True)
def _a_run_of_its_own_world() -> Iterator[None]:
    """Let MLflow forget where it found each run's files: copies of a world share their run ids, not their folders."""
    mlflow_memory._artifact_repos_cache.clear()
    yield
    mlflow_memory._artifact_repos_cache.clear()


@pytest.fixture
def without_lineage(trained: World) -> World:
    """Version 1 serves, and is as it was registered before lineages were kept."""
    run_id = trained.services.tracking.version_tags(1)["run_id"]
    (kept,) = (path for path in (trained.home / "mlflow").rglob("lineage.json") if run_id in path.parts)
    kept.rename(kept.with_name("recipe.json"))
    return trained


def test_a_champion_without_lineage_is_missing_evidence_and_holds(
    without_lineage: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = without_lineage
    world.ingest(NEXT_DAY)
    with caplog.at_level(logging.WARNING):
        window, judgement = world.judge()
    assert (judgement.verdict.decision, judgement.champion_version) == ("hold", 1)
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed is None and "could not be compared" in rule.reason
    assert "champion v1 cannot be compared with: version 1 has no lineage/lineage.json" in caplog.text
    assert "champion" not in world.services.workspace(window.workspace).read_table("evaluation/holdout.parquet")
    assert [entry.kind for entry in world.services.tracking.decisions()] == ["promotion", "hold"]
    assert world.services.tracking.alias("champion") == 1


@pytest.mark.parametrize(("change", "same"), [({}, True), ({"args": {"C": 0.002, "max_iter": 500}}, False)], ids=str)
def test_only_a_challenger_of_the_same_recipe_is_a_refresh(trained: World, change: dict[str, Any], same: bool) -> None:
    world = trained.having(fit=change)
    world.ingest(NEXT_DAY)
    _, evaluation = world.train()
    assert (evaluation.champion_version, evaluation.is_refresh) == (1, same)


def test_the_champion_trained_again_on_the_same_days_is_no_refresh_and_a_tie_holds(trained: World) -> None:
    window, judgement = trained.judge(REQUEST.model_copy(update={"force": True}))
    evaluation = trained.services.workspace(window.workspace).read_json("evaluation/evaluation.json")
    assert (evaluation["champion_version"], evaluation["is_refresh"]) == (1, False)
    assert judgement.verdict.decision == "hold"


def test_data_that_the_registry_has_lost_fail_and_hold_nothing(trained: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object, **options: object) -> None:
        raise MissingArtifact("inputs of 2013-05-01 are not in the registry")

    monkeypatch.setattr(AggregateStore, "aggregates", lost)
    trained.ingest(NEXT_DAY)
    with pytest.raises(MissingArtifact, match="not in the registry"):
        trained.judge()
    assert [entry.kind for entry in trained.services.tracking.decisions()] == ["promotion"]


def test_settings_that_are_not_kept_name_the_next_move(without_lineage: World) -> None:
    with pytest.raises(MissingArtifact, match=r"version 1 has no lineage/lineage.json.*roll back to a version"):
        recorded_settings.settings_of(1, without_lineage.services)


@pytest.mark.parametrize(("change", "same"), [({}, True), ({"args": {"C": 0.002, "max_iter": 500}}, False)], ids=str)
def test_a_champion_that_has_seen_the_holdout_is_compared_by_its_twin(
    seeded: World, change: dict[str, Any], same: bool
) -> None:
    window, judgement = seeded.judge()
    judgement = seeded.run(refit, window, judgement)
    assert seeded.run(promote, window, judgement).version == 2
    seeded.ingest(NEXT_DAY)
    world = seeded.having(fit=change)
    window, judgement = world.judge()
    evaluation = world.services.workspace(window.workspace).read_json("evaluation/evaluation.json")
    assert (evaluation["champion_version"], evaluation["compared"], evaluation["is_refresh"]) == (2, "twin", same)
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed is not None and "the champion's twin" in rule.reason
    assert rule.comparison is not None and rule.comparison.days >= 9
