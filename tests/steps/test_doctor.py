"""Whatever people or restores take out of MLflow or the storage, the doctor leads to a model that serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.adapters.tracking import Tracking
from ml.steps import doctor, promote, succession
from tests.steps.conftest import Contest, World
from tests.steps.test_promotion_crash import aliases, decision_runs, other, promoted


def delete_champion(world: World, tracking: Tracking) -> None:
    tracking.client.delete_model_version(tracking.name, "2")


def delete_newest_decision(world: World, tracking: Tracking) -> None:
    tracking.client.delete_run(decision_runs(tracking)[-1].info.run_id)


def delete_decisions(world: World, tracking: Tracking) -> None:
    found = tracking.client.get_experiment_by_name(f"{tracking.name}-decisions")
    tracking.client.delete_experiment(found.experiment_id)


def lose_artifact(world: World, tracking: Tracking) -> None:
    folder = Path(tracking.client.get_model_version_download_uri(tracking.name, "2").removeprefix("file://"))
    folder.rename(folder.with_name("lost"))


def delete_alias(world: World, tracking: Tracking) -> None:
    tracking.client.delete_registered_model_alias(tracking.name, "champion")


def remove_claims(world: World, tracking: Tracking) -> None:
    shutil.rmtree(world.home / "storage" / "claims")


def delete_registered_model(world: World, tracking: Tracking) -> None:
    tracking.client.delete_registered_model(tracking.name)


def restore_older_database(world: World, tracking: Tracking) -> None:
    shutil.copytree(world.home / "saved", world.home / "mlflow", dirs_exist_ok=True)


DAMAGE: list[tuple[Callable[[World, Tracking], None], int | None]] = [
    (delete_champion, 1),
    (delete_newest_decision, 2),
    (delete_decisions, 2),
    (lose_artifact, 1),
    (delete_alias, 2),
    (remove_claims, 2),
    (delete_registered_model, None),
    (restore_older_database, 2),
]


@pytest.mark.parametrize(("damage", "serves"), DAMAGE, ids=lambda value: getattr(value, "__name__", None))
def test_after(
    damage: Callable[[World, Tracking], None],
    serves: int | None,
    contest: Contest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(succession, "PATIENCE_SECONDS", 0.0)
    shutil.copytree(contest.world.home / "mlflow", contest.world.home / "saved")
    world = promoted(contest)
    damage(world, world.services.tracking)
    repaired = doctor.run(services=world.services, repair=True)
    assert (repaired["healthy"], repaired["champion"]) == (True, serves)
    assert aliases(world)[0] == serves
    assert doctor.run(services=world.services) == {"healthy": True, "champion": serves, "problems": []}
    if damage not in (delete_registered_model, restore_older_database, delete_champion):
        for lost in world.home.rglob("lost"):  # the challenger is a copy of version 2, with a model file of its own
            lost.rename(lost.with_name("artifacts"))
        challenger = other(contest, against=serves or 0)
        assert world.run(promote, contest.window, challenger).promoted
        assert aliases(world)[0] == 3
