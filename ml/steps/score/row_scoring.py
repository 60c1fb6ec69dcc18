"""Predict rows of a day with one model version, batch by batch: in this process or in a worker of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.adapters import rows
from ml.adapters.engine import Part
from ml.core.predictions import RAW, bounds, decided, names, parted, representative
from ml.core.scoring import adaptation as adapt
from ml.core.training import own_features
from ml.core.training.estimators import predict
from ml.core.training.features import feature_columns, matrix
from ml.core.training.lagged_means import TargetAggregates, history_names
from ml.errors import DataRejected
from ml.names import LOWER, UPPER
from ml.settings import Settings, Task
from ml.steps.own_features import OwnFeatures
from ml.steps.score.row_layout import RowLayout

ROWS_AT_ONCE = 8
"""Rows are predicted in multiples of so many, so that a row's prediction is the same in whatever company."""


LaidOut = pd.DataFrame | np.ndarray
"""Rows as a pipeline sees them, or as its estimator does."""


@dataclass(frozen=True)
class Scorer:
    """A version, ready to score the rows of some days; ``half_width`` is None if its predictions have no intervals."""

    version: int
    pipeline: Pipeline
    own: Settings
    aggregates: TargetAggregates
    added: OwnFeatures | None = None
    half_width: float | None = None

    @cached_property
    def layout(self) -> RowLayout:
        """Return what lays out rows for the estimator; it remembers what categories become."""
        return RowLayout(self.pipeline, self.own.features, self.aggregates, self.matrix)

    @property
    def columns(self) -> list[str]:
        """Name the columns of inputs that it reads."""
        return input_columns(self.own)

    def with_own(self, batches: Iterable[pa.Table], day: date) -> Iterator[pa.Table]:
        """Add what ``features.python`` computes of a day to its batches."""
        return with_columns(batches, self.own_columns(day))

    def own_columns(self, day: date) -> pa.Table | None:
        """Return what ``features.python`` computes of a day; None if it computes nothing."""
        if self.own.features.python is None or self.added is None:
            return None
        return pa.Table.from_pandas(self.added.of(day), preserve_index=False)

    def raw(self, batch: pa.Table) -> np.ndarray:
        """Return what the model itself says of some rows."""
        return self.predict(self.laid_out(batch), batch.num_rows)

    def laid_out(self, batch: pa.Table) -> LaidOut:
        """Lay out rows for `predict`: as the estimator sees them where that is quick, else as the pipeline does.

        A product of a matrix and a vector takes its rows a few at a time, and the last ones, that are fewer, by other
        instructions: the last digit of a row could depend on how many rows come with it. So the last row is repeated.
        """
        count = batch.num_rows
        places = np.minimum(np.arange(count + -count % ROWS_AT_ONCE), max(count - 1, 0))
        if (encoded := self.layout.encoded(batch, places)) is not None:
            return encoded
        seen = self.matrix(batch)
        return seen if len(places) == count else seen.take(places)

    def predict(self, laid_out: LaidOut, count: int) -> np.ndarray:
        """Return what the model itself says of the first ``count`` rows of those that `laid_out` gave."""
        model = self.pipeline if isinstance(laid_out, pd.DataFrame) else self.pipeline[-1]
        return predict(model, laid_out, self.own.task.kind, len(self.own.task.classes))[:count]

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
class Scoring:
    """How rows are scored: by what, into which columns, how many at once, and by how much scores are moved."""

    scorer: Scorer
    schema: pa.Schema
    batch_rows: int
    threshold: float
    shift: float | None


def score_rows(scoring: Scoring, part: Part) -> Iterator[tuple[pa.Table, float]]:
    """Score some rows batch by batch; yield each batch of predictions, and their sum."""
    scorer = scoring.scorer
    with scorer.steady():
        for batch, laid_out in _batches(scoring, part):
            raw = scorer.predict(laid_out, batch.num_rows)
            moved = raw if scoring.shift is None else adapt.shifted(raw, scoring.shift, kind=scorer.own.task.kind)
            table = _table(batch, raw, moved, scoring.threshold, scorer, scoring.schema)
            yield table, float(representative(moved).sum())


def _batches(scoring: Scoring, part: Part) -> Iterator[tuple[pa.Table, LaidOut]]:
    """Read and lay out each batch while the one before it is predicted."""
    (file,) = part.files
    batches = rows.batches(file.path, scoring.batch_rows, columns=file.columns, part=file.rows)
    read = with_columns(batches, part.facts)
    return rows.ahead((batch, scoring.scorer.laid_out(batch)) for batch in read)


def with_columns(batches: Iterable[pa.Table], columns: pa.Table | None) -> Iterator[pa.Table]:
    """Add columns to batches that follow each other from their first row on; None adds none."""
    first = 0
    for batch in batches:
        if columns is None:
            yield batch
            continue
        part, first = columns.slice(first, batch.num_rows), first + batch.num_rows
        names = [*batch.schema.names, *part.schema.names]
        yield pa.Table.from_arrays([*batch.columns, *part.columns], names=names)


def schema_of(source: Path, scorer: Scorer, *, adapted: bool) -> pa.Schema:
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
