"""Fit the pipeline on the training part and log it as one MLflow run."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from ml import own_code
from ml.adapters import code, models, rows
from ml.adapters.workspace import Workspace, write_parquet
from ml.core.gate.refit import compared_rows
from ml.core.training import estimators
from ml.core.training.features import example_rows, matrix
from ml.core.training.run_words import readable, training_name
from ml.records import Candidate, Window
from ml.settings import Settings
from ml.steps.retrain import streamed_parts
from ml.steps.retrain.pipelines import fit_pipeline, rehearse
from ml.steps.retrain.search_result import tuned_settings
from ml.steps.retrain.stage import files_of, fingerprint_of, seen_in, stage_main
from ml.urls import redact_all
from ml.wiring import Services

logger = logging.getLogger(__name__)
SAMPLE_ROWS = 200


def run(window: Window, *, settings: Settings, services: Services) -> Candidate:
    """Fit, write the model to the workspace, and log the training; a finished fit is used again.

    Raises
    ------
    SettingsError
        If the estimator cannot be built from ``params.yaml`` or may not be loaded again.
    MissingArtifact
        If a search is asked for and `ml.steps.retrain.tune` has made none.
    """
    run_dir = services.workspace(window.workspace)
    if run_dir.has("model/candidate.json"):
        candidate = Candidate.model_validate(run_dir.read_json("model/candidate.json"))
        if candidate.fingerprint == window.fingerprint:
            logger.info("fit: run %s has this fingerprint already", candidate.run_id)
            return candidate
    settings = tuned_settings(run_dir, settings)
    logger.info("fit: %s for %s", settings.fit.estimator, window.fingerprint[:12])
    rehearse(settings)
    train = run_dir.read_table("parts/train.parquet")
    started = time.perf_counter()
    if settings.fit.stream:
        with streamed_parts.all_rows(run_dir) as every_row:
            pipeline = fit_pipeline(train, settings, source=every_row.frames, engine=services.engine)
    else:
        pipeline = fit_pipeline(train, settings)
    seconds = round(time.perf_counter() - started, 3)
    lineage = lineage_of(window, run_dir, settings)
    with tempfile.TemporaryDirectory() as folder:
        model_file = Path(folder) / "pipeline.skops"
        models.save(pipeline, model_file, trusted=settings.fit.trusted_types)
        run_dir.write_file("model/pipeline.skops", model_file)
        sample = _sample(pipeline, train, settings)
        run_dir.write_table("model/sample.parquet", sample)
        run_dir.write_json("model/lineage.json", lineage)
        files = Path(folder) / "lineage"
        files.mkdir()
        write_parquet(sample, files / "sample.parquet")
        (files / "lineage.json").write_text(json.dumps(lineage, indent=2, sort_keys=True))
        run_id = _log(services, window, run_dir, settings, pipeline, train, files, lineage, seconds)
    with services.tracking.packaged(run_id) as folder_of_run:
        digest = rows.sha256(folder_of_run / models.MODEL_FILE)
    candidate = Candidate(fingerprint=window.fingerprint, run_id=run_id, fit_seconds=seconds, model_sha256=digest)
    run_dir.write_json("model/candidate.json", candidate.model_dump(mode="json"))
    logger.info("fit: %d rows in %.1f s, MLflow run %s", _rows(lineage), seconds, run_id)
    return candidate


def _sample(pipeline: Pipeline, train: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Keep rows from all over the window with what the pipeline predicts for them, straight from its fit."""
    features = matrix(compared_rows(train), settings.features).reset_index(drop=True)
    task = settings.task
    return estimators.as_sample(features, estimators.predict(pipeline, features, task.kind, len(task.classes)))


def lineage_of(window: Window, run_dir: Workspace, settings: Settings) -> dict[str, object]:
    """Write down all that the training result depends on, and who asked for it: enough to repeat it exactly.

    Parameters
    ----------
    settings
        Those that the pipeline is fitted with; after a search they hold what it found.

    Returns
    -------
    dict
        ``resolved_fingerprint`` is that of an ordinary training by ``settings``: it differs from
        ``fingerprint`` after a search, and of a refit, and is what a repetition comes to.
    """
    request = (
        run_dir.read_json("request.json")
        if run_dir.has("request.json")
        else {"requested_by": "dvc repro", "reasons": []}
    )
    facts = run_dir.read_json("data/window.json")
    return {
        "fingerprint": window.fingerprint,
        "resolved_fingerprint": fingerprint_of(files_of(facts), window.first_day, settings, seen=seen_in(facts)),
        "requested_by": request["requested_by"],
        "reasons": request["reasons"],
        "request_id": request.get("request_id", ""),
        "data_version": window.data_version,
        "window": facts,
        "parts": run_dir.read_json("parts/parts.json"),
        "settings": redact_all(settings.model_dump(mode="json"), {}),
        "seeds": {"fit": settings.fit.seed},
        "code_version": code.commit(),
        "code_state": code.state(),
        "code_sha256": code.code_sha256(),
        "lock_sha256": code.lock_sha256(),
        **_own_code(settings),
        "environment": code.machine(),
    }


def _rows(lineage: Mapping[str, Any]) -> int:
    """Return on how many rows the model was fitted; with ``fit.stream`` they are more than memory holds."""
    return int(lineage["parts"]["train_rows"])


def _own_code(settings: Settings) -> dict[str, Any]:
    """Keep the modules that are no part of Evergreen or its lock, so that the version can be loaded by its own."""
    hashes = own_code.hashes(settings.code_paths())
    facts = {top: {"sha256": digest, "files": own_code.files(top)} for top, digest in hashes.items()}
    return {"own_code": facts} if facts else {}


def _log(
    services: Services,
    window: Window,
    run_dir: Workspace,
    settings: Settings,
    pipeline: Pipeline,
    train: pd.DataFrame,
    files: Path,
    lineage: dict[str, object],
    seconds: float,
) -> str:
    sections = settings.model_dump(mode="json", include={"task", "split", "features", "fit"})
    tags = {
        "data_version": window.data_version,
        "code_version": str(lineage["code_version"]),
        "lock_sha256": str(lineage["lock_sha256"]),
        "requested_by": str(lineage["requested_by"]),
        "window": f"{window.first_day} to {window.last_day}",
        "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""),
    }
    sample = matrix(example_rows(train, settings.features, SAMPLE_ROWS), settings.features)
    return services.tracking.log_fit(
        pipeline,
        sample,
        fingerprint=window.fingerprint,
        params=readable(sections),
        metrics={"fit_seconds": seconds, "train_rows": float(_rows(lineage))},
        tags={key: value for key, value in tags.items() if value},
        dataset=train,
        dataset_source=f"{services.registry.shown}@{window.data_version}",
        files=files,
        name=training_name(window.last_day, refit=run_dir.read_json("parts/parts.json").get("refit_of") is not None),
    )


def main(argv: list[str] | None = None) -> int:
    """Fit on a local workspace; the ``fit`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
