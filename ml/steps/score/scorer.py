"""Score a day, or a shard of it, with a model version: what it looks back on, what moves its scores, and its rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml import own_code
from ml.adapters import layout, rows
from ml.adapters.aggregates import AggregateStore
from ml.adapters.column_types import types_in
from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cut
from ml.champions import recorded_models
from ml.champions.recorded_settings import settings_of
from ml.core.scoring import adaptation as adapt
from ml.core.scoring.shards import Rows
from ml.core.training.estimators import refuse_other_kinds, trained_kinds
from ml.core.training.features import join_labels
from ml.core.training.lagged_means import TargetAggregates
from ml.errors import MissingArtifact
from ml.next_moves import rerun
from ml.records import Adaptation, Champion, Shard
from ml.settings import Settings
from ml.steps.own_features import OwnFeatures
from ml.steps.score.row_scoring import Scorer, Scoring, schema_of, score_rows
from ml.wiring import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What some rows of a day came to; ``adaptation`` is None unless ``score.adapt`` is on."""

    rows: int
    mean_prediction: float
    sha256: str
    adaptation: Adaptation | None = None


def score_to(path: Path, shard: Shard, version: int, *, settings: Settings, services: Services) -> Scored:
    """Score a shard with any version into the local file ``path``, as it would be served.

    Memory holds one batch of ``score.batch_rows`` rows and the sums that history features look back on, whatever
    the size of the day. Whether the version may score that day is for the caller to say.
    """
    day, rev = shard.champion.day, shard.champion.data_version
    scorer = scorer_of(version, day, services, rev=rev)
    source = services.registry.open("inputs", rev=rev, first_day=day, last_day=day)[day]
    if rows.count_rows(source) != shard.day_rows:
        raise MissingArtifact(f"{day} was cut into shards when it had {shard.day_rows} rows; {rerun(step='resolve')}")
    kinds = trained_kinds(scorer.pipeline, scorer.own.features)
    refuse_other_kinds(kinds, types_in(source), f"inputs of {day}, for version {version}")
    adaptation = shard.adaptation
    if adaptation is None and shard.rows == shard.day_rows:
        adaptation = adaptation_of(shard.champion.model_copy(update={"version": version}), settings, services)
    batch_sums = []
    scoring = Scoring(
        replace(scorer, added=None),
        schema_of(source, scorer, adapted=adaptation is not None),
        shard.batch_rows,
        shard.threshold,
        None if adaptation is None else adaptation.shift,
    )
    engine = _engine_for(scorer, services)
    with rows.RowGroups(path, scoring.schema) as predictions:
        for table, batch_sum in engine.map(score_rows, _parts(source, shard, scorer, engine), shared=scoring):
            predictions.write(table)
            batch_sums.append(batch_sum)
    return Scored(shard.rows, math.fsum(batch_sums) / max(shard.rows, 1), rows.sha256(path), adaptation)


def scorer_of(version: int, first: date, services: Services, *, rev: str | None, last: date | None = None) -> Scorer:
    """Load a version that is to score the days from ``first`` to ``last``; None means that one day."""
    own = settings_of(version, services)
    aggregates = aggregates_of(own, first, last or first, services, rev=rev)
    added = OwnFeatures(own, services, first, last or first, rev=rev, version=version)
    half_width = recorded_models.half_width_of(version, own.fit.intervals, services)
    return Scorer(version, recorded_models.load(version, services), own, aggregates, added, half_width)


def aggregates_of(
    own: Settings, first: date, last: date, services: Services, *, rev: str | None, engine: Engine | None = None
) -> TargetAggregates:
    """Return what a model's history features of ``first`` to ``last`` look back on; sums that were missing are kept.

    ``engine`` takes the sums that were missing; None means that of the services.
    """
    folder = services.storage_folder(layout.training.AGGREGATES)
    return AggregateStore(services.registry, folder, engine or services.engine).aggregates(first, last, own, rev=rev)


def _engine_for(scorer: Scorer, services: Services) -> Engine:
    """Return the engine; this process where the model is made of code that a worker of a cluster does not have."""
    if services.engine is not LOCAL and any(map(own_code.is_own, scorer.own.fit.code_paths())):
        logger.info("predict: version %d is of code of its own, so it scores in this process", scorer.version)
        return LOCAL
    return services.engine


