"""Check that the quotation marks of a CSV file can be read in one way only.

A mark that is not closed swallows the rows up to the next one, and most parsers are silent about it: an even number
of such marks looks like legal text with line ends in it. The rule is that of RFC 4180, and a little more: a mark opens
at the start of a field and is closed right before a separator or the end of its line; and a quoted field may run over
lines only if none of these lines reads as a row of its own. Lines without a mark, outside a quoted field, are not
looked at, so a file is checked in one pass.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ml.errors import DataRejected

MARK = '"'
LONGEST_FIELD = 2**31 - 1
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class Form:
    """How a file separates its fields, and what follows from that.

    Attributes
    ----------
    field
        A field of RFC 4180, with or without marks around it.
    doubled
        Text in which a doubled mark ends what could be a field, and one on a later line begins another.
    """

    separator: str
    field: re.Pattern[str]
    doubled: re.Pattern[str]

    @classmethod
    def of(cls, separator: str) -> Form:
        """Return the form of a separator, which is one character."""
        cut = re.escape(separator)
        field = re.compile(rf'"(?:[^"]|"")*+"|[^"{cut}\r\n]*+')
        return cls(separator, field, re.compile(rf'(?:\A|"){cut}.*[\r\n].*{cut}(?:"|\Z)', re.DOTALL))


COMMAS = Form.of(",")


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
        The names of the columns, for messages; their number decides what reads as a row.

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
    # Its own line ends, or a lone carriage return inside a field would become another character.
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    return Lines(sum(1 for _ in checked_rows(lines, header, origin=origin)))


def checked_rows(
    text_lines: Iterable[str], header: Sequence[str], *, origin: str, form: Form = COMMAS
) -> Iterator[tuple[int, str, list[str] | None]]:
    """Yield each row of a CSV file, its header too, once its quotation marks were checked as `check_quotes` does.

    Yields
    ------
    int, str, list of str or None
        The number of its first line, its text with its line end, and its fields; None as fields if it holds no mark.
    """
    csv.field_size_limit(LONGEST_FIELD)
    first = True
    lines = enumerate(text_lines, start=1)
    for number, line in lines:
        if MARK in line:
            text, fields = _check_row(number, line, lines, header, origin, form, is_header=first)
            yield number, text, fields
        elif line.strip("\r\n"):
            yield number, line, None
        else:
            continue
        first = False


def _check_row(
    number: int,
    line: str,
    lines: Iterator[tuple[int, str]],
    header: Sequence[str],
    origin: str,
    form: Form,
    *,
    is_header: bool,
) -> tuple[str, list[str]]:
    """Return text and fields of the row that starts with ``line`` and takes as many further lines as it needs."""
    row_lines = [line]

    def run_on() -> Iterator[str]:
        yield line
        for _, following in lines:
            row_lines.append(following)
            yield following

    try:
        fields = next(csv.reader(run_on(), strict=True, delimiter=form.separator))
    except csv.Error:
        _refuse_open(number, row_lines, header, origin, form)
    text = "".join(row_lines)
    if (bad := _find_irregular(text, form)) is not None:
        raise DataRejected(
            f"{origin} has a quotation mark inside a field that does not begin with one, in line {number:,}, "
            f"{_name_column(bad, header)}; quote the whole field, double each mark in it, then run this again"
        )
    if len(row_lines) > 1 and (row := _reads_as_row(row_lines, fields, header, form, is_header)):
        raise DataRejected(
            f"{origin} is ambiguous: a quotation mark opens in line {number:,}, "
            f"{_name_column(_find_open(row_lines[0], form), header)}, and its text runs on to line "
            f"{number + len(row_lines) - 1:,}, but line {number + row:,} reads as a row of its own; close the mark "
            "where the field ends, or write the text of the field on one line, then run this again"
        )
    return text, fields


def _refuse_open(number: int, row_lines: Sequence[str], header: Sequence[str], origin: str, form: Form) -> NoReturn:
    column = _name_column(_find_open(row_lines[0], form), header)
    until = "" if len(row_lines) == 1 else f" (read on, it takes in all up to line {number + len(row_lines) - 1:,})"
    separator = SEPARATOR_NAMES.get(form.separator, "separator")
    raise DataRejected(
        f"{origin} leaves a quotation mark open in line {number:,}, {column}: it is not closed right before a "
        f"{separator} or the end of the line{until}, which swallows rows; close it, or double it if it belongs to the "
        "text, then run this again"
    )


def _find_irregular(text: str, form: Form) -> int | None:
    """Return which field of a row (from 0) is none of RFC 4180; None if all are."""
    position = field = 0
    while True:
        match = form.field.match(text, position)
        position = match.end() if match else position
        if position == len(text) or text[position] in "\r\n":
            return None
        if text[position] != form.separator:
            return field
        position, field = position + 1, field + 1


def _find_open(line: str, form: Form) -> int:
    """Return which field of a line (from 0) leaves its mark open."""
    return _find_irregular(line, form) or 0


def _reads_as_row(
    row_lines: Sequence[str], fields: Sequence[str], header: Sequence[str], form: Form, is_header: bool
) -> int | None:
    """Return which further line of a row (from 1) could be a row of its own; None if none could."""
    width = len(header)
    last = len(row_lines) - 1
    if is_header or width == 1:
        return 1
    if any(map(form.doubled.search, fields)):
        return last
    day = header.index("day") if "day" in header else None
    for number, line in enumerate(row_lines[1:], start=1):
        plain = line.rstrip("\r\n").split(form.separator)
        is_row = (
            len(plain) == width
            or _count_fields(line, form) == width
            or (number == last and _closes_like(line, row_lines, width, form))
        )
        of_the_day = day is not None and len(plain) >= width and plain[day].strip('" ') == fields[day] != ""
        whole_before = number < last or row_lines[0].count(form.separator) >= width - 1
        if (is_row and whole_before) or of_the_day:
            return number
    return None


def _closes_like(line: str, row_lines: Sequence[str], width: int, form: Form) -> bool:
    """Return whether a row's last line has as many separators before its closing mark as the first before its own."""
    before = line.split(MARK, maxsplit=1)[0].count(form.separator)
    return before == _find_open(row_lines[0], form) and row_lines[0].count(form.separator) >= width - 1


def _count_fields(line: str, form: Form) -> int | None:
    """Count the fields of a line that is a legal row by itself; None if it is not."""
    try:
        if _find_irregular(line, form) is not None:
            return None
        return len(next(csv.reader([line], strict=True, delimiter=form.separator), ()))
    except csv.Error:
        return None


def _name_column(number: int, header: Sequence[str]) -> str:
    if number >= len(header):
        return f"field {number + 1}"
    name = header[number].split("\n", maxsplit=1)[0].rstrip("\r")  # a mark that is open in the header takes in lines
    return f"column {name!r}"
