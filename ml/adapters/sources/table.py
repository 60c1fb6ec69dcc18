"""A table that holds many days: its rows of a day are those whose event time falls into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import parquet

from ml.adapters.rows import count_rows, null_counts
from ml.adapters.sources.csv_tables import cast_text
from ml.adapters.sources.json_tables import as_table
from ml.adapters.sources.local_day import LocalDay
from ml.adapters.sources.parquet_tables import copy_parquet, is_larger, order_columns
from ml.adapters.sources.s3 import S3
from ml.adapters.sources.s3 import split as split_uri
from ml.adapters.sources.table_files import TableFile, find_files, state_of
from ml.adapters.sources.table_parquet import RowsOfDay, find_rows, write_rows
from ml.adapters.sources.table_texts import as_csv, cut_csv, cut_json, lacks, other_day
from ml.adapters.sources.tables import read_table
from ml.adapters.sources.time_columns import add_parts, add_parts_to_file, check_parts
from ml.adapters.sources.unpacked import MEGABYTE, too_large
from ml.adapters.workspace import write_parquet
from ml.errors import DataRejected, MissingArtifact, SettingsError
from ml.records import Asset
from ml.settings import Task, TimePart

if TYPE_CHECKING:
    import pandas as pd

    from ml.adapters.sources.kinds.table import TableSource

DAY = "day"
Fetched = tuple[TableFile, Path]


@dataclass(frozen=True)
class DayRows:
    """A day's rows in a file of their own, Parquet or CSV, with more columns than an asset has in CSV."""

    path: Path
    format: str
    origin: str
    columns: Sequence[str]


