"""What the charts of performance over time draw, read from what is kept anyway: no file is written for them."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import date, timedelta
from typing import Any

from ml.adapters import layout
from ml.adapters.tracking.decision_log import merged
from ml.core.monitoring.day_summary import plain
from ml.core.monitoring.health import NOT_MONITORED
from ml.core.monitoring.slice_figures import kept_days, slice_history
from ml.core.monitoring.slice_findings import are_measured
from ml.errors import MissingArtifact
from ml.views import charts
from ml.views import performance_series as series
from ml.views.page import days as monitored
from ml.views.page.cache import MEMORY
from ml.views.page.model_list import ABOUT_VERSIONS, CLOCKS
from ml.views.page.sources import decided, held, hint, registered
from ml.views.page.timeline import about_metric
from ml.wiring import Services

logger = logging.getLogger(__name__)
SECONDS = 30.0
Facts = dict[str, Any]


def performance_charts(services: Services, *, days: int = 90) -> Facts:
    """Gather live figures, slices, labels and trainings of the newest ``days`` calendar days.

    Returns
    -------
    dict
        ``metric`` of the gate; ``confidence`` of the intervals;
        ``live``: `ml.views.performance_series.live_figures`; ``champion_tenures``; ``labels``:
        `ml.views.performance_series.label_delays`, with ``label_delay_days`` and ``min_coverage`` of the settings;
        ``slices``: ``days``, ``window_days`` and ``slices`` (`ml.core.monitoring.slice_figures.slice_history`) of the
        newest labelled days that *monitor* keeps, with ``reason`` why there are none; ``trainings``:
        `ml.views.performance_series.trainings`; ``cost`` of one
        by the settings (None if not set); ``data_versions``: ``day`` and
        ``versions``, how many were committed then; ``unreadable``; ``hint``, what to do if nothing was monitored.
    """
    inventory = held(services)
    shown = inventory.newest_days(days)
    read = monitored.read_decided(services, shown)
    log = decided(services)
    tenures = charts.champion_tenures(log.changes)
    settings = services.settings
    first = shown[0] if shown else date.max
    labelled = [day for day in inventory.labels if first <= day]
    facts: Facts = plain(
        {
            "metric": about_metric(services),
            "confidence": settings.performance.confidence,
            "live": series.live_figures(read, tenures, metric=settings.gate.metric),
            "champion_tenures": tenures,
            "labels": {
                **series.label_delays(
                    services.registry.arrivals(min(labelled), max(labelled)) if labelled else {},
                ),
                "label_delay_days": settings.task.label_delay_days,
                "min_coverage": settings.performance.min_label_coverage,
            },
            "slices": _slices(services, first),
            "trainings": _trainings(services, first),
            "cost": settings.retrain.cost,
            "data_versions": _data_versions(services, first) if shown else [],
            "unreadable": [{"day": day.day, "message": day.problem} for day in read if day.problem],
            "hint": None if any(day.facts for day in read) else hint(services, NOT_MONITORED),
        }
    )
    return facts


def _slices(services: Services, first: date) -> Facts:
    """Follow each slice over the labelled days that one file keeps; say why where there are none."""
    settings = services.settings
    window = settings.land.calendar_days(settings.performance.window_days)
    nothing: Facts = {"days": [], "window_days": window, "slices": []}
    if not are_measured(settings):
        return {**nothing, "reason": "Slices are not measured for this model: see performance.slices in the settings."}
    folder = services.storage_folder(layout.monitoring.SLICE_SCORES)
    try:
        by_day = {day: figures for day, (_, _, figures) in kept_days(folder.read_json(layout.ingest.SUMS)).items()}
    except MissingArtifact:
        return {**nothing, "reason": "No slice was measured yet: Monitor does so once labels of scored days arrive."}
    except (ValueError, TypeError, AttributeError) as err:
        logger.warning("overview: %s cannot be read: %s", folder.uri(layout.ingest.SUMS), err)
        return {**nothing, "reason": "The slices were kept by another release: the next run of Monitor measures them."}
    days = sorted(day for day in by_day if day >= first)
    return {
        "days": days,
        "window_days": window,
        "slices": slice_history(by_day, days, window=window),
        "reason": None if days else "No slice of these days is kept.",
    }


def _trainings(services: Services, first: date) -> list[Facts]:
    """List the trainings whose labels reach into the span; a version without the last day of its labels is left out."""
    log = decided(services)
    versions = [one for one in registered(services) if one.tags.get("window_last_day", "") >= str(first)]
    if not versions:
        return []
    since = min(version.created_at for version in versions) - CLOCKS
    decisions = merged(log.changes, log.since(since, kinds=ABOUT_VERSIONS))
    return series.trainings(versions, decisions)


def _data_versions(services: Services, first: date) -> list[Facts]:
    """Count the data versions by the day on which they were committed."""

    def counted() -> Counter[date]:
        return Counter(version.committed_at.date() for version in services.registry.history())

    by_day = MEMORY.remembered(("data versions", services.environment.registry), SECONDS, counted)
    return [{"day": day, "versions": by_day[day]} for day in sorted(by_day) if day >= first - timedelta(days=1)]
