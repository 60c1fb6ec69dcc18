"""Airflow in a temporary home before anything here imports it, and a real mail server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dags.airflow_home import isolate
from tests.dags.postbox import Postbox, smtp_connection, smtp_server

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
