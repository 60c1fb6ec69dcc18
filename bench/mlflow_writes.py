"""Measure how long MLflow waits for the disk on SQLite: with a rollback journal, and with a write-ahead log.

Two databases side by side on one disk, asked in turn, so that whatever else the disk does meets both: writes as a
retrain makes them, by MLflow's own client. Without a disk that is synced (``eatmydata``) there is nothing to see.

    python -m bench.mlflow_writes [--rounds 50] [--folder .]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
from tabulate import tabulate

from bench.installation import machine
from ml.adapters.sqlite_files import journal_mode, use_write_ahead_log


def writes(client: MlflowClient, number: int) -> dict[str, Callable[[], object]]:
    """Return one round of writes by name, each one request."""
    run_id = client.create_run("0").info.run_id
    metrics = [Metric(f"m{each}", float(number), 0, 0) for each in range(20)]
    params = [Param(f"p{each}", str(number)) for each in range(50)]
    return {
        "a run": lambda: client.create_run("0"),
        "50 parameters": lambda: client.log_batch(run_id, params=params),
        "20 metrics": lambda: client.log_batch(run_id, metrics=metrics),
        "a tag": lambda: client.set_tag(run_id, "name", str(number)),
        "the end of a run": lambda: client.set_terminated(run_id),
        "a read": lambda: client.get_run(run_id),
    }


def measure(folder: Path, rounds: int) -> list[list[object]]:
    """Return a line for each write: the median milliseconds by the clock in both modes, and their ratio."""
    clients = {}
    for name in ("delete", "wal"):
        database = folder / f"{name}.db"
        clients[name] = MlflowClient(f"sqlite:///{database}")
        if name == "wal":
            use_write_ahead_log(database)
        if journal_mode(database) != name:
            raise SystemExit(f"{database} is not in the mode {name!r}: give a --folder on a disk of this machine")
    took: dict[str, dict[str, list[float]]] = {name: {} for name in clients}
    for number in range(rounds):
        for name, client in clients.items():
            for write, run in writes(client, number).items():
                began = time.perf_counter()
                run()
                took[name].setdefault(write, []).append((time.perf_counter() - began) * 1000)
    lines: list[list[object]] = []
    for write in took["wal"]:
        before, after = (median(took[name][write]) for name in ("delete", "wal"))
        lines.append([write, before, after, before / after])
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to be measured (the present folder)")
    asked = parser.parse_args(argv)
    print(machine())
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        lines = measure(Path(folder), asked.rounds)
    print(tabulate(lines, ["write", "journal, ms", "write-ahead, ms", "ratio"], floatfmt=".2f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
