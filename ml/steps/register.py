"""Register the candidate as a challenger, with what monitoring will need should it serve."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ml.adapters.workspace import Workspace, write_parquet
from ml.core import drift, findings
from ml.core.limits import limits_of, own_limits
from ml.errors import SettingsError
from ml.records import Candidate, Challenger, Evaluation, Record, Window
from ml.settings import Settings
from ml.steps import out_of_fold, recorded_models
from ml.steps.tune import tuned_settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, evaluation: Evaluation, *, settings: Settings, services: Services) -> Challenger:
    """Keep with the run what monitoring and a reproduction compare with, then register its model.

    That is, under ``monitoring/``: the reference window, how its days were, honest predictions of it, and the
    drift limits that follow; and the predictions on the holdout bit by bit.

    The same fingerprint is registered once: a second call finds the first one's version.

    Raises
    ------
    SettingsError
        If ``drift`` names a column that the data do not have.
    """
    logger.info("register: run %s", evaluation.run_id)
    place = services.workspace(window.workspace)
    lineage = place.read_json("model/lineage.json")
    watched = drift.watched(settings.drift)
    train = place.read_table("parts/train.parquet")
    missing = [column for column in watched if column not in train]
    if missing:
        raise SettingsError(
            f"columns {', '.join(missing)} are named under drift but are not in inputs; correct params.yaml"
        )
    _refuse_taken_names(watched)
    tags = {
        "data_version": window.data_version,
        "code_version": str(lineage["code_version"]),
        "code_sha256": str(lineage["code_sha256"]),
        "lock_sha256": str(lineage["lock_sha256"]),
        "data_md5s": _digest(lineage["window"]["files"]),
        "window_first_day": window.first_day.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "train_last_day": str(lineage["parts"]["train_last_day"]),
        "asked_by": str(lineage["asked_by"]),
    }
    _keep_predictions(place, evaluation.run_id, services)
    with tempfile.TemporaryDirectory() as folder:
        _write_reference(Path(folder), place, train, settings)
        version = services.tracking.register(
            evaluation.run_id, fingerprint=window.fingerprint, tags=tags, files=Path(folder)
        )
    candidate = Candidate.model_validate(place.read_json("model/candidate.json"))
    recorded_models.write(version, window, candidate, lineage, services)
    logger.info("register: challenger is version %d", version)
    return Challenger(fingerprint=window.fingerprint, run_id=evaluation.run_id, version=version)


def _refuse_taken_names(watched: Sequence[str]) -> None:
    taken = sorted({*watched} & {drift.PREDICTION, drift.LABEL})
    if taken:
        raise SettingsError(
            f"drift names {', '.join(taken)}: monitoring calls the model's predictions and the labels so; rename the "
            "column in the source, or take it out of params.yaml"
        )


def _write_reference(folder: Path, place: Workspace, train: pd.DataFrame, settings: Settings) -> None:
    """Write what monitoring compares with: a sample of the reference, its days' profiles, and all limits."""
    declared = settings.drift
    columns = drift.watched(declared)
    reference = train[["day", *columns]]
    predicted = out_of_fold.predictions(place, train, tuned_settings(place, settings))
    limits = limits_of(reference, declared) | own_limits(predicted, declared)
    found = findings.profile(reference, columns, declared)
    write_parquet(
        drift.sample_days(reference, rows=declared.reference_rows, seed=settings.fit.seed), folder / "reference.parquet"
    )
    write_parquet(predicted, folder / "predictions.parquet")
    _write_records(folder / "limits.json", limits, indent=2)
    _write_records(folder / "profiles.json", found)


def _write_records(path: Path, records: Mapping[str, Record], *, indent: int | None = None) -> None:
    facts = {column: record.model_dump(mode="json") for column, record in records.items()}
    path.write_text(json.dumps(facts, indent=indent, sort_keys=True) + "\n", encoding="utf-8")


def _keep_predictions(place: Workspace, run_id: str, services: Services) -> None:
    """Keep what the candidate predicted on the holdout; a refit has seen it, and was not measured there."""
    if not place.has("evaluation/holdout.parquet"):
        return
    scored = place.read_table("evaluation/holdout.parquet", columns=["day", "target", "challenger", "base_rate"])
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(scored, Path(folder) / "holdout.parquet")
        services.tracking.keep_files(run_id, Path(folder), "lineage")


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