def _parts(source: Path, shard: Shard, scorer: Scorer, engine: Engine) -> Iterator[Part]:
    """Cut a shard into parts of whole batches, each with the columns that ``features.python`` computes of the day."""
    added = scorer.own_columns(shard.champion.day)
    columns = tuple(dict.fromkeys([*scorer.own.task.key, *scorer.columns]))
    for part in cut(engine, shard.rows, multiple_of=shard.batch_rows):
        rows_of_day = Rows(shard.first_row + part.first, part.count)
        own = None if added is None else added.slice(rows_of_day.first, rows_of_day.count)
        yield Part(own, (FileRows(source, rows_of_day, columns),))


def predicted_in(batch: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Return the predictions of a published file, by the columns that hold them; see `ml.core.predictions.names`."""
    sides = [batch[name].to_numpy() for name in columns]
    return sides[0] if len(sides) == 1 else np.column_stack(sides)


def adaptation_of(champion: Champion, settings: Settings, services: Services) -> Adaptation | None:
    """Return by how much the scores of a day are moved, from what the version itself says of earlier days.

    Nothing that was served is read: the version scores the newest labelled days again, so that a day that is
    scored later gets the same shift; of days with more than ``performance.max_rows`` labels, about so many rows.
    Only days that it was not trained on, and whose labels were due, count; with fewer than ``score.adapt_days`` of
    them, correspondingly less of the gap is closed. None unless ``score.adapt`` asks for it.
    """
    score, task, day, rev = settings.score, settings.task, champion.day, champion.data_version
    if score.adapt == "none" or champion.version is None:
        return None
    first, last = adapt.reach(day, settings)
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=first, last_day=last, may_be_empty=True)
        for asset in ("inputs", "labels")
    )
    labelled = (set(inputs) & set(labels)) - services.registry.excluded_days(rev or None).keys()
    days = adapt.evidence_days(labelled, _known_until(champion.version, services), settings)
    scores, outcomes = list[np.ndarray](), list[np.ndarray]()
    if days:
        scorer = scorer_of(champion.version, days[0], services, rev=rev, last=days[-1])
        part = rows.sampling_share((labels[labelled_day] for labelled_day in days), settings.performance.max_rows)
        with scorer.steady():
            for labelled_day in days:
                outcome = rows.sampled(labels[labelled_day], [*task.key, task.target], key=task.key, share=part)
                columns = [*task.key, *scorer.columns]
                batches = rows.batches(inputs[labelled_day], score.batch_rows, columns=columns)
                for whole in scorer.with_own(batches, labelled_day):
                    batch = rows.in_sample(whole, task.key, part)
                    if not batch.num_rows:
                        continue
                    predicted = batch.select(task.key).to_pandas().assign(raw=scorer.raw(batch))
                    joined = join_labels(
                        predicted,
                        outcome,
                        key=task.key,
                        target=task.target,
                        positive=task.positive,
                        classes=task.classes,
                    )
                    scores.append(joined["raw"].to_numpy())
                    outcomes.append(joined[task.target].to_numpy(dtype=float))
    result = adapt.adaptation(days, scores, outcomes, settings)
    logger.info("predict: scores of %s are moved by %+.4f after %d labelled days", day, result.shift, len(days))
    return result


def _known_until(version: int, services: Services) -> str:
    """Return the last day that a version was fitted on; a version that does not say so has seen every day."""
    tags = services.tracking.version_tags(version)
    return tags.get("train_last_day") or tags.get("window_last_day") or date.max.isoformat()


def whole_day(champion: Champion, settings: Settings, services: Services) -> Shard:
    """Return the day as one shard."""
    day = champion.day
    source = services.registry.open("inputs", rev=champion.data_version, first_day=day, last_day=day)[day]
    day_rows = rows.count_rows(source)
    return Shard(
        champion=champion,
        first_row=0,
        rows=day_rows,
        day_rows=day_rows,
        batch_rows=settings.score.batch_rows,
        threshold=settings.task.threshold,
    )
