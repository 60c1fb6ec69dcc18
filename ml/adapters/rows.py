"""Read many days of Parquet in bounded memory: a seeded sample of all, or the counts of every row of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.core.findings import DayColumn, count

BATCH_ROWS = 65_536


def sample(files: Mapping[date, Path], columns: Sequence[str], *, rows: int, seed: int) -> pd.DataFrame:
    """Draw about ``rows`` rows of several days, the same share of every day; all of them if they fit.

    A file is read in batches, and only the columns that are asked for: memory holds what was drawn and one
    batch. The same files, ``rows`` and ``seed`` give the same rows.

    Returns
    -------
    DataFrame of shape (n_drawn, 1 + n_columns)
        ``day`` (ISO string) and ``columns``, in the order of the files; a column that a file lacks is null there.
    """
    lengths = {day: pq.read_metadata(path).num_rows for day, path in files.items()}
    share = min(1.0, rows / max(sum(lengths.values()), 1))
    parts = []
    for day, path in files.items():
        wanted = lengths[day] if share >= 1 else round(lengths[day] * share)
        chance = np.random.default_rng([seed, day.toordinal()])
        drawn = np.sort(chance.choice(lengths[day], size=wanted, replace=False, shuffle=False))
        part = pd.concat([pd.DataFrame(), *_drawn(path, columns, drawn)], ignore_index=True)
        parts.append(part.reindex(columns=list(columns)).assign(day=day.isoformat()))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns)).assign(day="")
    return found[["day", *(column for column in columns if column != "day")]]


def _drawn(path: Path, columns: Sequence[str], drawn: np.ndarray) -> Iterator[pd.DataFrame]:
    start = 0
    for batch in _batches(path, columns):
        first, last = np.searchsorted(drawn, [start, start + batch.num_rows])
        if last > first:
            taken = batch.take(pa.array(drawn[first:last] - start))
            yield pa.Table.from_batches([taken]).to_pandas()
        start += batch.num_rows


def count_day(path: Path, categorical: Mapping[str, bool]) -> dict[str, DayColumn]:
    """Count every row of a day's file, batch by batch; a column that the file lacks counts as all null.

    Parameters
    ----------
    categorical
        The columns to count, and whether each is counted by category.
    """
    rows = pq.read_metadata(path).num_rows
    found: dict[str, DayColumn] = {}
    for batch in _batches(path, list(categorical)):
        frame = pa.Table.from_batches([batch]).to_pandas()
        for column in frame:
            counted = count(frame[column], categorical=categorical[column])
            found[column] = found[column].and_also(counted) if column in found else counted
    return {column: found.get(column, DayColumn(rows, rows)) for column in categorical}


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        held = set(file.schema_arrow.names)
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=[name for name in columns if name in held])
