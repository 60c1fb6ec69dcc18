"""Register the candidate as a challenger, with what monitoring will need should it serve."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters import layout, monitoring_files
from ml.adapters.workspace import Workspace, write_parquet
from ml.champions import recorded_models
from ml.core.monitoring import alarm_days, day_summary, drift, episodes
from ml.core.monitoring.drift_report import reference_of
from ml.core.predictions import PREDICTION, names
from ml.errors import MissingArtifact, SettingsError
from ml.records import Candidate, Challenger, Evaluation, Window
from ml.settings import Settings
from ml.steps.retrain import out_of_fold
from ml.steps.retrain.interval_width import width_of
from ml.steps.retrain.search_result import tuned_settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
KEPT = ("day", "target", "challenger", "base_rate", "anchor", "anchor_had_seen")
"""What is kept of the holdout: monitoring measures by it what is expected."""


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
    run_dir = services.workspace(window.workspace)
    lineage = run_dir.read_json("model/lineage.json")
    watched = drift.watched(settings.drift)
    train = run_dir.read_table("parts/train.parquet")
    missing = [column for column in watched if column not in train]
    if missing:
        raise SettingsError(
            f"columns {', '.join(missing)} are named under drift but are not in inputs; correct params.yaml"
        )
    _refuse_taken_names(watched, settings)
    tags = {
        "data_version": window.data_version,
        "code_version": str(lineage["code_version"]),
        "code_sha256": str(lineage["code_sha256"]),
        "lock_sha256": str(lineage["lock_sha256"]),
        "data_md5s": _digest(lineage["window"]["files"]),
        "window_first_day": window.first_day.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "train_last_day": str(lineage["parts"]["train_last_day"]),
        "requested_by": str(lineage["requested_by"]),
        **({recorded_models.OWN_CODE: " ".join(lineage["own_code"])} if "own_code" in lineage else {}),
    }
    interval = width_of(run_dir, settings)
    if interval is not None:
        tags |= {"interval_coverage": f"{interval.coverage:g}", "interval_half_width": f"{interval.half_width:.6g}"}
    _keep_predictions(run_dir, evaluation.run_id, services)
    with tempfile.TemporaryDirectory() as folder:
        predicted = out_of_fold.predictions(run_dir, train, tuned_settings(run_dir, settings))
        in_alarm = _days_in_alarm(train, settings, services)
        monitoring_files.write(Path(folder), reference_of(train, predicted, settings, alarm_days=in_alarm))
        version = services.tracking.register(
            evaluation.run_id, fingerprint=window.fingerprint, tags=tags, files=Path(folder)
        )
    candidate = Candidate.model_validate(run_dir.read_json("model/candidate.json"))
    recorded_models.write(version, window, candidate, lineage, services, interval=interval)
    logger.info("register: challenger is version %d", version)
    return Challenger(fingerprint=window.fingerprint, run_id=evaluation.run_id, version=version)


def _days_in_alarm(train: pd.DataFrame, settings: Settings, services: Services) -> set[date]:
    """Return on which days of a training window an alarm of drift stood, by what monitoring left of them."""
    days = [date.fromisoformat(str(day)) for day in sorted(train["day"].unique())]
    in_alarm = alarm_days.in_training(_monitored(days, services), days, settings)
    if in_alarm:
        logger.info("register: no limit is learned from the days in alarm: %s", ", ".join(map(str, sorted(in_alarm))))
    return in_alarm


def _monitored(days: Sequence[date], services: Services) -> Iterator[episodes.Day]:
    """Read the days that were monitored; one whose summary is damaged is passed over."""
    storage = services.storage
    for day in days:
        name = f"{layout.monitoring.day_dir(day)}/{layout.monitoring.SUMMARY}"
        try:
            yield alarm_days.day_of(day_summary.read(storage.get_bytes(name)))
        except MissingArtifact:
            continue
        except ValueError as err:
            logger.warning("register: %s cannot be read, and counts as a day without an alarm: %s", name, err)


def _refuse_taken_names(watched: Sequence[str], settings: Settings) -> None:
    taken = sorted({*watched} & {drift.LABEL, PREDICTION, *names(settings.task)})
    if taken:
        raise SettingsError(
            f"drift names {', '.join(taken)}: monitoring calls the model's predictions and the labels so; rename the "
            "column in the source, or take it out of params.yaml"
        )


def _keep_predictions(run_dir: Workspace, run_id: str, services: Services) -> None:
    """Keep what the candidate predicted on the holdout; a refit has seen it, and was not measured there."""
    if not run_dir.has("evaluation/holdout.parquet"):
        return
    scored = run_dir.read_table("evaluation/holdout.parquet")
    scored = scored[[name for name in KEPT if name in scored]]
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(scored, Path(folder) / "holdout.parquet")
        services.tracking.keep_files(run_id, Path(folder), "lineage")


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
