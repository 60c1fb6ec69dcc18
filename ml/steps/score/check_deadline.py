"""Check whether the predictions that are due by now are published, and find out why they are not.

Everything is read from what the other steps leave: the data registry, rejections, decisions, alerts of failed tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ml.adapters import layout
from ml.core.champions import tenures
from ml.core.data.rest_days import rest_reason
from ml.next_moves import ingest, rerun
from ml.records import QueuedAlert, Timeliness
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
FURTHEST_DAYS = 92
"""So many days on which no data are expected may lie before the newest day that is due."""


def run(*, settings: Settings, services: Services, now: datetime) -> Timeliness:
    """Compare what is published with what is due at an instant (aware).

    A later day than the one that is due counts too: the loop is not late any more. Days on which no data are
    expected are passed over. Without a deadline (``score.due_by``), or before anything was ingested, nothing is late.
    """
    held = services.registry.days("inputs")
    day = _due_day(settings, held, now)
    ahead = [day, *sorted(one for one in held if one > day)]
    if settings.score.due_by is None or not held or any(_published(one, services) for one in ahead):
        timeliness = Timeliness(day=day, late=False)
    else:
        cause, reason = _not_ingested(day, services) if day not in held else _not_scored(day, settings, services)
        timeliness = Timeliness(day=day, late=True, cause=cause, reason=reason)
    logger.info("check_deadline: %s is %s", day, timeliness.cause or "in time")
    return timeliness


def _due_day(settings: Settings, held: Collection[date], now: datetime) -> date:
    """Return the newest day of which predictions are due: data are expected on it, and its deadline has passed."""
    local = now.astimezone(ZoneInfo(settings.task.timezone))
    passed = local.time() >= time.fromisoformat(settings.score.due_by or "00:00")
    newest = local.date() - timedelta(days=0 if passed else 1)
    days = (newest - timedelta(days=back) for back in range(FURTHEST_DAYS))
    return next((day for day in days if day in held or not rest_reason(day, held, settings.land)), newest)


def _published(day: date, services: Services) -> bool:
    return bool(layout.scoring.published_versions(services.storage_folder(layout.scoring.predictions(day)).names()))


def _not_ingested(day: date, services: Services) -> tuple[Literal["data_rejected", "source_late", "task_failed"], str]:
    """Return why the data registry has no inputs of a day."""
    failure = _failure("ingest", day, services)
    if services.storage_folder(layout.ingest.REJECTED).has(layout.days.asset_day_json("inputs", day)):
        return (
            "data_rejected",
            f"The inputs of {day} were rejected: fix them at their source, then {rerun('ingest', day)}",
        )
    if services.storage_folder(layout.ingest.landing(day)).has(layout.ingest.landed("inputs", day)):
        message = f"The inputs of {day} came and are not in the data registry; {rerun('ingest', day)}"
        return "task_failed", failure or message
    late = f"The source has not delivered the inputs of {day}; when they are there, {ingest(day)}"
    return "source_late", f"{late}. {failure}" if failure else late


def _not_scored(day: date, settings: Settings, services: Services) -> tuple[Literal["no_champion", "task_failed"], str]:
    """Return why a day that the data registry has is not scored."""
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    tenure, reason = tenures.champion_of(day, decisions, allow_future=settings.score.force_future_model)
    if tenure is None:
        return "no_champion", f"Nobody may score {day}: {reason}"
    message = f"The inputs of {day} are there, and its scoring has failed, still runs or never began"
    return "task_failed", _failure("score", day, services) or message


def _failure(pipeline: str, day: date, services: Services) -> str:
    """Return what the newest alert of a failed task says about a day; empty if there is none."""
    prefix, alerts = f"{layout.alerts.ALERTS}task_failed/{pipeline}.", []
    for name in services.storage.list(prefix):
        alert = QueuedAlert.model_validate_json(services.storage.get_bytes(name)).alert
        if alert.day == day:
            alerts.append(alert)
    newest = max(alerts, key=lambda alert: alert.created_at, default=None)
    return f"{newest.facts['where']} failed: {newest.facts['error']}" if newest else ""
