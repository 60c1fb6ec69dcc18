"""Judge the candidate on its holdout: promote or hold, with every rule's evidence."""

from __future__ import annotations

import logging
import sys
from typing import TypeVar

from pydantic import BaseModel

from ml.adapters.workspace import Workspace
from ml.core import gate
from ml.core.champions import promoted_losses, tenures
from ml.core.gate import gate_evidence
from ml.core.gate.leakage import Leakage
from ml.records import Challenger, Evaluation, Judgement, PackageCheck, RefreshHistory, Window
from ml.settings import Settings
from ml.steps.retrain.judgements import record_hold
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)


def run(window: Window, *, settings: Settings, services: Services, challenger: Challenger | None = None) -> Judgement:
    """Weigh the evaluation and, for a registered challenger, write a hold down as a decision.

    A verdict to promote is written down by ``promote``, with the move that it leads to.

    Parameters
    ----------
    challenger
        None under ``dvc repro``, where nothing is registered and nothing decided.
    """
    run_dir = services.workspace(window.workspace)
    evaluation = Evaluation.model_validate(run_dir.read_json("evaluation/evaluation.json"))
    logger.info("gate: run %s against champion %s", evaluation.run_id, evaluation.champion_version)
    scored = run_dir.read_table("evaluation/holdout.parquet")
    decided = () if challenger is None else services.tracking.decisions(kinds=("promotion", "rollback"))
    evidence = gate_evidence.collect(
        scored,
        run_dir.read_table("parts/holdout.parquet"),
        {name: values for name in gate_evidence.SCORERS if (values := getattr(evaluation, name)) is not None},
        settings,
        against_champion=evaluation.champion_version is not None,
        refresh=evaluation.is_refresh,
        compared=evaluation.compared,
        anchor_version=evaluation.anchor_version,
        anchor_problem=evaluation.anchor_problem,
        champion_problem=evaluation.champion_problem,
        champion_asked=challenger is not None or evaluation.champion_version is not None,
        refreshes=_kept(run_dir, "evaluation/refreshes.json", RefreshHistory) if evaluation.is_refresh else None,
        leakage=_kept(run_dir, "evaluation/leakage.json", Leakage),
        package=_kept(run_dir, "check/check.json", PackageCheck),
        when_judged=_when_judged(evaluation.champion_version, services),
        promoted=promoted_losses.beside_base_rate(decided, settings.gate.metric),
        blocked=challenger is not None and challenger.fingerprint in tenures.blocked(decided),
    )
    verdict = gate.decide(settings.gate, evidence)
    run_dir.write_json("verdict.json", verdict.model_dump(mode="json"))
    judgement = Judgement(
        fingerprint=window.fingerprint,
        version=challenger.version if challenger else None,
        champion_version=evaluation.champion_version,
        verdict=verdict,
        decision_id=None,
    )
    alone = " by its own rules, nothing is registered or promoted here" if challenger is None else ""
    logger.info("gate: %s%s: %s", verdict.decision, alone, "; ".join(verdict.reasons))
    if challenger is None or verdict.decision == "promote":
        return judgement
    return judgement.model_copy(update={"decision_id": record_hold(judgement, window, services)})


def _when_judged(champion: int | None, services: Services) -> dict[str, float]:
    """Read the metrics that were logged with the champion's run; empty if none are kept."""
    tags = {} if champion is None else services.tracking.version_tags(champion)
    return services.tracking.run_metrics(tags["run_id"]) if "run_id" in tags else {}


def _kept(run_dir: Workspace, name: str, kind: type[T]) -> T | None:
    """Read evidence that an earlier step wrote; None if it is not there or cannot be read."""
    if not run_dir.has(name):
        return None
    try:
        return kind.model_validate(run_dir.read_json(name))
    except ValueError as err:
        logger.warning("gate: %s cannot be read and counts for nothing: %s", run_dir.uri(name), err)
        return None


def main(argv: list[str] | None = None) -> int:
    """Judge a local workspace; the ``gate`` stage of ``dvc.yaml``. A hold is a result: exit code 0."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
