"""Airflow in a temporary home before anything here imports it, and a real mail server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.settings import PROJECT_ROOT
from tests.dags.airflow_home import isolate
from tests.dags.postbox import Postbox, free_port, smtp_connection, smtp_server

isolate()


@pytest.fixture
def postbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postbox]:
    """Catch what Airflow's ``smtp_default`` connection sends to."""
    caught = Postbox()
    server = smtp_server(caught)
    server.start()
    try:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", smtp_connection(server.port))
        yield caught
    finally:
        server.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lead the environment to an installation of its own, with the project's settings."""
    for name in [name for name in os.environ if name.startswith(("EVERGREEN_", "AWS_"))]:
        if not name.startswith("EVERGREEN_TEST_AIRFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    monkeypatch.setenv("EVERGREEN_PARAMS", str(PROJECT_ROOT / "params.yaml"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.test:5000")
    return tmp_path


@pytest.fixture
def services(home: Path) -> Any:
    from ml.wiring import open_services

    return open_services()


@pytest.fixture
def dead_server(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lead Airflow's connection to a port on which nobody listens; return the port."""
    port = free_port()
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", smtp_connection(port))
    return port


@pytest.fixture(scope="module")
def app() -> Any:
    """Build the page, with a database behind Airflow: it looks there whether a login was revoked."""
    from airflow.utils.db import initdb
    from evergreen import page

    initdb()
    return page.build()


@pytest.fixture
def send_as(app: Any, home: Path) -> Callable[..., Any]:
    """Send the page a request as somebody of a role of Airflow's simple auth manager."""
    import httpx
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def send(role: str, method: str, path: str, **more: Any) -> Any:
        token = create_auth_manager().generate_jwt(SimpleAuthManagerUser(username=f"a {role}", role=role))

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://airflow.test", cookies={"_token": token}
            ) as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    return send
