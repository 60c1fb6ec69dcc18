"""Measure what landing a history costs a day, beside asking Great Expectations of each day anew, as it was before.

Two histories: days of 24 rows (hourly rentals, with the contracts that are proposed of them), and flights with the
contracts of the demo. Each is landed twice, in a process of its own: days together (``evergreen seed`` as it is), and
one by one with `batch.validate`. Reports, reasons, accepted and quarantined files must be equal, byte for byte.

    python -m bench.landing [--days 1000] [--flights 90] [--compare 60]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from tabulate import tabulate

from bench.installation import Installation, apart, machine
from bench.made_histories import HISTORIES, base_of, rentals
from ml.settings import PROJECT_ROOT, dump, parse, read

FIRST = date(2011, 1, 1)


def hourly(days: int) -> Iterator[tuple[date, pd.DataFrame, pd.DataFrame]]:
    """Yield so many days of rentals: one made history after the other."""
    made = (tables for seed in range(1, 1 + -(-days // 731)) for tables in rentals(seed).values())
    for number, (inputs, labels) in enumerate(islice(made, days)):
        day = FIRST + timedelta(days=number)
        yield day, inputs.assign(day=day.isoformat()), labels.assign(day=day.isoformat())


def small_days(home: Path, days: int) -> tuple[date, date]:
    """Write a history of small days as Parquet files, with proposed contracts; return its first and last day."""
    from ml.adapters.suite_files import write_suite
    from ml.adapters.workspace import write_parquet
    from ml.core.data.suite_proposals import propose_suite

    params: dict[str, Any] = {**base_of(HISTORIES["rentals"])}
    params["source"] = {"kind": "files", **{a: str(home / f"source/{a}-{{day}}.parquet") for a in ("inputs", "labels")}}
    (home / "source").mkdir(parents=True)
    (home / "params.yaml").write_text(dump(params), encoding="utf-8")
    tables: dict[str, list[pd.DataFrame]] = {"inputs": [], "labels": []}
    last = FIRST
    for last, inputs, labels in hourly(days):
        for asset, table in (("inputs", inputs), ("labels", labels)):
            write_parquet(table, home / f"source/{asset}-{last}.parquet")
            tables[asset].append(table)
    (home / "expectations").mkdir()
    for asset, parts in tables.items():
        proposed = propose_suite(pd.concat(parts, ignore_index=True), asset=asset, task=parse(params).task)  # type: ignore[arg-type]
        write_suite(home / f"expectations/{asset}.json", proposed)
    return FIRST, last


def flights(home: Path, days: int) -> tuple[date, date]:
    """Let the demo be the source; return the first and last of so many days of 2013."""
    home.mkdir(parents=True)
    params = read(PROJECT_ROOT / "params.yaml")
    params["source"] = {"kind": "demo", "replay": False}
    (home / "params.yaml").write_text(dump(params), encoding="utf-8")
    first = date(2013, 1, 8)
    return first, first + timedelta(days=days - 1)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Ask Great Expectations of each day for itself by `batch.validate`, with nothing prepared."""
    from ml.steps.ingest import days_ahead

    module = import_module("ml.adapters.contracts.judge")
    anew = module.evaluate_anew
    with (
        patch.object(module, "evaluate", lambda entries, frame, parameters, _=None: anew(entries, frame, parameters)),
        patch.object(days_ahead, "MOST_DAYS", 1),
    ):
        yield


def landed(home: str, first: date, last: date, together: bool, *, warm: bool = False) -> dict[str, Any] | None:
    """Land the history into a new registry below ``home``; return seconds of the processor and what came of it."""
    from ml.steps.ingest import seed

    services = Installation(Path(home)).services()
    for asset in ("inputs", "labels"):
        services.contracts.suite(asset)
    if warm:
        return None
    began = time.process_time()
    if together:
        result = seed.run(first, last, settings=services.settings, services=services)
    else:
        with one_by_one():
            result = seed.run(first, last, settings=services.settings, services=services)
    seconds = time.process_time() - began
    registry = services.registry
    hashes = {
        f"{asset} {day}": hashlib.sha256(path.read_bytes()).hexdigest()
        for asset in ("inputs", "labels")
        for day, path in registry.open(asset).items()
    }
    stored = services.storage_folder("")
    for name in stored.names():
        if name.startswith(("validation/", "quarantine/")):
            with stored.local(name) as path:
                hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"seconds": seconds, "rejected": result["rejected"], "hashes": hashes, "days": result["days"]}


def measure(name: str, folder: Path, make: Any, days: int, compared: int) -> list[list[Any]]:
    """Land all days together, and the first ``compared`` both ways; raise if anything differs."""
    lines: list[list[Any]] = []
    results: dict[bool, Any] = {}
    for number, together in ((days, True), (compared, True), (compared, False)):
        home = folder / f"{name}-{len(lines)}"
        first, last = make(home, number)
        result = apart(landed, str(home), first, last, together).result
        results[together] = result
        how = "together" if together else "one by one"
        lines.append(
            [name, how, result["days"], result["seconds"], result["seconds"] / number, len(result["rejected"])]
        )
    for what in ("rejected", "hashes"):
        if results[True][what] != results[False][what]:
            raise SystemExit(f"{name}: {what} differ between days together and one by one")
    lines[-1].append(f"{len(results[True]['hashes'])} files equal, {lines[-1][3] / lines[-2][3]:.1f} times as long")
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=1000, help="of 24 rows (1000)")
    parser.add_argument("--flights", type=int, default=90, help="days of flights (90)")
    parser.add_argument("--compare", type=int, default=60, help="days that are landed one by one as well (60)")
    asked = parser.parse_args(argv)
    print(machine())
    headers = ["history", "how", "days", "seconds of processor", "a day", "rejected", ""]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = measure("hourly", Path(folder), small_days, asked.days, min(asked.compare, asked.days))
        lines += measure("flights", Path(folder), flights, asked.flights, min(asked.compare, asked.flights))
    print(tabulate(lines, headers, floatfmt=".3f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
