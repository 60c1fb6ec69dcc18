"""Send some rows of a Parquet file to another machine: the bytes that hold them, as they lie in the file.

Nothing is decoded on the way. What arrives is a file of the same length with the same footer, in which all other bytes
are holes that take no room on the disk, so that whoever reads it counts rows as in the whole file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ml.adapters.engine import FileRows
from ml.core.scoring.shards import Rows

TAIL = 8
"""The last bytes of a Parquet file: how long its footer is, and four letters."""


@dataclass(frozen=True, eq=False)
class Packed:
    """The bytes of some rows of a file.

    ``data`` of shape (n_bytes,) holds one range of the file after the other; ``ranges`` says where each begins in the
    file and how long it is. ``size`` is the length of the file.
    """

    size: int
    ranges: tuple[tuple[int, int], ...]
    data: np.ndarray


def pack(file: FileRows) -> Packed:
    """Read the bytes of some rows of a file."""
    facts = file.path.stat()
    metadata, names = _read_footer(file.path, facts.st_size, facts.st_mtime_ns)
    ranges = list(_joined(sorted(_ranges(metadata, names, file, facts.st_size))))
    data, position = np.empty(sum(length for _, length in ranges), dtype=np.uint8), 0
    with file.path.open("rb") as opened:
        for start, length in ranges:
            opened.seek(start)
            opened.readinto(data.data[position : position + length])
            position += length
    return Packed(facts.st_size, tuple(ranges), data)


def unpack(packed: Packed, path: Path) -> Path:
    """Write a file of which only what was packed is filled in."""
    with path.open("wb") as file:
        position = 0
        for start, length in packed.ranges:
            file.seek(start)
            file.write(packed.data.data[position : position + length])
            position += length
        file.truncate(packed.size)
    return path


@lru_cache(maxsize=8)
def _read_footer(path: Path, _size: int, _changed_at: int) -> tuple[pq.FileMetaData, tuple[str, ...] | None]:
    """Read the footer, and the name of each column; None where columns are nested."""
    metadata = pq.read_metadata(path)
    names = metadata.schema.to_arrow_schema().names
    return metadata, tuple(names) if len(names) == metadata.num_columns else None


def _ranges(
    metadata: pq.FileMetaData, names: tuple[str, ...] | None, file: FileRows, size: int
) -> Iterator[tuple[int, int]]:
    """Find where the footer, and the columns of each row group with wanted rows, begin and how long they are."""
    with file.path.open("rb") as opened:
        opened.seek(size - TAIL)
        footer = TAIL + int.from_bytes(opened.read(4), "little")
    yield size - footer, footer
    wanted = file.rows or Rows(0, metadata.num_rows)
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if first < wanted.end and first + group.num_rows > wanted.first:
            for at in range(group.num_columns):
                if names is None or file.columns is None or names[at] in file.columns:
                    column = group.column(at)
                    starts = [column.data_page_offset]
                    starts += [column.dictionary_page_offset] if column.dictionary_page_offset else []
                    yield min(starts), column.total_compressed_size
        first += group.num_rows


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges that follow each other."""
    begun = None
    for start, length in ranges:
        if begun is not None and start <= begun[0] + begun[1]:
            begun = begun[0], max(begun[1], start + length - begun[0])
            continue
        if begun is not None:
            yield begun
        begun = start, length
    if begun is not None:
        yield begun
