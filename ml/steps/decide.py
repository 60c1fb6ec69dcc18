"""Decide what a day's monitoring asks for, and write a retrain request down."""

from __future__ import annotations

import logging

from ml.core import history, policy
from ml.records import Champion, Decision, DriftReport, Logged, Rivalry
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(
    champion: Champion,
    drift: DriftReport,
    rivalry: Rivalry | None = None,
    *,
    settings: Settings,
    services: Services,
) -> Decision:
    """Apply the policy of ``params.yaml`` to the facts of the day, once.

    A second call for the same day and champion finds the retrain request of the first. A rollback is
    written down by whoever carries it out.

    Parameters
    ----------
    rivalry
        None if it was not measured: nothing is rolled back then.
    """
    logger.info("decide: %s", drift.day)
    decisions = services.tracking.decisions()
    decision = policy.decide(
        drift,
        champion=_facts(champion, decisions),
        newest_day=max(services.registry.days("inputs")),
        last_judged=history.last_judged(decisions, until=drift.day),
        policy=settings.retrain,
        rivalry=rivalry,
        rollback=settings.rollback,
        anyone_serves=bool(history.reigns(decisions)),
        no_champion_reason=champion.reason,
    )
    if decision.request is not None:
        logged = services.tracking.open_decision(
            "retrain_request",
            f"retrain request of {drift.day} for version {champion.version or 'none'}",
            fingerprint=None,
            effective_day=drift.day,
            payload={"version": champion.version, **decision.request.model_dump(mode="json")},
        )
        services.tracking.close_decision(logged)
    services.shelf(f"monitor/day={drift.day}").write_json("decision.json", decision.model_dump(mode="json"))
    logger.info("decide: %s: %s", decision.action, "; ".join(decision.reasons))
    return decision


def _facts(champion: Champion, decisions: list[Logged]) -> policy.ChampionFacts | None:
    if champion.version is None:
        return None
    reigns = history.reigns(decisions)
    since = [reign.effective_day for reign in reigns if reign.version == champion.version]
    return policy.ChampionFacts(
        version=champion.version, promoted_on=max(since), serves_now=reigns[-1].version == champion.version
    )
