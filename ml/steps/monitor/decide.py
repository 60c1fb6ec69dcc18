"""Decide what a day's monitoring asks for, and write a retrain request down."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

from ml.adapters import layout
from ml.adapters.data_registry.seen_labels import seen_by
from ml.adapters.tracking.decision_log import DecisionLog
from ml.adapters.workspace import Workspace
from ml.core.champions import tenures
from ml.core.data import windows
from ml.core.monitoring import day_summary, policy, waiting
from ml.core.monitoring.alarm_conditions import Measured
from ml.core.monitoring.policy_facts import decided_days, earlier_days, facts_on, requests, tried
from ml.errors import MissingArtifact
from ml.records import (
    Asset,
    Champion,
    DayFile,
    Decision,
    DriftReport,
    LivePerformance,
    Logged,
    PreviousChampionComparison,
    Record,
    RetrainRequest,
)
from ml.settings import Settings
from ml.steps.monitor import refit_days
from ml.steps.retrain.stage import fingerprint_of
from ml.wiring import Services

logger = logging.getLogger(__name__)
Days = dict[date, DayFile]
Kept = TypeVar("Kept", bound=Record)


def run(
    champion: Champion,
    drift: DriftReport,
    performance: LivePerformance,
    comparison: PreviousChampionComparison | None = None,
    *,
    settings: Settings,
    services: Services,
) -> Decision:
    """Apply the policy of ``params.yaml`` to the facts of the day, once.

    A day on behalf of which a challenger was asked for keeps that decision, whatever was judged since, and so does
    a day that is no longer the newest: what was decided is history. Otherwise a second call decides again, on
    what is known by then. A rollback is written down by whoever carries it out.

    Parameters
    ----------
    comparison
        None if it was not measured: nothing is rolled back then.
    """
    day = drift.day
    logger.info("decide: %s", day)
    log = DecisionLog(services.tracking)
    changes, recent = log.changes, log.on_days(day - timedelta(days=_days_that_count(settings)), day)
    inputs, labels = _held(None, services)
    decision = _decided_before(day, day < max(inputs), recent, services)
    if decision is None:
        facts = facts_on(
            champion,
            drift,
            performance,
            comparison,
            changes=changes,
            recent=recent,
            inputs=inputs.keys(),
            labels=labels.keys(),
            rejected={"inputs": _Rejected("inputs", services), "labels": _Rejected("labels", services)},
            earlier=list(_earlier(day, champion, settings, services)),
            tried=tried(
                _next_fingerprint(settings, services),
                changes,
                judged=lambda name: services.tracking.decisions(kinds=tenures.JUDGED, fingerprint=name),
            ),
            settings=settings,
            excluded=services.registry.excluded_days().keys(),
            refit=refit_days.comparison(champion.version, day, settings=settings, services=services),
            before=_before(day, settings, services),
        )
        decision = policy.decide(facts, settings=settings)
    _keep(decision, services)
    services.storage_folder(layout.monitoring.day_dir(day)).write_text(
        layout.monitoring.SUMMARY, day_summary.text(day_summary.summarise(decision, drift, performance))
    )
    logger.info("decide: %s (%s): %s", decision.action, decision.state, "; ".join(decision.reasons))
    return decision


def _held(rev: str | None, services: Services) -> tuple[Days, Days]:
    """Return the days of inputs and labels in one data version; None means the newest."""
    rev = rev or services.registry.head()
    return services.registry.days("inputs", rev), services.registry.days("labels", rev)


def _days_that_count(settings: Settings) -> int:
    """Count the days before a day whose judgements and requests may make another challenger wait."""
    return max(settings.retrain.cooldown_days, waiting.BUDGET_DAYS)


def _decided_before(day: date, is_past: bool, decisions: Sequence[Logged], services: Services) -> Decision | None:
    """Find what was decided for a day that has asked for a challenger, or is no longer the newest; None if nothing."""
    stored = _read(services.storage_folder(layout.monitoring.day_dir(day)), layout.monitoring.DECISION, Decision)
    requested = [entry for entry in requests(decisions) if entry.effective_day == day]
    if not requested:
        return stored if is_past else None
    if stored is not None and stored.request is not None:
        return stored
    request = RetrainRequest.model_validate(
        {name: value for name, value in requested[0].payload.items() if name in RetrainRequest.model_fields}
    )
    logger.warning("decide: the decision of %s is lost, but not its request", day)
    return Decision(
        day=day,
        action="retrain",
        reasons=request.reasons,
        alarm=False,
        champion_version=requested[0].payload.get("version"),
        request=request,
    )


def _earlier(day: date, champion: Champion, settings: Settings, services: Services) -> Iterator[Measured]:
    """Read what was measured of the champion on the other days that an alarm counts; what is lost is nothing."""
    for before in earlier_days(day, settings):
        stored = services.storage_folder(layout.monitoring.day_dir(before))
        drift = _read(stored, layout.monitoring.drift_result(champion.version), DriftReport)
        performance = _read(stored, layout.monitoring.PERFORMANCE, LivePerformance)
        yield from (measured for measured in (drift, performance) if measured is not None)


def _before(day: date, settings: Settings, services: Services) -> Decision | None:
    """Read what was decided last before a day; None if nothing."""
    for before in decided_days(day, settings):
        decision = _read(
            services.storage_folder(layout.monitoring.day_dir(before)), layout.monitoring.DECISION, Decision
        )
        if decision is not None:
            return decision
    return None


def _read(stored: Workspace, name: str, kind: type[Kept]) -> Kept | None:
    """Read a record that lies in storage, maybe among other facts; None if it is not there or cannot be read."""
    if not stored.has(name):
        return None
    try:
        facts: dict[str, Any] = stored.read_json(name)
        return kind.model_validate({field: facts[field] for field in kind.model_fields if field in facts})
    except (ValueError, TypeError) as err:
        logger.warning("decide: %s cannot be read and counts for nothing: %s", stored.uri(name), err)
        return None


class _Rejected(Container[date]):
    """The days of an asset that screening has rejected."""

    def __init__(self, asset: Asset, services: Services) -> None:
        self.asset, self.services = asset, services

    def __contains__(self, day: object) -> bool:
        return self.services.storage_folder(layout.ingest.quarantine(self.asset, str(day))).has(
            layout.ingest.REJECTED_PARTITION
        )


def _next_fingerprint(settings: Settings, services: Services) -> str | None:
    """Name the training that *pull* would choose now; None if there can be none, which *pull* will say."""
    pull = settings.pull
    inputs, labels = _held(pull.data_version, services)
    try:
        excluded = services.registry.excluded_days(pull.data_version)
        chosen = windows.choose_by(settings, inputs.keys() & labels.keys(), excluded.keys())
    except MissingArtifact:
        return None
    files = [held[day_of_window] for held in (inputs, labels) for day_of_window in chosen.read_days]
    seen = seen_by(
        chosen.first_day,
        chosen.last_day,
        [labels[day_of_window] for day_of_window in chosen.read_days],
        settings,
        services.registry,
        rev=pull.data_version or services.registry.head(),
    )
    return fingerprint_of(files, chosen.first_day, settings, seen=seen, excluded=chosen.excluded)


def _keep(decision: Decision, services: Services) -> None:
    """Write a decision down; its request first, and closed last: a request that counts has its decision beside it."""
    logged = None
    if decision.request is not None:
        logged = services.tracking.open_decision(
            "retrain_request",
            f"retrain request of {decision.day} for version {decision.champion_version or 'none'}",
            fingerprint=None,
            effective_day=decision.day,
            payload={"version": decision.champion_version, **decision.request.model_dump(mode="json")},
        )
    services.storage_folder(layout.monitoring.day_dir(decision.day)).write_json(
        layout.monitoring.DECISION, decision.model_dump(mode="json")
    )
    if logged is not None and not logged.finished:
        services.tracking.close_decision(logged)
