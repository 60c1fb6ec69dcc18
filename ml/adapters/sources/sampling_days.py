"""Read a sample of files whose names carry the day: those of the newest days."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters.sources import local, s3
from ml.adapters.sources.addresses import ISO_DAY, Address, show_some
from ml.adapters.sources.patterns import DAY, check_pattern, format_of, packing_of
from ml.adapters.sources.sampling import MAX_ROWS, Read, read_one
from ml.adapters.sources.table_files import TableFile
from ml.core.adoption.origins import Location
from ml.errors import SettingsError


def read_days(pattern: str, option: str) -> Read:
    """Read the files of the newest days; each row has the ``day`` of its file.

    Parameters
    ----------
    pattern
        A path or an ``s3://`` address with ``{day}`` in it.
    option
        What it is called in messages.

    Raises
    ------
    SettingsError
        If there is no such file, or the pattern is one that the source ``files`` does not read.
    DataRejected
        If a file cannot be read as a table.
    """
    check_pattern(pattern, key=option)
    if "://" in pattern and not pattern.startswith(s3.S3):
        raise SettingsError(f"{option}: {pattern} is neither a path nor s3://; kind: http has to be written by hand")
    if not pattern.startswith(s3.S3):
        pattern = str(Path(pattern).absolute())
    kind, packing = format_of(pattern, key=option), packing_of(pattern)
    names = _names(pattern, option)
    parts: list[pd.DataFrame] = []
    changed: tuple[str, ...] = ()
    undated = False
    for day in sorted(names, reverse=True):
        file = TableFile(names[day], kind, packing)
        with file.fetched(option) as path:
            part, more = read_one(file, path)
        undated = undated or "day" not in part
        parts.insert(0, _dated(part, day, file.name))
        changed = tuple(dict.fromkeys((*changed, *more)))
        if sum(map(len, parts)) >= MAX_ROWS:
            break
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise SettingsError(f"{option}: {pattern} holds no row on any day; give some weeks of data")
    location = Location(pattern, kind="files", day_from_name=undated)
    return Read(table, kind == "csv", kind == "parquet", changed, location, dated=True)


def _dated(table: pd.DataFrame, day: date, name: str) -> pd.DataFrame:
    """Return a table with its day; a column of that name has to say the same."""
    shown = day.isoformat()
    if "day" not in table:
        return table.assign(day=shown)
    own = table["day"].astype("str").str.slice(0, 10)
    if (own != shown).any():
        raise SettingsError(
            f"{name}: column 'day' holds {own[own != shown].iloc[0]}, and the file is that of {shown}; correct the "
            "rows or the name, or give the folder as one table"
        )
    return table.assign(day=shown)


def _names(pattern: str, option: str) -> dict[date, str]:
    """Return the names of the files by their days."""
    start, _, rest = pattern.partition(DAY)
    again = re.escape(rest).replace(re.escape(DAY), r"(?P=day)")
    wanted = re.compile(f"{re.escape(start)}(?P<day>{ISO_DAY}){again}")
    if pattern.startswith(s3.S3):
        there = list(s3.objects_below(start, option))
    else:
        folder = Path(Address.of(pattern).folder)
        there = [str(folder / name) for name in local.entries(folder, option)]
        if "/" in rest:  # the day is that of a folder
            there = [str(path) for entry in there if Path(entry).is_dir() for path in Path(entry).rglob("*")]
    texts = {match["day"]: name for name in there if (match := wanted.fullmatch(name))}
    days = {day: name for text, name in texts.items() if (day := _as_day(text)) is not None}
    if not days:
        shown = show_some([name.rpartition("/")[2] for name in there])
        raise SettingsError(f"{option}: there is no {pattern} for any day; what is there: {shown}")
    return days


def _as_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
