"""Register the candidate as a challenger, with what monitoring will need should it serve."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

from ml.adapters.workspace import write_parquet
from ml.core import drift
from ml.errors import SettingsError
from ml.records import Challenger, Evaluation, Window
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, evaluation: Evaluation, *, settings: Settings, services: Services) -> Challenger:
    """Keep the reference window and its drift limits with the run, then register its model.

    The same fingerprint is registered once: a second call finds the first one's version.

    Raises
    ------
    SettingsError
        If ``drift`` names a column that the data do not have.
    """
    logger.info("register: run %s", evaluation.run_id)
    place = services.workspace(window.workspace)
    recipe = place.read_json("model/recipe.json")
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
        "code_version": str(recipe["code_version"]),
        "code_sha256": str(recipe["code_sha256"]),
        "lock_sha256": str(recipe["lock_sha256"]),
        "data_md5s": _digest(recipe["window"]["files"]),
        "window_first_day": window.first_day.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "train_last_day": str(recipe["parts"]["train_last_day"]),
        "asked_by": str(recipe["asked_by"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(kept, Path(folder) / "reference.parquet")
        (Path(folder) / "limits.json").write_text(json.dumps(limits, indent=2, sort_keys=True))
        version = services.tracking.register(
            evaluation.run_id, fingerprint=window.fingerprint, tags=tags, files=Path(folder)
        )
    logger.info("register: challenger is version %d", version)
    return Challenger(fingerprint=window.fingerprint, run_id=evaluation.run_id, version=version)


def _digest(files: dict[str, str]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
