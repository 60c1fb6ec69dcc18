"""What is kept of a monitored day for people to look at: all that a page draws, in a few kilobytes.

`ml.steps.decide` writes it as ``monitor/day=D/summary.json`` beside the three files that it sums up, of which one
holds all of Evidently's result. Of days that were decided before there was a summary it follows from these files.
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
COLUMN = ("column", "role", "method", "score", "limit", "drifted", "no_change", "importance", "matters")
"""What is kept of each column's drift, in this order."""

PERFORMANCE = (
    "status",
    "reason",
    "champion_version",
    "labelled_day",
    "rows",
    "metrics",
    "window",
    "promised",
    "window_first_day",
    "window_days",
    "window_rows",
    "estimated",
    "estimated_day",
    "estimate_error",
    "label_coverage",
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
    return from_facts(
        decision.day,
        decision.model_dump(mode="json"),
        None if drift is None else drift.model_dump(mode="json"),
        None if performance is None else performance.model_dump(mode="json"),
    )


def from_facts(
    day: date, decision: Mapping[str, Any], drift: Mapping[str, Any] | None, performance: Mapping[str, Any] | None
) -> Facts:
    """Sum up what the files of a day hold, whatever version of this code has written them.

    Names that an older file lacks are None. A decision that says nothing of a state has the one that follows from
    its alarm and from what was measured.

    Raises
    ------
    ValueError, TypeError, AttributeError, KeyError
        If a file is of another shape altogether.
    """
    alarm = bool(decision.get("alarm"))
    facts = {
        "shape": SHAPE,
        "day": day,
        "state": decision.get("state") or _state(alarm, drift),
        "action": decision.get("action", "nothing"),
        "alarm": alarm,
        "reasons": [str(reason) for reason in decision.get("reasons", ())],
        "version": decision.get("champion_version") or (drift or {}).get("champion_version"),
        "findings": [dict(finding) for finding in decision.get("findings", ())],
        "drift": None if drift is None else _drift(drift),
        "performance": None if performance is None else {name: performance.get(name) for name in PERFORMANCE},
    }
    found: Facts = plain(facts)
    return found


def _state(alarm: bool, drift: Mapping[str, Any] | None) -> str:
    if alarm:
        return "alarm"
    return {"calm": "calm", "drift": "watching"}.get(str((drift or {}).get("status")), "unknown")


def _drift(drift: Mapping[str, Any]) -> Facts:
    return {
        "status": drift.get("status", "unknown"),
        "reason": drift.get("reason", ""),
        "version": drift.get("champion_version"),
        "first_day": drift.get("current_first_day"),
        "rows": drift.get("current_rows", 0),
        "report": drift.get("report_uri") is not None,
        "columns": {
            "fields": list(COLUMN),
            "rows": [[column.get(name) for name in COLUMN] for column in drift.get("columns", ())],
        },
    }


def columns(drift: Facts) -> list[list[Any]]:
    """Give what was measured of each column, in the order of `COLUMN`; empty if nothing was.

    Parameters
    ----------
    drift
        What `summarise` says under this name; may be empty.
    """
    kept = drift.get("columns") or {}
    fields, rows = list(kept.get("fields", ())), kept.get("rows", ())
    if fields == list(COLUMN):
        return list(rows)
    places = [fields.index(name) if name in fields else None for name in COLUMN]
    return [[None if place is None else row[place] for place in places] for row in rows]


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
    found: Facts = plain(facts)
    return found


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
