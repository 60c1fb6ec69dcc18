"""Drift that comes by HTTP only is seen where monitoring reads the request log, and nothing of it where it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from ml.records import DriftReport
from ml.steps.monitor import measure_drift
from ml.steps.score import resolve
from tests.steps.conftest import NEXT_DAY, World
from tests.steps.test_measure_drift import DEMO, bring
from tests.steps.test_serving import Asked, as_records

DAYS = [NEXT_DAY + timedelta(days=n) for n in range(3)]
MONITORED = DAYS[-1] + timedelta(days=1)
ON_REQUESTS = {"drift": {"rows_from": "requests"}}
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def world(trained: World) -> World:
    """The days are in the registry as they came, their labels are not."""
    bring(trained, MONITORED)
    return trained.having(serving={"missing_labels": "flag"})


def ask(world: World, change: Change = lambda frame: frame) -> list[list[float]]:
    """Send the rows of each day over HTTP, changed on their way; give the answers by day."""
    service = Asked(world)
    answers = []
    for day in DAYS:
        rows: list[dict[str, Any]] = as_records(change(DEMO.inputs(day)))
        answers.append(service.predict(rows))
        service.model.log.flush()
    return answers


def measured(world: World) -> DriftReport:
    report: DriftReport = world.run(measure_drift, world.run(resolve, MONITORED))
    return report


def twice_as_far(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=frame["distance"] * 2 + 900)


def test_what_moved_in_requests_only_is_found_in_requests_only(world: World) -> None:
    ask(world, twice_as_far)
    batch, requested = measured(world), measured(world.having(**ON_REQUESTS))
    assert (batch.day, requested.day) == (MONITORED, MONITORED)
    moved = {column.column: column for column in requested.columns}["distance"]
    assert moved.score is not None and moved.limit is not None and moved.score > moved.limit
    assert requested.status == "drift" and "distance" in requested.reason
    stayed = {column.column: column for column in batch.columns}["distance"]
    assert stayed.score is not None and stayed.limit is not None and stayed.score <= stayed.limit
    assert "distance" not in batch.reason


def test_traffic_like_the_batch_reads_like_the_batch(world: World) -> None:
    answers = ask(world)
    ask(world)  # the same keys again count once
    batch, requested = measured(world), measured(world.having(**ON_REQUESTS))
    assert requested.current_rows == sum(map(len, answers))
    assert batch.current_rows > requested.current_rows, (
        "the monitored day itself is in the batch, its traffic is not over"
    )
    by_column = {column.column: column.score for column in requested.columns}
    assert by_column.keys() == {column.column for column in batch.columns} | {"prediction"}
    assert by_column["prediction"] is not None
    assert "distance" not in requested.reason


def test_without_requests_it_is_unknown_and_not_calm(world: World) -> None:
    report = measured(world.having(**ON_REQUESTS))
    assert (report.status, report.day) == ("unknown", MONITORED)
    assert report.current_rows == 0
    assert not [finding for finding in report.findings if finding.severity == "alarm"]


def test_a_fault_of_the_newest_day_of_requests_is_found_at_once(world: World) -> None:
    newest = DAYS[-1].isoformat()
    ask(world, lambda frame: frame.assign(carrier=frame["carrier"].where(frame["day"] != newest)))
    report = measured(world.having(**ON_REQUESTS))
    (fault,) = [finding for finding in report.findings if finding.column == "carrier" and finding.at_once]
    assert fault.severity == "alarm"
    assert report.status == "drift"
