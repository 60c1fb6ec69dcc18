"""Sum up labelled days for history features, and keep the sums: no day is joined twice.

A day's sums are a few rows by group, kept in storage under the md5s of the inputs and labels that they follow
from. Scoring a day then reads only the newest labelled day, and the sums of those before it. Labels count as they
were when they could first be seen, so that a day which is scored later gets what it was given at first.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.adapters import layout, partitions
from ml.adapters.column_types import types_of_table, without_types_of_nulls
from ml.adapters.data_registry import DataRegistry
from ml.adapters.data_registry.seen_labels import open_earlier, seen_by
from ml.adapters.data_registry.store import in_threads
from ml.adapters.engine import LOCAL, Engine, Part
from ml.adapters.workspace import Workspace
from ml.core.data.arrivals import seen_columns
from ml.core.data.schema import refuse_mixed
from ml.core.training.lagged_means import TargetAggregates, lookback_days
from ml.core.training.target_sums import (
    COUNT,
    DAY,
    SEEN_FROM,
    SEEN_UNTIL,
    Grouping,
    aggregate,
    class_numbers,
    groupings,
    totals,
)
from ml.errors import MissingArtifact
from ml.records import Content, DayFile
from ml.settings import Label, Settings, Task

log = logging.getLogger(__name__)
LAYOUT = 1
"""Part of each name: sums of another layout, or of another meaning, are not found."""

GROUPING = "__grouping"
_Piece = tuple[date, Content | None]
"""A labelled day, and which of its contents; None is the present one, seen by whichever day looks back on it."""


@dataclass(frozen=True)
class AggregateStore:
    """The sums of labelled days, below a folder of storage; what is not there is summed up and kept."""

    registry: DataRegistry
    folder: Workspace
    engine: Engine = LOCAL

    def aggregates(self, first: date, last: date, settings: Settings, *, rev: str | None) -> TargetAggregates:
        """Return what the lagged target means of ``first`` to ``last`` look back on.

        Parameters
        ----------
        own
            The settings of the model that is asked: its features reach back as far as they do.
        rev
            A data version; None means the newest.

        Raises
        ------
        DataRejected
            If a column that groups is text on some of those days and a number on others; the message names the days.

        Notes
        -----
        Where none of those days has labels, the lagged means are null, as they are for any window without labels: a
        feed of labels that stands still, or is in doubt, stops no scoring.
        """
        features, delay = settings.features.history, settings.task.label_delay_days
        wanted, classes = groupings(features), class_numbers(features, settings.task.classes)
        reach = lookback_days(features, label_delay_days=delay)
        if not reach:
            return TargetAggregates({}, features, label_delay_days=delay, classes=classes)
        rev = rev or self.registry.head()
        oldest, newest = first - timedelta(days=reach), last - timedelta(days=max(delay, 1))
        held = self._find_days(oldest, newest, rev)
        late = seen_by(first, last, [labels for _, labels in held.values()], settings, self.registry, rev=rev)
        wholes = [(day, None) for day in sorted(held.keys() - {content.day for content in late})]
        pieces: list[_Piece] = [*wholes, *((content.day, content) for content in late if content.md5)]
        files = self._resolve_files(pieces, held)
        names = [_name_object(day, files[number], settings, wanted) for number, (day, _) in enumerate(pieces)]
        piece_tables = in_threads(self._load, names)
        missing = [number for number, table in enumerate(piece_tables) if table is None]
        if missing:
            for number, table in self._sum_up(missing, pieces, files, names, settings, wanted, rev).items():
                piece_tables[number] = table
        tables = [
            _add_seen_columns(table, content)
            for table, (_, content) in zip(piece_tables, pieces, strict=True)
            if table is not None
        ]
        by_day = {
            day: types_of_table(table)
            for table, (day, _) in zip(piece_tables, pieces, strict=True)
            if table is not None
        }
        refuse_mixed("inputs", by_day, {column for by in wanted for column in by})
        tables = list(map(without_types_of_nulls, tables))
        together = pa.concat_tables(tables, promote_options="permissive") if tables else None
        sums = {by: _select(together, by, wanted, totals(classes)) for by in wanted}
        return TargetAggregates(sums, features, label_delay_days=delay, classes=classes)

    def _find_days(self, oldest: date, newest: date, rev: str) -> dict[date, tuple[DayFile, DayFile]]:
        """Find the days that have both inputs and labels."""
        inputs, labels = (self.registry.days(asset, rev) for asset in ("inputs", "labels"))
        days = sorted(day for day in set(inputs) & set(labels) if oldest <= day <= newest)
        if not days:
            log.warning("no labelled day from %s to %s: all lagged target means are null", oldest, newest)
        return {day: (inputs[day], labels[day]) for day in days}

    def _load(self, name: str) -> pa.Table | None:
        try:
            return pq.read_table(io.BytesIO(self.folder.objects.get_bytes(self.folder.name(name))))
        except MissingArtifact:
            return None

    def _resolve_files(
        self, pieces: Sequence[_Piece], held: dict[date, tuple[DayFile, DayFile]]
    ) -> list[tuple[DayFile, DayFile]]:
        """List the inputs and labels of each piece; where a corrected content is lost, the present one stands in."""
        late = [content for _, content in pieces if content]
        earlier = open_earlier(late, [labels for _, labels in held.values()], self.registry)
        files = []
        for day, content in pieces:
            inputs, labels = held[day]
            if content is not None and content.md5 in earlier:
                labels = labels.model_copy(update={"md5": content.md5})
            files.append((inputs, labels))
        return files

    def _sum_up(
        self,
        numbers: Sequence[int],
        pieces: Sequence[_Piece],
        files: Sequence[tuple[DayFile, DayFile]],
        names: Sequence[str],
        settings: Settings,
        wanted: Sequence[Grouping],
        rev: str,
    ) -> dict[int, pa.Table]:
        """Sum pieces up and keep them; two workers that do so at once write the same bytes."""
        log.info("summing up %d labelled days for history features", len(numbers))
        days = [pieces[number][0] for number in numbers]
        inputs, labels = (
            self.registry.open(asset, rev=rev, first_day=min(days), last_day=max(days))
            for asset in ("inputs", "labels")
        )
        present = {files[number][1].day: files[number][1].md5 for number in numbers if pieces[number][1] is None}
        tables = {}
        for number in numbers:
            day, md5 = pieces[number][0], files[number][1].md5
            path = labels[day] if present.get(day) == md5 else self.registry.open_content("labels", day, md5)
            tables[number] = sum_up(inputs[day], path, settings, wanted, engine=self.engine)
            buffer = io.BytesIO()
            pq.write_table(tables[number], buffer, compression="zstd")
            self.folder.objects.put_bytes(self.folder.name(names[number]), buffer.getvalue())
        return tables


def _add_seen_columns(table: pa.Table, content: Content | None) -> pa.Table:
    """Add to sums which scored days saw them; None means whichever looks back on them, and adds nothing."""
    if content is None:
        return table
    for name, value in seen_columns(content).items():
        table = table.append_column(name, pa.array([value] * len(table), pa.int64()))
    return table


def sum_up(
    inputs: Path, labels: Path, settings: Settings, wanted: Sequence[Grouping], *, engine: Engine = LOCAL
) -> pa.Table:
    """Sum up one labelled day by each grouping, in bounded memory: one table, with the grouping's number."""
    classes = class_numbers(settings.features.history, settings.task.classes)
    columns = list(dict.fromkeys(name for by in wanted for name in by))
    parts: list[list[pd.DataFrame]] = [[] for _ in wanted]
    shared: _Summed = (settings.task, tuple(wanted), classes)
    with partitions.labelled_parts(inputs, labels, task=settings.task, columns=columns, engine=engine) as pieces:
        for sums in engine.map(_sum_part, pieces, shared=shared):
            for frames, frame in zip(parts, sums, strict=True):
                frames.append(frame)
    tables = []
    for number, (frames, by) in enumerate(zip(parts, wanted, strict=True)):
        whole = (
            frames[0] if len(frames) == 1 else _merge_sums(pd.concat(frames, ignore_index=True), by, totals(classes))
        )
        table = pa.Table.from_pandas(whole, preserve_index=False).replace_schema_metadata(None)
        tables.append(table.append_column(GROUPING, pa.array([number] * len(whole), pa.int16())))
    return pa.concat_tables(tables, promote_options="default")


