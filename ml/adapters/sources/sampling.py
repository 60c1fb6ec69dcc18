"""Read a sample of a table as somebody has it: a file, a folder, a URL or an object, in any usual form of text."""

from __future__ import annotations

import codecs
import collections
import csv
import io
import itertools
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
from pyarrow import parquet

from ml.adapters.sources.columns import first_line
from ml.adapters.sources.csv_quotes import MARK, Form, checked_rows
from ml.adapters.sources.download import Downloads
from ml.adapters.sources.packed_texts import opened_text
from ml.adapters.sources.table_files import TableFile, find_files
from ml.core.adoption.origins import Location
from ml.errors import DataRejected, SettingsError
from ml.urls import redact

MAX_ROWS = 1_000_000
"""So many of the newest rows are looked at, as they stand in the files."""

SEPARATORS, ENCODINGS, UTF_16 = ",;\t|", ("utf-8-sig", "cp1252"), (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATOR_LINE = re.compile(r"sep=(?P<mark>[,;\t|])\r?\n", re.IGNORECASE)
"""What Excel writes above the header."""
NAMED_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_./]?)(\d{2})\2(\d{2})(?!\d)")
LONE_RETURN = re.compile(r"\r(?!\n)")
FEW_ZEROS = 0.1
"""Text in UTF-16 without a byte order mark has more zeros than that between its letters."""
DOWNLOAD = Downloads(timeout_seconds=60.0, retries=3, backoff_seconds=1.0, max_bytes=4_000_000_000)
LATER = "save it as CSV with commas in UTF-8, or as Parquet"


@dataclass(frozen=True)
class Read:
    """A table as it was read.

    Attributes
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Text, and None for an empty field, if ``is_text``; else with the types of the file.
    changed
        What the source ``table`` would not read as it is.
    location
        Where the source finds it, as settings can name it; None for a URL, which ``table`` does not read.
    dated
        Whether each row has its ``day``, from the name of its file.
    notes
        What else people should know of it.
    file_days
        Of a folder: the ISO day in the name of each row's file; None unless each name holds one.
    """

    table: pd.DataFrame
    is_text: bool
    has_types: bool
    changed: tuple[str, ...]
    location: Location | None
    dated: bool = False
    notes: tuple[str, ...] = ()
    file_days: pd.Series | None = None


def read_sample(address: str, option: str) -> Read:
    """Read the newest rows of a file, a folder, an ``s3://`` object or prefix, or a URL.

    Parameters
    ----------
    option
        What the address is called in messages.

    Raises
    ------
    SettingsError
        If there is nothing at the address, or nothing of a form that is known.
    DataRejected
        If what is there cannot be read as a table.
    """
    if address.startswith(("http://", "https://")):
        with _downloaded(address, option) as path:
            read = _read_all(find_files(str(path), option), option)
        name = redact(address)
        return replace(read, changed=(f"it comes from {name}, which kind: table does not read", *read.changed))
    place = address if "://" in address else str(Path(address).absolute())
    return replace(_read_all(find_files(place, option), option), location=Location(place))


@contextmanager
def _downloaded(url: str, option: str) -> Iterator[Path]:
    name = Path(urlsplit(url).path).name or "table.csv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name if "." in name else f"{name}.csv")
        path.write_bytes(DOWNLOAD.get(url, redact(url), option, date.today()))  # noqa: DTZ011  named in messages only
        yield path


def _read_all(files: list[TableFile], option: str) -> Read:
    parts: list[pd.DataFrame] = []
    changed: tuple[str, ...] = ()
    days: list[str | None] = []
    with ExitStack() as stack:
        for file in reversed(files):  # the newest names last
            path = stack.enter_context(file.fetched(option))
            part, more = read_one(file, path)
            part = part.assign(**{name: value for name, value in file.partitions.items() if name not in part})
            parts.insert(0, part)
            days[:0] = [day_of(file.name)] * len(part)
            changed = tuple(dict.fromkeys((*changed, *more)))
            if sum(map(len, parts)) >= MAX_ROWS:
                break
    all_rows = pd.concat(parts, ignore_index=True)
    table = all_rows.tail(MAX_ROWS).reset_index(drop=True)
    is_cut = len(all_rows) > MAX_ROWS or len(parts) < len(files)
    notes = (f"of more rows the last {len(table):,} were looked at; if a copy is made, it holds no others",)
    if table.empty:
        raise SettingsError(f"{option}: {files[0].name} holds no row; give a table with some weeks of data")
    kind = files[0].format
    has_days = None not in days and len(set(days)) > 1
    return Read(
        table, kind == "csv", kind == "parquet", changed, None, notes=notes if is_cut else (),
        file_days=pd.Series(days[-len(table) :], dtype="str") if has_days else None,
    )  # fmt: skip


