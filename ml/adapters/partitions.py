"""Share the rows of files out by their keys, so that memory holds one part of them at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cut
from ml.adapters.rows import BATCH_ROWS, batches, count_rows, hashes, types_of
from ml.core.training.features import join_labels
from ml.settings import Task

JOINED_ROWS = 1_000_000
"""So many labels of a day are joined with their inputs at once."""

POSITION = "__position__"
"""The last column of what `hash_partition` writes: a row's number. Its name is longer if the file has such a column."""


@contextmanager
def labelled_parts(
    inputs: Path, labels: Path, *, task: Task, columns: Sequence[str], engine: Engine = LOCAL
) -> Iterator[list[Part]]:
    """Share a labelled day out by its keys, for `join`; of a large day into files that last for the block.

    Memory holds one batch, and each part has about `JOINED_ROWS` labels and as many inputs, whatever the size of the
    day.
    """
    sides = ((inputs, list(dict.fromkeys([*task.key, *columns]))), (labels, [*task.key, task.target]))
    parts = max(1, -(-max(count_rows(path) for path, _ in sides) // JOINED_ROWS))
    if parts == 1:
        yield [Part(None, tuple(FileRows(path, columns=tuple(wanted)) for path, wanted in sides))]
        return
    with tempfile.TemporaryDirectory() as folder:
        shared = [
            hash_partition(path, task.key, parts, Path(folder) / str(number), columns=wanted, engine=engine)
            for number, (path, wanted) in enumerate(sides)
        ]
        yield [
            Part(None, tuple(FileRows(path, columns=tuple(w)) for path, (_, w) in zip(pair, sides, strict=True)))
            for pair in zip(*shared, strict=True)
        ]


def join(part: Part, *, task: Task) -> pd.DataFrame:
    """Join a part of a labelled day: its labels with some columns of their inputs.

    Returns
    -------
    DataFrame of shape (n_some, n_key + n_columns + 1)
        As `ml.core.training.features.join_labels` gives them.
    """
    inputs, labels = (pd.read_parquet(file.path, columns=list(file.columns or ())) for file in part.files)
    return join_labels(inputs, labels, key=task.key, target=task.target, positive=task.positive, classes=task.classes)


def hash_partition(
    path: Path,
    key: Sequence[str],
    parts: int,
    folder: Path,
    *,
    columns: Sequence[str] | None = None,
    chosen: np.ndarray | None = None,
    engine: Engine = LOCAL,
) -> list[Path]:
    """Copy a file's rows into ``parts`` files by their key: equal keys come into the same one, in their order.

    Memory holds one batch, whatever the size of the file; with the workers of a cluster the batches of some parts.

    Parameters
    ----------
    key
        The columns to share out by; those that the file lacks are left out.
    columns
        Those to copy; None means all.
    chosen : boolean array of shape (n_rows,)
        The rows to copy; None means all.

    Returns
    -------
    list of Path
        Each with one more column, the last: the row's number in the file.
    """
    folder.mkdir(parents=True)
    whole, number = types_of(path), count_rows(path)
    names = list(whole.names if columns is None else columns)
    schema = pa.schema([whole.field(name) for name in names]).append(pa.field(free_name(POSITION, names), pa.int64()))
    files = [folder / f"{part}.parquet" for part in range(parts)]
    pieces = (
        Part(None if chosen is None else chosen[part.first : part.end], (FileRows(path, part, tuple(names)),))
        for part in cut(engine, number, multiple_of=BATCH_ROWS)
    )
    shared = (schema, tuple(name for name in key if name in names), parts)
    with ExitStack() as stack:
        writers = [stack.enter_context(pq.ParquetWriter(file, schema, compression="lz4")) for file in files]
        for number_of_file, table in engine.map(_partition_rows, pieces, shared=shared):
            writers[number_of_file].write_table(table)
    return files


def _partition_rows(shared: tuple[pa.Schema, Sequence[str], int], part: Part) -> Iterator[tuple[int, pa.Table]]:
    """Share some rows out, batch by batch: yield a part's number, and its rows of a batch with their numbers."""
    schema, by, parts = shared
    (file,) = part.files
    begin = first = file.rows.first if file.rows else 0
    for read in batches(file.path, BATCH_ROWS, columns=file.columns, part=file.rows):
        batch, positions = read, np.arange(first, first + read.num_rows)
        first += read.num_rows
        if part.facts is not None:
            is_chosen = part.facts[positions - begin]
            batch, positions = batch.filter(pa.array(is_chosen)), positions[is_chosen]
        share = (hashes(batch.select(by).to_pandas(), by) if by else positions) % parts
        numbered = batch.select(schema.names[:-1]).append_column(schema.names[-1], pa.array(positions)).cast(schema)
        for number in np.unique(share):
            yield int(number), numbered.filter(pa.array(share == number))


def free_name(name: str, names: Sequence[str]) -> str:
    """Return a name that no column has: the wanted one, or that with underscores behind it."""
    while name in names:
        name += "_"
    return name
