"""Predict the messages of one model: each is written before it is acknowledged, or it is delivered again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ml.errors import DataRejected, Unavailable
from ml.serving import metrics
from ml.serving.answers import rows_of
from ml.serving.problems import Refused
from ml.serving.served_model import ServedModel
from ml.serving.streams import messages
from ml.serving.streams.messages import Identity, Incoming, Outgoing
from ml.serving.streams.places import StreamPlaces

logger = logging.getLogger(__name__)
T = TypeVar("T")
REMEMBERED = 100_000
"""So many of the newest messages are recognised when they come again."""

WAITING = frozenset({429, 503})
"""A message that is refused so is tried again: it is as good as any, and what it needs is not there yet."""

FAILURES = 3
"""After so many unexpected failures a message is rejected."""

PAUSE_SECONDS = 0.5


class Unfinished(Exception):
    """Some messages could not be written yet: the broker is to deliver them again."""


class Memory(Generic[T]):
    """What is known of the newest things, by name."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self.size = size
        self._held: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str) -> T | None:
        """Return what is known of something; None if nothing is, or no longer."""
        return self._held.get(name)

    def put(self, name: str, value: T) -> None:
        """Remember something; the oldest is forgotten."""
        self._held[name] = value
        self._held.move_to_end(name)
        if len(self._held) > self.size:
            self._held.popitem(last=False)


@dataclass(eq=False)
class Item:
    """A message on its way: what it is about, and what is to be written for it."""

    message: Incoming
    row: dict[str, Any] = field(default_factory=dict, repr=False)
    identity: Identity | None = None
    outcome: Outgoing | None = None


