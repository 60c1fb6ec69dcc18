"""Read what monitoring left of each day: its summary, or what was there before summaries were written."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from ml.adapters.workspace import Workspace
from ml.core import daybook
from ml.core.daybook import Day
from ml.errors import EvergreenError, MissingArtifact
from ml.steps.overview.memory import MEMORY, MISSING
from ml.wiring import Services

logger = logging.getLogger(__name__)
SUMMARY = "summary.json"
"""The file of a day's folder that `ml.steps.decide` writes for this."""

FRESH_DAYS = 14
SECONDS = 300.0
"""The newest days are read each time; others, which only a cleared run changes, once in so many seconds."""

THREADS = 16
NOT_DECIDED = "monitoring has not come to a decision: look at the run of Monitor for this day, and clear what is red"
DRIFT = re.compile(r"version=(\d+)/drift\.json")


def read(services: Services, days: Sequence[date]) -> list[Day]:
    """Read some days, several at once; a day that cannot be read is listed with its problem.

    Raises
    ------
    Unavailable
        If the storage did not answer.
    """
    storage, fresh = services.environment.storage, set(sorted(days)[-FRESH_DAYS:])
    known = {day: MEMORY.recall(("day", storage, day), 0 if day in fresh else SECONDS) for day in days}
    wanted = [day for day, found in known.items() if day in fresh or found is MISSING]
    if wanted:
        opened = services.storage  # once, before the threads ask for it
        assert opened is not None
        with ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
            for day, found in zip(wanted, pool.map(lambda day: _read(services, day), wanted), strict=True):
                known[day] = found
                MEMORY.keep(("day", storage, day), found)
    return [known[day] for day in days]


def _read(services: Services, day: date) -> Day:
    shelf = services.shelf(f"monitor/day={day}")
    try:
        return Day(day, daybook.read(shelf.objects.get_bytes(shelf.name(SUMMARY))))
    except MissingArtifact:
        return _from_files(shelf, day)
    except ValueError as err:
        return _unreadable(day, shelf.uri(SUMMARY), err)
    except EvergreenError as err:
        if err.retryable:
            raise
        return Day(day, None, str(err))


def _from_files(shelf: Workspace, day: date) -> Day:
    """Sum up a day that was decided before summaries were written, or whose decision is not there yet."""
    names = shelf.names()
    if not names:
        return Day(day, None)
    problems: list[Day] = []

    def facts(name: str) -> dict[str, Any] | None:
        if name not in names:
            return None
        try:
            found = json.loads(shelf.objects.get_bytes(shelf.name(name)))
            if not isinstance(found, dict):
                raise ValueError("no JSON object")
        except ValueError as err:
            problems.append(_unreadable(day, shelf.uri(name), err))
            return None
        return found

    decision = facts("decision.json")
    if decision is None:
        decision = {"state": "unknown", "reasons": [NOT_DECIDED]}
    measured = {int(found[1]): name for name in names if (found := DRIFT.fullmatch(name))}
    version = decision.get("champion_version")
    drift = facts(measured[version if version in measured else max(measured)]) if measured else None
    performance = facts("performance.json")
    try:
        summary = daybook.from_facts(day, decision, drift, performance)
    except (ValueError, TypeError, AttributeError, KeyError) as err:
        return _unreadable(day, shelf.uri(), err)
    return Day(day, summary, problems[0].problem if problems else None)


def _unreadable(day: date, where: str, err: Exception) -> Day:
    logger.warning("overview: %s cannot be read: %s", where, err)
    said = f"{where} cannot be read ({err}): clear that day's run of Monitor, to write it again"
    return Day(day, None, said)
