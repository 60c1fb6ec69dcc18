"""What the overview page draws of the monitored days: where things stand, the timeline, and the map of drift."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ml.adapters import layout
from ml.adapters.replayed_days import Replayed
from ml.core import metrics
from ml.core.built_in_metrics import PINBALL
from ml.core.champions import decision_summaries, tenures
from ml.core.metrics import mean_loss
from ml.core.monitoring import day_summary
from ml.core.monitoring.day_summary import Day, Facts
from ml.records import Logged

OTHER_FIGURES = {
    "gap": ("mean prediction minus mean outcome", "nearer 0"),
    "skill": ("skill", "higher"),
    "interval_coverage": ("share of outcomes inside of their prediction interval", ""),
}
"""What is measured of served predictions beside the metrics: label and direction."""

DIGITS = 6
"""Of figures that are computed for show."""
GAP_OF = "gap of "
"""How the gap of one of several classes begins."""
ROLES = ("structural", "environment", "prediction", "label")
NAME, ROLE, SCORE, LIMIT = (day_summary.COLUMN.index(name) for name in ("column", "role", "score", "limit"))
OF_VERSION = ("method", "limit", "baseline_range", "importance", "matters")
"""What a column's limit follows from is the same on all days of a version."""

MARKS = (
    "promotion",
    "hold",
    "rejection",
    "rollback",
    "withdrawal",
    "retrain_request",
    "day_exclusion",
    "day_inclusion",
    "split_stop",
    "split_resumption",
)


def better(name: str) -> str:
    """Return in which direction a figure improves: ``higher``, ``lower``, ``nearer 0``, or neither (empty)."""
    if name.startswith(GAP_OF):
        return OTHER_FIGURES["gap"][1]
    return OTHER_FIGURES[name][1] if name in OTHER_FIGURES else metrics.direction(name)


def label(name: str) -> str:
    """Return a figure's name as people read it."""
    if name.startswith(GAP_OF):
        return f"mean probability of {name.removeprefix(GAP_OF)} minus how often it came"
    return OTHER_FIGURES[name][0] if name in OTHER_FIGURES else metrics.label(name)


def figures(performance: Facts, *, metric: str) -> list[Facts]:
    """List live metrics beside what the gate saw of them: the gate's own first, then gap and skill."""
    window, expected = performance.get("window") or {}, performance.get("expected") or {}
    newest = performance.get("metrics") or {}
    order = {name: rank for rank, name in enumerate((metric, "gap", "skill", "interval_coverage"))}
    names = sorted({*window, *expected, *newest}, key=lambda name: (order.get(name, 9), name))
    labels = {"skill": f"{label(mean_loss(metric))} below the base rate's"}
    if any(name.startswith(GAP_OF) for name in names):
        labels["gap"] = "mean probability minus how often it came, of the class that is furthest off"
    if metric.startswith(PINBALL):
        labels["gap"] = "share of outcomes at or below the prediction minus the quantile"
    return [
        {
            "name": name,
            "label": labels.get(name) or label(name),
            "better": better(name),
            **_interval(window.get(name)),
            "expected": expected.get(name),
            "newest": newest.get(name),
        }
        for name in names
    ]


def base_rate_of(value: float | None, skill: float | None, metric: str) -> float | None:
    """Return what the base rate would have had where a metric is the mean loss that the skill is a gain of.

    None for other metrics, and where either is unknown.
    """
    if value is None or skill is None or mean_loss(metric) != label(metric):
        return None
    return round(value + skill, DIGITS)


def _interval(interval: Mapping[str, Any] | None) -> Facts:
    return {end: (interval or {}).get(end) for end in ("value", "low", "high")}


# --- timeline -----------------------------------------------------------------------------------------


