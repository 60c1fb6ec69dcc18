"""A connection of Airflow reaches ``ml`` as a URL in the environment of the task's process, and shows in no log."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from evergreen import connections, stepping
from sqlalchemy import make_url

VARIABLE = "EVERGREEN_CONNECTION_WAREHOUSE"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give the connections that Airflow has, to be filled."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    held: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in held:
            raise AirflowNotFoundException(f"The conn_id `{name}` isn't defined")
        return held[name]

    monkeypatch.setattr(connections.Connection, "get", get)
    monkeypatch.setenv(VARIABLE, "")
    return held


def _settings(*names: str) -> Any:
    return SimpleNamespace(connections=lambda: names, source=SimpleNamespace(model_dump=dict))


def _connection(**facts: Any) -> Any:
    from airflow.sdk import Connection

    return Connection(conn_id="warehouse", **facts)


def test_a_connection_without_its_provider_is_a_url_of_its_fields(known: dict[str, Any]) -> None:
    known["warehouse"] = _connection(
        conn_type="postgres", host="db", login="me", password="a/b@c:d", port=5433, schema="flights",
        extra='{"sslmode": "require", "nested": {}}',
    )  # fmt: skip
    connections.load_connections(_settings("warehouse", "absent"))
    url = make_url(os.environ[VARIABLE])
    assert url.drivername == "postgresql" and url.query == {"sslmode": "require"}
    assert (url.host, url.username, url.password, url.port, url.database) == ("db", "me", "a/b@c:d", 5433, "flights")
    assert "EVERGREEN_CONNECTION_ABSENT" not in os.environ


def test_a_file_of_sqlite_is_a_connection_too(known: dict[str, Any]) -> None:
    known["warehouse"] = _connection(conn_type="sqlite", host="/srv/flights.db")
    connections.load_connections(_settings("warehouse"))
    assert make_url(os.environ[VARIABLE]).database == "/srv/flights.db"


def test_the_hook_of_a_provider_knows_best(known: dict[str, Any]) -> None:
    hook = SimpleNamespace(sqlalchemy_url=make_url("snowflake://me:hunter2-secret@account/db/schema?warehouse=small"))
    known["warehouse"] = SimpleNamespace(conn_id="warehouse", get_hook=lambda: hook)
    connections.load_connections(_settings("warehouse"))
    assert os.environ[VARIABLE] == "snowflake://me:hunter2-secret@account/db/schema?warehouse=small"


def test_a_variable_that_is_set_goes_before_airflow(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    known["warehouse"] = _connection(conn_type="postgres", host="other")
    monkeypatch.setenv(VARIABLE, "sqlite:///mine.db")
    assert connections.load_connections(_settings("warehouse")) == ["sqlite:///mine.db"]


def test_no_log_shows_what_a_connection_holds(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk._shared.secrets_masker import SecretsMasker

    masker = SecretsMasker()
    monkeypatch.setattr("airflow.sdk.log._secrets_masker", lambda: masker)
    known["warehouse"] = _connection(conn_type="postgres", host="db", login="me", password="hunter2%secret")
    settings = _settings("warehouse")
    urls = connections.load_connections(settings)
    services: Any = SimpleNamespace(settings=settings, environment=SimpleNamespace(model_dump=dict))
    stepping.hide_secrets(services, urls)
    assert "hunter2" not in masker.redact(f"cannot connect to {urls[0]} with hunter2%secret")
