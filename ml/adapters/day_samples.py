"""Draw a sample of many days, and count the columns of one: what monitoring looks at, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cut
from ml.adapters.rows import BATCH_ROWS, batches, count_rows
from ml.core.monitoring.day_columns import DayColumn, count
from ml.core.monitoring.drift import drawn_rows
from ml.core.scoring.shards import Rows


def sample(
    files: Mapping[date, Path], columns: Sequence[str], *, rows: int, seed: int, engine: Engine = LOCAL
) -> pd.DataFrame:
    """Draw about ``rows`` rows of several days, the same share of every day; all of them if they fit.

    A file is read in batches, and only the columns that are asked for: memory holds what was drawn and one
    batch. The same files, ``rows`` and ``seed`` give the same rows.

    Returns
    -------
    DataFrame of shape (n_drawn, 1 + n_columns)
        ``day`` (ISO string) and ``columns``, in the order of the files; a column that a file lacks is null there.
    """
    lengths = {day: count_rows(path) for day, path in files.items()}
    share = min(1.0, rows / max(sum(lengths.values()), 1))
    drawn = {day: drawn_rows(length, day, share=share, seed=seed) for day, length in lengths.items()}
    frames: dict[date, list[pd.DataFrame]] = {day: [pd.DataFrame()] for day in files}
    pieces = (
        Part((day, some), (file,))
        for day, path in files.items()
        for part, file in _parts_of(path, lengths[day], columns, engine)
        if len(some := drawn[day][slice(*np.searchsorted(drawn[day], [part.first, part.end]))])
    )
    for day, frame in engine.map(_read_drawn, pieces, shared=tuple(columns)):
        frames[day].append(frame)
    parts = [
        pd.concat(read, ignore_index=True).reindex(columns=list(columns)).assign(day=day.isoformat())
        for day, read in frames.items()
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns)).assign(day="")
    return frame[["day", *(column for column in columns if column != "day")]]


def _read_drawn(columns: Sequence[str], part: Part) -> Iterator[tuple[date, pd.DataFrame]]:
    day, drawn = part.facts
    (file,) = part.files
    start = file.rows.first if file.rows else 0
    for batch in batches(file.path, BATCH_ROWS, columns=columns, part=file.rows):
        first, last = np.searchsorted(drawn, [start, start + batch.num_rows])
        if last > first:
            yield day, batch.take(pa.array(drawn[first:last] - start)).to_pandas()
        start += batch.num_rows


def _parts_of(path: Path, rows: int, columns: Iterable[str], engine: Engine) -> Iterator[tuple[Rows, FileRows]]:
    """Yield the parts of a file that an engine works on, each of whole batches."""
    for part in cut(engine, rows, multiple_of=BATCH_ROWS):
        yield part, FileRows(path, part, tuple(columns))


def count_day(path: Path, categorical: Mapping[str, bool], *, engine: Engine = LOCAL) -> dict[str, DayColumn]:
    """Count every row of a day's file, batch by batch; a column that the file lacks counts as all null.

    Parameters
    ----------
    categorical
        The columns to count, and whether each is counted by category.
    """
    rows = count_rows(path)
    counts: dict[str, DayColumn] = {}
    pieces = (Part(None, (file,)) for _, file in _parts_of(path, rows, categorical, engine))
    for column, counted in engine.map(_count_part, pieces, shared=dict(categorical)):
        counts[column] = counts[column].and_also(counted) if column in counts else counted
    return {column: counts.get(column, DayColumn(rows, rows)) for column in categorical}


def _count_part(categorical: Mapping[str, bool], part: Part) -> Iterator[tuple[str, DayColumn]]:
    (file,) = part.files
    for batch in batches(file.path, BATCH_ROWS, columns=list(categorical), part=file.rows):
        frame = batch.to_pandas()
        for column in frame:
            yield column, count(frame[column], categorical=categorical[column])
