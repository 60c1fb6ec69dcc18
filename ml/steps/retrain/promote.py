"""Let the winner serve: one alias move, made last, and only over the champion that it was judged against.

``reconcile → (judge again) → claim → previous_champion → champion (the commit point) → close the decision``

Killed between any two of these and run again, or never, the end is the same: see `ml.champions.promotion_protocol`.
"""

from __future__ import annotations

import logging

from ml.adapters.champion_changes import ChampionChange
from ml.champions import promotion_protocol, promotion_record, serving_state, withdrawal
from ml.core.champions import decision_summaries, tenures
from ml.core.training.run_words import decided_name, training_name, version_note
from ml.errors import EvergreenError, Unavailable
from ml.next_moves import rerun
from ml.records import Approval, Challenger, Judgement, Logged, Promotion, Verdict, Window
from ml.settings import Settings
from ml.steps.retrain import evaluate, gate, judgements
from ml.views import gain
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
    promotion = _promote(window, judgement, settings, services, approval)
    _name_runs(window, judgement, promotion, services)
    return promotion


def _promote(
    window: Window, judgement: Judgement, settings: Settings, services: Services, approval: Approval | None
) -> Promotion:
    version = judgement.version
    if judgement.verdict.decision != "promote" or version is None:
        return _stays(judgement, "; ".join(judgement.verdict.reasons), judgement.decision_id)
    logger.info("promote: version %d over %s", version, judgement.champion_version)
    rounds, won = 0, None
    while True:
        serving = _settled(services, won)
        recorded = _recorded(judgement, serving, services)
        if recorded is not None:
            return _serves(recorded, serving)
        if approval is not None and not approval.approved:
            return _reject(judgement, window, approval, services)
        if judgement.fingerprint in tenures.blocked(serving.decisions):
            reason = (
                f"this training ({judgement.fingerprint[:12]}) was rolled back before; train on newer data, or return "
                "to it by 'evergreen rollback --to' its version"
            )
            return _hold(judgement, window, reason, f"hold version {version}: rolled back before", services)
        if serving.version == judgement.champion_version:
            change = _move(judgement, window, approval, serving, services)
            won = change.key if promotion_protocol.claim(change, serving, services) else None
            continue
        if approval is not None or settings.gate.approval != "none":
            basis = "approved" if approval is not None else "judged, without anybody being asked,"
            reason = (
                f"{basis} as better than version {judgement.champion_version or 'none'}, but version {serving.version} "
                f"serves by now; {rerun(step='evaluate')}, to judge and ask again"
            )
            key = f"hold version {version} against {serving.version}: approved against {judgement.champion_version}"
            return _hold(judgement, window, reason, key, services, approval)
        rounds += 1
        if rounds > ROUNDS:
            raise Unavailable(f"the champion changed {rounds} times while version {version} was judged; try again")
        judgement = _judge_again(judgement, window, settings, services)
        if judgement.verdict.decision != "promote":
            return _stays(judgement, "; ".join(judgement.verdict.reasons), judgement.decision_id)


def _name_runs(window: Window, judgement: Judgement, promotion: Promotion, services: Services) -> None:
    """Let MLflow's lists and pages say what became of the training; whoever serves does not depend on it."""
    version, twin, last_day = judgement.version, judgement.judged_version, window.last_day
    outcome = "promoted" if promotion.promoted else "held"
    named = {
        version: (decided_name(last_day, version, outcome=outcome), _note(window, judgement, promotion, services)),
        twin: (
            f"{training_name(last_day)}: judged in place of version {version}",
            f"Judged in place of version {version}, which is this recipe fitted again on all days up to {last_day}.",
        ),
    }
    try:
        for number, (name, note) in named.items():
            if number is not None:
                services.tracking.describe_run(services.tracking.version_tags(number)["run_id"], name)
                services.tracking.describe_version(number, note)
    except EvergreenError as err:
        logger.warning("promote: the runs in MLflow keep their names: %s", err)


def _note(window: Window, judgement: Judgement, promotion: Promotion, services: Services) -> str:
    """Describe the version: by the gain over the one that it replaced, or else by the reasons of the decision."""
    rulings = [ruling.model_dump(mode="json") for ruling in judgement.verdict.rulings]
    replaced = promotion.promoted and promotion.previous_version == judgement.champion_version
    weighed = gain.of(rulings, services.settings.gate) if replaced else None
    return version_note(
        window.last_day,
        promoted=promotion.promoted,
        previous=promotion.previous_version,
        judged=judgement.judged_version,
        reason=weighed["sentence"] if weighed else promotion.reason,
    )