_Summed = tuple[Task, Sequence[Grouping], Mapping[Label, int]]


def _sum_part(shared: _Summed, part: Part) -> Iterator[list[pd.DataFrame]]:
    task, wanted, classes = shared
    joined = partitions.join(part, task=task)
    yield [aggregate(joined, by, target=task.target, classes=classes) for by in wanted]


def _merge_sums(sums: pd.DataFrame, by: Grouping, summed: list[str]) -> pd.DataFrame:
    merged = sums.groupby([DAY, *by], sort=False, dropna=False)[[*summed, COUNT]].sum().reset_index()
    return merged[[*by, DAY, *summed, COUNT]]


def _select(table: pa.Table | None, by: Grouping, wanted: Sequence[Grouping], summed: list[str]) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame({name: [] for name in [*by, DAY, *summed, COUNT]})
    sums = table.filter(pc.equal(table[GROUPING], wanted.index(by)))
    seen_names = [name for name in (SEEN_FROM, SEEN_UNTIL) if name in table.schema.names]
    frame: pd.DataFrame = sums.select([*by, DAY, *summed, COUNT, *seen_names]).to_pandas()
    return frame


def _name_object(day: date, files: tuple[DayFile, DayFile], settings: Settings, wanted: Sequence[Grouping]) -> str:
    facts = [LAYOUT, *(file.md5 for file in files), settings.task.key, settings.task.target, wanted]
    facts += [settings.task.positive] if settings.task.positive is not None else []
    classes = class_numbers(settings.features.history, settings.task.classes)
    facts += [[*classes.items()], settings.task.classes] if classes else []
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return layout.training.aggregate(day, digest)
