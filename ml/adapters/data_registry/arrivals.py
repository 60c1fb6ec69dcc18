"""Write down with which partition the labels of a day came, each time that their content changed.

Git knows when a version was committed, but not what a day that was scored could have seen: history is landed in one
commit, and days are ingested years later. So a commit that brings labels says with which partition they came, in
``arrivals/YYYY-MM.csv``, one small file a month of label days: a daily commit rewrites one of them, however long the
history is. Lines are only added; the last of a day is its present content.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import date

from ml.adapters.data_registry.manifest import Entry
from ml.errors import EvergreenError
from ml.records import Arrival, Asset

HEADER = ("day", "md5", "partition")


def arrivals_file(day: date) -> str:
    """Return the name of the file that holds the arrivals of a label day's month."""
    return f"arrivals/{day:%Y-%m}.csv"


def months_between(first: date, last: date) -> list[date]:
    """Return the first day of each month that the days touch, in order."""
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [date(month // 12, month % 12 + 1, 1) for month in months]


def add_arrivals(before: bytes | None, new: Iterable[Arrival]) -> bytes:
    """Return the file with more lines at its end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not before:
        writer.writerow(HEADER)
    writer.writerows((arrival.day, arrival.md5, arrival.partition) for arrival in new)
    return (before or b"") + text.getvalue().encode()


def parse_arrivals(data: bytes) -> list[Arrival]:
    """Read a file of arrivals, in the order of its lines."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode())))[1:]
        return [Arrival(day=date.fromisoformat(d), md5=m, partition=date.fromisoformat(p)) for d, m, p in lines]
    except ValueError as err:
        raise EvergreenError(
            f"a file of arrivals in the data registry is damaged ({err}); revert the commit that changed it"
        ) from err


def next_arrivals(
    changes: Mapping[tuple[Asset, date], Entry],
    arrived: Mapping[date, date],
    read: Callable[[list[str]], Mapping[str, bytes]],
) -> dict[str, bytes]:
    """Write down with which partition changed labels came: one small file a month of label days.

    Parameters
    ----------
    read
        Gets names of such files, and returns those that the registry has.
    """
    new = [
        Arrival(day=day, md5=entry.md5, partition=arrived[day])
        for (asset, day), entry in sorted(changes.items())
        if asset == "labels" and day in arrived
    ]
    names = sorted({arrivals_file(arrival.day) for arrival in new})
    before = read(names)
    return {
        name: add_arrivals(before.get(name), [arrival for arrival in new if arrivals_file(arrival.day) == name])
        for name in names
    }
