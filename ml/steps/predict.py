"""Score a day with one model version, batch by batch, into a staging folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
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


def run(champion: Champion, *, settings: Settings, services: Services) -> Scoring:
    """Write the staged predictions of a day; equal data and version give equal bytes.

    Memory holds one batch of ``score.batch_rows`` rows and the labelled rows that the history
    features look back on, whatever the size of the day.

    Raises
    ------
    MissingArtifact
        If no version may score the day.
    """
    if champion.version is None:
        raise MissingArtifact(f"{champion.day} cannot be scored: {champion.reason}")
    logger.info("predict: %s with version %d", champion.day, champion.version)
    pipeline = services.tracking.load_model(champion.version)
    own = settings_of(champion.version, services)
    labelled = labelled_before(champion.day, champion.day, own, services, rev=champion.data_version)
    source = services.registry.open("inputs", rev=champion.data_version, first_day=champion.day, last_day=champion.day)
    place = services.shelf(f"staging/day={champion.day}")
    rows, total = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        writer: pq.ParquetWriter | None = None
        try:
            for batch in _batches(source[champion.day], settings.score.batch_rows):
                scored = _score(batch, labelled, pipeline, own, champion.version, settings.task.threshold)
                table = pa.Table.from_pandas(scored, preserve_index=False).replace_schema_metadata(None)
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                rows, total = rows + len(scored), total + float(scored["prediction"].sum())
        finally:
            if writer is not None:
                writer.close()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        uri = place.write_file(f"version={champion.version}.parquet", path)
    logger.info("predict: %d rows, mean prediction %.4f", rows, total / rows)
    return Scoring(
        day=champion.day,
        version=champion.version,
        rows=rows,
        mean_prediction=round(total / rows, 6),
        uri=uri,
        sha256=digest,
    )


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
