"""Bad input, by name: what it says, what stays as it was, what is kept, and that the repaired day goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.errors import DataRejected, EvergreenError, MissingArtifact
from ml.records import Ingested, RetrainRequest
from ml.steps.ingest import commit, land, report_rejected, screen
from ml.steps.retrain import pull, split, validate
from tests.steps.conftest import LAST_DAY, MUCH_LATER, NEXT_DAY, REQUEST, World

DEMO = DemoSource(replay=False)
DAY_AFTER = NEXT_DAY + timedelta(days=1)
WHOLE, IN_PARTS = 262_144, 300
"""Rows screened at once: more than the demo's days have, and a third of one."""
Break = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Delivery:
    """A folder that a team fills each day, as Parquet or CSV, and the world that reads it."""

    world: World
    folder: Path
    ending: str = "parquet"

    def path(self, asset: str, day: date) -> Path:
        return self.folder / f"{asset}-{day}.{self.ending}"

    def deliver(self, asset: str, day: date, broken: Break = lambda frame: frame) -> None:
        frame = broken(DEMO.inputs(day) if asset == "inputs" else DEMO.labels(day))
        if self.ending == "csv":
            frame.to_csv(self.path(asset, day), index=False)
        else:
            frame.to_parquet(self.path(asset, day), index=False)

    def ingest_and_report(self, day: date) -> Ingested:
        """Do what the four tasks of *Ingest* do."""
        screening = self.world.run(screen, self.world.run(land, day, now=MUCH_LATER))
        ingested: Ingested = self.world.run(commit, screening, defer_labels=True)
        self.world.run(report_rejected, screening)
        return ingested

    def heads(self) -> str:
        return self.world.services.registry.head()

    def quarantined(self, asset: str, day: date) -> list[str]:
        folder = self.world.home / "storage" / "quarantine" / asset / f"day={day}"
        return sorted(path.name for path in folder.glob("*"))


def delivery_to(world: World, ending: str = "parquet") -> Delivery:
    folder = world.home / "delivered"
    folder.mkdir()
    patterns = {asset: str(folder / f"{asset}-{{day}}.{ending}") for asset in ("inputs", "labels")}
    return Delivery(world.having(source={"kind": "files", **patterns}), folder, ending)


@pytest.fixture
def delivery(seeded: World) -> Delivery:
    """NEXT_DAY's healthy inputs and LAST_DAY's healthy labels, as Parquet."""
    made = delivery_to(seeded)
    made.deliver("inputs", NEXT_DAY)
    made.deliver("labels", LAST_DAY)
    return made


def in_parts_of(rows: int, delivery: Delivery) -> Delivery:
    return replace(delivery, world=delivery.world.having(screen={"rows_at_once": rows}))


def of(*rows: int) -> slice:
    return slice(rows[0], rows[-1])


