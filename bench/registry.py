"""Let the data registry grow for a decade, one version a day, and measure what does not grow with it.

``python bench/registry.py [--days 10 1000 3650]`` exits 1 if, from the first to the last of these ages, an unchanged
commit, a commit of a new day, a look at the days or a clone takes over ten times as long.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from ml.adapters.registry import DataRegistry

FIRST_DAY = date(2015, 1, 1)
REPEATS = 7
LARGEST_RATIO = 10.0
FLAT = ("unchanged, newest day", "unchanged, first day", "list of days", "commit of a day", "clone")


class Aging:
    """A registry in a folder, and the days that it has so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = DataRegistry(
            url=str(folder / "registry.git"), remote=str(folder / "remote"), cache=folder / "cache", task="bench"
        )
        self.registry.create()
        self.days = 0

    def files(self, number: int) -> dict[tuple[str, date], Path]:
        day, files = FIRST_DAY + timedelta(number), {}
        for asset in ("inputs", "labels"):
            path = self.folder / f"{asset}.parquet"
            path.write_text(f"{asset} of day {number}")
            files[asset, day] = path
        return files

    def grow(self, days: int) -> None:
        while self.days < days:
            self.registry.commit(self.files(self.days), message=f"Add {self.days}")  # type: ignore[arg-type]
            self.days += 1

    def measure(self) -> dict[str, float]:
        newest, first = self.files(self.days - 1), None
        measured = {"unchanged, newest day": _median(lambda: self.registry.commit(newest, message="Again"))}  # type: ignore[arg-type]
        first = self.files(0)
        measured["unchanged, first day"] = _median(lambda: self.registry.commit(first, message="Again"))  # type: ignore[arg-type]
        measured["list of days"] = _median(lambda: self.registry.days("inputs"))
        measured["clone"] = _median(self._clone)
        taken = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            self.grow(self.days + 1)
            taken.append(time.perf_counter() - began)
        measured["commit of a day"] = statistics.median(taken)
        measured["Git, MB"] = _megabytes(Path(self.registry.url), "*")
        measured["lists, MB"] = _megabytes(Path(self.registry.remote), "*.dir")
        return measured

    def _clone(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as target:
            command = ["git", "clone", "--quiet", f"file://{self.registry.url}", f"{target}/clone"]
            subprocess.run(command, check=True, capture_output=True)


def _median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _megabytes(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 1e6


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    arguments.add_argument("--days", type=int, nargs="+", default=[10, 1000, 3650])
    ages = sorted(arguments.parse_args().days)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        aging, rows = Aging(Path(folder)), []
        for age in ages:
            began = time.perf_counter()
            aging.grow(age)
            rows.append(aging.measure())
            sys.stderr.write(f"{age} days after {time.perf_counter() - began:.0f} s more\n")
    sys.stdout.write(f"| | {' | '.join(f'{age:,} days' for age in ages)} | ratio |\n")
    sys.stdout.write(f"| --- |{' --- |' * (len(ages) + 1)}\n")
    failed = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        shown = [f"{value:.1f}" if name.endswith("MB") else f"{value * 1000:.0f} ms" for value in values]
        ratio = values[-1] / max(values[0], 1e-9)
        sys.stdout.write(f"| {name} | {' | '.join(shown)} | 1 : {ratio:.1f} |\n")
        failed += [name] if name in FLAT and ratio > LARGEST_RATIO else []
    if failed:
        sys.stdout.write(f"grows with the days: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
