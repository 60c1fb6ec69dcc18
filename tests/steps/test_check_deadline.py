"""Predictions are late after the deadline of their day, and the cause follows from what the steps left."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ml.adapters import layout
from ml.errors import SettingsError
from ml.records import Alert, QueuedAlert, Timeliness
from ml.steps.score import check_deadline
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

BEFORE, AFTER = (
    datetime(2013, 6, 14, 11, 29, tzinfo=UTC),
    datetime(2013, 6, 14, 11, 30, tzinfo=UTC),
)  # 07:30 in New York


def checked(world: World, now: datetime, due_by: str | None = "07:30") -> Timeliness:
    result = world.having(score={"due_by": due_by}).run(check_deadline, now=now)
    assert isinstance(result, Timeliness)
    return result


def failed(world: World, where: str, day: date, error: str) -> None:
    alert = Alert(
        kind="task_failed",
        key=f"task_failed/{where}/run={day}/try=1",
        model="flight-delay",
        title="Task failed",
        severity="alarm",
        created_at=AFTER,
        template="failure",
        facts={"where": f"flight-delay.{where}", "error": error},
        day=day,
    )
    queued = QueuedAlert(alert=alert, channels=("email",)).model_dump_json().encode()
    world.services.storage.create_bytes(layout.alerts.alert(alert.key), queued)


def test_a_day_is_late_from_its_deadline_on_until_it_is_published(trained: World) -> None:
    assert checked(trained, BEFORE).day == LAST_DAY - timedelta(days=1)
    late = checked(trained, AFTER)
    assert (late.day, late.late, late.cause) == (LAST_DAY, True, "task_failed")
    assert "never began" in late.reason
    failed(trained, "score.predict", NEXT_DAY, "of another day")
    failed(trained, "score.predict", LAST_DAY, "the disk is full")
    assert checked(trained, AFTER).reason == "flight-delay.score.predict failed: the disk is full"
    trained.score(LAST_DAY)
    assert checked(trained, AFTER) == Timeliness(day=LAST_DAY, late=False)
    assert not checked(trained, BEFORE).late, "the day before is not there, and a later one is"


def test_without_a_deadline_nothing_is_late(trained: World) -> None:
    assert not checked(trained, AFTER, None).late


def test_nobody_serves(seeded: World) -> None:
    late = checked(seeded, AFTER)
    assert (late.cause, late.late) == ("no_champion", True)
    assert str(LAST_DAY) in late.reason


def test_inputs_that_are_not_there(trained: World) -> None:
    tomorrow = AFTER + timedelta(days=1)
    late = checked(trained, tomorrow)
    assert (late.day, late.cause) == (NEXT_DAY, "source_late")
    failed(trained, "ingest.commit", NEXT_DAY, "no file")
    assert "flight-delay.ingest.commit failed: no file" in checked(trained, tomorrow).reason
    trained.services.storage_folder(layout.ingest.landing(NEXT_DAY)).write_json(
        layout.ingest.landed("inputs", NEXT_DAY), {}
    )
    assert checked(trained, tomorrow).cause == "task_failed"
    rejection = layout.days.asset_day_json("inputs", NEXT_DAY)
    trained.services.storage_folder(layout.ingest.REJECTED).write_json(rejection, {})
    assert checked(trained, tomorrow).cause == "data_rejected"


def test_a_day_without_data_is_passed_over(trained: World) -> None:
    closed = trained.having(land={"closed": [NEXT_DAY.isoformat()]})
    assert checked(closed, AFTER + timedelta(days=1)).day == LAST_DAY


@pytest.mark.parametrize("section", [{"land": {"due_hour": 8}}, {"schedule": {"cron": "30 7 * * *"}}], ids=str)
def test_a_deadline_before_the_data_are_due_is_refused(trained: World, section: dict[str, dict[str, object]]) -> None:
    world = trained.having(score={"due_by": "07:30"}, **section)
    with pytest.raises(SettingsError, match="score.due_by"):
        _ = world.settings


@pytest.mark.parametrize("due_by", ["7:30", "24:00", "07:60", 450])
def test_what_is_no_time_of_day_is_refused(trained: World, due_by: object) -> None:
    with pytest.raises(SettingsError, match="due_by"):
        _ = trained.having(score={"due_by": due_by}).settings


def test_the_exporter_shows_it(trained: World) -> None:
    from ml.cli import metrics

    services = trained.having(score={"due_by": "07:30"}).services
    values = {sample.name: sample.value for sample in metrics.figures_of(services, AFTER)}
    assert values["evergreen_predictions_late"] == 1.0
    names = {sample.name for sample in metrics.figures_of(trained.services, AFTER)}
    assert "evergreen_predictions_late" not in names
