"""Measure what a day and a window cost beside reading and hashing their bytes, with the memory that each step takes.

Each size is one day of so many rows (and as many labels of the day before) in a folder of Parquet files. *bytes* reads
the files and takes their md5: nothing can be quicker. Each step runs in a process of its own; memory is the peak above
that of the process before it began.

    python -m bench.ingest [--rows 100000 1000000 5000000] [--days 28]
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from bench.installation import LAST_DAY, Installation, apart, large_inputs, large_labels, machine, put
from ml.adapters import layout
from ml.records import Landing, RetrainRequest, Screening
from ml.settings import PROJECT_ROOT, dump, read

DAY = LAST_DAY
NOW = datetime(2014, 1, 1, tzinfo=UTC)
MEGA = 1e6


def installation(home: Path) -> Installation:
    """Make an empty registry whose source is a folder of files."""
    home.mkdir(parents=True)
    params = read(PROJECT_ROOT / "params.yaml")
    params["source"] = {
        "kind": "files",
        "inputs": str(home / "source/inputs/{day}.parquet"),
        "labels": str(home / "source/labels/{day}.parquet"),
    }
    params["pull"]["min_days"], params["split"]["holdout_days"], params["gate"]["min_days"] = 3, 2, 2
    (home / "params.yaml").write_text(dump(params), encoding="utf-8")
    shutil.copytree(PROJECT_ROOT / "expectations", home / "expectations")
    for suite in (home / "expectations").glob("*.json"):  # a large day has more flights than numbers of four digits
        suite.write_text(suite.read_text(encoding="utf-8").replace("9999", str(10**9)), encoding="utf-8")
    installed = Installation(home)
    installed.services().registry.create()
    return installed


def deliver(installed: Installation, day: date, rows: int) -> list[Path]:
    """Put a day of so many rows into the source, with the labels that arrive with it."""
    from ml.adapters.workspace import write_parquet

    earlier = day - timedelta(days=1)
    files = {
        installed.home / f"source/inputs/{day}.parquet": large_inputs(day, rows),
        installed.home / f"source/labels/{earlier}.parquet": large_labels(
            large_inputs(earlier, rows), installed.settings
        ),
    }
    for path, frame in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(frame, path)
    put(installed, {("inputs", earlier): large_inputs(earlier, rows)})
    return list(files)


def hashed(paths: list[Path], *, warm: bool = False) -> float:
    del warm
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "md5").hexdigest()
    return sum(path.stat().st_size for path in paths) / MEGA


def landed(home: str, *, warm: bool = False) -> Any:
    from ml.steps.ingest import land

    services = Installation(Path(home)).services()
    return None if warm else land.run(DAY, now=NOW, settings=services.settings, services=services)


def screened(home: str, landing: Landing, *, warm: bool = False) -> Any:
    from ml.steps.ingest import screen

    services = Installation(Path(home)).services()
    services.contracts.suite("inputs")
    return None if warm else screen.run(landing, settings=services.settings, services=services)


def committed(home: str, screening: Screening, *, warm: bool = False) -> Any:
    from ml.steps.ingest import commit

    services = Installation(Path(home)).services()
    return services.registry.head() if warm else commit.run(screening, settings=services.settings, services=services)


def counted(home: str, *, warm: bool = False) -> None:
    """Do what drift monitoring does with the newest day: count every row, draw a sample."""
    from ml.adapters import day_samples
    from ml.core.monitoring import drift

    services = Installation(Path(home)).services()
    files = services.registry.open("inputs", first_day=DAY, last_day=DAY)
    declared = services.settings.drift
    columns = drift.watched(declared)
    if not warm:
        day_samples.count_day(files[DAY], {name: name in {"carrier", "origin", "dest"} for name in columns})
        day_samples.sample(files, columns, rows=declared.reference_rows, seed=1)


def summed_up(home: str, *, warm: bool = False) -> None:
    """Do what scoring does with the newest labelled day: sum it up for lagged target means."""
    from ml.adapters.aggregates import AggregateStore

    services = Installation(Path(home)).services()
    if not warm:
        aggregates = AggregateStore(services.registry, services.storage_folder(layout.training.AGGREGATES))
        aggregates.aggregates(DAY, DAY, services.settings, rev=None)


def pulled(home: str, *, warm: bool = False) -> Any:
    from ml.steps.retrain import pull

    services = Installation(Path(home)).services(features={"history": []})
    request = RetrainRequest(requested_by="a benchmark", reasons=("to measure",))
    return None if warm else pull.run(request, settings=services.settings, services=services)


def days(sizes: list[int], folder: Path) -> pd.DataFrame:
    """Measure each step of a day of each size."""
    table = []
    for rows in sizes:
        installed = installation(folder / f"day-{rows}")
        home, paths = str(installed.home), deliver(installed, DAY, rows)
        bytes_ = apart(hashed, paths)
        land = apart(landed, home)
        screen = apart(screened, home, land.result)
        commit = apart(committed, home, screen.result)
        steps: dict[str, Any] = {"land": land, "screen": screen, "commit": commit}
        steps |= {"count and sample": apart(counted, home), "sum up": apart(summed_up, home)}
        for name, found in {"bytes": bytes_, **steps}.items():
            line = {"rows": rows, "step": name, "seconds": found.seconds, "peak MB": found.megabytes}
            table.append(line | {"of bytes": found.seconds / bytes_.seconds, "file MB": bytes_.result})
    return pd.DataFrame(table)


def window(count: int, rows: int, folder: Path) -> pd.DataFrame:
    """Measure the pull of a window of labelled days."""
    installed = installation(folder / "window")
    files: dict[tuple[str, date], pd.DataFrame] = {}
    for number in range(count):
        day = DAY - timedelta(days=number)
        files["inputs", day] = large_inputs(day, rows)
        files["labels", day] = large_labels(files["inputs", day], installed.settings)
    put(installed, files)
    registry = installed.services().registry
    paths = [path for asset in ("inputs", "labels") for path in registry.open(asset).values()]
    bytes_, pull = apart(hashed, paths), apart(pulled, str(installed.home))
    return pd.DataFrame(
        {"days": count, "rows": count * rows, "step": name, "seconds": found.seconds, "peak MB": found.megabytes,
         "of bytes": found.seconds / bytes_.seconds}
        for name, found in (("bytes", bytes_), ("pull", pull))
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--days", type=int, default=28, help="of the window")
    parser.add_argument("--rows-a-day", type=int, default=50_000, help="of the window")
    asked = parser.parse_args(argv)
    print(machine())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        print(days(asked.rows, Path(folder)).round(2).to_string(index=False), flush=True)
        print()
        print(window(asked.days, asked.rows_a_day, Path(folder)).round(2).to_string(index=False))
    print(f"({time.perf_counter() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
