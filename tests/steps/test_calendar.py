"""Days without data, data once a week, labels at once or drop by drop, and a past day that is corrected."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.errors import DataRejected, MissingArtifact, NoDataExpected
from ml.steps.ingest import seed
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.score import resolve
from tests.steps.conftest import World
from tests.steps.test_regression import DAYS, FIRST, KEY, ROWS, deliver, delivered, table

NOW = datetime(2025, 1, 1, tzinfo=UTC)
NEXT = FIRST + timedelta(days=DAYS)
MONITORED: dict[str, Mapping[str, Any]] = {"performance": {"min_days": 2, "window_days": 4}, "retrain": {}, "land": {}}


def prepared(tmp_path: Path, *, every_days: int = 1, days: int = DAYS + 6, **sections: Mapping[str, Any]) -> World:
    world = delivered(tmp_path, every_days=every_days, days=days)
    world.params.update(MONITORED)
    return world.having(**sections)


def trained_on(world: World, last: date) -> World:
    seed.run(FIRST, last, settings=world.settings, services=world.services)
    assert world.retrain().promoted
    return world


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    return trained_on(prepared(tmp_path_factory.mktemp("orders")), NEXT - timedelta(days=1))


@pytest.fixture
def orders(once: World, tmp_path: Path) -> World:
    """Copy a world in which version 1 serves, and its source."""
    shutil.copytree(Path(once.params["source"]["inputs"]).parent, tmp_path / "delivered")
    patterns = {name: str(tmp_path / "delivered" / f"{name}-{{day}}.parquet") for name in ("inputs", "labels")}
    return once.copied_to(tmp_path / "home").having(source={"kind": "files", **patterns})


def folder(world: World) -> Path:
    return Path(world.params["source"]["inputs"]).parent


def later(days: int) -> date:
    return NEXT + timedelta(days=days)


def served(world: World, day: date) -> pd.DataFrame:
    world.ingest(day, now=NOW)
    return pd.read_parquet(world.score(day)[1].uri)


class TestEmptyDays:
    def test_a_day_without_rows_or_without_a_file_is_an_error_unless_it_is_declared(self, orders: World) -> None:
        deliver(folder(orders), NEXT, table(NEXT).head(0))
        with pytest.raises((DataRejected, MissingArtifact)):
            orders.ingest(NEXT, now=NOW)
        (folder(orders) / f"inputs-{NEXT}.parquet").unlink()
        with pytest.raises(MissingArtifact, match="set land.empty_days"):
            orders.ingest(NEXT, now=NOW)

    def test_declared_ones_are_skipped_and_one_more_in_a_row_is_a_feed_that_stands_still(self, orders: World) -> None:
        world = orders.having(land={"empty_days": 2})
        deliver(folder(world), NEXT, table(NEXT).head(0))
        for day in (later(1), later(2)):
            (folder(world) / f"inputs-{day}.parquet").unlink()
        for number, day in enumerate((NEXT, later(1)), start=1):
            ingested = world.ingest(day, now=NOW)
            assert ingested.rest.startswith(f"no data came on {day:%A} {day}, day {number} in a row of the 2")
            with pytest.raises(NoDataExpected, match="so there is nothing to score"):
                world.run(resolve, day)
        with pytest.raises(MissingArtifact, match=f"{later(2)}"):
            world.ingest(later(2), now=NOW)
        assert len(served(world, later(3))) == ROWS
        champion = world.run(resolve, later(3))
        drift, performance = world.run(measure_drift, champion), world.run(measure_performance, champion)
        assert drift.status == "calm", drift.reason
        decision = world.run(decide, champion, drift, performance)
        assert f"data of {later(2)} are rejected or missing" in str(decision.reasons) or decision.action == "nothing"


def test_data_of_one_day_a_week_are_monitored_by_weeks(tmp_path: Path) -> None:
    weekly = {"every_days": 7, "catch_up_days": 7, "calendar": "daily"}
    world = prepared(tmp_path, every_days=7, days=DAYS + 4, land=weekly)
    world.params["screen"] = {"recent_days": 56}
    last = FIRST + timedelta(days=7 * (DAYS - 1))
    trained_on(world, last + timedelta(days=1))  # its labels come a day later
    weeks = [last + timedelta(days=7 * n) for n in (1, 2, 3)]
    for week in weeks:
        moved = table(week).assign(weight=lambda frame: frame["weight"] * 3)
        deliver(folder(world), week, moved)
        served(world, week)
        assert world.ingest(week + timedelta(days=1), now=NOW).rest.endswith("(land.every_days is 7)")
    decisions = []
    for week in weeks:
        champion = world.run(resolve, week)
        drift, performance = world.run(measure_drift, champion), world.run(measure_performance, champion)
        assert drift.current_rows == 7 * ROWS, "a window has as many days with data as elsewhere"
        decisions.append(world.run(decide, champion, drift, performance))
    assert performance.window_days == 2 and performance.status != "unknown", performance.reason
    assert decisions[-1].alarm and "drift on" in str(decisions[-1].reasons)


def test_labels_of_the_day_itself_are_used_from_the_next_day_on(tmp_path: Path) -> None:
    world = prepared(tmp_path, task={"label_delay_days": 0})
    trained_on(world, NEXT - timedelta(days=1))
    for day in (NEXT, later(1), later(2)):
        assert world.ingest(day, now=NOW).labelled_rows >= ROWS
        world.score(day)
    performance = world.run(measure_performance, world.run(resolve, later(2)))
    assert (performance.labelled_day, performance.window_days) == (later(1), 2)
    assert performance.status == "fine", performance.reason


def test_labels_that_trickle_in_are_measured_again_as_they_grow(orders: World) -> None:
    world = orders.having(land={"catch_up_days": 3})
    whole = table(NEXT)[[*KEY, "amount"]]
    path = folder(world) / f"labels-{NEXT}.parquet"
    coverages, rows = [], []
    served(world, NEXT)
    for number, share in enumerate((0.3, 0.7, 1.0), start=1):
        whole.head(int(ROWS * share)).to_parquet(path)
        served(world, later(number))
        performance = world.run(measure_performance, world.run(resolve, later(number)))
        coverages.append(performance.label_coverage)
        rows.append(len(world.held("labels", NEXT)))
    assert rows == [int(ROWS * share) for share in (0.3, 0.7, 1.0)]
    assert coverages == sorted(coverages) and coverages[-1] == 1.0 and coverages[0] == pytest.approx(0.3)


class TestACorrectedDay:
    def test_ingesting_it_again_is_a_new_version_and_it_is_scored_again(self, orders: World) -> None:
        before, head = served(orders, NEXT), orders.services.registry.head()
        orders.ingest(later(1), now=NOW)
        heavier = table(NEXT).assign(weight=lambda frame: frame["weight"] + 5)
        deliver(folder(orders), NEXT, heavier)
        orders.ingest(later(2), now=NOW)
        unchanged = orders.held("inputs", NEXT)["weight"]
        assert (unchanged == table(NEXT)["weight"]).all(), "nobody asks for the inputs of a past day by itself"
        again = served(orders, NEXT)
        assert orders.services.registry.head() != head
        assert (orders.held("inputs", NEXT)["weight"] == heavier["weight"]).all()
        assert (again["prediction"] > before["prediction"] + 10).all()
        assert len(orders.held("labels", NEXT)) == ROWS, "its labels are judged again and stay"

    def test_rows_that_are_taken_out_of_it_take_their_labels_along(self, orders: World) -> None:
        served(orders, NEXT)
        orders.ingest(later(1), now=NOW)
        table(NEXT).drop(columns="amount").head(100).to_parquet(folder(orders) / f"inputs-{NEXT}.parquet")
        assert len(served(orders, NEXT)) == 100
        performance = orders.run(measure_performance, orders.run(resolve, later(1)))
        assert (performance.labelled_day, performance.rows) == (NEXT, 100), "labels without inputs are nobody's"
