"""Let the winner serve: one alias move, made last.

``write the decision → previous_champion → champion (the commit point) → close the decision``

Killed between any two of these and run again, the end is the same: the decision is found by its
key, and the old champion serves until the one move that replaces it.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from ml.errors import EvergreenError
from ml.records import Judgement, Logged, Promotion, Window
from ml.settings import Settings
from ml.steps.gate import evidence
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, judgement: Judgement, *, settings: Settings, services: Services) -> Promotion:
    """Carry out a verdict; a hold is returned as it is.

    The promotion takes effect on the day after the newest one in the registry: days that arrived
    before it belong to the champion before it.

    Raises
    ------
    EvergreenError
        If another version was promoted since this challenger was judged.
    """
    del settings
    version = judgement.version
    if judgement.verdict.decision != "promote" or version is None:
        reason = "; ".join(judgement.verdict.reasons)
        logger.info("promote: held: %s", reason)
        return Promotion(
            promoted=False,
            version=version,
            previous_version=judgement.champion_version,
            decision_id=judgement.decision_id,
            reason=reason,
        )
    logger.info("promote: version %d over %s", version, judgement.champion_version)
    tracking = services.tracking
    serving = tracking.alias("champion")
    if serving not in (judgement.champion_version, version):
        raise EvergreenError(
            f"version {serving} was promoted since version {version} was judged against "
            f"{judgement.champion_version}; clear 'evaluate' and what follows to judge again"
        )
    decision = _write_down(judgement, window, services)
    before = decision.payload["previous_version"]
    if before is not None:
        tracking.move_alias("previous_champion", before)
    tracking.move_alias("champion", version)
    if tracking.alias("challenger") == version:
        tracking.drop_alias("challenger")
    tracking.close_decision(decision)
    reason = "; ".join(judgement.verdict.reasons)
    logger.info("promote: version %d is champion from %s on", version, decision.effective_day)
    return Promotion(
        promoted=True,
        version=version,
        previous_version=before,
        decision_id=decision.decision_id,
        reason=reason,
    )


def _write_down(judgement: Judgement, window: Window, services: Services) -> Logged:
    newest = max(services.registry.days("inputs"))
    return services.tracking.open_decision(
        "promotion",
        f"promote version {judgement.version} over {judgement.champion_version or 'none'}",
        fingerprint=judgement.fingerprint,
        effective_day=newest + timedelta(days=1),
        payload={"previous_version": judgement.champion_version, **evidence(judgement, window, newest)},
    )
