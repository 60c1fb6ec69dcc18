"""Fit the pipeline on the training part and log it as one MLflow run."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.adapters import code, models, rows
from ml.adapters.workspace import Workspace, write_parquet
from ml.core import estimators
from ml.core.features import matrix
from ml.errors import SettingsError
from ml.records import Candidate, Window
from ml.settings import Settings
from ml.steps.stage import files_of, fingerprint_of, seen_in, stage_main
from ml.steps.tune import tuned_settings
from ml.urls import redact_all
from ml.wiring import Services

logger = logging.getLogger(__name__)
SAMPLE_ROWS = 200
KEPT_ROWS = 1000


def run(window: Window, *, settings: Settings, services: Services) -> Candidate:
    """Fit, write the model to the workspace, and log the training; a finished fit is used again.

    Raises
    ------
    SettingsError
        If the estimator cannot be built from ``params.yaml`` or may not be loaded again.
    MissingArtifact
        If a search is asked for and `ml.steps.tune` has made none.
    """
    place = services.workspace(window.workspace)
    if place.has("model/candidate.json"):
        candidate = Candidate.model_validate(place.read_json("model/candidate.json"))
        if candidate.fingerprint == window.fingerprint:
            logger.info("fit: run %s has this fingerprint already", candidate.run_id)
            return candidate
    settings = tuned_settings(place, settings)
    logger.info("fit: %s for %s", settings.fit.estimator, window.fingerprint[:12])
    rehearse(settings)
    train = place.read_table("parts/train.parquet")
    started = time.perf_counter()
    pipeline = fit_pipeline(train, settings)
    seconds = round(time.perf_counter() - started, 3)
    lineage = lineage_of(window, place, settings)
    with tempfile.TemporaryDirectory() as folder:
        model_file = Path(folder) / "pipeline.skops"
        models.save(pipeline, model_file, trusted=settings.fit.trusted_types)
        place.write_file("model/pipeline.skops", model_file)
        sample = _sample(pipeline, train, settings)
        place.write_table("model/sample.parquet", sample)
        place.write_json("model/lineage.json", lineage)
        files = Path(folder) / "lineage"
        files.mkdir()
        write_parquet(sample, files / "sample.parquet")
        (files / "lineage.json").write_text(json.dumps(lineage, indent=2, sort_keys=True))
        run_id = _log(services, window, settings, pipeline, train, files, lineage, seconds)
    with services.tracking.packaged(run_id) as folder_of_run:
        digest = rows.sha256(folder_of_run / models.MODEL_FILE)
    candidate = Candidate(fingerprint=window.fingerprint, run_id=run_id, fit_seconds=seconds, model_sha256=digest)
    place.write_json("model/candidate.json", candidate.model_dump(mode="json"))
    logger.info("fit: %d rows in %.1f s, MLflow run %s", len(train), seconds, run_id)
    return candidate


def _sample(pipeline: Pipeline, train: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Keep rows from all over the window with what the pipeline predicts for them, straight from its fit."""
    chosen = train.iloc[np.unique(np.linspace(0, len(train) - 1, KEPT_ROWS).astype(int))]
    features = matrix(chosen, settings.features).reset_index(drop=True)
    return estimators.as_sample(features, estimators.predict(pipeline, features, settings.task.kind))


def fit_pipeline(train: pd.DataFrame, settings: Settings) -> Pipeline:
    """Fit a new pipeline on rows that carry their history features and the target."""
    pipeline = estimators.build(settings.task, settings.features, settings.fit)
    target = train[settings.task.target]
    typed = target.astype("int64") if settings.task.kind == "classification" else target.astype("float64")
    columns = matrix(train, settings.features)
    try:
        with threadpool_limits(settings.fit.threads):
            return pipeline.fit(columns, typed)
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as err:
        said = " ".join(str(err).split())
        raise SettingsError(
            f"{settings.fit.estimator} with fit.args {settings.fit.args} cannot be fitted on {len(train)} training "
            f"rows ({said[:500]}); choose other fit.args, features or another fit.estimator"
        ) from err


def rehearse(settings: Settings) -> None:
    """Refuse an estimator that could not be built, or whose fitted form could not be loaded again.

    It is fitted on a few made-up rows, before any data are read. That they do not suit it says nothing: only what
    would hold for every fit is refused.

    Raises
    ------
    SettingsError
        If a fit by these settings could never serve; the message names the types to review.
    """
    pipeline = estimators.build(settings.task, settings.features, settings.fit)
    rows, target = estimators.stand_in(settings.task, settings.features)
    try:
        with warnings.catch_warnings(), threadpool_limits(settings.fit.threads):
            warnings.simplefilter("ignore")
            pipeline.fit(rows, target)
    except Exception as err:  # noqa: BLE001  real rows may suit it
        logger.info("fit: %s could not be tried on made-up rows (%s)", settings.fit.estimator, err)
        return
    models.refuse_untrusted(pipeline, trusted=settings.fit.trusted_types)


def lineage_of(window: Window, place: Workspace, settings: Settings) -> dict[str, object]:
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
    asked = place.read_json("request.json") if place.has("request.json") else {"asked_by": "dvc repro", "reasons": []}
    facts = place.read_json("data/window.json")
    return {
        "fingerprint": window.fingerprint,
        "resolved_fingerprint": fingerprint_of(files_of(facts), window.first_day, settings, seen=seen_in(facts)),
        "asked_by": asked["asked_by"],
        "reasons": asked["reasons"],
        "request_id": asked.get("request_id", ""),
        "data_version": window.data_version,
        "window": facts,
        "parts": place.read_json("parts/parts.json"),
        "settings": redact_all(settings.model_dump(mode="json"), {}),
        "seeds": {"fit": settings.fit.seed},
        "code_version": code.commit(),
        "code_state": code.state(),
        "code_sha256": code.code_sha256(),
        "lock_sha256": code.lock_sha256(),
        "environment": code.machine(),
    }


def _log(
    services: Services,
    window: Window,
    settings: Settings,
    pipeline: Pipeline,
    train: pd.DataFrame,
    files: Path,
    lineage: dict[str, object],
    seconds: float,
) -> str:
    sections = settings.model_dump(mode="json", include={"task", "split", "features", "fit"})
    params = {f"{name}.{k}": json.dumps(v) for name, section in sections.items() for k, v in section.items()}
    tags = {
        "data_version": window.data_version,
        "code_version": str(lineage["code_version"]),
        "lock_sha256": str(lineage["lock_sha256"]),
        "asked_by": str(lineage["asked_by"]),
        "window": f"{window.first_day} to {window.last_day}",
        "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""),
    }
    sample = matrix(train.head(SAMPLE_ROWS), settings.features)
    return services.tracking.log_fit(
        pipeline,
        sample,
        fingerprint=window.fingerprint,
        params=params,
        metrics={"fit_seconds": seconds, "train_rows": float(len(train))},
        tags={key: value for key, value in tags.items() if value},
        dataset=train,
        dataset_source=f"{services.registry.shown}@{window.data_version}",
        files=files,
    )


def main(argv: list[str] | None = None) -> int:
    """Fit on a local workspace; the ``fit`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
