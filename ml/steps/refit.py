"""Fit the winner again on the whole window, so that the newest days are not wasted.

Judged is the model that has not seen the holdout; what is promoted is its refit: the same recipe, on all
labelled days. The refit cannot be judged on days that it has seen, so it has to agree with the judged one.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from ml.adapters import models
from ml.adapters.workspace import Workspace
from ml.core import gate
from ml.core.estimators import of_sample, predict
from ml.core.lineage import fingerprint_of_refit
from ml.records import Challenger, Evaluation, Judgement, PackageCheck, Ruling, Verdict, Window
from ml.settings import Gate, PackageRule, Settings
from ml.steps import check, fit, out_of_fold, register
from ml.steps.gate import record_hold
from ml.wiring import Services

logger = logging.getLogger(__name__)
COPIED = ("version.json", "data/window.json", "tuning/tuned.json")


def run(window: Window, judgement: Judgement, *, settings: Settings, services: Services) -> Judgement:
    """Give the judgement with the refit's version in place of the judged one's.

    Without ``retrain.refit: after_gate``, and after a hold, the judgement is returned as it is. A refit
    that disagrees with the judged model, or does not work as packaged, is held and written down so.
    """
    judged = judgement.version
    if settings.retrain.refit == "never" or judgement.verdict.decision == "hold" or judged is None:
        return judgement
    logger.info("refit: version %d on all days up to %s", judged, window.last_day)
    place = services.workspace(window.workspace)
    whole = _whole_window(window, place, services)
    candidate = fit.run(whole, settings=settings, services=services)
    evaluation = Evaluation.model_validate(place.read_json("evaluation/evaluation.json")).model_copy(
        update={"fingerprint": whole.fingerprint, "run_id": candidate.run_id}
    )
    refit: Challenger = register.run(whole, evaluation, settings=settings, services=services)
    packaged = check.run(whole, settings=settings, services=services, challenger=refit)
    difference = _difference(place, services.workspace(whole.workspace), settings)
    rulings = (
        agreement(difference, settings.retrain.refit_max_difference),
        *package_rulings(packaged, settings.gate),
    )
    failed = tuple(ruling.reason for ruling in rulings if not ruling.passed)
    verdict = Verdict(
        decision="hold" if failed else "promote",
        reasons=failed or (*judgement.verdict.reasons, *(ruling.reason for ruling in rulings)),
        rulings=(*judgement.verdict.rulings, *rulings),
    )
    place.write_json("verdict.json", verdict.model_dump(mode="json"))
    found = judgement.model_copy(update={"version": refit.version, "judged_version": judged, "verdict": verdict})
    logger.info("refit: version %d in place of %d: %s", refit.version, judged, verdict.decision)
    if not failed:
        return found
    return found.model_copy(update={"decision_id": record_hold(found, window, services)})


def agreement(difference: float, bound: float) -> Ruling:
    """Say whether the refit predicts what the judged model does, on average within ``bound``."""
    known = bool(np.isfinite(difference))
    said = f"refit and judged model differ by {difference:.4f} on average, must be at most {bound:g}"
    return Ruling(
        rule="refit agrees",
        passed=difference <= bound if known else None,
        evidence={"difference": difference if known else None, "max_difference": bound},
        reason=said if known else "refit and judged model could not be compared",
    )


def package_rulings(found: PackageCheck, declared: Gate) -> tuple[Ruling, ...]:
    """Judge the refit's package by each rule of kind ``package``; without any it has to work, at any speed and size."""
    rules: dict[str, PackageRule | None] = {
        name: rule for name, rule in declared.rules.items() if isinstance(rule, PackageRule)
    }
    rulings = [gate.package(f"refit's {name}", rule, found) for name, rule in (rules or {"package": None}).items()]
    return tuple(ruling.model_copy(update={"reason": f"of the refit: {ruling.reason}"}) for ruling in rulings)


def _whole_window(window: Window, place: Workspace, services: Services) -> Window:
    """Lay out a workspace whose training part is the whole window: the steps of a training run there."""
    whole = services.workspace(place.uri("refit"))
    for name in COPIED:
        if place.has(name):
            whole.write_json(name, place.read_json(name))
    asked = place.read_json("request.json") if place.has("request.json") else {"asked_by": "unknown", "reasons": []}
    because = f"refit on the whole window of training {window.fingerprint}"
    whole.write_json("request.json", {**asked, "reasons": [*asked["reasons"], because]})
    if place.has(out_of_fold.PREDICTIONS):  # a refit has no holdout: its monitoring starts from the judged one's
        whole.write_table(out_of_fold.PREDICTIONS, place.read_table(out_of_fold.PREDICTIONS))
    parts = place.read_json("parts/parts.json")
    both = [place.read_table(f"parts/{name}.parquet") for name in ("train", "holdout")]
    whole.write_table("parts/train.parquet", pd.concat(both, ignore_index=True))
    facts = {"train_last_day": parts["holdout_last_day"], "train_rows": sum(len(part) for part in both)}
    whole.write_json("parts/parts.json", {**parts, **facts, "refit_of": window.fingerprint})
    fingerprint = fingerprint_of_refit(window.fingerprint)
    return window.model_copy(update={"workspace": whole.uri(), "fingerprint": fingerprint})


def _difference(judged: Workspace, refit: Workspace, settings: Settings) -> float:
    """Compare both models on the kept sample: mean absolute difference of their predictions.

    Of a classification in units of probability, of a regression in standard deviations of the judged
    model's predictions.
    """
    kept = judged.read_table("model/sample.parquet")
    with refit.local("model/pipeline.skops") as path:
        pipeline = models.load(path, trusted=settings.fit.trusted_types)
    rows, before = of_sample(kept)
    after = predict(pipeline, rows, settings.task.kind)
    difference = float(np.abs(after - before).mean())
    if settings.task.kind == "classification":
        return difference
    spread = float(before.std())
    return difference / spread if spread > 0 else float("nan")
