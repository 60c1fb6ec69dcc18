"""Where the parts of a large day are worked on: in this process, or by the workers of a cluster.

A function gets what all parts share and one part, and yields results; an engine calls it for each part and yields the
results in the order of the parts. So the function decides what comes out, and the engine only where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ml.core.scoring import shards
from ml.core.scoring.shards import Rows

S = TypeVar("S")
R = TypeVar("R")


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


Work = Callable[[S, Part], Iterable[R]]
"""A function of a module, which workers import by its name; it writes nothing that outlives it."""


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


class LocalEngine:
    """Work on one part after the other, in this process; results come while the function runs."""

    rows_per_part: int | None = None

    def map(self, function: Work[S, R], parts: Iterable[Part], *, shared: S) -> Iterator[R]:
        """Yield what a function yields for each part, in the order of the parts."""
        for part in parts:
            yield from function(shared, part)


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