def timeline(days: Sequence[Day], *, metric: str, replayed: Collection[date] = ()) -> list[Facts]:
    """Return one entry a monitored day, oldest first: the live metric with its intervals, and what was decided.

    ``value`` is the metric of ``labelled_day`` alone, and stands with the newest day that measured it: labels that
    were late move it. ``window`` is the trailing window's with its interval.
    """
    points = [_point(day, metric) | _replayed(day.day in replayed) for day in days if day.facts or day.problem]
    summary: set[str] = set()
    for entry in reversed(points):
        measured = entry.get("labelled_day")
        if measured in summary:
            entry["value"] = None
        elif measured is not None:
            summary.add(measured)
    return points


def _point(day: Day, metric: str) -> Facts:
    facts = day.facts
    if facts is None:
        return {"day": day.day.isoformat(), "unreadable": day.problem}
    live = facts["performance"] or {}
    window = live.get("window") or {}

    def value_in(name: str) -> float | None:
        return (window.get(name) or {}).get("value")

    return {
        "day": facts["day"],
        "version": facts["version"],
        "state": facts["state"],
        "action": facts["action"],
        "message": "; ".join(facts["reasons"]),
        "status": live.get("status", "unknown"),
        "labelled_day": live.get("labelled_day"),
        "rows": live.get("rows") or 0,
        "value": (live.get("metrics") or {}).get(metric),
        "window": _interval(window[metric]) if metric in window else None,
        "gap": _interval(window["gap"]) if "gap" in window else None,
        "skill": _interval(window["skill"]) if "skill" in window else None,
        "expected": (live.get("expected") or {}).get(metric),
        "base_rate": base_rate_of(value_in(metric), value_in("skill"), metric),
        "estimated": live.get("estimated"),
        "estimated_day": live.get("estimated_day"),
        "report": report_of(facts),
        **({"unreadable": day.problem} if day.problem else {}),
    }


def report_of(facts: Facts) -> str | None:
    """Return the name in storage of the day's Evidently report; None if there is none."""
    drift = facts.get("drift") or {}
    if not drift.get("report"):
        return None
    return f"{layout.monitoring.day_dir(facts['day'])}/{layout.monitoring.drift_report(drift['version'])}"


def marks(days: Sequence[Day], decisions: Sequence[Logged], replayed: Replayed | None = None) -> list[Facts]:
    """Return what happened, in the order of its days: decisions, and the first day of each alarm.

    What a replay has done says so.
    """
    past = replayed or Replayed()
    decision_marks = [_mark(entry) | _replayed(past.decided(entry)) for entry in decisions if entry.kind in MARKS]
    alarm: list[Facts] = []
    begun: Facts | None = None
    version = None
    for facts in (day.facts for day in days if day.facts):
        if facts["state"] != "alarm":
            begun = begun if begun is not None and _goes_on(facts, version) else None
            continue
        version = facts["version"]
        if begun is None:
            reason = "; ".join(facts["reasons"])
            begun = {
                "day": facts["day"],
                "last_day": facts["day"],
                "kind": "alarm",
                "version": facts["version"],
                "against": None,
                "label": f"alarm: {reason}",
                "decision_id": None,
                **_replayed(date.fromisoformat(facts["day"]) in past.days),
            }
            alarm.append(begun)
        else:
            begun["last_day"] = facts["day"]
    return sorted([*decision_marks, *alarm], key=lambda mark: str(mark["day"]))


def _goes_on(facts: Facts, version: int | None) -> bool:
    """Return whether an alarm goes on under a version that came to serve: its days are counted anew."""
    alarming = any(finding["severity"] == "alarm" for finding in facts["findings"])
    return bool(facts["state"] == "watching" and facts["version"] != version and alarming)


def _replayed(yes: bool) -> Facts:
    return {"replayed": True} if yes else {}


def day_of(entry: Logged) -> date:
    """Return the day that a decision belongs to: from which it is in force, on which was judged, or was decided."""
    judged = entry.payload.get("judged_on")
    try:
        return entry.effective_day or date.fromisoformat(str(judged))
    except ValueError:
        return entry.decided_at.date()


