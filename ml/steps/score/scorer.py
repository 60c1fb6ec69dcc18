"""A model version that scores rows of a day: read, laid out and predicted batch by batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.adapters import layout, rows
from ml.adapters.aggregates import AggregateStore
from ml.adapters.column_types import types_in
from ml.champions import recorded_models
from ml.champions.recorded_settings import settings_of
from ml.core.predictions import RAW, bounds, decided, names, parted, representative
from ml.core.scoring import adaptation as adapt
from ml.core.scoring.shards import Rows
from ml.core.training import own_features
from ml.core.training.estimators import predict, refuse_other_kinds, trained_kinds
from ml.core.training.features import feature_columns, join_labels, matrix
from ml.core.training.lagged_means import TargetAggregates, history_names
from ml.errors import DataRejected, MissingArtifact
from ml.names import LOWER, UPPER
from ml.next_moves import rerun
from ml.records import Adaptation, Champion, Shard
from ml.settings import Settings, Task
from ml.steps.own_features import OwnFeatures
from ml.wiring import Services

logger = logging.getLogger(__name__)
ROWS_AT_ONCE = 8
"""Rows are predicted in multiples of so many, so that a row's prediction is the same in whatever company."""


@dataclass(frozen=True)
class Scorer:
    """A version, ready to score the rows of some days; ``half_width`` is None if its predictions have no intervals."""

    version: int
    pipeline: Pipeline
    own: Settings
    aggregates: TargetAggregates
    added: OwnFeatures | None = None
    half_width: float | None = None

    @property
    def columns(self) -> list[str]:
        """Name the columns of inputs that it reads."""
        return input_columns(self.own)

    def with_own(self, batches: Iterable[pa.Table], day: date, *, first: int = 0) -> Iterator[pa.Table]:
        """Add what ``features.python`` computes of a day to its batches, of which the first begins at row ``first``."""
        if self.own.features.python is None or self.added is None:
            yield from batches
            return
        columns = pa.Table.from_pandas(self.added.of(day), preserve_index=False)
        for batch in batches:
            part, first = columns.slice(first, batch.num_rows), first + batch.num_rows
            names = [*batch.schema.names, *part.schema.names]
            yield pa.Table.from_arrays([*batch.columns, *part.columns], names=names)

    def raw(self, batch: pa.Table) -> np.ndarray:
        """Return what the model itself says of some rows."""
        return self.predict(self.matrix(batch))

    def predict(self, seen: pd.DataFrame) -> np.ndarray:
        """Return what the model itself says of rows as `matrix` lays them out.

        A product of a matrix and a vector takes its rows a few at a time, and the last ones, that are fewer, by other
        instructions: the last digit of a row could depend on how many rows come with it. So they are filled up.
        """
        lacking = -len(seen) % ROWS_AT_ONCE
        classes = len(self.own.task.classes)
        if seen.empty or not lacking:
            return predict(self.pipeline, seen, self.own.task.kind, classes)
        filled = seen.take(np.minimum(np.arange(len(seen) + lacking), len(seen) - 1))
        return predict(self.pipeline, filled, self.own.task.kind, classes)[: len(seen)]

    def matrix(self, batch: pa.Table) -> pd.DataFrame:
        """Lay out what the model sees of some rows, history features among it."""
        features = self.own.features
        grouped = {name for feature in features.history for name in feature.by}
        wanted = [*self.columns, *own_features.names(features.python)]
        table = batch.select([name for name in wanted if name in batch.schema.names])
        numbers = [name for name in (*features.numbers, *features.spline) if name not in grouped]
        return matrix(self.aggregates.add_to(rows.as_floats(table, numbers).to_pandas()), features)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep to one number of BLAS threads: the last bits of a prediction depend on it."""
        with threadpool_limits(self.own.fit.threads, user_api="blas"):
            yield


def input_columns(own: Settings) -> list[str]:
    """Name the columns of inputs that a model with these settings reads."""
    features = own.features
    added = {*history_names(features.history), *own_features.names(features.python)}
    plain = [column for column in feature_columns(features) if column not in added]
    return list(dict.fromkeys(["day", *plain, *(name for feature in features.history for name in feature.by)]))


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
    schema = _schema(source, scorer, adapted=adaptation is not None)
    with scorer.steady(), rows.RowGroups(path, schema) as predictions:
        for batch, seen in _batches(source, shard, scorer):
            raw = scorer.predict(seen)
            moved = raw if adaptation is None else adapt.shifted(raw, adaptation.shift, kind=scorer.own.task.kind)
            predictions.write(_table(batch, raw, moved, shard.threshold, scorer, predictions.schema))
            batch_sums.append(float(representative(moved).sum()))
    return Scored(shard.rows, math.fsum(batch_sums) / max(shard.rows, 1), rows.sha256(path), adaptation)


def scorer_of(version: int, first: date, services: Services, *, rev: str | None, last: date | None = None) -> Scorer:
    """Load a version that is to score the days from ``first`` to ``last``; None means that one day."""
    own = settings_of(version, services)
    aggregates = aggregates_of(own, first, last or first, services, rev=rev)
    added = OwnFeatures(own, services, first, last or first, rev=rev, version=version)
    half_width = recorded_models.half_width_of(version, own.fit.intervals, services)
    return Scorer(version, recorded_models.load(version, services), own, aggregates, added, half_width)


def aggregates_of(own: Settings, first: date, last: date, services: Services, *, rev: str | None) -> TargetAggregates:
    """Return what a model's history features of ``first`` to ``last`` look back on; sums that were missing are kept."""
    return AggregateStore(services.registry, services.storage_folder(layout.training.AGGREGATES)).aggregates(
        first, last, own, rev=rev
    )


