"""A PostgreSQL of the tests' own, in a temporary folder; without its server programs the tests are skipped."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

PASSWORD = "hunter2-database"


@dataclass(frozen=True)
class Postgres:
    """A running server, and a database of its own for whoever asks."""

    port: int

    def url(self, name: str = "postgres", *, user: str = "tests", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str, name: str = "postgres", rows: list[dict[str, Any]] | None = None) -> None:
        engine = create_engine(self.url(name), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement), rows or None)
        engine.dispose()

    def new(self) -> str:
        """Make an empty database; return its URL."""
        name = f"db_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _program(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a server on a free port of 127.0.0.1 that asks for a password, as a user without privileges."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="evergreen-postgres-"))
    options: dict[str, Any] = {
        "cwd": folder,
        "timeout": 120,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    if os.geteuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", "--no-sync", "--auth=scram-sha-256", "--username=tests"]
        data = str(folder / "data")
        subprocess.run([initdb, *locale, f"--pwfile={folder / 'password'}", "-D", data], check=True, **options)
        port = free_port()
        server = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -p {port} -F"
        log = str(folder / "log")
        subprocess.run([control, "-D", data, "-w", "-l", log, "-o", server, "start"], check=True, **options)
        try:
            yield Postgres(port)
        finally:
            subprocess.run([control, "-D", data, "-m", "immediate", "stop"], check=True, **options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