def _mark(entry: Logged) -> Facts:
    summary = decision_summaries.summarise(entry)
    who = f"version {summary.version}" if summary.version is not None else "a challenger"
    over = f" over version {summary.against}" if summary.against is not None else ""
    description = {
        "promotion": f"{who} promoted{over}",
        "hold": f"{who} held",
        "rejection": f"{who} rejected",
        "rollback": f"rolled back to {who}"
        + (f" from version {summary.against}" if summary.against is not None else ""),
        "withdrawal": f"version {summary.against} withdrawn",
        "retrain_request": "challenger requested",
        "split_stop": f"split of {who} stopped",
        "split_resumption": f"split of {who} resumed",
    }.get(entry.kind, "")
    return {
        "day": day_of(entry).isoformat(),
        "kind": entry.kind,
        "version": summary.version,
        "against": summary.against,
        "label": ": ".join(filter(None, [description, *summary.reasons[:1]])),
        "decision_id": summary.decision_id,
    }


def champion_tenures(decisions: Sequence[Logged]) -> list[Facts]:
    """Return who served from when to when, both ends inclusive; the last has no last day."""
    starts: list[tuple[int | None, date]] = []
    for entry in tenures.changes(decisions):
        assert entry.effective_day is not None
        starts = [tenure for tenure in starts if tenure[1] < entry.effective_day]
        starts.append((None if entry.kind == "withdrawal" else int(entry.payload["version"]), entry.effective_day))
    ends = [day - timedelta(days=1) for _, day in starts[1:]]
    return [
        {"version": version, "first_day": first.isoformat(), "last_day": last.isoformat() if last else None}
        for (version, first), last in zip(starts, [*ends, None], strict=False)
        if version is not None
    ]


# --- map of drift -------------------------------------------------------------------------------------


def drift_map(days: Sequence[Day]) -> Facts:
    """Lay drift out as columns × days; a cell is a distance, also as a multiple of its day's limit.

    Returns
    -------
    dict
        ``days`` (ISO) from the first to the last monitored day without a gap, and as many ``versions``, ``status``,
        ``reasons`` (empty where calm) and ``reports``; ``columns`` with as many ``score`` and ``ratio`` (None where
        not measured), and ``versions``: what was the same for all days of a version. ``unreadable`` names days.
    """
    facts_by_day = {day.day: day.facts for day in days if day.facts}
    unreadable = [{"day": day.day.isoformat(), "message": day.problem} for day in days if day.problem]
    ends = [*facts_by_day, *(day.day for day in days if day.problem)]
    span = [min(ends) + timedelta(days=n) for n in range((max(ends) - min(ends)).days + 1)] if ends else []
    measured = [facts_by_day.get(day) for day in span]
    drifts = [(facts or {}).get("drift") or {} for facts in measured]
    return {
        "first_day": span[0].isoformat() if span else None,
        "last_day": span[-1].isoformat() if span else None,
        "days": [day.isoformat() for day in span],
        "versions": [drift.get("version") for drift in drifts],
        "status": [drift.get("status", "unknown") for drift in drifts],
        "reasons": [drift.get("reason", "") if drift.get("status") != "calm" else "" for drift in drifts],
        "reports": [report_of(facts) if facts else None for facts in measured],
        "columns": _cells(measured),
        "unreadable": unreadable,
    }


def _cells(measured: Sequence[Facts | None]) -> list[Facts]:
    columns: dict[str, Facts] = {}
    for position, facts in enumerate(measured):
        drift = (facts or {}).get("drift") or {}
        version = str(drift.get("version"))
        for cell in day_summary.columns(drift):
            name, score, limit = cell[NAME], cell[SCORE], cell[LIMIT]
            column = columns.get(name)
            if column is None:
                nothing = [None] * len(measured)
                column = columns[name] = {"column": name, "score": nothing, "ratio": [*nothing], "versions": {}}
            column["role"] = cell[ROLE]
            if score is not None:
                column["score"][position] = round(score, 5)
                column["ratio"][position] = round(score / limit, 3) if limit else None
            if version not in column["versions"]:
                about = dict(zip(day_summary.COLUMN, cell, strict=True))
                column["versions"][version] = {name: about[name] for name in OF_VERSION}
    return sorted(columns.values(), key=lambda column: _place(column["role"]))


def _place(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
