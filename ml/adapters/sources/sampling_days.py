"""Read a sample of files whose names carry the day: those of the newest days."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters.sources import local, s3
from ml.adapters.sources.addresses import Address, show_some
from ml.adapters.sources.patterns import PLACEHOLDER, check_pattern, days_of, format_of, packing_of
from ml.adapters.sources.sampling import MAX_ROWS, Read, read_one
from ml.adapters.sources.table_files import TableFile
from ml.core.adoption.origins import Location
from ml.errors import SettingsError


def read_days(pattern: str, option: str) -> Read:
    """Read the files of the newest days; each row has the ``day`` of its file.

    Parameters
    ----------
    pattern
        A path or an ``s3://`` address with ``{day}``, or its year, month and day, in it.
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
    address = Address.of(pattern)
    below = pattern.removeprefix(address.folder).lstrip("/")
    if pattern.startswith(s3.S3):
        there = list(s3.objects_below(PLACEHOLDER.split(pattern, maxsplit=1)[0], option))
    else:
        folder = Path(address.folder)
        there = [str(folder / name) for name in local.entries(folder, option)]
        if "/" in below:  # the day is that of folders
            folders = [Path(entry) for entry in there if address.has(Path(entry).name)]
            there = [str(path) for entry in folders for path in entry.rglob("*")] or there
    days = days_of(pattern, there)
    if not days:
        shown = show_some([name.rpartition("/")[2] for name in there])
        raise SettingsError(f"{option}: there is no {pattern} for any day; what is there: {shown}")
    return days
