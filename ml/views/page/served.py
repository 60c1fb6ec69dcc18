"""What was answered over HTTP, of the request log: how much, by which version, and how long it took."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ml.adapters import layout
from ml.adapters.request_parts import PartSummary, summarise
from ml.core.monitoring.day_summary import plain
from ml.errors import MissingArtifact
from ml.views.page.cache import MEMORY, MISSING
from ml.wiring import Services

logger = logging.getLogger(__name__)
MOST_BYTES = 64_000_000
"""So much of the log is read, newest days first; days beyond it have no figures."""

SECONDS, PART_SECONDS = 10.0, 3600.0
Facts = dict[str, Any]


def served(services: Services, *, days: int = 14) -> Facts:
    """Gather what the scoring service answered, by the day of the rows.

    Parameters
    ----------
    days
        So many days, the newest of those that were asked for.

    Returns
    -------
    dict
        ``days`` (newest first): ``day``, and ``requests``, ``rows``, ``versions`` (``version``, ``rows``), ``seconds``
        (``median``, ``p99``; None if no part says how long it took), ``last_at``, each None where the day is not
        counted: more than `MOST_BYTES` are newer, or a part cannot be read; ``older_days``, how many the log has
        beyond these; ``log_share`` of the settings; ``problems`` that keep the service from the champion
        (``message``, ``at``); ``hint``, what to do if nothing is in the log.
    """
    parts = _parts_by_day(services)
    newest = sorted(parts, reverse=True)
    share, left = services.settings.serving.log_share, MOST_BYTES
    rows: list[Facts] = []
    for day in newest[:days]:
        left -= sum(parts[day].values())
        rows.append({"day": day, **_day_facts(_summaries(services, parts[day]) if left >= 0 else None)})
    facts: Facts = plain(
        {
            "days": rows,
            "older_days": len(newest[days:]),
            "log_share": share,
            "problems": _problems(services),
            "hint": None if rows else _hint(share),
        }
    )
    return facts


def _hint(share: float) -> str:
    if not share:
        return "The request log is off (serving.log_share is 0), so nothing is known of predictions on request."
    return "No prediction was asked for over HTTP yet, or none has come into the log: docs/serving.md says how to ask."


def _parts_by_day(services: Services) -> dict[str, dict[str, int]]:
    """List the parts of the log with their sizes in bytes, by day."""

    def read() -> dict[str, dict[str, int]]:
        parts: dict[str, dict[str, int]] = {}
        for name in services.storage.list(layout.REQUESTS):
            if match := layout.REQUEST_PART.fullmatch(name):
                parts.setdefault(match[1], {})[name] = int(match[3])
        return parts

    return MEMORY.remembered(("requests", services.environment.storage), SECONDS, read)


def _summaries(services: Services, names: Iterable[str]) -> list[PartSummary] | None:
    """Summarise the parts of a day; None if one cannot be read. Parts never change, and are read once."""
    summaries = []
    for name in names:
        key = ("request part", services.environment.storage, name)
        summary = MEMORY.recall(key)
        if summary is MISSING:
            try:
                summary = summarise(services.storage.get_bytes(name))
            except MissingArtifact:  # the log was cut meanwhile
                continue
            except ValueError as err:
                logger.warning("overview: %s cannot be read: %s", services.storage.uri(name), err)
                return None
            MEMORY.keep(key, summary, PART_SECONDS)
        summaries.append(summary)
    return summaries


def _day_facts(summaries: list[PartSummary] | None) -> Facts:
    if not summaries:
        return dict.fromkeys(("requests", "rows", "versions", "seconds", "last_at"))
    versions: Counter[int] = Counter()
    for summary in summaries:
        versions.update(summary.rows_by_version)
    seconds = [value for summary in summaries for value in summary.seconds]
    return {
        "requests": len(frozenset().union(*(summary.requests for summary in summaries))),
        "rows": versions.total(),
        "versions": [{"version": version, "rows": versions[version]} for version in sorted(versions, reverse=True)],
        "seconds": dict(zip(("median", "p99"), np.quantile(seconds, [0.5, 0.99]).tolist(), strict=True))
        if seconds
        else None,
        "last_at": max(summary.last_at for summary in summaries),
    }


def _problems(services: Services) -> list[Facts]:
    """Read what keeps the service from the champion, as the service recorded it."""
    problems = []
    for name in services.storage.list(layout.SERVING_PROBLEMS):
        try:
            record = json.loads(services.storage.get_bytes(name))
            problems.append({"message": str(record["problem"]), "at": str(record["at"])})
        except (MissingArtifact, ValueError, KeyError, TypeError):  # resolved just now, or damaged: monitor names it
            continue
    return problems
