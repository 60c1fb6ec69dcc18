"""Judge the candidate on its holdout: promote or hold, with every rule's evidence."""

from __future__ import annotations

import logging
import sys
from datetime import date

from ml.core import gate
from ml.records import Challenger, Evaluation, Judgement, Window
from ml.settings import Settings
from ml.steps.stage import stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services, challenger: Challenger | None = None) -> Judgement:
    """Weigh the evaluation and, for a registered challenger, write a hold down as a decision.

    A verdict to promote is written down by ``promote``, with the move that it leads to.

    Parameters
    ----------
    challenger
        None under ``dvc repro``, where nothing is registered and nothing decided.
    """
    place = services.workspace(window.workspace)
    evaluation = Evaluation.model_validate(place.read_json("evaluation/evaluation.json"))
    logger.info("gate: run %s against champion %s", evaluation.run_id, evaluation.champion_version)
    holdout = place.read_table("evaluation/holdout.parquet")
    comparison = None
    if "champion" in holdout:
        fresh = holdout.loc[~holdout["champion_had_seen"].astype(bool)]
        comparison = gate.paired_gain(
            fresh,
            metric=settings.gate.metric,
            confidence=settings.gate.confidence,
            rounds=settings.gate.bootstrap_rounds,
            seed=settings.fit.seed,
        )
    verdict = gate.decide(
        settings.gate,
        challenger=evaluation.challenger,
        base_rate=evaluation.base_rate,
        holdout_days=evaluation.holdout_days,
        holdout_rows=evaluation.holdout_rows,
        against_champion=evaluation.champion_version is not None,
        comparison=comparison,
    )
    place.write_json("verdict.json", verdict.model_dump(mode="json"))
    judgement = Judgement(
        fingerprint=window.fingerprint,
        version=challenger.version if challenger else None,
        champion_version=evaluation.champion_version,
        verdict=verdict,
        decision_id=None,
    )
    logger.info("gate: %s: %s", verdict.decision, "; ".join(verdict.reasons))
    if challenger is None or verdict.decision == "promote":
        return judgement
    return judgement.model_copy(update={"decision_id": _hold(judgement, window, services)})


def _hold(judgement: Judgement, window: Window, services: Services) -> str:
    against = judgement.champion_version or "none"
    newest = max(services.registry.days("inputs"))
    decision = services.tracking.open_decision(
        "hold",
        f"hold version {judgement.version} against {against}",
        fingerprint=judgement.fingerprint,
        effective_day=None,
        payload={"champion_version": judgement.champion_version, **evidence(judgement, window, newest)},
    )
    services.tracking.close_decision(decision)
    return decision.decision_id


def evidence(judgement: Judgement, window: Window, judged_on: date) -> dict[str, object]:
    """Give what the decision log keeps of a judgement, whichever way it went."""
    return {
        "version": judgement.version,
        "judged_on": judged_on.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "verdict": judgement.verdict.model_dump(mode="json"),
    }


def main(argv: list[str] | None = None) -> int:
    """Judge a local workspace; the ``gate`` stage of ``dvc.yaml``. A hold is a result: exit code 0."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
