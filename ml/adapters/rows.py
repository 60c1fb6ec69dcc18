"""Read and write days of Parquet in bounded memory: a share of their keys, or some of their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.core.data.contracts import comparable
from ml.core.scoring.shards import Rows

BATCH_ROWS = 65_536
T = TypeVar("T")
SPLITMIX = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
"""The finaliser of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), after which all bits differ."""
BUFFER_BYTES = 1 << 20
"""Without one, and with ``pre_buffer`` as it is by itself, pyarrow holds all bytes that it has read of a file."""


def sampled(path: Path, columns: Sequence[str], *, key: Sequence[str], share: float) -> pd.DataFrame:
    """Read the rows whose keys fall into a share of all keys: the same keys of every file.

    Memory holds those and one batch. All rows if ``share`` is 1 or more.

    Returns
    -------
    DataFrame of shape (n_some, n_columns)
        ``columns`` in that order, without those that the file lacks.
    """
    present = set(pq.read_schema(path).names)
    names = [name for name in columns if name in present]
    if share >= 1:
        return pd.read_parquet(path, columns=names)
    key_batches = batches(path, BATCH_ROWS, columns=[*names, *key])
    parts = [in_sample(batch, key, share).select(names).to_pandas() for batch in key_batches]
    frame: pd.DataFrame = pd.concat(parts or [pd.DataFrame(columns=names)], ignore_index=True)
    return frame


def sampling_share(files: Iterable[Path], rows: int) -> float:
    """Return the share of keys with which `sampled` reads about ``rows`` rows of some files; 1 or more if all fit."""
    return rows / max(sum(map(count_rows, files)), 1)


def in_sample(batch: pa.Table, key: Sequence[str], share: float) -> pa.Table:
    """Return the rows whose keys fall into a share of all keys; all of them if it is 1 or more."""
    if share >= 1:
        return batch
    return batch.filter(pa.array(keys_in_sample(batch.select(list(key)).to_pandas(), key, share)))


def keys_in_sample(rows: pd.DataFrame, key: Sequence[str], share: float) -> np.ndarray:
    """Return whether each row's key falls into a share, below 1, of all keys."""
    return np.asarray(hashes(rows, key) < np.uint64(share * 2**64))


def in_salted_share(batch: pa.Table, key: Sequence[str], share: float, *, salt: str) -> np.ndarray:
    """Return whether each row's key falls into a share of all keys, independent of `in_sample` and of other salts."""
    bits = np.uint64(int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8]))
    mixed = hashes(batch.select(list(key)).to_pandas(), key) ^ bits
    for shift, factor in SPLITMIX:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed < np.uint64(share * 2**64))


def count_rows(path: Path) -> int:
    """Return the number of rows, from the footer."""
    return int(pq.read_metadata(path).num_rows)


def null_counts(path: Path) -> dict[str, int]:
    """Count the nulls of each column, from the footer; a column whose statistics are absent is read."""
    return footer(path).nulls


@dataclass(frozen=True)
class Footer:
    """What the footer of a Parquet file says: its columns, the number of rows, and the nulls of each column."""

    schema: pa.Schema
    rows: int
    nulls: dict[str, int]


def footer(path: Path) -> Footer:
    """Read a file's footer once for all that it says; a column whose statistics are absent is read."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        nulls = {name: _count_nulls(file, name, number) for number, name in enumerate(file.metadata.schema.names)}
        return Footer(file.schema_arrow, file.metadata.num_rows, nulls)


def _count_nulls(file: pq.ParquetFile, column: str, number: int) -> int:
    groups = [file.metadata.row_group(g).column(number).statistics for g in range(file.metadata.num_row_groups)]
    if all(s is not None and s.has_null_count for s in groups):
        return sum(int(s.null_count) for s in groups)
    return sum(batch.column(0).null_count for batch in file.iter_batches(columns=[column]))


def types_of(path: Path) -> pa.Schema:
    """Return the columns of a file as plain types: a text is a string, however the file encodes it."""
    fields = [pa.field(field.name, _decode_type(field.type)) for field in pq.read_schema(path)]
    return pa.schema(fields)


def _decode_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def as_floats(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Turn whole numbers among some columns into float64; what is no number stays as it is."""
    for name in set(columns) & set(table.schema.names):
        if pa.types.is_integer(table.schema.field(name).type):
            where = table.schema.get_field_index(name)
            table = table.set_column(where, name, table[name].cast(pa.float64(), safe=False))
    return table


def exact_frame(table: pa.Table, key: Sequence[str]) -> pd.DataFrame:
    """Return a table as a frame whose whole-number keys are exact: nullable integers where pandas would make floats."""
    frame: pd.DataFrame = table.to_pandas()
    for name in key:
        if name in table.schema.names and pa.types.is_integer(table.schema.field(name).type) and table[name].null_count:
            frame[name] = as_nullable(table[name])
    return frame


def read_exact(path: Path, key: Sequence[str]) -> pd.DataFrame:
    """Read a file as `exact_frame` gives it."""
    return exact_frame(pq.read_table(path), key)


