"""Whoever can write to MLflow only cannot change what serves: each forgery is refused by name, in a real MLflow."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from ml.cli import champion as champion_step
from ml.errors import EvergreenError, UntrustedModel
from ml.records import RollbackRequest
from ml.steps import rollback
from ml.steps.retrain import promote, register
from ml.steps.score import plan, predict, resolve, shadow
from ml.views import page
from tests.steps.conftest import LAST_DAY, MUCH_LATER, Contest, World
from tests.steps.test_promotion_record import model_file


def forge(world: World, *, version: int, key: str = "promote version 2 over 1", finished: bool = True) -> None:
    """Write a promotion into MLflow as somebody without access to the storage would."""
    tracking = world.services.tracking
    entry = tracking.open_decision(
        "promotion",
        key,
        fingerprint=None,
        effective_day=LAST_DAY,
        payload={"version": version, "previous_version": 1, "window_last_day": "2013-05-20"},
    )
    tracking.move_alias("champion", version)
    if finished:
        tracking.close_decision(entry)


@pytest.mark.parametrize("finished", [True, False])
def test_a_forged_promotion_does_not_serve(contest: Contest, finished: bool) -> None:
    forge(contest.world, version=2, finished=finished)
    for attempt in (
        lambda: contest.world.run(resolve, LAST_DAY),
        lambda: champion_step.run(services=contest.world.services),
    ):
        with pytest.raises(UntrustedModel, match="'promote version 2 over 1'.*forged.*rollback"):
            attempt()
    if not finished:  # nor do our own steps carry it on
        with pytest.raises(UntrustedModel, match="forged"):
            contest.world.run(promote, contest.window, contest.judgement)


def test_a_forged_return_to_an_older_version_is_refused(contest: Contest) -> None:
    world = contest.world
    assert world.run(promote, contest.window, contest.judgement).promoted
    forge(world, version=1, key="roll back to version 1 from 2")
    with pytest.raises(UntrustedModel, match="forged"):
        world.run(resolve, LAST_DAY)


def test_a_genuine_decision_whose_day_was_changed_in_mlflow_is_refused(trained: World) -> None:
    tracking = trained.services.tracking
    (decision,) = tracking.decisions()
    tracking.client.set_tag(decision.decision_id, "evergreen.effective_day", "2013-01-01")
    with pytest.raises(UntrustedModel, match="forged or changed"):
        trained.run(resolve, LAST_DAY)


def test_a_version_that_no_promotion_names_is_neither_planned_nor_predicted(contest: Contest) -> None:
    world = contest.world
    champion = world.run(resolve, LAST_DAY)
    shard = world.run(plan, champion).shards[0]
    other = champion.model_copy(update={"version": 2})
    with pytest.raises(UntrustedModel, match="version 2 .* may not serve: the storage records no promotion"):
        world.run(plan, other)
    with pytest.raises(UntrustedModel, match="may not serve"):
        world.run(predict, shard.model_copy(update={"champion": other}))


def test_a_changed_model_file_is_not_loaded(contest: Contest) -> None:
    world = contest.world
    champion = world.run(resolve, LAST_DAY)
    shutil.copyfile(model_file(contest, 2), model_file(contest, 1))
    shard = world.run(plan, champion).shards[0]
    with pytest.raises(UntrustedModel, match="model file of version 1 .* is not the one .* roll back"):
        world.run(predict, shard)


def test_a_changed_lineage_is_not_read(trained: World) -> None:
    tracking = trained.services.tracking
    path = lineage_file(trained)
    facts = json.loads(path.read_text())
    facts["settings"]["task"]["threshold"] = 0.9
    path.write_text(json.dumps(facts, indent=2, sort_keys=True))
    assert tracking.alias("champion") == 1
    with pytest.raises(UntrustedModel, match=r"lineage/lineage.json of version 1 .* somebody changed it"):
        trained.score(LAST_DAY)


def lineage_file(world: World, version: int = 1) -> Path:
    run_id = world.services.tracking.version_tags(version)["run_id"]
    (found,) = (path for path in (world.home / "mlflow").rglob("lineage.json") if run_id in path.parts)
    return found


def repoint(world: World, **columns: str) -> None:
    """Point version 1 elsewhere, as somebody who can write to MLflow's database would."""
    with sqlite3.connect(world.home / "mlflow" / "mlflow.db") as database:
        for column, value in columns.items():
            database.execute(f"update model_versions set {column} = ? where version = 1", (value,))
    database.close()


