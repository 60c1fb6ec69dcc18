"""Find the column that tells when a row happened, and what a day of the data is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd

from ml.errors import SettingsError

ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?"
ISO_SHOWN = "2024-05-31"
OFFSET = r".*\d(Z|[+-]\d{2}(:?\d{2})?)"
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", " %I:%M:%S%p")
DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%d.%m.%y",
    "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%B %d %Y",
    "%B %d, %Y",
)  # fmt: skip
HINTS = re.compile(r"time|date|day|stamp|_at$|\bat$|^ts$|when|datum|zeit", re.IGNORECASE)
LEAST_READ, LEAST_DIGITS, HALF = 0.99, 3, 0.5
SWAPPED = {
    early: late
    for day_first, month_first in (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"), ("%d/%m/%y", "%m/%d/%y"))
    for early, late in ((day_first, month_first), (month_first, day_first))
}
"""What the same digits may mean too."""
EPOCHS: dict[Literal["s", "ms", "us", "ns"], tuple[float, float]] = {
    "s": (9e8, 2.2e9), "ms": (9e11, 2.2e12), "us": (9e14, 2.2e15), "ns": (9e17, 2.2e18),
}  # fmt: skip


@dataclass(frozen=True)
class TimeColumn:
    """The instants of a sample.

    Attributes
    ----------
    instants : Series of shape (n_rows,)
        Instants in UTC if the column says an offset, else without a time zone; NaT where nobody can read one.
    is_iso
        Whether the source ``table`` reads the column as it is.
    formats
        How other instants are written.
    others
        Columns that could tell the time too.
    zone
        The IANA time zone that the column itself is in, if it says one.
    doubt
        Why nobody can say what its values mean; empty if they are clear.
    """

    name: str
    instants: pd.Series
    is_iso: bool
    formats: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    doubt: str = ""
    zone: str = ""

    @property
    def has_offset(self) -> bool:
        """Whether instants say their offset from UTC, so that the time zone decides which day they are of."""
        return isinstance(self.instants.dtype, pd.DatetimeTZDtype)

    @property
    def has_clock(self) -> bool:
        """Whether instants have a time of day, and are not all midnight."""
        known = self.instants.dropna()
        return bool((known != known.dt.normalize()).any())

    def local(self, zone: ZoneInfo) -> pd.Series:
        """Return the instants by the clocks of a time zone, without it."""
        return self.instants.dt.tz_convert(zone).dt.tz_localize(None) if self.has_offset else self.instants


def find_time(table: pd.DataFrame, *, name: str | None, leave_out: Sequence[str] = ()) -> TimeColumn:
    """Return the time column: the one that is named, else the likeliest.

    The likeliest is never null, rises from row to row, and has a name that sounds like one.

    Raises
    ------
    SettingsError
        If there is none, if the one that is named holds no instants, or if they can be read in two ways.
    """
    if name is not None:
        if name not in table:
            raise SettingsError(f"--time {name}: there is no such column; there are: {', '.join(map(str, table))}")
        chosen = read_instants(table[name], certain=True)
        if chosen is None:
            raise SettingsError(
                f"--time {name}: its values, such as {table[name].dropna().iloc[:1].tolist()}, are neither instants "
                "nor dates; write ISO 8601 there (2024-05-31T13:00:00, with an offset such as +02:00 if clocks change)"
                ", or name another column"
            )
        return _without_doubt(chosen)
    readable = [
        column
        for label in table
        if label not in leave_out and (column := read_instants(table[label], certain=False)) is not None
    ]
    if not readable:
        raise SettingsError(
            "no column tells when a row happened: none holds instants or dates such as 2024-05-01T13:00:00, and there "
            "are no columns year, month and day of numbers; add one to the data, or name it with --time; there are: "
            f"{', '.join(map(str, table))}"
        )
    ordered = sorted(readable, key=_likelihood, reverse=True)
    best = ordered[0]
    others = tuple(column.name for column in ordered[1:])
    return replace(_without_doubt(best), others=others)


def tells_time(table: pd.DataFrame, *, leave_out: Sequence[str] = ()) -> bool:
    """Return whether a column of a table holds instants or dates."""
    columns = [column for column in table if column not in leave_out]
    return any(read_instants(table[column], certain=False) is not None for column in columns)


def _without_doubt(column: TimeColumn) -> TimeColumn:
    if column.doubt:
        raise SettingsError(
            f"--time {column.name}: {column.doubt}; write ISO 8601 (2024-05-31), or name another column"
        )
    return column


def _likelihood(column: TimeColumn) -> tuple[float, float, float, int]:
    known = column.instants.dropna()
    return (
        round(float(column.instants.notna().mean()), 2),
        float(_rises(known)),
        float(bool(HINTS.search(column.name))),
        known.nunique(),
    )


def _rises(known: pd.Series) -> bool:
    """Return whether instants hardly ever fall from row to row."""
    return len(known) > 1 and float((np.diff(known.astype("int64")) >= 0).mean()) > LEAST_READ


def _days_rise(instants: pd.Series) -> bool:
    """Return whether the days hardly ever fall from one to the next, however many rows a day has."""
    steps = np.diff(instants.dropna().dt.normalize().astype("int64"))
    steps = steps[steps != 0]
    return len(steps) > 0 and float((steps > 0).mean()) > LEAST_READ


def read_instants(column: pd.Series, *, certain: bool) -> TimeColumn | None:
    """Return a column as instants; None if it holds none.

    Parameters
    ----------
    certain
        Whether somebody says that it holds instants: then numbers are read as seconds since 1970, and as ``20240501``.
    """
    name = str(column.name)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        own = str(column.dt.tz)
        return TimeColumn(name, column.dt.tz_convert("UTC"), True, zone=own if own in available_timezones() else "")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return TimeColumn(name, column, True)
    if pd.api.types.is_bool_dtype(column.dtype) or column.isna().all():
        return None
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _from_numbers(column, certain=certain)
    return _from_texts(column, name)


def _from_texts(column: pd.Series, name: str) -> TimeColumn | None:
    unique = pd.Series(column.dropna().astype(str).unique())  # dates of Parquet become text
    if unique.str.fullmatch(ISO).all():
        offset = unique.str.fullmatch(OFFSET) & unique.str.contains(":")
        if offset.all() or not offset.any():
            points = unique.str.replace(",", ".", regex=False)
            read = pd.to_datetime(points, format="ISO8601", errors="coerce", utc=bool(offset.all()))
            return TimeColumn(name, _spread(column, unique, read), bool(read.notna().all()) and not column.isna().any())
    if unique.str.fullmatch(f"{ISO} ?(UTC|GMT)").all():
        bare = unique.str.replace(r" ?(UTC|GMT)$", "", regex=True)
        read = pd.to_datetime(bare, format="ISO8601", errors="coerce", utc=True)
        return TimeColumn(name, _spread(column, unique, read), False, ("2024-05-31 13:00:00 UTC",))
    read, formats = _by_formats(unique.str.strip())
    if read.notna().mean() < LEAST_READ:
        return None
    instants = _spread(column, unique, read)
    other, other_formats = _by_other_order(unique.str.strip(), read, formats)
    if other is None:
        return TimeColumn(name, instants, False, formats)
    swapped = _spread(column, unique, other)
    rises, other_rises = _days_rise(instants), _days_rise(swapped)
    if rises != other_rises:  # rows stand in order of time by one of the two only
        chosen = (instants, formats) if rises else (swapped, other_formats)
        return TimeColumn(name, chosen[0], False, chosen[1])
    shown = unique[read != other].iloc[0]
    doubt = f"no value tells whether {shown} begins with the day or with the month"
    return TimeColumn(name, instants, False, formats, doubt=doubt)


def _by_other_order(
    unique: pd.Series, read: pd.Series, formats: tuple[str, ...]
) -> tuple[pd.Series | None, tuple[str, ...]]:
    """Return what texts mean if day and month change places, and by which formats; None if a value forbids it."""
    swapped_all: pd.Series | None = None
    others = []
    for form in formats:
        date, blank, clock = form.partition(" ")
        others.append(form)
        if date not in SWAPPED:
            continue
        mine = pd.to_datetime(unique, format=form, errors="coerce") == read
        other = f"{SWAPPED[date]}{blank}{clock}"
        swapped = pd.to_datetime(unique[mine], format=other, errors="coerce")
        if swapped.notna().all() and (swapped != read[mine]).any():
            swapped_all = (read if swapped_all is None else swapped_all).where(~mine, swapped)
            others[-1] = other
    return swapped_all, tuple(others)


def _spread(column: pd.Series, unique: pd.Series, read: pd.Series) -> pd.Series:
    table = pd.Series(read.to_numpy() if read.dt.tz is None else read.array, index=unique.to_numpy())
    texts = column.map(lambda value: value if value is None or isinstance(value, str) else str(value))
    return pd.Series(table.reindex(texts).array, index=column.index, name=column.name)


def _by_formats(unique: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """Read texts by as few formats as read most of them; between day and month first, the one that reads more."""
    read = pd.to_datetime(unique.where(unique.str.fullmatch(ISO)), format="ISO8601", errors="coerce")
    formats = [ISO_SHOWN] if read.notna().any() else []
    sample = unique[read.isna()]
    if sample.str.count(r"\d").ge(LEAST_DIGITS).mean() < HALF:
        return read, tuple(formats)  # words: no form of a date has so few digits
    if len(sample) > 5_000:
        sample = sample.iloc[np.linspace(0, len(sample) - 1, 5_000).astype(int)]
    tried = {
        date + clock: pd.to_datetime(sample, format=date + clock, errors="coerce").notna().sum()
        for date in DATES
        for clock in CLOCKS
    }
    for form in sorted((form for form, count in tried.items() if count), key=lambda form: -tried[form]):
        if read.notna().all():
            break
        date, blank, clock = form.partition(" ")
        if f"{SWAPPED.get(date)}{blank}{clock}" in formats:
            continue  # what is read by day and month is not read by month and day beside it: 03/04/2024 would be both
        more = pd.to_datetime(unique.where(read.isna()), format=form, errors="coerce")
        if more.notna().any():
            read, formats = read.fillna(more), [*formats, form]
    return read, tuple(formats)


def _from_numbers(column: pd.Series, *, certain: bool) -> TimeColumn | None:
    name = str(column.name)
    if not certain and not HINTS.search(name):
        return None
    numbers = column.dropna()
    if numbers.empty or (numbers % 1 != 0).any():
        return None
    for unit, (low, high) in EPOCHS.items():
        if numbers.between(low, high).all():
            return TimeColumn(name, pd.to_datetime(column, unit=unit, utc=True), False, (f"{unit} since 1970",))
    if numbers.between(19_000_101, 21_001_231).all():
        read = pd.to_datetime(column.astype("Int64").astype("string"), format="%Y%m%d", errors="coerce")
        return TimeColumn(name, read, False, ("%Y%m%d",)) if read.notna().mean() >= LEAST_READ else None
    return None
