"""The scheduler looks for work at the pace of its executor: quickly while tasks follow each other, else slowly."""

from __future__ import annotations

from collections.abc import Iterator
from pkgutil import resolve_name

import pytest
from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from embedded import executor
from embedded.config import Stack
from embedded.executor import BUSY_SECONDS, REST_SECONDS, RestingExecutor
from embedded.server_settings import airflow_settings

TASK = TaskInstanceKey("churn.ingest", "land", "a run")


class Clock:
    """Time that passes where somebody sleeps, and nowhere else."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(executor, "time", made)
    return made


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[RestingExecutor]:
    """Start an executor without workers: tasks are handed over to nobody."""
    monkeypatch.setattr(LocalExecutor, "_spawn_workers_with_gc_freeze", lambda *_: None)
    made = RestingExecutor(parallelism=1)
    made.start()
    yield made
    made.end()


def test_where_nothing_runs_each_look_waits(resting: RestingExecutor, clock: Clock) -> None:
    for _ in range(3):
        resting.heartbeat()
    assert clock.slept == pytest.approx(3 * REST_SECONDS)


def test_after_a_task_has_ended_the_next_one_is_looked_for_at_once_for_a_while(
    resting: RestingExecutor, clock: Clock
) -> None:
    resting.result_queue.put((TASK, TaskInstanceState.SUCCESS, None))
    while resting.result_queue.empty():  # a pipe hands it over a moment later
        continue
    resting.heartbeat()
    assert resting.get_event_buffer() == {TASK: (TaskInstanceState.SUCCESS, None)}
    clock.now += BUSY_SECONDS / 2
    resting.heartbeat()
    assert clock.slept == 0
    clock.now += BUSY_SECONDS
    resting.heartbeat()
    assert clock.slept == REST_SECONDS


def test_a_task_that_begins_ends_the_rest(resting: RestingExecutor, clock: Clock) -> None:
    resting._process_workloads([])
    resting.heartbeat()
    assert clock.slept == 0


def test_the_stack_names_it_to_airflow_and_looks_ten_times_a_second() -> None:
    keys = dict.fromkeys(("fernet_key", "secret_key", "jwt_secret"), "")
    settings = airflow_settings(Stack.load({}), keys)
    assert resolve_name(settings["core"]["executor"]) is RestingExecutor
    assert float(settings["scheduler"]["scheduler_idle_sleep_time"]) + REST_SECONDS == 0.5
