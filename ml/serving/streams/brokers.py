"""The door to message brokers: FastStream reads and writes Kafka's topics and Redis's streams."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ml.errors import SettingsError
from ml.serving.streams.consumer import Consumer, Unfinished
from ml.serving.streams.messages import Incoming, Outgoing
from ml.serving.streams.places import StreamPlaces

try:
    from faststream import exceptions, security
    from faststream.kafka import KafkaBroker
    from faststream.middlewares import AckPolicy
    from faststream.redis import RedisBroker, StreamSub
    from faststream.redis.parser import BinaryMessageFormatV1
    from redis.exceptions import ResponseError
except ImportError as missing:
    raise SettingsError(
        f"evergreen consume needs {missing.name}, which is not installed; run 'make streaming'"
    ) from missing

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 20.0
"""How long messages that were taken may still be written after a stop was asked for."""

POLL_MILLISECONDS = 50
LONGEST_POLL_SECONDS = 300
PLAIN_FIELD = b"data"
"""The field of a Redis entry that a producer without FastStream puts the JSON into."""

Write = Callable[[Sequence[Outgoing]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Link:
    """A connection to a broker that is read as long as it is started."""

    broker: Any
    subscribers: tuple[Any, ...]
    prepare: Callable[[], Awaitable[None]]
    write: Write

    async def start(self) -> None:
        """Connect, and begin to read."""
        await self.prepare()
        await self.broker.start()

    async def stop(self) -> None:
        """Read no more; what was read may be finished, and what is not stays unacknowledged."""
        await self.broker.stop()

    async def answers(self, seconds: float) -> bool:
        """Check whether the broker answers."""
        return bool(await self.broker.ping(seconds))

    def reads(self) -> bool:
        """Check whether the topic is still read: a stream that was deleted is not."""
        return all(subscriber.running for subscriber in self.subscribers)


def link(consumer: Consumer, *, reader: str) -> Link:
    """Build the link that a model's places call for; nothing is contacted yet.

    Parameters
    ----------
    reader
        What this process is called among those that read the same stream (Redis only).
    """
    return _kafka(consumer) if consumer.places.kafka is not None else _redis(consumer, reader)


def _handler(consumer: Consumer, write: Write) -> Callable[[list[Incoming]], Awaitable[None]]:
    async def handle_batch(delivered: list[Incoming]) -> None:
        try:
            await consumer.take(delivered, write)
        except Unfinished as err:
            logger.info("%s: %s", consumer.name, err)
            raise exceptions.NackMessage from err

    return handle_batch


# --- Kafka ------------------------------------------------------------------------------------------


def _kafka(consumer: Consumer) -> Link:
    places, own = consumer.places, consumer.model.own
    broker = KafkaBroker(
        list(places.kafka.servers) if places.kafka else [],
        client_id="evergreen",
        security=_security(places),
        acks="all",
        enable_idempotence=places.kafka is None or places.kafka.is_idempotent,
        allow_auto_create_topics=False,
        graceful_timeout=DRAIN_SECONDS,
        apply_types=False,
        logger=None,
    )
    subscriber = broker.subscriber(
        places.inputs,
        group_id=places.group,
        batch=True,
        max_records=own.stream_messages,
        batch_timeout_ms=POLL_MILLISECONDS,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_interval_ms=int(1000 * max(LONGEST_POLL_SECONDS, 4 * own.stream_redeliver_seconds)),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        parser=_without_headers,
        decoder=_of_records,
    )

    async def write(outgoing: Sequence[Outgoing]) -> None:
        results = await asyncio.gather(
            *(
                broker.publish(sent.body, topic=sent.topic, key=sent.identity.encode(), correlation_id=sent.identity)
                for sent in outgoing
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    subscriber(_handler(consumer, write))
    return Link(broker, (subscriber,), _nothing, write)


def _security(places: StreamPlaces) -> Any:
    kafka = places.kafka
    if kafka is None or not (kafka.user or kafka.encrypted):
        return None
    context = ssl.create_default_context() if kafka.encrypted else None
    if not kafka.user:
        return security.BaseSecurity(ssl_context=context)
    login = {
        "PLAIN": security.SASLPlaintext,
        "SCRAM-SHA-256": security.SASLScram256,
        "SCRAM-SHA-512": security.SASLScram512,
    }[kafka.mechanism]
    return login(kafka.user, kafka.password, ssl_context=context)


async def _without_headers(records: Any, original: Any) -> Any:
    """Parse records without their headers, which may be no text, and are not needed."""
    return await original(tuple(dataclasses.replace(record, headers=()) for record in records))


async def _of_records(message: Any) -> list[Incoming]:
    return [
        Incoming(record.value or b"", f"{record.topic}/{record.partition}/{record.offset}")
        for record in message.raw_message
    ]


async def _nothing() -> None:
    """Prepare nothing: the consumer group of Kafka comes into being by itself."""


# --- Redis ------------------------------------------------------------------------------------------


class _PlainJson(BinaryMessageFormatV1):
    """Entries as any program writes and reads them; those in FastStream's own envelope can be read, too."""

    @classmethod
    async def encode(cls, *, message: Any, **_: Any) -> bytes:
        return bytes(message)


def _redis(consumer: Consumer, reader: str) -> Link:
    places, own = consumer.places, consumer.model.own
    broker = RedisBroker(
        places.url, graceful_timeout=DRAIN_SECONDS, apply_types=False, logger=None, message_format=_PlainJson
    )
    own_part: dict[str, Any] = {"group": places.group, "consumer": reader, "batch": True}
    new = StreamSub(places.inputs, max_records=own.stream_messages, polling_interval=500, **own_part)
    left = StreamSub(
        places.inputs, min_idle_time=int(1000 * own.stream_redeliver_seconds), polling_interval=1000, **own_part
    )
    subscribers = tuple(
        broker.subscriber(
            stream=stream, ack_policy=AckPolicy.NACK_ON_ERROR, parser=_without_contents, decoder=_of_entries
        )
        for stream in (new, left)
    )

    async def write(outgoing: Sequence[Outgoing]) -> None:
        client: Any = await broker.connect()
        async with client.pipeline(transaction=False) as pipeline:
            for sent in outgoing:
                await broker.publish(sent.body, stream=sent.topic, correlation_id=sent.identity, pipeline=pipeline)
            await pipeline.execute()

    async def create_group() -> None:
        """Let the group begin with what is in the stream already: FastStream's begins with what comes."""
        client: Any = await broker.connect()
        try:
            await client.xgroup_create(places.inputs, places.group, id="0", mkstream=True)
        except ResponseError as err:
            if "BUSYGROUP" not in str(err):
                raise

    for subscriber in subscribers:
        subscriber(_handler(consumer, write))
    return Link(broker, subscribers, create_group, write)


async def _without_contents(entries: Any, original: Any) -> Any:
    """Parse entries without what is in them, which may be no JSON, and keep it aside."""
    message = await original({**entries, "data": []})
    names = [f"{entries['channel']}/{identity.decode()}" for identity in entries["message_ids"]]
    message.body = [Incoming(_content(held), name) for held, name in zip(entries["data"], names, strict=True)]
    return message


async def _of_entries(message: Any) -> list[Incoming]:
    held: list[Incoming] = message.body
    return held


def _content(held: dict[bytes, bytes]) -> bytes:
    content = held.get(b"__data__", held.get(PLAIN_FIELD, b""))
    if not content.startswith(BinaryMessageFormatV1.IDENTITY_HEADER):
        return content
    return bytes(BinaryMessageFormatV1.parse(content)[0])
