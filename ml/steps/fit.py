"""Fit the pipeline on the training part and log it as one MLflow run."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.adapters import code, models
from ml.adapters.workspace import Workspace
from ml.core import estimators
from ml.core.features import matrix
from ml.records import Candidate, Window
from ml.settings import Settings
from ml.steps.stage import stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)
SAMPLE_ROWS = 200


def run(window: Window, *, settings: Settings, services: Services) -> Candidate:
    """Fit, write the model to the workspace, and log the training; a finished fit is used again.

    Raises
    ------
    SettingsError
        If the estimator cannot be built from ``params.yaml`` or may not be loaded again.
    """
    place = services.workspace(window.workspace)
    if place.has("model/candidate.json"):
        candidate = Candidate.model_validate(place.read_json("model/candidate.json"))
        if candidate.fingerprint == window.fingerprint:
            logger.info("fit: run %s has this fingerprint already", candidate.run_id)
            return candidate
    logger.info("fit: %s for %s", settings.fit.estimator, window.fingerprint[:12])
    train = place.read_table("parts/train.parquet")
    started = time.perf_counter()
    pipeline = fit_pipeline(train, settings)
    seconds = round(time.perf_counter() - started, 3)
    recipe = recipe_of(window, place, settings)
    with tempfile.TemporaryDirectory() as folder:
        model_file = Path(folder) / "pipeline.skops"
        models.save(pipeline, model_file)
        place.write_file("model/pipeline.skops", model_file)
        files = Path(folder) / "recipe"
        files.mkdir()
        (files / "recipe.json").write_text(json.dumps(recipe, indent=2, sort_keys=True))
        place.write_json("model/recipe.json", recipe)
        run_id = _log(services, window, settings, pipeline, train, files, recipe, seconds)
    candidate = Candidate(fingerprint=window.fingerprint, run_id=run_id, fit_seconds=seconds)
    place.write_json("model/candidate.json", candidate.model_dump(mode="json"))
    logger.info("fit: %d rows in %.1f s, MLflow run %s", len(train), seconds, run_id)
    return candidate


def fit_pipeline(train: pd.DataFrame, settings: Settings) -> Pipeline:
    """Fit a new pipeline on rows that carry their history features and the target."""
    pipeline = estimators.build(settings.task, settings.features, settings.fit)
    target = train[settings.task.target]
    typed = target.astype("int64") if settings.task.kind == "classification" else target.astype("float64")
    with threadpool_limits(settings.fit.threads):
        return pipeline.fit(matrix(train, settings.features), typed)


def recipe_of(window: Window, place: Workspace, settings: Settings) -> dict[str, object]:
    """Write down all that the training result depends on, and who asked for it."""
    asked = place.read_json("request.json") if place.has("request.json") else {"asked_by": "dvc repro", "reasons": []}
    return {
        "fingerprint": window.fingerprint,
        "asked_by": asked["asked_by"],
        "reasons": asked["reasons"],
        "data_version": window.data_version,
        "window": place.read_json("data/window.json"),
        "parts": place.read_json("parts/parts.json"),
        "settings": settings.model_dump(mode="json"),
        "code_version": code.commit(),
        "code_sha256": code.code_sha256(),
        "lock_sha256": code.lock_sha256(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _log(
    services: Services,
    window: Window,
    settings: Settings,
    pipeline: Pipeline,
    train: pd.DataFrame,
    files: Path,
    recipe: dict[str, object],
    seconds: float,
) -> str:
    sections = settings.model_dump(mode="json", include={"task", "split", "features", "fit"})
    params = {f"{name}.{k}": json.dumps(v) for name, section in sections.items() for k, v in section.items()}
    tags = {
        "data_version": window.data_version,
        "code_version": str(recipe["code_version"]),
        "lock_sha256": str(recipe["lock_sha256"]),
        "asked_by": str(recipe["asked_by"]),
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
        dataset_source=f"{services.environment.registry}@{window.data_version}",
        files=files,
    )


def main(argv: list[str] | None = None) -> int:
    """Fit on a local workspace; the ``fit`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
