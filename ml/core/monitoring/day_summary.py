"""What is kept of a monitored day for people to look at: all that a page draws, in a few kilobytes.

`ml.steps.monitor.decide` writes it as ``monitor/day=D/summary.json`` beside the three files that it sums up, of which
one holds all of Evidently's result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ml.records import Decision, DriftReport, LivePerformance

SHAPE = 1
COLUMN = ("column", "role", "method", "score", "limit", "drifted", "baseline_range", "importance", "matters")
"""What is kept of each column's drift, in this order."""

PERFORMANCE = (
    "status",
    "reason",
    "champion_version",
    "labelled_day",
    "rows",
    "metrics",
    "window",
    "expected",
    "window_first_day",
    "window_days",
    "window_rows",
    "estimated",
    "estimated_day",
    "estimate_error",
    "estimated_low",
    "estimated_high",
    "estimate_reason",
    "label_coverage",
    "slice_reason",
    "shift_reason",
)
"""What is kept of the live performance, under these names."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Day:
    """One day as monitoring left it; ``facts`` is None where it did not run, or left what nobody can read.

    ``problem`` says what cannot be read, and what to do; None if nothing is wrong.
    """

    day: date
    facts: Facts | None
    problem: str | None = None


def summarise(decision: Decision, drift: DriftReport | None, performance: LivePerformance | None) -> Facts:
    """Sum a day up, safe for JSON; `text` and `read` make it a file and back.

    Returns
    -------
    dict
        ``shape`` and ``day``; ``state``, ``action``, ``alarm``, ``reasons``, ``version`` and ``findings`` of the
        decision; ``drift`` (None if nothing is known of it) with ``status``, ``reason``, ``version``,
        ``first_day``, ``rows``, ``report`` and ``columns`` (``fields``, and ``rows`` in that order);
        ``performance`` (or None) with the names of `PERFORMANCE`.
    """
    facts = {
        "shape": SHAPE,
        "day": decision.day,
        "state": decision.state,
        "action": decision.action,
        "alarm": decision.alarm,
        "reasons": decision.reasons,
        "version": decision.champion_version or (drift.champion_version if drift else None),
        "findings": [finding.model_dump(mode="json") for finding in decision.findings],
        "drift": None if drift is None else _drift(drift),
        "performance": None if performance is None else performance.model_dump(mode="json", include=set(PERFORMANCE)),
    }
    summary: Facts = plain(facts)
    return summary


def _drift(drift: DriftReport) -> Facts:
    return {
        "status": drift.status,
        "reason": drift.reason,
        "version": drift.champion_version,
        "first_day": drift.current_first_day,
        "rows": drift.current_rows,
        "report": drift.report_uri is not None,
        "columns": {
            "fields": COLUMN,
            "rows": [[getattr(column, name) for name in COLUMN] for column in drift.columns],
        },
    }


def columns(drift: Facts) -> list[list[Any]]:
    """Return what was measured of each column, in the order of `COLUMN`; empty if nothing was.

    Parameters
    ----------
    drift
        What `summarise` says under this name; may be empty.
    """
    return list(drift.get("columns", {}).get("rows", ()))


def text(facts: Facts) -> str:
    """Write a day's summary as a small file; equal facts give equal bytes."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def read(data: bytes) -> Facts:
    """Read what `text` wrote.

    Raises
    ------
    ValueError
        If it is no summary, or of a shape that this code does not know.
    """
    facts = json.loads(data)
    if not isinstance(facts, dict) or facts.get("shape") != SHAPE:
        raise ValueError(f"no summary of shape {SHAPE}")
    summary: Facts = plain(facts)
    return summary


def plain(facts: Any) -> Any:
    """Make facts safe for JSON: days and instants as ISO 8601, and None for what is no finite number."""
    if isinstance(facts, float):
        return facts if math.isfinite(facts) else None
    if isinstance(facts, Mapping):
        return {str(key): plain(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple | set | frozenset):
        return [plain(value) for value in facts]
    if isinstance(facts, date | datetime):
        return facts.isoformat()
    return facts if facts is None or isinstance(facts, str | int) else str(facts)
