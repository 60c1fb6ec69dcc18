"""What the launcher does next, for every state that it can see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

from embedded import loop
from embedded.airflow_api import AirflowApi, Dag, Run

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = "2026-11-21"
READY = loop.Seen(model="churn", champion=1, runs=(), ingest_paused=False, next_ingest_at=NOW + timedelta(hours=9))
NOBODY = replace(READY, champion=None)


def run(verb: str, state: str, *, key: str | None = DAY, run_id: str = "r") -> Run:
    return Run(f"churn.{verb}", run_id, state, key)


def training(state: str, run_id: str = "first-champion") -> Run:
    return run("retrain", state, key=None, run_id=run_id)


def test_without_a_champion_training_is_asked_for() -> None:
    assert loop.next_move(NOBODY, NOW) == loop.Trigger("first-champion")


@pytest.mark.parametrize(("state", "run_id"), [("running", "first-champion"), ("failed", "first-champion-2")])
def test_a_training_that_works_is_continued_and_one_that_ended_is_tried_anew(state: str, run_id: str) -> None:
    assert loop.next_move(replace(NOBODY, runs=(training(state),)), NOW) == loop.Trigger(run_id)


def test_a_training_is_waited_for_counted_or_reported() -> None:
    following = replace(NOBODY, following="first-champion")
    assert isinstance(loop.next_move(following, NOW), loop.Wait)
    assert isinstance(loop.next_move(replace(following, runs=(training("running"),)), NOW), loop.Wait)
    assert loop.next_move(replace(following, runs=(training("success"),)), NOW) == loop.Recount("first-champion")
    assert isinstance(loop.next_move(replace(following, runs=(training("failed"),)), NOW), loop.Failed)


def test_ingest_starts_once_somebody_serves() -> None:
    assert loop.next_move(replace(READY, ingest_paused=True), NOW) == loop.UnpauseIngest()


def test_an_ingest_that_is_still_due_is_waited_for_though_an_older_day_is_complete() -> None:
    old = tuple(run(dag_id, "success", key="2026-11-20") for dag_id in ("ingest", "score", "monitor"))
    seen = replace(READY, runs=old, next_ingest_at=NOW - timedelta(hours=1))
    assert isinstance(loop.next_move(seen, NOW), loop.Wait)
    assert isinstance(loop.next_move(replace(seen, next_ingest_at=None), NOW), loop.Wait)


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("dag_id", ["ingest", "score", "monitor"])
def test_what_still_works_is_waited_for(dag_id: str, state: str) -> None:
    runs = [run(name, state if name == dag_id else "success") for name in ("ingest", "score", "monitor")]
    assert isinstance(loop.next_move(replace(READY, runs=tuple(runs)), NOW), loop.Wait)


@pytest.mark.parametrize("dag_id", ["ingest", "score", "monitor"])
def test_what_failed_is_named(dag_id: str) -> None:
    runs = [run(name, "failed" if name == dag_id else "success") for name in ("ingest", "score", "monitor")]
    move = loop.next_move(replace(READY, runs=tuple(runs)), NOW)
    assert isinstance(move, loop.Failed)
    assert move.run is not None
    assert move.run.dag_id == f"churn.{dag_id}"


def test_consumers_of_another_day_do_not_count() -> None:
    runs = (run("ingest", "success"), run("score", "success", key="2026-11-20"), run("monitor", "success"))
    assert isinstance(loop.next_move(replace(READY, runs=runs), NOW), loop.Wait)


def test_the_loop_is_done_when_all_three_of_one_day_are() -> None:
    runs = tuple(run(dag_id, "success") for dag_id in ("ingest", "score", "monitor"))
    assert loop.next_move(replace(READY, runs=runs), NOW) == loop.Done(*runs)


def test_a_day_without_data_closes_the_loop_and_is_not_waited_for() -> None:
    seen = replace(READY, runs=(run("ingest", "success"),), committed="skipped")
    assert loop.next_move(seen, NOW) == loop.Rest(run("ingest", "success"))


def test_rejected_labels_do_not_keep_a_day_from_being_scored_and_told_so() -> None:
    runs = tuple(run(name, "failed" if name == "ingest" else "success") for name in ("ingest", "score", "monitor"))
    assert isinstance(loop.next_move(replace(READY, runs=runs, committed="success"), NOW), loop.Done)
    for committed in ("failed", "upstream_failed", None):
        assert isinstance(loop.next_move(replace(READY, runs=runs, committed=committed), NOW), loop.Failed)


@pytest.mark.parametrize(("state", "asked"), [("success", 1), ("failed", 1), ("running", 0)])
def test_the_task_that_commits_is_looked_at_once_the_newest_ingest_has_ended(state: str, asked: int) -> None:
    api = mock.create_autospec(AirflowApi, instance=True)
    api.dags.return_value = {
        "churn.ingest": Dag("churn.ingest", paused=False),
        "other.ingest": Dag("other.ingest", paused=True),
    }
    api.runs.return_value = (run("ingest", "success", key="2026-11-20"), run("ingest", state), run("score", "success"))
    api.tasks.return_value = {"land": "success", "commit": "skipped"}
    seen = loop.look(api, "churn", champion=1, following=None)
    assert (seen.model, seen.ingest_paused) == ("churn", False)
    api.runs.assert_called_once_with(model="churn")
    assert seen.committed == ("skipped" if asked else None)
    assert api.tasks.call_args_list == [mock.call(run("ingest", state))] * asked
