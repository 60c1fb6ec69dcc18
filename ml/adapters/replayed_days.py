"""Which days a replay has lived through, and what was decided on them: the one place that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from ml.adapters import layout
from ml.adapters.workspace import Workspace
from ml.records import Logged, ReplayedDay, ReplayPeriod


@dataclass(frozen=True)
class Replayed:
    """The days of a replay, and from when to when each was lived through; of a day that is not over the end is None."""

    days: frozenset[date] = frozenset()
    spans: Mapping[date, tuple[datetime, datetime | None]] = field(default_factory=dict)

    def decided(self, entry: Logged) -> bool:
        """Return whether a replay has decided this: it was written down while a day was lived through."""
        judged = entry.effective_day or _day(entry.payload.get("judged_on"))
        return any(
            began <= entry.decided_at <= ended
            if ended is not None
            else began <= entry.decided_at and (judged is None or judged <= day + timedelta(days=1))
            for day, (began, ended) in self.spans.items()
        )


@dataclass(frozen=True)
class ReplayLog:
    """The folder of the storage in which a replay writes down what it has done."""

    stored: Workspace

    def period(self) -> ReplayPeriod | None:
        """Return which days the newest replay is about; None if there never was one."""
        if not self.stored.has(layout.ingest.REPLAY_PERIOD):
            return None
        return ReplayPeriod.model_validate(self.stored.read_json(layout.ingest.REPLAY_PERIOD))

    def write_period(self, period: ReplayPeriod) -> None:
        """Remember a period: an interrupted replay goes on in it."""
        self.stored.write_json(layout.ingest.REPLAY_PERIOD, period.model_dump(mode="json"))

    def begin(self, day: date, now: datetime) -> datetime:
        """Remember that a day is begun, and return when it was: at an earlier attempt, if there was one."""
        period = self.period()
        assert period is not None, "a day is of a period"
        if day not in period.begun:
            period = period.model_copy(update={"begun": {**period.begun, day: now}})
            self.write_period(period)
        return period.begun[day]

    def finish(self, replayed: ReplayedDay) -> None:
        """Write down what came of a day: it is not lived through again."""
        self.stored.write_json(layout.days.day_json(replayed.day), replayed.model_dump(mode="json"))

    def day(self, day: date) -> ReplayedDay | None:
        """Return what came of a day that was lived through; None if it was not, or not to its end."""
        name = layout.days.day_json(day)
        return ReplayedDay.model_validate(self.stored.read_json(name)) if self.stored.has(name) else None

    def read(self) -> Replayed:
        """Return all days that were lived through, and the one that was begun."""
        names = [name for name in self.stored.names() if name != layout.ingest.REPLAY_PERIOD]
        if not names and not self.stored.has(layout.ingest.REPLAY_PERIOD):
            return Replayed()
        lived = [ReplayedDay.model_validate(self.stored.read_json(name)) for name in names]
        period = self.period()
        spans: dict[date, tuple[datetime, datetime | None]] = {
            day: (began, None) for day, began in (period.begun if period else {}).items()
        }
        spans |= {day.day: (day.began_at, day.ended_at) for day in lived if day.began_at and day.ended_at}
        return Replayed(frozenset({*(day.day for day in lived), *spans}), spans)


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None
