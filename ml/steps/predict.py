"""Score a day with one model version, batch by batch, into a staging folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from ml.core.adapt import shift_of, shifted
from ml.core.estimators import predict
from ml.core.features import add_history, join_labels, matrix
from ml.errors import MissingArtifact
from ml.records import Adaptation, Champion, Scoring
from ml.settings import Settings
from ml.steps.evaluate import labelled_before, settings_of
from ml.wiring import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What a day's predictions by one version came to; ``adaptation`` is None unless ``score.adapt`` is on."""

    rows: int
    mean_prediction: float
    sha256: str
    adaptation: Adaptation | None = None


def run(champion: Champion, *, settings: Settings, services: Services) -> Scoring:
    """Write the staged predictions of a day; equal data and version give equal bytes.

    Raises
    ------
    MissingArtifact
        If no version may score the day.
    """
    if champion.version is None:
        raise MissingArtifact(f"{champion.day} cannot be scored: {champion.reason}")
    logger.info("predict: %s with version %d", champion.day, champion.version)
    place = services.shelf(f"staging/day={champion.day}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        scored = score_to(
            path,
            champion.day,
            champion.version,
            data_version=champion.data_version,
            settings=settings,
            services=services,
        )
        uri = place.write_file(f"version={champion.version}.parquet", path)
    logger.info("predict: %d rows, mean prediction %.4f", scored.rows, scored.mean_prediction)
    return Scoring(
        day=champion.day,
        version=champion.version,
        rows=scored.rows,
        mean_prediction=round(scored.mean_prediction, 6),
        uri=uri,
        sha256=scored.sha256,
        adaptation=scored.adaptation,
    )


def score_to(
    path: Path, day: date, version: int, *, data_version: str | None, settings: Settings, services: Services
) -> Scored:
    """Score a day with any version into the local file ``path``, as it would be served.

    Memory holds one batch of ``score.batch_rows`` rows and the labelled rows that the history
    features look back on, whatever the size of the day. Whether the version may score that day is
    for the caller to say.
    """
    pipeline = services.tracking.load_model(version)
    own = settings_of(version, services)
    labelled = labelled_before(day, day, own, services, rev=data_version)
    source = services.registry.open("inputs", rev=data_version, first_day=day, last_day=day)
    adaptation = None
    if settings.score.adapt == "intercept":
        adaptation = _adaptation(day, version, pipeline, own, data_version, settings, services)
    rows, total = 0, 0.0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(source[day], settings.score.batch_rows):
            raw = _raw(batch, labelled, pipeline, own)
            scored = _scored(batch, raw, own, version, settings.task.threshold, adaptation)
            table = pa.Table.from_pandas(scored, preserve_index=False).replace_schema_metadata(None)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            rows, total = rows + len(scored), total + float(scored["prediction"].sum())
    finally:
        if writer is not None:
            writer.close()
    return Scored(rows, total / rows, hashlib.sha256(path.read_bytes()).hexdigest(), adaptation)


def _batches(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield pa.Table.from_batches([batch]).to_pandas()


def _raw(batch: pd.DataFrame, labelled: pd.DataFrame, pipeline: Pipeline, own: Settings) -> np.ndarray:
    """Give what the model itself says of some rows."""
    rows = add_history(
        batch,
        labelled,
        own.features.history,
        target=own.task.target,
        label_delay_days=own.task.label_delay_days,
    )
    return predict(pipeline, matrix(rows, own.features), own.task.kind)


def _scored(
    batch: pd.DataFrame,
    raw: np.ndarray,
    own: Settings,
    version: int,
    threshold: float,
    adaptation: Adaptation | None,
) -> pd.DataFrame:
    """Lay out the rows of a predictions file; ``raw_prediction`` is there only where scores are adapted."""
    scored = batch[list(own.task.key)].copy()
    scored["prediction"] = raw if adaptation is None else shifted(raw, adaptation.shift, kind=own.task.kind)
    if adaptation is not None:
        scored["raw_prediction"] = raw
    if own.task.kind == "classification":
        scored["decision"] = scored["prediction"] >= threshold
    scored["model_version"] = np.int64(version)
    return scored


def _adaptation(
    day: date,
    version: int,
    pipeline: Pipeline,
    own: Settings,
    data_version: str | None,
    settings: Settings,
    services: Services,
) -> Adaptation:
    """Say by how much the scores of ``day`` are moved, from what the version itself says of earlier days.

    Nothing that was served is read: the version scores the newest labelled days again, so that a day that is
    scored later gets the same shift. Only days that it was not trained on, and whose labels were due, count;
    with fewer than ``score.adapt_days`` of them, correspondingly less of the gap is closed.
    """
    score, task = settings.score, settings.task
    last = day - timedelta(days=max(task.label_delay_days, 1))
    first = last - timedelta(days=score.adapt_days + settings.land.catch_up_days - 1)
    inputs, labels = (
        services.registry.open(asset, rev=data_version, first_day=first, last_day=last)
        for asset in ("inputs", "labels")
    )
    known_until = _known_until(version, services)
    days = [each for each in sorted(set(inputs) & set(labels)) if each.isoformat() > known_until][-score.adapt_days :]
    scores, outcomes = [np.zeros(0)], [np.zeros(0)]
    labelled = labelled_before(days[0], days[-1], own, services, rev=data_version) if days else pd.DataFrame()
    for each in days:
        outcome = pd.read_parquet(labels[each])
        for batch in _batches(inputs[each], score.batch_rows):
            told = batch[list(task.key)].assign(raw=_raw(batch, labelled, pipeline, own))
            joined = join_labels(told, outcome, key=task.key, target=task.target)
            scores.append(joined["raw"].to_numpy())
            outcomes.append(joined[task.target].to_numpy(dtype=float))
    share = score.adapt_share * len(days) / score.adapt_days
    raw, target = np.concatenate(scores), np.concatenate(outcomes)
    shift = shift_of(raw, target, kind=task.kind, share=share, most=score.adapt_max_shift) if share else 0.0
    logger.info("predict: scores of %s are moved by %+.4f after %d labelled days", day, shift, len(days))
    return Adaptation(shift=shift, share=share, days=tuple(days), rows=len(raw))


def _known_until(version: int, services: Services) -> str:
    """Give the last day that a version was fitted on; a version that does not say so has seen every day."""
    tags = services.tracking.version_tags(version)
    return tags.get("train_last_day") or tags.get("window_last_day") or date.max.isoformat()
