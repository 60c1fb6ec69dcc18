"""Functions that the tests of engines let workers call: a worker imports them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml.adapters.engine import Part, Place
from ml.errors import DataRejected


def doubled(shared: int, part: Part) -> Iterator[int]:
    yield shared * part.facts
    yield -shared * part.facts


def process(_: Any, part: Part) -> Iterator[int]:
    yield os.getpid()


def killed_once(folder: Path, part: Part) -> Iterator[int]:
    """Kill the own worker at the first attempt of each second part."""
    begun = folder / f"begun {part.facts}"
    if part.facts % 2 and not begun.exists():
        begun.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield part.facts


def killed_always(_: Any, part: Part) -> Iterator[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield 0


def rejected(_: Any, part: Part) -> Iterator[int]:
    if part.facts == 2:
        raise DataRejected("a part is bad", report_uri="s3://bucket/report.html", failures=({"column": "x"},))
    yield part.facts


def broken(_: Any, part: Part) -> Iterator[int]:
    yield 1 // part.facts


def slow(seconds: float, part: Part) -> Iterator[int]:
    time.sleep(seconds)
    yield part.facts


@contextmanager
def meeting(address: str, members: int) -> Iterator[Place]:
    yield {"address": address, "members": members}


def counted_together(shared: int, part: Part, place: Place) -> tuple[int, int, int, float]:
    """Return who worked, how many there are, and what its arrays add up to, read twice."""
    sums = [sum(float(array.sum()) for array in part.arrays) for _ in range(2)]
    assert sums[0] == sums[1]
    time.sleep(2)  # whoever comes later needs a process of its own
    return os.getpid(), place["members"], shared * part.facts, sums[0]


def rejected_by_one(_: Any, part: Part, place: Place) -> int:
    if part.facts == 1:
        raise DataRejected("a share is bad")
    time.sleep(1)
    raise RuntimeError("the other one has gone")


def killed_one(_: Any, part: Part, place: Place) -> int:
    if part.facts == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
    return 0
