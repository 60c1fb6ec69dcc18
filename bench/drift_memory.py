"""Measure how much memory and time a day's drift check takes with a window of ten million rows.

Writes a synthetic window (seven days, 15 watched columns) to a temporary folder, and reads it in a process of its own
each way: as `ml.steps.monitor.measure_drift` does (a seeded sample of all days, every row of the newest two counted),
the same with Evidently's report on the sample, and whole. Prints seconds and peak resident memory; imports are in
both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from ml.adapters import day_samples as reader
from ml.adapters.workspace import write_parquet
from ml.records import Limit
from ml.settings import Drift

FIRST = date(2013, 1, 1)
DAYS = 7
NUMBERS = [f"number_{n}" for n in range(12)]
CATEGORIES = {"carrier": 16, "origin": 3, "dest": 105}
COLUMNS = [*NUMBERS, *CATEGORIES]
SEED = 20130101
Files = dict[date, Path]


def write_window(folder: Path, rows: int) -> Files:
    """Write a day a file; the rest of a row (an id) is never read."""
    files: Files = {}
    for number in range(DAYS):
        chance, size = np.random.default_rng(number), rows // DAYS
        frame = pd.DataFrame({name: chance.normal(size=size).round(2) for name in NUMBERS})
        for name, kinds in CATEGORIES.items():
            frame[name] = np.array([f"{name}{k}" for k in range(kinds)])[chance.integers(0, kinds, size)]
        day = FIRST + timedelta(days=number)
        files[day] = folder / f"day={day}.parquet"
        write_parquet(frame.assign(id=np.arange(size)), files[day])
    return files


def sampled(files: Files) -> pd.DataFrame:
    """Read as the step does."""
    kinds = {name: name in CATEGORIES for name in COLUMNS}
    for day in sorted(files)[-2:]:
        reader.count_day(files[day], kinds)
    return reader.sample(files, COLUMNS, rows=Drift().reference_rows, seed=SEED)


def compared(files: Files) -> None:
    """Read as the step does, and let Evidently compare the sample with one as large."""
    from ml.adapters import drift

    found = sampled(files)
    limits = {name: Limit(limit=0.1, baseline_range=0.05, blocks=10) for name in COLUMNS}
    drift.measure(found, found.sample(frac=1, random_state=SEED), limits)


def whole(files: Files) -> None:
    """Read everything that is watched."""
    pd.concat([pd.read_parquet(path, columns=COLUMNS) for path in files.values()], ignore_index=True)


def _measured(
    work: Callable[[Files], object], files: Files, answer: multiprocessing.Queue[tuple[float, float]]
) -> None:
    started = time.perf_counter()
    work(files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.put((time.perf_counter() - started, peak / 1024))  # Linux counts in kB


def main() -> int:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000_000)
    given = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    ways: dict[str, Callable[[Files], object]] = {
        "sample and count": sampled,
        "with the report": compared,
        "whole": whole,
    }
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_window(Path(folder), given.rows)
        for name, work in ways.items():
            answer = context.Queue()
            process = context.Process(target=_measured, args=(work, files, answer))
            process.start()
            lines.append((name, *answer.get()))
            process.join()
    print(tabulate(lines, headers=["window read", "seconds", "peak MB"], floatfmt=".0f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
