"""The doctor says of each channel whether it could deliver, and sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ml.cli import channel_check, doctor
from ml.wiring import Services
from tests.dags.postbox import Postbox
from tests.plugins.http_sink import Sink
from tests.plugins.test_http_channels import ALL, PATH, ROUTING, SECRET, TOKEN, connect
from tests.plugins.test_outbox import notifying


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    server = Sink()
    server.start()
    connect(server, monkeypatch)
    try:
        yield server
    finally:
        server.stop()


def states(services: Services) -> dict[str, str]:
    return {channel["channel"]: channel["state"] for channel in channel_check.examine(services)}


def message(services: Services) -> str:
    (channel,) = channel_check.examine(services)
    assert channel["state"] == "wrong", channel
    return channel["message"]


def connection(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", json.dumps({"conn_type": "generic", **fields}))


def test_channels_that_work_are_named_and_get_no_alert(sink: Sink, postbox: Postbox, services: Services) -> None:
    to = notifying(services, channels=["email", *ALL])
    assert states(to) == dict.fromkeys(["email", *ALL], "works")
    assert (sink.taken, sink.posted, postbox.messages) == ([], [], [])
    assert PATH not in {path for path, *_ in sink.calls}, "the webhook of teams is not called"
    assert to.storage.list("outbox/") in ([], ["outbox/installation"])


def test_a_server_that_is_away_is_wrong_and_no_secret_is_shown(
    sink: Sink, dead_server: int, services: Services
) -> None:
    sink.stop()
    examined = channel_check.examine(notifying(services, channels=["email", *ALL]))
    assert {channel["state"] for channel in examined} == {"wrong"}
    shown = json.dumps(examined)
    assert not [secret for secret in (TOKEN, ROUTING, PATH, SECRET) if secret in shown]


def test_what_is_not_complete_is_wrong_and_the_next_move_is_named(
    sink: Sink, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch, "slack", password=TOKEN, host=f"{sink.url}/api")
    assert "needs its channel" in message(notifying(services, channels=["slack"]))
    connection(monkeypatch, "slack", password=TOKEN, host=f"{sink.url}/api", extra={"channel": "C1"})
    sink.slack_errors = {"auth.test": "invalid_auth"}
    assert "invalid_auth" in message(notifying(services, channels=["slack"]))
    connection(monkeypatch, "teams", password="a word")
    assert "not the address of a webhook" in message(notifying(services, channels=["teams"]))
    connection(monkeypatch, "webhook", host=sink.url, password="short")
    assert "make one by" in message(notifying(services, channels=["webhook"]))
    connection(monkeypatch, "pagerduty", host=sink.url)
    assert "has no password" in message(notifying(services, channels=["pagerduty"]))
    assert "notify.to" in message(notifying(services, channels=["email"], to=[]))


def test_a_connection_that_only_tasks_can_read_is_not_called_wrong(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SMTP", "SLACK"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}_DEFAULT", raising=False)
    to = notifying(services, channels=["email", "slack"])
    assert states(to) == {"email": "unseen", "slack": "unseen"}
    assert all("AIRFLOW_CONN_" in channel["message"] for channel in channel_check.examine(to))


def test_the_doctor_shows_channels_and_counts_those_that_cannot_deliver(
    sink: Sink, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = {"healthy": True, "champion": 3, "problems": []}
    monkeypatch.setattr(doctor, "run", lambda **_: dict(healthy))
    monkeypatch.setattr(doctor, "open_services", lambda **_: notifying(services, channels=["webhook", "slack"]))
    assert doctor.main([]) == 0
    assert "channel webhook: works: 127.0.0.1 answers" in capsys.readouterr().out
    sink.slack_errors = {"auth.test": "invalid_auth"}
    assert doctor.main([]) == 3
    assert "channel slack: cannot deliver" in capsys.readouterr().out
    assert doctor.main(["--repair"]) == 0, "a repair is of storage and MLflow, and calls nobody"
