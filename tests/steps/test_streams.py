"""Messages are predicted as the batch and the service do, once by key and day, and none is lost or blocks others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from ml.adapters import layout
from ml.serving import request_log
from ml.serving.day_lookup import DayLookup
from ml.serving.following import Follower
from ml.serving.served_model import ServedModel, Serving
from ml.serving.streams import consumer as consuming
from ml.serving.streams.consumer import Consumer, Unfinished
from ml.serving.streams.messages import Incoming, Outgoing
from ml.serving.streams.places import StreamPlaces
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World
from tests.steps.test_serving import Asked, a_row, as_records

URL = {"EVERGREEN_STREAM_URL": "kafka://127.0.0.1:9"}


class Read:
    """A consumer that is given messages by hand, and writes into lists."""

    def __init__(self, world: World, **serving: Any) -> None:
        self.world = world.having(serving={"timeout_seconds": 300, "stream_redeliver_seconds": 1, **serving})
        self.model = ServedModel(self.world.settings, self.world.services, ThreadPoolExecutor(1), ThreadPoolExecutor(1))
        self.follower = Follower(self.model)
        self.follower.look()
        self.places = StreamPlaces.load(self.model.name, of=1, environ=URL)
        self.consumer = Consumer(self.model, self.places)
        self.written: list[Outgoing] = []
        self.count = 0

    def deliver(self, *rows: dict[str, Any] | bytes, write: Any = None) -> list[dict[str, Any]]:
        """Deliver messages, each at a position of its own; return what was written for them."""
        self.count += 1
        bodies = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        return self.at([Incoming(body, f"in/{self.count}/{number}") for number, body in enumerate(bodies)], write=write)

    def at(self, delivered: Sequence[Incoming], write: Any = None) -> list[dict[str, Any]]:
        first = len(self.written)
        asyncio.run(self.consumer.take(delivered, write or self._write))
        return [json.loads(outgoing.body) for outgoing in self.written[first:]]

    async def _write(self, outgoing: Sequence[Outgoing]) -> None:
        self.written += outgoing

    def logged(self) -> pd.DataFrame:
        self.model.log.flush()
        return request_log.read(self.model.services, LAST_DAY)


@pytest.fixture
def read(trained: World) -> Read:
    return Read(trained)


def test_a_whole_day_has_the_floats_of_the_batch_and_of_the_service_bit_for_bit(trained: World) -> None:
    trained.score(LAST_DAY)
    batch = pd.read_parquet(
        trained.home / "storage" / layout.scoring.predictions(LAST_DAY) / layout.scoring.version_table(1)
    )
    rows = as_records(trained.held("inputs", LAST_DAY))
    written = Read(trained).deliver(*rows)
    assert [facts["probability"] for facts in written] == batch["prediction"].tolist()
    assert [facts["decision"] for facts in written] == batch["decision"].tolist()
    assert [facts["probability"] for facts in written[:9]] == Asked(trained).predict(rows[:9])
    alone = Read(trained)
    assert [alone.deliver(row)[0]["probability"] for row in rows[:9]] == batch["prediction"].tolist()[:9]


def test_a_message_that_comes_twice_has_the_same_answer_to_the_byte_and_is_logged_once(read: Read) -> None:
    row = a_row(read.world)
    read.deliver(row)
    read.deliver(dict(reversed(row.items())), row)
    assert len({outgoing.body for outgoing in read.written}) == len({read.written[0].identity}) == 1
    assert len(read.written) == 3
    (request,) = read.logged()["request"]
    assert request == read.written[0].identity


def test_a_message_that_was_written_is_not_written_again_when_it_is_delivered_again(read: Read) -> None:
    message = Incoming(json.dumps(a_row(read.world)).encode(), "in/0/7")
    assert len(read.at([message])) == 1
    assert read.at([message]) == []


def test_a_process_that_knows_nothing_of_it_writes_the_same_bytes(read: Read) -> None:
    row = a_row(read.world)
    other = Read(read.world)
    read.deliver(row)
    other.deliver(row)
    assert read.written == other.written


def test_a_message_that_comes_again_after_another_version_came_to_serve_has_the_answer_of_before(read: Read) -> None:
    row = a_row(read.world)
    (before,) = read.deliver(row)
    assert read.model.serving is not None
    served = replace(read.model.serving.served, version=2)
    read.model.swap(Serving(served, DayLookup(served, read.model.settings, read.model.services)))
    assert read.deliver(row) == [before] and before["version"] == 1
    (corrected,) = read.deliver({**row, "distance": 1.0})
    assert corrected["id"] == before["id"] and corrected["version"] == 2


def test_a_correction_is_predicted_after_what_it_corrects(read: Read) -> None:
    row = a_row(read.world)
    first, second = read.deliver(row, {**row, "distance": 1.0})
    assert first["id"] == second["id"] and first["probability"] != second["probability"]
    assert read.deliver({**row, "distance": 1.0}) == [second]


POISON: dict[str, tuple[Callable[[dict[str, Any]], Any], str | None]] = {
    "no JSON": (lambda row: b"\xff{", None),
    "no object": (lambda row: b"[1]", None),
    "no day": (lambda row: {**row, "day": None}, "day"),
    "a day of the training": (lambda row: {**row, "day": "2013-05-20"}, "day"),
    "text for a number": (lambda row: {**row, "distance": "far"}, "distance"),
    "a column left out": (lambda row: {name: value for name, value in row.items() if name != "humid"}, "humid"),
    "a lagged target mean": (lambda row: {**row, "history_all_1d": 0.5}, "history_all_1d"),
    "a key of another type": (lambda row: {**row, "carrier": 7}, "carrier"),
}


@pytest.mark.parametrize("case", POISON)
def test_a_poison_message_is_rejected_with_its_reason_and_the_others_are_predicted(read: Read, case: str) -> None:
    spoil, column = POISON[case]
    rows = as_records(read.world.held("inputs", LAST_DAY).head(5))
    expected = [facts["probability"] for facts in Read(read.world).deliver(*rows)]
    written = read.deliver(*rows[:2], spoil(rows[2]), *rows[3:])
    bad = [facts for facts in written if "error" in facts]
    assert [facts.get("probability") for facts in written if facts not in bad] == expected[:2] + expected[3:]
    (facts,) = bad
    assert [problem["column"] for problem in facts["problems"]] == ([column] if column else facts["problems"][:0]) or (
        facts["problems"][0]["expected"]
    )
    assert facts["error"] and "again" in facts["next"] and facts["position"] == "in/1/2"
    topics = [outgoing.topic for outgoing in read.written]
    assert topics.count(read.places.rejected) == 1 and topics.count(read.places.predictions) == 4


def test_what_fails_without_a_reason_is_tried_again_and_then_rejected(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = as_records(read.world.held("inputs", LAST_DAY).head(3))
    predict, failures = read.model.predict, []

    async def broken(given: Any, **options: Any) -> Any:
        if rows[1] in given:
            failures.append(len(given))
            raise ZeroDivisionError
        return await predict(given, **options)

    monkeypatch.setattr(read.model, "predict", broken)
    monkeypatch.setattr(consuming, "PAUSE_SECONDS", 0)
    read.consumer.hold_seconds = -1
    delivered = [Incoming(json.dumps(row).encode(), f"in/0/{number}") for number, row in enumerate(rows)]
    with pytest.raises(Unfinished, match="a prediction failed"):
        read.at(delivered)
    assert len(read.written) == 2
    (rejected,) = read.at(delivered)
    assert rejected["status"] == 500 and rejected["position"] == "in/0/1"
    assert failures.count(1) == consuming.FAILURES
    assert read.at(delivered) == []


def test_messages_that_together_take_too_long_are_tried_in_smaller_parts(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = read.model.predict

    async def slow(given: Any, **options: Any) -> Any:
        if len(given) > 1:
            raise TimeoutError
        return await predict(given, **options)

    monkeypatch.setattr(read.model, "predict", slow)
    assert len(read.deliver(*as_records(read.world.held("inputs", LAST_DAY).head(4)))) == 4


def test_a_day_whose_labels_are_missing_waits_and_is_not_rejected_and_the_others_are_written(trained: World) -> None:
    read, row = Read(trained), a_row(trained)
    messages = [
        Incoming(json.dumps(held).encode(), f"in/0/{number}")
        for number, held in enumerate([row, {**row, "day": NEXT_DAY.isoformat()}])
    ]
    with pytest.raises(Unfinished):
        read.at(messages)
    assert [json.loads(outgoing.body)["day"] for outgoing in read.written] == [LAST_DAY.isoformat()]
    assert NEXT_DAY.isoformat() in read.consumer.state()["waiting"]
    trained.ingest(NEXT_DAY)
    read.follower.look()
    (late,) = read.at(messages)
    assert late["day"] == NEXT_DAY.isoformat()
    assert "waiting" not in read.consumer.state()


def test_nothing_is_taken_for_written_while_the_broker_does_not_take_it(read: Read) -> None:
    row, tries = a_row(read.world), []

    async def refuse(outgoing: Sequence[Outgoing]) -> None:
        tries.append(list(outgoing))
        raise ConnectionError

    message = Incoming(json.dumps(row).encode(), "in/0/1")
    for _ in range(2):
        with pytest.raises(Unfinished, match="the broker does not take"):
            read.at([message], write=refuse)
    assert len(tries) > 1 and read.written == []
    (facts,) = read.at([message])
    assert [json.loads(outgoing[0].body) for outgoing in tries] == [facts] * len(tries)
    assert len(read.logged()) == 1


def test_a_stop_leaves_what_cannot_be_finished_to_be_delivered_again(read: Read) -> None:
    read.model.swap(None, "nobody serves")
    read.consumer.hold_seconds = 3600
    read.consumer.stopping = True
    with pytest.raises(Unfinished, match="nobody serves"):
        read.deliver(a_row(read.world))
    assert read.written == []


def test_through_kafkas_test_broker_predictions_and_rejections_have_topics_and_keys(read: Read) -> None:
    kafka = pytest.importorskip("faststream.kafka", reason="FastStream is not installed (make streaming)")
    from ml.serving.streams import brokers

    link = brokers.link(read.consumer, reader="a-test")
    received: dict[str, list[tuple[bytes, dict[str, Any]]]] = {}

    def listen(topic: str) -> None:
        async def keep(message: Any) -> None:
            received.setdefault(topic, []).append((message.raw_message.key, json.loads(message.body)))
            return message.body

        async def swallow(body: Any) -> None: ...

        link.broker.subscriber(topic, decoder=keep)(swallow)

    listen(read.places.predictions)
    listen(read.places.rejected)
    row = a_row(read.world)

    async def produce() -> None:
        async with kafka.TestKafkaBroker(link.broker) as broker:
            for body in (json.dumps(row).encode(), b"{", json.dumps(row, indent=1).encode()):
                headers = {"content-type": "application/json"}
                await broker.publish(body, read.places.inputs, headers=headers)

    asyncio.run(produce())
    first, second = received[read.places.predictions]
    assert first == second and first[0] == first[1]["id"].encode()
    ((key, facts),) = received[read.places.rejected]
    assert key == facts["id"].encode() and facts["status"] == 400
