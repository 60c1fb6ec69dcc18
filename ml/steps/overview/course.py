"""The timeline of live performance and the map of drift."""

from __future__ import annotations

from typing import Any

from ml.core import overview
from ml.core.standing import NOT_MONITORED
from ml.steps.overview import days as monitored
from ml.steps.overview.sources import decided, held
from ml.wiring import Services


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
        ``last_day`` (None if nothing was monitored); ``days``: `ml.core.overview.timeline`, where a day that cannot
        be read has ``day`` and ``unreadable`` only; ``marks``: `ml.core.overview.marks`, those of the span and
        after; ``reigns``; ``max_gap``, the bound of the gap; ``hint``, what to do if there is nothing.
    """
    metric = services.settings.gate.metric
    decisions = decided(services)
    read = monitored.read(services, held(services).newest_days(days))
    entries = overview.timeline(read, metric=metric)
    first = entries[0]["day"] if entries else None
    marks = overview.marks(read, decisions)
    reigns = overview.reigns(decisions)
    return {
        "metric": about_metric(services),
        "first_day": first,
        "last_day": entries[-1]["day"] if entries else None,
        "max_gap": services.settings.performance.max_gap,
        "days": entries,
        "marks": [mark for mark in marks if days is None or first is None or mark["day"] >= first],
        "reigns": [reign for reign in reigns if first is None or (reign["last_day"] or first) >= first],
        "hint": None if entries else NOT_MONITORED,
    }


def drift_map(services: Services, *, days: int | None = None) -> dict[str, Any]:
    """Gather the distance of each column on each day.

    Parameters
    ----------
    days
        The newest so many calendar days; None for all.

    Returns
    -------
    dict
        `ml.core.overview.drift_map`, and ``hint``, what to do if there is nothing.
    """
    found = overview.drift_map(monitored.read(services, held(services).newest_days(days)))
    hint = None if found["columns"] else "No drift was measured yet: Monitor measures it once a champion serves."
    return found | {"hint": hint}


def about_metric(services: Services) -> dict[str, Any]:
    """Name the metric that the gate judges by."""
    metric = services.settings.gate.metric
    return {
        "metric": metric,
        "metric_label": overview.label(metric),
        "greater_is_better": overview.better(metric) == "higher",
    }
