"""What the overview page draws of the monitored days: where things stand, the timeline, and the map of drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ml.core import daybook, history
from ml.core.daybook import Day, Facts
from ml.core.metrics import greater_is_better, mean_loss
from ml.records import Logged

LABELS = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "calibration_error": "calibration error",
    "calibration_gap": "calibration gap",
    "prevalence": "observed rate",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "bias": "bias",
    "gap": "mean prediction minus mean outcome",
}
NEARER_0 = {"calibration_gap", "bias", "gap"}
NEITHER = {"prevalence"}
ROLES = ("structural", "environment", "prediction", "label")
NAME, ROLE, SCORE, LIMIT = (daybook.COLUMN.index(name) for name in ("column", "role", "score", "limit"))
OF_VERSION = ("method", "limit", "no_change", "importance", "matters")
"""What a column's limit follows from is the same on all days of a version."""

MARKS = ("promotion", "hold", "rejection", "rollback", "withdrawal", "retrain_request")


def better(name: str) -> str:
    """Say in which direction a metric improves: ``higher``, ``lower``, ``nearer 0``, or neither (empty)."""
    if name in NEITHER:
        return ""
    if name in NEARER_0:
        return "nearer 0"
    return "higher" if greater_is_better(name) or name == "skill" else "lower"


def label(name: str) -> str:
    """Give a metric's name as people read it."""
    return LABELS.get(name, name.replace("_", " "))


def figures(performance: Facts, *, metric: str) -> list[Facts]:
    """List live metrics beside what the gate saw of them: the gate's own first, then gap and skill."""
    window, promised = performance.get("window") or {}, performance.get("promised") or {}
    newest = performance.get("metrics") or {}
    order = {name: place for place, name in enumerate((metric, "gap", "skill"))}
    names = sorted({*window, *promised, *newest}, key=lambda name: (order.get(name, 9), name))
    return [
        {
            "name": name,
            "label": label(name) if name != "skill" else f"{label(mean_loss(metric))} below the base rate's",
            "better": better(name),
            **_interval(window.get(name)),
            "promised": promised.get(name),
            "newest": newest.get(name),
        }
        for name in names
    ]


def _interval(found: Mapping[str, Any] | None) -> Facts:
    return {end: (found or {}).get(end) for end in ("value", "low", "high")}


# --- timeline -----------------------------------------------------------------------------------------


def timeline(days: Sequence[Day], *, metric: str) -> list[Facts]:
    """Give one entry a monitored day, oldest first: the live metric with its intervals, and what was decided.

    ``value`` is the metric of ``labelled_day`` alone, and stands with the newest day that measured it: labels that
    were late move it. ``window`` is the trailing window's with its interval.
    """
    found = [_point(day, metric) for day in days if day.facts or day.problem]
    told: set[str] = set()
    for entry in reversed(found):
        measured = entry.get("labelled_day")
        if measured in told:
            entry["value"] = None
        elif measured is not None:
            told.add(measured)
    return found


def _point(day: Day, metric: str) -> Facts:
    facts = day.facts
    if facts is None:
        return {"day": day.day.isoformat(), "unreadable": day.problem}
    live = facts["performance"] or {}
    window = live.get("window") or {}
    return {
        "day": facts["day"],
        "version": facts["version"],
        "state": facts["state"],
        "action": facts["action"],
        "said": "; ".join(facts["reasons"]),
        "status": live.get("status", "unknown"),
        "labelled_day": live.get("labelled_day"),
        "rows": live.get("rows") or 0,
        "value": (live.get("metrics") or {}).get(metric),
        "window": _interval(window[metric]) if metric in window else None,
        "gap": _interval(window["gap"]) if "gap" in window else None,
        "skill": _interval(window["skill"]) if "skill" in window else None,
        "promised": (live.get("promised") or {}).get(metric),
        "estimated": live.get("estimated"),
        "estimated_day": live.get("estimated_day"),
        "report": report_of(facts),
        **({"unreadable": day.problem} if day.problem else {}),
    }


