"""Let the winner serve: one alias move, made last, and only over the champion that it was judged against.

``settle → (judge again) → claim → previous_champion → champion (the commit point) → close the decision``

Killed between any two of these and run again, or never, the end is the same: see `ml.steps.succession`.
"""

from __future__ import annotations

import logging
from typing import Any

from ml.adapters.journal import Move
from ml.core import history
from ml.errors import Unavailable
from ml.records import Approval, Challenger, Judgement, Logged, Promotion, Verdict, Window
from ml.settings import Settings
from ml.steps import evaluate, gate, promotion_record, succession, withdraw_champion
from ml.wiring import Services

logger = logging.getLogger(__name__)
ROUNDS = 5
"""So often a challenger is judged again within one call, while others keep being promoted before it."""


def run(
    window: Window,
    judgement: Judgement,
    *,
    settings: Settings,
    services: Services,
    approval: Approval | None = None,
) -> Promotion:
    """Carry out a verdict; a hold is returned as it is.

    The promotion takes effect on the day after the newest one in the registry: days that arrived
    before it belong to the champion before it. A version is promoted once: a second call returns
    what was recorded, also when that version was rolled back since.

    Parameters
    ----------
    approval
        What people said of this very comparison; None if nobody was asked. A rejection is
        recorded. If another champion serves by now, an approval holds no more.

    Raises
    ------
    EvergreenError
        If the alias was moved by hand, or an earlier move cannot be carried out.
    Unavailable
        If others were promoted so often meanwhile that this one has to wait.
    """
    version = judgement.version
    if judgement.verdict.decision != "promote" or version is None:
        return _stays(judgement, "; ".join(judgement.verdict.reasons), judgement.decision_id)
    logger.info("promote: version %d over %s", version, judgement.champion_version)
    rounds, won = 0, None
    while True:
        seat = _settled(services, won)
        recorded = _recorded(judgement, seat, services)
        if recorded is not None:
            return _serves(recorded, seat)
        if approval is not None and not approval.approved:
            return _reject(judgement, window, approval, services)
        if judgement.fingerprint in history.barred(seat.decisions):
            reason = (
                f"this training ({judgement.fingerprint[:12]}) was rolled back before; train on newer data, or return "
                "to it by 'evergreen rollback --to' its version"
            )
            return _hold(judgement, window, reason, f"hold version {version}: rolled back before", services)
        if seat.version == judgement.champion_version:
            move = _move(judgement, window, approval, seat, services)
            won = move.key if succession.claim(move, seat, services) else None
            continue
        if approval is not None or settings.gate.approval != "none":
            said = "approved" if approval is not None else "judged, without anybody being asked,"
            reason = (
                f"{said} as better than version {judgement.champion_version or 'none'}, but version {seat.version} "
                "serves by now; clear 'evaluate' and what follows, to judge and ask again"
            )
            key = f"hold version {version} against {seat.version}: approved against {judgement.champion_version}"
            return _hold(judgement, window, reason, key, services, approval)
        rounds += 1
        if rounds > ROUNDS:
            raise Unavailable(f"the champion changed {rounds} times while version {version} was judged; try again")
        judgement = _judge_again(judgement, window, settings, services)
        if judgement.verdict.decision != "promote":
            return _stays(judgement, "; ".join(judgement.verdict.reasons), judgement.decision_id)


def _settled(services: Services, won: str | None) -> succession.Seat:
    """Settle who serves; a champion whose version was deleted in MLflow is withdrawn first: that cannot be undone."""
    seat = succession.settle(services, won=won, strict=False)
    if seat.alias is None and succession.is_gone(seat.version, services):
        why = f"version {seat.version} was deleted in MLflow"
        logger.warning("promote: %s; it is withdrawn", why)
        withdraw_champion.champion(seat, why, services, asked_by="promote")
    return succession.settle(services, won=won)


