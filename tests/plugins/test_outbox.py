"""The outbox and its e-mail against a real server: nothing is lost while it is down, nor sent twice while it is up."""

from __future__ import annotations

import json
import logging
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from evergreen.alerts import outbox
from evergreen.alerts.channels.email import message_id
from evergreen.alerts.outbox import LEASE, enqueue, flush

from ml.adapters.local_files import LocalObjects
from ml.records import Alert, Attachment
from ml.settings import Notify
from ml.wiring import Services
from tests.dags.postbox import Postbox, smtp_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


CHART = Attachment(name="chart", content=PNG, text="up")
FACTS = {"what": "moved", "where": "monitor", "day": "2013-04-01", "error": "", "errors": ["moved"], "failures": []}


def alert(key: str = "drift/one", **changes: Any) -> Alert:
    given = {"kind": "drift", "title": f"about {key}", "template": "failure", "facts": FACTS, "severity": "alarm"}
    about = {"model": "flight-delay", "created_at": datetime.now(UTC)}
    return Alert(key=key, **(given | about | changes))  # type: ignore[arg-type]


def waiting(services: Services) -> list[str]:
    return outbox.waiting("email", services.storage)


def notifying(services: Services, **notify: Any) -> Services:
    """Give the same services with other recipients."""
    settings = services.settings.model_copy(update={"notify": Notify.model_validate(notify)})
    return Services(settings, services.environment)


@contextmanager
def server_on(port: int) -> Iterator[Postbox]:
    caught = Postbox()
    server = smtp_server(caught, port)
    server.start()
    try:
        yield caught
    finally:
        server.stop()


def subjects(postbox: Postbox) -> list[str]:
    return [str(mail["Subject"]).removeprefix("flight-delay: ") for mail in postbox.messages]


def test_the_same_news_is_mailed_once(postbox: Postbox, services: Services) -> None:
    first = enqueue(alert(), services)
    assert enqueue(alert(), services) == first
    assert subjects(postbox) == ["about drift/one"]
    assert first is not None
    assert postbox.messages[0]["Message-ID"] == message_id(first, services.storage)
    assert postbox.messages[0]["From"] == "evergreen@localhost"
    assert waiting(services) == []


def test_what_is_kept_is_the_whole_alert(dead_server: int, services: Services) -> None:
    whole = alert(attachments=(CHART,), thread="drift/opened", day=date(2013, 4, 1), links=(("run", "http://x"),))
    enqueue(whole, services)
    stored = json.loads(services.storage.get_bytes("outbox/alerts/drift/one.json"))
    assert stored["channels"] == ["email"]
    assert Alert.model_validate_json(json.dumps(stored["alert"])) == whole


def test_a_server_that_is_down_costs_nothing_but_time(dead_server: int, services: Services, caplog: Any) -> None:
    for number in (2, 0, 1):
        enqueue(alert(f"drift/{number}", title=f"the {number}th"), services)
    assert len(waiting(services)) == 3
    assert "3 alerts wait for email" in caplog.text
    with server_on(dead_server) as back:
        assert flush(services) == 0
        assert flush(services) == 0
    assert sorted(subjects(back)) == ["the 0th", "the 1th", "the 2th"]


def test_the_next_mail_of_any_kind_takes_along_what_waits_oldest_first(dead_server: int, services: Services) -> None:
    for name, hour in (("drift/b", 1), ("drift/a", 2)):
        enqueue(alert(name, created_at=datetime(2013, 4, 1, hour, tzinfo=UTC)), services)
    with server_on(dead_server) as back:
        enqueue(alert("task_failed/c", kind="task_failed"), services)
    assert subjects(back) == ["about drift/b", "about drift/a", "about task_failed/c"]


