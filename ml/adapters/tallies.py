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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.adapters import rows
from ml.adapters.arrived import open_earlier, seen_by
from ml.adapters.column_types import types_of_table, without_types_of_nulls
from ml.adapters.registry import DataRegistry
from ml.adapters.registry.store import in_threads
from ml.adapters.workspace import Workspace
from ml.core.arrivals import seen_columns
from ml.core.features import COUNT, DAY, SEEN_FROM, SEEN_UNTIL, TOTAL, Grouping, Past, groupings, lookback_days, tally
from ml.core.schema import refuse_mixed
from ml.errors import MissingArtifact
from ml.records import Content, DayFile
from ml.settings import Settings

log = logging.getLogger(__name__)
LAYOUT = 1
"""Part of each name: sums of another layout, or of another meaning, are not found."""

GROUPING = "__grouping"
_Piece = tuple[date, Content | None]
"""A labelled day, and which of its contents; None is the present one, seen by whichever day looks back on it."""


@dataclass(frozen=True)
class Tallies:
    """The sums of labelled days, below a folder of storage; what is not there is summed up and kept."""

    registry: DataRegistry
    place: Workspace

    def past(self, first: date, last: date, own: Settings, *, rev: str | None) -> Past:
        """Give what the history features of ``first`` to ``last`` look back on.

        Parameters
        ----------
        own
            The settings of the model that is asked: its features reach back as far as they do.
        rev
            A data version; None means the newest.

        Raises
        ------
        MissingArtifact
            If the version holds no inputs, or no labels, on any of those days.
        DataRejected
            If a column that groups is text on some of those days and a number on others; the message names the days.
        """
        features, delay = own.features.history, own.task.label_delay_days
        wanted = groupings(features)
        reach = lookback_days(features, label_delay_days=delay)
        if not reach:
            return Past({}, features, label_delay_days=delay)
        rev = rev or self.registry.head()
        oldest, newest = first - timedelta(days=reach), last - timedelta(days=max(delay, 1))
        held = self._held(oldest, newest, rev)
        late = seen_by(first, last, [labels for _, labels in held.values()], own, self.registry, rev=rev)
        wholes = [(day, None) for day in sorted(held.keys() - {content.day for content in late})]
        pieces: list[_Piece] = [*wholes, *((content.day, content) for content in late if content.md5)]
        files = self._files(pieces, held)
        names = [_name(day, files[number], own, wanted) for number, (day, _) in enumerate(pieces)]
        found = in_threads(self._kept, names)
        missing = [number for number, table in enumerate(found) if table is None]
        if missing:
            for number, table in self._summed(missing, pieces, files, names, own, wanted, rev).items():
                found[number] = table
        tables = [_seen(table, content) for table, (_, content) in zip(found, pieces, strict=True) if table is not None]
        by_day = {
            day: types_of_table(table) for table, (day, _) in zip(found, pieces, strict=True) if table is not None
        }
        refuse_mixed("inputs", by_day, {column for by in wanted for column in by})
        tables = list(map(without_types_of_nulls, tables))
        together = pa.concat_tables(tables, promote_options="permissive") if tables else None
        return Past({by: _of(together, by, wanted) for by in wanted}, features, label_delay_days=delay)

    def _held(self, oldest: date, newest: date, rev: str) -> dict[date, tuple[DayFile, DayFile]]:
        """Find the days that have both inputs and labels; a side without any day is an error that names the nearest."""
        sides = []
        for asset in ("inputs", "labels"):
            files = {day: file for day, file in self.registry.days(asset, rev).items() if oldest <= day <= newest}
            if not files:
                self.registry.open(asset, rev=rev, first_day=oldest, last_day=newest)
            sides.append(files)
        inputs, labels = sides
        return {day: (inputs[day], labels[day]) for day in sorted(set(inputs) & set(labels))}

    def _kept(self, name: str) -> pa.Table | None:
        try:
            return pq.read_table(io.BytesIO(self.place.objects.get_bytes(self.place.name(name))))
        except MissingArtifact:
            return None

    def _files(
        self, pieces: Sequence[_Piece], held: dict[date, tuple[DayFile, DayFile]]
    ) -> list[tuple[DayFile, DayFile]]:
        """Name the inputs and labels of each piece; where a corrected content is lost, the present one stands in."""
        late = [content for _, content in pieces if content]
        earlier = open_earlier(late, [labels for _, labels in held.values()], self.registry)
        found = []
        for day, content in pieces:
            inputs, labels = held[day]
            if content is not None and content.md5 in earlier:
                labels = labels.model_copy(update={"md5": content.md5})
            found.append((inputs, labels))
        return found

    def _summed(
        self,
        numbers: Sequence[int],
        pieces: Sequence[_Piece],
        files: Sequence[tuple[DayFile, DayFile]],
        names: Sequence[str],
        own: Settings,
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
        found = {}
        for number in numbers:
            day, md5 = pieces[number][0], files[number][1].md5
            path = labels[day] if present.get(day) == md5 else self.registry.open_content("labels", day, md5)
            found[number] = summed(inputs[day], path, own, wanted)
            buffer = io.BytesIO()
            pq.write_table(found[number], buffer, compression="zstd")
            self.place.objects.put_bytes(self.place.name(names[number]), buffer.getvalue())
        return found


def _seen(table: pa.Table, content: Content | None) -> pa.Table:
    """Say of sums which scored days saw them; None means whichever looks back on them."""
    if content is None:
        return table
    for name, value in seen_columns(content).items():
        table = table.append_column(name, pa.array([value] * len(table), pa.int64()))
    return table


def summed(inputs: Path, labels: Path, own: Settings, wanted: Sequence[Grouping]) -> pa.Table:
    """Sum up one labelled day by each grouping, in bounded memory: one table, with the grouping's number."""
    target = own.task.target
    columns = list(dict.fromkeys(name for by in wanted for name in by))
    parts: list[list[pd.DataFrame]] = [[] for _ in wanted]
    for part in rows.labelled(inputs, labels, task=own.task, columns=columns):
        for found, by in zip(parts, wanted, strict=True):
            found.append(tally(part, by, target=target))
    tables = []
    for number, (found, by) in enumerate(zip(parts, wanted, strict=True)):
        whole = found[0] if len(found) == 1 else _together(pd.concat(found, ignore_index=True), by)
        table = pa.Table.from_pandas(whole, preserve_index=False).replace_schema_metadata(None)
        tables.append(table.append_column(GROUPING, pa.array([number] * len(whole), pa.int16())))
    return pa.concat_tables(tables, promote_options="default")


def _together(found: pd.DataFrame, by: Grouping) -> pd.DataFrame:
    sums = found.groupby([DAY, *by], sort=False, dropna=False)[[TOTAL, COUNT]].sum().reset_index()
    return sums[[*by, DAY, TOTAL, COUNT]]


def _of(table: pa.Table | None, by: Grouping, wanted: Sequence[Grouping]) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame({name: [] for name in [*by, DAY, TOTAL, COUNT]})
    own = table.filter(pc.equal(table[GROUPING], wanted.index(by)))
    seen = [name for name in (SEEN_FROM, SEEN_UNTIL) if name in table.schema.names]
    frame: pd.DataFrame = own.select([*by, DAY, TOTAL, COUNT, *seen]).to_pandas()
    return frame


def _name(day: date, files: tuple[DayFile, DayFile], own: Settings, wanted: Sequence[Grouping]) -> str:
    facts = [LAYOUT, *(file.md5 for file in files), own.task.key, own.task.target, wanted]
    facts += [own.task.positive] if own.task.positive is not None else []
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return f"day={day}/{digest[:32]}.parquet"