def _batches(source: Path, shard: Shard, scorer: Scorer) -> Iterator[tuple[pa.Table, pd.DataFrame]]:
    """Read and lay out each batch while the one before it is predicted."""
    columns = [*scorer.own.task.key, *scorer.columns]
    part = Rows(shard.first_row, shard.rows)
    batches = rows.batches(source, shard.batch_rows, columns=columns, part=part)
    read = scorer.with_own(batches, shard.champion.day, first=part.first)
    return rows.ahead((batch, scorer.matrix(batch)) for batch in read)


def _schema(source: Path, scorer: Scorer, *, adapted: bool) -> pa.Schema:
    """Lay out the rows of a predictions file; ``raw_prediction`` is there only where scores are adapted."""
    held, own = rows.types_of(source), scorer.own
    missing = [name for name in own.task.key if name not in held.names]
    if missing:
        raise DataRejected(f"the key {', '.join(missing)} is not in inputs; correct task.key or the source")
    fields = [held.field(name) for name in own.task.key]
    fields += [pa.field(name, pa.float64()) for name in names(own.task)]
    fields += [pa.field(name, pa.float64()) for name in (LOWER, UPPER) if scorer.half_width is not None]
    fields += [pa.field(RAW, pa.float64())] if adapted else []
    fields += [pa.field("decision", _decision_type(own.task))] if own.task.kind != "regression" else []
    return pa.schema([*fields, pa.field("model_version", pa.int64())])


def _decision_type(task: Task) -> pa.DataType:
    """Return the type of what is decided: whether it is the positive class, or the label of a class."""
    if not task.classes:
        return pa.bool_()
    return pa.string() if isinstance(task.classes[0], str) else pa.int64()


def _table(
    batch: pa.Table, raw: np.ndarray, moved: np.ndarray, threshold: float, scorer: Scorer, schema: pa.Schema
) -> pa.Table:
    task = scorer.own.task
    values = {
        **parted(moved, task),
        **bounds(moved, scorer.half_width),
        RAW: raw,
        "decision": decided(moved, task, threshold),
        "model_version": np.full(len(raw), scorer.version, dtype=np.int64),
    }
    return pa.table([batch[name] if name not in values else values[name] for name in schema.names], schema.names)


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