def test_nobody_to_notify_is_no_alert(postbox: Postbox, services: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    quiet = notifying(services, kinds={"held": []})
    assert enqueue(alert("held/one", kind="held"), quiet) is None
    assert postbox.messages == []
    assert services.storage.list("outbox/") == []
    assert "nobody" in caplog.text


def test_each_kind_has_its_own_recipients(postbox: Postbox, services: Services) -> None:
    changed = notifying(
        services, to=["all@example.com"], approvers=["boss@example.com"], kinds={"decay": ["a@example.com"]}
    )
    for kind in ("drift", "decay", "approval"):
        enqueue(alert(f"{kind}/one", kind=kind), changed)
    assert postbox.recipients == [["all@example.com"], ["a@example.com"], ["boss@example.com"]]


def test_one_bad_address_keeps_nothing_from_the_others(
    postbox: Postbox, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    postbox.refuses = {"gone@example.com": "550 no such user"}
    changed = notifying(services, to=["gone@example.com", "Here <here@example.com>"])
    enqueue(alert(), changed)
    enqueue(alert("drift/two"), changed)
    assert postbox.recipients == [["here@example.com"], ["here@example.com"]]
    assert waiting(services) == []
    assert "gone@example.com gets no mail" in caplog.text


def test_a_recipient_who_is_busy_gets_it_later_and_the_others_not_again(postbox: Postbox, services: Services) -> None:
    postbox.refuses = {"busy@example.com": "450 mailbox busy"}
    changed = notifying(services, to=["busy@example.com", "here@example.com"])
    enqueue(alert(), changed)
    assert len(waiting(services)) == 1
    postbox.refuses = {}
    assert flush(changed) == 0
    assert postbox.recipients == [["here@example.com"], ["busy@example.com"]]


def test_a_mail_that_the_server_does_not_take_holds_no_other_up(postbox: Postbox, services: Services) -> None:
    postbox.breaks = ["552 too big"]
    enqueue(alert("drift/big"), services)
    enqueue(alert("drift/small"), services)
    assert set(subjects(postbox)) == {"about drift/big", "about drift/small"}


def test_two_runs_at_once_send_a_mail_once(postbox: Postbox, services: Services) -> None:
    with ThreadPoolExecutor(4) as runs:
        for round_ in range(5):
            list(runs.map(lambda _, name=f"drift/{round_}": enqueue(alert(name), services), range(4)))  # type: ignore[misc]
    flush(services)
    assert sorted(subjects(postbox)) == [f"about drift/{number}" for number in range(5)]


def test_what_another_run_is_sending_is_left_to_it(postbox: Postbox, services: Services) -> None:
    services.storage.create_bytes("outbox/claims/email/drift/one/0000", datetime.now(UTC).isoformat().encode())
    enqueue(alert(), services)
    assert postbox.messages == []
    assert waiting(services) == ["drift/one"]


def test_the_claim_of_a_run_that_was_killed_runs_out(postbox: Postbox, services: Services) -> None:
    long_ago = (datetime.now(UTC) - 2 * LEASE).isoformat().encode()
    for number in ("0000", "0003"):
        services.storage.create_bytes(f"outbox/claims/email/drift/one/{number}", long_ago)
    enqueue(alert(), services)
    assert subjects(postbox) == ["about drift/one"]


def test_killed_between_the_servers_yes_and_the_mark_it_comes_again_under_the_same_id(
    postbox: Postbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(LocalObjects, "put_bytes", kill)
        with pytest.raises(SystemExit):
            enqueue(alert(), services)
    assert flush(services) == 0
    first, second = postbox.messages
    assert first["Message-ID"] == second["Message-ID"] == message_id("drift/one", services.storage)


def kill(*_: object, **__: object) -> None:
    raise SystemExit


def test_killed_before_it_was_sent_it_is_sent_by_whoever_comes_next(
    postbox: Postbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(smtplib.SMTP, "send_message", kill)
        with pytest.raises(SystemExit):
            enqueue(alert(), services)
    enqueue(alert("drift/two"), services)
    assert sorted(subjects(postbox)) == ["about drift/one", "about drift/two"]


def test_an_answer_hangs_on_the_mail_that_it_answers(postbox: Postbox, services: Services) -> None:
    enqueue(alert("drift/opened"), services)
    enqueue(alert("drift/resolved", thread="drift/opened"), services)
    assert (
        postbox.messages[1]["In-Reply-To"]
        == postbox.messages[1]["References"]
        == message_id("drift/opened", services.storage)
    )
    assert postbox.messages[0]["In-Reply-To"] is None


def test_another_installation_gives_other_message_ids(services: Services, tmp_path: Any) -> None:
    here, there = services.storage, LocalObjects(str(tmp_path / "other"))
    assert message_id("drift/one", here) == message_id("drift/one", here)
    assert message_id("drift/one", here) != message_id("drift/two", here)
    assert message_id("drift/one", here) != message_id("drift/one", there)


def test_without_a_connection_the_mail_waits(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    assert enqueue(alert(), services)
    assert waiting(services) == ["drift/one"]


def test_a_picture_travels_inside_the_html(postbox: Postbox, services: Services) -> None:
    enqueue(alert(attachments=(CHART,)), services)
    (mail,) = postbox.messages
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == "<chart>"
    assert picture.get_content() == PNG
    assert mail.get_content_type() == "multipart/alternative"