def _settled(services: Services, won: str | None) -> serving_state.ServingState:
    """Reconcile the serving state; a champion that was deleted in MLflow is withdrawn first: that cannot be undone."""
    serving = promotion_protocol.reconcile(services, won=won, strict=False)
    if serving.alias is None and serving_state.is_gone(serving.version, services):
        reason = f"version {serving.version} was deleted in MLflow"
        logger.warning("promote: %s; it is withdrawn", reason)
        withdrawal.champion(serving, reason, services, requested_by="promote")
    return promotion_protocol.reconcile(services, won=won)


def _judge_again(judgement: Judgement, window: Window, settings: Settings, services: Services) -> Judgement:
    """Weigh the same challenger against whoever serves by now; a refit is weighed by its original."""
    logger.info("promote: version %s serves no more; judging again", judgement.champion_version)
    evaluation = evaluate.run(window, settings=settings, services=services, meet_champion=True)
    weighed = judgement.judged_version or judgement.version
    assert weighed is not None
    challenger = Challenger(fingerprint=judgement.fingerprint, run_id=evaluation.run_id, version=weighed)
    again = gate.run(window, settings=settings, services=services, challenger=challenger)
    identity = {name: getattr(judgement, name) for name in ("fingerprint", "version", "judged_version")}
    return again.model_copy(update=identity)


def _move(
    judgement: Judgement,
    window: Window,
    approval: Approval | None,
    serving: serving_state.ServingState,
    services: Services,
) -> ChampionChange:
    newest = max(services.registry.days("inputs"))
    model = promotion_record.judged_model(judgement, window, services)
    return ChampionChange.after(
        newest,
        model=model,
        kind="promotion",
        key=_key(judgement, serving, services),
        fingerprint=judgement.fingerprint,
        payload={
            "previous_version": judgement.champion_version,
            "model": model.model_dump(mode="json"),
            **judgements.evidence(judgement, window, newest),
            **judgements.requested(window, services, approval),
        },
    )


def _key(judgement: Judgement, serving: serving_state.ServingState, services: Services) -> str:
    """Name the move as none before it is named: version numbers come again after a deletion, or an older database."""
    key = f"promote version {judgement.version} over {judgement.champion_version or 'none'}"
    used = {entry.key for entry in serving.decisions}
    name, tries = key, 0
    while name in used or services.journal.is_succeeded(services.tracking.book(), name):
        tries += 1
        name = f"{key}, after {promotion_protocol.digest_of(serving.last) if serving.last else 'none'}"
        name += f", {tries}" if tries > 1 else ""
    return name


def _recorded(judgement: Judgement, serving: serving_state.ServingState, services: Services) -> Logged | None:
    """Find the promotion of this very version; a number may have come again, of another model."""
    numbered = [
        entry
        for entry in serving.decisions
        if entry.kind == "promotion" and entry.payload.get("version") == judgement.version
    ]
    run_id = services.tracking.version_tags(judgement.version)["run_id"] if numbered and judgement.version else None
    for entry in numbered:
        if (entry.payload.get("model") or {}).get("run_id") == run_id:
            return entry
    return None


def _serves(decision: Logged, serving: serving_state.ServingState) -> Promotion:
    version = int(decision.payload["version"])
    reason = "; ".join(decision_summaries.summarise(decision).reasons)
    if serving.version != version:
        reason = (
            f"promoted on {decision.decided_at:%Y-%m-%d}, and replaced by version {serving.version} since: {reason}"
        )
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
    requested = judgements.requested(window, services, approval)
    return _stays(held, reason, judgements.record("hold", key, held, window, services, requested=requested))


def _reject(judgement: Judgement, window: Window, approval: Approval, services: Services) -> Promotion:
    key = f"reject version {judgement.version} against {judgement.champion_version or 'none'}"
    reason = decision_summaries.approval_in_words(approval.model_dump(mode="json"))
    requested = judgements.requested(window, services, approval)
    return _stays(
        judgement, reason, judgements.record("rejection", key, judgement, window, services, requested=requested)
    )
