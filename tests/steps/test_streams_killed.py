"""`evergreen consume` on a real Redis and a real broker of Kafka's protocol: killed and stopped, it loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from ml.adapters import layout
from ml.serving import request_log
from ml.settings import PROJECT_ROOT
from tests.kafka_server import KafkaServer, kafka_server
from tests.postgres import free_port
from tests.redis_server import RedisServer, redis_server
from tests.steps.conftest import LAST_DAY, World
from tests.steps.test_serving import as_records

__all__ = ["kafka_server", "redis_server"]
pytestmark = pytest.mark.timeout(600)
SERVING = {"stream_messages": 20, "stream_redeliver_seconds": 2, "timeout_seconds": 300, "log_seconds": 3600}
Server = RedisServer | KafkaServer


class Running:
    """A process of ``evergreen consume``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    def ready(self) -> dict[str, Any]:
        facts: dict[str, Any] = requests.get(f"{self.url}/ready", timeout=60).json()
        return facts

    def metrics(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=60).text

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.005)


@contextmanager
def consume(world: World, server: Server, log: Path) -> Iterator[Running]:
    """Run ``evergreen consume`` until it reads, and kill it at the end."""
    port = free_port()
    environ = {**os.environ, **world.environ, "EVERGREEN_STREAM_URL": server.url}
    command = [sys.executable, "-m", "ml.cli", "consume", "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environ, cwd=PROJECT_ROOT, stdout=out, stderr=out)
    running = Running(process, f"http://127.0.0.1:{port}", log)
    try:
        running.until(lambda: _is_ready(running))
        yield running
    finally:
        process.kill()
        process.wait()


def _is_ready(running: Running) -> bool:
    try:
        return bool(running.ready()["ready"])
    except requests.ConnectionError:
        time.sleep(0.1)
        return False


class Streams:
    """The streams of a world's model, seen by a program without Evergreen."""

    def __init__(self, world: World, server: Server) -> None:
        self.server, self.model = server, world.settings.task.name
        server.create(*(f"{self.model}.{name}" for name in ("inputs", "predictions", "rejected")))

    def send(self, *bodies: bytes) -> None:
        self.server.send(f"{self.model}.inputs", bodies)

    def count(self, stream: str = "predictions") -> int:
        return self.server.count(f"{self.model}.{stream}")

    def written(self, stream: str = "predictions") -> list[bytes]:
        return [body for _, body in self.server.read(f"{self.model}.{stream}")]

    def keys(self) -> set[tuple[bytes | None, str]]:
        """Return the key of each prediction beside its identity."""
        return {(key, json.loads(body)["id"]) for key, body in self.server.read(f"{self.model}.predictions")}

    def acknowledged(self) -> int:
        """Return how many messages the consumers are done with."""
        return self.server.acknowledged(f"{self.model}.inputs", f"evergreen-{self.model}")


@pytest.fixture(params=["redis_server", "kafka_server"])
def server(request: pytest.FixtureRequest) -> Server:
    """Start a broker of each kind that streams are read from."""
    started: Server = request.getfixturevalue(request.param)
    return started


def many(world: World, copies: int) -> list[dict[str, Any]]:
    """Return the rows of the day, and copies with other keys."""
    rows = as_records(world.held("inputs", LAST_DAY))
    return [{**row, "flight": row["flight"] + 100_000 * copy} for copy in range(copies) for row in rows]


def test_a_killed_consumer_loses_nothing_and_what_is_written_twice_is_the_same(
    trained: World, server: Server, tmp_path: Path
) -> None:
    trained.score(LAST_DAY)
    batch = pd.read_parquet(
        trained.home / "storage" / layout.scoring.predictions(LAST_DAY) / layout.scoring.version_table(1)
    )
    world = trained.having(serving=SERVING)
    streams, rows, poison = Streams(world, server), many(world, 12), b'{"day": 7}'
    bodies = [json.dumps(row).encode() for row in rows]
    streams.send(*bodies[:100], poison, *bodies[100:])
    for written in (40, 200):
        with consume(world, server, tmp_path / "log") as running:
            running.until(lambda written=written: streams.count() >= written)  # type: ignore[misc]
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
        assert streams.count() < len(rows), "it was to be killed before it is done"
    with consume(world, server, tmp_path / "log") as running:
        running.until(lambda: streams.acknowledged() == len(rows) + 1)
        assert "waiting" not in running.ready()["models"][streams.model]
    held = streams.written()
    contents = {json.loads(body)["id"]: body for body in held}
    assert {*held} == {*contents.values()}, "one prediction an identity, to the byte"
    assert len(contents) == len(rows)
    assert streams.keys() == {(identity.encode() if server.has_keys else None, identity) for identity in contents}
    by_key = {tuple(facts["key"].values()): facts for facts in map(json.loads, contents.values())}
    key = list(json.loads(held[0])["key"])
    assert [by_key[tuple(row[name] for name in key)]["probability"] for row in rows[: len(batch)]] == batch[
        "prediction"
    ].tolist()
    assert len({*streams.written("rejected")}) == 1
    in_flight = server.partitions * SERVING["stream_messages"]
    assert len(held) - len(contents) <= 2 * in_flight, "no more than was in flight"


def test_a_stopped_consumer_leaves_nothing_half_done_and_the_next_one_repeats_nothing(
    trained: World, server: Server, tmp_path: Path
) -> None:
    world = trained.having(serving=SERVING)
    streams, rows = Streams(world, server), many(world, 12)
    streams.send(*(json.dumps(row).encode() for row in rows))
    with consume(world, server, tmp_path / "log") as running:
        running.until(lambda: streams.count() >= 40)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) in {0, -signal.SIGTERM}, running.log.read_text()
    stopped_at = streams.count()
    assert streams.acknowledged() == stopped_at < len(rows)
    assert len(request_log.read(world.services, LAST_DAY)) == stopped_at
    with consume(world, server, tmp_path / "log") as running:
        running.until(lambda: streams.acknowledged() == len(rows))
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)
    requested = Counter(request_log.read(world.services, LAST_DAY)["request"])
    assert requested == Counter(json.loads(body)["id"] for body in streams.written())
    assert {*requested.values()} == {1} and len(requested) == len(rows)


