"""A matrix that a model is fitted on, as a file on the local disk: written part by part, and read the same way."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np

from ml.disk import full, naming_full_disk

VALUE = np.dtype("float32")
"""What both libraries of boosted trees compute with, whatever they are given."""
Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Features of shape (n_rows, n_features), target and weight of shape (n_rows,)."""


class MatrixFile:
    """Features, target and weight of rows, as float32; a context manager while it is written.

    Parameters
    ----------
    path
        A file that is not there yet.
    rows
        How many are going to be written: a disk without room for them is named before the first.

    Raises
    ------
    Unavailable
        If the disk has no room for so many rows.
    """

    def __init__(self, path: Path, *, features: int, rows: int) -> None:
        self.path, self.features, self.rows = path, features, 0
        needed, free = rows * (features + 2) * VALUE.itemsize, shutil.disk_usage(path.parent).free
        if needed > free:
            raise full(
                path.parent, f"fit.stream writes {needed / 1e9:.1f} GB of it there, and {free / 1e9:.1f} GB are free"
            )
        self._file = path.open("wb")

    def append(self, features: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        """Add rows below those that are there."""
        whole = np.empty((len(features), self.features + 2), dtype=VALUE)
        whole[:, :-2], whole[:, -2], whole[:, -1] = features, target, weight
        with naming_full_disk(self.path):
            whole.tofile(self._file)
        self.rows += len(features)

    def __enter__(self) -> MatrixFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming_full_disk(self.path):
            self._file.close()

    def parts(self, rows_at_once: int, order: Sequence[int] | None = None) -> Iterator[Part]:
        """Read ``rows_at_once`` rows after the others, the last time fewer.

        Parameters
        ----------
        order
            The numbers of the parts, in the order in which they are read; None means from the first on.
        """
        wide = self.features + 2
        with self.path.open("rb") as file:
            for number in range(self.count(rows_at_once)) if order is None else order:
                first = number * rows_at_once
                file.seek(first * wide * VALUE.itemsize)
                count = min(rows_at_once, self.rows - first)
                whole = np.fromfile(file, dtype=VALUE, count=count * wide).reshape(count, wide)
                yield whole[:, :-2], whole[:, -2], whole[:, -1]

    def count(self, rows_at_once: int) -> int:
        """Return in how many parts of so many rows it is read."""
        return -(-self.rows // rows_at_once)

    def pages(self, rows_at_once: int, first: int = 0, rows: int | None = None) -> MatrixPages:
        """Return some rows, None means all others, as a sequence of pages, each read when it is asked for."""
        rows = self.rows - first if rows is None else rows
        return MatrixPages(self.path, self.features + 2, first, rows, rows_at_once)

    def rows_in(self, size: int) -> int:
        """Return how many rows so many bytes hold, at least one."""
        return max(size // (VALUE.itemsize * (self.features + 2)), 1)

    def mapped(self) -> np.ndarray:
        """Return all rows, features first, as an array that the system reads from the file when it is asked for."""
        return np.memmap(self.path, dtype=VALUE, mode="r", shape=(self.rows, self.features + 2))


@dataclass(frozen=True)
class MatrixPages(Sequence[np.ndarray]):
    """Rows of a matrix, ``rows_at_once`` a page: arrays of shape (n_rows, n_features + 2), target and weight last."""

    path: Path
    width: int
    first: int
    rows: int
    rows_at_once: int

    def __len__(self) -> int:
        return math.ceil(self.rows / self.rows_at_once)

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, number: slice) -> list[np.ndarray]: ...

    def __getitem__(self, number: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        begin = number * self.rows_at_once
        count = min(self.rows_at_once, self.rows - begin)
        offset = (self.first + begin) * self.width * VALUE.itemsize
        return np.fromfile(self.path, dtype=VALUE, count=count * self.width, offset=offset).reshape(count, self.width)
