"""The table of all decisions, and each of them rule by rule."""

from __future__ import annotations

from typing import Any

from ml.adapters import layout
from ml.adapters.tracking.decision_log import KINDS, merged
from ml.core.champions import tenures
from ml.core.monitoring.day_summary import plain
from ml.errors import MissingArtifact, Unavailable
from ml.next_moves import retrain
from ml.records import Logged
from ml.views import charts, decision_view, next_challenger
from ml.views.page import days as monitored
from ml.views.page.sources import decided, hint, registered, replayed
from ml.wiring import Services

AT_ONCE = 100
"""So many decisions are listed at once."""


def decisions(
    services: Services, *, count: int = AT_ONCE, before: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    """List some decisions, newest first.

    Parameters
    ----------
    before
        What ``next`` said of the decisions before; None begins with the newest.
    kind
        One of `KINDS`; None for all.

    Returns
    -------
    dict
        ``decisions``: `ml.views.decision_view.row` of each; ``next``, where the older ones begin (None if there are
        none); ``kinds``, what may be asked for; ``hint``, what to do if there is none.

    Raises
    ------
    EvergreenError
        If there is no such kind, or no page begins there.
    """
    page = decided(services).newest(count, before=before, kind=kind)
    requesters = _requesters(services) if page.entries else {}
    past = replayed(services)
    rows = [
        decision_view.row(
            entry,
            services.settings.gate,
            requested_by=requesters.get(entry.payload.get("version")),
            replayed=past.decided(entry),
        )
        for entry in page.entries
    ]
    none = (
        hint(services, f"No decision was made yet: {retrain()}.")
        if kind is None
        else "There is no decision of this kind."
    )
    facts: dict[str, Any] = plain(
        {"decisions": rows, "next": page.next, "kinds": sorted(KINDS), "hint": None if rows else none}
    )
    return facts


def decision(services: Services, decision_id: str) -> dict[str, Any]:
    """Describe one decision in full.

    Returns
    -------
    dict
        `ml.views.decision_view.opened`, and ``run_id`` and ``card`` of its version, ``report``: the Evidently report
        of the day that it was made for, each None where there is none; ``next_challenger``, when one is requested after
        this one (`ml.views.next_challenger.after`; None unless it is the newest that was judged, and did not win); and
        ``comments`` (``note``, ``requested_by``, ``decided_at``), oldest first.

    Raises
    ------
    MissingArtifact
        If there is no such decision, or it does not count (yet).
    """
    entry = decided(services).find(decision_id)
    if entry is None:
        raise MissingArtifact(f"there is no decision {decision_id!r}, or it is not finished; go back to the list")
    version = entry.payload.get("version")
    by_version = {model_version.version: model_version for model_version in registered(services)}
    of_it = by_version.get(version) if isinstance(version, int) else None
    facts: dict[str, Any] = plain(
        {
            **decision_view.opened(
                entry,
                services.settings.gate,
                requested_by=of_it.tags.get("requested_by") if of_it else None,
                replayed=replayed(services).decided(entry),
            ),
            "run_id": of_it.run_id if of_it else None,
            "card": card_of(of_it.version) if of_it and entry.kind != "adoption" else None,
            "report": _report(entry, services),
            "next_challenger": _next_challenger(entry, services),
            "comments": [
                {name: comment.payload.get(name) for name in ("note", "requested_by")}
                | {"decided_at": comment.decided_at}
                for comment in services.tracking.decisions(kinds=["comment"])
                if comment.payload.get("about") == entry.decision_id
            ],
        }
    )
    return facts


def card_of(version: int) -> str:
    """Return the name of a version's card, as `ml.views.page.file` reads it; it may not be there."""
    return layout.training.artifact(version, "card/model_card.html")


def _next_challenger(entry: Logged, services: Services) -> str | None:
    log = decided(services)
    newest = next((later for later in log.newest_first() if later.kind in tenures.JUDGED), None)
    if newest is None or newest.decision_id != entry.decision_id:
        return None
    days = next_challenger.budget_days(entry)
    decisions = merged(log.changes, log.on_days(*days)) if days else log.changes
    return next_challenger.after(entry, decisions, services.settings)


def _requesters(services: Services) -> dict[Any, str | None]:
    try:
        return {model_version.version: model_version.tags.get("requested_by") for model_version in registered(services)}
    except Unavailable:
        raise
    except MissingArtifact:
        return {}


def _report(entry: Logged, services: Services) -> str | None:
    if entry.kind not in ("retrain_request", "rollback"):
        return None
    (day,) = monitored.read(services, [charts.day_of(entry)])
    return charts.report_of(day.facts) if day.facts else None
