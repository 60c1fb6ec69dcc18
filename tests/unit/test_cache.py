"""What a page remembers for a moment: computed once for callers at once, forgotten in time, and nothing left behind."""

from __future__ import annotations

import threading
import time

import pytest

from ml.views.page.cache import MISSING, Memory


def test_of_callers_at_once_one_computes() -> None:
    memory, calls, answers = Memory(), [], []
    start = threading.Barrier(8)

    def compute() -> int:
        calls.append(1)
        time.sleep(0.1)
        return 7

    def ask() -> None:
        start.wait()
        answers.append(memory.remembered("key", 60, compute))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), answers) == (1, [7] * 8)


def test_each_thing_is_remembered_for_as_long_as_was_said() -> None:
    memory = Memory()
    memory.keep("short", 1, 0.05)
    memory.keep("long", 2, 60)
    assert (memory.recall("short"), memory.recall("long")) == (1, 2)
    time.sleep(0.1)
    assert (memory.recall("short"), memory.recall("long")) == (MISSING, 2)
    assert memory.remembered("short", 60, lambda: 3) == 3


def test_one_thing_may_need_another_and_what_fails_is_asked_again() -> None:
    memory = Memory()

    def fail() -> int:
        raise ValueError("no answer")

    assert memory.remembered("outer", 60, lambda: memory.remembered("inner", 60, lambda: 1) + 1) == 2
    with pytest.raises(ValueError, match="no answer"):
        memory.remembered("failed", 60, fail)
    assert memory.remembered("failed", 60, lambda: 5) == 5
    memory.forget()
    assert memory.recall("outer") is MISSING


def test_nothing_is_left_of_things_that_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.views.page.cache.MOST", 10)
    memory = Memory()
    for number in range(1000):
        memory.remembered(number, 60, lambda number=number: number)
    held = [value for value in vars(memory).values() if hasattr(value, "__len__")]
    assert [len(value) for value in held] == [10]
