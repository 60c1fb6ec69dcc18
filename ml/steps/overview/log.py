"""The table of all decisions, and each of them rule by rule."""

from __future__ import annotations

from typing import Any

from ml.core import dossier, overview
from ml.core.daybook import plain
from ml.errors import MissingArtifact, Unavailable
from ml.records import Logged
from ml.steps.overview import days as monitored
from ml.steps.overview.sources import decided, registered
from ml.wiring import Services


def decisions(services: Services) -> dict[str, Any]:
    """List all decisions, newest first.

    Returns
    -------
    dict
        ``decisions``: `ml.core.dossier.row` of each; ``hint``, what to do if there is none.
    """
    found = decided(services)
    askers = _askers(services) if found else {}
    rows = [dossier.row(entry, asked_by=askers.get(entry.payload.get("version"))) for entry in reversed(found)]
    hint = None if rows else "No decision was made yet: trigger Retrain."
    facts: dict[str, Any] = plain({"decisions": rows, "hint": hint})
    return facts


def decision(services: Services, decision_id: str) -> dict[str, Any]:
    """Tell one decision in full.

    Returns
    -------
    dict
        `ml.core.dossier.opened`, and ``run_id`` and ``card`` of its version, ``report``: the Evidently report
        of the day that it was made for. Each None where there is none.

    Raises
    ------
    MissingArtifact
        If there is no such decision, or it does not count (yet).
    """
    entry = next((one for one in decided(services) if one.decision_id == decision_id), None)
    if entry is None:
        raise MissingArtifact(f"there is no decision {decision_id!r}, or it is not finished; go back to the list")
    version = entry.payload.get("version")
    known = {one.version: one for one in registered(services)}
    of_it = known.get(version) if isinstance(version, int) else None
    found: dict[str, Any] = plain(
        {
            **dossier.opened(entry, asked_by=of_it.tags.get("asked_by") if of_it else None),
            "run_id": of_it.run_id if of_it else None,
            "card": card_of(of_it.version) if of_it else None,
            "report": _report(entry, services),
        }
    )
    return found


def card_of(version: int) -> str:
    """Give the name of a version's card, as `ml.steps.overview.file` reads it; it may not be there."""
    return f"version={version}/card/model_card.html"


def _askers(services: Services) -> dict[Any, str | None]:
    try:
        return {one.version: one.tags.get("asked_by") for one in registered(services)}
    except Unavailable:
        raise
    except MissingArtifact:
        return {}


def _report(entry: Logged, services: Services) -> str | None:
    if entry.kind not in ("retrain_request", "rollback"):
        return None
    (day,) = monitored.read(services, [overview.day_of(entry)])
    return overview.report_of(day.facts) if day.facts else None
