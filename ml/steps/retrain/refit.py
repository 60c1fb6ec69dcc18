"""Fit the winner again on the whole window, so that the newest days are not wasted.

Judged is the model that has not seen the holdout; what is promoted is its refit: the same recipe, on all
labelled days. The refit cannot be judged on days that it has seen, so it has to agree with the judged one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd

from ml.adapters import models, package
from ml.adapters.workspace import Workspace
from ml.core.gate.expected_loss import most_of_a_refit
from ml.core.gate.refit import agreement, conclude, difference
from ml.core.gate.rules.package import package_rulings
from ml.core.training.estimators import of_sample, predict
from ml.core.training.lineage import fingerprint_of_refit
from ml.core.training.run_words import JUDGED, training_name
from ml.records import Challenger, Evaluation, Judgement, PastRefresh, RefreshHistory, Window
from ml.settings import Settings
from ml.steps.retrain import check, fit, out_of_fold, register, streamed_parts
from ml.steps.retrain.interval_width import INHERITED, width_of
from ml.steps.retrain.judgements import record_hold
from ml.wiring import Services

logger = logging.getLogger(__name__)
COPIED = ("version.json", "data/window.json", "tuning/tuned.json")


def run(window: Window, judgement: Judgement, *, settings: Settings, services: Services) -> Judgement:
    """Return the judgement with the refit's version in place of the judged one's.

    Without ``retrain.refit: after_gate``, and after a hold, the judgement is returned as it is. A refit
    that disagrees with the judged model, or does not work as packaged, is held and written down so.
    """
    judged = judgement.version
    if settings.retrain.refit == "never" or judgement.verdict.decision == "hold" or judged is None:
        return judgement
    logger.info("refit: version %d on all days up to %s", judged, window.last_day)
    run_dir = services.workspace(window.workspace)
    whole = _whole_window(window, run_dir, settings, services)
    with package.start() as trial:  # it imports its libraries while the refit is fitted
        candidate = fit.run(whole, settings=settings, services=services)
        evaluation = Evaluation.model_validate(run_dir.read_json("evaluation/evaluation.json")).model_copy(
            update={"fingerprint": whole.fingerprint, "run_id": candidate.run_id}
        )
        refit: Challenger = register.run(whole, evaluation, settings=settings, services=services)
        services.tracking.describe_run(
            candidate.run_id,
            training_name(window.last_day, refit=True),
            note=f"Fitted on all days up to {window.last_day}, the holdout too. So version {judged} was judged in its "
            f"place: the metrics that begin with {JUDGED} are that version's.",
            metrics={f"{JUDGED}{name}": value for name, value in evaluation.challenger.items()},
        )
        packaged = check.run(whole, settings=settings, services=services, challenger=refit, trial=trial)
    apart = _difference(run_dir, services.workspace(whole.workspace), settings)
    rulings = (
        agreement(apart, most_of_a_refit(settings, _past(run_dir, evaluation))),
        *package_rulings(packaged, settings.gate),
    )
    verdict = conclude(judgement.verdict, rulings)
    run_dir.write_json("verdict.json", verdict.model_dump(mode="json"))
    refitted = judgement.model_copy(update={"version": refit.version, "judged_version": judged, "verdict": verdict})
    logger.info("refit: version %d in place of %d: %s", refit.version, judged, verdict.decision)
    if verdict.decision == "promote":
        return refitted
    return refitted.model_copy(update={"decision_id": record_hold(refitted, window, services)})


def _past(run_dir: Workspace, evaluation: Evaluation) -> Sequence[PastRefresh]:
    """Return what *evaluate* measured of refreshes, if the judged version is one."""
    if not evaluation.is_refresh or not run_dir.has("evaluation/refreshes.json"):
        return ()
    return RefreshHistory.model_validate(run_dir.read_json("evaluation/refreshes.json")).refreshes


def _whole_window(window: Window, run_dir: Workspace, settings: Settings, services: Services) -> Window:
    """Lay out a workspace whose training part is the whole window: the steps of a training run there."""
    whole = services.workspace(run_dir.uri("refit"))
    for name in COPIED:
        if run_dir.has(name):
            whole.write_json(name, run_dir.read_json(name))
    request = (
        run_dir.read_json("request.json") if run_dir.has("request.json") else {"requested_by": "unknown", "reasons": []}
    )
    because = f"refit on the whole window of training {window.fingerprint[:12]}"
    whole.write_json("request.json", {**request, "reasons": [*request["reasons"], because]})
    if run_dir.has(out_of_fold.PREDICTIONS):  # a refit has no holdout: its monitoring starts from the judged one's
        whole.write_table(out_of_fold.PREDICTIONS, run_dir.read_table(out_of_fold.PREDICTIONS))
    interval = width_of(run_dir, settings)
    if interval is not None:
        whole.write_json(INHERITED, interval.model_dump(mode="json"))
    parts = run_dir.read_json("parts/parts.json")
    both = [run_dir.read_table(f"parts/{name}.parquet") for name in ("train", "holdout")]
    whole.write_table("parts/train.parquet", pd.concat(both, ignore_index=True))
    if settings.fit.stream:
        streamed_parts.join(run_dir, whole)
    facts = {"train_last_day": parts["holdout_last_day"], "train_rows": parts["train_rows"] + parts["holdout_rows"]}
    whole.write_json("parts/parts.json", {**parts, **facts, "refit_of": window.fingerprint})
    fingerprint = fingerprint_of_refit(window.fingerprint)
    return window.model_copy(update={"workspace": whole.uri(), "fingerprint": fingerprint})


def _difference(judged: Workspace, refit: Workspace, settings: Settings) -> float:
    """Compare both models on the kept sample, see `ml.core.gate.refit.difference`."""
    sample = judged.read_table("model/sample.parquet")
    with refit.local("model/pipeline.skops") as path:
        pipeline = models.load(path, trusted=settings.fit.trusted_types)
    (rows, before), task = of_sample(sample), settings.task
    return difference(before, predict(pipeline, rows, task.kind, len(task.classes)), task.kind)
