"""A Redis of the tests' own, in a temporary folder, that can be stopped and comes back with what it held."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.postgres import free_port

PASSWORD = "hunter2-stream"


@dataclass
class RedisServer:
    """A server on a port of 127.0.0.1 that asks for a password and writes each change to its disk."""

    partitions: ClassVar[int] = 1
    has_keys: ClassVar[bool] = False
    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        from redis import Redis

        return Redis.from_url(self.url)

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "requirepass": PASSWORD, "dir": self.folder}
        options |= {"appendonly": "yes", "appendfsync": "always", "save": ""}
        command = [self.program, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with self.client() as client:
            while True:
                assert self.process.poll() is None
                try:
                    client.ping()
                except Exception:
                    time.sleep(0.05)
                else:
                    return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def create(self, *streams: str) -> None:
        """Do nothing: a stream is there from its first message on."""

    def send(self, stream: str, bodies: Sequence[bytes]) -> None:
        """Write messages."""
        with self.client() as client, client.pipeline() as pipeline:
            for body in bodies:
                pipeline.xadd(stream, {"data": body})
            pipeline.execute()

    def read(self, stream: str) -> list[tuple[bytes | None, bytes]]:
        """Read a stream from its beginning to its end: each message, which has no key."""
        with self.client() as client:
            return [(None, held[b"__data__"]) for _, held in client.xrange(stream)]

    def count(self, stream: str) -> int:
        """Return how many messages a stream holds."""
        with self.client() as client:
            return int(client.xlen(stream))

    def acknowledged(self, stream: str, group: str) -> int:
        """Return how many messages of a stream a consumer group is done with."""
        with self.client() as client:
            (facts,) = (facts for facts in client.xinfo_groups(stream) if facts["name"] == group.encode())
            return len(client.xrange(stream, max=facts["last-delivered-id"])) - int(facts["pending"])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Start a server; without its program, or without the client, the test is skipped."""
    pytest.importorskip("faststream.redis", reason="FastStream is not installed (make streaming)")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no Redis server is installed (Debian: redis-server)")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
