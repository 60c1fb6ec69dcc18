"""One model as the service answers for it: the version that serves, its lookups, tokens, queue and request log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from ml.serving import metrics, request_rows
from ml.serving.asked import Prediction, Requested, Serving
from ml.serving.batching import Batcher
from ml.serving.challenge import Challenge
from ml.serving.day_lookup import DayLookup, ScorableDay
from ml.serving.problems import Refused, UnfitValue, unfit
from ml.serving.request_log import RequestLog
from ml.serving.served_version import ServedVersion
from ml.serving.tokens import Token, holder
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
NO_CHAMPION = "no version serves: none was promoted yet, or the champion was withdrawn"
LOOKUPS_AT_ONCE = 8
"""So many days may be looked up at once; requests of one day wait for it together."""


class ServedModel:
    """A model of this installation, answered for by this process."""

    def __init__(self, settings: Settings, services: Services, executor: Executor, lookups: Executor) -> None:
        self.name, self.settings, self.services = settings.task.name, settings, services
        self.own = settings.serving
        self.folder = services.environment.home / "serving"
        self.lookups = lookups
        self.log = RequestLog(settings, services, self.folder / "unsent")
        self.serving: Serving | None = None
        self.challenge = Challenge(self)
        self.problem = "the champion is being loaded"
        self.tokens: tuple[Token, ...] = ()
        self.rate = RateLimit(self.own.requests_per_second)
        self.controller: ThreadpoolController | None = None
        self._opening: dict[tuple[DayLookup, date], asyncio.Future[ScorableDay]] = {}
        self.batcher = Batcher(
            self.name,
            executor,
            self._predict,
            _split,
            queue_rows=self.own.queue_rows,
            batch_rows=self.own.max_rows,
            wait_seconds=self.own.wait_milliseconds / 1000,
        )

    def swap(self, serving: Serving | None, problem: str = "") -> None:
        """Let another version answer from the next request on; None for nobody."""
        self.serving, self.problem = serving, problem
        self.count_threads()
        metrics.VERSION.labels(self.name).set(serving.served.version if serving else 0)
        metrics.READY.labels(self.name).set(1 if serving else 0)
        metrics.FROM_COPY.labels(self.name).set(1 if serving and serving.from_copy else 0)

    def count_threads(self) -> None:
        """Look again which libraries compute with threads: a model that was just loaded may have brought some."""
        self.controller = ThreadpoolController() if self.serving is not None else None

    def today(self) -> date:
        """Return the calendar day in the task's time zone."""
        return self.settings.today(datetime.now(UTC))

    def who(self, token: str) -> str | None:
        """Return the name of a token that may ask this model; None if it may not."""
        return holder(token, self.tokens)

    async def predict(
        self, rows: request_rows.Rows, *, request: str | Sequence[str], explained: bool = False
    ) -> Prediction:
        """Predict rows with the version that serves, and log them under the request's identity, or each row's.

        Some are answered by the challenger, where one may answer.

        Raises
        ------
        Refused
            If the rows are unfit, nobody serves, or a day cannot be looked up.
        """
        serving, contest, started = self.serving, self.challenge.contest, time.perf_counter()
        if serving is None:
            raise Refused(503, f"{self.name}: {self.problem}", retry_after=5)
        served = serving.served
        if not rows:
            return Prediction(np.zeros(0), served.version, False)
        if len(rows) > self.own.max_rows:
            raise Refused(413, f"{len(rows)} rows; a request may hold {self.own.max_rows} (serving.max_rows)")
        today = self.today()
        table = request_rows.as_table(rows, served.types, needed=served.needed, today=today, computed=served.computed)
        days = request_rows.days_of(table)
        if contest is None:
            answer = await self.answer(serving, table, days, today, explained=explained)
            self.log_answer(table, answer, served.version, request, started)
            return answer
        return await self.challenge.answer(
            contest, Requested(rows, table, days, request, explained, started), serving, today
        )

    async def answer(
        self, serving: Serving, table: pa.Table, days: Sequence[str], today: date, *, explained: bool
    ) -> Prediction:
        """Predict rows with one version."""
        served = serving.served
        if explained and (reason := await self.refuses_contributions(served, table.num_rows)):
            raise unfit([UnfitValue(None, None, reason)])
        opened = [await self._open(serving.lookup, date.fromisoformat(day), today) for day in days]
        if len(days) == 1:
            predictions, contributions = await self.batcher.submit(opened[0], table, explained=explained)
        else:
            predictions, contributions = await self._by_day(days, opened, table, explained)
        if not np.isfinite(predictions).all():
            raise Refused(500, f"version {served.version} predicts no number for some rows; see 'evergreen doctor'")
        provisional = any(day.is_provisional for day in opened)
        shares = None if contributions is None else contributions.to_dict("records")
        return Prediction(predictions, served.version, provisional, shares, served.half_width)

    async def refuses_contributions(self, served: ServedVersion, rows: int) -> str:
        """Return why contributions of so many rows are not answered; empty if they are."""
        explanations = served.explanations
        if not explanations.is_made:
            await asyncio.get_running_loop().run_in_executor(self.lookups, explanations.make)
        return explanations.refusal(rows, seconds=self.own.timeout_seconds / 2)

    def log_answer(
        self,
        table: pa.Table,
        answer: Prediction,
        versions: int | np.ndarray | None,
        request: str | Sequence[str],
        started: float,
        *,
        more: Mapping[str, pa.Array] | None = None,
        seconds: float | None = None,
    ) -> None:
        taken = time.perf_counter() - started if seconds is None else seconds
        assert versions is not None
        self.log.add(
            table, answer.predictions, versions, request, seconds=taken, half_width=answer.half_width, more=more
        )

    async def _open(self, lookup: DayLookup, day: date, today: date) -> ScorableDay:
        if (held := lookup.held(day)) is not None:
            return held
        opening = self._opening.get((lookup, day))
        if opening is None:
            if len(self._opening) >= LOOKUPS_AT_ONCE:
                raise Refused(503, "too many days are being looked up; try again in a moment", retry_after=1)
            loop = asyncio.get_running_loop()
            opening = loop.run_in_executor(self.lookups, lambda: lookup.open(day, today=today))
            self._opening[lookup, day] = opening
            opening.add_done_callback(lambda _: self._opening.pop((lookup, day), None))
        return await asyncio.shield(opening)  # others may wait for the same day

    async def _by_day(
        self, days: Sequence[str], opened: Sequence[ScorableDay], table: pa.Table, explained: bool
    ) -> tuple[np.ndarray, pd.DataFrame | None]:
        """Predict rows of several days, each day's together, and put the answers into their order."""
        held = np.array(table[request_rows.DAY].to_pylist())
        places = [np.flatnonzero(held == day) for day in days]
        answers = await asyncio.gather(
            *(
                self.batcher.submit(scorable, table.take(place), explained=explained)
                for scorable, place in zip(opened, places, strict=True)
            )
        )
        order = np.argsort(np.concatenate(places))
        predictions = np.concatenate([answer for answer, _ in answers])[order]
        parts = [contributions for _, contributions in answers if contributions is not None]
        return predictions, pd.concat(parts, ignore_index=True).iloc[order] if parts else None

    def _predict(self, day: ScorableDay, table: pa.Table, explained: bool) -> tuple[np.ndarray, pd.DataFrame | None]:
        controller = self.controller or ThreadpoolController()
        with controller.limit(limits=day.scorer.own.fit.threads, user_api="blas"):
            predictions = day.predict(table)
            if not explained:
                return predictions, None
            return predictions, day.served.explanations.of(day.scorer.matrix(table), predictions)

    def state(self) -> dict[str, Any]:
        """Return what ``/ready`` says of this model."""
        serving = self.serving
        if serving is None:
            return {"ready": False, "reason": self.problem}
        facts: dict[str, Any] = {"ready": True, "version": serving.served.version}
        if serving.from_copy:
            facts["from_copy"] = True
        if self.challenge.contest is not None:
            facts["challenger"] = {"version": self.challenge.contest.version, "share": self.challenge.contest.share}
        if self.problem:
            facts["problem"] = self.problem
        return facts


class RateLimit:
    """So many requests a second for each holder of a token; as many may come at once."""

    def __init__(self, per_second: float | None) -> None:
        self.per_second = per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, who: str) -> None:
        """Count a request; refuse it with 429 if there were too many."""
        if self.per_second is None:
            return
        now, most = time.monotonic(), max(self.per_second, 1.0)
        left, at = self._left.get(who, (most, now))
        left = min(most, left + (now - at) * self.per_second)
        if left < 1:
            self._left[who] = (left, now)
            raise Refused(
                429,
                f"more than {self.per_second:g} requests a second (serving.requests_per_second)",
                retry_after=(1 - left) / self.per_second,
            )
        self._left[who] = (left - 1, now)


def _split(answer: tuple[np.ndarray, pd.DataFrame | None], first: int, count: int) -> Any:
    predictions, contributions = answer
    part = None if contributions is None else contributions.iloc[first : first + count]
    return predictions[first : first + count], part
