"""Time what the overview page loads, over three years of monitored days, cold and warm.

A storage with so many days of summaries is made in a temporary folder, without Evidently's reports. Cold is a process
that has read nothing; warm is the next look at the page.

    python -m bench.page [--days 1100] [--columns 25]
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ml.adapters import layout
from ml.core.monitoring import day_summary
from ml.records import ColumnDrift, Decision, DriftReport, Interval, LivePerformance, Logged
from ml.settings import Environment, load
from ml.views import charts
from ml.views.page import days as monitored
from ml.views.page.cache import MEMORY
from ml.wiring import Services

FIRST_DAY = date(2023, 1, 1)
METRICS = ("log_loss", "roc_auc", "brier", "calibration_error", "gap", "skill")
REIGN_DAYS = 30


def summary(day: date, columns: int, random: np.random.Generator) -> str:
    """Write a day of a champion that is replaced every month, with a season in its columns."""
    version = 1 + (day - FIRST_DAY).days // REIGN_DAYS
    season = 0.1 * math.sin(day.toordinal() / 58)
    moved = tuple(
        ColumnDrift(
            column=f"column_{number:02}",
            role="structural" if number < columns // 2 else "environment",
            method="wasserstein",
            score=float(abs(season + random.normal(0, 0.05))),
            limit=0.2,
            drifted=False,
            baseline_range=0.13,
            importance=0.01,
            matters=True,
        )
        for number in range(columns)
    )
    live = {name: Interval(value=0.5 + float(random.normal(0, 0.02)), low=0.45, high=0.55) for name in METRICS}
    values = {name: interval.value for name, interval in live.items()}
    drift = DriftReport(
        day=day,
        status="calm",
        champion_version=version,
        reason="no structural column moved beyond its limit; the nearest was column_03",
        current_first_day=day - timedelta(days=6),
        current_rows=6600,
        columns=moved,
        report_uri="kept",
    )
    performance = LivePerformance(
        day=day,
        labelled_day=day - timedelta(days=1),
        rows=940,
        metrics=values,
        reason=f"version {version}: gap +0.010 [-0.030, +0.050] on 14 labelled days",
        champion_version=version,
        status="fine",
        window_days=14,
        window=live,
        expected=values,
    )
    reasons = (drift.reason, f"version {version} has served for some days")
    decision = Decision(day=day, action="nothing", reasons=reasons, alarm=False, state="calm", champion_version=version)
    return day_summary.text(day_summary.summarise(decision, drift, performance))


def decisions(days: list[date]) -> list[Logged]:
    """Return a promotion a month."""
    return [
        Logged(
            decision_id=f"{number:032x}",
            kind="promotion",
            decided_at=datetime(day.year, day.month, day.day, tzinfo=UTC),
            fingerprint=f"{number:064x}",
            effective_day=day,
            payload={"version": number + 1, "previous_version": number or None, "window_last_day": day.isoformat()},
        )
        for number, day in enumerate(days[::REIGN_DAYS])
    ]


def timed(work: Callable[[], Any], rounds: int = 1) -> tuple[str, Any]:
    """Return the median seconds of some rounds, by the clock and of the processor, and the last result."""
    seconds, busy, found = [], [], None
    for _ in range(rounds):
        started, began = time.perf_counter(), time.process_time()
        found = work()
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - began)
    return f"{median(seconds):.3f} s ({median(busy):.3f} s of processor)", found


def load_days(services: Services, days: list[date], log: list[Logged]) -> None:
    """Time the reading of some days, and what is drawn of them."""
    MEMORY.forget()
    cold, _ = timed(lambda: monitored.read(services, days))
    warm, read = timed(lambda: monitored.read(services, days), 5)
    print(f"read {len(days)} days: cold {cold}, warm {warm}")

    def draw_timeline() -> Any:
        return charts.timeline(read, metric="log_loss"), charts.marks(read, log), charts.champion_tenures(log)

    for name, draw in (("timeline", draw_timeline), ("drift", lambda: charts.drift_map(read))):
        drawn, facts = timed(draw, 5)
        encoded, text = timed(functools.partial(json.dumps, facts), 5)
        print(f"  {name}: {drawn}, as JSON {encoded}, {len(text) / 1e3:.0f} kB")


def main() -> None:
    """Build the storage, and print a row for each thing that is timed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=int, default=1100)
    arguments.add_argument("--columns", type=int, default=25)
    options = arguments.parse_args()
    random = np.random.default_rng(1)
    days = [FIRST_DAY + timedelta(days=n) for n in range(options.days)]
    with tempfile.TemporaryDirectory() as folder:
        services = Services(load(), Environment.load({"EVERGREEN_HOME": folder}))
        written = 0
        for day in days:
            path = Path(folder) / "storage" / "monitor" / f"day={day}" / layout.monitoring.SUMMARY
            path.parent.mkdir(parents=True)
            written += path.write_text(summary(day, options.columns, random), encoding="utf-8")
        print(f"{options.days} days x {options.columns} columns, {written / 1e6:.1f} MB of summaries")
        log = decisions(days)
        for span in (90, options.days):
            load_days(services, days[-span:], log)


if __name__ == "__main__":
    main()
