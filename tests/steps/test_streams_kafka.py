"""`evergreen consume` on a real broker of Kafka's protocol: killed and stopped, it loses nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pandas as pd
import pytest

from ml.adapters import layout
from ml.serving import request_log
from tests.kafka_server import KafkaServer, kafka_server
from tests.steps.conftest import LAST_DAY, World
from tests.steps.test_streams_killed import SERVING, consume, many

__all__ = ["kafka_server"]
pytestmark = pytest.mark.timeout(600)
PARTITIONS = 2


def _send(server: KafkaServer, model: str, bodies: list[bytes]) -> None:
    server.send(f"{model}.inputs", [(str(number).encode(), body) for number, body in enumerate(bodies)])


def _topics(server: KafkaServer, world: World) -> str:
    model = world.settings.task.name
    server.create(PARTITIONS, *(f"{model}.{name}" for name in ("inputs", "predictions", "rejected")))
    return model


def test_a_killed_consumer_loses_nothing_and_what_is_written_twice_is_the_same(
    trained: World, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    trained.score(LAST_DAY)
    batch = pd.read_parquet(trained.home / "storage" / layout.predictions(LAST_DAY) / layout.version_table(1))
    world = trained.having(serving=SERVING)
    model, rows, poison = _topics(kafka_server, world), many(world, 3), b'{"day": 7}'
    bodies = [json.dumps(row).encode() for row in rows]
    _send(kafka_server, model, [*bodies[:100], poison, *bodies[100:]])
    predictions, rejected = f"{model}.predictions", f"{model}.rejected"
    for written in (40, 200):
        with consume(world, kafka_server, tmp_path / "log") as running:
            running.until(lambda written=written: len(kafka_server.read(predictions)) >= written)  # type: ignore[misc]
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
        assert len(kafka_server.read(predictions)) < len(rows), "it was to be killed before it is done"
    with consume(world, kafka_server, tmp_path / "log") as running:
        running.until(lambda: kafka_server.committed(f"{model}.inputs", f"evergreen-{model}") == len(rows) + 1)
        assert "waiting" not in running.ready()["models"][model]
    held = kafka_server.read(predictions)
    assert all(key == json.loads(body)["id"].encode() for key, body in held)
    contents = dict(held)
    assert {body for _, body in held} == {*contents.values()}, "one prediction an identity, to the byte"
    assert len(contents) == len(rows)
    by_key = {tuple(facts["key"].values()): facts for facts in map(json.loads, contents.values())}
    key = list(json.loads(held[0][1])["key"])
    assert [by_key[tuple(row[name] for name in key)]["probability"] for row in rows[: len(batch)]] == batch[
        "prediction"
    ].tolist()
    assert len({body for _, body in kafka_server.read(rejected)}) == 1
    assert len(held) - len(contents) <= 2 * PARTITIONS * SERVING["stream_messages"], "no more than was in flight"


def test_a_stopped_consumer_leaves_nothing_half_done(trained: World, kafka_server: KafkaServer, tmp_path: Path) -> None:
    world = trained.having(serving=SERVING)
    model, rows = _topics(kafka_server, world), many(world, 2)
    _send(kafka_server, model, [json.dumps(row).encode() for row in rows])
    inputs, predictions, group = f"{model}.inputs", f"{model}.predictions", f"evergreen-{model}"
    with consume(world, kafka_server, tmp_path / "log") as running:
        running.until(lambda: len(kafka_server.read(predictions)) >= 40)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) in {0, -signal.SIGTERM}, running.log.read_text()
    stopped_at = len(kafka_server.read(predictions))
    assert kafka_server.committed(inputs, group) == stopped_at < len(rows)
    assert len(request_log.read(world.services, LAST_DAY)) == stopped_at
    with consume(world, kafka_server, tmp_path / "log") as running:
        running.until(lambda: kafka_server.committed(inputs, group) == len(rows))
    assert len({key for key, _ in kafka_server.read(predictions)}) == len(rows) == len(kafka_server.read(predictions))
