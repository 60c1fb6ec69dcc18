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

from ml.adapters.engine import FileRows, Part
from ml.adapters.rows import BATCH_ROWS, batches, count_rows, hashes, types_of
from ml.core.training.features import join_labels
from ml.settings import Task

JOINED_ROWS = 1_000_000
"""So many labels of a day are joined with their inputs at once."""

POSITION = "__position__"
"""The last column of what `hash_partition` writes: a row's number. Its name is longer if the file has such a column."""


@contextmanager
def labelled_parts(inputs: Path, labels: Path, *, task: Task, columns: Sequence[str]) -> Iterator[list[Part]]:
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
            hash_partition(path, task.key, parts, Path(folder) / str(number), columns=wanted)
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
) -> list[Path]:
    """Copy a file's rows into ``parts`` files by their key: equal keys come into the same one, in their order.

    Memory holds one batch, whatever the size of the file.

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
    whole = types_of(path)
    names = list(whole.names if columns is None else columns)
    position = free_name(POSITION, names)
    schema = pa.schema([whole.field(name) for name in names]).append(pa.field(position, pa.int64()))
    by = [name for name in key if name in names]
    files = [folder / f"{number}.parquet" for number in range(parts)]
    first = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(pq.ParquetWriter(file, schema, compression="lz4")) for file in files]
        for read in batches(path, BATCH_ROWS, columns=names):
            batch, positions = read, np.arange(first, first + read.num_rows)
            first += read.num_rows
            if chosen is not None:
                batch, positions = batch.filter(pa.array(chosen[positions])), positions[chosen[positions]]
            share = (hashes(batch.select(by).to_pandas(), by) if by else positions) % parts
            numbered = batch.select(names).append_column(position, pa.array(positions)).cast(schema)
            for number in np.unique(share):
                writers[number].write_table(numbered.filter(pa.array(share == number)))
    return files


def free_name(name: str, names: Sequence[str]) -> str:
    """Return a name that no column has: the wanted one, or that with underscores behind it."""
    while name in names:
        name += "_"
    return name
