"""Judge a held challenger by its split, and let it serve if it wins: the move of a promotion, on other evidence.

``reconcile → judge → claim → previous_champion → champion (the commit point) → close the decision``

What promotes is the very version that answered: it is not fitted again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from ml.adapters import layout
from ml.adapters.champion_changes import ChampionChange
from ml.champions import promotion_protocol, recorded_models, serving_state, split_control
from ml.core.champions import decision_summaries, tenures
from ml.core.gate import randomised
from ml.errors import EvergreenError
from ml.next_moves import retrain
from ml.records import (
    Approval,
    JudgedModel,
    Judgement,
    Logged,
    Promotion,
    Ruling,
    SplitDay,
    SplitJudgementRequest,
    Verdict,
    Window,
)
from ml.settings import Settings, parse
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(request: SplitJudgementRequest, *, settings: Settings, services: Services) -> Promotion:
    """Weigh all days of a challenger's split against the champion, write the verdict down, and carry it out.

    A hold is a decision of the kind ``split_hold``, one for the same days; the challenger may be judged again on later
    ones. Days before a split was resumed count too: nobody can choose them. A second call after a promotion returns it.

    Raises
    ------
    EvergreenError
        If the gate has not held the version for its comparison with the champion only, nobody serves, or the model is
        not the one that was registered.
    """
    version, won = request.version, None
    logger.info("judge_split: version %d, asked by %s", version, request.requested_by)
    while True:
        serving = promotion_protocol.reconcile(services, won=won)
        if serving.tenure is not None and serving.version == version:
            _describe(serving.tenure, services)
            return _serves(serving.tenure)
        if serving.tenure is None or serving.version is None or serving.last is None:
            raise EvergreenError(f"nobody serves, so no split was between two versions: {retrain()}")
        split_control.check_eligible(version, services)
        hold = held(version, services)
        days = split_control.kept_days(serving.version, version, services)
        verdict = judge(hold, days, serving, settings, services)
        if verdict.decision == "hold":
            return _hold(request, hold, verdict, days, serving.version, services)
        if settings.gate.approval != "none" and not request.approved:
            reason = f"version {version} passed; a person has to approve: give --approve to let it serve"
            return Promotion(
                promoted=False, version=version, previous_version=serving.version, decision_id=None, reason=reason
            )
        change = _change(request, hold, verdict, days, serving, services)
        won = change.key if promotion_protocol.claim(change, serving, services) else None


def held(version: int, services: Services) -> Logged:
    """Return the newest hold of a version: the gate's verdict on its holdout."""
    holds = services.tracking.decisions(kinds=("hold",))
    return [entry for entry in holds if entry.payload.get("version") == version][-1]


def judge(
    hold: Logged,
    days: list[SplitDay],
    serving: serving_state.ServingState,
    settings: Settings,
    services: Services,
) -> Verdict:
    """Return the verdict on a held challenger by the days of its split; nothing is written."""
    return randomised.conclude(
        hold.payload["verdict"]["rulings"],
        days,
        settings.gate,
        label_delay_days=settings.task.label_delay_days,
        against=_against(hold, serving, services),
    )


def _against(hold: Logged, serving: serving_state.ServingState, services: Services) -> list[Ruling]:
    """Return what speaks against a promotion, whatever the days of the split say."""
    version, before = int(hold.payload["version"]), hold.payload.get("champion_version")
    rulings = []

    def hold_it(rule: str, kind: str, reason: str) -> None:
        rulings.append(Ruling(rule=rule, kind=kind, passed=False, evidence={}, reason=reason))

    if before != serving.version:
        hold_it(
            "same champion",
            "other_champion",
            f"its other rules compared it with {f'version {before}' if before else 'nobody'}, and version "
            f"{serving.version} serves by now: {retrain()}",
        )
    if hold.fingerprint in tenures.blocked(serving.decisions):
        reason = "this very training (same fingerprint) was rolled back: train on other data, parameters or code"
        hold_it("not rolled back", "not_rolled_back", reason)
    stop = split_control.read_stop(version, services)
    if stop is not None:
        hold_it(
            "split not stopped",
            "split_stopped",
            f"its split was stopped: {stop.get('reason')}; 'evergreen traffic resume {version}' lets it answer again",
        )
    return rulings


def _hold(
    request: SplitJudgementRequest,
    hold: Logged,
    verdict: Verdict,
    days: list[SplitDay],
    champion: int,
    services: Services,
) -> Promotion:
    last = days[-1].day if days else None
    decision = services.tracking.open_decision(
        "split_hold",
        f"hold version {request.version} against {champion} by its split up to {last}",
        fingerprint=hold.fingerprint,
        effective_day=None,
        payload={"champion_version": champion, **_facts(request, hold, verdict, days)},
    )
    if not decision.finished:
        services.tracking.close_decision(decision)
    reason = "; ".join(verdict.reasons)
    logger.info("judge_split: held: %s", reason)
    return Promotion(
        promoted=False,
        version=request.version,
        previous_version=champion,
        decision_id=decision.decision_id,
        reason=reason,
    )