def test_a_version_pointed_at_another_run_is_refused(contest: Contest) -> None:
    world = contest.world
    own, other = (world.services.tracking.version_tags(version)["run_id"] for version in (1, 2))
    repoint(world, run_id=other)
    with pytest.raises(UntrustedModel, match=rf"version 1 with run {other} .*it was with run {own}"):
        world.run(resolve, LAST_DAY)


def test_a_version_pointed_at_another_source_is_refused(contest: Contest) -> None:
    world = contest.world
    champion = world.run(resolve, LAST_DAY)
    shard = world.run(plan, champion).shards[0]
    folder = model_file(contest, 2).parent.as_uri()
    repoint(world, source=folder, storage_location=folder)
    with pytest.raises(UntrustedModel, match="model file of version 1"):
        world.run(predict, shard)


def test_a_challenger_that_somebody_else_registered_is_not_scored_in_shadow(trained: World) -> None:
    world = trained.having(score={"shadow_challenger": True})
    tracking = world.services.tracking
    client = tracking.client
    found = client.get_model_version(tracking.name, "1")
    tags = {**found.tags, "evergreen.window_last_day": "2013-05-01", "evergreen.train_last_day": "2013-05-01"}
    other = client.create_run(client.get_run(found.run_id).info.experiment_id)
    client.create_model_version(tracking.name, found.source, other.info.run_id, tags=tags)
    client.set_registered_model_alias(tracking.name, "challenger", "2")
    with pytest.raises(UntrustedModel, match="version 2 .* was not registered by Evergreen"):
        world.run(shadow, world.run(resolve, LAST_DAY))


def test_a_moved_alias_changes_nothing_that_serves_and_people_are_told(contest: Contest) -> None:
    world = contest.world
    world.services.tracking.move_alias("champion", 2)
    champion, scoring = world.score(LAST_DAY)
    assert (champion.version, scoring.version) == (1, 1)
    with pytest.raises(UntrustedModel, match="scored with the version that the decisions name.*points at version 2"):
        world.run(shadow, champion)
    with pytest.raises(UntrustedModel, match=r"rollback --to 1"):
        champion_step.run(services=world.services)
    request = RollbackRequest(requested_by="ada", reason="moved by hand", to_version=1)
    assert world.run(rollback, request).moved
    assert world.run(shadow, champion).versions == ()


def test_nobody_can_return_to_a_version_whose_promotion_the_storage_does_not_record(contest: Contest) -> None:
    world = contest.world
    assert world.run(promote, contest.window, contest.judgement).promoted
    shutil.rmtree(world.home / "storage" / "promoted" / "version=1")
    with pytest.raises(EvergreenError, match="version 1"):
        world.run(rollback, RollbackRequest(requested_by="ada", reason="a try", to_version=1))
    assert world.services.tracking.alias("champion") == 2


def test_the_page_says_that_the_champion_is_not_recorded(trained: World) -> None:
    assert page.now(trained.services, today=MUCH_LATER)["champion"]["warning"] is None
    shutil.rmtree(trained.home / "storage" / "promoted" / "version=1")
    assert "may not serve" in page.now(trained.services, today=MUCH_LATER)["champion"]["warning"]
    with pytest.raises(UntrustedModel, match="version 1 .* may not serve: the storage records no promotion"):
        trained.run(resolve, LAST_DAY)


def test_a_model_file_replaced_between_fit_and_register_is_not_registered_as_ours(trained: World) -> None:
    world = trained.having(fit={"args": {"C": 0.02, "max_iter": 500}})
    window, evaluation = world.train()
    tracking = world.services.tracking
    with tracking.packaged(evaluation.run_id) as folder:
        content = (folder / "model.skops").read_bytes()
    (path,) = (path for path in (world.home / "mlflow").rglob("model.skops") if path.read_bytes() == content)
    path.write_bytes(content + b"\0")
    with pytest.raises(UntrustedModel, match="is not the one that was fitted .* run Retrain with force"):
        world.run(register, window, evaluation)
