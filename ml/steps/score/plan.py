"""Cut a day into shards that any workers may score, each by itself."""

from __future__ import annotations

import logging

from ml.champions import recorded_models
from ml.champions.recorded_settings import settings_of
from ml.core.scoring import shards
from ml.errors import MissingArtifact
from ml.records import Champion, Plan
from ml.settings import Settings
from ml.steps.score.scorer import adaptation_of, aggregates_of, whole_day
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> Plan:
    """Cut the inputs of the champion's day into row ranges of about ``score.rows_per_shard``.

    What several shards would each work out for themselves is worked out here, once: the sums that history
    features look back on, and by how much scores are adapted. Of a day that is one shard it is left to that one.

    With ``engine.kind: cluster`` the day stays one shard, which the engine cuts for its workers.

    Raises
    ------
    MissingArtifact
        If no version may score the day.
    UntrustedModel
        If no promotion recorded the version.
    """
    if champion.version is None:
        raise MissingArtifact(f"{champion.day} cannot be scored: {champion.reason}")
    recorded_models.promoted(champion.version, services)
    whole, score = whole_day(champion, settings, services), settings.score
    size = score.rows_per_shard if settings.engine.kind == "local" else whole.day_rows
    parts = shards.cut(whole.day_rows, rows_per_shard=size, batch_rows=score.batch_rows)
    logger.info("plan: %s has %d rows, in %d shards", champion.day, whole.day_rows, len(parts))
    if len(parts) == 1:
        return Plan(shards=(whole,))
    own = settings_of(champion.version, services)
    aggregates_of(own, champion.day, champion.day, services, rev=champion.data_version)  # keeps the sums
    adaptation = adaptation_of(champion, settings, services)
    return Plan(
        shards=tuple(
            whole.model_copy(update={"first_row": part.first, "rows": part.count, "adaptation": adaptation})
            for part in parts
        )
    )
