"""Keep the rows of a text file by their day in a temporary file: a history of many days reads it twice, not once a day.

A file that is asked for one day is read and no more is kept. Asked for another day, in the same state, it is read once
more: every row is checked as before, its text goes into a temporary file, and memory holds where each day's rows are,
twelve bytes a row. From then on a day costs what its own rows cost.
"""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Lock
from types import MappingProxyType

Key = tuple[str, str, str, str]
"""Name and state of a file, its time column, and the time zone: what the days of its rows follow from."""
Row = tuple[date, str, int, bool]
"""The day of a row, its text, its characters in the file, and whether its day is to be read anew each time."""

MOST_FILES, MOST_BYTES = 32, 1 << 32
"""So many files are kept at once, the oldest given up first; a larger file is read for each day."""
REMEMBERED = 1024
"""So many files are remembered that were asked for once."""
AT_ONCE = 1 << 20
"""So many bytes are written at once."""

logger = logging.getLogger(__name__)


class CannotKeep(Exception):
    """A file has too many rows, or the temporary folder does not take them."""


class RowsByDay:
    """The rows of one file: their texts in a file that has no name and ends with it, and for each day where they are.

    ``left_out`` are days that hold a row which is refused when its day is asked for; ``columns`` are those of all rows
    of the file, where its header does not say them. What cannot be written raises `CannotKeep`.
    """

    def __init__(self, columns: Mapping[str, None]) -> None:
        with _on_disk():
            self._file, name = tempfile.mkstemp()
            weakref.finalize(self, os.close, self._file)
            Path(name).unlink()
        self.left_out: set[date] = set()
        self.columns = columns
        self._offsets: dict[date, array[int]] = {}
        self._lengths: dict[date, array[int]] = {}
        self._characters: dict[date, int] = {}
        self._unwritten = bytearray()
        self._end = 0

    def add(self, row: Row) -> None:
        """Take a row."""
        day, text, characters, refused = row
        content = text.encode()
        self._offsets.setdefault(day, array("Q")).append(self._end)
        self._lengths.setdefault(day, array("I")).append(len(content))
        self._characters[day] = self._characters.get(day, 0) + characters
        self._end += len(content)
        if refused:
            self.left_out.add(day)
        if self._end > MOST_BYTES:
            raise CannotKeep(f"more than {MOST_BYTES:,} bytes")
        self._unwritten += content
        if len(self._unwritten) > AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was taken and is not written yet."""
        with _on_disk():
            while self._unwritten:
                del self._unwritten[: os.write(self._file, self._unwritten)]

    def characters(self, day: date) -> int:
        """Return how many characters the rows of a day have in the file."""
        return self._characters.get(day, 0)

    def texts(self, day: date) -> list[str]:
        """Return the texts of the rows of a day, in the order of the file."""
        where = zip(self._offsets.get(day, ()), self._lengths.get(day, ()), strict=True)
        return [os.pread(self._file, length, offset).decode() for offset, length in where]


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise CannotKeep(str(err)) from err


_by_day: OrderedDict[Key, RowsByDay | None] = OrderedDict()
_asked: OrderedDict[Key, None] = OrderedDict()
_lock = Lock()


def rows_by_day(
    key: Key, read: Callable[[], Iterable[Row]], columns: Mapping[str, None] = MappingProxyType({})
) -> RowsByDay | None:
    """Return the rows of a file by day; None where it is asked for the first time, or they cannot be kept.

    Parameters
    ----------
    read
        Reads the file: called when it is asked for the second time. What it raises is raised, and nothing is kept.
    columns
        Filled by ``read``, and kept with the rows.
    """
    with _lock:
        if key in _by_day:
            _by_day.move_to_end(key)
            return _by_day[key]
        if key not in _asked:
            _asked[key] = None
            if len(_asked) > REMEMBERED:
                _asked.popitem(last=False)
            return None
        rows = _by_day[key] = _sorted(read(), columns)
        if len(_by_day) > MOST_FILES:
            _by_day.popitem(last=False)  # whoever reads it still holds it open
        return rows


def _sorted(rows: Iterable[Row], columns: Mapping[str, None]) -> RowsByDay | None:
    try:
        by_day = RowsByDay(columns)
        for row in rows:
            by_day.add(row)
        by_day.flush()
    except CannotKeep as err:
        logger.info("the rows of a table are not kept in %s (%s): it is read for each day", tempfile.gettempdir(), err)
        return None
    return by_day
