"""The facts of a day that a replay has lived through."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from ml.records.record import Record


class ReplayedDay(Record):
    """What came of a day; ``problems`` are what would be red in the loop.

    What was decided between ``began_at`` and ``ended_at`` was decided by the replay; None in records of older releases.
    """

    day: date
    rows: int | None = None
    rest: str = ""
    version: int | None = None
    state: str = ""
    metrics: dict[str, float | None] = Field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    event: str = ""
    problems: tuple[str, ...] = ()
    began_at: datetime | None = None
    ended_at: datetime | None = None


class ReplayPeriod(Record):
    """Which days the newest replay is about, and when each was begun that is not over; ``begun`` is by day."""

    first_day: date
    last_day: date
    begun: dict[date, datetime] = Field(default_factory=dict)