def _change(
    request: SplitJudgementRequest,
    hold: Logged,
    verdict: Verdict,
    days: list[SplitDay],
    serving: serving_state.ServingState,
    services: Services,
) -> ChampionChange:
    assert serving.last is not None
    model = _model(request.version, services)
    newest = serving_state.newest_day(serving, services)
    approval = None
    if request.approved:
        approval = Approval(approved=True, by=request.requested_by, at=datetime.now(UTC)).model_dump(mode="json")
    return ChampionChange.after(
        newest,
        model=model,
        kind="promotion",
        key=f"promote version {request.version} over {serving.version} by its split, after "
        f"{promotion_protocol.digest_of(serving.last)}",
        fingerprint=hold.fingerprint,
        payload={
            "previous_version": serving.version,
            "model": model.model_dump(mode="json"),
            "judged_on": newest.isoformat(),
            **_facts(request, hold, verdict, days),
            **({"approval": approval} if approval else {}),
        },
    )


def _model(version: int, services: Services) -> JudgedModel:
    """Return what the storage recorded when a version was registered, if MLflow still holds that very model."""
    recorded, in_mlflow = recorded_models.recorded(version, services), services.tracking.servable(version)
    if (recorded.run_id, recorded.model_sha256) != (in_mlflow.run_id, in_mlflow.model_sha256):
        raise EvergreenError(
            f"the model file of version {version} in MLflow (SHA-256 {in_mlflow.model_sha256[:12]}) is not the one "
            f"that was registered ({recorded.model_sha256[:12]}): somebody replaced it; {retrain(force=True)}"
        )
    return recorded


def _facts(request: SplitJudgementRequest, hold: Logged, verdict: Verdict, days: list[SplitDay]) -> dict[str, Any]:
    """Return what the decision log keeps: the verdict, on what it was based, and who asked."""
    return {
        "version": request.version,
        "window_last_day": hold.payload["window_last_day"],
        "verdict": verdict.model_dump(mode="json"),
        "judged_by": randomised.EVIDENCE,
        "split_days": [f"{day.day}: {-day.difference:+.6f}" for day in days],
        "requested_by": request.requested_by,
        "reason": request.reason,
    }


def _describe(tenure: Logged, services: Services) -> None:
    """Write the model card anew with the verdict that let a version serve; without its training's files, leave it."""
    from ml.steps.retrain import describe  # slow to import, and needed after a promotion only

    version = int(tenure.payload["version"])
    try:
        window = _window(tenure, services)
        if window is None or tenure.payload.get("judged_by") != randomised.EVIDENCE:
            return
        judgement = Judgement(
            fingerprint=window.fingerprint,
            version=version,
            champion_version=tenure.payload.get("previous_version"),
            verdict=Verdict.model_validate(tenure.payload["verdict"]),
            decision_id=tenure.decision_id,
        )
        pinned = parse(services.workspace(window.workspace).read_json("settings.json"))
        describe.run(window, judgement, settings=pinned, services=Services(pinned, services.environment))
    except (EvergreenError, ValueError, LookupError) as err:
        logger.warning("judge_split: the card of version %d still has its first verdict: %s", version, err)


def _window(tenure: Logged, services: Services) -> Window | None:
    """Find the training of a version among those of its fingerprint; None if its files are gone."""
    version, fingerprint = int(tenure.payload["version"]), str(tenure.fingerprint)
    run_id = services.tracking.version_tags(version)["run_id"]
    for name in services.storage.list(layout.training.run_dir(fingerprint)):
        if not name.endswith("/model/candidate.json") or "/refit/" in name:
            continue
        folder = services.storage_folder(name.removesuffix("/model/candidate.json"))
        if folder.read_json("model/candidate.json").get("run_id") == run_id:
            facts = folder.read_json("data/window.json")
            return Window(
                first_day=facts["first_day"],
                last_day=facts["last_day"],
                data_version=folder.read_json("version.json")["data_version"],
                fingerprint=fingerprint,
                workspace=folder.uri(),
                days=len(facts["days"]),
                rows=int(facts["rows"]),
            )
    return None


def _serves(tenure: Logged) -> Promotion:
    summary = decision_summaries.summarise(tenure)
    return Promotion(
        promoted=True,
        version=summary.version,
        previous_version=tenure.payload.get("previous_version"),
        decision_id=tenure.decision_id,
        reason="; ".join(summary.reasons),
    )