def changed(column: str, value: object, rows: slice = slice(None)) -> Break:
    def broken(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy()
        if isinstance(value, float):
            frame[column] = frame[column].astype("float64")
        frame.loc[frame.index[rows], column] = value
        return frame

    return broken


REFUSED: dict[str, tuple[str, Break, str]] = {
    "missing column": ("inputs", lambda f: f.drop(columns="dest"), "column 'dest' is missing"),
    "wrong type": ("inputs", lambda f: f.assign(flight=f["flight"].astype(str)), "flight"),
    "column nobody knows": ("inputs", lambda f: f.assign(arr_delay=1.0), "column 'arr_delay' is not in the contract"),
    "duplicate keys": ("inputs", lambda f: pd.concat([f, f.head(200).assign(distance=1.0)]), "unique"),
    "empty day": ("inputs", lambda f: f.head(0), "no row"),
    "all-null column": ("inputs", changed("visib", np.nan), "visib"),
    "infinite values": ("inputs", changed("distance", np.inf), "distance"),
    "too few rows": ("inputs", lambda f: f.head(50), "row"),
    "another day's rows": ("inputs", lambda f: f.assign(day="2013-01-01"), "day must be the partition's own"),
    "labels for unknown keys": ("labels", lambda f: f.assign(flight=f["flight"] % 9 + 9000), "inputs"),
    "labels of few inputs": ("labels", lambda f: f.sample(frac=0.6, random_state=1), "90 %"),
    "labels that are no class": ("labels", changed("late", 2.0), "late"),
}


@pytest.mark.parametrize("rows_at_once", [WHOLE, IN_PARTS])
@pytest.mark.parametrize("name", REFUSED)
def test_a_day_is_refused_for(name: str, rows_at_once: int, delivery: Delivery) -> None:
    delivery = in_parts_of(rows_at_once, delivery)
    asset, broken, said = REFUSED[name]
    day = NEXT_DAY if asset == "inputs" else LAST_DAY
    delivery.deliver(asset, day, broken)
    with pytest.raises(DataRejected) as caught:
        delivery.ingest_and_report(NEXT_DAY)
    message = str(caught.value)
    assert f"{asset} of {day}" in message and said in message
    assert "Next: fix the source and run this again" in message
    assert caught.value.about == f"{asset} of {day}"
    assert caught.value.failures and caught.value.failures[0]["message"]
    assert Path(str(caught.value.report_uri)).read_text().startswith("<!")
    registry = delivery.world.services.registry
    assert (NEXT_DAY in registry.days("inputs"), LAST_DAY in registry.days("labels")) == (
        asset != "inputs",
        asset != "labels",
    ), "what is right of the partition is in, and only that"
    assert delivery.quarantined(asset, day) in (
        ["partition.parquet", "report.html", "result.json"],
        ["partition.parquet", "report.html", "result.json", "rows.parquet"],
    )

    head = delivery.heads()
    delivery.deliver(asset, day)
    ingested = delivery.ingest_and_report(NEXT_DAY)
    assert ingested.changed and ingested.data_version == delivery.heads() != head
    assert (ingested.quarantined_rows, ingested.rows) == (0, len(DEMO.inputs(NEXT_DAY)))
    assert "partition.parquet" in delivery.quarantined(asset, day)


FEW: dict[str, tuple[str, Break, int]] = {
    "an exact copy": ("inputs", lambda f: pd.concat([f, f.head(3)]), 3),
    "one key twice with different values": ("inputs", lambda f: pd.concat([f, f.head(1).assign(distance=7.0)]), 2),
    "infinite values": ("inputs", changed("distance", np.inf, of(0, 3)), 3),
    "labels for unknown keys": ("labels", changed("flight", 9999, of(0, 5)), 5),
}


@pytest.mark.parametrize("rows_at_once", [WHOLE, IN_PARTS])
@pytest.mark.parametrize("name", FEW)
def test_a_few_bad_rows_are_set_aside_with_their_reasons_and_the_rest_goes_on(
    name: str, rows_at_once: int, delivery: Delivery
) -> None:
    delivery = in_parts_of(rows_at_once, delivery)
    asset, broken, bad = FEW[name]
    day = NEXT_DAY if asset == "inputs" else LAST_DAY
    delivery.deliver(asset, day, broken)
    ingested = delivery.world.ingest(NEXT_DAY)
    assert ingested.quarantined_rows == bad
    assert delivery.quarantined(asset, day) == ["rows.parquet"]
    aside = pd.read_parquet(delivery.world.home / f"storage/quarantine/{asset}/day={day}/rows.parquet")
    assert len(aside) == bad and (aside["reasons"].str.len() > 0).all()
    delivered = pd.read_parquet(delivery.path(asset, day))
    assert len(delivery.world.held(asset, day)) + bad == len(delivered)


def test_a_parquet_that_is_no_parquet_is_named_and_no_labels_wait_for_it(delivery: Delivery) -> None:
    delivery.path("inputs", NEXT_DAY).write_bytes(b"PAR1 it is not")
    with pytest.raises(DataRejected, match=rf"inputs-{NEXT_DAY}.parquet is no whole Parquet file.*run this again"):
        delivery.world.ingest(NEXT_DAY)
    assert NEXT_DAY not in delivery.world.services.registry.days("inputs")
    assert LAST_DAY in delivery.world.services.registry.days("labels")
    delivery.deliver("inputs", NEXT_DAY)
    assert delivery.world.ingest(NEXT_DAY).changed


def test_labels_that_cannot_be_read_are_named_and_no_inputs_wait_for_them(delivery: Delivery) -> None:
    delivery.path("labels", LAST_DAY).write_bytes(b"")
    with pytest.raises(DataRejected, match=rf"labels-{LAST_DAY}.parquet is empty"):
        delivery.ingest_and_report(NEXT_DAY)
    assert NEXT_DAY in delivery.world.services.registry.days("inputs")
    assert LAST_DAY not in delivery.world.services.registry.days("labels")
    delivery.deliver("labels", LAST_DAY)
    assert delivery.world.ingest(NEXT_DAY).labelled_rows > 0


def test_a_csv_is_as_good_as_a_parquet_and_one_of_a_broken_encoding_is_named(seeded: World) -> None:
    delivery = delivery_to(seeded, "csv")
    delivery.deliver("inputs", NEXT_DAY)
    delivery.deliver("labels", LAST_DAY)
    healthy = delivery.path("inputs", NEXT_DAY).read_bytes()
    delivery.path("inputs", NEXT_DAY).write_bytes(healthy.replace(b"UA", b"\xff\xfe", 1))
    with pytest.raises(DataRejected, match=r"is not UTF-8: the byte at offset .* \(line \d+\).*save it as UTF-8"):
        delivery.world.ingest(NEXT_DAY)
    assert NEXT_DAY not in delivery.world.services.registry.days("inputs")
    delivery.path("inputs", NEXT_DAY).write_bytes(healthy)
    assert delivery.world.ingest(NEXT_DAY).changed
    pd.testing.assert_frame_equal(delivery.world.held("inputs", NEXT_DAY), DEMO.inputs(NEXT_DAY))


def test_a_day_twice_with_other_content_is_a_correction_and_both_versions_stay_readable(delivery: Delivery) -> None:
    first = delivery.world.ingest(NEXT_DAY)
    delivery.deliver("inputs", NEXT_DAY, lambda frame: frame.iloc[5:])
    second = delivery.world.ingest(NEXT_DAY)
    assert second.changed and second.data_version != first.data_version
    registry = delivery.world.services.registry
    rows = [
        len(pd.read_parquet(registry.open("inputs", rev=rev, first_day=NEXT_DAY, last_day=NEXT_DAY)[NEXT_DAY]))
        for rev in (first.data_version, second.data_version)
    ]
    assert rows == [len(DEMO.inputs(NEXT_DAY)), len(DEMO.inputs(NEXT_DAY)) - 5]
    again = delivery.world.ingest(NEXT_DAY)
    assert (again.changed, again.data_version) == (False, second.data_version)


def test_a_category_never_seen_is_accepted_and_scored(trained: World) -> None:
    delivery = delivery_to(trained)
    delivery.deliver("labels", LAST_DAY)
    delivery.deliver("inputs", NEXT_DAY, lambda f: changed("carrier", "ZZ", of(0, 9))(changed("dest", "QQQ")(f)))
    assert delivery.world.ingest(NEXT_DAY).quarantined_rows == 0
    _, scoring = delivery.world.score(NEXT_DAY)
    found = pd.read_parquet(scoring.uri)
    assert (found["carrier"] == "ZZ").sum() == 9 and found["prediction"].between(0, 1).all()


def test_a_day_in_the_future_is_refused_by_the_calendar_of_the_task(delivery: Delivery) -> None:
    late_evening = datetime(2013, 6, 15, 3, tzinfo=UTC)  # still the 14th in New York
    with pytest.raises(MissingArtifact, match=f"{NEXT_DAY} lies in the future: it is {LAST_DAY} in America/New_York"):
        delivery.world.run(land, NEXT_DAY, now=late_evening)
    assert not (delivery.world.home / "storage" / "landing").exists()
    assert delivery.world.run(land, NEXT_DAY, now=late_evening + timedelta(hours=2)).day == NEXT_DAY


def test_inputs_that_are_not_there_are_named_with_what_to_do(delivery: Delivery) -> None:
    with pytest.raises(MissingArtifact, match=rf"nothing for {DAY_AFTER}: .*deliver the file.*land.closed"):
        delivery.world.ingest(DAY_AFTER)
    assert LAST_DAY in delivery.world.services.registry.days("labels"), "labels do not wait for them"


def test_labels_not_there_yet_are_caught_up_by_a_later_day(delivery: Delivery) -> None:
    delivery.path("labels", LAST_DAY).unlink()
    landing = delivery.world.run(land, NEXT_DAY, now=MUCH_LATER)
    assert (landing.label_days, landing.missing_label_days) == ((), (LAST_DAY,))
    first = delivery.world.ingest(NEXT_DAY)
    assert first.rows > 0 and first.labelled_rows == 0

    delivery.deliver("labels", LAST_DAY)
    delivery.deliver("inputs", DAY_AFTER)
    delivery.deliver("labels", NEXT_DAY)
    landing = delivery.world.run(land, DAY_AFTER, now=MUCH_LATER)
    assert (landing.label_days, landing.missing_label_days) == ((LAST_DAY, NEXT_DAY), ())
    second = delivery.world.ingest(DAY_AFTER)
    assert {LAST_DAY, NEXT_DAY} <= set(delivery.world.services.registry.days("labels", second.data_version))


def test_labels_of_a_day_whose_inputs_were_refused_wait_until_it_is_repaired(delivery: Delivery) -> None:
    delivery.deliver("inputs", NEXT_DAY, lambda frame: frame.drop(columns="dest"))
    with pytest.raises(DataRejected):
        delivery.world.ingest(NEXT_DAY)
    delivery.deliver("inputs", DAY_AFTER)
    delivery.deliver("labels", NEXT_DAY)
    assert LAST_DAY in delivery.world.services.registry.days("labels")
    landing = delivery.world.run(land, DAY_AFTER, now=MUCH_LATER)
    assert (landing.label_days, landing.missing_label_days) == ((), (NEXT_DAY,))
    delivery.world.ingest(DAY_AFTER)

    delivery.deliver("inputs", NEXT_DAY)
    delivery.world.ingest(NEXT_DAY)
    ingested = delivery.world.ingest(DAY_AFTER)
    assert NEXT_DAY in delivery.world.services.registry.days("labels", ingested.data_version)


def test_labels_years_late_are_a_new_version_and_the_old_one_is_still_there(delivery: Delivery) -> None:
    delivery.path("labels", LAST_DAY).unlink()
    before = delivery.world.ingest(NEXT_DAY).data_version
    delivery.deliver("labels", LAST_DAY)
    after = delivery.world.ingest(NEXT_DAY, now=datetime(2019, 1, 1, tzinfo=UTC)).data_version
    registry = delivery.world.services.registry
    assert LAST_DAY not in registry.days("labels", before)
    assert LAST_DAY in registry.days("labels", after)


def test_a_partition_that_was_killed_between_its_steps_ends_the_same(delivery: Delivery) -> None:
    head = delivery.heads()
    landing = delivery.world.run(land, NEXT_DAY, now=MUCH_LATER)
    assert delivery.heads() == head
    delivery.world.run(screen, landing)
    assert delivery.heads() == head
    ingested = delivery.world.ingest(NEXT_DAY)
    assert ingested.changed
    assert delivery.world.ingest(NEXT_DAY) == ingested.model_copy(update={"changed": False})


def test_a_window_larger_than_the_history_says_how_much_there_is(seeded: World) -> None:
    request = RetrainRequest(requested_by="a test", reasons=("to see",), days=400)
    with pytest.raises(MissingArtifact, match="first labelled day is 2013-05-01; ask for at most 44 days"):
        seeded.run(pull, request)
    few = seeded.having(pull={"min_days": 60})
    with pytest.raises(MissingArtifact, match=r"only 44 labelled days .*, fewer than pull.min_days \(60\)"):
        few.run(pull, REQUEST)
    with pytest.raises(MissingArtifact, match="no labelled day up to 2012-01-01"):
        seeded.run(pull, REQUEST.model_copy(update={"last_day": date(2012, 1, 1)}))


@pytest.mark.parametrize(("first", "part"), [(date(2013, 6, 4), "holdout"), (date(2013, 5, 1), "training part")])
def test_a_single_class_is_refused_before_anything_is_fitted(first: date, part: str, seeded: World) -> None:
    days = [first + timedelta(days=n) for n in range(10 if part == "holdout" else 34)]
    seeded.put({("labels", day): seeded.held("labels", day).assign(late=0.0) for day in days})
    window = seeded.run(pull, REQUEST)
    seeded.run(validate, window)
    with pytest.raises(DataRejected, match=rf"the {part} .* holds a single class of 'late'; lengthen the window"):
        seeded.run(split, window)


def test_a_window_in_which_a_single_class_is_all_there_is_breaks_its_contract(seeded: World) -> None:
    days = [day for day in seeded.services.registry.days("labels")]
    seeded.put({("labels", day): seeded.held("labels", day).assign(late=1.0) for day in days})
    window = seeded.run(pull, REQUEST)
    with pytest.raises(DataRejected, match=r"the window of 2013-05-01 to 2013-06-13 rejected: .*late") as caught:
        seeded.run(validate, window)
    assert Path(str(caught.value.report_uri)).exists()


def test_days_without_any_known_outcome_leave_nothing_to_train_on(seeded: World) -> None:
    days = [day for day in seeded.services.registry.days("labels") if day < date(2013, 6, 4)]
    seeded.put({("labels", day): seeded.held("labels", day).assign(late=np.nan) for day in days})
    window = seeded.run(pull, REQUEST)
    with pytest.raises(DataRejected, match="only 10 days .* have labelled rows, and split.holdout_days is 10"):
        seeded.run(split, window)


def test_a_misspelt_address_of_labels_is_an_error_on_the_first_try_and_the_inputs_go_in(delivery: Delivery) -> None:
    source = {"labels": str(delivery.folder / "lables" / "{day}.parquet")}
    world = delivery.world.having(source=source)
    with pytest.raises(EvergreenError, match=r"source.labels: there is no folder .*/lables; correct source.labels"):
        world.ingest(NEXT_DAY)
    assert NEXT_DAY in world.services.registry.days("inputs")


def test_labels_that_are_not_complete_wait_for_their_marker_and_the_inputs_go_in(delivery: Delivery) -> None:
    marker = str(delivery.folder / "{asset}-{day}.done")
    world = delivery.world.having(source={"complete": {"marker": marker}})
    (delivery.folder / f"inputs-{NEXT_DAY}.done").touch()
    landing = land.run(NEXT_DAY, now=MUCH_LATER, settings=world.settings, services=world.services)
    assert landing.input_days == (NEXT_DAY,)
    assert LAST_DAY in landing.missing_label_days
    (delivery.folder / f"labels-{LAST_DAY}.done").touch()
    landing = land.run(NEXT_DAY, now=MUCH_LATER, settings=world.settings, services=world.services)
    assert landing.label_days == (LAST_DAY,)
