"""What was answered over HTTP, of the request log: how much, by which version, and how long it took."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ml.adapters import layout
from ml.adapters.request_parts import PartSummary, refused_requests, summarise
from ml.champions import split_control
from ml.core.metrics import label
from ml.core.monitoring.day_summary import plain
from ml.errors import EvergreenError, MissingArtifact
from ml.records import AnswersOfVersion, RequestPerformance
from ml.settings import TrafficSplit
from ml.views.page.cache import MEMORY, MISSING
from ml.wiring import Services

logger = logging.getLogger(__name__)
MOST_BYTES = 64_000_000
"""So much of the log is read, newest days first; days beyond it have no figures."""

SECONDS, PART_SECONDS = 10.0, 3600.0
Facts = dict[str, Any]
NOBODY: Facts = {"requests": 0, "rows": 0, "versions": [], "seconds": None, "last_at": None}
"""A day on which requests were refused only."""


def served(services: Services, *, days: int = 14) -> Facts:
    """Gather what the scoring service answered, by the day of the rows.

    Parameters
    ----------
    days
        So many days, the newest of those that were asked for.

    Returns
    -------
    dict
        ``days`` (newest first): ``day``, ``refused`` (how many of the requests that came on that day were refused, by
        status), and ``requests``, ``rows``, ``versions`` (``version``, ``rows``), ``seconds``
        (``median``, ``p99``; None if no part says how long it took), ``last_at``, each None where the day is not
        counted: more than `MOST_BYTES` are newer, or a part cannot be read; ``older_days``, how many the log has
        beyond these; ``log_share`` of the settings; ``problems`` that keep the service from the champion
        or the challenger (``about``, ``message``, ``at``); ``hint``, what to do if nothing is in the log;
        ``performance``, what the newest labels say of the answers (see `performance`); ``traffic``: ``share`` of the
        keys that a challenger answers (0 in shadow, None if it is not asked), and ``stopped`` (``version``, ``reason``,
        ``requested_by``, ``at``).
    """
    parts, refused = _parts_by_day(services), _refused(services)
    newest = sorted(parts.keys() | refused.keys(), reverse=True)
    share, left = services.settings.serving.log_share, MOST_BYTES
    rows: list[Facts] = []
    for day in newest[:days]:
        own = parts.get(day, {})
        left -= sum(own.values())
        counted = _day_facts(_summaries(services, own) if left >= 0 else None) if own else NOBODY
        rows.append({"day": day, "refused": refused.get(day, {}), **counted})
    facts: Facts = plain(
        {
            "days": rows,
            "older_days": len(newest[days:]),
            "log_share": share,
            "problems": _problems(services),
            "hint": None if rows else _hint(share),
            "performance": performance(services),
            "traffic": _traffic(services),
        }
    )
    return facts


def performance(services: Services) -> Facts | None:
    """Return what *monitor* measured last of answers on their labels; None before it did, or if that is damaged.

    Returns
    -------
    dict
        ``first_day``, ``last_day``, ``asked``, ``rows``, ``reason``; ``versions``: ``version``, ``days``, ``rows`` and
        ``figures`` (``name``, ``label``, ``value``, ``low``, ``high``); ``splits``: see `ml.records.SplitEvidence`.
    """
    folder = services.storage_folder(layout.serving.REQUEST_PERFORMANCE)
    names = folder.names()
    if not names:
        return None
    try:
        report = RequestPerformance.model_validate(folder.read_json(max(names)))
    except (EvergreenError, ValueError) as err:
        logger.warning("overview: %s cannot be read: %s", folder.uri(max(names)), err)
        return None
    facts: Facts = report.model_dump(
        mode="json", include={"first_day", "last_day", "asked", "rows", "reason", "splits"}
    )
    return {**facts, "versions": [_answers_of(version) for version in report.versions]}


def _answers_of(answers: AnswersOfVersion) -> Facts:
    figures = [
        {"name": name, "label": label(name), "value": figure.value, "low": figure.low, "high": figure.high}
        for name, figure in answers.metrics.items()
    ]
    return {"version": answers.version, "days": answers.days, "rows": answers.rows, "figures": figures}


def _traffic(services: Services) -> Facts:
    """Return what share of the keys a challenger answers, and which splits were stopped."""
    declared = services.settings.serving.traffic
    share = declared.challenger if isinstance(declared, TrafficSplit) else 0.0 if declared == "shadow" else None
    names = ("version", "reason", "requested_by", "at")
    stopped = [{name: stop.get(name) for name in names} for stop in split_control.stops(services)]
    return {"share": share, "stopped": stopped}


def _refused(services: Services) -> dict[str, dict[str, int]]:
    """Count the requests that were refused, by the day on which they came and HTTP status."""
    storage = services.storage
    counted = MEMORY.remembered(
        ("refused requests", services.environment.storage), SECONDS, lambda: refused_requests(storage)
    )
    return {day: {str(status): count for status, count in sorted(of.items())} for day, of in counted.items()}


def _hint(share: float) -> str:
    if not share:
        return "The request log is off (serving.log_share is 0), so nothing is known of predictions on request."
    return "No prediction was asked for over HTTP yet, or none has come into the log: docs/serving.md says how to ask."


def _parts_by_day(services: Services) -> dict[str, dict[str, int]]:
    """List the parts of the log with their sizes in bytes, by day."""

    def read() -> dict[str, dict[str, int]]:
        parts: dict[str, dict[str, int]] = {}
        for name in services.storage.list(layout.serving.REQUESTS):
            if match := layout.serving.REQUEST_PART.fullmatch(name):
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
    prefixes = {"champion": layout.serving.SERVING_PROBLEMS, "challenger": layout.serving.CHALLENGER_PROBLEMS}
    for about, name in [(about, name) for about, prefix in prefixes.items() for name in services.storage.list(prefix)]:
        try:
            record = json.loads(services.storage.get_bytes(name))
            problems.append({"about": about, "message": str(record["problem"]), "at": str(record["at"])})
        except (MissingArtifact, ValueError, KeyError, TypeError):  # resolved just now, or damaged: monitor names it
            continue
    return problems
