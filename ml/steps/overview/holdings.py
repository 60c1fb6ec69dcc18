"""What the data registry holds, day by day, and what was kept out of it and why."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

from ml.core.daybook import plain
from ml.core.rest_days import rest_reason
from ml.errors import EvergreenError, MissingArtifact
from ml.steps.overview.memory import MEMORY, MISSING
from ml.steps.overview.sources import Holdings, held
from ml.wiring import Services

logger = logging.getLogger(__name__)
ASSETS = ("inputs", "labels")
MOST_QUARANTINED = 100
SECONDS = 30.0
THREADS = 16
ASIDE = re.compile(r"quarantine/(inputs|labels)/day=(\d{4}-\d\d-\d\d)/(partition|rows)\.parquet")
Facts = dict[str, Any]


def data(services: Services, *, days: int = 60) -> Facts:
    """Gather the data versions, the newest days with what their contracts said, and all that was set aside.

    Parameters
    ----------
    days
        So many calendar days are told one by one.

    Returns
    -------
    dict
        ``newest_day``; ``versions`` (newest first: ``rev``, ``committed_at``, ``message``); ``days_held`` (of
        ``inputs`` and ``labels``, and the ``first_day``); ``days`` (newest first) with ``day``, ``held`` and, for
        ``inputs`` and ``labels`` (None if they never came): ``rows``, ``accepted``, ``quarantined``, ``refused``
        (why, or None), ``failures`` and ``report``, each None where the contract's result is not kept;
        ``missing_days`` between the first and the last; ``awaited_labels``, days whose labels are due and not in;
        ``quarantine`` (newest first): ``asset``, ``day``, ``rows``, ``refused`` (all of it), ``mended`` (it came
        in since), ``reasons`` and ``report``; ``unreadable``; ``hint``, what to do if there is nothing.
    """
    holdings = held(services)
    aside = _aside(services)
    newest = max([day for day in (holdings.newest, *(day for _, day in aside)) if day], default=None)
    shown = [newest - timedelta(days=n) for n in range(days)] if newest else []
    oldest = min([*holdings.inputs, *(day for _, day in aside)], default=date.max)
    shown = [day for day in shown if day >= oldest]
    newest_aside = sorted(aside, key=lambda place: place[1], reverse=True)[:MOST_QUARANTINED]
    wanted = [*((asset, day) for day in shown for asset in ASSETS), *newest_aside]
    results, unreadable = _results(services, list(dict.fromkeys(wanted)))
    facts: Facts = plain(
        {
            "newest_day": holdings.newest,
            "versions": [version.model_dump(mode="json", exclude={"changed"}) for version in holdings.versions],
            "days_held": {
                "inputs": len(holdings.inputs),
                "labels": len(holdings.labels),
                "first_day": min(holdings.inputs, default=None),
            },
            "days": [
                {
                    "day": day,
                    "held": day in holdings.inputs,
                    **{asset: _told(asset, day, results.get((asset, day)), holdings) for asset in ASSETS},
                }
                for day in shown
            ],
            "missing_days": _missing(holdings, services),
            "awaited_labels": _awaited(holdings, services),
            "quarantine": [_set_aside(*place, aside[place], results.get(place), holdings) for place in newest_aside],
            "unreadable": unreadable,
            "hint": None if newest else "No day is in the data registry yet: run Ingest, or backfill it.",
        }
    )
    return facts


def _aside(services: Services) -> dict[tuple[str, date], set[str]]:
    """Find the days of which rows, or the whole partition, were set aside."""

    def read() -> dict[tuple[str, date], set[str]]:
        found: dict[tuple[str, date], set[str]] = {}
        for name in services.storage.list("quarantine/"):
            if match := ASIDE.fullmatch(name):
                found.setdefault((match[1], date.fromisoformat(match[2])), set()).add(match[3])
        return found

    return MEMORY.remembered(("quarantine", services.environment.storage), SECONDS, read)


def _results(
    services: Services, wanted: list[tuple[str, date]]
) -> tuple[dict[tuple[str, date], Facts], list[dict[str, str]]]:
    """Read what the contracts said, several at once; what cannot be read is named."""
    unreadable: list[dict[str, str]] = []
    storage = services.storage

    def read(place: tuple[str, date]) -> Facts | None:
        key = ("contract", services.environment.storage, *place)
        known = MEMORY.recall(key, SECONDS)
        if known is not MISSING:
            return known if known is None else dict(known)
        asset, day = place
        name = f"validation/{asset}/day={day}/result.json"
        try:
            found = json.loads(storage.get_bytes(name))
            if not isinstance(found, dict):
                raise ValueError("no JSON object")
        except MissingArtifact:
            found = None
        except (ValueError, EvergreenError) as err:
            if isinstance(err, EvergreenError) and err.retryable:
                raise
            logger.warning("overview: %s cannot be read: %s", name, err)
            said = f"{storage.uri(name)} cannot be read ({err}): clear 'screen' of that day's run of Ingest"
            unreadable.append({"day": day.isoformat(), "said": said})
            return None
        kept = None if found is None else {key: value for key, value in found.items() if key != "expectations"}
        MEMORY.keep(key, kept)
        return kept

    if not wanted:
        return {}, []
    with ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
        read_all = dict(zip(wanted, pool.map(read, wanted), strict=True))
    return {place: found for place, found in read_all.items() if found is not None}, unreadable


def _told(asset: str, day: date, result: Mapping[str, Any] | None, holdings: Holdings) -> Facts | None:
    """Say what the contract said of a day of an asset; None if nothing of it ever came."""
    if result is None and day not in (holdings.inputs if asset == "inputs" else holdings.labels):
        return None
    found = result or {}
    return {
        "rows": found.get("rows"),
        "accepted": found.get("accepted_rows"),
        "quarantined": found.get("quarantined_rows"),
        "refused": found.get("reason") or None,
        "failures": _failures(found),
        "report": f"validation/{asset}/day={day}/report.html" if result is not None else None,
    }


def _failures(result: Mapping[str, Any]) -> list[Facts]:
    return [
        {
            "message": failure.get("message", ""),
            "column": failure.get("column"),
            "rows": failure.get("unexpected_rows", 0),
            "examples": list(failure.get("examples") or ()),
        }
        for failure in result.get("failures") or ()
        if isinstance(failure, Mapping)
    ]


def _set_aside(asset: str, day: date, kinds: set[str], result: Mapping[str, Any] | None, holdings: Holdings) -> Facts:
    """Tell of rows that were set aside; a partition that was refused may have come in since, corrected."""
    refused = "partition" in kinds
    is_in = day in (holdings.inputs if asset == "inputs" else holdings.labels)
    found = result or {}
    mended = refused and is_in and not found.get("reason")  # a correction may be rejected, and the day stay as it was
    folder = "quarantine" if refused else "validation"
    return {
        "asset": asset,
        "day": day,
        "rows": None if mended else found.get("rows" if refused else "quarantined_rows"),
        "refused": refused,
        "mended": mended,
        "reasons": [] if mended else _failures(found),
        "report": f"{folder}/{asset}/day={day}/report.html",
    }


def _missing(holdings: Holdings, services: Services) -> list[date]:
    """Name the days without inputs on which they are expected."""
    first, last = min(holdings.inputs, default=None), holdings.newest
    if first is None or last is None:
        return []
    span = (first + timedelta(days=n) for n in range((last - first).days + 1))
    land = services.settings.land
    return [day for day in span if day not in holdings.inputs and not rest_reason(day, holdings.inputs, land)]


def _awaited(holdings: Holdings, services: Services) -> list[date]:
    """Name the days whose labels should be in by the newest day of inputs."""
    if holdings.newest is None:
        return []
    due = holdings.newest - timedelta(days=services.settings.task.label_delay_days)
    return [day for day in sorted(holdings.inputs) if day <= due and day not in holdings.labels]
