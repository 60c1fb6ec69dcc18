"""What the data registry holds, day by day, and what was kept out of it and why."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

from ml.adapters import layout
from ml.core.data.excluded import periods
from ml.core.data.rest_days import rest_reason
from ml.core.monitoring.day_summary import plain
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import ingest_past, rerun
from ml.views.page.cache import MEMORY, MISSING
from ml.views.page.rejected import KeptOut, kept_out, report_of, row
from ml.views.page.sources import DataInventory, held, hint, replayed
from ml.wiring import Services

logger = logging.getLogger(__name__)
ASSETS = ("inputs", "labels")
MOST_QUARANTINED = 100
SECONDS = 30.0
THREADS = 16
Facts = dict[str, Any]


def data(services: Services, *, days: int = 60) -> Facts:
    """Gather the data versions, the newest days with what their contracts said, and all that was kept out.

    Parameters
    ----------
    days
        So many calendar days are listed one by one.

    Returns
    -------
    dict
        ``newest_day``; ``versions`` (newest first: ``rev``, ``committed_at``, ``message``); ``days_held`` (of
        ``inputs`` and ``labels``, and the ``first_day``); ``days`` (newest first) with ``day``, ``held``, ``replayed``,
        ``state`` of its inputs (``held``, ``rejected``, ``withdrawn``, ``rest`` or ``missing``) with ``reason``, and of
        ``inputs`` and ``labels`` (None if they never came): ``rows``, ``accepted``, ``quarantined``, ``rejected``
        (why, or None), ``failures`` and ``report``, each None where the contract's result is not kept;
        ``missing_days`` between the first and the last, neither rejected nor withdrawn; ``awaited_labels``, days whose
        labels are due and not in, likewise; ``rejected`` (newest first): ``what``, ``message`` with the next move,
        ``report``; ``withdrawn`` (newest first): ``asset``, ``day``, ``reason``, ``data_version``;
        ``excluded`` (newest first): the `ml.core.data.excluded.periods`; a day of one has the reason as ``excluded``;
        ``quarantine`` (newest first): ``asset``, ``day``, ``rows``, ``rejected`` (all of it), ``corrected`` (it came
        in since), ``reasons`` and ``report``; ``unreadable``; ``hint``, what to do if there is nothing.
    """
    inventory = held(services)
    out = kept_out(services, {"inputs": inventory.inputs, "labels": inventory.labels})
    quarantined = quarantined_days(services)
    kept_out_days = [day for _, day in (*quarantined, *out.rejected, *out.withdrawn)]
    newest = max([day for day in (inventory.newest, *kept_out_days) if day], default=None)
    shown = [newest - timedelta(days=n) for n in range(days)] if newest else []
    oldest = min([*inventory.inputs, *kept_out_days], default=date.max)
    shown = [day for day in shown if day >= oldest]
    newest_quarantined = sorted(quarantined, key=lambda asset_day: asset_day[1], reverse=True)[:MOST_QUARANTINED]
    wanted = [*((asset, day) for day in shown for asset in ASSETS), *newest_quarantined]
    results, unreadable = _results(services, list(dict.fromkeys(wanted)))
    past = replayed(services).days
    facts: Facts = plain(
        {
            "newest_day": inventory.newest,
            "versions": [version.model_dump(mode="json", exclude={"changed"}) for version in inventory.versions],
            "days_held": {
                "inputs": len(inventory.inputs),
                "labels": len(inventory.labels),
                "first_day": min(inventory.inputs, default=None),
            },
            "days": [
                {
                    "day": day,
                    "held": day in inventory.inputs,
                    "replayed": day in past,
                    **_state(day, inventory, out, results.get(("inputs", day)), services),
                    "excluded": inventory.excluded[day].reason if day in inventory.excluded else None,
                    **{asset: _asset_facts(asset, day, results.get((asset, day)), inventory, out) for asset in ASSETS},
                }
                for day in shown
            ],
            "missing_days": [day for day in _missing(inventory, services) if not out.explains("inputs", day)],
            "awaited_labels": [day for day in _awaited(inventory, services) if not out.explains("labels", day)],
            "rejected": [
                row(out.rejected[asset_day], report_of(out.rejected[asset_day]))
                for asset_day in sorted(out.rejected, key=lambda asset_day: asset_day[1], reverse=True)
            ],
            "withdrawn": [
                out.withdrawn[asset_day].model_dump()
                for asset_day in sorted(out.withdrawn, key=lambda asset_day: asset_day[1], reverse=True)
            ],
            "excluded": periods(inventory.excluded)[::-1],
            "quarantine": [
                _quarantined(services, *asset_day, quarantined[asset_day], results.get(asset_day), inventory)
                for asset_day in newest_quarantined
            ],
            "unreadable": [*unreadable, *({"day": None, "message": problem} for problem in out.problems)],
            "hint": None if newest else hint(services, f"No day is in the data registry yet: {ingest_past()}."),
        }
    )
    return facts


def quarantined_shares(services: Services, *, days: int) -> Facts:
    """Compute by asset the share of delivered rows that was quarantined, over the newest ``days`` calendar days held.

    Deliveries that were rejected as a whole are left out; None where no contract's result of these days is kept.
    """
    inventory = held(services)
    wanted = [("inputs", day) for day in inventory.newest_days(days)]
    last = inventory.labelled
    wanted += [("labels", day) for day in sorted(inventory.labels) if last and (last - day).days < days]
    results, _ = _results(services, wanted)
    shares: Facts = {}
    for asset in ASSETS:
        accepted = [facts for (of, _), facts in results.items() if of == asset and not facts.get("reason")]
        rows = sum(facts.get("rows") or 0 for facts in accepted)
        shares[asset] = sum(facts.get("quarantined_rows") or 0 for facts in accepted) / rows if rows else None
    return shares


def quarantined_days(services: Services) -> dict[tuple[str, date], set[str]]:
    """Find the days of which rows, or the whole partition, were quarantined."""

    def read() -> dict[tuple[str, date], set[str]]:
        quarantined: dict[tuple[str, date], set[str]] = {}
        for name in services.storage.list(layout.ingest.QUARANTINES):
            if match := layout.ingest.QUARANTINED.fullmatch(name):
                quarantined.setdefault((match[1], date.fromisoformat(match[2])), set()).add(match[3])
        return quarantined

    return MEMORY.remembered(("quarantine", services.environment.storage), SECONDS, read)


def _results(
    services: Services, wanted: list[tuple[str, date]]
) -> tuple[dict[tuple[str, date], Facts], list[dict[str, str]]]:
    """Read what the contracts said, several at once; what cannot be read is named."""
    unreadable: list[dict[str, str]] = []
    storage = services.storage

    def read(asset_day: tuple[str, date]) -> Facts | None:
        key = ("contract", services.environment.storage, *asset_day)
        cached = MEMORY.recall(key)
        if cached is not MISSING:
            return cached if cached is None else dict(cached)
        asset, day = asset_day
        name = f"{layout.ingest.validation(asset, day)}/{layout.ingest.RESULT}"
        try:
            result = json.loads(storage.get_bytes(name))
            if not isinstance(result, dict):
                raise ValueError("no JSON object")
        except MissingArtifact:
            result = None
        except (ValueError, EvergreenError) as err:
            if isinstance(err, EvergreenError) and err.retryable:
                raise
            logger.warning("overview: %s cannot be read: %s", name, err)
            message = f"{storage.uri(name)} cannot be read ({err}): {rerun('ingest', day, step='screen')}"
            unreadable.append({"day": day.isoformat(), "message": message})
            return None
        summary = None if result is None else {key: value for key, value in result.items() if key != "expectations"}
        MEMORY.keep(key, summary, SECONDS)
        return summary

    if not wanted:
        return {}, []
    with ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
        read_all = dict(zip(wanted, pool.map(read, wanted), strict=True))
    return {asset_day: result for asset_day, result in read_all.items() if result is not None}, unreadable


def _state(
    day: date, inventory: DataInventory, out: KeptOut, result: Mapping[str, Any] | None, services: Services
) -> Facts:
    """Return where the inputs of a day are, and why they are not in the registry."""
    if day in inventory.inputs:
        return {"state": "held", "reason": None}
    if (rejection := out.rejected.get(("inputs", day))) is not None:
        return {"state": "rejected", "reason": row(rejection, None)["message"]}
    if (withdrawal := out.withdrawn.get(("inputs", day))) is not None:
        return {"state": "withdrawn", "reason": withdrawal.reason or "no reason was given"}
    rest = rest_reason(day, inventory.inputs, services.settings.land)
    if rest:
        return {"state": "rest", "reason": rest}
    reason = (result or {}).get("reason")
    return {"state": "rejected", "reason": reason} if reason else {"state": "missing", "reason": None}


def _asset_facts(
    asset: str, day: date, result: Mapping[str, Any] | None, inventory: DataInventory, out: KeptOut
) -> Facts | None:
    """Return what the contract said of a day of an asset; None if nothing of it ever came."""
    rejection, withdrawal = out.rejected.get((asset, day)), out.withdrawn.get((asset, day))
    is_in = day in (inventory.inputs if asset == "inputs" else inventory.labels)
    if result is None and not is_in and rejection is None and withdrawal is None:
        return None
    facts = result or {}
    if rejection is not None and not facts.get("reason"):  # it could not even be read
        facts = {"reason": row(rejection, None)["message"]}
    return {
        "withdrawn": None if withdrawal is None else withdrawal.reason or "no reason was given",
        "rows": facts.get("rows"),
        "accepted": facts.get("accepted_rows"),
        "quarantined": facts.get("quarantined_rows"),
        "rejected": facts.get("reason") or None,
        "failures": _failures(facts),
        "report": f"{layout.ingest.validation(asset, day)}/{layout.ingest.REPORT}" if result is not None else None,
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


def _quarantined(
    services: Services,
    asset: str,
    day: date,
    kinds: set[str],
    result: Mapping[str, Any] | None,
    inventory: DataInventory,
) -> Facts:
    """Tell of rows in quarantine; a partition that was rejected may have come in since, corrected."""
    rejected = "partition" in kinds
    is_in = day in (inventory.inputs if asset == "inputs" else inventory.labels)
    facts = result or {}
    corrected = rejected and is_in and not facts.get("reason")  # a correction may be rejected, and the day stay
    if corrected:
        facts = _rejected_result(services, asset, day)
    folder = layout.ingest.quarantine if rejected else layout.ingest.validation
    return {
        "asset": asset,
        "day": day,
        "rows": facts.get("rows" if rejected else "quarantined_rows"),
        "rejected": rejected,
        "corrected": corrected,
        "reasons": _failures(facts) or _only_reason(facts),
        "report": f"{folder(asset, day)}/{layout.ingest.REPORT}",
    }


def _only_reason(result: Mapping[str, Any]) -> list[Facts]:
    """Return why a table was rejected as a whole, where no expectation says it."""
    reason = result.get("reason")
    return [{"message": reason, "column": None, "rows": 0, "examples": []}] if reason else []


def _rejected_result(services: Services, asset: str, day: date) -> Facts:
    """Read what the contract said of a delivery that was rejected; nothing if that was not kept."""
    stored = services.storage_folder(layout.ingest.quarantine(asset, day))
    try:
        result = json.loads(stored.objects.get_bytes(stored.name(layout.ingest.RESULT)))
    except (MissingArtifact, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def _missing(inventory: DataInventory, services: Services) -> list[date]:
    """Name the days without inputs on which they are expected."""
    first, last = min(inventory.inputs, default=None), inventory.newest
    if first is None or last is None:
        return []
    span = (first + timedelta(days=n) for n in range((last - first).days + 1))
    land = services.settings.land
    return [day for day in span if day not in inventory.inputs and not rest_reason(day, inventory.inputs, land)]


def _awaited(inventory: DataInventory, services: Services) -> list[date]:
    """Name the days whose labels should be in by the newest day of inputs."""
    if inventory.newest is None:
        return []
    due = inventory.newest - timedelta(days=services.settings.task.label_delay_days)
    return [day for day in sorted(inventory.inputs) if day <= due and day not in inventory.labels]
