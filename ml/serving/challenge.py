"""Ask the challenger beside the champion: for the rows of its keys, or in shadow.

Whatever is wrong with it costs nobody an answer: the champion gives it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ml.adapters.request_parts import ARM
from ml.serving import metrics, request_rows
from ml.serving.asked import Prediction, Requested, Serving, placed
from ml.serving.problems import Refused
from ml.serving.traffic import ARMS, Contest, shadow_columns

if TYPE_CHECKING:
    from ml.serving.served_model import ServedModel


class Challenge:
    """The challenger of a model, while one may be asked.

    Attributes
    ----------
    contest
        None while the champion alone is asked.
    failure
        What the challenger failed with first; empty if it did not.
    """

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.contest: Contest | None = None
        self.failure = ""
        self._shadows = set[asyncio.Task[None]]()
        self._shadow_rows = 0

    def swap(self, contest: Contest | None) -> None:
        """Let a challenger be asked from the next request on; None for none."""
        self.contest, self.failure = contest, ""
        self.model.count_threads()
        metrics.CHALLENGER.labels(self.model.name).set(contest.version if contest else 0)

    async def answer(self, contest: Contest, requested: Requested, serving: Serving, today: date) -> Prediction:
        """Answer with champion and challenger, each its keys; in shadow with the champion, and ask the challenger."""
        table, days, explained = requested.table, requested.days, requested.explained
        divided = contest.can_answer(requested.rows, days)
        takes = contest.takes(table) if divided else np.zeros(table.num_rows, dtype=bool)
        places, other = np.flatnonzero(takes), None
        if len(places):
            other = await self._challenged(contest, requested, places, today)
        if other is not None and takes.all():
            answer = other
        else:
            answer = await self.model.answer(serving, table, days, today, explained=explained)
            answer = answer if other is None else placed(answer, other, places)
        versions = np.full(table.num_rows, serving.served.version)
        versions[places] = contest.version if other is not None else serving.served.version
        first = int(versions[0])
        answer = replace(
            answer, version=first if (versions == first).all() else None, versions=tuple(versions.tolist())
        )
        if not contest.share:
            answer = replace(answer, versions=None)
            if divided:
                self._ask_in_shadow(contest, requested, answer, today)
                return answer
        more = {ARM: pa.array([ARMS[taken] for taken in takes.tolist()], pa.string())} if divided else {}
        self.model.log_answer(table, answer, versions, requested.request, requested.started, more=more)
        return answer

    async def _challenged(
        self, contest: Contest, requested: Requested, places: np.ndarray, today: date
    ) -> Prediction | None:
        """Ask the challenger for some rows; None if it fails, so that the champion answers these."""
        challenger = contest.challenger
        served = challenger.served
        try:
            if requested.explained and await self.model.refuses_contributions(served, len(places)):
                return None
            async with asyncio.timeout(self.model.own.timeout_seconds / 2):
                rows = [requested.rows[place] for place in places]
                table = request_rows.as_table(
                    rows, served.types, needed=served.needed, today=today, computed=served.computed
                )
                days = request_rows.days_of(table)
                return await self.model.answer(challenger, table, days, today, explained=requested.explained)
        except Exception as err:  # noqa: BLE001  whatever it is, it costs nobody an answer
            metrics.CHALLENGER_FALLBACKS.labels(self.model.name).inc()
            if not (isinstance(err, Refused) and err.status == 503):  # it may answer in a moment
                self.failure = self.failure or (str(err) or type(err).__name__)
            return None

    def _ask_in_shadow(self, contest: Contest, requested: Requested, answer: Prediction, today: date) -> None:
        """Ask the challenger while the champion's answer is on its way, and log both, or what there is."""

        async def ask() -> None:
            more: dict[str, pa.Array] = {}
            try:
                if self._shadow_rows <= self.model.own.max_rows:
                    other = await self._challenged(contest, requested, np.arange(count), today)
                    if other is not None:
                        more = shadow_columns(contest.version, other.predictions, self.model.settings.task)
                if not more:
                    metrics.SHADOW_SKIPPED.labels(self.model.name).inc(count)
            finally:
                self._shadow_rows -= count
                self.model.log_answer(
                    requested.table, answer, answer.version, requested.request, requested.started, more=more,
                    seconds=seconds,
                )  # fmt: skip

        count, seconds = requested.table.num_rows, time.perf_counter() - requested.started
        self._shadow_rows += count
        task = asyncio.create_task(ask())
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def drain(self) -> None:
        """Wait until all that is asked in shadow is in the request log."""
        while self._shadows:
            await asyncio.wait(self._shadows)
