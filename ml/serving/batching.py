"""Predict requests that come at the same time together: one row costs nearly what a thousand cost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ml.serving import metrics
from ml.serving.day_lookup import ScorableDay
from ml.serving.problems import Refused

logger = logging.getLogger(__name__)
Predict = Callable[[ScorableDay, pa.Table, bool], Any]


@dataclass(eq=False)
class Job:
    """Rows of one request and one day, and where their answer is awaited."""

    day: ScorableDay
    table: pa.Table
    explained: bool
    answer: asyncio.Future[Any] = field(repr=False)


class Batcher:
    """A queue of bounded length, emptied by one thread, as many rows at once as are there.

    Parameters
    ----------
    predict
        Predicts the rows of one day; returns what `split` takes apart.
    split
        Gives the part of an answer that belongs to some rows: the answer, the first row, and the number of rows.
    """

    def __init__(
        self,
        model: str,
        executor: Executor,
        predict: Predict,
        split: Callable[[Any, int, int], Any],
        *,
        queue_rows: int,
        batch_rows: int,
        wait_seconds: float,
    ) -> None:
        self.model, self.executor, self.predict, self.split = model, executor, predict, split
        self.queue_rows, self.batch_rows, self.wait_seconds = queue_rows, batch_rows, wait_seconds
        self._waiting: deque[Job] = deque()
        self._rows = 0
        self._emptying: asyncio.Task[None] | None = None
        self._queue_gauge = metrics.QUEUE_ROWS.labels(model)
        self._batch_histogram = metrics.BATCH_ROWS.labels(model)

    async def submit(self, day: ScorableDay, table: pa.Table, *, explained: bool) -> Any:
        """Predict rows of a day, together with those of others.

        Raises
        ------
        Refused
            With 503 while too many rows wait.
        """
        if self._rows and self._rows + table.num_rows > self.queue_rows:
            metrics.REJECTED.labels(self.model, "queue_full").inc()
            raise Refused(503, f"{self._rows} rows wait to be predicted; try again in a moment", retry_after=1)
        job = Job(day, table, explained, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._count(table.num_rows)
        if self._emptying is None or self._emptying.done():
            self._emptying = asyncio.create_task(self._empty())
        try:
            return await job.answer
        finally:
            if not job.answer.done() or job.answer.cancelled():
                self._give_up(job)

    def _give_up(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            self._count(-job.table.num_rows)

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._queue_gauge.set(self._rows)

    async def _empty(self) -> None:
        while self._waiting:
            if self.wait_seconds:
                await asyncio.sleep(self.wait_seconds)
            jobs = self._take()
            if not jobs:
                continue
            rows = sum(job.table.num_rows for job in jobs)
            self._count(-rows)
            self._batch_histogram.observe(rows)
            await self._answer(jobs)

    def _take(self) -> list[Job]:
        """Take the oldest job and those like it, up to ``batch_rows`` rows: of the same day, explained or not."""
        if not self._waiting:
            return []
        first = self._waiting[0]
        jobs, rows, others = list[Job](), 0, deque[Job]()
        while self._waiting:
            job = self._waiting.popleft()
            alike = job.day is first.day and job.explained == first.explained
            if alike and (not jobs or rows + job.table.num_rows <= self.batch_rows):
                jobs.append(job)
                rows += job.table.num_rows
            else:
                others.append(job)
        self._waiting = others
        return jobs

    async def _answer(self, jobs: list[Job]) -> None:
        loop, first = asyncio.get_running_loop(), jobs[0]
        table = first.table if len(jobs) == 1 else pa.concat_tables([job.table for job in jobs])
        try:
            answer = await loop.run_in_executor(self.executor, self.predict, first.day, table, first.explained)
        except Exception as err:  # noqa: BLE001  whatever it is, it is the answer of whoever asked
            if len(jobs) > 1:  # one of them may be at fault: each by itself
                for job in jobs:
                    await self._answer([job])
                return
            if not first.answer.done():
                first.answer.set_exception(err)
            return
        start = 0
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(self.split(answer, start, job.table.num_rows))
            start += job.table.num_rows
