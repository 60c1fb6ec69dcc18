"""Decide which instants and dates belong to a calendar day of a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?")
CACHED = 1 << 16


class NoTime(ValueError):
    """A value that is neither an instant nor a date; ``row`` counts from 0."""

    def __init__(self, value: object, row: int = 0) -> None:
        super().__init__(f"{value!r} is neither an instant nor a date")
        self.value, self.row = value, row


@dataclass(frozen=True)
class LocalDay:
    """A calendar day, from midnight to midnight by the clocks of ``zone``: 23, 24 or 25 hours.

    An instant with an offset, or of a column that has a time zone, is compared with these two instants; one without
    is already in ``zone``, so that its date decides.

    Examples
    --------
    >>> day = LocalDay(date(2024, 3, 31), ZoneInfo("Europe/Berlin"))
    >>> day.end - day.start
    datetime.timedelta(seconds=82800)
    >>> day.has("2024-03-30T23:00:00Z"), day.has("2024-03-31T22:30:00Z"), day.has("2024-03-31 22:30")
    (True, False, True)
    """

    day: date
    zone: ZoneInfo

    @cached_property
    def start(self) -> datetime:
        """Return the first instant; where midnight is skipped or comes twice, that of the change or the first."""
        return datetime.combine(self.day, time.min, self.zone).astimezone(UTC)

    @cached_property
    def end(self) -> datetime:
        """Return the first instant of the next day."""
        return datetime.combine(self.day + timedelta(days=1), time.min, self.zone).astimezone(UTC)

    def has(self, text: object) -> bool:
        """Return whether a text in ISO 8601 belongs to the day; NoTime if it is none."""
        moment = _read(text) if isinstance(text, str) else None
        if moment is None:
            raise NoTime(text)
        return moment.date() == self.day if moment.tzinfo is None else self.start <= moment < self.end

    @classmethod
    def of(cls, text: object, zone: ZoneInfo) -> LocalDay:
        """Return the day that a text in ISO 8601 belongs to, the only one that `has` it; NoTime if it is none."""
        moment = _read(text) if isinstance(text, str) else None
        if moment is None:
            raise NoTime(text)
        local = moment.date() if moment.tzinfo is None else moment.astimezone(zone).date()
        near = (_day(local + timedelta(days=shift), zone) for shift in (0, -1, 1))
        return next(day for day in near if day.has(text))

    def mask(self, column: pa.Array) -> pa.BooleanArray:
        """Return which values of a column belong to the day.

        Raises
        ------
        NoTime
            If a value is null, or is neither an instant nor a date.
        """
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count:
            raise NoTime(None, pc.index(column.is_null(), True).as_py())
        kind = column.type
        if pa.types.is_date(kind):
            return pc.equal(column.cast(pa.date32()), pa.scalar(self.day, pa.date32()))
        if pa.types.is_timestamp(kind):
            first, last = self.start, self.end
            if kind.tz is None:
                first = datetime.combine(self.day, time.min)
                last = first + timedelta(days=1)
            utc = pa.timestamp(kind.unit, tz=None if kind.tz is None else "UTC")
            values = column.cast(utc)
            return pc.and_(pc.greater_equal(values, pa.scalar(first, utc)), pc.less(values, pa.scalar(last, utc)))
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return pa.array([self._has_at(text, row) for row, text in enumerate(column.to_pylist())], pa.bool_())
        raise NoTime(column[0].as_py() if len(column) else None)

    def _has_at(self, text: str, row: int) -> bool:
        try:
            return self.has(text)
        except NoTime as err:
            raise NoTime(text, row) from err


@lru_cache(maxsize=CACHED)
def _day(day: date, zone: ZoneInfo) -> LocalDay:
    return LocalDay(day, zone)


@lru_cache(maxsize=CACHED)
def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if ISO.fullmatch(text) else None
    except ValueError:
        return None
