"""Functions that the tests of engines let workers call: a worker imports them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml.adapters.engine import Part
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
