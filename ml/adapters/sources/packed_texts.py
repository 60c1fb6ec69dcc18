"""Open files of text, packed or not: as bytes, or as text that is UTF-8 and holds no zero byte."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from ml.adapters.sources.columns import first_line
from ml.adapters.sources.patterns import Packing
from ml.adapters.sources.unpacked import too_large
from ml.errors import DataRejected

NOT_WHOLE = (EOFError, zlib.error, OSError, pa.ArrowException)
"""What unpacking raises for a file that is not packed so, or is cut."""
PIECE_BYTES = 1 << 20


@contextmanager
def opened(path: Path, packing: Packing | None, origin: str) -> Iterator[BinaryIO]:
    """Open a file as unpacked bytes."""
    if packing is None:
        with path.open("rb") as plain:
            yield plain
        return
    try:
        with gzip.open(path, "rb") if packing == "gz" else pa.CompressedInputStream(str(path), "zstd") as file:
            yield cast(BinaryIO, file)
    except NOT_WHOLE as err:
        name = {"gz": "gzip", "zst": "zstd"}[packing]
        raise DataRejected(
            f"{origin} is no whole {name} file ({first_line(err)}); pack it again, and write under another name and "
            "rename, so that half a file is never seen"
        ) from err


def unpacked(path: Path, packing: Packing | None, origin: str, *, limit: int) -> bytes:
    """Return the bytes of a file as unpacked; DataRejected if it is no whole one, or has more than ``limit`` bytes."""
    with opened(path, packing, origin) as content:
        pieces, size = [], 0
        while piece := content.read(PIECE_BYTES):
            size += len(piece)
            if size > limit:
                raise too_large(origin, limit)
            pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def opened_text(path: Path, packing: Packing | None, origin: str, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Open a file as unpacked text of any encoding; a UnicodeDecodeError if it is of another."""
    with opened(path, packing, origin) as content, io.TextIOWrapper(content, encoding, newline="") as text:
        yield text


@contextmanager
def read_text(path: Path, packing: Packing | None, origin: str, *, newline: str) -> Iterator[io.TextIOWrapper]:
    """Open a file as unpacked text; DataRejected if it is not UTF-8."""
    try:
        with opened(path, packing, origin) as content, io.TextIOWrapper(content, "utf-8-sig", newline=newline) as text:
            yield text
    except UnicodeDecodeError as err:
        raise DataRejected(f"{origin} is not UTF-8 ({err.reason}); save it as UTF-8") from err


def refuse_zeros(lines: Iterable[str], origin: str) -> Iterator[str]:
    """Pass lines on; DataRejected at one that holds a zero byte."""
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise DataRejected(f"{origin} is not text: line {number:,} holds a zero byte; save it as UTF-8")
        yield line
