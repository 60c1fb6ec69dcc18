"""Judge the candidate on its holdout: promote or hold, with every rule's evidence."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel

from ml.adapters.workspace import Workspace
from ml.core import gate, history, slices
from ml.core.comparison import PairedGain, new_to_both, paired_gain
from ml.core.leakage import Leakage
from ml.core.slices import Slice
from ml.records import Challenger, Evaluation, Judgement, PackageCheck, Window
from ml.settings import Settings, SliceGapRule, SlicesRule
from ml.steps.stage import stage_main
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
    place = services.workspace(window.workspace)
    evaluation = Evaluation.model_validate(place.read_json("evaluation/evaluation.json"))
    logger.info("gate: run %s against champion %s", evaluation.run_id, evaluation.champion_version)
    scored = place.read_table("evaluation/holdout.parquet")
    evidence = gate.Evidence(
        challenger=evaluation.challenger,
        base_rate=evaluation.base_rate,
        holdout_days=evaluation.holdout_days,
        holdout_rows=evaluation.holdout_rows,
        against_champion=evaluation.champion_version is not None,
        is_refresh=evaluation.is_refresh,
        comparison=_comparison(scored, settings),
        slices=_slices(place, scored, settings),
        leakage=_kept(place, "evaluation/leakage.json", Leakage),
        package=_kept(place, "check/check.json", PackageCheck),
        past=_past(evaluation, settings, services),
        barred=challenger is not None
        and challenger.fingerprint in history.barred(services.tracking.decisions(kinds=("rollback",))),
    )
    verdict = gate.decide(settings.gate, evidence)
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
    return judgement.model_copy(update={"decision_id": record_hold(judgement, window, services)})


def _past(
    evaluation: Evaluation, settings: Settings, services: Services
) -> list[tuple[Mapping[str, float], Mapping[str, float]]]:
    """Give how well the champion does here, and did when it was judged, each beside the base rate."""
    found: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    if evaluation.champion is not None:
        found.append((evaluation.champion, evaluation.base_rate))
    if evaluation.champion_version is not None:
        metric = settings.gate.metric
        tags = services.tracking.version_tags(evaluation.champion_version)
        kept = services.tracking.run_metrics(tags["run_id"]) if "run_id" in tags else {}
        if f"base_rate_{metric}" in kept:
            found.append((kept, {metric: kept[f"base_rate_{metric}"]}))
    return found


def _comparison(scored: pd.DataFrame, settings: Settings) -> PairedGain | None:
    if "champion" not in scored:
        return None
    return paired_gain(
        new_to_both(scored),
        metric=settings.gate.metric,
        confidence=settings.gate.confidence,
        rounds=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )


def _slices(place: Workspace, scored: pd.DataFrame, settings: Settings) -> dict[str, tuple[Slice, ...] | None]:
    """Cut the holdout for every rule that asks for it; None where a column is not there."""
    rules = {name: rule for name, rule in settings.gate.rules.items() if isinstance(rule, SlicesRule | SliceGapRule)}
    if not rules:
        return {}
    rows = place.read_table("parts/holdout.parquet")
    found: dict[str, tuple[Slice, ...] | None] = {}
    for name, rule in rules.items():
        compared = isinstance(rule, SlicesRule)
        part = new_to_both(scored) if compared else scored.drop(columns="champion", errors="ignore")
        try:
            found[name] = slices.gains(
                part,
                rows.loc[part.index],
                rule.by if isinstance(rule, SlicesRule) else (rule.by,),
                kind=settings.task.kind,
                metric=settings.gate.metric,
                confidence=settings.gate.confidence,
                min_rows=rule.min_rows,
                min_days=rule.min_days if isinstance(rule, SlicesRule) else 1,
            )
        except KeyError as err:
            logger.warning("gate: %s: %s", name, err)
            found[name] = None
    return found


def _kept(place: Workspace, name: str, kind: type[T]) -> T | None:
    """Read evidence that an earlier step wrote; None if it is not there or cannot be read."""
    if not place.has(name):
        return None
    try:
        return kind.model_validate(place.read_json(name))
    except ValueError as err:
        logger.warning("gate: %s cannot be read and counts for nothing: %s", place.uri(name), err)
        return None


def record_hold(judgement: Judgement, window: Window, services: Services) -> str:
    """Write a hold down, once, and give the decision's id."""
    key = f"hold version {judgement.version} against {judgement.champion_version or 'none'}"
    return record("hold", key, judgement, window, services)


def record(
    kind: str,
    key: str,
    judgement: Judgement,
    window: Window,
    services: Services,
    *,
    asked: Mapping[str, Any] | None = None,
) -> str:
    """Write down a judgement after which the champion stays, once a ``key``, and give the decision's id.

    Parameters
    ----------
    asked
        Who asked for the training and who was asked for approval; None says nothing of either.
    """
    facts = evidence(judgement, window, max(services.registry.days("inputs")))
    decision = services.tracking.open_decision(
        kind,
        key,
        fingerprint=judgement.fingerprint,
        effective_day=None,
        payload={"champion_version": judgement.champion_version, **facts, **(asked or {})},
    )
    services.tracking.close_decision(decision)
    return decision.decision_id


def evidence(judgement: Judgement, window: Window, judged_on: date) -> dict[str, Any]:
    """Give what the decision log keeps of a judgement, whichever way it went."""
    return {
        "version": judgement.version,
        **({"judged_version": judgement.judged_version} if judgement.judged_version is not None else {}),
        "judged_on": judged_on.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "verdict": judgement.verdict.model_dump(mode="json"),
    }


def main(argv: list[str] | None = None) -> int:
    """Judge a local workspace; the ``gate`` stage of ``dvc.yaml``. A hold is a result: exit code 0."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