Write = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Consumer:
    """What takes the messages of one model, some at a time, and writes for each a prediction or a rejection."""

    def __init__(self, model: ServedModel, places: StreamPlaces) -> None:
        self.model, self.places, self.name = model, places, model.name
        self.stopping = False
        self.problem = "the broker was not asked yet"
        self.waiting = ""
        self.hold_seconds = model.own.stream_redeliver_seconds / 2
        self._answered: Memory[tuple[str, Outgoing]] = Memory()
        self._written: Memory[bool] = Memory()
        self._failed: Memory[int] = Memory()
        self._lock = asyncio.Lock()

    async def take(self, delivered: Sequence[Incoming], write: Write) -> None:
        """Write an answer for each message; when this returns, all of them are written and may be acknowledged.

        Raises
        ------
        Unfinished
            If that was not possible in time; what was written is not written again when it comes again.
        """
        async with self._lock:
            items = [Item(message) for message in delivered if self._written.get(message.delivery) is None]
            metrics.STREAM_IN_FLIGHT.labels(self.name).set(len(items))
            try:
                await self._finish(items, write)
            finally:
                metrics.STREAM_IN_FLIGHT.labels(self.name).set(0)

    async def _finish(self, items: list[Item], write: Write) -> None:
        until = time.monotonic() + self.hold_seconds
        while items:
            self.waiting = ""
            await self._identify([item for item in items if item.identity is None and item.outcome is None])
            await self._predict(self._next_of_each(items))
            written = await self._write([item for item in items if item.outcome is not None], write)
            items = [item for item in items if item not in written]
            if not items:
                break
            if not written:
                if self.stopping or time.monotonic() > until:
                    raise Unfinished(f"{len(items)} messages wait: {self.waiting}")
                await asyncio.sleep(PAUSE_SECONDS)

    def _next_of_each(self, items: Sequence[Item]) -> list[Item]:
        """Return the oldest message of each key and day: a correction comes after what it corrects."""
        oldest: dict[str, Item] = {}
        for item in items:
            if item.identity is not None:
                oldest.setdefault(item.identity.name, item)
        return [item for item in oldest.values() if item.outcome is None]

    # --- what each message is about --------------------------------------------------------------

    async def _identify(self, items: Sequence[Item]) -> None:
        if self.model.serving is None:
            self.waiting = self.model.problem
            return
        read = []
        for item in items:
            try:
                item.row = messages.row_of(item.message)
                read.append(item)
            except Refused as refused:
                self._reject(item, refused)
        await self._each(read, self._name)

    async def _name(self, items: Sequence[Item]) -> None:
        serving = self.model.serving
        assert serving is not None
        rows, served = [item.row for item in items], serving.served
        for item, identity in zip(items, messages.identities(rows, served.own.task, served.types), strict=True):
            item.identity = identity

    # --- predictions -----------------------------------------------------------------------------

    async def _predict(self, items: Sequence[Item]) -> None:
        """Predict messages, those of a day together; what was answered before gets the same answer."""
        by_day: dict[str, list[Item]] = {}
        for item in items:
            assert item.identity is not None
            known = self._answered.get(item.identity.name)
            if known is not None and known[0] == item.identity.content:
                item.outcome = known[1]
                metrics.STREAM_MESSAGES.labels(self.name, "repeated").inc()
            else:
                by_day.setdefault(item.identity.day, []).append(item)
        for alike in by_day.values():
            await self._each(alike, self._answer)

    async def _answer(self, items: Sequence[Item]) -> None:
        held = [(item, item.identity) for item in items if item.identity is not None]
        async with asyncio.timeout(self.model.own.timeout_seconds):
            answer = await self.model.predict(
                [item.row for item in items], request=[identity.name for _, identity in held]
            )
        for (item, identity), row in zip(held, rows_of(answer, self.model.settings.task), strict=True):
            item.outcome = messages.prediction(
                identity,
                row,
                version=row.pop("version", answer.version),
                provisional=answer.is_provisional,
                model=self.name,
                topic=self.places.predictions,
            )
            self._answered.put(identity.name, (identity.content, item.outcome))
            metrics.STREAM_MESSAGES.labels(self.name, "predicted").inc()

    async def _each(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        """Do something to messages at once; where one spoils it, to halves of them, down to that one."""
        if not items:
            return
        refused: Refused | None = None
        is_late = False
        try:
            await work(items)
            return
        except TimeoutError:
            refused = Refused(503, "no answer in time (serving.timeout_seconds)")
            is_late = True
        except (Unavailable, OSError) as err:
            refused = Refused(503, str(err))
        except Refused as err:
            refused = err
        except DataRejected as err:
            refused = Refused(422, str(err))
        except Exception:
            logger.exception("%s: %d messages failed, first %s", self.name, len(items), items[0].message.position)
        waits = refused is not None and refused.status in WAITING
        if len(items) > 1 and (is_late or not waits):
            await self._halves(items, work)
        elif refused is None:
            self._fail(items[0])
        elif waits:
            self.waiting = refused.message
        else:
            self._reject(items[0], refused)

    async def _halves(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        middle = len(items) // 2
        await self._each(items[:middle], work)
        await self._each(items[middle:], work)

    def _fail(self, item: Item) -> None:
        """Count an unexpected failure; the message of which there were too many is rejected."""
        failures = (self._failed.get(item.message.delivery) or 0) + 1
        self._failed.put(item.message.delivery, failures)
        if failures >= FAILURES:
            self._reject(item, Refused(500, f"the prediction failed; the log of {self.name}'s consumer has the reason"))
        else:
            self.waiting = "a prediction failed; it is tried again"

    def _reject(self, item: Item, refused: Refused) -> None:
        logger.warning("%s: %s is rejected (%d)", self.name, item.message.position, refused.status)
        metrics.STREAM_MESSAGES.labels(self.name, "rejected").inc()
        item.outcome = messages.rejection(
            item.message, refused, model=self.name, inputs=self.places.inputs, topic=self.places.rejected
        )

    # --- written, and seen from outside ----------------------------------------------------------

    async def _write(self, items: Sequence[Item], write: Write) -> list[Item]:
        """Write what is to be written; return the messages of which the broker has confirmed it."""
        if not items:
            return []
        try:
            await write([item.outcome for item in items if item.outcome is not None])
        except Exception as err:  # noqa: BLE001  the broker's client has tried again for long
            logger.warning("%s: %d messages could not be written: %s", self.name, len(items), type(err).__name__)
            metrics.STREAM_WRITE_FAILURES.labels(self.name).inc()
            self.waiting = f"the broker does not take what is written ({type(err).__name__})"
            return []
        for item in items:
            self._written.put(item.message.delivery, True)
        return list(items)

    def connected(self, problem: str) -> None:
        """Note whether the broker answers; an empty problem says that it does."""
        if problem and problem != self.problem:
            logger.warning("%s: %s", self.name, problem)
        self.problem = problem
        metrics.STREAM_BROKER_UP.labels(self.name).set(0 if problem else 1)

    def state(self) -> dict[str, Any]:
        """Return what ``/ready`` says of this model."""
        facts = {**self.model.state(), "inputs": self.places.inputs}
        if self.waiting:
            facts["waiting"] = self.waiting
        return facts | ({"ready": False, "broker": self.problem} if self.problem else {})
