"""Look up what the rows of a day need beside themselves: lagged target means and the adaptation, as the batch does."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from ml.adapters.engine import LOCAL
from ml.core.data.rest_days import rest_reason
from ml.core.scoring import adaptation as adapt
from ml.errors import DataRejected, MissingArtifact, Unavailable
from ml.records import Adaptation, Champion
from ml.serving import metrics
from ml.serving.problems import Refused, UnfitValue, unfit
from ml.serving.served_version import ServedVersion
from ml.settings import Settings
from ml.steps.score.row_scoring import Scorer
from ml.steps.score.scorer import adaptation_of, aggregates_of
from ml.wiring import Services

MOST_DAYS = 16
"""The days whose lookups are held in memory."""

RETRY_SECONDS = 60.0
"""When to ask again for a day whose partition is not there yet."""


@dataclass(frozen=True)
class ScorableDay:
    """A day as one version scores it.

    Attributes
    ----------
    is_provisional
        Whether labels are missing that the batch will have: its partition is not in the data registry yet.
    data_version
        The data version that was looked at; None for a version that looks nothing up.
    """

    day: date
    served: ServedVersion
    scorer: Scorer
    adaptation: Adaptation | None
    is_provisional: bool
    data_version: str | None

    def predict(self, table: pa.Table) -> np.ndarray:
        """Return the predictions of rows of the day."""
        raw = self.scorer.raw(table)
        kind = self.scorer.own.task.kind
        return raw if self.adaptation is None else adapt.shifted(raw, self.adaptation.shift, kind=kind)


class DayLookup:
    """The lookups of one version by day, held until the data registry has another data version.

    Safe for several threads; one day is looked up once at a time.
    """

    def __init__(self, served: ServedVersion, settings: Settings, services: Services) -> None:
        self.served, self.settings, self.services = served, settings, services
        self.looks_up = bool(served.own.features.history) or settings.score.adapt != "none"
        self._days: OrderedDict[date, ScorableDay] = OrderedDict()
        self._lock = threading.Lock()

    def held(self, day: date) -> ScorableDay | None:
        """Return a day that was looked up before; None if it has to be."""
        return self._days.get(day)

    def days(self) -> list[date]:
        """List the days that are held."""
        return list(self._days)

    def open(self, day: date, *, today: date) -> ScorableDay:
        """Return a day as the version scores it.

        Raises
        ------
        Refused
            With 422 for a day that the version may not score, with 503 for one that cannot be looked up now.
        """
        if day <= self.served.known_until:
            raise unfit(
                [
                    UnfitValue(
                        "day",
                        None,
                        f"a day after {self.served.known_until}: version {self.served.version} was trained on days up "
                        f"to then, and what it says of {day} is no prediction",
                    )
                ]
            )
        if day > today:
            raise unfit([UnfitValue("day", None, f"a day up to {today}: labels for {day} are not known yet")])
        with self._lock:
            if (held := self._days.get(day)) is not None:
                return held
            with metrics.LOOKUP_SECONDS.labels(self.settings.task.name).time():
                opened = self._look_up(day)
            self._days[day] = opened
            while len(self._days) > MOST_DAYS:
                self._days.popitem(last=False)
            return opened

    def refresh(self) -> None:
        """Look every held day up again if the data registry has a newer data version; a day that fails stays."""
        if not self.looks_up or not self._days:
            return
        head = self.services.registry.head()
        for day, held in list(self._days.items()):
            if held.data_version != head:
                opened = self._look_up(day)
                with self._lock:
                    self._days[day] = opened

    def _look_up(self, day: date) -> ScorableDay:
        served, services = self.served, self.services
        if not self.looks_up:
            return ScorableDay(day, served, served.scorer(None), None, False, None)
        try:
            rev = services.registry.head()
            provisional = self._awaits_partition(day, rev)
            if provisional and self.settings.serving.missing_labels == "refuse":
                raise Refused(
                    503,
                    f"the partition of {day} is not in the data registry yet, so labels that its lagged target means "
                    f"look back on (up to {self._newest_label_day(day)}) may be missing; try again after ingest, or "
                    "let serving.missing_labels be 'flag'",
                    retry_after=RETRY_SECONDS,
                )
            scorer = served.scorer(aggregates_of(served.own, day, day, services, rev=rev, engine=LOCAL))
            champion = Champion(day=day, version=served.version, reason="on request", data_version=rev)
            return ScorableDay(day, served, scorer, adaptation_of(champion, self.settings, services), provisional, rev)
        except MissingArtifact as err:
            raise Refused(503, f"{day} cannot be scored: {err}", retry_after=RETRY_SECONDS) from err
        except (Unavailable, DataRejected) as err:
            raise Refused(503, f"{day} cannot be looked up now: {err}", retry_after=5) from err

    def _awaits_partition(self, day: date, rev: str) -> bool:
        held = self.services.registry.days("inputs", rev)
        return day not in held and not rest_reason(day, held, self.settings.land)

    def _newest_label_day(self, day: date) -> date:
        return day - timedelta(days=max(self.served.own.task.label_delay_days, 1))
