"""Follow the challenger where ``serving.traffic`` lets it answer, or be asked in shadow.

Whatever is wrong with it costs it its rows, and nobody an answer: the champion gives them.
"""

from __future__ import annotations

import logging
import time

from ml.champions import recorded_models, split_control
from ml.errors import EvergreenError, SettingsError, Unavailable
from ml.serving import metrics, problem_records, served_version
from ml.serving.asked import Serving
from ml.serving.day_lookup import DayLookup
from ml.serving.problems import Refused
from ml.serving.served_model import ServedModel
from ml.serving.traffic import Contest, share_of
from ml.urls import redact

logger = logging.getLogger(__name__)
RETRY_SECONDS = 30.0
"""When a challenger that could not be loaded is tried again."""


class ChallengerFollower:
    """Looks who the challenger is, whether it may answer, and loads it; called by the model's own follower."""

    def __init__(self, model: ServedModel) -> None:
        self.model, self.services = model, model.services
        self._failed: tuple[int, float] | None = None
        self._recorded: str | None = None  # empty once nothing is recorded; None before anybody has looked

    def look(self) -> None:
        """Look once; nothing is asked of MLflow or the storage where no challenger is wanted."""
        share = share_of(self.model.settings)
        if share is None:
            return
        serving, version = self.model.serving, self.services.tracking.alias("challenger")
        if version is None or serving is None or version == serving.served.version:
            self._end(f"version {version} is the champion" if version else "there is no challenger")
            return
        if self._is_stopped(version):
            self._end(f"the split of version {version} was stopped")
            return
        contest = self.model.challenge.contest
        if contest is not None and contest.version == version:
            contest.challenger.lookup.refresh()
            self._warm(contest.challenger.lookup)
            if self.model.challenge.failure:
                self._record(version, f"version {version} failed on rows: {redact(self.model.challenge.failure)}")
        elif self._failed is None or self._failed[0] != version or time.monotonic() > self._failed[1]:
            self._change_to(version, share)

    def _is_stopped(self, version: int) -> bool:
        """Return whether a split was stopped; it ends as well where that cannot be read, unless the storage is away."""
        try:
            return split_control.read_stop(version, self.services) is not None
        except Unavailable:
            raise
        except EvergreenError as err:
            logger.warning("%s: %s", self.model.name, err)
            return True

    def _change_to(self, version: int, share: float) -> None:
        try:
            split_control.check_eligible(version, self.services)
            folder = self.model.folder / "challenger"
            served = served_version.from_registry(version, self.services, folder, record=recorded_models.recorded)
            task, own = self.model.settings.task, served.own.task
            if (own.kind, own.classes, own.key) != (task.kind, task.classes, task.key):
                raise SettingsError(f"version {version} was trained for another task.kind, task.classes or task.key")
            lookup = DayLookup(served, self.model.settings, self.services)
            self._warm(lookup)
        except Exception as err:
            self._failed = (version, time.monotonic() + RETRY_SECONDS)
            metrics.LOAD_FAILURES.labels(self.model.name).inc()
            self._end("", resolved=False)
            reason = str(err) if isinstance(err, EvergreenError) else f"{type(err).__name__}: {err}"
            self._record(version, f"version {version} cannot be asked: {redact(reason)}")
            if not isinstance(err, EvergreenError):
                raise
            return
        self._failed = None
        self.model.challenge.swap(Contest(Serving(served, lookup), share, tuple(task.key)))
        self._resolve()
        logger.info("%s: version %d is asked beside the champion (share %g)", self.model.name, version, share)

    def _warm(self, lookup: DayLookup) -> None:
        """Look up the days that the champion answers for, so that no request waits for them."""
        serving, today = self.model.serving, self.model.today()
        for day in {today, *([] if serving is None else serving.lookup.days())}:
            try:
                if day > lookup.served.known_until and lookup.held(day) is None:
                    lookup.open(day, today=today)
            except Refused as refused:
                logger.debug("%s: %s is not looked up yet: %s", self.model.name, day, refused.message)

    def _end(self, reason: str, *, resolved: bool = True) -> None:
        if self.model.challenge.contest is not None:
            logger.warning("%s: the champion alone answers: %s", self.model.name, reason or "see the error")
            self.model.challenge.swap(None)
        if resolved:
            self._failed = None
            self._resolve()

    def _record(self, version: int, problem: str) -> None:
        if self._recorded == problem:
            return
        logger.error("%s: challenger: %s", self.model.name, problem)
        serving = self.model.serving
        answering = serving.served.version if serving else None
        problem_records.write(
            problem, version=version, serving_version=answering, services=self.services, about="challenger"
        )
        self._recorded = problem

    def _resolve(self) -> None:
        if self._recorded != "":
            problem_records.resolve(self.services, about="challenger")
            self._recorded = ""