def test_a_broker_that_is_away_is_said_so_and_read_again_when_it_is_back(
    trained: World, redis_server: RedisServer, tmp_path: Path
) -> None:
    world = trained.having(serving=SERVING)
    streams, bodies = Streams(world, redis_server), [json.dumps(row).encode() for row in many(world, 1)[:60]]
    with consume(world, redis_server, tmp_path / "log") as running:
        streams.send(*bodies[:30])
        running.until(lambda: streams.count() == 30)
        redis_server.stop()
        running.until(lambda: not running.ready()["ready"])
        assert "does not answer" in running.ready()["models"][streams.model]["broker"]
        assert f'evergreen_stream_broker_up{{model="{streams.model}"}} 0.0' in running.metrics()
        assert requests.get(f"{running.url}/live", timeout=60).status_code == 200
        redis_server.start()
        streams.send(*bodies[30:])
        running.until(lambda: {json.loads(body)["id"] for body in streams.written()}.__len__() == 60)
        running.until(lambda: bool(running.ready()["ready"]))
    text = running.log.read_text()
    assert "hunter2" not in text


def test_a_consumer_that_starts_before_the_broker_waits_for_it(
    trained: World, redis_server: RedisServer, tmp_path: Path
) -> None:
    world = trained.having(serving=SERVING)
    streams, (row,) = Streams(world, redis_server), many(world, 1)[:1]
    streams.send(json.dumps(row).encode())  # before there is a group
    redis_server.stop()
    port = free_port()
    environ = {**os.environ, **world.environ, "EVERGREEN_STREAM_URL": redis_server.url}
    log = tmp_path / "log"
    command = [sys.executable, "-m", "ml.cli", "consume", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environ, cwd=PROJECT_ROOT, stdout=out, stderr=out)
    running = Running(process, f"http://127.0.0.1:{port}", log)
    try:
        running.until(lambda: "does not answer" in log.read_text())
        redis_server.start()
        running.until(lambda: streams.count() == 1)
        assert "hunter2" not in log.read_text()
    finally:
        process.kill()
        process.wait()
