"""Score a day with one model version, batch by batch, into a staging folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from ml.core.estimators import predict
from ml.core.features import add_history, matrix
from ml.errors import MissingArtifact
from ml.records import Champion, Scoring
from ml.settings import Settings
from ml.steps.evaluate import labelled_before, settings_of
from ml.wiring import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What a day's predictions by one version came to."""

    rows: int
    mean_prediction: float
    sha256: str


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
    rows, total = 0, 0.0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(source[day], settings.score.batch_rows):
            scored = _score(batch, labelled, pipeline, own, version, settings.task.threshold)
            table = pa.Table.from_pandas(scored, preserve_index=False).replace_schema_metadata(None)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            rows, total = rows + len(scored), total + float(scored["prediction"].sum())
    finally:
        if writer is not None:
            writer.close()
    return Scored(rows, total / rows, hashlib.sha256(path.read_bytes()).hexdigest())


def _batches(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield pa.Table.from_batches([batch]).to_pandas()


def _score(
    batch: pd.DataFrame,
    labelled: pd.DataFrame,
    pipeline: Pipeline,
    own: Settings,
    version: int,
    threshold: float,
) -> pd.DataFrame:
    rows = add_history(
        batch,
        labelled,
        own.features.history,
        target=own.task.target,
        label_delay_days=own.task.label_delay_days,
    )
    scored = batch[list(own.task.key)].copy()
    scored["prediction"] = predict(pipeline, matrix(rows, own.features), own.task.kind)
    if own.task.kind == "classification":
        scored["decision"] = scored["prediction"] >= threshold
    scored["model_version"] = np.int64(version)
    return scored
