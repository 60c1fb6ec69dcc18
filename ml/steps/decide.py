"""Decide what a day's monitoring asks for, and write a retrain request down."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Literal, TypeVar

from ml.adapters.arrived import seen_by
from ml.adapters.workspace import Workspace
from ml.core import daybook, history, policy, windows
from ml.core.features import lookback_days
from ml.core.rest_days import rest_reason
from ml.core.signs import Measured
from ml.errors import MissingArtifact
from ml.records import (
    Champion,
    DayFile,
    Decision,
    DriftReport,
    LivePerformance,
    Logged,
    Record,
    RetrainRequest,
    Rivalry,
)
from ml.settings import Settings
from ml.steps.stage import fingerprint_of
from ml.wiring import Services

logger = logging.getLogger(__name__)
Days = dict[date, DayFile]
Kept = TypeVar("Kept", bound=Record)


def run(
    champion: Champion,
    drift: DriftReport,
    performance: LivePerformance,
    rivalry: Rivalry | None = None,
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
    rivalry
        None if it was not measured: nothing is rolled back then.
    """
    day = drift.day
    logger.info("decide: %s", day)
    decisions = services.tracking.decisions()
    inputs, labels = _held(None, services)
    decision = _decided_before(day, day < max(inputs), decisions, services)
    if decision is None:
        facts = policy.Facts(
            drift=drift,
            performance=performance,
            newest_day=max(inputs),
            champion=(known := _champion(champion, day, decisions)),
            anyone_serves=history.crowned_on(None, decisions) is not None,
            no_champion_reason=champion.reason,
            earlier=tuple(_earlier(day, champion, settings, services)),
            rivalry=rivalry,
            last_judged=history.last_judged(decisions, until=day),
            requests=tuple(entry.effective_day for entry in _requests(decisions) if entry.effective_day),
            new_days=_new_days(known, inputs.keys() & labels.keys()),
            absent_days=_absent_days(day, inputs, labels, settings, services),
            tried=_tried(decisions, settings, services),
        )
        decision = policy.decide(facts, settings=settings)
    _keep(decision, services)
    services.shelf(f"monitor/day={day}").write_text(
        "summary.json", daybook.text(daybook.summarise(decision, drift, performance))
    )
    logger.info("decide: %s (%s): %s", decision.action, decision.state, "; ".join(decision.reasons))
    return decision


def _held(rev: str | None, services: Services) -> tuple[Days, Days]:
    """Give the days of inputs and labels in one data version; None means the newest."""
    rev = rev or services.registry.head()
    return services.registry.days("inputs", rev), services.registry.days("labels", rev)


def _requests(decisions: Sequence[Logged]) -> list[Logged]:
    return [entry for entry in decisions if entry.kind == "retrain_request"]


def _decided_before(day: date, is_past: bool, decisions: Sequence[Logged], services: Services) -> Decision | None:
    """Find what was decided for a day that has asked for a challenger, or is no longer the newest; None if nothing."""
    kept = _read(services.shelf(f"monitor/day={day}"), "decision.json", Decision)
    asked = [entry for entry in _requests(decisions) if entry.effective_day == day]
    if not asked:
        return kept if is_past else None
    if kept is not None and kept.request is not None:
        return kept
    request = RetrainRequest.model_validate(
        {name: value for name, value in asked[0].payload.items() if name in RetrainRequest.model_fields}
    )
    logger.warning("decide: the decision of %s is lost, but not its request", day)
    return Decision(
        day=day,
        action="retrain",
        reasons=request.reasons,
        alarm=False,
        champion_version=asked[0].payload.get("version"),
        request=request,
    )


def _champion(champion: Champion, day: date, decisions: Sequence[Logged]) -> policy.ChampionFacts | None:
    if champion.version is None:
        return None
    reigns = history.reigns(decisions)
    reign = history.reign_on(champion.version, day, reigns)
    now = history.crowned_on(None, decisions)
    return policy.ChampionFacts(
        version=champion.version,
        promoted_on=reign.effective_day,
        serves_now=now is not None and int(now.payload["version"]) == champion.version,
        window_last_day=reign.window_last_day,
    )


def _new_days(champion: policy.ChampionFacts | None, labelled: set[date]) -> int:
    """Count the days that could be trained on and that the champion's training has not seen."""
    last = champion.window_last_day if champion else None
    return sum(day > last for day in labelled) if last else 0


def _earlier(day: date, champion: Champion, settings: Settings, services: Services) -> Iterator[Measured]:
    """Read what was measured of the champion on the other days that an alarm counts; what is lost is nothing."""
    for back in range(1, settings.drift.alarm_days[1]):
        shelf = services.shelf(f"monitor/day={day - timedelta(days=back)}")
        drift = _read(shelf, f"version={champion.version}/drift.json", DriftReport)
        performance = _read(shelf, "performance.json", LivePerformance)
        yield from (measured for measured in (drift, performance) if measured is not None)


def _read(shelf: Workspace, name: str, kind: type[Kept]) -> Kept | None:
    """Read a record that lies in storage, maybe among other facts; None if it is not there or cannot be read."""
    if not shelf.has(name):
        return None
    try:
        facts: dict[str, Any] = shelf.read_json(name)
        return kind.model_validate({field: facts[field] for field in kind.model_fields if field in facts})
    except (ValueError, TypeError) as err:
        logger.warning("decide: %s cannot be read and counts for nothing: %s", shelf.uri(name), err)
        return None


def _absent_days(day: date, inputs: Days, labels: Days, settings: Settings, services: Services) -> tuple[date, ...]:
    """Name the days of the drift window that are missing, and days in or after it that were refused and not mended.

    A day on which no data are expected is not missed.
    """
    days = settings.drift.window_days
    around = [day + timedelta(days=n) for n in range(1 - days, days + 1)]
    refused = [
        each
        for asset, held in (("inputs", inputs), ("labels", labels))
        for each in around
        if each not in held and services.shelf(f"quarantine/{asset}/day={each}").has("partition.parquet")
    ]
    missing = {*refused, *policy.gaps(inputs.keys(), last_day=day, days=days)}
    return tuple(sorted(each for each in missing if each in inputs or not rest_reason(each, inputs, settings.land)))


def _tried(decisions: Sequence[Logged], settings: Settings, services: Services) -> Literal["judged", "barred"] | None:
    """Say what became of the training that *pull* would choose now; None if it is a new one, or there is none."""
    pull = settings.pull
    inputs, labels = _held(pull.data_version, services)
    reach = lookback_days(settings.features.history, label_delay_days=settings.task.label_delay_days)
    try:
        chosen = windows.choose(
            inputs.keys() & labels.keys(),
            last_day=pull.last_day,
            days=pull.days,
            min_days=pull.min_days,
            lookback_days=reach,
        )
    except MissingArtifact:
        return None  # pull will say so
    files = [held[each] for held in (inputs, labels) for each in (*chosen.lookback, *chosen.days)]
    rev = pull.data_version or services.registry.head()
    seen = seen_by(
        chosen.first_day,
        chosen.last_day,
        [labels[each] for each in (*chosen.lookback, *chosen.days)],
        settings,
        services.registry,
        rev=rev,
    )
    fingerprint = fingerprint_of(files, chosen.first_day, settings, seen=seen)
    if fingerprint in history.barred(decisions):
        return "barred"
    judged = any(entry.kind in history.JUDGED and entry.fingerprint == fingerprint for entry in decisions)
    return "judged" if judged else None


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
    services.shelf(f"monitor/day={decision.day}").write_json("decision.json", decision.model_dump(mode="json"))
    if logged is not None and not logged.finished:
        services.tracking.close_decision(logged)
