"""Score a shard of a day with one model version, batch by batch, into a staging folder."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from ml.adapters import layout
from ml.champions import recorded_models
from ml.core.scoring.shards import Rows
from ml.errors import MissingArtifact
from ml.records import Scoring, Shard
from ml.settings import Settings
from ml.steps.score.scorer import score_to
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(shard: Shard, *, settings: Settings, services: Services) -> Scoring:
    """Write the staged predictions of a shard; equal data and version give equal bytes.

    The file is named by its content: whoever scores the same rows otherwise does not replace it.

    Raises
    ------
    MissingArtifact
        If no version may score the day, or its inputs are not those that were cut.
    UntrustedModel
        If no promotion recorded the version, or its model is not the one that was judged.
    """
    champion, part = shard.champion, Rows(shard.first_row, shard.rows)
    if champion.version is None:
        raise MissingArtifact(f"{champion.day} cannot be scored: {champion.reason}")
    logger.info("predict: %s of %s with version %d", part, champion.day, champion.version)
    recorded_models.promoted(champion.version, services)
    staging = services.storage_folder(layout.scoring.staging(champion.day, champion.version))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        scored = score_to(path, shard, champion.version, settings=settings, services=services)
        uri = staging.write_file(layout.scoring.staged_shard(part.first, part.end, scored.sha256), path)
    logger.info("predict: %d rows, mean prediction %.4f", scored.rows, scored.mean_prediction)
    return Scoring(
        day=champion.day,
        version=champion.version,
        rows=scored.rows,
        mean_prediction=round(scored.mean_prediction, 6),
        uri=uri,
        sha256=scored.sha256,
        adaptation=scored.adaptation,
        first_row=shard.first_row,
    )
