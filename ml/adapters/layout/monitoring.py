"""Name what is measured and decided for a day, and what refits in shadow leave."""

from __future__ import annotations

from ml.adapters.layout.days import Day


def day_dir(day: Day) -> str:
    """Return the folder with what was measured and decided for a day."""
    return f"monitor/day={day}"


SUMMARY, DECISION, COMPARISON = "summary.json", "decision.json", "comparison.json"
PERFORMANCE, PERFORMANCE_BY_DAY = "performance.json", "performance_by_day.csv"
"""Inside `day_dir`."""

SLICE_SCORES = "slice_scores"
"""A folder with what the slices of the newest labelled days measured; its only file is `ingest.SUMS`."""


REFITS, REFIT = "refits", "pipeline.skops"
"""A folder with the days that refits in shadow have scored, and each `shadow_refit`; the latter's only file."""


def refit_days(version: int) -> str:
    """Return the file with the days that refits in shadow have scored beside a version, inside `REFITS`."""
    return f"version={version}.json"


def shadow_refit(fingerprint: str, most_rows: int) -> str:
    """Return the folder of a recipe that was fitted again in shadow; ``fingerprint`` is of its training."""
    return f"{REFITS}/{fingerprint}-{most_rows}"


def drift_result(version: int | None) -> str:
    """Return the facts of a drift report, inside `day_dir`."""
    return f"version={version}/drift.json"


def drift_report(version: int | None) -> str:
    """Return Evidently's drift report, inside `day_dir`."""
    return f"version={version}/drift.html"


def distributions(version: int | None) -> str:
    """Return how each column was distributed in the reference and in the window, inside `day_dir`."""
    return f"version={version}/distributions.json"
