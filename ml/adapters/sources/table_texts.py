"""Take the rows of a day out of CSV and JSON-lines files, row by row: memory holds those rows and one more.

Every row of a file is checked on the way, whatever its day: a file that is broken anywhere gives no day at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ml.adapters.sources.columns import WRITE_AGAIN, check_names
from ml.adapters.sources.csv_quotes import checked_rows
from ml.adapters.sources.csv_tables import HEADER_CHARACTERS, read_header
from ml.adapters.sources.json_tables import read_object
from ml.adapters.sources.local_day import LocalDay, NoTime
from ml.adapters.sources.packed_texts import opened, read_text, refuse_zeros
from ml.adapters.sources.rows_by_day import Row, rows_by_day
from ml.adapters.sources.table_files import TableFile
from ml.adapters.sources.unpacked import too_large
from ml.errors import DataRejected, EmptyDelivery


def no_time(err: NoTime, where: str, time: str) -> DataRejected:
    """Return the error of a row of which nobody can say the day."""
    what = "has no value" if err.value in (None, "") else f"holds {err.value!r}, neither an instant nor a date"
    return DataRejected(
        f"{where}: column {time!r} {what}; write ISO 8601 there (2024-03-31, 2024-03-31T05:00, or with an offset), or "
        "correct source.time"
    )


def lacks(origin: str, column: str, setting: str, names: list[str]) -> DataRejected:
    """Return the error of a table without a column that is needed."""
    return DataRejected(f"{origin} has no column {column!r} ({setting}), but {', '.join(names)}; correct {setting}")


def of_partition(file: TableFile, time: str, day: LocalDay, names: Collection[str]) -> bool | None:
    """Return whether a file is of a day by its folder; None if its rows tell.

    Raises
    ------
    DataRejected
        If neither the folder nor the columns ``names`` of the file are called like the time column.
    """
    if time in names:
        return None
    if time not in file.partitions:
        raise lacks(file.name, time, "source.time", list(names))
    return _is_of(file.partitions[time], day, file.name, time)


def cut_csv(path: Path, file: TableFile, time: str, day: LocalDay, *, limit: int) -> tuple[list[str], list[str]]:
    """Return the header of a CSV file, and the text of each row of a day with its line end.

    A file that is asked for more than one day is kept by days, see `ml.adapters.sources.rows_by_day`.

    Raises
    ------
    DataRejected
        If the file is broken, if a row's time cannot be read, or if the day takes more than ``limit`` bytes.
    """
    origin = file.name
    with opened(path, file.packing, origin) as head:
        start = head.read(HEADER_CHARACTERS)
    cut = start.rpartition(b"\n")[0] if len(start) == HEADER_CHARACTERS else start
    header = read_header(cut or start, origin)
    check_names(header, origin)
    of_folder = of_partition(file, time, day, header)
    where = None if of_folder is not None else header.index(time)
    own = header.index("day") if "day" in header and time != "day" else None
    if where is not None and file.state is not None:
        key = (file.name, file.state, time, day.zone.key)
        by_day = rows_by_day(key, lambda: _with_days(path, file, header, where, own, day.zone))
        if by_day is not None and day.day not in by_day.left_out:
            if by_day.characters(day.day) > limit:
                raise too_large(origin, limit)
            return header, by_day.texts(day.day)
    rows: list[str] = []
    size = 0
    for number, text, fields in _fields(path, file, header):
        if of_folder if where is None else _is_of(fields[where], day, origin, time, number):
            if own is not None and not _is_of(fields[own], day, origin, "day", number):
                raise other_day(f"{origin}, line {number:,}", fields[own], time, day)
            rows.append(text.rstrip("\r\n") + "\n")
            if (size := size + len(text)) > limit:
                raise too_large(origin, limit)
    return header, rows


def _fields(path: Path, file: TableFile, header: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line, text and fields of each row of a CSV file; DataRejected where it is broken."""
    origin, first = file.name, True
    with read_text(path, file.packing, origin, newline="") as content:
        for number, text, marked in checked_rows(refuse_zeros(content, origin), header, origin=origin):
            fields = text.rstrip("\r\n").split(",") if marked is None else marked
            if len(fields) != len(header):
                raise DataRejected(
                    f"{origin} is ragged: the row in line {number:,} has {len(fields)} fields and the header "
                    f"{len(header)}; quote fields that hold a comma, or {WRITE_AGAIN}"
                )
            if first:
                first = False
                continue
            yield number, text, fields


