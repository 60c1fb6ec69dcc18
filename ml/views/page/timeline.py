"""The timeline of live performance and the map of drift."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ml.adapters.tracking.decision_log import DecisionLog
from ml.core.monitoring.day_summary import Day
from ml.core.monitoring.health import NOT_MONITORED
from ml.records import Logged
from ml.views import charts
from ml.views.page import days as monitored
from ml.views.page.sources import decided, held, hint, replayed
from ml.wiring import Services

DAYS_TO_COME = 31
"""Decisions about so many days after the newest are on the timeline: what serves from tomorrow on, or later."""


def timeline(services: Services, *, days: int | None = None) -> dict[str, Any]:
    """Gather the live metric by day, and what happened.

    Parameters
    ----------
    days
        The newest so many calendar days; None for all.

    Returns
    -------
    dict
        ``metric``, ``metric_label``, ``greater_is_better`` of the gate's metric under ``metric``; ``first_day`` and
        ``last_day`` (None if nothing was monitored); ``days``: `ml.views.charts.timeline`, where a day that cannot
        be read has ``day`` and ``unreadable`` only, and ``replayed`` says that a replay has lived through it;
        ``marks``: `ml.views.charts.marks`, those of the span and after;
        ``champion_tenures``; ``confidence`` of the intervals; ``max_gap``, the bound of the gap;
        ``hint``, what to do if there is nothing.
    """
    metric = services.settings.gate.metric
    log = decided(services)
    read, past = monitored.read_decided(services, held(services).newest_days(days)), replayed(services)
    entries = charts.timeline(read, metric=metric, replayed=past.days)
    first = entries[0]["day"] if entries else None
    decided_then = _decided_in(read, log) if days is not None else services.tracking.decisions()
    marks = charts.marks(read, decided_then, replayed=past)
    champion_tenures = charts.champion_tenures(log.changes)
    return {
        "metric": about_metric(services),
        "first_day": first,
        "last_day": entries[-1]["day"] if entries else None,
        "confidence": services.settings.performance.confidence,
        "max_gap": services.settings.performance.max_gap,
        "days": entries,
        "marks": [mark for mark in marks if days is None or first is None or mark["day"] >= first],
        "champion_tenures": [
            tenure for tenure in champion_tenures if first is None or (tenure["last_day"] or first) >= first
        ],
        "hint": None if entries else hint(services, NOT_MONITORED),
    }


def _decided_in(read: Sequence[Day], log: DecisionLog) -> list[Logged]:
    """Read what was decided for the days shown, and for those to come: the champion's next days, and of labels."""
    shown = [day.day for day in read]
    if not shown:
        return log.changes
    end = max([*shown, *(day for entry in log.changes if (day := entry.effective_day))])
    return log.on_days(min(shown), end + timedelta(days=DAYS_TO_COME))


def drift_map(services: Services, *, days: int | None = None) -> dict[str, Any]:
    """Gather the distance of each column on each day.

    Parameters
    ----------
    days
        The newest so many calendar days; None for all.

    Returns
    -------
    dict
        `ml.views.charts.drift_map`; ``replayed``, which of its days a replay has lived through; ``hint``, what to do
        if there is nothing.
    """
    drift = charts.drift_map(monitored.read_decided(services, held(services).newest_days(days)))
    nothing = "No drift was measured yet: Monitor measures it once a champion serves."
    past = {day.isoformat() for day in replayed(services).days}
    return drift | {
        "replayed": [day for day in drift["days"] if day in past],
        "hint": None if drift["columns"] else hint(services, nothing),
    }


def about_metric(services: Services) -> dict[str, Any]:
    """Name the metric that the gate judges by."""
    metric = services.settings.gate.metric
    return {
        "metric": metric,
        "metric_label": charts.label(metric),
        "greater_is_better": charts.better(metric) == "higher",
    }
