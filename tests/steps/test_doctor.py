"""Whatever people or restores take out of MLflow or the storage, the doctor leads to a model that serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_tags import PREFIX
from ml.champions import promotion_protocol, recorded_models, serving_state
from ml.cli import champion, doctor, history
from ml.core.champions.tenures import champion_of
from ml.errors import EvergreenError, UntrustedModel
from ml.records import Champion, DriftReport, Judgement, LivePerformance
from ml.steps import rollback
from ml.steps.monitor import decide
from ml.steps.retrain import promote
from tests.databases import copy_home
from tests.steps.conftest import NEXT_DAY, Contest, World
from tests.steps.test_forged_mlflow import forge
from tests.steps.test_promotion_crash import BACK, OTHER, aliases, decision_runs, promoted
from tests.steps.test_promotion_record import model_file


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
    copy_home(world.home / "saved", world.home / "mlflow")


def restore_older_storage(world: World, tracking: Tracking) -> None:
    shutil.rmtree(world.home / "storage")
    shutil.copytree(world.home / "saved-storage", world.home / "storage")


def remove_records(world: World, tracking: Tracking) -> None:
    for folder in ("promoted", "registered"):
        shutil.rmtree(world.home / "storage" / folder)


def remove_records_and_claims(world: World, tracking: Tracking) -> None:
    remove_records(world, tracking)
    remove_claims(world, tracking)


def damage_claim(world: World, tracking: Tracking) -> None:
    after = serving_state.after(serving_state.read_serving(world.services))
    world.services.storage.put_bytes(world.services.journal.slot(tracking.book(), after), b"half a cl")


def move_alias_by_hand(world: World, tracking: Tracking) -> None:
    tracking.client.set_registered_model_alias(tracking.name, "champion", "1")


def delete_old_version_and_roll_back_to_it(world: World, tracking: Tracking) -> None:
    tracking.client.delete_model_version(tracking.name, "1")
    with pytest.raises(EvergreenError, match="version 1 cannot serve"):
        world.run(rollback, BACK)


def lose_newest_decision_for_good(world: World, tracking: Tracking) -> None:
    run_id = decision_runs(tracking)[-1].info.run_id
    tracking.client.delete_run(run_id)
    tracking.client._tracking_client.store._hard_delete_run(run_id)  # as 'mlflow gc' does


DAMAGE: list[tuple[Callable[[World, Tracking], None], int | None]] = [
    (delete_champion, 1),
    (delete_newest_decision, 2),
    (delete_decisions, 2),
    (lose_artifact, 1),
    (delete_alias, 2),
    (remove_claims, 2),
    (delete_registered_model, None),
    (restore_older_database, 2),
    (damage_claim, 2),
    (move_alias_by_hand, 2),
    (delete_old_version_and_roll_back_to_it, 2),
    (lose_newest_decision_for_good, 2),
    (restore_older_storage, 1),
    (remove_records, 2),
    (remove_records_and_claims, None),
]


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every owner of a claim that is met for killed."""
    monkeypatch.setattr(promotion_protocol, "PATIENCE_SECONDS", 0.0)


def challenge(contest: Contest, known: ModelVersion, *, against: int | None) -> Judgement:
    """Register the model of ``known`` once more, whatever became of that version, and take it for better."""
    tracking = contest.world.services.tracking
    with suppress(MlflowException):
        tracking.client.create_registered_model(tracking.name)
    tags = known.tags | {PREFIX + "fingerprint": OTHER}
    made = tracking.client.create_model_version(tracking.name, known.source, known.run_id, tags=tags)
    changes = {"version": int(made.version), "champion_version": against, "fingerprint": OTHER}
    return contest.judgement.model_copy(update=changes)


def wins(contest: Contest, known: ModelVersion, *, against: int | None) -> None:
    """Let a challenger be promoted, and serve the next day with what the storage records of it."""
    world = contest.world
    for lost in world.home.rglob("lost"):  # the challenger is a copy of version 2, with a model file of its own
        lost.rename(lost.with_name("artifacts"))
    challenger = challenge(contest, known, against=against)
    assert world.run(promote, contest.window, challenger).promoted
    assert aliases(world)[0] == challenger.version
    decisions = world.services.tracking.decisions()
    tenure, _ = champion_of(NEXT_DAY, decisions)
    assert tenure is not None
    assert tenure.version == challenger.version
    recorded_models.check_champion(tenure.version, tenure.effective_day, decisions, world.services)
    assert champion.run(services=world.services)["version"] == challenger.version


def saved_and_promoted(contest: Contest) -> World:
    """Back both stores up, each for itself, and let version 2 win after that."""
    copy_home(contest.world.home / "mlflow", contest.world.home / "saved")
    shutil.copytree(contest.world.home / "storage", contest.world.home / "saved-storage")
    return promoted(contest)


@pytest.mark.parametrize(("damage", "serves"), DAMAGE, ids=lambda value: getattr(value, "__name__", None))
def test_after(damage: Callable[[World, Tracking], None], serves: int | None, contest: Contest) -> None:
    world = saved_and_promoted(contest)
    tracking = world.services.tracking
    known = tracking.client.get_model_version(tracking.name, "2")
    damage(world, tracking)
    repaired = doctor.run(services=world.services, repair=True)
    assert (repaired["healthy"], repaired["champion"]) == (True, serves)
    assert aliases(world)[0] == serves
    assert doctor.run(services=world.services) == {"healthy": True, "champion": serves, "problems": []}
    wins(contest, known, against=serves)