def as_nullable(column: pa.ChunkedArray) -> pd.Series:
    """Return whole numbers, nulls among them, as pandas' nullable integers of the same width."""
    name = str(column.type)
    dtype = pd.api.types.pandas_dtype(name.replace("uint", "UInt") if name.startswith("u") else name.capitalize())
    values: pd.Series = column.to_pandas(types_mapper=lambda _: dtype)
    return values


def batches(
    path: Path, size: int, *, columns: Sequence[str] | None = None, part: Rows | None = None
) -> Iterator[pa.Table]:
    """Read a file ``size`` rows at a time, the last time fewer, however its row groups are cut.

    Parameters
    ----------
    columns
        Those that the file lacks are left out; None means all.
    part
        Which rows; None means all. Row groups that hold none of them are not read.
    """
    with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        held_names = file.schema_arrow.names
        names = None if columns is None else [name for name in dict.fromkeys(columns) if name in held_names]
        part = part or Rows(0, file.metadata.num_rows)
        groups, skipped = _groups_with(file.metadata, part)
        left, held = part.count, 0
        waiting: list[pa.RecordBatch] = []
        for read in file.iter_batches(batch_size=size, row_groups=groups, columns=names) if groups else ():
            batch = read.slice(skipped, left)
            skipped, left = max(skipped - read.num_rows, 0), left - batch.num_rows
            while held + batch.num_rows >= size:
                yield pa.Table.from_batches([*waiting, batch.slice(0, size - held)])
                batch, held, waiting = batch.slice(size - held), 0, []
            if batch.num_rows:
                held, waiting = held + batch.num_rows, [*waiting, batch]
            if not left:
                break
        if waiting:
            yield pa.Table.from_batches(waiting)


def _groups_with(metadata: pq.FileMetaData, part: Rows) -> tuple[list[int], int]:
    """Find the row groups that hold some rows, and how many other rows come before them in the first."""
    groups: list[int] = []
    skipped = first = 0
    for number in range(metadata.num_row_groups):
        end = first + metadata.row_group(number).num_rows
        if first < part.end and end > part.first:
            skipped = skipped if groups else part.first - first
            groups.append(number)
        first = end
    return groups, skipped


class RowGroups:
    """A Parquet file that is written row group by row group, each while the next one is made.

    Equal tables in equal order give equal bytes. What went wrong with one is raised by the next `write`, or at the end.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts)
        self._behind = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def write(self, table: pa.Table) -> None:
        """Add a table as one row group; nothing if it is empty."""
        if table.num_rows:
            self._wait()
            self._last = self._behind.submit(
                self._writer.write_table, table.select(self.schema.names).cast(self.schema), table.num_rows
            )

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._behind.shutdown()
        self._writer.close()
        if kind is None:
            self._wait()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Fetch each item while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, items, None)
        while (item := future.result()) is not None:
            future = pool.submit(next, items, None)
            yield item


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes, without holding them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def join_files(paths: Sequence[Path], target: Path) -> None:
    """Join files of one schema one after the other, row group by row group.

    The bytes are those that one `RowGroups` would have written of all of them.
    """
    with RowGroups(target, pq.read_schema(paths[0])) as joined:
        for path in paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for number in range(file.metadata.num_row_groups):
                    joined.write(file.read_row_group(number))


def same_values(path: Path, other: Path, columns: Sequence[str], *, part: Rows) -> bool:
    """Return whether a file's columns are those of some rows of another, value by value."""
    if count_rows(path) != part.count:
        return False
    schema = pa.schema([types_of(other).field(name) for name in columns])
    pairs = zip(
        batches(path, BATCH_ROWS, columns=columns), batches(other, BATCH_ROWS, columns=columns, part=part), strict=True
    )
    return all(left.select(columns).cast(schema).equals(right.select(columns).cast(schema)) for left, right in pairs)


def hashes(rows: pd.DataFrame, key: Sequence[str]) -> np.ndarray:
    """Return 64 bits for each row's key: equal keys have equal ones, whether a number is held as integer or float.

    They are those of `pandas.util.hash_pandas_object`, which takes each text for itself; here each different one is.
    """
    keys = comparable(rows[list(key)])
    numbers = keys.select_dtypes(include="number").columns
    alike = keys.assign(**{name: keys[name].astype("float64") + 0.0 for name in numbers})  # -0.0 becomes 0.0
    texts = {str(name): _by_category(alike[name]) for name in alike if isinstance(alike[name].dtype, pd.StringDtype)}
    return pd.util.hash_pandas_object(alike.assign(**texts), index=False).to_numpy()


def _by_category(texts: pd.Series) -> pd.Series:
    """Return texts as categories, which are hashed once each: as pandas does, but without an object for each row."""
    codes, values = pd.factorize(texts)
    categories = pd.Index(values.astype(object))
    return pd.Series(pd.Categorical.from_codes(codes, categories=categories), index=texts.index)