def report_of(facts: Facts) -> str | None:
    """Give the name in storage of the day's Evidently report; None if there is none."""
    drift = facts.get("drift") or {}
    if not drift.get("report"):
        return None
    return f"monitor/day={facts['day']}/version={drift['version']}/drift.html"


def marks(days: Sequence[Day], decisions: Sequence[Logged]) -> list[Facts]:
    """Give what happened, in the order of its days: decisions, and the first day of each alarm."""
    found = [_mark(entry) for entry in decisions if entry.kind in MARKS]
    alarm: list[Facts] = []
    begun: Facts | None = None
    for facts in (day.facts for day in days if day.facts):
        if facts["state"] != "alarm":
            begun = None
        elif begun is None:
            why = "; ".join(facts["reasons"])
            begun = {
                "day": facts["day"],
                "last_day": facts["day"],
                "kind": "alarm",
                "version": facts["version"],
                "against": None,
                "label": f"alarm: {why}",
                "decision_id": None,
            }
            alarm.append(begun)
        else:
            begun["last_day"] = facts["day"]
    return sorted([*found, *alarm], key=lambda mark: str(mark["day"]))


def day_of(entry: Logged) -> date:
    """Give the day that a decision belongs to: from which it is in force, on which was judged, or was decided."""
    judged = entry.payload.get("judged_on")
    try:
        return entry.effective_day or date.fromisoformat(str(judged))
    except ValueError:
        return entry.decided_at.date()


def _mark(entry: Logged) -> Facts:
    told = history.tell(entry)
    who = f"version {told.version}" if told.version is not None else "a challenger"
    over = f" over version {told.against}" if told.against is not None else ""
    said = {
        "promotion": f"{who} promoted{over}",
        "hold": f"{who} held",
        "rejection": f"{who} rejected",
        "rollback": f"rolled back to {who}" + (f" from version {told.against}" if told.against is not None else ""),
        "withdrawal": f"version {told.against} withdrawn",
        "retrain_request": "challenger asked for",
    }[entry.kind]
    return {
        "day": day_of(entry).isoformat(),
        "kind": entry.kind,
        "version": told.version,
        "against": told.against,
        "label": f"{said}: {told.reasons[0]}" if told.reasons else said,
        "decision_id": told.decision_id,
    }


def reigns(decisions: Sequence[Logged]) -> list[Facts]:
    """Give who served from when to when, both ends inclusive; the last has no last day."""
    found: list[tuple[int | None, date]] = []
    for entry in history.changes(decisions):
        assert entry.effective_day is not None
        found = [reign for reign in found if reign[1] < entry.effective_day]
        found.append((None if entry.kind == "withdrawal" else int(entry.payload["version"]), entry.effective_day))
    ends = [day - timedelta(days=1) for _, day in found[1:]]
    return [
        {"version": version, "first_day": first.isoformat(), "last_day": last.isoformat() if last else None}
        for (version, first), last in zip(found, [*ends, None], strict=False)
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
    known = {day.day: day.facts for day in days if day.facts}
    unreadable = [{"day": day.day.isoformat(), "said": day.problem} for day in days if day.problem]
    ends = [*known, *(day.day for day in days if day.problem)]
    span = [min(ends) + timedelta(days=n) for n in range((max(ends) - min(ends)).days + 1)] if ends else []
    measured = [known.get(day) for day in span]
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
    found: dict[str, Facts] = {}
    for place, facts in enumerate(measured):
        drift = (facts or {}).get("drift") or {}
        version = str(drift.get("version"))
        for cell in daybook.columns(drift):
            name, score, limit = cell[NAME], cell[SCORE], cell[LIMIT]
            column = found.get(name)
            if column is None:
                nothing = [None] * len(measured)
                column = found[name] = {"column": name, "score": nothing, "ratio": [*nothing], "versions": {}}
            column["role"] = cell[ROLE]
            if score is not None:
                column["score"][place] = round(score, 5)
                column["ratio"][place] = round(score / limit, 3) if limit else None
            if version not in column["versions"]:
                about = dict(zip(daybook.COLUMN, cell, strict=True))
                column["versions"][version] = {name: about[name] for name in OF_VERSION}
    return sorted(found.values(), key=lambda column: _place(column["role"]))


def _place(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
