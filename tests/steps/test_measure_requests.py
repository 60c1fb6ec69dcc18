"""Answers on request meet their labels: each key once, by the version that answered it first."""

from __future__ import annotations

import pandas as pd
import pytest

from ml.core.metrics import measure
from ml.records import RequestPerformance, RollbackRequest
from ml.serving import request_log
from ml.steps import rollback
from ml.steps.monitor import measure_requests
from ml.steps.retrain import promote
from ml.steps.score import resolve
from ml.views import page as overview
from ml.views.loop_metrics import samples
from ml.views.page.cache import MEMORY
from ml.views.page.served import performance
from tests.steps.conftest import LAST_DAY, NEXT_DAY, Contest, World
from tests.steps.test_serving import Asked, as_records


def measured(world: World) -> RequestPerformance:
    """Measure on the day after the newest one, whose labels have come by then."""
    report: RequestPerformance = world.run(measure_requests, world.run(resolve, NEXT_DAY))
    return report


@pytest.fixture
def world(trained: World) -> World:
    trained.ingest(NEXT_DAY)
    return trained


def test_labels_that_arrive_later_meet_what_was_answered(world: World) -> None:
    service, rows = Asked(world), as_records(world.held("inputs", LAST_DAY))
    answered = service.predict(rows)
    service.predict(rows[:40])  # asked again: no key counts twice
    service.model.log.flush()
    report = measured(world)
    key, target = list(world.settings.task.key), world.settings.task.target
    labels = world.held("labels", LAST_DAY).dropna(subset=[target])
    expected = world.held("inputs", LAST_DAY)[key].assign(answer=answered).merge(labels, on=key)
    assert (report.asked, report.rows) == (len(rows), len(expected))
    (version,) = report.versions
    assert (version.version, version.days, version.rows) == (1, 1, len(expected))
    by_hand = measure(expected[target].astype(float), expected["answer"], "classification")
    assert {name: figure.value for name, figure in version.metrics.items()} == pytest.approx(by_hand, abs=1e-6)
    assert version.metrics["log_loss"].low is None, "one day says nothing of the luck of days"


def test_of_a_key_that_two_versions_answered_the_first_answer_counts(contest: Contest) -> None:
    world = contest.world
    world.ingest(NEXT_DAY)
    service, rows = Asked(world), as_records(world.held("inputs", LAST_DAY))
    service.predict(rows[:100])
    assert world.run(promote, contest.window, contest.judgement).promoted
    service.follower.look()
    service.predict(rows)
    service.model.log.flush()
    newest = service.ready()["version"]
    counted = {version.version: version.rows for version in measured(world).versions}
    labelled = world.held("inputs", LAST_DAY).merge(world.held("labels", LAST_DAY), on=list(world.settings.task.key))
    has_label = labelled[world.settings.task.target].notna()
    assert counted == {newest: int(has_label[100:].sum()), 1: int(has_label[:100].sum())}
    assert list(counted) == [newest, 1], "the newest version comes first"
    world.run(rollback, RollbackRequest(to_version=1, requested_by="a test", reason="to see"))
    service.follower.look()
    service.predict(rows[:150])
    service.model.log.flush()
    assert len(request_log.read(service.services, LAST_DAY)) == 250 + len(rows)
    assert {version.version: version.rows for version in measured(world).versions} == counted


def test_days_without_labels_wait_and_days_without_requests_are_no_error(world: World) -> None:
    empty = measured(world)
    assert (empty.asked, empty.versions) == (0, ()) and "no prediction was asked for" in empty.reason
    service = Asked(world)
    service.predict(as_records(world.held("inputs", NEXT_DAY)))
    service.model.log.flush()
    assert measured(world) == empty, "labels of the day itself have not come"


def test_the_page_and_the_metrics_have_what_was_measured(world: World) -> None:
    assert overview.served(world.services)["performance"] is None
    service = Asked(world)
    service.predict(as_records(world.held("inputs", LAST_DAY)))
    service.model.log.flush()
    report = measured(world)
    MEMORY.forget()
    facts = overview.served(world.services)["performance"]
    (version,) = facts["versions"]
    loss = next(figure for figure in version["figures"] if figure["name"] == "log_loss")
    assert (facts["rows"], version["rows"], loss["label"]) == (report.rows, report.rows, "log loss")
    now = overview.now(world.services, today=pd.Timestamp(f"{NEXT_DAY}T12:00Z").to_pydatetime())
    exported = {
        (sample.name, sample.labels.get("metric"), sample.labels.get("version")): sample.value
        for sample in samples(now, None, {}, None, performance(world.services))
    }
    assert exported["evergreen_request_metric", "log_loss", "1"] == loss["value"]
    assert exported["evergreen_request_labelled_rows", None, "1"] == report.rows


def test_a_window_with_more_labels_than_may_be_read_is_sampled_by_key(world: World) -> None:
    service, rows = Asked(world), as_records(world.held("inputs", LAST_DAY))
    service.predict(rows)
    service.model.log.flush()
    report = measured(world.having(performance={"max_rows": 700}))
    whole = measured(world)
    assert 0 < report.rows < whole.rows
