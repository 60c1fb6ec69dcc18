"""Read what the page's status is made of, each source once and only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TypeVar
from zoneinfo import ZoneInfo

from ml.adapters import layout
from ml.adapters.tracking.decision_log import DecisionLog
from ml.core.data.days import days_between
from ml.core.data.rest_days import rest_reason
from ml.core.monitoring import alarm_days, health, snoozes
from ml.core.monitoring.day_summary import Day, Facts
from ml.core.monitoring.episodes import FAMILIES, Episode, Family
from ml.core.monitoring.episodes import Day as AlarmDay
from ml.errors import EvergreenError
from ml.records import Logged
from ml.views.page import days as monitored
from ml.views.page.rejected import KeptOut, kept_out, report_of, row
from ml.views.page.sources import DataInventory, decided, held, starting
from ml.wiring import Services

T = TypeVar("T")
LOOK_BACK_DAYS = 14
ALARM_DAYS = 60
"""An alarm is followed back for so long."""

GRACE_HOURS = 2
"""A day that was due no longer ago than this is on its way, not late."""


@dataclass
class StatusSources:
    """Decisions, data and monitored days as of an instant; a source that cannot be read is a problem."""

    services: Services
    today: date | datetime
    problems: list[dict[str, str]] = field(default_factory=list)

    def part(self, name: str, compute: Callable[[], T]) -> T | None:
        """Compute a part, or say why it cannot be."""
        try:
            return compute()
        except EvergreenError as err:
            if not any(problem["message"] == str(err) for problem in self.problems):
                self.problems.append({"part": name, "message": str(err)})
            return None

    @cached_property
    def log(self) -> DecisionLog | None:
        """Open the decision log; None if MLflow does not answer, which is not the same as an empty one."""
        return self.part("decisions", lambda: decided(self.services))

    @property
    def changes(self) -> list[Logged]:
        """Return the decisions that changed the champion."""
        return self.log.changes if self.log is not None else []

    @cached_property
    def inventory(self) -> DataInventory:
        """Return what the registry holds; nothing if it does not answer, which is a problem."""
        return self.part("data", lambda: held(self.services)) or DataInventory({}, {}, ())

    @cached_property
    def out(self) -> KeptOut:
        """Return what was rejected or withdrawn, and is not in the registry."""
        held_days = {"inputs": self.inventory.inputs, "labels": self.inventory.labels}
        result = self.part("data", lambda: kept_out(self.services, held_days)) or KeptOut({}, {})
        self.problems.extend({"part": "rejected", "message": problem} for problem in result.problems)
        return result

    @cached_property
    def rejected(self) -> list[Facts]:
        """List what was rejected of late, newest first: what, why and the next move."""
        span = timedelta(days=max(LOOK_BACK_DAYS, self.services.settings.land.catch_up_days))
        of_late = [rejection for rejection in self.out.rejected.values() if rejection.partition > self.due - span]
        return [
            row(rejection, report_of(rejection))
            for rejection in sorted(of_late, key=lambda rejection: rejection.day, reverse=True)
        ]

    @cached_property
    def days(self) -> Sequence[Day]:
        """Return the newest days as monitoring left them, oldest first."""

        def read() -> list[Day]:
            days = monitored.read(self.services, self.inventory.newest_days(ALARM_DAYS))
            if any(day.facts for day in days):
                return days
            return monitored.read(self.services, self.inventory.newest_days(None))

        return self.part("monitor", read) or ()

    @cached_property
    def newest(self) -> Day | None:
        """Return the newest day that was monitored; while `make up` is at work, the newest that is decided on."""
        known = [day for day in reversed(self.days) if day.facts]
        if self.starting:
            decided_on = [day for day in known if monitored.is_decided(day)]
            known = decided_on or known
        return known[0] if known else None

    @cached_property
    def open_since(self) -> date | None:
        """Return the first day of the oldest alarm that is not over, whether people know of it or not."""
        alerted = {episode.family: episode for episode in self._alerted}
        standing = []
        for family in FAMILIES:
            newest = self._measured_episode(family)
            if family in alerted and (newest is None or newest.day <= alerted[family].day):
                newest = alerted[family]
            if newest is not None and newest.open:
                first = alerted[family].first_day if family in alerted and alerted[family].open else newest.first_day
                standing.append(min(first, newest.first_day))
        return min(standing, default=None)

    def _measured_episode(self, family: Family) -> Episode | None:
        """Return a family's newest alarm by what was measured and decided on the newest days; None without one."""
        settings = self.services.settings
        past = alarm_days.of_days(
            self._decided_days, family=family, alarm_days=settings.drift.alarm_days, every_days=settings.land.every_days
        )
        return past[-1] if past else None

    @cached_property
    def _decided_days(self) -> list[AlarmDay]:
        return [alarm_days.day_of(day.facts) for day in self.days if day.facts and monitored.is_decided(day)]

    @cached_property
    def _alerted(self) -> list[Episode]:
        """Return of each family the newest alarm that people know of, over or not."""
        newest = self.part("alarms", lambda: [_newest_episode(family, self.services) for family in FAMILIES]) or ()
        return [episode for episode in newest if episode is not None]

    @cached_property
    def open_episodes(self) -> list[Episode]:
        """Return the alarms that people know of and that are not over."""
        return [episode for episode in self._alerted if episode.open]

    @property
    def episodes(self) -> list[Facts]:
        """Describe them, with what people said of each and until when its mails are snoozed."""
        if not self.open_episodes:
            return []
        entries = self.part("alarms", lambda: self.services.tracking.decisions(kinds=snoozes.KINDS)) or []
        return [_episode(episode, entries) for episode in self.open_episodes]

    @cached_property
    def starting(self) -> bool:
        """Return whether `make up` is bringing about champion and newest day."""
        return starting(self.services)

    @property
    def freshness(self) -> health.Freshness:
        """Compare the newest day with the newest that is due; a day that a person took out is not late."""
        newest, labelled = self.inventory.newest, self.inventory.labelled
        gone = set(self.out.withdrawn_days("inputs")) - set(self.out.rejected_days("inputs"))
        rest = [] if newest is None else [d for d in days_between(newest, self.due) if self.rests(d) or d in gone]
        return health.freshness(
            newest, labelled, due=self.due, just_due=self.just_due, rest=rest, starting=self.starting
        )

    @property
    def due(self) -> date:
        """Return the newest day that should be in the registry by now; days without data are passed over."""
        day = self.newest_calendar_day
        furthest = max(LOOK_BACK_DAYS, self.services.settings.land.empty_in_a_row)
        while self.rests(day) and (self.newest_calendar_day - day).days < furthest:
            day -= timedelta(days=1)
        return day

    @property
    def newest_calendar_day(self) -> date:
        """Return the newest day that is due by now, whether data are expected on it or not."""
        if isinstance(self.today, datetime):
            return self.services.settings.newest_due_day(self.today)
        return self.today

    def rests(self, day: date) -> bool:
        """Return whether no data are expected on a day, and there are none."""
        have = self.inventory.inputs
        return day not in have and bool(rest_reason(day, have, self.services.settings.land))

    @property
    def just_due(self) -> bool:
        """Return whether the newest due day may be on its way."""
        if not isinstance(self.today, datetime):
            return False
        settings = self.services.settings
        hour = self.today.astimezone(ZoneInfo(settings.task.timezone)).hour
        return 0 <= hour - settings.land.due_hour < GRACE_HOURS


def _episode(episode: Episode, entries: Sequence[Logged]) -> Facts:
    snooze = snoozes.snooze_of(episode, entries)
    return {
        "family": episode.family,
        "subject": episode.subject,
        "first_day": episode.first_day,
        "snoozed_until": snooze.until if snooze and episode.day < snooze.until else None,
        "notes": [snoozes.in_words(entry) for entry in snoozes.of_episode(episode, entries)],
    }


def _newest_episode(family: Family, services: Services) -> Episode | None:
    stored = services.storage_folder(layout.alerts.episodes(family))
    names = stored.names()
    return Episode.model_validate(stored.read_json(names[-1])) if names else None
