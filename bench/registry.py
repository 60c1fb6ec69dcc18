"""Let the data registry grow for a decade, one version a day, and measure what does not grow with it.

``python -m bench.registry [--days 10 1000 3650]`` exits 1 if, from the first to the last of these ages, an unchanged
commit, a commit of a new day, a look at the days or a clone of the newest version (``--depth 1``) takes over ten times
as long, or if a clone of all versions takes over `CLONE_SECONDS` a version. Times are of the processor, Git's own
included: what waits for the disk or for other work of the machine is left out.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from ml.adapters.data_registry import DataRegistry

FIRST_DAY = date(2015, 1, 1)
REPEATS = 7
LARGEST_RATIO = 10.0
FLAT = ("unchanged, newest day", "unchanged, first day", "list of days", "commit of a day", "clone, newest version")
CLONE, CLONE_SECONDS, CLONE_STARTS = "clone, all versions", 0.002, 0.2
"""All versions are as many commits: Git reads each. So many seconds for each are promised, and so many to start."""


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
        measured["clone, newest version"] = _median(lambda: self._clone("--depth", "1"))
        measured[CLONE] = _median(self._clone)
        taken = []
        for _ in range(REPEATS):
            began = _busy()
            self.grow(self.days + 1)
            taken.append(_busy() - began)
        measured["commit of a day"] = statistics.median(taken)
        measured["Git, MB"] = _megabytes(Path(self.registry.url), "*")
        measured["lists, MB"] = _megabytes(Path(self.registry.remote), "*.dir")
        return measured

    def _clone(self, *options: str) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as target:
            command = ["git", "clone", "--quiet", *options, f"file://{self.registry.url}", f"{target}/clone"]
            subprocess.run(command, check=True, capture_output=True)


def _median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = _busy()
        work()
        taken.append(_busy() - began)
    return statistics.median(taken)


def _busy() -> float:
    """Return the seconds of processor that this process and its children have used."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


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
    if rows[-1][CLONE] > CLONE_STARTS + CLONE_SECONDS * ages[-1]:
        failed.append(CLONE)
        sys.stdout.write(f"over {CLONE_SECONDS * 1000:g} ms a version: {CLONE}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
