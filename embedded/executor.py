"""Airflow's executor for one machine, at whose pace the scheduler looks for work.

The scheduler looks again after ``scheduler_idle_sleep_time``. Ten looks a second let one task follow another at once,
and take a tenth of a core for ever; two looks a second take a fiftieth, and up to half a second passes between two
tasks. An executor is asked at each look, and knows when tasks begin and end: where none has for a while, it waits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor

REST_SECONDS = 0.4
"""So long each look takes while nothing begins or ends."""
BUSY_SECONDS = 10.0
"""So long after a task has begun or ended another one may follow: of its run, or of a run that it was the cause of."""


class RestingExecutor(LocalExecutor):
    """Airflow's `LocalExecutor`, which waits at each look when no task has begun or ended for `BUSY_SECONDS`."""

    _busy_at = float("-inf")

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._busy_at = time.monotonic()
        super()._process_workloads(workload_list)

    def change_state(self, *args: Any, **options: Any) -> None:
        """Note that a task has ended, as `LocalExecutor` says it."""
        self._busy_at = time.monotonic()
        super().change_state(*args, **options)

    def sync(self) -> None:
        """Take the results of tasks, then wait if nothing happens."""
        super().sync()
        if time.monotonic() - self._busy_at > BUSY_SECONDS:
            time.sleep(REST_SECONDS)
