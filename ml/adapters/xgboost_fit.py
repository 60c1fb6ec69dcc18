"""Fit XGBoost from a matrix on the disk: by one process, or by several that divide its rows among them.

Several add up the histograms of their rows, tree after tree, by the library's own collective operations; the bins are
those of one sample, which all of them have. So the model is that of one process but for the order in which numbers are
added up, and a given number of workers always gives the same one, on whatever machines they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ml.adapters.engine import Engine, Part, Place
from ml.adapters.matrix_file import MatrixFile

PAGE_BYTES = 64 << 20
"""So much of the matrix is one page of XGBoost's cache: small pages take time, large ones memory."""
FIND_SECONDS = 300
"""So long the workers of one fit have to find each other, imports included."""
ANSWER_SECONDS = 1800
"""So long a worker waits for the slowest other one, which may still be reading its rows."""


@dataclass(frozen=True)
class Recipe:
    """What all workers of a fit know.

    ``sample`` of shape (n_sampled, n_features) gives the bins, with ``sample_weights`` of shape (n_sampled,) where rows
    are weighted.
    """

    params: Mapping[str, Any]
    trees: int
    options: Mapping[str, Any]
    sample: np.ndarray
    sample_weights: np.ndarray | None

    def fit(self, pages: Sequence[np.ndarray], folder: Path) -> Any:
        """Return the booster that these rows give, together with those of the other workers where there are some."""
        xgboost = import_module("xgboost")
        reference = xgboost.QuantileDMatrix(self.sample, weight=self.sample_weights, **self.options)
        weighted = self.sample_weights is not None
        matrix = xgboost.ExtMemQuantileDMatrix(_pages(pages, folder, weighted=weighted), ref=reference, **self.options)
        del reference
        return xgboost.train(dict(self.params), matrix, num_boost_round=self.trees)


def fit(recipe: Recipe, file: MatrixFile, folder: Path, *, workers: int, threads: int, engine: Engine) -> Any:
    """Return the booster that all rows of a matrix give.

    Parameters
    ----------
    folder
        Of the local disk, for what a fit by one process keeps there meanwhile.
    workers
        Among how many the rows are divided; of few rows among fewer, so that each has some.
    threads
        How many each of them has.

    Raises
    ------
    Unavailable
        If the workers cannot be reached, or one of them was lost.
    """
    page_rows = file.rows_in(PAGE_BYTES)
    workers = max(min(workers, file.rows), 1)
    if workers == 1:
        return recipe.fit(file.pages(page_rows), folder)
    ends = [file.rows * number // workers for number in range(workers + 1)]
    shares = [
        Part(number, arrays=file.pages(page_rows, first, end - first))
        for number, (first, end) in enumerate(pairwise(ends))
    ]
    return engine.together(fit_share, shares, shared=recipe, meeting=meeting, threads=threads)[0]


def fit_share(recipe: Recipe, part: Part, place: Place) -> Any:
    """Fit on some rows, together with those who have the others; the first of them returns the booster."""
    collective = import_module("xgboost.collective")
    with tempfile.TemporaryDirectory(prefix="evergreen-fit-") as folder:
        own = {"dmlc_task_id": f"{part.facts:06d}", "dmlc_timeout": ANSWER_SECONDS}
        with collective.CommunicatorContext(**place, **own):
            booster = recipe.fit(part.arrays, Path(folder))
    return booster if part.facts == 0 else None


@contextmanager
def meeting(address: str, members: int) -> Iterator[Place]:
    """Let so many workers find each other at an address of this machine, as XGBoost's tracker does."""
    tracker_of = import_module("xgboost.tracker").RabitTracker
    tracker = tracker_of(n_workers=members, host_ip=address, sortby="task", timeout=FIND_SECONDS)
    tracker.start()
    yield tracker.worker_args()


def _pages(arrays: Sequence[np.ndarray], folder: Path, *, weighted: bool) -> Any:
    class Pages(import_module("xgboost").DataIter):  # type: ignore[misc]
        """Gives the library a page of the matrix each time that it asks."""

        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(())
            super().__init__(cache_prefix=str(folder / "pages"), release_data=True)

        def next(self, input_data: Callable[..., None]) -> bool:
            page = next(self.left, None)
            if page is not None:
                weight = {"weight": page[:, -1]} if weighted else {}
                input_data(data=np.ascontiguousarray(page[:, :-2]), label=page[:, -2], **weight)
            return page is not None

        def reset(self) -> None:
            self.left = (arrays[number] for number in range(len(arrays)))

    return Pages()
