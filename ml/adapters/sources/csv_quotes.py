"""Check that the quotation marks of a CSV file can be read in one way only.

A mark that is not closed swallows the rows up to the next one, and most parsers are silent about it: an even number
of such marks looks like legal text with line ends in it. The rule is that of RFC 4180, and a little more: a mark opens
at the start of a field and is closed right before a comma or the end of its line; and a quoted field may run over
lines only if none of these lines reads as a row of its own. Lines without a mark, outside a quoted field, are not
looked at, so a file is checked in one pass.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ml.errors import DataRejected

MARK = '"'
FIELD = re.compile(r'"(?:[^"]|"")*+"|[^",\r\n]*+')
"""A field of RFC 4180, with or without marks around it."""
DOUBLED = re.compile(r'(?:\A|"),.*[\r\n].*,(?:"|\Z)', re.DOTALL)
"""Text in which a doubled mark ends what could be a field, and one on a later line begins another."""
LONGEST_FIELD = 2**31 - 1


@dataclass(frozen=True)
class Lines:
    """How the lines of a file make rows: the number of rows, its header among them; lines without text are none."""

    rows: int


def check_quotes(content: bytes, header: Sequence[str], *, origin: str) -> Lines | None:
    """Raise if a quotation mark of a CSV file may have swallowed rows.

    Parameters
    ----------
    content
        UTF-8, with or without a byte order mark.
    header
        The names of the columns, for messages; their number tells what reads as a row.

    Returns
    -------
    Lines or None
        None if the file holds no mark.

    Raises
    ------
    DataRejected
        Naming line, column and the next move.
    """
    if MARK.encode() not in content:
        return None
    csv.field_size_limit(LONGEST_FIELD)
    rows = 0
    # Its own line ends, or a lone carriage return inside a field would become another character.
    lines = enumerate(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), start=1)
    for number, line in lines:
        if MARK in line:
            _check_row(number, line, lines, header, origin, is_header=rows == 0)
        elif not line.strip("\r\n"):
            continue
        rows += 1
    return Lines(rows)


def _check_row(
    number: int, line: str, lines: Iterator[tuple[int, str]], header: Sequence[str], origin: str, *, is_header: bool
) -> None:
    """Read the row that starts with ``line``, and as many further lines as it takes."""
    taken = [line]

    def run_on() -> Iterator[str]:
        yield line
        for _, following in lines:
            taken.append(following)
            yield following

    try:
        fields = next(csv.reader(run_on(), strict=True))
    except csv.Error:
        _refuse_open(number, taken, header, origin)
    text = "".join(taken)
    if (bad := _irregular(text)) is not None:
        raise DataRejected(
            f"{origin} has a quotation mark inside a field that does not begin with one, in line {number:,}, "
            f"{_column(bad, header)}; quote the whole field, double each mark in it, then run this again"
        )
    if len(taken) > 1 and (row := _reads_as_row(taken, fields, header, is_header)):
        raise DataRejected(
            f"{origin} is ambiguous: a quotation mark opens in line {number:,}, {_column(_open(taken[0]), header)}, "
            f"and its text runs on to line {number + len(taken) - 1:,}, but line {number + row:,} reads as a row of "
            "its own; close the mark where the field ends, or write the text of the field on one line, then run "
            "this again"
        )


def _refuse_open(number: int, taken: Sequence[str], header: Sequence[str], origin: str) -> NoReturn:
    column = _column(_open(taken[0]), header)
    until = "" if len(taken) == 1 else f" (read on, it takes in all up to line {number + len(taken) - 1:,})"
    raise DataRejected(
        f"{origin} leaves a quotation mark open in line {number:,}, {column}: it is not closed right before a comma or "
        f"the end of the line{until}, which swallows rows; close it, or double it if it belongs to the text, then run "
        "this again"
    )


def _irregular(text: str) -> int | None:
    """Return which field of a row (from 0) is none of RFC 4180; None if all are."""
    place = field = 0
    while True:
        found = FIELD.match(text, place)
        place = found.end() if found else place
        if place == len(text) or text[place] in "\r\n":
            return None
        if text[place] != ",":
            return field
        place, field = place + 1, field + 1


def _open(line: str) -> int:
    """Return which field of a line (from 0) leaves its mark open."""
    return _irregular(line) or 0


def _reads_as_row(taken: Sequence[str], fields: Sequence[str], header: Sequence[str], is_header: bool) -> int | None:
    """Return which further line of a row (from 1) could be a row of its own; None if none could."""
    width = len(header)
    last = len(taken) - 1
    if is_header or width == 1:
        return 1
    if any(map(DOUBLED.search, fields)):
        return last
    day = header.index("day") if "day" in header else None
    for number, line in enumerate(taken[1:], start=1):
        plain = line.rstrip("\r\n").split(",")
        is_row = len(plain) == width or _width(line) == width or (number == last and _closes_like(line, taken, width))
        of_the_day = day is not None and len(plain) >= width and plain[day].strip('" ') == fields[day] != ""
        whole_before = number < last or taken[0].count(",") >= width - 1
        if (is_row and whole_before) or of_the_day:
            return number
    return None


def _closes_like(line: str, taken: Sequence[str], width: int) -> bool:
    """Say whether the last line of a row has as many commas before its closing mark as the first before its opening."""
    return line.split(MARK, maxsplit=1)[0].count(",") == _open(taken[0]) and taken[0].count(",") >= width - 1


def _width(line: str) -> int | None:
    """Count the fields of a line that is a legal row by itself; None if it is not."""
    try:
        return None if _irregular(line) is not None else len(next(csv.reader([line], strict=True), ()))
    except csv.Error:
        return None


def _column(number: int, header: Sequence[str]) -> str:
    return f"column {header[number]!r}" if number < len(header) else f"field {number + 1}"
