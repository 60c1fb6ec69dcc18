"""A SQL database as a source: the rows of a day by a query or out of a table, read in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Executable

from ml.adapters.rows import null_counts
from ml.adapters.sources.columns import as_iso_text
from ml.adapters.sources.csv_types import as_type
from ml.adapters.sources.local_day import LocalDay, NoTime
from ml.adapters.sources.parquet_tables import copy_parquet, is_larger
from ml.adapters.sources.table_texts import lacks, no_time, other_day
from ml.adapters.sources.tables import read_table
from ml.adapters.sources.time_columns import add_parts, add_parts_to_file, check_parts
from ml.adapters.sources.unpacked import MEGABYTE, too_large
from ml.adapters.sql.database import Database
from ml.adapters.sql.spool import Spool
from ml.adapters.sql.statements import of_query, of_table
from ml.adapters.workspace import write_parquet
from ml.errors import MissingArtifact, SettingsError
from ml.records import Asset

if TYPE_CHECKING:
    import pandas as pd

    from ml.adapters.sources.kinds.sql import Rows, SqlSource
    from ml.settings import Settings

DAY = "day"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class SqlRows:
    """Read a day's tables from a database.

    The rows are in the order of ``task.key``: a database promises none. ``:as_of`` is the instant at which the inputs
    of a day were due, or its labels were asked for the last time, ``as_of_hours`` later, and never later than now.

    Parameters
    ----------
    section
        The settings of the source.
    settings
        Those of the model: task and landing.
    """

    database: Database
    section: SqlSource
    settings: Settings
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)
    now: Callable[[], datetime] = _utc_now

    @classmethod
    def from_settings(cls, section: SqlSource, settings: Settings) -> SqlRows:
        """Read ``source``, ``task`` and ``land`` of ``params.yaml``."""
        check_parts(section.time_parts, str(section.inputs.time), section.inputs.columns)
        return cls(Database(section.database, "source.database"), section, settings)

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the rows of a day; see `ml.adapters.sources.tables` for what becomes of types."""
        with self._spooled("inputs", day, self.settings.screen.rows_at_once) as path:
            return self._frame("inputs", path)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the labels of a day; MissingArtifact while no row of it has a target."""
        with self._spooled("labels", day, self.settings.screen.rows_at_once) as path:
            return self._frame("labels", path)

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file, of more than ``rows_at_once`` rows in batches."""
        with self._spooled(asset, day, rows_at_once) as path:
            large = is_larger(path, rows_at_once, limit=self._limit, origin=self._origin(asset, day))
            if not (large and copy_parquet(path, target, origin=self._origin(asset, day))):
                write_parquet(self._frame(asset, path), target)
            elif asset == "inputs" and self.section.time_parts:
                add_parts_to_file(target, str(self.section.inputs.time), self.section.time_parts, self._zone)

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> SqlRows:
        """Return the same source; texts and whole numbers become what they are in a database with more types."""
        return replace(self, types=types)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return None: nothing shows whether rows have changed but the rows."""
        del asset, day
        return None

    @property
    def _limit(self) -> int:
        return int(self.section.max_megabytes * MEGABYTE)

    def _origin(self, asset: Asset, day: date) -> str:
        rows = self._rows(asset)
        return f"{self.database.shown}: {rows.table or f'source.{asset}.query'} ({day})"

    def _rows(self, asset: Asset) -> Rows:
        if asset == "labels" and self.section.labels is not None:
            return self.section.labels
        return self.section.inputs

    def _frame(self, asset: Asset, path: Path) -> pd.DataFrame:
        origin = self._rows(asset).table or f"source.{asset}.query"
        if path.stat().st_size > self._limit:
            raise too_large(origin, self._limit)
        table = read_table(path.read_bytes(), "parquet", origin=origin, limit=self._limit)
        parts = self.section.time_parts if asset == "inputs" else ()
        return add_parts(table, str(self.section.inputs.time), parts, self._zone)

    @contextmanager
    def _spooled(self, asset: Asset, day: date, rows_at_once: int) -> Iterator[Path]:
        """Yield a file with the rows of a day."""
        origin, task = self._origin(asset, day), self.settings.task
        with TemporaryDirectory() as name:
            folder = Path(name)
            statement, columns = self._statement(asset, day)
            spool = Spool(folder, origin, partial(self._changed, asset, LocalDay(day, self._zone), columns))
            setting = f"source.{asset}"
            spool.fill(self.database.stream(statement, rows_at_once=self.section.batch_rows, setting=setting))
            if not spool.rows:
                raise MissingArtifact(f"nothing for {day}: {origin} gives no row{self._asked_as_of(asset, day)}")
            path = folder / "rows"
            spool.write(path, key=task.key, rows_at_once=rows_at_once)
            if asset == "labels" and null_counts(path).get(task.target) == spool.rows:
                raise MissingArtifact(
                    f"nothing for {day}: {origin} gives rows, but none has a {task.target} yet; write them, or correct "
                    f"source.{asset}"
                )
            yield path

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.task.timezone)

    def _as_of(self, asset: Asset, day: date) -> datetime:
        land, task = self.settings.land, self.settings.task
        waited = 0 if asset == "inputs" else task.label_delay_days + land.catch_up_days
        due = datetime.combine(day + timedelta(days=waited), time(land.due_hour), self._zone)
        return min(due.astimezone(UTC) + timedelta(hours=self.section.as_of_hours), self.now())

    def _asked_as_of(self, asset: Asset, day: date) -> str:
        move = f"; write them, or correct source.{asset}"
        if ":as_of" not in (self._rows(asset).query or ""):
            return move
        return f" as of {self._as_of(asset, day):%Y-%m-%d %H:%M} UTC{move}, or source.as_of_hours if they came later"

    def _statement(self, asset: Asset, day: date) -> tuple[Executable, list[str] | None]:
        """Return what to ask, and which columns of the answer count; None for all."""
        rows, local = self._rows(asset), LocalDay(day, self._zone)
        if rows.query is not None:
            as_of = self._as_of(asset, day)
            return of_query(rows.query, local, as_of=as_of, backend=self.database.backend), None
        table, at, setting = str(rows.table), str(rows.time), f"source.{asset}"
        present = self.database.columns(table, f"{setting}.table")
        if at not in present:
            raise self._lacks(asset, at, f"{setting}.time", [*present])
        columns = self._choose(asset, [*present])
        asked = [*dict.fromkeys([*(name for name in columns if name in present), at])]
        statement = of_table(
            table, asked, at, present[at], local, backend=self.database.backend, setting=f"{setting}.time"
        )
        return statement, columns

    def _choose(self, asset: Asset, present: Sequence[str]) -> list[str]:
        """Return the columns of an asset out of a table, in order; ``day`` is made where the table has none."""
        task, columns = self.settings.task, self._rows(asset).columns
        if asset == "labels" and self.section.labels is None:
            columns = None
        if columns is None and asset == "inputs":
            return [name for name in [*([] if DAY in present else [DAY]), *present] if name != task.target]
        setting = f"source.{asset}.columns"
        if columns is None:
            setting, columns = "task.key and task.target", (*task.key, task.target)
        for name in columns:
            if name not in present and name != DAY:
                raise self._lacks(asset, name, setting, present)
        return list(columns)

    def _lacks(self, asset: Asset, name: str, setting: str, present: Sequence[str]) -> SettingsError:
        message = lacks(f"{self.database.shown}: {self._rows(asset).table}", name, setting, list(present))
        return SettingsError(str(message))

    def _changed(self, asset: Asset, day: LocalDay, columns: list[str] | None, batch: pa.Table) -> pa.Table:
        """Return the rows of a batch that are of the day, with ``day``, and with the types that are known."""
        task, origin, rows = self.settings.task, self._origin(asset, day.day), self._rows(asset)
        if columns is not None:
            batch = _of_day(batch, str(rows.time), day, origin)
        if DAY not in batch.schema.names:
            batch = batch.add_column(0, DAY, pa.array([day.day.isoformat()] * batch.num_rows, pa.string()))
        elif batch.num_rows:
            texts = pa.array(as_iso_text(batch[DAY].to_pandas(), origin))
            batch = batch.set_column(batch.schema.names.index(DAY), DAY, texts)
        batch = batch.select(columns) if columns is not None else batch
        if asset == "inputs" and task.target in batch.schema.names:
            raise SettingsError(
                f"source.inputs gives the target {task.target!r}: it is not known when a day is scored; leave it out"
            )
        if asset == "labels" and task.target not in batch.schema.names:
            raise self._lacks(asset, task.target, f"source.{asset}", batch.schema.names)
        for number, name in enumerate(batch.schema.names):
            if (values := _as_known(batch[name], self.types.get(asset, {}).get(name))) is not None:
                batch = batch.set_column(number, name, values)
        return batch


def _of_day(batch: pa.Table, time: str, day: LocalDay, origin: str) -> pa.Table:
    """Return the rows whose time is of the day: exactly those, where the database could not compare instants."""
    if not batch.num_rows:
        return batch
    try:
        batch = batch.filter(day.mask(batch[time].combine_chunks()))
    except NoTime as err:
        raise no_time(err, f"{origin}, a row", time) from err
    if DAY in batch.schema.names and time != DAY and batch.num_rows:
        own = batch[DAY].combine_chunks()
        try:
            alike = day.mask(own)
        except NoTime as err:
            raise no_time(err, f"{origin}, a row", DAY) from err
        if alike.false_count:
            raise other_day(origin, own.filter(pc.invert(alike))[0], time, day)
    return batch


def _as_known(column: pa.ChunkedArray, known: str | None) -> pa.ChunkedArray | None:
    """Return texts as the dates, instants or booleans that they are known to be, and 0 and 1 as booleans."""
    if known == "bool" and pa.types.is_integer(column.type):
        bounds = pc.min_max(column)
        small = bounds["min"].as_py() in (0, None) and bounds["max"].as_py() in (0, 1, None)
        small = small or (bounds["min"].as_py(), bounds["max"].as_py()) == (1, 1)
        return column.cast(pa.bool_()) if small else None
    if known is not None and pa.types.is_string(column.type) and known.startswith(("date", "timestamp", "bool")):
        return as_type(column, known)
    return None
