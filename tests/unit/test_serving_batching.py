"""Requests that come together are predicted together, and a full queue is refused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from ml.serving.batching import Batcher
from ml.serving.problems import Refused

DAY: Any = object()
OTHER_DAY: Any = object()


def rows(*values: int) -> pa.Table:
    return pa.table({"value": list(values)})


class Counted:
    """Doubles values, and notes how many rows came at once; waits for ``gate`` first."""

    def __init__(self) -> None:
        self.sizes: list[tuple[Any, int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, day: Any, table: pa.Table, explained: bool) -> list[int]:
        assert self.gate.wait(10)
        self.sizes.append((day, table.num_rows))
        values = table["value"].to_pylist()
        if -1 in values:
            raise ValueError("a bad row")
        return [2 * value for value in values]


def batcher(predict: Counted, **options: Any) -> Batcher:
    given = {"queue_rows": 100, "batch_rows": 50, "wait_seconds": 0.0} | options
    return Batcher(
        "m", ThreadPoolExecutor(1), predict, lambda answer, first, count: answer[first : first + count], **given
    )


async def all_of(one: Batcher, predict: Counted, *tables: pa.Table, days: Any = None) -> list[Any]:
    """Let the first be predicted while the others come."""
    predict.gate.clear()
    asked = []
    for number, table in enumerate(tables):
        day = DAY if days is None else days[number]
        asked.append(asyncio.create_task(one.submit(day, table, explained=False)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    predict.gate.set()
    return await asyncio.gather(*asked, return_exceptions=True)


def test_what_comes_while_others_are_predicted_is_predicted_together_and_each_gets_its_own() -> None:
    predict = Counted()
    answers = asyncio.run(all_of(batcher(predict), predict, rows(1), rows(2, 3), rows(4), rows(5)))
    assert answers == [[2], [4, 6], [8], [10]]
    assert predict.sizes == [(DAY, 1), (DAY, 4)]


def test_rows_of_different_days_are_never_predicted_together() -> None:
    predict = Counted()
    tables, days = [rows(1), rows(2), rows(3), rows(4)], [DAY, DAY, OTHER_DAY, DAY]
    assert asyncio.run(all_of(batcher(predict), predict, *tables, days=days)) == [[2], [4], [6], [8]]
    assert predict.sizes == [(DAY, 1), (DAY, 2), (OTHER_DAY, 1)]


def test_a_batch_has_a_bound_but_a_larger_request_is_one_all_the_same() -> None:
    predict = Counted()
    answers = asyncio.run(
        all_of(batcher(predict, batch_rows=3), predict, rows(0), rows(1, 2), rows(3, 4), rows(*range(5)))
    )
    assert answers == [[0], [2, 4], [6, 8], [0, 2, 4, 6, 8]]
    assert [size for _, size in predict.sizes] == [1, 2, 2, 5]


def test_a_request_that_fails_fails_alone() -> None:
    predict = Counted()
    first, second, bad, last = asyncio.run(all_of(batcher(predict), predict, rows(1), rows(2), rows(-1), rows(3)))
    assert (first, second, last) == ([2], [4], [6])
    assert isinstance(bad, ValueError)


def test_a_full_queue_is_refused_with_the_time_to_come_again() -> None:
    predict = Counted()
    answers = asyncio.run(all_of(batcher(predict, queue_rows=4), predict, rows(0), rows(1, 2), rows(3, 4), rows(5)))
    refused = answers.pop(-1)
    assert answers == [[0], [2, 4], [6, 8]]
    assert isinstance(refused, Refused)
    assert (refused.status, refused.headers()) == (503, {"Retry-After": "1"})


def test_who_gives_up_waiting_makes_room() -> None:
    predict = Counted()

    async def give_up() -> list[int]:
        one = batcher(predict, queue_rows=2)
        predict.gate.clear()
        first = asyncio.create_task(one.submit(DAY, rows(1), explained=False))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await one.submit(DAY, rows(2, 3), explained=False)
        last = asyncio.create_task(one.submit(DAY, rows(4, 5), explained=False))
        await asyncio.sleep(0)
        predict.gate.set()
        return [*await first, *await last]

    assert asyncio.run(give_up()) == [2, 8, 10]
    assert predict.sizes == [(DAY, 1), (DAY, 2)]