@dataclass(frozen=True)
class EventTable:
    """Read a day's tables from one or two tables that hold many days.

    Parameters
    ----------
    inputs_table, labels_table
        A path or ``s3://bucket/key``: a file, or a folder of files of one format, whose subfolders may name columns
        (``station=3``). A relative path starts at the project's own folder. The same table may be both.
    time
        The column with an instant or a date. An instant without an offset is in ``zone``.
    key, target
        The columns of labels by default; inputs never have the target.
    inputs_columns, labels_columns
        Which columns, in this order; None means all but the target, and key and target.

    Raises
    ------
    SettingsError
        If a table is no address, or inputs would hold the target.
    """

    inputs_table: str
    labels_table: str
    time: str
    zone: ZoneInfo
    key: tuple[str, ...]
    target: str
    inputs_columns: tuple[str, ...] | None = None
    labels_columns: tuple[str, ...] | None = None
    time_parts: tuple[TimePart, ...] = ()
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)
    max_megabytes: float = 4096.0

    def __post_init__(self) -> None:
        for key, table in (("source.inputs", self.inputs_table), ("source.labels", self.labels_table)):
            if "{" in table or "}" in table:
                raise SettingsError(
                    f"{key}: {table} has braces; a table holds all days, for a file a day use kind: files"
                )
            if table.startswith(S3) and not all(split_uri(table)):
                raise SettingsError(f"{key}: {table} is not s3://bucket/name; correct it")
            if "://" in table and not table.startswith(S3):
                raise SettingsError(f"{key}: {table} is neither a path nor s3://; correct it")
        if self.target in (self.inputs_columns or ()):
            raise SettingsError(f"source.inputs_columns names the target {self.target}; remove it: it is not known yet")
        check_parts(self.time_parts, self.time, self.inputs_columns)

    @classmethod
    def from_settings(cls, section: TableSource, task: Task) -> EventTable:
        """Read ``source`` and ``task`` of ``params.yaml``."""
        return cls(
            section.inputs,
            section.labels or section.inputs,
            section.time,
            ZoneInfo(task.timezone),
            task.key,
            task.target,
            section.inputs_columns,
            section.labels_columns,
            section.time_parts,
            max_megabytes=section.max_megabytes,
        )

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the rows of a day without their target; see `ml.adapters.sources.tables` for what becomes of types."""
        return self._read("inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read key and target of a day; MissingArtifact while no row of a table that is inputs too has a target."""
        return self._read("labels", day)

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> EventTable:
        """Return the same source, whose texts are read by these types."""
        return replace(self, types=types)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return what changes with the files that may hold a day: the states of these files.

        It may change while the day does not: then the day is read again, and its content compared.
        """
        return state_of([file for file in self._files(asset) if file.may_hold(day, self.time)])

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file, of more than ``rows_at_once`` rows of Parquet in batches."""
        with self._day_rows(asset, day) as rows:
            large = rows.format == "parquet" and is_larger(
                rows.path, rows_at_once, limit=self._limit, origin=rows.origin
            )
            if not (large and copy_parquet(rows.path, target, origin=rows.origin)):
                write_parquet(self._frame(asset, rows), target)
            elif asset == "inputs" and self.time_parts:
                add_parts_to_file(target, self.time, self.time_parts, self.zone)
            if asset == "labels" and null_counts(target).get(self.target) == count_rows(target):
                self._check_known(day)

    def _read(self, asset: Asset, day: date) -> pd.DataFrame:
        with self._day_rows(asset, day) as rows:
            table = self._frame(asset, rows)
        if asset == "labels" and self.target in table and table[self.target].isna().all():
            self._check_known(day)
        return table

    def _check_known(self, day: date) -> None:
        """Raise for a day without any target in a table that holds inputs too: its labels have not come."""
        if self.labels_table == self.inputs_table:
            raise MissingArtifact(
                f"nothing for {day}: {self.labels_table} has rows of that day, but none has a {self.target} yet; write "
                "them, or correct source.labels"
            )

    def _frame(self, asset: Asset, rows: DayRows) -> pd.DataFrame:
        if rows.path.stat().st_size > self._limit:
            raise too_large(rows.origin, self._limit)
        table = read_table(
            rows.path.read_bytes(),
            "csv" if rows.format == "csv" else "parquet",
            origin=rows.origin,
            types=self.types.get(asset),
            limit=self._limit,
        )
        table = table[list(rows.columns)]
        return add_parts(table, self.time, self.time_parts, self.zone) if asset == "inputs" else table

    @property
    def _limit(self) -> int:
        return int(self.max_megabytes * MEGABYTE)

    def _files(self, asset: Asset) -> list[TableFile]:
        return find_files(self.inputs_table if asset == "inputs" else self.labels_table, f"source.{asset}")

    @contextmanager
    def _day_rows(self, asset: Asset, day: date) -> Iterator[DayRows]:
        """Yield the rows of a day once they are found; the files are looked at for changes at the end."""
        files = self._files(asset)
        some = [file for file in files if file.may_hold(day, self.time)]
        with TemporaryDirectory() as folder, ExitStack() as stack:
            fetched = [(file, stack.enter_context(file.fetched(f"source.{asset}"))) for file in some]
            path = Path(folder) / "rows"
            cut = {"csv": self._cut_csv, "json": self._cut_json, "parquet": self._cut_parquet}[files[0].format]
            columns = cut(asset, LocalDay(day, self.zone), fetched, path)
            table = self.inputs_table if asset == "inputs" else self.labels_table
            if columns is None:
                raise MissingArtifact(
                    f"nothing for {day}: {table} has no row whose {self.time} is of that day in {self.zone.key}; "
                    f"deliver the rows, or correct source.{asset}"
                )
            kind = "csv" if files[0].format == "csv" else "parquet"
            origin = some[0].name if len(files) == 1 else f"{table} ({day})"
            yield DayRows(path, kind, origin, columns)

    def _cut_csv(self, asset: Asset, day: LocalDay, files: Sequence[Fetched], target: Path) -> list[str] | None:
        content, first, columns = b"", None, None
        for file, path in files:
            header, rows = cut_csv(path, file, self.time, day, limit=self._limit - len(content))
            if not rows:
                continue
            if first and header != first[1]:
                raise DataRejected(
                    f"{first[0]} and {file.name} hold rows of one day under other columns, or in another order; write "
                    "the same header"
                )
            constants = _constants(file, day, self.time, header)
            text = as_csv(header, rows, constants)
            content += text.partition(b"\n")[2] if content else text
            first, columns = (file.name, header), self._choose(asset, [*constants, *header], file.name)
        target.write_bytes(content)
        return columns

    def _cut_json(self, asset: Asset, day: LocalDay, files: Sequence[Fetched], target: Path) -> list[str] | None:
        names: dict[str, None] = {}
        tables = []
        for file, path in files:
            own, rows = cut_json(path, file, self.time, day, limit=self._limit)
            constants = _constants(file, day, self.time, own) if rows else {}
            names.update(dict.fromkeys([*constants, *own]))
            tables += [{**constants, **row} for row in rows]
        if not tables:
            return None
        columns, origin = self._choose(asset, [*names], files[0][0].name), files[0][0].name
        types = self.types.get(asset, {})
        table = as_table(columns, tables, types, origin)
        for name in {*columns} & {*files[0][0].partitions}:
            table = table.set_column(columns.index(name), name, self._typed(asset, name, table[name]))
        parquet.write_table(table, target)
        return columns

    def _cut_parquet(self, asset: Asset, day: LocalDay, files: Sequence[Fetched], target: Path) -> list[str] | None:
        parts: list[tuple[RowsOfDay, dict[str, pa.Scalar]]] = []
        columns: list[str] = []
        for file, path in files:
            rows = find_rows(path, file, self.time, day, limit=self._limit)
            if not rows.masks:
                continue
            own = order_columns(rows.schema)
            constants = _constants(file, day, self.time, own)
            columns = columns or self._choose(asset, [*constants, *own], file.name)
            values = {name: pa.chunked_array([pa.array([value], pa.string())]) for name, value in constants.items()}
            parts.append((rows, {name: self._typed(asset, name, value)[0] for name, value in values.items()}))
        if not parts:
            return None
        write_rows(parts, columns, target)
        return columns

    def _typed(self, asset: Asset, name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a partition's column by its known type, or by that which all values of the table ask for."""
        if name == DAY:
            return values
        known = [file.partitions[name] for file in self._files(asset)]
        kind = cast_text(pa.chunked_array([pa.array(known, pa.string())]), self.types.get(asset, {}).get(name)).type
        return values.cast(kind)

    def _choose(self, asset: Asset, names: Sequence[str], origin: str) -> list[str]:
        """Return the columns of an asset, in order."""
        if asset == "inputs" and self.inputs_columns is None:
            return [name for name in names if name != self.target]
        setting, wanted = f"source.{asset}_columns", self.inputs_columns if asset == "inputs" else self.labels_columns
        if wanted is None:
            setting, wanted = "task.key and task.target", (*self.key, self.target)
        for name in wanted:
            if name not in names:
                raise lacks(origin, name, setting, list(names))
        return list(wanted)


def _constants(file: TableFile, day: LocalDay, time: str, own: Sequence[str]) -> dict[str, str | None]:
    """Return the columns that have one value in a file: the day, and what its folders name."""
    constants = {DAY: day.day.isoformat(), **file.partitions}
    if constants[DAY] != day.day.isoformat():
        raise other_day(file.name, constants[DAY], time, day)
    return {name: value for name, value in constants.items() if name not in own}
