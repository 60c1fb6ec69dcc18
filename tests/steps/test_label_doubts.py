"""Labels in doubt: kept out, reported once, never waited for; let in by a correction, a person, or later days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ml.adapters import layout
from ml.adapters.data_registry import DataRegistry
from ml.cli import history
from ml.cli import labels as labels_command
from ml.errors import LabelsInDoubt, MissingArtifact, Unavailable
from ml.records import Asset, DataVersion, Screening
from ml.steps.ingest import commit, label_doubts, label_sums, land, report_rejected, screen
from ml.steps.retrain import pull
from ml.views import page as overview
from ml.views.page import decision_list
from ml.views.page.cache import MEMORY
from tests.steps.conftest import LAST_DAY, MUCH_LATER, NEXT_DAY, REQUEST, World
from tests.steps.test_bad_input import DAY_AFTER, DEMO, Delivery, delivery_to

DAYS = [NEXT_DAY + timedelta(days=n) for n in range(6)]


def dead(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(late=frame["late"].where(frame["late"].isna(), 0.0))


@pytest.fixture
def delivery(seeded: World) -> Delivery:
    made = delivery_to(seeded.having(labels={"judge": True}))
    for day in DAYS:
        made.deliver("inputs", day)
        made.deliver("labels", day - timedelta(days=1))
    return made


def accept(delivery: Delivery, reason: str) -> DataVersion:
    world = delivery.world
    return labels_command.accept(
        [LAST_DAY], reason=reason, requested_by="ann", settings=world.settings, services=world.services
    )


def labelled(delivery: Delivery) -> set[date]:
    return set(delivery.world.services.registry.days("labels"))


def test_a_dead_feed_is_kept_out_reported_once_and_nothing_waits(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt, match=f"labels of {LAST_DAY} in doubt: all .* labels are the same") as caught:
        delivery.ingest_and_report(NEXT_DAY)
    assert f"evergreen labels accept {LAST_DAY}" in str(caught.value)
    assert LAST_DAY not in labelled(delivery)
    assert NEXT_DAY in delivery.world.services.registry.days("inputs")
    assert {"accepted.parquet", "doubt.json", "partition.parquet"} <= set(delivery.quarantined("labels", LAST_DAY))

    for day in DAYS[1:4]:  # nobody is told of the same content again, and no later day lets it in
        again = delivery.ingest_and_report(day)
        assert [(each.day, each.partition, each.doubtful) for each in again.rejected] == [(LAST_DAY, NEXT_DAY, True)]
    assert LAST_DAY not in labelled(delivery) and {NEXT_DAY, DAY_AFTER} <= labelled(delivery)

    place = delivery.world.services.workspace(delivery.world.run(pull, REQUEST).workspace)
    assert str(LAST_DAY) not in set(place.read_table("data/rows.parquet")["day"]), "nothing is trained on it"


def test_a_feed_that_is_dead_for_one_airport_is_in_doubt_on_its_first_day(whole_days: World) -> None:
    delivery = delivery_to(whole_days.having(labels={"judge": True}))
    delivery.deliver("inputs", NEXT_DAY)
    delivery.deliver("labels", LAST_DAY, lambda frame: frame.where(frame["origin"] != "JFK", dead(frame)))
    with pytest.raises(LabelsInDoubt, match=r"all \d+ labels where origin = JFK are 0, where .* is their feed dead"):
        delivery.ingest_and_report(NEXT_DAY)
    assert LAST_DAY not in labelled(delivery)
    accept(delivery, "a strike at JFK")
    assert LAST_DAY in labelled(delivery)


def test_the_sums_of_a_history_are_kept_so_that_the_first_day_reads_none_again(
    seeded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = seeded.having(labels={"judge": True}).services
    held = services.registry.days("labels")
    sums = label_sums.around(NEXT_DAY, held, services)
    assert {"carrier = UA", "origin = EWR"} <= set(sums[max(sums)].parts)
    services.storage_folder(layout.ingest.LABEL_SUMS).write_json(layout.ingest.SUMS, {})
    label_sums.keep_seeded(sums, services)
    monkeypatch.setattr(label_sums, "sum_up", lambda *_: pytest.fail("read again"))
    assert label_sums.around(NEXT_DAY, held, services) == sums


def test_lost_inputs_of_a_past_day_leave_its_labels_to_be_compared_with(
    seeded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = seeded.having(labels={"judge": True}).services
    held, opened = services.registry.days("labels"), DataRegistry.open_content

    def without_inputs(registry: DataRegistry, asset: Asset, day: date, md5: str) -> Path:
        if asset == "inputs":
            raise MissingArtifact(f"inputs of {day} are lost")
        return opened(registry, asset, day, md5)

    services.storage_folder(layout.ingest.LABEL_SUMS).write_json(layout.ingest.SUMS, {})
    monkeypatch.setattr(DataRegistry, "open_content", without_inputs)
    lost = label_sums.around(NEXT_DAY, held, services)
    assert set(lost) == {day for day in held if day < NEXT_DAY} and not any(today.parts for today in lost.values())
    monkeypatch.undo()
    assert all(today.parts for today in label_sums.around(NEXT_DAY, held, services).values()), "they are back"


def test_labels_that_stay_in_doubt_are_not_called_missing_when_nobody_asks_for_them_any_more(
    delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    world = delivery.world.having(land={"catch_up_days": 1})
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt):
        delivery.ingest_and_report(NEXT_DAY)
    delivery.path("labels", NEXT_DAY).unlink()
    for day in DAYS[1:3]:
        world.ingest(day)
    said, absent = (label_doubts.why_without_labels(day, world.services) for day in (LAST_DAY, NEXT_DAY))
    assert f"the labels of {LAST_DAY} came and are still in doubt: all " in said
    assert f"evergreen labels accept {LAST_DAY}" in said and f"run Ingest of {LAST_DAY} again" in said
    assert absent.startswith(f"no labels of {NEXT_DAY} came in time") and "accept" not in absent

    screening = Screening(day=DAYS[2], workspace="", results=(), lost_label_days=(LAST_DAY,))
    report_rejected.run(screening, settings=world.settings, services=world.services)
    assert said in caplog.text


def test_a_corrected_delivery_gets_in_by_itself(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt):
        delivery.ingest_and_report(NEXT_DAY)
    delivery.deliver("labels", LAST_DAY)
    assert delivery.ingest_and_report(DAY_AFTER).rejected == ()
    pd.testing.assert_frame_equal(delivery.world.held("labels", LAST_DAY), DEMO.labels(LAST_DAY))
    assert labels_command.waiting(delivery.world.services) == []


def test_a_person_lets_labels_in_and_they_are_not_questioned_again(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt):
        delivery.ingest_and_report(NEXT_DAY)
    world = delivery.world
    assert [each["day"] for each in labels_command.waiting(world.services)] == [str(LAST_DAY)]
    version = accept(delivery, "a strike")
    assert "by ann: a strike" in version.message and version.changed
    assert world.held("labels", LAST_DAY)["late"].dropna().eq(0).all()
    assert labels_command.waiting(world.services) == []
    assert not accept(delivery, "again").changed

    landing = world.run(land, DAY_AFTER, now=MUCH_LATER)
    assert LAST_DAY in landing.unchanged_label_days
    assert world.run(commit, world.run(screen, landing)).rejected == ()
    assert world.ingest(NEXT_DAY).rejected == (), "a run that is cleared judges the same content alike"

    delivery.deliver("labels", LAST_DAY, lambda frame: dead(frame).iloc[5:])
    with pytest.raises(LabelsInDoubt, match="the registry keeps the one before"):
        delivery.ingest_and_report(DAYS[2])


def test_only_what_is_in_doubt_can_be_let_in(delivery: Delivery) -> None:
    with pytest.raises(MissingArtifact, match="no labels of .* are in doubt"):
        accept(delivery, "a strike")
    assert delivery.world.services.tracking.decisions() == []


def test_who_let_labels_in_is_one_decision_with_what_was_in_doubt(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt):
        delivery.ingest_and_report(NEXT_DAY)
    for reason in ("a strike", "again"):
        accept(delivery, reason)
    services = delivery.world.services
    MEMORY.forget()
    (shown,) = decision_list.decisions(services, kind="label_acceptance")["decisions"]
    assert (shown["requested_by"], shown["day"], shown["version"]) == ("ann", str(LAST_DAY), None)
    assert shown["reasons"][0] == f"labels of {LAST_DAY} let in: a strike"
    assert "labels are the same" in shown["reasons"][1]
    facts = decision_list.decision(services, shown["decision_id"])["facts"]
    assert facts["rows"] == len(delivery.world.held("labels", LAST_DAY))
    lines = history.show(history.run(services=services)).splitlines()
    assert [("label acceptance" in line, "ann" in line, "a strike" in line) for line in lines if "strike" in line] == [
        (True, True, True)
    ]
    assert "champion now: nobody" in lines, "it changes nobody's place"


def test_labels_are_not_let_in_without_a_record_and_a_killed_command_is_finished_by_the_same(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    with pytest.raises(LabelsInDoubt):
        delivery.ingest_and_report(NEXT_DAY)
    services = delivery.world.services

    def unavailable(*_: object, **__: object) -> None:
        raise Unavailable("MLflow did not answer")

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(type(services.tracking), "open_decision", unavailable)
        accept(delivery, "a strike")
    assert LAST_DAY not in labelled(delivery)

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(type(services.registry), "commit", unavailable)
        accept(delivery, "a strike")
    assert LAST_DAY not in labelled(delivery) and services.tracking.decisions() == [], "an intention does not count"

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(type(services.tracking), "close_decision", unavailable)
        accept(delivery, "a strike")
    accept(delivery, "a strike")
    assert LAST_DAY in labelled(delivery)
    (entry,) = services.tracking.decisions()
    assert (entry.kind, entry.payload["requested_by"], entry.effective_day) == ("label_acceptance", "ann", LAST_DAY)


def test_the_page_shows_what_waits_and_why(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    delivery.world.ingest(NEXT_DAY)
    MEMORY.forget()
    shown = overview.data(delivery.world.services)
    (entry,) = shown["rejected"]
    assert entry["what"] == f"labels of {LAST_DAY}" and "in doubt" in entry["message"]
    assert f"evergreen labels accept {LAST_DAY}" in entry["next"]


def test_true_labels_are_plausible_day_after_day(delivery: Delivery) -> None:
    assert [delivery.ingest_and_report(day).rejected for day in DAYS] == [()] * len(DAYS)


def test_switched_off_every_label_that_keeps_its_contract_gets_in(delivery: Delivery) -> None:
    delivery.deliver("labels", LAST_DAY, dead)
    off = delivery.world.having(labels={"judge": False})
    assert off.ingest(NEXT_DAY).rejected == ()
    assert LAST_DAY in labelled(delivery)
