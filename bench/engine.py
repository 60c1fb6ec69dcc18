"""Measure the parts of a large day on both engines: in one process, and on a Ray cluster of this machine.

A day of so many rows is screened (inputs, and labels against them), summed up for lagged target means, scored, and
sampled and counted for drift. Each job runs in a process of its own, once by each engine; what comes out is compared.
The cluster is started before the clock, and its workers have imported what they need: *start* is what that takes.
*busy* is processor time, which says more than the clock where a machine has other work. *driver MB* is the peak of the
process above what it had before, *worker MB* the peak of the largest worker, with its imports and without what it
shares with others.

    make cluster
    python -m bench.engine [--rows 1000000] [--parts 262144] [--processors 2]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import psutil

from bench.ingest import installation as installation_of_files
from bench.installation import LAST_DAY, Installation, Measured, apart, build, large_inputs, large_labels, machine
from ml.adapters.engine import LOCAL, Engine, Part

DAY = LAST_DAY + timedelta(days=1)
JOBS = ("screen", "sum up", "score", "sample and count")


def engine_of(kind: str, part_rows: int, processors: int) -> Engine:
    if kind == "local":
        return LOCAL
    from ml.adapters.engine.cluster import ClusterEngine

    return ClusterEngine("", rows_per_part=part_rows, processors=processors)


def imported(_: Any, part: Part) -> Iterator[int]:
    """Import what the jobs need, in a worker; and stay until each worker has a part."""
    from ml.adapters.aggregates import AggregateStore
    from ml.adapters.contracts.day_files import screen_file
    from ml.steps.score.scorer import score_to

    time.sleep(2)
    yield len((AggregateStore, screen_file, score_to))


class Workers:
    """Watch the memory and the processor time of Ray's workers, those below this process."""

    def __init__(self) -> None:
        self.peak, self._done = 0.0, Event()
        self._busy: dict[int, tuple[float, float]] = {}
        self._thread = Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    name = process.cmdline()[:1]
                    if name and name[0].startswith("ray::") and "Agent" not in name[0]:
                        busy = sum(process.cpu_times()[:2])
                        self._busy[process.pid] = (self._busy.get(process.pid, (busy, 0))[0], busy)
                        self.peak = max(self.peak, process.memory_full_info().uss / 1e6)
                except (psutil.Error, OSError):
                    continue

    @property
    def busy(self) -> float:
        """Return the seconds of processor that they took while they were watched."""
        return sum(last - first for first, last in self._busy.values())

    def __enter__(self) -> Workers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def job(name: str, home: str, kind: str, part_rows: int, processors: int, *, warm: bool = False) -> Any:
    """Do one job on the large day; return a digest of what came out, when the cluster stood, and its workers' peak."""
    engine = _ENGINES.setdefault(kind, engine_of(kind, part_rows, processors))
    if warm:
        started = time.perf_counter()
        if kind != "local":
            from bench.engine import imported as by_name  # this module is another one to the workers

            list(engine.map(by_name, [Part(None)] * processors, shared=None))
        _STARTED[kind] = time.perf_counter() - started
        list(imported(None, Part(None)))
        work_of(name, home, engine)
        return None
    with Workers() as workers:
        digest = work_of(name, home, engine)()
    return digest, _STARTED[kind], workers.peak, workers.busy


_ENGINES: dict[str, Engine] = {}
_STARTED: dict[str, float] = {}


