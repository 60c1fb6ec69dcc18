"""Score candidate and champion on the same holdout, each through its own full pipeline."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import pandas as pd

from ml.adapters import models
from ml.adapters.workspace import Workspace
from ml.core import metrics
from ml.core.gate import gate_evidence
from ml.core.training.estimators import predict
from ml.core.training.features import feature_columns, matrix
from ml.records import Candidate, Evaluation, Parts, Window
from ml.settings import Settings
from ml.steps.retrain.compared_models import Contest, Opponents
from ml.steps.retrain.search_result import tuned_settings
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services, meet_champion: bool = False) -> Evaluation:
    """Measure the candidate on the holdout, beside the base rate and the serving champion.

    Writes ``evaluation/holdout.parquet`` (day, target, challenger and, if one serves, champion, of a refresh the
    anchor, and whether these had seen that day), metrics, and the points of the plots.

    Parameters
    ----------
    meet_champion
        Whether to ask MLflow for a champion. ``dvc repro`` does not: what a stage gives must
        follow from its dependencies.
    """
    run_dir = services.workspace(window.workspace)
    candidate = Candidate.model_validate(run_dir.read_json("model/candidate.json"))
    parts = Parts.model_validate({"fingerprint": window.fingerprint, **run_dir.read_json("parts/parts.json")})
    logger.info("evaluate: run %s on %d rows", candidate.run_id, parts.holdout_rows)
    holdout = run_dir.read_table("parts/holdout.parquet")
    scored = _candidate_scores(run_dir, holdout, settings)
    champion = services.tracking.alias("champion") if meet_champion else None
    opponents = Opponents(scored)
    if champion is not None:
        contest = Contest(window, parts, run_dir, tuned_settings(run_dir, settings), services)
        opponents = contest.against(champion, scored, holdout)
    scored = opponents.scored
    measured = gate_evidence.measure(scored, settings)
    evaluation = Evaluation(
        fingerprint=window.fingerprint,
        run_id=candidate.run_id,
        holdout_rows=len(scored),
        holdout_days=int(scored["day"].nunique()),
        challenger=measured["challenger"],
        base_rate=measured["base_rate"],
        champion=measured.get("champion"),
        champion_version=champion,
        is_refresh=opponents.is_refresh,
        compared=opponents.compared,
        anchor_version=opponents.anchor_version,
        anchor_problem=opponents.anchor_problem,
        champion_problem=opponents.problem,
    )
    _write(run_dir, scored, evaluation, settings, services)
    logger.info(
        "evaluate: %s",
        {name: metrics_of_model.get(settings.gate.metric) for name, metrics_of_model in measured.items()},
    )
    return evaluation


def _candidate_scores(run_dir: Workspace, holdout: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Score the holdout as the candidate and the base rate do, and look for leaks from train into it."""
    task = settings.task
    columns = list(dict.fromkeys([*task.key, *feature_columns(settings.features), task.target]))
    train = run_dir.read_table("parts/train.parquet", columns=columns)
    label_columns = run_dir.read_json("data/window.json")["label_columns"]
    leaks = gate_evidence.leaks(train, holdout, settings, label_columns=label_columns)
    run_dir.write_json("evaluation/leakage.json", leaks.model_dump(mode="json"))
    with run_dir.local("model/pipeline.skops") as path:
        pipeline = models.load(path, trusted=settings.fit.trusted_types)
    predicted = predict(pipeline, matrix(holdout, settings.features), task.kind, len(task.classes))
    return gate_evidence.scored_holdout(train, holdout, predicted, settings)


def _write(
    run_dir: Workspace, scored: pd.DataFrame, evaluation: Evaluation, settings: Settings, services: Services
) -> None:
    tables: dict[str, pd.DataFrame] = {}
    if settings.task.kind != "regression":
        tables |= metrics.curves(scored["target"], scored["challenger"])
    tables["loss_by_day"] = pd.concat(
        metrics.by_day(scored["day"], scored["target"], scored[name], settings.gate.metric).assign(model=name)
        for name in ("challenger", "base_rate", "champion")
        if name in scored
    )
    flat = dict(evaluation.challenger)
    metric = settings.gate.metric
    if metric in evaluation.base_rate:
        flat[f"base_rate_{metric}"] = evaluation.base_rate[metric]
    if evaluation.champion and metric in evaluation.champion:
        flat[f"champion_{metric}"] = evaluation.champion[metric]
    flat |= {"holdout_rows": float(evaluation.holdout_rows), "holdout_days": float(evaluation.holdout_days)}
    run_dir.write_table("evaluation/holdout.parquet", scored)
    run_dir.write_json("evaluation/metrics.json", {name: round(value, 6) for name, value in flat.items()})
    for name, table in tables.items():
        run_dir.write_text(f"plots/{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    with tempfile.TemporaryDirectory() as folder:
        from ml.views import plots

        plots.draw(tables, Path(folder))
        for picture in sorted(Path(folder).glob("*.png")):  # beside the tables: dvc shows them without a network
            run_dir.write_file(f"plots/{picture.name}", picture)
        services.tracking.log_results(evaluation.run_id, flat, Path(folder))
    run_dir.write_json("evaluation/evaluation.json", evaluation.model_dump(mode="json"))


def main(argv: list[str] | None = None) -> int:
    """Evaluate a local workspace; the ``evaluate`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
