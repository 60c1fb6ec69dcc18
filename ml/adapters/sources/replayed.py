"""A past period of a source, served as if it were now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, RowGroups, batches, count_rows
from ml.adapters.sources import DescribedSource, LargeSource, Source, TypedSource
from ml.adapters.workspace import write_table
from ml.records import Asset
from ml.settings import Replay

if TYPE_CHECKING:
    import pandas as pd


class ReplayableSource(Source, LargeSource, TypedSource, DescribedSource, Protocol):
    """A source of large, typed and described tables."""

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> ReplayableSource:
        """Return the same source, as `TypedSource.with_types` does."""
        ...


@dataclass(frozen=True)
class ReplayedSource:
    """Serve the rows of a day of the period as those of today: of its columns only ``day`` is changed.

    A row whose ``day`` is not the one that was asked for keeps it: the contract judges it.
    """

    source: ReplayableSource
    replay: Replay

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the inputs of the day of the period that is served as ``day``."""
        past = self.replay.source_day(day)
        return _moved(self.source.inputs(past), past, day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read labels as `inputs` does."""
        past = self.replay.source_day(day)
        return _moved(self.source.labels(past), past, day)

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> ReplayedSource:
        """Return the same source, whose texts are read by these types."""
        return replace(self, source=self.source.with_types(types))

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return which day of the period is served, and what its own source says of it."""
        past = self.replay.source_day(day)
        state = self.source.stat(asset, past)
        return None if state is None else f"{past} {state}"

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file, of more than ``rows_at_once`` rows in batches."""
        past = self.replay.source_day(day)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "past.parquet"
            self.source.write(asset, past, path, rows_at_once=rows_at_once)
            if count_rows(path) <= rows_at_once:
                write_table(_with_day(parquet.read_table(path), past, day), target)
            else:
                with RowGroups(target, parquet.read_schema(path)) as landed:
                    for batch in batches(path, BATCH_ROWS):
                        landed.write(_with_day(batch, past, day))


def _moved(table: pd.DataFrame, past: date, day: date) -> pd.DataFrame:
    if "day" not in table:
        return table
    return table.assign(day=table["day"].mask(table["day"] == past.isoformat(), day.isoformat()))


def _with_day(table: pa.Table, past: date, day: date) -> pa.Table:
    number = table.schema.get_field_index("day")
    if number < 0 or not (pa.types.is_string(kind := table.schema.types[number]) or pa.types.is_large_string(kind)):
        return table
    of_past = pc.fill_null(pc.equal(table["day"], pa.scalar(past.isoformat(), kind)), False)
    column = pc.if_else(of_past, pa.scalar(day.isoformat(), kind), table["day"])
    return table.set_column(number, "day", column)