def test_a_challenger_is_asked_for_after_everything_was_withdrawn(contest: Contest) -> None:
    world = promoted(contest)
    delete_registered_model(world, world.services.tracking)
    doctor.run(services=world.services, repair=True)
    days = world.services.registry.days("inputs")
    nobody = Champion(day=max(days), version=None, reason="nobody", data_version=world.services.registry.head())
    drift = DriftReport(day=max(days), status="unknown", champion_version=None, reason="no champion")
    unmeasured = LivePerformance(day=max(days), labelled_day=None, rows=0, metrics={}, reason="no labels")
    assert world.run(decide, nobody, drift, unmeasured).action == "retrain"
    shown = history.show(history.run(services=world.services))
    assert "withdrawal" in shown
    assert "champion now: nobody" in shown


OLDER = pytest.mark.parametrize("damage", [restore_older_storage, remove_records_and_claims])


@OLDER
def test_a_storage_older_than_mlflow_refuses_and_names_the_way_out(
    damage: Callable[[World, Tracking], None], contest: Contest
) -> None:
    world = saved_and_promoted(contest)
    damage(world, world.services.tracking)
    with pytest.raises(UntrustedModel, match="older than MLflow.*evergreen doctor --repair"):
        champion.run(services=world.services)
    found = doctor.run(services=world.services)
    assert not found["healthy"]
    model = world.services.tracking.servable(2)
    assert model.run_id in doctor.show(found)
    assert model.model_sha256 in doctor.show(found)
    assert "--adopt N" in doctor.show(found)


@OLDER
def test_a_version_that_a_person_vouches_for_serves_again(
    damage: Callable[[World, Tracking], None], contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    world = saved_and_promoted(contest)
    tracking = world.services.tracking
    known = tracking.client.get_model_version(tracking.name, "2")
    damage(world, tracking)
    for _ in range(2):
        found = doctor.run(services=world.services, repair=True, adopt=2)
        assert (found["healthy"], found["champion"]) == (True, 2)
        assert tracking.servable(2).model_sha256 in doctor.show(found)
    assert champion.run(services=world.services)["version"] == 2
    recorded_models.lineage_of(2, world.services)
    (adoption,) = tracking.decisions(kinds=("adoption",))
    assert (adoption.payload["requested_by"], adoption.payload["version"]) == ("ada", 2)
    assert tracking.servable(2).model_sha256 in adoption.payload["reason"]
    wins(contest, known, against=2)


def test_a_version_that_no_decision_lets_serve_is_not_adopted(contest: Contest) -> None:
    with pytest.raises(EvergreenError, match="version 2 cannot be adopted: no decision"):
        doctor.run(services=contest.world.services, repair=True, adopt=2)
    assert aliases(contest.world)[0] == 1


def test_a_version_whose_recorded_model_is_another_is_not_adopted(contest: Contest) -> None:
    world = promoted(contest)
    path = model_file(contest)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EvergreenError, match="version 2 cannot be adopted: the storage records another model"):
        doctor.run(services=world.services, repair=True, adopt=2)


def test_a_forged_promotion_is_left_out_and_stays_to_be_read(contest: Contest) -> None:
    world = contest.world
    forge(world, version=2)
    assert doctor.run(services=world.services, repair=True)["champion"] == 1
    assert aliases(world)[0] == 1
    assert [entry.kind for entry in world.services.tracking.decisions()] == ["promotion", "unrecorded"]
    assert world.run(promote, contest.window, contest.judgement).promoted


@pytest.mark.parametrize("damage", [delete_champion, restore_older_storage])
def test_two_doctors_at_once_end_as_one(damage: Callable[[World, Tracking], None], contest: Contest) -> None:
    world = saved_and_promoted(contest)
    damage(world, world.services.tracking)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: doctor.run(services=world.services, repair=True), range(2)))
    assert [each["champion"] for each in found] == [1, 1]
    assert doctor.run(services=world.services) == {"healthy": True, "champion": 1, "problems": []}


def test_the_command_says_by_its_exit_code_whether_all_agrees(
    contest: Contest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = promoted(contest)
    delete_champion(world, world.services.tracking)
    monkeypatch.setattr(doctor, "open_services", lambda **_: world.services)
    assert doctor.main([]) == 3
    assert "with --repair: withdraw it" in capsys.readouterr().out
    assert doctor.main(["--repair", "--json"]) == 0
    repaired = json.loads(capsys.readouterr().out.splitlines()[-1])  # alone in a process, warnings come before it
    assert (repaired["healthy"], repaired["champion"]) == (True, 1)
    assert [each["repaired"] for each in repaired["problems"]] == [True] * len(repaired["problems"])
    assert doctor.main([]) == 0
    assert capsys.readouterr().out.endswith("version 1 serves\nall agrees\n")
    with pytest.raises(SystemExit):
        doctor.main(["--adopt", "2"])


def test_a_damaged_data_registry_is_named_with_the_command_that_brings_it_back(contest: Contest) -> None:
    world = contest.world
    (Path(world.services.environment.registry) / "refs" / "heads" / "main").write_text("")
    found = doctor.run(services=world.services)
    assert not found["healthy"]
    assert "evergreen recover --repair: bring its newest whole version back" in doctor.show(found)


def test_to_look_makes_no_experiment(seeded: World) -> None:
    assert doctor.run(services=seeded.services)["healthy"]
    assert not seeded.services.tracking.has_book()
