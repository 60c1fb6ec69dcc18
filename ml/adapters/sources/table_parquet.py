"""Take the rows of a day out of Parquet files: first by the time column alone, then only what holds such rows.

What a footer says of the least and greatest values is not used: of a damaged one pyarrow 25 aborts the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ml.adapters.rows import BATCH_ROWS, BUFFER_BYTES
from ml.adapters.sources.columns import check_names
from ml.adapters.sources.local_day import LocalDay, NoTime
from ml.adapters.sources.parquet_tables import check_flat, order_columns, reading
from ml.adapters.sources.table_files import TableFile
from ml.adapters.sources.table_texts import no_time, of_partition, other_day
from ml.adapters.sources.unpacked import measure, too_large
from ml.errors import DataRejected


@dataclass(frozen=True)
class RowsOfDay:
    """Where the rows of a day are in a Parquet file: for each row group that has some, which of its rows."""

    path: Path
    origin: str
    schema: pa.Schema
    masks: Mapping[int, pa.BooleanArray]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows, batch by batch."""
        with _opened(self.path) as file:
            for group, mask in self.masks.items():
                start = 0
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    wanted = mask.slice(start, batch.num_rows)
                    start += batch.num_rows
                    if wanted.true_count:
                        yield pa.Table.from_batches([batch.filter(wanted)]).select(list(columns))


def find_rows(path: Path, file: TableFile, time: str, day: LocalDay, *, limit: int) -> RowsOfDay:
    """Find the rows of a day; only the time column and a column ``day`` are read.

    Raises
    ------
    DataRejected
        If the file is none, is damaged, lacks the time column, has a row without a time, or of which one batch takes
        more than ``limit`` bytes.
    """
    origin = file.name
    with reading(origin), _opened(path) as opened:
        schema = opened.schema_arrow
        check_flat(schema, origin)
        names = order_columns(schema)
        check_names(names, origin)
        of_folder = of_partition(file, time, day, names)
        masks, before = {}, 0
        for group in range(0 if of_folder is False else opened.num_row_groups):
            mask, rows = _mask(
                opened, group, None if of_folder else time, day, before=before, origin=origin, names=names
            )
            before += rows
            if mask.true_count:
                masks[group] = mask
        if masks and measure(path, groups=[*masks]).at_once > limit:
            raise too_large(origin, limit)
    return RowsOfDay(path, origin, schema, masks)


def _mask(
    file: parquet.ParquetFile,
    group: int,
    time: str | None,
    day: LocalDay,
    *,
    before: int,
    origin: str,
    names: Sequence[str],
) -> tuple[pa.BooleanArray, int]:
    own = "day" in names
    columns = [name for name in names if name in (time, "day")] or list(names[:1])
    parts, rows = [], before
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
        try:
            mask = day.mask(batch[time]) if time is not None else pa.array([True] * batch.num_rows, pa.bool_())
        except NoTime as err:
            raise no_time(err, f"{origin}, row {rows + err.row + 1:,}", str(time)) from err
        if own and time != "day" and mask.true_count:
            days = batch["day"].filter(mask)
            try:
                alike = day.mask(days)
            except NoTime as err:
                raise no_time(err, f"{origin}, a row of {day.day}", "day") from err
            if alike.false_count:
                raise other_day(origin, days.filter(pc.invert(alike))[0], str(time), day)
        parts.append(mask)
        rows += batch.num_rows
    return pa.concat_arrays(parts) if parts else pa.array([], pa.bool_()), rows - before


def write_rows(
    parts: Sequence[tuple[RowsOfDay, Mapping[str, pa.Scalar]]], columns: Sequence[str], target: Path
) -> None:
    """Write the rows of a day, of all files one after the other, as one Parquet file.

    Parameters
    ----------
    parts
        The rows of each file, with the columns that have one value in it.
    columns
        Which columns, in this order.

    Raises
    ------
    DataRejected
        If two files do not have the same columns, or types of one column that do not go together.
    """
    first, constants = parts[0]
    own = [name for name in columns if name not in constants]
    for rows, _ in parts[1:]:
        if differing := sorted({*order_columns(rows.schema)} ^ {*order_columns(first.schema)}):
            raise DataRejected(
                f"{first.origin} and {rows.origin} hold rows of one day, and only one of them has "
                f"{', '.join(differing)}; write the same columns"
            )
    plain = [_select(rows.schema, own) for rows, _ in parts]
    try:
        schema = pa.unify_schemas(plain, promote_options="permissive") if len(plain) > 1 else plain[0]
    except pa.ArrowException as err:
        raise DataRejected(f"{first.origin} and another file of its table differ in types ({err}); write one") from err
    fields = [pa.field(name, constants[name].type) if name in constants else schema.field(name) for name in columns]
    whole = pa.schema(fields, metadata=first.schema.metadata)
    with parquet.ParquetWriter(target, whole) as writer:
        for rows, values in parts:
            with reading(rows.origin):
                for batch in rows.batches(own):
                    arrays = [
                        pa.repeat(values[name], batch.num_rows) if name in values else batch[name] for name in columns
                    ]
                    writer.write_table(pa.table(arrays, names=list(columns)).cast(whole.remove_metadata()))


def _select(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _opened(path: Path) -> parquet.ParquetFile:
    return parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
