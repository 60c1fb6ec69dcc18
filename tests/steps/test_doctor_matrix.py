"""Each thing deleted in turn, and each store restored to an earlier moment: the doctor's own advice leads to a model.

The history before it: two promotions, one that was rolled back, a hold, and a last promotion (versions 1, 2, 3, 2, 4).
What follows: a challenger is promoted, rolled back, and another one is promoted, without a run too many.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from ml.adapters.data_registry import DataRegistry
from ml.adapters.tracking.decision_tags import PREFIX
from ml.champions import promotion_protocol, recorded_models
from ml.cli import champion, doctor, problems
from ml.core.champions.tenures import CHAMPION_CHANGES
from ml.records import Judgement, RollbackRequest, Verdict, Window
from ml.steps import rollback
from ml.steps.retrain import promote
from ml.steps.score import resolve
from tests.databases import copy_home
from tests.steps.conftest import NEXT_DAY, Contest, World, _move_paths
from tests.steps.test_promotion_record import model_file

Damage = Callable[[World], None]
BACK = RollbackRequest(requested_by="a test", reason="it is worse")
NUMBERS = count(1)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion_protocol, "PATIENCE_SECONDS", 0.0)


def compete(contest: Contest, *, against: int | None) -> int:
    """Let a challenger with a run and a model folder of its own win; give its version."""
    world = contest.world
    tracking, number = world.services.tracking, next(NUMBERS)
    client, folder = tracking.client, world.home / f"model-{number}"
    shutil.copytree(world.home / "model-to-copy", folder)
    with suppress(MlflowException):
        client.create_registered_model(tracking.name)
    run = client.create_run(tracking._experiment(client, tracking.name))
    client.set_terminated(run.info.run_id)
    tags = {PREFIX + "fingerprint": f"{number:064x}"}
    made = client.create_model_version(tracking.name, folder.as_uri(), run.info.run_id, tags=tags)
    numbers = {"version": int(made.version), "judged_version": int(made.version), "champion_version": against}
    judgement = contest.judgement.model_copy(update=numbers | {"fingerprint": f"{number:064x}"})
    promotion = world.run(promote, contest.window, judgement)
    assert (promotion.promoted, promotion.version) == (True, int(made.version))
    return int(made.version)


def hold(contest: Contest) -> None:
    verdict = Verdict(decision="hold", reasons=("it is not better",), rulings=())
    held = contest.judgement.model_copy(update={"verdict": verdict, "version": 2})
    assert not contest.world.run(promote, contest.window, held).promoted


@pytest.fixture(scope="module")
def lived_once(
    judged_once: tuple[World, Window, Judgement], tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, Window, Judgement]:
    """The history, and beside it the stores as they were after each change of the champion (``saved/1`` …)."""
    first, window, judgement = judged_once
    world = first.copied_to(tmp_path_factory.mktemp("lived") / "home")
    moved = window.model_copy(update={"workspace": window.workspace.replace(str(first.home), str(world.home))})
    contest = Contest(world, moved, judgement)
    shutil.copytree(model_file(contest, 2).parent, world.home / "model-to-copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion_protocol, "PATIENCE_SECONDS", 0.0)
        save(world, 1)
        assert world.run(promote, moved, judgement).promoted
        save(world, 2)
        assert compete(contest, against=2) == 3
        save(world, 3)
        assert world.run(rollback, BACK).moved
        hold(contest)
        save(world, 4)
        assert compete(contest, against=2) == 4
    return world, moved, judgement


def save(world: World, moment: int) -> None:
    for name in ("mlflow", "storage", "registry.git", "registry-remote"):
        copy_home(world.home / name, world.home / "saved" / str(moment) / name)


@pytest.fixture
def lived(lived_once: tuple[World, Window, Judgement], tmp_path: Path) -> Contest:
    world, window, judgement = lived_once
    copy = world.copied_to(tmp_path / "home")
    for database in (copy.home / "saved").glob("*/mlflow/mlflow.db"):
        _move_paths(database, str(world.home), str(copy.home))
    return Contest(
        copy,
        window.model_copy(update={"workspace": window.workspace.replace(str(world.home), str(copy.home))}),
        judgement,
    )


def decision_runs(world: World) -> list:
    tracking = world.services.tracking
    found = tracking._runs(tracking.client, f"{tracking.name}-decisions", {}, ViewType.ALL)
    return sorted(found, key=lambda run: run.info.start_time)


# -- what people and restores do -------------------------------------------------------------------


def delete_decision(number: int, *, for_good: bool = False) -> Damage:
    """Delete the run of one change of the champion; ``for_good`` as 'mlflow gc' does."""

    def damage(world: World) -> None:
        run = [run for run in decision_runs(world) if run.data.tags[PREFIX + "kind"] in CHAMPION_CHANGES][number]
        world.services.tracking.client.delete_run(run.info.run_id)
        if for_good:
            world.services.tracking.client._tracking_client.store._hard_delete_run(run.info.run_id)

    return damage


def delete_experiment(suffix: str, *, for_good: bool = False) -> Damage:
    def damage(world: World) -> None:
        tracking = world.services.tracking
        client = tracking.client
        found = client.get_experiment_by_name(f"{tracking.name}{suffix}")
        client.delete_experiment(found.experiment_id)
        if for_good:
            store = client._tracking_client.store
            for run in client.search_runs([found.experiment_id], "", ViewType.ALL):
                store._hard_delete_run(run.info.run_id)
            store._hard_delete_experiment(found.experiment_id)

    return damage


def delete_versions(*versions: int) -> Damage:
    def damage(world: World) -> None:
        for version in versions:
            world.services.tracking.client.delete_model_version(world.services.tracking.name, str(version))

    return damage


def delete_registered_model(world: World) -> None:
    world.services.tracking.client.delete_registered_model(world.services.tracking.name)


def delete_aliases(*names: str) -> Damage:
    def damage(world: World) -> None:
        for name in names:
            world.services.tracking.client.delete_registered_model_alias(world.services.tracking.name, name)

    return damage


def delete_training_run(version: int) -> Damage:
    def damage(world: World) -> None:
        run_id = world.services.tracking.version_tags(version)["run_id"]
        world.services.tracking.client.delete_run(run_id)
        world.services.tracking.client._tracking_client.store._hard_delete_run(run_id)

    return damage


def lose_model(version: int) -> Damage:
    def damage(world: World) -> None:
        tracking = world.services.tracking
        uri = tracking.client.get_model_version_download_uri(tracking.name, str(version))
        shutil.rmtree(uri.removeprefix("file://"))

    return damage


def restore(store: str, moment: int) -> Damage:
    def damage(world: World) -> None:
        names = ("registry.git", "registry-remote") if store == "registry" else (store,)
        for name in names:
            shutil.rmtree(world.home / name)
            shutil.copytree(world.home / "saved" / str(moment) / name, world.home / name)

    return damage


def lose(*names: str) -> Damage:
    def damage(world: World) -> None:
        for name in names:
            shutil.rmtree(world.home / name)

    return damage


def spoil(pattern: str, content: bytes | None) -> Damage:
    """Cut every object of the storage whose name fits the pattern short, or (None) delete it."""

    def damage(world: World) -> None:
        paths = list((world.home / "storage").glob(pattern))
        assert paths
        for path in paths:
            path.unlink() if content is None else path.write_bytes(content)

    return damage


CASES: dict[str, tuple[tuple[Damage, ...], int | None]] = {
    "nothing": ((), 4),
    "the decision of a rollback, for good": ((delete_decision(3, for_good=True),), 4),
    "the oldest and the newest decision": ((delete_decision(0), delete_decision(4)), 4),
    "the decisions experiment": ((delete_experiment("-decisions"),), 4),
    "the decisions experiment, for good": ((delete_experiment("-decisions", for_good=True),), 4),
    "the decisions experiment, for good, and the aliases": (
        (delete_experiment("-decisions", for_good=True), delete_aliases("champion", "previous_champion")),
        4,
    ),
    "the experiment of trainings": ((delete_experiment(""),), 4),
    "the champion and the version before": ((delete_versions(4, 2),), 1),
    "the registered model": ((delete_registered_model,), None),
    "the champion's training run": ((delete_training_run(4),), 2),
    "the models of both": ((lose_model(4), lose_model(2)), 1),
    "MLflow": ((lose("mlflow"),), None),
    "MLflow of the first promotion": ((restore("mlflow", 1),), 2),  # it holds version 2, and the claim for it
    "MLflow of the second promotion, the registry of the first": ((restore("mlflow", 2), restore("registry", 1)), 2),
    "the storage of the first promotion, MLflow of the second": ((restore("storage", 1), restore("mlflow", 2)), 1),
    "the storage": ((lose("storage"),), None),
    "the claims, and the decisions experiment": ((lose("storage/claims"), delete_experiment("-decisions")), 4),
    "the records of promotions, cut short": ((spoil("promoted/**/run=*.json", b'{"vers'),), 4),
    "the records of challengers, cut short": ((spoil("registered/**/run=*.json", b""),), 4),
    "the claims, cut short": ((spoil("claims/*/after=*.json", b'{"ki'),), 4),
}


@pytest.mark.parametrize(("damages", "serves"), CASES.values(), ids=CASES)
def test_without(damages: tuple[Damage, ...], serves: int | None, lived: Contest) -> None:
    world = lived.world
    for damage in damages:
        damage(world)
    doctor.show(doctor.run(services=world.services))
    repaired = doctor.run(services=world.services, repair=True)
    assert repaired["healthy"], doctor.show(repaired)
    assert repaired["champion"] == serves
    before = len(decision_runs(world))
    serves_now(world, serves)
    serves_now(world, compete(lived, against=serves))
    changes = 1
    if serves is not None:
        assert world.run(rollback, BACK).version == serves
        serves_now(world, serves)
        changes += 1
    serves_now(world, compete(lived, against=serves if serves is not None else champion_of(world)))
    assert len(decision_runs(world)) == before + changes + 1
    assert doctor.run(services=world.services)["problems"] == []


def champion_of(world: World) -> int:
    return int(champion.run(services=world.services)["version"])


def serves_now(world: World, version: int | None) -> None:
    """Check who serves, by the decisions, by the alias, and by loading the model that was judged."""
    assert champion.run(services=world.services)["version"] == version
    assert world.services.tracking.alias("champion") == version
    if version is not None:
        recorded_models.load(version, world.services)
        world.run(resolve, max(world.services.registry.days("inputs")))


def test_a_rollback_whose_record_is_deleted_still_blocks_what_it_removed(lived: Contest) -> None:
    delete_decision(3, for_good=True)(lived.world)
    (problem,) = doctor.run(services=lived.world.services)["problems"]
    assert "lost the records of earlier decisions: 'roll back to version 2 from 3" in problem["summary"]
    doctor.run(services=lived.world.services, repair=True)
    kinds = [entry.kind for entry in lived.world.services.tracking.decisions(kinds=CHAMPION_CHANGES)]
    assert kinds == ["promotion", "promotion", "promotion", "rollback", "promotion"]


def test_what_repair_left_out_can_be_adopted_later(lived: Contest) -> None:
    world = lived.world
    restore("storage", 1)(world)
    assert doctor.run(services=world.services, repair=True)["champion"] == 1
    adopted = doctor.run(services=world.services, repair=True, adopt=4)
    assert (adopted["healthy"], adopted["champion"]) == (True, 4)
    serves_now(world, 4)
    assert world.services.tracking.alias("previous_champion") is None  # version 2 is not vouched for
    compete(lived, against=4)
    adopted = doctor.run(services=world.services, repair=True, adopt=2)  # long after: it does not serve by that
    assert (adopted["healthy"], adopted["champion"]) == (True, 5)
    assert world.run(rollback, BACK.model_copy(update={"to_version": 2})).version == 2


def test_all_problems_are_listed_and_what_cannot_be_read_is_named(
    lived: Contest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = lived.world
    (Path(world.services.environment.registry) / "refs" / "heads" / "main").write_text("")
    delete_decision(1)(world)
    delete_versions(4)(world)
    world.services.tracking.move_alias("previous_champion", 3)
    shown = doctor.show(doctor.run(services=world.services))
    for part in (
        "evergreen recover --repair",
        "earlier decisions: 'promote version 2",
        "version 4",
        "previous_champion",
    ):
        assert part in shown
    world = world.copied_to(tmp_path_factory.mktemp("damaged") / "home")  # where no process has it open yet
    (world.home / "mlflow" / "mlflow.db").write_bytes(b"no database")
    listed = doctor.run(services=world.services, repair=True)
    registry, *unreadable = listed["problems"]
    assert "unreadable" not in registry
    assert unreadable
    assert all(problem["unreadable"] for problem in unreadable)
    assert "MLflow's experiments cannot be read" in doctor.show(listed)
    assert "nobody serves" not in doctor.show(listed)


def test_a_past_day_is_scored_without_its_champion_once_that_was_deleted(lived: Contest) -> None:
    """Nothing is to be repaired then, since another version serves by now."""
    world = lived.world
    world.ingest(NEXT_DAY)
    now = compete(lived, against=4)
    delete_versions(4)(world)
    repaired = doctor.run(services=world.services, repair=True)
    assert (repaired["healthy"], repaired["champion"]) == (True, now)
    resolved = world.run(resolve, NEXT_DAY)
    assert resolved.version == 2
    assert resolved.reason.startswith("version 4 is passed over, MLflow has lost it; version 2 is champion since")


def test_a_registry_that_is_not_there_is_not_said_to_be_repairable(lived: Contest) -> None:
    shutil.rmtree(lived.world.home / "registry.git")
    (problem,) = doctor.run(services=lived.world.services, repair=True)["problems"]
    assert (problem["by"], problem["repaired"]) == ("by hand", False)
    assert "restore the data registry from a backup" in problem["remedy"]


def test_a_storage_that_does_not_say_whose_it_is_is_named_and_the_registry_is_looked_at(lived: Contest) -> None:
    (lived.world.home / "storage" / "evergreen.json").write_text('{"ta')
    (Path(lived.world.services.environment.registry) / "refs" / "heads" / "main").write_text("")
    registry, storage = doctor.run(services=lived.world.services, repair=True)["problems"]
    assert registry["by"] == problems.RECOVER
    assert storage["summary"].startswith("the storage cannot be read")
    assert "restore it from a backup" in storage["summary"]


def test_a_repair_that_fails_keeps_no_other_from_being_made(lived: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.champions import lost_history
    from ml.errors import EvergreenError

    def fail(*_: object) -> None:
        raise EvergreenError("it cannot be written")

    monkeypatch.setattr(lost_history, "bring_back", fail)
    delete_decision(1)(lived.world)
    delete_versions(4)(lived.world)
    repaired = doctor.run(services=lived.world.services, repair=True)
    assert (repaired["healthy"], repaired["champion"]) == (False, 2)
    assert "that failed: it cannot be written" in doctor.show(repaired)


def test_a_lost_champion_is_withdrawn_though_the_registry_was_made_anew(
    lived: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_versions(4)(lived.world)
    monkeypatch.setattr(DataRegistry, "days", lambda *_, **__: [])
    repaired = doctor.run(services=lived.world.services, repair=True)
    assert (repaired["healthy"], repaired["champion"]) == (True, 2)


def test_a_restore_of_stores_saved_at_different_moments_ends_with_a_model(
    lived: Contest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``make compose-backup`` may save while everything runs: the database first, the storage last."""
    from deploy import backup

    class LocalStack:
        def once(self, *command: str) -> None:
            assert command[-3:] == ("ml.cli.doctor", "--all", "--repair")
            monkeypatch.setattr(doctor, "open_services", lambda **_: lived.world.services)
            assert doctor.main(["--repair"]) == 0

    restore("mlflow", 3)(lived.world)
    restore("registry", 4)(lived.world)
    backup._reconcile(LocalStack())  # type: ignore[arg-type]
    assert "all agrees" in capsys.readouterr().out
    serves_now(lived.world, compete(lived, against=champion_of(lived.world)))
