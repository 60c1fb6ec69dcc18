"""Follow the champion: load what comes to serve beside what serves, try it, and only then swap.

A version that cannot be loaded leaves the one that serves. What keeps a service from the champion is recorded in the
storage (``serving/problems/``), where *monitor* finds it and alerts people.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import date

from ml.champions import recorded_models, serving_state
from ml.errors import EvergreenError
from ml.serving import metrics, problem_records, served_version, tokens
from ml.serving.asked import Serving
from ml.serving.challenging import ChallengerFollower
from ml.serving.day_lookup import DayLookup
from ml.serving.problems import Refused
from ml.serving.served_model import NO_CHAMPION, ServedModel
from ml.urls import redact

logger = logging.getLogger(__name__)
RETRY_SECONDS = 30.0
"""When a version that could not be loaded is tried again."""

DISAGREEING_LOOKS = 3
"""So many looks in a row must find the alias where no decision has put it, before that is a problem."""


class Follower:
    """A thread that looks every ``serving.poll_seconds`` who the champion is, and at data and tokens.

    Attributes
    ----------
    has_looked
        Set once it has, whatever came of it.
    """

    def __init__(self, model: ServedModel) -> None:
        self.model, self.services = model, model.services
        self.challengers = ChallengerFollower(model)
        self._stop = threading.Event()
        self.has_looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{model.name}", daemon=True)
        self._failed: tuple[int, float] | None = None
        self._disagreed = 0
        self._recorded: str | None = None  # empty once nothing is recorded; None before anybody has looked

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more; what the thread is doing at this moment it may end."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            self.look()
            self.has_looked.set()
            if self._stop.wait(self.model.own.poll_seconds):
                return

    def look(self) -> None:
        """Look once; whatever goes wrong is a problem that is named, and leaves what serves."""
        for part in (self._look_at_tokens, self._look_at_champion, self._look_at_data, self.challengers.look):
            try:
                part()
            except Exception as err:
                metrics.POLL_FAILURES.labels(self.model.name).inc()
                if not isinstance(err, (EvergreenError, Refused)):
                    logger.exception("%s: %s failed", self.model.name, part.__name__.strip("_"))
                else:
                    logger.warning("%s: %s", self.model.name, redact(str(err)))

    def _look_at_tokens(self) -> None:
        self.model.tokens = tuple(tokens.recorded(self.services))

    def _look_at_data(self) -> None:
        """Look up today before anybody asks, and every held day again if there are new data."""
        serving = self.model.serving
        if serving is None:
            return
        serving.lookup.refresh()
        self._warm(serving.lookup, self.model.today())

    def _warm(self, lookup: DayLookup, day: date) -> None:
        try:
            if lookup.held(day) is None:
                lookup.open(day, today=self.model.today())
        except Refused as refused:
            logger.debug("%s: %s is not looked up yet: %s", self.model.name, day, refused.message)

    def _look_at_champion(self) -> None:
        try:
            version = self.services.tracking.alias("champion")
        except EvergreenError:
            self._start_from_copy()
            raise
        serving = self.model.serving
        if serving is not None and serving.served.version == version and not serving.from_copy:
            self._failed, self._disagreed = None, 0
            self._resolve()
            return
        if version is None:
            self._withdraw()
        elif self._failed is None or self._failed[0] != version or time.monotonic() > self._failed[1]:
            self._change_to(version)

    def _withdraw(self) -> None:
        """Let nobody answer once the decisions, and not only the alias, say that nobody serves."""
        state = serving_state.read_serving(self.services)
        if state.alias is None and state.version is None:
            if self.model.serving is not None:
                logger.warning("%s: the champion was withdrawn", self.model.name)
            self.model.swap(None, NO_CHAMPION)
        else:
            self._note_disagreement(state)

    def _change_to(self, version: int) -> None:
        """Load a version beside the one that serves, try it, and let it answer from the next request on."""
        try:
            state = serving_state.read_serving(self.services)
            if state.alias != state.version or state.version != version or state.tenure is None:
                self._note_disagreement(state)
                return
            if (day := state.tenure.effective_day) is not None:
                recorded_models.check_champion(version, day, state.decisions, self.services)
            served = served_version.from_registry(version, self.services, self.model.folder)
            lookup = DayLookup(served, self.model.settings, self.services)
            self._try(lookup)
        except Exception as err:
            self._failed = (version, time.monotonic() + RETRY_SECONDS)
            metrics.LOAD_FAILURES.labels(self.model.name).inc()
            self._start_from_copy()
            reason = str(err) if isinstance(err, EvergreenError) else f"{type(err).__name__}: {err}"
            self._record(version, f"version {version} came to serve and cannot be loaded: {redact(reason)}")
            raise
        before = self.model.serving
        self.model.swap(Serving(served, lookup))
        self._failed, self._disagreed = None, 0
        logger.info(
            "%s: version %d answers%s", self.model.name, version,
            f", version {before.served.version} did before" if before else "",
        )  # fmt: skip
        self._resolve()

    def _try(self, lookup: DayLookup) -> None:
        """Look up the days that the version before answered for, so that no request waits for them."""
        before = self.model.serving
        for day in [] if before is None else before.lookup.days():
            if day > lookup.served.known_until:
                self._warm(lookup, day)
        self._warm(lookup, self.model.today())

    def _start_from_copy(self) -> None:
        """Serve the version that was served last, if nobody serves yet."""
        if self.model.serving is not None:
            return
        served = served_version.from_copy(self.services, self.model.folder)
        if served is None:
            self.model.problem = "MLflow does not answer, and no version was served here before"
            return
        lookup = DayLookup(served, self.model.settings, self.services)
        self.model.swap(
            Serving(served, lookup, from_copy=True),
            f"MLflow does not answer: version {served.version} was the champion when it last did",
        )
        logger.warning("%s: version %d answers, from the copy of this machine", self.model.name, served.version)

    def _note_disagreement(self, state: serving_state.ServingState) -> None:
        """Count looks at an alias that is not where the decisions say: amid a change it is so for a moment."""
        self._disagreed += 1
        if self._disagreed < DISAGREEING_LOOKS:
            return
        if self._disagreed == DISAGREEING_LOOKS:
            self._start_from_copy()
        gone = serving_state.is_gone(state.version, self.services)
        self._record(state.alias, serving_state.moved_by_hand(state, gone=gone))

    def _record(self, version: int | None, problem: str) -> None:
        """Write a problem down once, for *monitor* and for whoever asks ``/ready``."""
        serving = self.model.serving
        self.model.problem = problem
        if self._recorded == problem:
            return
        logger.error("%s: %s", self.model.name, problem)
        serving_version = serving.served.version if serving else None
        problem_records.write(problem, version=version, serving_version=serving_version, services=self.services)
        self._recorded = problem

    def _resolve(self) -> None:
        """Take back what was recorded, by an earlier process too: the champion answers."""
        self.model.problem = ""
        if self._recorded != "":
            problem_records.resolve(self.services)
            self._recorded = ""