def _judge_again(judgement: Judgement, window: Window, settings: Settings, services: Services) -> Judgement:
    """Weigh the same challenger against whoever serves by now; a refit is weighed by its original."""
    logger.info("promote: version %s serves no more; judging again", judgement.champion_version)
    evaluation = evaluate.run(window, settings=settings, services=services, meet_champion=True)
    weighed = judgement.judged_version or judgement.version
    assert weighed is not None
    challenger = Challenger(fingerprint=judgement.fingerprint, run_id=evaluation.run_id, version=weighed)
    again = gate.run(window, settings=settings, services=services, challenger=challenger)
    kept = {name: getattr(judgement, name) for name in ("fingerprint", "version", "judged_version")}
    return again.model_copy(update=kept)


def _move(
    judgement: Judgement, window: Window, approval: Approval | None, seat: succession.Seat, services: Services
) -> Move:
    newest = max(services.registry.days("inputs"))
    model = promotion_record.judged_model(judgement, window, services)
    return Move.after(
        newest,
        model=model,
        kind="promotion",
        key=_key(judgement, seat),
        fingerprint=judgement.fingerprint,
        payload={
            "previous_version": judgement.champion_version,
            "model": model.model_dump(mode="json"),
            **gate.evidence(judgement, window, newest),
            **_asked(window, approval, services),
        },
    )


def _key(judgement: Judgement, seat: succession.Seat) -> str:
    """Name the move as no decision before it is named: numbers come again once a registered model was deleted."""
    key = f"promote version {judgement.version} over {judgement.champion_version or 'none'}"
    if seat.last is not None and any(entry.key == key for entry in seat.decisions):
        return f"{key}, after {succession.digest_of(seat.last)}"
    return key


def _asked(window: Window, approval: Approval | None, services: Services) -> dict[str, Any]:
    """Say who asked for the training, and who approved of its result or did not."""
    facts: dict[str, Any] = {} if approval is None else {"approval": approval.model_dump(mode="json")}
    place = services.workspace(window.workspace)
    if place.has("request.json"):
        request = place.read_json("request.json")
        facts |= {"asked_by": request.get("asked_by"), "asked_because": request.get("reasons")}
    return facts


def _recorded(judgement: Judgement, seat: succession.Seat, services: Services) -> Logged | None:
    """Find the promotion of this very version; a number may have come again, of another model."""
    numbered = [
        entry
        for entry in seat.decisions
        if entry.kind == "promotion" and entry.payload.get("version") == judgement.version
    ]
    run_id = services.tracking.version_tags(judgement.version)["run_id"] if numbered and judgement.version else None
    for entry in numbered:
        model = entry.payload.get("model")
        if model["run_id"] == run_id if model else entry.fingerprint == judgement.fingerprint:
            return entry
    return None


def _serves(decision: Logged, seat: succession.Seat) -> Promotion:
    version = int(decision.payload["version"])
    reason = "; ".join(history.tell(decision).reasons)
    if seat.version != version:
        reason = f"promoted on {decision.decided_at:%Y-%m-%d}, and replaced by version {seat.version} since: {reason}"
    logger.info("promote: version %d is champion from %s on", version, decision.effective_day)
    return Promotion(
        promoted=True,
        version=version,
        previous_version=decision.payload.get("previous_version"),
        decision_id=decision.decision_id,
        reason=reason,
    )


def _stays(judgement: Judgement, reason: str, decision_id: str | None) -> Promotion:
    logger.info("promote: held: %s", reason)
    return Promotion(
        promoted=False,
        version=judgement.version,
        previous_version=judgement.champion_version,
        decision_id=decision_id,
        reason=reason,
    )


def _hold(
    judgement: Judgement,
    window: Window,
    reason: str,
    key: str,
    services: Services,
    approval: Approval | None = None,
) -> Promotion:
    """Write down that a challenger stays outside although its verdict was to promote."""
    verdict = Verdict(decision="hold", reasons=(reason,), rulings=judgement.verdict.rulings)
    held = judgement.model_copy(update={"verdict": verdict})
    asked = _asked(window, approval, services)
    return _stays(held, reason, gate.record("hold", key, held, window, services, asked=asked))


def _reject(judgement: Judgement, window: Window, approval: Approval, services: Services) -> Promotion:
    key = f"reject version {judgement.version} against {judgement.champion_version or 'none'}"
    reason = history.approval_in_words(approval.model_dump(mode="json"))
    asked = _asked(window, approval, services)
    return _stays(judgement, reason, gate.record("rejection", key, judgement, window, services, asked=asked))