def day_of(name: str) -> str | None:
    """Return the day that a file's name, or else its folders, hold as digits; None for none, or more than one.

    Examples
    --------
    >>> day_of("in/orders-2026-05-01.csv"), day_of("in/20260501.csv"), day_of("2026/05/01.csv"), day_of("in/1.csv")
    ('2026-05-01', '2026-05-01', '2026-05-01', None)
    """
    for text in (name.rpartition("/")[2], name):
        days = set()
        for year, _, month, number in NAMED_DAY.findall(text):
            with suppress(ValueError):
                days.add(date(int(year), int(month), int(number)).isoformat())
        if days:
            return days.pop() if len(days) == 1 else None
    return None


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame of plain values: decimals as numbers, entries of a dictionary as themselves."""
    for number, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_decimal(kind):
            table = table.set_column(number, field.name, _of_decimals(table.column(number), kind))
        elif kind != field.type:
            table = table.set_column(number, field.name, table.column(number).cast(kind))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _of_decimals(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return decimals as whole numbers if they are declared so and none is too large, else as floats."""
    plain = column.cast(kind)  # of a dictionary its values
    if kind.scale <= 0:
        try:
            return plain.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return plain.cast(pa.float64())


def read_one(file: TableFile, path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a file that is on this machine, and say what the source would not read as it is."""
    if file.format == "parquet":
        try:
            return as_frame(parquet.read_table(path)), ()
        except (pa.ArrowInvalid, OSError) as err:
            raise DataRejected(f"{file.name} is no whole Parquet file ({first_line(err)}); write it again") from err
    for encoding in _encodings(path, file):
        try:
            with opened_text(path, file.packing, file.name, encoding) as text:
                if file.format == "json":
                    return pd.read_json(text, lines=True, dtype=False, convert_dates=False, precise_float=True), ()
                content = text.read()
        except UnicodeDecodeError:
            continue
        except ValueError as err:
            raise DataRejected(f"{file.name} is not JSON lines ({first_line(err)}); write one object a line") from err
        zeros = content.count("\0")
        if 0 < zeros < FEW_ZEROS * len(content):
            line = content.count("\n", 0, content.index("\0")) + 1
            raise DataRejected(f"{file.name} is not text: line {line:,} holds a zero byte; remove it, or {LATER}")
        if zeros:
            break
        table, changed = _parse(content, file.name)
        return table, changed if encoding == ENCODINGS[0] else (f"its characters are {encoding}, not UTF-8", *changed)
    raise DataRejected(f"{file.name} is neither UTF-8 nor cp1252 (UTF-16 has zeros between letters); {LATER}")


def _encodings(path: Path, file: TableFile) -> tuple[str, ...]:
    """Return what the characters of a text may be written in: UTF-16 says so by its first bytes."""
    with opened_text(path, file.packing, file.name, "latin-1") as text:
        start = text.read(2).encode("latin-1")
    return ("utf-16",) if start in UTF_16 else ENCODINGS


def _parse(content: str, name: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read all fields of a CSV as text; the separator is what cuts the first lines into equal numbers of fields."""
    changed: list[str] = []
    separator = _separator(content)
    if separator != ",":
        changed.append(f"fields are separated by {separator!r}")
    named = SEPARATOR_LINE.match(content)
    if named is not None:
        content = content[named.end() :]
        changed.append("its first line names the separator")
    lines = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    header = next(lines, [])
    if not header:
        raise DataRejected(f"{name} is empty: it has no header line; {LATER}")
    if "\r" in content and "\n" not in content:
        changed.append("its lines end in carriage returns alone")
    if MARK in content:
        _check_marks(content, separator, header, lines.line_num, name)
    columns = _names(header)
    if columns != header:
        changed.append("names of columns are empty, doubled, or have spaces around them or line ends in them")
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content.encode()),
            read_options=arrow_csv.ReadOptions(column_names=columns, skip_rows=lines.line_num),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), null_values=[""], strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid as err:
        lone = LONE_RETURN.search(content)
        if lone is not None and "\n" in content:
            line = content.count("\n", 0, lone.start()) + 1
            raise DataRejected(
                f"{name} is no CSV: line {line:,} holds a carriage return, which ends a row where no quotation marks "
                "are around the field; remove it or quote the field, or save it as Parquet"
            ) from err
        raise DataRejected(f"{name} is no CSV ({first_line(err)}); {LATER}") from err
    frame = table.to_pandas()
    return frame.astype(object).where(frame.notna(), None), tuple(changed)


def _check_marks(content: str, separator: str, header: list[str], header_lines: int, name: str) -> None:
    """Raise DataRejected if a mark may have swallowed rows: they would be missing in a copy, and nobody would know.

    Names of columns may run over lines here: the rows behind them are looked at.
    """
    before = [separator * (len(header) - 1) + "\n", *["\n"] * (header_lines - 1)]
    rest = itertools.islice(io.StringIO(content, newline=""), header_lines, None)
    rows = checked_rows(itertools.chain(before, rest), header, origin=name, form=Form.of(separator))
    collections.deque(rows, maxlen=0)


def _separator(content: str) -> str:
    if (named := SEPARATOR_LINE.match(content)) is not None:
        return named["mark"]
    lines = content[:200_000].splitlines()[:50]
    counts = {mark: [line.count(mark) for line in lines if line.strip()] for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: (min(counts[mark], default=0) > 0, counts[mark][0] if counts[mark] else 0))


def _names(header: list[str]) -> list[str]:
    names: list[str] = []
    for number, name in enumerate(header, start=1):
        plain = re.sub(r"\s*[\r\n]\s*", " ", name.strip()) or f"column_{number}"
        while plain in names:
            plain = f"{plain}_{number}"
        names.append(plain)
    return names
