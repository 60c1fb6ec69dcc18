"""What the charts of performance over time draw: live figures by labelled day, and what trainings took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from ml.core.monitoring.day_summary import Day, Facts
from ml.records import Arrival
from ml.views import charts, decision_view

if TYPE_CHECKING:
    from ml.adapters.tracking.model_registry import Version
    from ml.records import Logged


def live_figures(days: Sequence[Day], tenures: Sequence[Facts], *, metric: str) -> Facts:
    """Lay out the live figures by labelled day; of two days that measured the same labels the newer one counts.

    Parameters
    ----------
    tenures
        Who served from when to when, as `ml.views.charts.champion_tenures` gives them.

    Returns
    -------
    dict
        ``days`` (ISO, the newest labelled day of each measurement) and as many ``monitored`` (the day that measured
        it), ``version`` (the champion of that day), ``served_by`` (who served the labelled day), ``rows`` (with an
        outcome, of the day), ``coverage`` (share of predicted rows with an outcome, over the window), ``window_days``;
        ``figures``, the gate's metric first: ``name``, ``label``, ``better``, and of as many entries ``value`` with
        ``low`` and ``high`` (over the window), ``daily`` (of the day alone), ``expected``, and ``base_rate``: the same
        loss of a constant that knows no feature, on the same rows; None where not known.
    """
    newest: dict[str, Facts] = {}
    for facts in (day.facts for day in days if day.facts):
        live = facts["performance"] or {}
        if live.get("labelled_day"):
            newest[live["labelled_day"]] = {"monitored": facts["day"], **live}
    order = sorted(newest)
    measured = [newest[day] for day in order]
    names = {name for live in measured for part in ("window", "expected", "metrics") for name in live.get(part) or {}}
    known = charts.figures({"metrics": dict.fromkeys(names)}, metric=metric)
    return {
        "days": order,
        "monitored": [live["monitored"] for live in measured],
        "version": [live.get("champion_version") for live in measured],
        "served_by": [_served_by(day, tenures) for day in order],
        "rows": [live.get("rows") for live in measured],
        "coverage": [live.get("label_coverage") for live in measured],
        "window_days": [live.get("window_days") for live in measured],
        "figures": [
            {**{key: about[key] for key in ("name", "label", "better")}, **_columns(about["name"], measured, metric)}
            for about in known
        ],
    }


def _served_by(day: str, tenures: Sequence[Facts]) -> int | None:
    versions = [
        tenure["version"] for tenure in tenures if tenure["first_day"] <= day and (tenure["last_day"] or day) >= day
    ]
    return versions[-1] if versions else None


def _columns(name: str, measured: Sequence[Facts], metric: str) -> Facts:
    over = [(live.get("window") or {}).get(name) or {} for live in measured]
    columns = {end: [interval.get(end) for interval in over] for end in ("value", "low", "high")}
    columns["daily"] = [(live.get("metrics") or {}).get(name) for live in measured]
    columns["expected"] = [(live.get("expected") or {}).get(name) for live in measured]
    skills = [((live.get("window") or {}).get("skill") or {}).get("value") for live in measured]
    columns["base_rate"] = [
        charts.base_rate_of(value, skill, metric) if name == metric else None
        for value, skill in zip(columns["value"], skills, strict=True)
    ]
    return columns


def label_delays(arrivals: Mapping[date, Sequence[Arrival]]) -> Facts:
    """Return after how many days the labels of each day came first, and their newest correction (None: none came).

    Returns
    -------
    dict
        ``days`` (ISO, in order), and as many ``first`` and ``corrected``.
    """
    order = sorted(day for day in arrivals if arrivals[day])
    came = [arrivals[day] for day in order]
    return {
        "days": [day.isoformat() for day in order],
        "first": [(all_of[0].partition - day).days for day, all_of in zip(order, came, strict=True)],
        "corrected": [
            (all_of[-1].partition - day).days if len(all_of) > 1 else None
            for day, all_of in zip(order, came, strict=True)
        ],
    }


def trainings(versions: Sequence[Version], decisions: Sequence[Logged]) -> list[Facts]:
    """List trainings in the order of their days; a version that was judged in its refit's place is in that one's row.

    Returns
    -------
    list of dict
        ``version``, ``outcome`` (`ml.views.decision_view.outcome`), ``last_day`` of its labels (None if not recorded),
        ``created_at``, ``requested_by``, ``data_version``, ``rows`` it was fitted on, and ``seconds`` that its fits
        took, the judged one's among them (None if none was recorded).
    """
    by_version = {version.version: version for version in versions}
    judged = {
        int(entry.payload["version"]): by_version.get(int(entry.payload["judged_version"]))
        for entry in decisions
        if entry.payload.get("version") is not None and entry.payload.get("judged_version") is not None
    }
    twins = decision_view.twins(decisions)
    rows = []
    for version in sorted(versions, key=lambda one: one.version):
        if version.version in twins:
            continue
        other = judged.get(version.version)
        fits = {fitted.version: fitted.metrics for fitted in (version, other) if fitted is not None}
        taken = [metrics["fit_seconds"] for metrics in fits.values() if "fit_seconds" in metrics]
        rows.append(
            {
                "version": version.version,
                "outcome": decision_view.outcome(version.version, decisions),
                "last_day": version.tags.get("window_last_day"),
                "created_at": version.created_at,
                "requested_by": version.tags.get("requested_by"),
                "data_version": version.tags.get("data_version"),
                "rows": version.metrics.get("train_rows"),
                "seconds": round(sum(taken), 3) if taken else None,
            }
        )
    return rows
