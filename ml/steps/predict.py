"""Score a shard of a day with one model version, batch by batch, into a staging folder."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.adapters import rows
from ml.adapters.column_types import types_in
from ml.adapters.tallies import Tallies
from ml.core.adapt import shift_of, shifted
from ml.core.estimators import predict, refuse_other_kinds, trained_kinds
from ml.core.features import Past, feature_columns, history_names, join_labels, matrix
from ml.core.shards import Rows
from ml.errors import DataRejected, MissingArtifact
from ml.records import Adaptation, Champion, Scoring, Shard
from ml.settings import Settings
from ml.steps import recorded_models
from ml.steps.evaluate import settings_of
from ml.wiring import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scorer:
    """A version, ready to score the rows of some days."""

    version: int
    pipeline: Pipeline
    own: Settings
    past: Past

    @property
    def columns(self) -> list[str]:
        """Name the columns of inputs that it reads."""
        features = self.own.features
        added = set(history_names(features.history))
        plain = [column for column in feature_columns(features) if column not in added]
        return list(dict.fromkeys(["day", *plain, *(name for each in features.history for name in each.by)]))

    def raw(self, batch: pa.Table) -> np.ndarray:
        """Give what the model itself says of some rows."""
        return self.predict(self.matrix(batch))

    def predict(self, seen: pd.DataFrame) -> np.ndarray:
        """Give what the model itself says of rows as `matrix` lays them out."""
        return predict(self.pipeline, seen, self.own.task.kind)

    def matrix(self, batch: pa.Table) -> pd.DataFrame:
        """Lay out what the model sees of some rows, history features among it."""
        features = self.own.features
        grouped = {name for each in features.history for name in each.by}
        table = batch.select([name for name in self.columns if name in batch.schema.names])
        numbers = [name for name in (*features.numeric, *features.spline) if name not in grouped]
        return matrix(self.past.add_to(rows.as_floats(table, numbers).to_pandas()), features)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep to one number of BLAS threads: the last bits of a prediction depend on it."""
        with threadpool_limits(self.own.fit.threads, user_api="blas"):
            yield


