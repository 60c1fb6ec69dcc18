"""Let the decision log grow, and measure what the daily path reads of it.

``python -m bench.decisions [--decisions 0 500 5000]`` exits 1 if, from the first to the last of these sizes, one of
the reads of `FLAT` takes over ten times as long. One decision of a hundred changes the champion; the others ask for a
challenger, or hold one.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.adapters.tracking import PREFIX, Tracking
from ml.core.history import JUDGED, REIGNS

REPEATS = 5
LARGEST_RATIO = 10.0
FLAT = ("who serves, resolve", "rolled back", "seen before", "one key")
START = datetime(2016, 1, 1, tzinfo=UTC)
FIELDS = ("run_uuid", "name", "start_time", "end_time", "status")


def _kind(number: int) -> str:
    return "promotion" if number % 100 == 0 else "hold" if number % 2 else "retrain_request"


def _tags(number: int) -> dict[str, str]:
    version = number // 100 + 1
    facts = {"version": version, "previous_version": version - 1 or None, "window_last_day": "2015-12-01"}
    return {
        "kind": _kind(number),
        "key": f"{_kind(number)} {number}",
        "fingerprint": f"{number:064d}",
        "effective_day": (START + timedelta(hours=12 * number)).date().isoformat(),
        "payload": json.dumps({**facts, "reasons": ["a reason of some length, as they are"] * 40}),
    }


def grow(folder: Path, tracking: Tracking, have: int, want: int) -> None:
    """Add decisions to MLflow's own database, as copies of one that was written through MLflow."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        template = dict(zip(columns, database.execute("SELECT * FROM runs LIMIT 1").fetchone(), strict=True))
        runs: list[tuple[Any, ...]] = []
        tags: list[tuple[str, str, str]] = []
        for number in range(have, want):
            run_id, at = f"{number:032x}", int((START + timedelta(hours=12 * number)).timestamp() * 1000)
            row = template | dict(zip(FIELDS, (run_id, f"decision {number}", at, at + 1, "FINISHED"), strict=True))
            runs.append(tuple(row[column] for column in columns))
            tags += [(PREFIX + key, value, run_id) for key, value in _tags(number).items()]
        database.executemany(f"INSERT INTO runs VALUES ({','.join('?' * len(columns))})", runs)  # noqa: S608
        database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
    database.close()


def measure(tracking: Tracking, decisions: int) -> dict[str, float]:
    """Measure each read, in seconds."""
    newest = _tags(max(decisions - 1, 0))
    return {
        "who serves, resolve": _median(lambda: tracking.decisions(kinds=REIGNS)),
        "rolled back": _median(lambda: tracking.decisions(kinds=("rollback",))),
        "seen before": _median(lambda: tracking.decisions(kinds=JUDGED, fingerprint=newest["fingerprint"])),
        "one key": _median(lambda: tracking._decision(tracking.client, newest["key"])),
        "all (decide, page, history)": _median(tracking.decisions),
    }


def _median(act: Callable[[], object]) -> float:
    act()
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 if a read that should not grow does."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--decisions", type=int, nargs="+", default=[0, 500, 5000])
    sizes = sorted(asked.parse_args(argv).decisions)
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, have = Path(name), 0
        tracking = Tracking(f"sqlite:///{folder / 'mlflow.db'}", "bench")
        tracking.open_decision("hold", "template", fingerprint=None, effective_day=date(2016, 1, 1), payload={})
        for size in sizes:
            grow(folder, tracking, have, size)
            have = size
            found.append(measure(tracking, size))
    print("| |", " | ".join(f"{size:,} decisions" for size in sizes), "| ratio |")
    print("|", " | ".join(["---"] * (len(sizes) + 2)), "|")
    for read in found[0]:
        ratio = found[-1][read] / found[0][read]
        print(f"| {read} |", " | ".join(f"{each[read] * 1000:.0f} ms" for each in found), f"| 1 : {ratio:.1f} |")
    grown = [read for read in FLAT if found[-1][read] > LARGEST_RATIO * found[0][read]]
    if grown:
        sys.stderr.write(f"over 1 : {LARGEST_RATIO:g}: {', '.join(grown)}\n")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