def work_of(name: str, home: str, engine: Engine) -> Callable[[], str]:
    """Return one job, ready to run."""
    from ml.adapters import aggregates, day_samples
    from ml.adapters.contracts.day_files import screen_file
    from ml.core.monitoring import drift
    from ml.core.training.target_sums import groupings
    from ml.steps.score import plan, predict, resolve

    services = Installation(Path(home)).services(score={"rows_per_shard": 10**9})
    vars(services)["engine"] = engine
    settings = services.settings
    files = {asset: services.registry.open(asset, first_day=DAY, last_day=DAY)[DAY] for asset in ("inputs", "labels")}

    def screen() -> str:
        digest = hashlib.sha256()
        for asset in ("inputs", "labels"):
            with tempfile.TemporaryDirectory() as folder:
                screened = screen_file(
                    services.contracts,
                    asset,
                    files[asset],
                    key=settings.task.key,
                    parameters={"day": DAY.isoformat(), **services.contracts.baselines(asset, [], day=DAY)},
                    folder=Path(folder),
                    rows_at_once=settings.screen.rows_at_once,
                    known_keys=files["inputs"] if asset == "labels" else None,
                    engine=engine,
                )
                assert screened.accepted is not None, screened.screened.reason
                digest.update(screened.screened.html.encode() + screened.accepted.read_bytes())
        return digest.hexdigest()

    def sum_up() -> str:
        wanted = groupings(settings.features.history)
        return repr(aggregates.sum_up(files["inputs"], files["labels"], settings, wanted, engine=engine).to_pydict())

    def score() -> str:
        champion = resolve.run(DAY, settings=settings, services=services)
        shards = plan.run(champion, settings=settings, services=services).shards
        (shard,) = shards
        return predict.run(shard, settings=settings, services=services).sha256

    def sample_and_count() -> str:
        columns = drift.watched(settings.drift)
        kinds = {name: name in {"carrier", "origin", "dest"} for name in columns}
        counted = day_samples.count_day(files["inputs"], kinds, engine=engine)
        most = settings.drift.reference_rows
        drawn = day_samples.sample({DAY: files["inputs"]}, columns, rows=most, seed=1, engine=engine)
        return repr(counted) + drawn.to_csv()

    return dict(zip(JOBS, (screen, sum_up, score, sample_and_count), strict=True))[name]


def prepared(folder: Path, rows: int) -> Installation:
    """Make an installation with a champion, and a large day with its labels."""
    suites = installation_of_files(folder / "suites").home / "expectations"  # whose flights have larger numbers
    installed = build(folder / "home")
    suites.rename(installed.home / "expectations")
    inputs = large_inputs(DAY, rows)
    paths: dict[Any, Path] = {("inputs", DAY): folder / "inputs.parquet", ("labels", DAY): folder / "labels.parquet"}
    for (asset, _), path in paths.items():
        landed(inputs if asset == "inputs" else large_labels(inputs, installed.settings), path)
    installed.services().registry.commit(paths, message="Add a large day")
    return installed


def landed(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as `ml.steps.ingest.land` would, so that its accepted rows are copied as they are."""
    from ml.adapters.rows import BATCH_ROWS, RowGroups, batches, types_of
    from ml.adapters.workspace import write_parquet

    source = path.with_suffix(".source")
    write_parquet(frame, source)
    with RowGroups(path, types_of(source)) as groups:
        for batch in batches(source, BATCH_ROWS):
            groups.write(batch)
    source.unlink()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=262_144, help="rows of a part")
    parser.add_argument("--processors", type=int, default=os.cpu_count())
    asked = parser.parse_args(argv)
    print(machine())
    table = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = str(prepared(Path(folder), asked.rows).home)
        for name in JOBS:
            measured: dict[str, Measured] = {
                kind: apart(job, name, home, kind, asked.parts, asked.processors) for kind in ("local", "cluster")
            }
            here, there = measured["local"], measured["cluster"]
            table.append(
                {
                    "rows": asked.rows,
                    "job": name,
                    "local s": here.seconds,
                    "cluster s": there.seconds,
                    "ratio": here.seconds / there.seconds,
                    "local busy s": here.busy,
                    "driver busy s": there.busy,
                    "workers busy s": there.result[3],
                    "start s": there.result[1],
                    "local MB": here.megabytes,
                    "driver MB": there.megabytes,
                    "worker MB": there.result[2],
                    "equal": here.result[0] == there.result[0],
                }
            )
            print(pd.DataFrame(table[-1:]).round(2).to_string(index=False), flush=True)
    print()
    print(pd.DataFrame(table).round(2).to_string(index=False))
    return 0 if all(line["equal"] for line in table) else 1


if __name__ == "__main__":
    sys.exit(main())