@dataclass(frozen=True)
class Scored:
    """What some rows of a day came to; ``adaptation`` is None unless ``score.adapt`` is on."""

    rows: int
    mean_prediction: float
    sha256: str
    adaptation: Adaptation | None = None


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
    place = services.shelf(f"staging/day={champion.day}/version={champion.version}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        scored = score_to(path, shard, champion.version, settings=settings, services=services)
        uri = place.write_file(staged_name(part, scored.sha256), path)
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


def staged_name(part: Rows, sha256: str) -> str:
    """Name the staged predictions of a shard, in row order."""
    return f"rows={part.first:012d}-{part.end:012d}-{sha256[:16]}.parquet"


def score_to(path: Path, shard: Shard, version: int, *, settings: Settings, services: Services) -> Scored:
    """Score a shard with any version into the local file ``path``, as it would be served.

    Memory holds one batch of ``score.batch_rows`` rows and the sums that history features look back on, whatever
    the size of the day. Whether the version may score that day is for the caller to say.
    """
    day, rev = shard.champion.day, shard.champion.data_version
    scorer = scorer_of(version, day, services, rev=rev)
    source = services.registry.open("inputs", rev=rev, first_day=day, last_day=day)[day]
    if rows.count_rows(source) != shard.day_rows:
        raise MissingArtifact(f"{day} was cut into shards when it had {shard.day_rows} rows; clear 'resolve'")
    kinds = trained_kinds(scorer.pipeline, scorer.own.features)
    refuse_other_kinds(kinds, types_in(source), f"inputs of {day}, for version {version}")
    adaptation = shard.adaptation
    if adaptation is None and shard.rows == shard.day_rows:
        adaptation = adaptation_of(shard.champion.model_copy(update={"version": version}), settings, services)
    sums = []
    schema = _schema(source, scorer.own, adapted=adaptation is not None)
    with scorer.steady(), rows.RowGroups(path, schema) as predictions:
        for batch, seen in _batches(source, shard, scorer):
            raw = scorer.predict(seen)
            moved = raw if adaptation is None else shifted(raw, adaptation.shift, kind=scorer.own.task.kind)
            table = _table(batch, raw, moved, shard.threshold, version, predictions.schema)
            predictions.write(table)
            sums.append(float(table["prediction"].to_numpy().sum()))
    return Scored(shard.rows, math.fsum(sums) / max(shard.rows, 1), rows.sha256(path), adaptation)


def scorer_of(version: int, first: date, services: Services, *, rev: str | None, last: date | None = None) -> Scorer:
    """Load a version that is to score the days from ``first`` to ``last``; None means that one day."""
    own = settings_of(version, services)
    past = past_of(own, first, last or first, services, rev=rev)
    return Scorer(version, recorded_models.load(version, services), own, past)


def past_of(own: Settings, first: date, last: date, services: Services, *, rev: str | None) -> Past:
    """Give what a model's history features of ``first`` to ``last`` look back on; sums that were missing are kept."""
    return Tallies(services.registry, services.shelf("history")).past(first, last, own, rev=rev)


def _batches(source: Path, shard: Shard, scorer: Scorer) -> Iterator[tuple[pa.Table, pd.DataFrame]]:
    """Read and lay out each batch while the one before it is predicted."""
    columns = [*scorer.own.task.key, *scorer.columns]
    part = Rows(shard.first_row, shard.rows)
    read = rows.batches(source, shard.batch_rows, columns=columns, part=part)
    return rows.ahead((batch, scorer.matrix(batch)) for batch in read)


def _schema(source: Path, own: Settings, *, adapted: bool) -> pa.Schema:
    """Lay out the rows of a predictions file; ``raw_prediction`` is there only where scores are adapted."""
    held = rows.types_of(source)
    missing = [name for name in own.task.key if name not in held.names]
    if missing:
        raise DataRejected(f"the key {', '.join(missing)} is not in inputs; correct task.key or the source")
    fields = [*(held.field(name) for name in own.task.key), pa.field("prediction", pa.float64())]
    fields += [pa.field("raw_prediction", pa.float64())] if adapted else []
    fields += [pa.field("decision", pa.bool_())] if own.task.kind == "classification" else []
    return pa.schema([*fields, pa.field("model_version", pa.int64())])


def _table(
    batch: pa.Table, raw: np.ndarray, moved: np.ndarray, threshold: float, version: int, schema: pa.Schema
) -> pa.Table:
    values = {
        "prediction": moved,
        "raw_prediction": raw,
        "decision": moved >= threshold,
        "model_version": np.full(len(raw), version, dtype=np.int64),
    }
    return pa.table([batch[name] if name not in values else values[name] for name in schema.names], schema.names)


def adaptation_of(champion: Champion, settings: Settings, services: Services) -> Adaptation | None:
    """Say by how much the scores of a day are moved, from what the version itself says of earlier days.

    Nothing that was served is read: the version scores the newest labelled days again, so that a day that is
    scored later gets the same shift; of days with more than ``performance.max_rows`` labels, about so many rows.
    Only days that it was not trained on, and whose labels were due, count; with fewer than ``score.adapt_days`` of
    them, correspondingly less of the gap is closed. None unless ``score.adapt`` asks for it.
    """
    score, task, day, rev = settings.score, settings.task, champion.day, champion.data_version
    if score.adapt == "none" or champion.version is None:
        return None
    last = day - timedelta(days=max(task.label_delay_days, 1))
    first = last - timedelta(days=score.adapt_days + settings.land.catch_up_days - 1)
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=first, last_day=last, may_be_empty=True)
        for asset in ("inputs", "labels")
    )
    known_until = _known_until(champion.version, services)
    days = [each for each in sorted(set(inputs) & set(labels)) if each.isoformat() > known_until][-score.adapt_days :]
    scores, outcomes = [np.zeros(0)], [np.zeros(0)]
    if days:
        scorer = scorer_of(champion.version, days[0], services, rev=rev, last=days[-1])
        part = rows.share_within((labels[each] for each in days), settings.performance.max_rows)
        with scorer.steady():
            for each in days:
                outcome = rows.thinned(labels[each], [*task.key, task.target], key=task.key, share=part)
                for whole in rows.batches(inputs[each], score.batch_rows, columns=[*task.key, *scorer.columns]):
                    batch = rows.in_share(whole, task.key, part)
                    if not batch.num_rows:
                        continue
                    told = batch.select(task.key).to_pandas().assign(raw=scorer.raw(batch))
                    joined = join_labels(told, outcome, key=task.key, target=task.target, positive=task.positive)
                    scores.append(joined["raw"].to_numpy())
                    outcomes.append(joined[task.target].to_numpy(dtype=float))
    share = score.adapt_share * len(days) / score.adapt_days
    raw, target = np.concatenate(scores), np.concatenate(outcomes)
    shift = shift_of(raw, target, kind=task.kind, share=share, most=score.adapt_max_shift) if len(raw) else 0.0
    logger.info("predict: scores of %s are moved by %+.4f after %d labelled days", day, shift, len(days))
    return Adaptation(shift=shift, share=share, days=tuple(days), rows=len(raw))


def _known_until(version: int, services: Services) -> str:
    """Give the last day that a version was fitted on; a version that does not say so has seen every day."""
    tags = services.tracking.version_tags(version)
    return tags.get("train_last_day") or tags.get("window_last_day") or date.max.isoformat()