def _with_days(
    path: Path, file: TableFile, header: list[str], where: int, own: int | None, zone: ZoneInfo
) -> Iterator[Row]:
    """Read all rows of a CSV file with their days; one whose own day is another, or none, is refused with its day."""
    for number, text, fields in _fields(path, file, header):
        day = _day_of(fields[where], zone, f"{file.name}, line {number:,}", header[where])
        yield day.day, text.rstrip("\r\n") + "\n", len(text), own is not None and not _agrees(fields[own], day)


def _day_of(value: object, zone: ZoneInfo, where: str, column: str) -> LocalDay:
    try:
        return LocalDay.of(value, zone)
    except NoTime as err:
        raise no_time(err, where, column) from err


def _agrees(own: object, day: LocalDay) -> bool:
    """Return whether the own day of a row is that of its time; one that nobody can read is not."""
    try:
        return day.has(own)
    except NoTime:
        return False


def other_day(where: str, own: object, time: str, day: LocalDay) -> DataRejected:
    """Return the error of a row whose own day is not that of its time."""
    return DataRejected(
        f"{where}: column 'day' holds {own}, but by {time!r} the row is of {day.day} in {day.zone.key}; correct the "
        "row or task.timezone, or set source.time to day"
    )


def as_csv(header: list[str], rows: list[str], constants: Mapping[str, str | None]) -> bytes:
    """Return rows as a CSV file, with a column of one value for each of ``constants`` before the others."""
    names = io.StringIO()
    csv.writer(names, lineterminator="\n").writerow([*constants, *header])
    values = io.StringIO()
    csv.writer(values, lineterminator="").writerow(["" if value is None else value for value in constants.values()])
    before = f"{values.getvalue()}," if constants else ""
    return "".join([names.getvalue(), *(before + row for row in rows)]).encode()


def cut_json(
    path: Path, file: TableFile, time: str, day: LocalDay, *, limit: int
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of all columns of a JSON-lines file, and the rows of a day; kept, and raises, as `cut_csv`."""
    origin = file.name
    names: dict[str, None] = {}
    if time not in file.partitions and file.state is not None:
        key = (file.name, file.state, time, day.zone.key)
        by_day = rows_by_day(key, lambda: _objects_with_days(path, file, time, day, names), names)
        if by_day is not None and day.day not in by_day.left_out:
            if by_day.characters(day.day) > limit:
                raise too_large(origin, limit)
            return [*by_day.columns], [json.loads(text) for text in by_day.texts(day.day)]
    rows: list[dict[str, Any]] = []
    size = 0
    for where, line, row in _objects(path, file, time, names):
        of_folder = of_partition(file, time, day, row)
        if of_folder if of_folder is not None else _is_of(row[time], day, where, time):
            if time != "day" and "day" in row and not _is_of(row["day"], day, where, "day"):
                raise other_day(where, row["day"], time, day)
            rows.append(row)
            if (size := size + len(line)) > limit:
                raise too_large(origin, limit)
    return [*names], rows


def _objects(
    path: Path, file: TableFile, time: str, names: dict[str, None]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, text and object of each line of a JSON-lines file, and add the names of columns to ``names``."""
    origin, empty = file.name, True
    with read_text(path, file.packing, origin, newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            empty, where = False, f"{origin}, line {number:,}"
            row = read_object(line, where)
            names.update(dict.fromkeys(row))
            if time not in row and time in names:
                raise no_time(NoTime(None), where, time)
            yield where, line, row
    if empty:
        raise EmptyDelivery(f"{origin} is empty; {WRITE_AGAIN}")
    check_names([*names], origin)


def _objects_with_days(
    path: Path, file: TableFile, time: str, asked_for: LocalDay, names: dict[str, None]
) -> Iterator[Row]:
    """Read all lines of a JSON-lines file with their days; one whose own day is another, or none, is refused."""
    for where, line, row in _objects(path, file, time, names):
        of_partition(file, time, asked_for, row)  # refuses a row without a time
        day = _day_of(row[time], asked_for.zone, where, time)
        yield day.day, line, len(line), time != "day" and "day" in row and not _agrees(row["day"], day)


def _is_of(value: object, day: LocalDay, where: str, column: str, line: int | None = None) -> bool:
    try:
        return day.has(value)
    except NoTime as err:
        raise no_time(err, where if line is None else f"{where}, line {line:,}", column) from err
