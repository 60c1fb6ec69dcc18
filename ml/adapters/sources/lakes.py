"""Delta and Iceberg tables as sources: the rows around a day are read, and then cut as those of any table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import dataset

from ml.adapters.sources.table import EventTable
from ml.adapters.sql.spool import Spool
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Asset
from ml.roots import PROJECT_ROOT

if TYPE_CHECKING:
    import pandas as pd

    from ml.adapters.sources.kinds.delta import DeltaSource
    from ml.adapters.sources.kinds.iceberg import IcebergSource
    from ml.settings import Settings

AROUND = timedelta(days=1)


@dataclass(frozen=True)
class Lake:
    """Where tables are: Delta's at an address, Iceberg's in a catalog."""

    kind: Literal["delta", "iceberg"]
    catalog: str = ""

    def state(self, name: str) -> str:
        """Return what changes with each write to a table."""
        with _naming_problems(name, self.kind):
            table = self._open(name)
            if self.kind == "delta":
                return f"version {table.version()}"
            snapshot = table.current_snapshot()
            return f"snapshot {snapshot.snapshot_id if snapshot else None}"

    def batches(self, name: str, time: str, first: date, last: date) -> Iterator[pa.Table]:
        """Yield the rows whose time is of ``first`` or later and before ``last``, by the clocks of UTC."""
        with _naming_problems(name, self.kind):
            table = self._open(name)
            schema = table.to_pyarrow_dataset().schema if self.kind == "delta" else table.schema().as_arrow()
            if time not in schema.names:
                raise SettingsError(
                    f"{name} has no column {time!r} (source.time), but {', '.join(schema.names)}; correct source.time"
                )
            kind = schema.field(time).type
            low, high = _value(first, kind), _value(last, kind)
            if self.kind == "delta":
                column = dataset.field(time)
                wanted = (column >= pa.scalar(low, kind)) & (column < pa.scalar(high, kind))
                scan = table.to_pyarrow_dataset().to_batches(filter=wanted)
            else:
                from pyiceberg import expressions

                low, high = (value if isinstance(value, str) else value.isoformat() for value in (low, high))
                wanted = expressions.And(expressions.GreaterThanOrEqual(time, low), expressions.LessThan(time, high))
                scan = table.scan(row_filter=wanted).to_arrow_batch_reader()
            for batch in scan:
                yield pa.Table.from_batches([batch])

    def _open(self, name: str) -> Any:
        if self.kind == "delta":
            from deltalake import DeltaTable

            return DeltaTable(name if "://" in name else str(PROJECT_ROOT / name))
        from pyiceberg.catalog import load_catalog

        return load_catalog(self.catalog).load_table(name)


def _value(day: date, kind: pa.DataType) -> Any:
    """Return a day as a value of the column of times."""
    if pa.types.is_date(kind):
        return day
    if pa.types.is_timestamp(kind):
        return datetime(day.year, day.month, day.day, tzinfo=UTC if kind.tz else None)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return day.isoformat()
    raise SettingsError(f"source.time names a column of {kind}, which is neither an instant nor a date; correct it")


@contextmanager
def _naming_problems(name: str, kind: str) -> Iterator[None]:
    """Turn what the libraries raise into our errors; they have no kinds in common but those of Python."""
    try:
        yield
    except EvergreenError:
        raise
    except ImportError as err:
        raise SettingsError(f"source.kind is {kind}, and {err.name or err} is not installed; run 'make lake'") from err
    except Exception as err:
        words = f"{type(err).__name__}: {err}".splitlines()[0]
        if any(
            part in words for part in ("NotFound", "NoSuch", "not found", "No such", "no log files", "No files in log")
        ):
            raise SettingsError(f"there is no {kind} table {name} ({words}); correct source, or write it") from err
        raise Unavailable(f"{kind} table {name} cannot be read ({words}); see whether its storage answers") from err


@dataclass(frozen=True)
class LakeRows:
    """Read a day's tables from tables of a lake, in the order of ``task.key``: the rules are those of `EventTable`."""

    lake: Lake
    section: DeltaSource | IcebergSource
    settings: Settings
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the rows of a day without their target."""
        with self._local("inputs", day) as table:
            return table.inputs(day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read key and target of a day."""
        with self._local("labels", day) as table:
            return table.labels(day)

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file, of more than ``rows_at_once`` rows in batches."""
        with self._local(asset, day) as table:
            table.write(asset, day, target, rows_at_once=rows_at_once)

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> LakeRows:
        """Return the same source."""
        return replace(self, types=types)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return the version of the table; it may change while the day does not."""
        del day
        return self.lake.state(self._name(asset))

    def _name(self, asset: Asset) -> str:
        return self.section.inputs if asset == "inputs" else self.section.labels or self.section.inputs

    @contextmanager
    def _local(self, asset: Asset, day: date) -> Iterator[EventTable]:
        """Yield a table of the rows around a day, on this machine."""
        name, section, task = self._name(asset), self.section, self.settings.task
        with TemporaryDirectory() as folder:
            spool = Spool(Path(folder), name, lambda batch: batch)
            for batch in self.lake.batches(name, section.time, day - AROUND, day + 2 * AROUND):
                spool.keep(batch)
            if not spool.rows:
                raise MissingArtifact(
                    f"nothing for {day}: {name} has no row whose {section.time} is of that day; deliver the rows, or "
                    f"correct source.{asset}"
                )
            path = Path(folder) / "rows.parquet"
            spool.write(path, key=task.key, rows_at_once=self.settings.screen.rows_at_once)
            table = EventTable(
                str(path),
                str(path) if name == section.inputs else f"{path.parent}/./{path.name}",
                section.time,
                ZoneInfo(task.timezone),
                task.key,
                task.target,
                section.inputs_columns,
                section.labels_columns,
                section.time_parts,
                types=self.types,
                max_megabytes=section.max_megabytes,
            )
            try:
                yield table
            except (DataRejected, MissingArtifact) as err:
                err.args = tuple(
                    str(part).replace(table.labels_table, name).replace(str(path), name) for part in err.args
                )
                raise
