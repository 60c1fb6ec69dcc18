"""Read what monitoring left of each day: its summary."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from ml.adapters import layout
from ml.core.monitoring import day_summary
from ml.core.monitoring.day_summary import Day
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import rerun
from ml.records import Decision
from ml.views.page.cache import MEMORY, MISSING
from ml.views.page.sources import starting
from ml.wiring import Services

logger = logging.getLogger(__name__)
FRESH_DAYS = 14
SECONDS = 300.0
"""The newest days are read each time; others, which only a cleared run changes, once in so many seconds."""

THREADS = 16
NOT_DECIDED = (
    "monitoring has not come to a decision yet: where its run of Monitor is over, look at it, and run again what failed"
)


def read(services: Services, days: Sequence[date]) -> list[Day]:
    """Read some days, several at once; a day that cannot be read is listed with its problem.

    Raises
    ------
    Unavailable
        If the storage did not answer.
    """
    storage, fresh = services.environment.storage, set(sorted(days)[-FRESH_DAYS:])
    by_day: dict[date, Any] = {day: MISSING if day in fresh else MEMORY.recall(("day", storage, day)) for day in days}
    wanted = [day for day, result in by_day.items() if result is MISSING]
    if wanted:
        opened = services.storage  # once, before the threads ask for it
        assert opened is not None
        with ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
            for day, result in zip(wanted, pool.map(lambda day: _read(services, day), wanted), strict=True):
                by_day[day] = result
                MEMORY.keep(("day", storage, day), result, SECONDS)
    return [by_day[day] for day in days]


def read_decided(services: Services, days: Sequence[date]) -> list[Day]:
    """Read some days as `read` does; while `make up` is at work, without the one that it is at work on."""
    monitored = read(services, days)
    if not starting(services):
        return monitored
    return [day for day in monitored if day.facts is None or is_decided(day)]


def is_decided(day: Day) -> bool:
    """Return whether monitoring has come to a decision on a day that it has begun."""
    return day.facts is not None and tuple(day.facts["reasons"]) != (NOT_DECIDED,)


def _read(services: Services, day: date) -> Day:
    stored = services.storage_folder(layout.monitoring.day_dir(day))
    try:
        return Day(day, day_summary.read(stored.objects.get_bytes(stored.name(layout.monitoring.SUMMARY))))
    except MissingArtifact:
        undecided = Decision(day=day, action="nothing", reasons=(NOT_DECIDED,), alarm=False)
        return Day(day, day_summary.summarise(undecided, None, None) if stored.names() else None)
    except ValueError as err:
        return _unreadable(day, stored.uri(layout.monitoring.SUMMARY), err)
    except EvergreenError as err:
        if err.retryable:
            raise
        return Day(day, None, str(err))


def _unreadable(day: date, where: str, err: Exception) -> Day:
    logger.warning("overview: %s cannot be read: %s", where, err)
    message = f"{where} cannot be read ({err}): {rerun('monitor', day)}, to write it again"
    return Day(day, None, message)
