"""Add the time of day, the weekday and the month of a table's own time to its inputs, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, RowGroups, batches
from ml.adapters.sources.local_day import ISO
from ml.core.data.time_parts import part_name, part_of
from ml.errors import DataRejected, SettingsError
from ml.settings import TimePart

OFFSET = r"\d{2}:\d{2}.*(?:Z|[+-]\d{2}:?\d{2}|[+-]\d{2})$"


def check_parts(parts: Sequence[TimePart], time: str, columns: Sequence[str] | None) -> None:
    """Raise SettingsError if parts are asked for, and the inputs have no time that they could be of."""
    if parts and columns is not None and time not in columns:
        raise SettingsError(
            f"source.time_parts are of {time}, which source.inputs_columns leave out; name it there, "
            "or remove the parts"
        )


def add_parts(table: pd.DataFrame, time: str, parts: Sequence[TimePart], zone: ZoneInfo) -> pd.DataFrame:
    """Return a table with a column for each part of its time, by the clocks of a time zone.

    A row without a time has null parts; whether it may be so, its contract says.

    Raises
    ------
    DataRejected
        If the table has a column of that name already, or holds a time that nobody can read.
    """
    if not parts:
        return table
    if time not in table:
        raise DataRejected(
            f"the table has no column {time!r}, of which source.time_parts are; it has {', '.join(map(str, table))}"
        )
    local = _local(table[time], time, zone)
    columns = {part_name(time, part): part_of(local, part) for part in parts}
    if taken := sorted({*columns} & {*table.columns}):
        raise DataRejected(
            f"the table has a column {taken[0]} already, and source.time_parts would make one; remove the part there"
        )
    return table.assign(**columns)


def add_parts_to_file(path: Path, time: str, parts: Sequence[TimePart], zone: ZoneInfo) -> None:
    """Do the same to a Parquet file, batch by batch."""
    with TemporaryDirectory(dir=path.parent) as folder:
        changed = Path(folder) / path.name
        names = [part_name(time, part) for part in parts]
        schema = parquet.read_schema(path)
        for name in names:
            schema = schema.append(pa.field(name, pa.int64()))
        with RowGroups(changed, schema.remove_metadata()) as groups:
            for batch in batches(path, BATCH_ROWS):
                added = add_parts(batch.select([time]).to_pandas(), time, parts, zone)
                columns = [*batch.columns, *(pa.array(added[name], pa.int64()) for name in names)]
                groups.write(pa.table(dict(zip([*batch.column_names, *names], columns, strict=True))))
        changed.replace(path)


def add_day_to_file(path: Path, day: str) -> None:
    """Add the column ``day`` to a Parquet file that has none, batch by batch."""
    schema = parquet.read_schema(path).remove_metadata()
    if "day" in schema.names:
        return
    with TemporaryDirectory(dir=path.parent) as folder:
        changed = Path(folder) / path.name
        with RowGroups(changed, schema.insert(0, pa.field("day", pa.string()))) as groups:
            for batch in batches(path, BATCH_ROWS):
                groups.write(batch.add_column(0, "day", pa.array([day] * batch.num_rows, pa.string())))
        changed.replace(path)


def _local(values: pd.Series, time: str, zone: ZoneInfo) -> pd.Series:
    """Return instants by the clocks of a zone; one without an offset is by those clocks already, as in `LocalDay`."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _by_clocks(values, zone)
    texts = values.dropna().astype("str").str.replace(",", ".", regex=False)
    readable = texts.where(texts.str.fullmatch(ISO))
    has_offset = readable.str.contains(OFFSET, na=False)
    read = [
        _by_clocks(pd.to_datetime(readable[part], format="ISO8601", errors="coerce", utc=utc), zone)
        for part, utc in ((has_offset, True), (~has_offset, False))
    ]
    local = pd.concat([part.astype("datetime64[ns]") for part in read])
    local = local.reindex(values.index)
    if unreadable := np.flatnonzero(local.isna() & values.notna()).tolist():
        row = unreadable[0]
        raise DataRejected(
            f"column {time!r}, of which source.time_parts are, holds {str(values.iloc[row])!r} in row {row}, neither "
            "an instant nor a date; write ISO 8601 there (2024-03-31, 2024-03-31T05:00, or with an offset), or correct "
            "source.time"
        )
    return local


def _by_clocks(instants: pd.Series, zone: ZoneInfo) -> pd.Series:
    return instants.dt.tz_convert(zone).dt.tz_localize(None) if instants.dt.tz is not None else instants
