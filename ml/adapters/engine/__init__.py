"""Where the parts of a large day are worked on: in this process, or by the workers of a cluster.

A function gets what all parts share and one part, and yields results; an engine calls it for each part and yields the
results in the order of the parts. So the function decides what comes out, and the engine only where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ml.core.scoring import shards
from ml.core.scoring.shards import Rows
from ml.errors import EvergreenError

S = TypeVar("S")
R = TypeVar("R")
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class FileRows:
    """Some rows of a Parquet file, of some columns; None means all.

    A worker of a cluster gets a file of its own in which only the row groups with these rows, and only these columns,
    are filled in: all else that the footer speaks of is not there, and must not be read.
    """

    path: Path
    rows: Rows | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """One piece of work: its own facts, which can be pickled, and the files that it reads."""

    facts: Any
    files: tuple[FileRows, ...] = ()
    arrays: Sequence[np.ndarray] = ()
    """Arrays that are read one at a time, each anew whenever it is asked for: of `Engine.together` alone."""


Work = Callable[[S, Part], Iterable[R]]
"""A function of a module, which workers import by its name; it writes nothing that outlives it."""


Place = Mapping[str, Any]
"""What each of several that work together has to know to reach the others; can be pickled."""
Meeting = Callable[[str, int], AbstractContextManager[Place]]
"""A function of a module: at an address of the machine that it runs on, lets so many find each other while it lasts."""
Joint = Callable[[S, Part, Place], R]
"""A function of a module that works on its part together with those that work on the others."""


class Engine(Protocol):
    """Work on parts, wherever that is."""

    rows_per_part: int | None
    """How many rows a part of a table should have; None where cutting gains nothing."""

    def map(self, function: Work[S, R], parts: Iterable[Part], *, shared: S) -> Iterator[R]:
        """Yield what a function yields for each part, in the order of the parts.

        Whatever the function raises is raised here as it is.

        Raises
        ------
        Unavailable
            If the workers cannot be reached, or part after part is lost with its worker.
        """
        ...

    def together(
        self, function: Joint[S, R], parts: Sequence[Part], *, shared: S, meeting: Meeting, threads: int
    ) -> list[R]:
        """Work on all parts at the same time, each with so many threads; return what came of each, in their order.

        If one fails, all end, and what it raised is raised here as it is.

        Raises
        ------
        Unavailable
            If there are not as many processors, the workers cannot be reached, or one of them is lost.
        """
        ...


class LocalEngine:
    """Work on one part after the other, in this process; results come while the function runs."""

    rows_per_part: int | None = None

    def map(self, function: Work[S, R], parts: Iterable[Part], *, shared: S) -> Iterator[R]:
        """Yield what a function yields for each part, in the order of the parts."""
        for part in parts:
            yield from function(shared, part)

    def together(
        self, function: Joint[S, R], parts: Sequence[Part], *, shared: S, meeting: Meeting, threads: int
    ) -> list[R]:
        """Work on all parts at the same time, in threads of this process, which may be more than it has processors."""
        with meeting(LOOPBACK, len(parts)) as place, ThreadPoolExecutor(len(parts)) as pool:
            running = [pool.submit(function, shared, part, place) for part in parts]
            wait(running)
        if errors := [err for one in running if (err := one.exception()) is not None]:
            raise first_cause(errors)
        return [one.result() for one in running]


def first_cause(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that made the others fail: of ours or of Python before one that says that a peer has gone."""
    return next((err for err in errors if isinstance(err, EvergreenError | OSError | MemoryError)), errors[0])


LOCAL: Engine = LocalEngine()


def cut(engine: Engine, rows: int, *, multiple_of: int) -> tuple[Rows, ...]:
    """Cut a table into the parts that an engine wants: at least one, each but the last a multiple of so many rows.

    Examples
    --------
    >>> [str(part) for part in cut(LOCAL, 2500, multiple_of=500)]
    ['rows 0 to 2,499']
    """
    if engine.rows_per_part is None:
        return (Rows(0, rows),)
    return shards.cut(rows, rows_per_shard=engine.rows_per_part, batch_rows=multiple_of)
