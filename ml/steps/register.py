"""Register the candidate as a challenger, with what monitoring will need should it serve."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from pathlib import Path

from ml.adapters.workspace import Workspace, write_parquet
from ml.core import drift
from ml.errors import SettingsError
from ml.records import Challenger, Evaluation, Window
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, evaluation: Evaluation, *, settings: Settings, services: Services) -> Challenger:
    """Keep with the run what monitoring and a reproduction compare with, then register its model.

    That is the reference window with its drift limits, and the predictions on the holdout bit by bit.

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
    reference = train[["day", *watched]]
    limits = drift.limits(reference, settings.drift)
    kept = drift.sample_days(reference, rows=settings.drift.reference_rows, seed=settings.fit.seed)
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
        write_parquet(kept, Path(folder) / "reference.parquet")
        (Path(folder) / "limits.json").write_text(json.dumps(limits, indent=2, sort_keys=True))
        version = services.tracking.register(
            evaluation.run_id, fingerprint=window.fingerprint, tags=tags, files=Path(folder)
        )
    logger.info("register: challenger is version %d", version)
    return Challenger(fingerprint=window.fingerprint, run_id=evaluation.run_id, version=version)


def _keep_predictions(place: Workspace, run_id: str, services: Services) -> None:
    """Keep what the candidate predicted on the holdout; a refit has seen it, and was not measured there."""
    if not place.has("evaluation/holdout.parquet"):
        return
    scored = place.read_table("evaluation/holdout.parquet", columns=["day", "target", "challenger"])
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(scored, Path(folder) / "holdout.parquet")
        services.tracking.keep_files(run_id, Path(folder), "lineage")


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
