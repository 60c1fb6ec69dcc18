"""Let the decision log grow, and measure what the daily path, the page, the mail and `history` read of it.

``python -m bench.decisions [--decisions 0 500 5000]`` exits 1 if, from the first to the last of these sizes, one of
the reads but the last takes over ten times as long. One decision of a hundred changes the champion; the others ask
for a challenger, or hold one.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_log import DecisionLog
from ml.adapters.tracking.decision_tags import PREFIX, search_tags
from ml.core.champions.tenures import CHAMPION_CHANGES, JUDGED

REPEATS = 5
LARGEST_RATIO = 10.0
WHOLE = "all of it, at once"
START = datetime(2016, 1, 1, tzinfo=UTC)
FIELDS = ("run_uuid", "name", "start_time", "end_time", "status")


def _kind(number: int) -> str:
    return "promotion" if number % 100 == 0 else "hold" if number % 2 else "retrain_request"


def _tags(number: int) -> dict[str, str]:
    version = number // 100 + 1
    facts = {"version": version, "previous_version": version - 1 or None, "window_last_day": "2015-12-01"}
    payload = {**facts, "reasons": ["a reason of some length, as they are"] * 40}
    decided_at = START + timedelta(hours=12 * number)
    return {
        **search_tags(decided_at.date(), decided_at, payload),
        "kind": _kind(number),
        "key": f"{_kind(number)} {number}",
        "fingerprint": f"{number:064d}",
        "effective_day": decided_at.date().isoformat(),
        "payload": json.dumps(payload),
    }


@dataclass(frozen=True)
class Row:
    """A decision as MLflow's database holds it."""

    run_id: str
    start_ms: int
    tags: dict[str, str]
    status: str = "FINISHED"
    lifecycle_stage: str = "active"


def insert(folder: Path, rows: Sequence[Row]) -> None:
    """Add decisions to MLflow's own database, as copies of the first one, which was written through MLflow."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        template = dict(zip(columns, database.execute("SELECT * FROM runs LIMIT 1").fetchone(), strict=True))
        runs: list[tuple[Any, ...]] = []
        for row in rows:
            own = (row.run_id, f"decision {row.run_id}", row.start_ms, row.start_ms + 1, row.status)
            copy = template | dict(zip(FIELDS, own, strict=True)) | {"lifecycle_stage": row.lifecycle_stage}
            runs.append(tuple(copy[column] for column in columns))
        tags = [(PREFIX + key, value, row.run_id) for row in rows for key, value in row.tags.items()]
        database.executemany(f"INSERT INTO runs VALUES ({','.join('?' * len(columns))})", runs)  # noqa: S608
        database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
    database.close()


def grow(folder: Path, have: int, want: int) -> None:
    """Add decisions, two a day, until there are so many."""
    start = int(START.timestamp() * 1000)
    insert(folder, [Row(f"{n:032x}", start + n * 12 * 3_600_000, _tags(n)) for n in range(have, want)])


def measure(tracking: Tracking, decisions: int) -> dict[str, float]:
    """Measure each read, in seconds of the processor: MLflow's database is read in this very process."""
    newest = _tags(max(decisions - 1, 0))
    day, version = date.fromisoformat(newest["effective_day"]), max(decisions - 1, 0) // 100 + 1
    held = f"{(decisions - 1) // 2 * 2 - 1:032x}" if decisions else "f" * 32

    def decide() -> None:
        """Read what *decide* reads, with a cooldown of a week."""
        log = DecisionLog(tracking)
        _ = log.changes, log.on_days(day - timedelta(days=7), day)
        tracking.decisions(kinds=JUDGED, fingerprint=newest["fingerprint"])

    def mail() -> None:
        """Read what the mail of a verdict reads."""
        log = DecisionLog(tracking)
        _ = log.changes, log.find(held)

    def see_now() -> None:
        """Read what the page's first part reads: who serves, the open request, the challenger."""
        log = DecisionLog(tracking)
        _ = log.changes, next(log.newest_first(), None), log.about(version)

    return {
        "who serves, resolve": _median(lambda: tracking.decisions(kinds=CHAMPION_CHANGES)),
        "rolled back": _median(lambda: tracking.decisions(kinds=("rollback",))),
        "seen before": _median(lambda: tracking.decisions(kinds=JUDGED, fingerprint=newest["fingerprint"])),
        "one key": _median(lambda: tracking._decision(tracking.client, newest["key"])),
        "decide": _median(decide),
        "mail of a verdict": _median(mail),
        "page, now": _median(see_now),
        "page, timeline of 90 days": _median(lambda: DecisionLog(tracking).on_days(day - timedelta(days=90), day)),
        "page, decisions (100)": _median(lambda: DecisionLog(tracking).newest(100)),
        "page, one version": _median(lambda: DecisionLog(tracking).about(version)),
        "history (50)": _median(lambda: DecisionLog(tracking).newest(50)),
        WHOLE: _median(tracking.decisions),
    }


def _median(act: Callable[[], object]) -> float:
    act()
    taken = []
    for _ in range(REPEATS):
        begun = time.process_time()
        act()
        taken.append(time.process_time() - begun)
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
            grow(folder, have, size)
            have = size
            found.append(measure(tracking, size))
    print("| |", " | ".join(f"{size:,} decisions" for size in sizes), "| ratio |")
    print("|", " | ".join(["---"] * (len(sizes) + 2)), "|")
    for read in found[0]:
        ratio = found[-1][read] / found[0][read]
        print(f"| {read} |", " | ".join(f"{each[read] * 1000:.0f} ms" for each in found), f"| 1 : {ratio:.1f} |")
    grown = [read for read in found[0] if read != WHOLE and found[-1][read] > LARGEST_RATIO * found[0][read]]
    if grown:
        sys.stderr.write(f"over 1 : {LARGEST_RATIO:g}: {', '.join(grown)}\n")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
