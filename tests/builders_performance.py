"""What the page is answered of performance over time, put together by the project's own functions from made-up days."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from ml.adapters.tracking.model_registry import Version
from ml.core.monitoring import day_summary
from ml.core.monitoring.day_summary import Day, plain
from ml.core.monitoring.slice_figures import slice_history
from ml.records import Arrival, Decision, Interval, LivePerformance
from ml.views import performance_series as series

LAST, DAYS, WINDOW = date(2013, 6, 25), 120, 14
SECOND = LAST - timedelta(days=40)
"""From this day on version 3 serves, version 2 before it."""

UNMEASURED = LAST - timedelta(days=60)
"""No labels came of this day."""
ODD = "carrier = UA" if os.environ.get("EVERGREEN_TOUR_DAYS") else "<b>carrier</b> = UA"
"""A slice whose name reads like markup, except where the pictures of the tour are taken."""

TENURES = [
    {"version": 2, "first_day": str(LAST - timedelta(days=DAYS)), "last_day": str(SECOND - timedelta(days=1))},
    {"version": 3, "first_day": str(SECOND), "last_day": None},
]
COST = 0.4


def monitored(day: date, chance: np.random.Generator) -> Day:
    """Make up what monitoring keeps of a day: a log loss that follows how hard the days are, and its skill."""
    labelled = day - timedelta(days=1)
    hard = 0.5 + 0.08 * np.sin(day.toordinal() / 9)
    value, skill = hard + chance.normal(0, 0.004), 0.05 + chance.normal(0, 0.004)
    window = {
        "log_loss": Interval(value=value, low=value - 0.03, high=value + 0.03),
        "brier": Interval(value=value / 3, low=value / 3 - 0.01, high=value / 3 + 0.01),
        "roc_auc": Interval(value=0.7, low=0.67, high=0.73),
        "skill": Interval(value=skill, low=skill - 0.02, high=skill + 0.02),
    }
    live = LivePerformance(
        day=day, labelled_day=None if labelled == UNMEASURED else labelled, rows=900 + int(chance.integers(60)),
        metrics={"log_loss": hard + chance.normal(0, 0.02), "roc_auc": 0.7}, reason="made up",
        champion_version=3 if day >= SECOND else 2, status="fine", window=window, window_days=WINDOW,
        expected={"log_loss": 0.5, "brier": 0.16, "skill": 0.055}, label_coverage=0.98 + chance.normal(0, 0.004),
    )  # fmt: skip
    decided = Decision(day=day, action="nothing", reasons=("calm",), alarm=False, state="calm", champion_version=3)
    return Day(day, day_summary.summarise(decided, None, live))


def facts_of(days: int) -> dict[str, Any]:
    """Return what the page is answered of the newest days."""
    chance = np.random.default_rng(5)
    span = [LAST - timedelta(days=back) for back in reversed(range(DAYS))]
    read = [monitored(day, chance) for day in span]
    shown = {day for day in span if (LAST - day).days < days}
    by_day = {day - timedelta(days=1): slices_of(day, chance) for day in span}
    labelled = sorted(day for day in by_day if day in shown)
    facts: dict[str, Any] = plain(
        {
            "metric": {"metric": "log_loss", "metric_label": "log loss", "greater_is_better": False},
            "confidence": 0.95,
            "live": series.live_figures([day for day in read if day.day in shown], TENURES, metric="log_loss"),
            "champion_tenures": TENURES,
            "labels": {
                **series.label_delays({day: arrivals_of(day) for day in labelled}),
                "label_delay_days": 1, "min_coverage": 0.8,
            },
            "slices": {"days": labelled, "window_days": WINDOW, "reason": None,
                       "slices": slice_history(by_day, labelled, window=WINDOW)},
            "trainings": [one for one in trainings() if one["last_day"] >= str(min(shown))],
            "cost": COST,
            "data_versions": [{"day": day, "versions": 2} for day in labelled],
            "unreadable": [], "hint": None,
        }
    )  # fmt: skip
    return facts


def slices_of(day: date, chance: np.random.Generator) -> dict[str, list[float]]:
    """Make up the sums of a day's slices; the evening is worse than predicted in the newest weeks."""
    figures: dict[str, list[float]] = {}
    for name, rows in (("the whole day", 900), (ODD, 200), ("origin = JFK", 300), ("hour >= 18", 220)):
        expected = 0.22 * rows
        more = 0.1 * rows if name.startswith("hour") and day > SECOND else 0.0
        figures[name] = [rows, expected, float(chance.binomial(rows, (expected + more) / rows))]
    return figures


def arrivals_of(day: date) -> tuple[Arrival, ...]:
    """Make up when labels came: the next day, every tenth day corrected a week later."""
    first = Arrival(day=day, md5="a", partition=day + timedelta(days=1))
    late = Arrival(day=day, md5="b", partition=day + timedelta(days=8))
    return (first, late) if day.day % 10 == 0 else (first,)


def trainings() -> list[dict[str, Any]]:
    """Make up two trainings that nobody has decided about."""
    rows = []
    for version, back in ((2, 110), (3, 41)):
        rows.append(
            Version(
                version=version, run_id=f"run{version}", created_at=datetime(2013, 3, version, tzinfo=UTC), aliases=(),
                tags={"window_last_day": str(LAST - timedelta(days=back)), "data_version": "0f" * 20,
                      "requested_by": "monitor"},
                metrics={"fit_seconds": 10.0 * version, "train_rows": 50_000.0},
            )
        )  # fmt: skip
    return series.trainings(rows, [])
