"""Find among the rows of a large day those whose keys come twice, and those whose keys the inputs do not have.

Rows of equal keys are equal in a 64-bit hash, so that rows whose hash no other one has need not be compared: memory
holds eight bytes a row, and only the others are read again, those of equal keys together (Grace hash join: Kitsuregawa
and others, 1983, "Application of hash to data base machine and its architecture").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.adapters import partitions, rows
from ml.adapters.contracts.judge import KeyMatch, match_keys
from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cut
from ml.core.data.row_checks import whole_keys

MOST_PARTS = 500
"""So many files are open at once; where more would be needed each holds more rows."""
LOOKED_UP = 65_536
OF_NULL = np.uint64(0x2545F4914F6CDD1D)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""The odd number next to 2**64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""


def count_parts(number: int, rows_at_once: int) -> int:
    """Return into how many files rows are shared out."""
    return max(min(-(-number // rows_at_once), MOST_PARTS), 1)


@dataclass(frozen=True, eq=False)
class KeyHashes:
    """A 64-bit hash of each row's key, ``values`` of shape (n_rows,): equal keys of one file have equal ones.

    So have those of two files of equal ``types``; these are None where values of other types than texts and whole
    numbers, or nulls, are among the keys.
    """

    values: np.ndarray
    types: tuple[pa.DataType, ...] | None


def hash_keys(path: Path, key: Sequence[str], *, engine: Engine = LOCAL) -> KeyHashes:
    """Hash the keys of a file, by those columns of the key that it has."""
    schema, number = rows.types_of(path), rows.count_rows(path)
    by = [name for name in key if name in schema.names]
    if not by:
        return KeyHashes(np.arange(number, dtype=np.uint64), None)
    kinds = tuple(schema.field(name).type for name in by)
    plain = all(pa.types.is_integer(kind) or pa.types.is_string(kind) for kind in kinds)
    parts = [np.zeros(0, dtype=np.uint64)]
    ranges = cut(engine, number, multiple_of=rows.BATCH_ROWS)
    pieces = (Part(None, (FileRows(path, part, tuple(by)),)) for part in ranges)
    for hashed, is_whole in engine.map(_hash_part, pieces, shared=tuple(by)):
        plain = plain and is_whole
        parts.append(hashed)
    return KeyHashes(np.concatenate(parts), kinds if plain else None)


def _hash_part(by: Sequence[str], part: Part) -> Iterator[tuple[np.ndarray, bool]]:
    """Hash the keys of some rows, batch by batch; and say of each batch whether no value is null."""
    (file,) = part.files
    schema = rows.types_of(file.path)
    for batch in rows.batches(file.path, rows.BATCH_ROWS, columns=by, part=file.rows):
        table = batch.select(by).cast(pa.schema([schema.field(name) for name in by]))
        combined = np.zeros(table.num_rows, dtype=np.uint64)
        for column in table.columns:
            combined = (combined ^ _hash_column(column)) * MULTIPLIER
            combined ^= combined >> np.uint64(32)
        yield combined, not any(column.null_count for column in table.columns)


def _hash_column(column: pa.ChunkedArray) -> np.ndarray:
    """Hash each value; of texts each different one once, and other values as `ml.adapters.rows.hashes` does."""
    if pa.types.is_string(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        texts = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
        hashed = np.append(pd.util.hash_array(texts, categorize=False), OF_NULL)
        return np.asarray(hashed[encoded.indices.fill_null(len(texts)).to_numpy()])
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        hashed = pd.util.hash_array(numbers.fill_null(0).to_numpy())  # the same beside nulls as without them
        return np.where(column.is_null().to_numpy(), OF_NULL, hashed)
    return rows.hashes(pa.table({"key": column}).to_pandas(), ["key"])


def not_alone(hashes: np.ndarray) -> np.ndarray:
    """Return which rows have the hash of another one, as a boolean array of shape (n_rows,).

    Examples
    --------
    >>> not_alone(np.array([7, 5, 7, 6], dtype=np.uint64)).tolist()
    [True, False, True, False]
    """
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return _is_in(hashes, repeated) if len(repeated) else np.zeros(len(hashes), dtype=bool)


def _is_in(hashes: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Return which of some hashes are among others, which are in order; sorted in pieces, they are found sooner."""
    if not len(ordered):
        return np.zeros(len(hashes), dtype=bool)
    is_in = np.empty(len(hashes), dtype=bool)
    for first in range(0, len(hashes), LOOKED_UP):
        piece = hashes[first : first + LOOKED_UP]
        order = np.argsort(piece)
        places = np.minimum(np.searchsorted(ordered, piece[order]), len(ordered) - 1)
        is_in[first + order] = ordered[places] == piece[order]
    return is_in


def match_files(
    path: Path,
    known_keys: Path,
    key: Sequence[str],
    folder: Path,
    *,
    hashes: KeyHashes,
    whole: Sequence[str],
    rows_at_once: int,
    engine: Engine = LOCAL,
) -> KeyMatch:
    """Compare the keys of a file with those of the inputs, as `ml.adapters.contracts.judge.match_keys` does.

    Keys of texts and whole numbers are compared by their hashes: equal ones always match, and of 10**12 rows whose key
    none of five million inputs has, less than one is expected to match all the same. Others are compared by their
    values.

    Parameters
    ----------
    hashes
        Those of the file's own keys.
    whole
        The columns without which a row is not judged: see `ml.core.data.row_checks.whole_keys`.
    """
    if not set(key) <= set(pq.read_schema(path).names):
        return KeyMatch(tuple(key), None, 0, rows.count_rows(known_keys))
    inputs = hash_keys(known_keys, key, engine=engine)
    if hashes.types is None or hashes.types != inputs.types:
        return _match_values(path, known_keys, key, folder, whole, rows_at_once, engine)
    ours, theirs = np.sort(hashes.values), np.sort(inputs.values)
    if np.array_equal(ours, theirs):
        return KeyMatch(tuple(key), np.ones(len(ours), dtype=bool), len(theirs), len(theirs))
    covered = int(_is_in(inputs.values, ours).sum())
    return KeyMatch(tuple(key), _is_in(hashes.values, theirs), covered, len(theirs))


def _match_values(
    path: Path,
    known_keys: Path,
    key: Sequence[str],
    folder: Path,
    whole: Sequence[str],
    rows_at_once: int,
    engine: Engine,
) -> KeyMatch:
    """Compare keys by their values, those of equal hashes together."""
    number = rows.count_rows(path)
    parts = count_parts(max(number, rows.count_rows(known_keys)), rows_at_once)
    is_known, covered, wanted = np.zeros(number, dtype=bool), 0, 0
    ours = partitions.hash_partition(path, key, parts, folder / "keys", columns=key, engine=engine)
    theirs = partitions.hash_partition(known_keys, key, parts, folder / "known", columns=key, engine=engine)
    for own, other in zip(ours, theirs, strict=True):
        table = pq.read_table(own)
        positions, table = table.column(-1).to_numpy(), table.select(list(key))
        frame, indices = whole_keys(rows.exact_frame(table, key), whole)
        match = match_keys(frame, pd.read_parquet(other, columns=list(key)))
        if match.is_known is not None:
            is_known[positions[indices]] = match.is_known
        covered, wanted = covered + match.covered, wanted + match.wanted
    return KeyMatch(tuple(key), is_known, covered, wanted)
