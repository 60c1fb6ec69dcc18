"""Tell who serves, whether it may, and who contests: the champion, a request, the challenger and the shadow."""

from __future__ import annotations

from ml.adapters.tracking.decision_log import merged
from ml.champions import recorded_models, serving_state
from ml.core.champions import decision_summaries, previous_champion, tenures
from ml.core.monitoring.day_summary import Facts
from ml.errors import MissingArtifact, UntrustedModel
from ml.records import Logged
from ml.views import decision_view, gain
from ml.views.page.decision_list import card_of
from ml.views.page.sources import registered, replayed
from ml.views.page.status_sources import StatusSources
from ml.wiring import Services


def champion(sources: StatusSources) -> Facts | None:
    """Return who serves, since when and by whose decision; None while nobody does."""
    entry = tenures.promoted_on(None, sources.changes)
    if entry is None or entry.effective_day is None:
        return None
    summary, version = decision_summaries.summarise(entry), int(entry.payload["version"])
    approval = entry.payload.get("approval") or {}
    of_it = next(
        (model_version for model_version in registered(sources.services) if model_version.version == version), None
    )
    tags = of_it.tags if of_it else {}
    serving = serving_state.ServingState(entry, sources.services.tracking.alias("champion"), tuple(sources.changes))
    return {
        "version": version,
        "since": entry.effective_day,
        "days": max(((sources.inventory.newest or sources.due) - entry.effective_day).days + 1, 0),
        "kind": entry.kind,
        "replayed": replayed(sources.services).decided(entry),
        "requested_by": summary.requested_by or tags.get("requested_by"),
        "approved_by": approval.get("by") if approval.get("approved") else None,
        "reasons": gain.reasons_of(entry, sources.services.settings.gate),
        "decision_id": summary.decision_id,
        "decided_at": summary.decided_at,
        "window": {"first_day": tags.get("window_first_day"), "last_day": entry.payload.get("window_last_day")},
        "previous_version": summary.against,
        "run_id": of_it.run_id if of_it else None,
        "card": card_of(version),
        "warning": _distrust(serving, sources.services)
        if serving.alias == serving.version
        else serving_state.moved_by_hand(serving),
    }


def _distrust(serving: serving_state.ServingState, services: Services) -> str | None:
    """Return why the champion may not serve; None if the storage records its decision and its promotion."""
    tenure = serving.tenure
    if tenure is None or tenure.effective_day is None or serving.version is None:
        return None
    try:
        recorded_models.check_champion(serving.version, tenure.effective_day, serving.decisions, services)
    except (UntrustedModel, MissingArtifact) as err:
        return str(err)
    return None


def request(sources: StatusSources) -> Facts | None:
    """Return the retrain request that no judgement has answered yet."""
    entry = sources.part("request", lambda: _open_request(sources))
    if entry is None:
        return None
    summary = decision_summaries.summarise(entry)
    return {
        "decision_id": summary.decision_id,
        "day": entry.effective_day,
        "requested_by": summary.requested_by,
        "reasons": summary.reasons,
        "run_id": f"monitor__{entry.effective_day}",
    }


def _open_request(sources: StatusSources) -> Logged | None:
    if sources.log is None:
        return None
    kinds = (*tenures.JUDGED, "retrain_request")
    newest = next((entry for entry in sources.log.newest_first() if entry.kind in kinds), None)
    return decision_view.open_request([newest] if newest else [])


def challenger(sources: StatusSources) -> Facts | None:
    """Return the newest challenger, and what came of it."""
    version = sources.services.tracking.alias("challenger") if sources.log is not None else None
    if version is None or sources.log is None:
        return None
    about = sources.log.about(version)
    return {
        "version": version,
        "outcome": decision_view.outcome(version, merged(sources.changes, about)),
        "reasons": gain.reasons_of(about[-1], sources.services.settings.gate) if about else (),
        "decision_id": about[-1].decision_id if about else None,
    }


def shadow(sources: StatusSources) -> Facts | None:
    """Return the previous champion while it is scored in shadow."""
    day = sources.inventory.newest
    tenure = tenures.promoted_on(day, sources.changes) if day else None
    if day is None or tenure is None:
        return None
    settings = sources.services.settings
    watched = settings.land.calendar_days(settings.rollback.watch_days)
    watch, reason = previous_champion.watch_of(day, int(tenure.payload["version"]), sources.changes, days=watched)
    if watch is None or watch.last_day < day:
        return None
    present = tenures.promoted_on(None, sources.changes)
    if present is not None and present.payload["version"] != tenure.payload["version"]:
        return None  # from tomorrow on another version serves, which is compared with another one, or with none
    return {"version": watch.previous, "last_day": watch.last_day, "reason": reason}
