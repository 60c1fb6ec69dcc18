"""The outbox against a real mail server: nothing is lost while it is down, nothing is sent twice while it is up."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from evergreen import outbox
from evergreen.outbox import LEASE, Letter, Picture, flush, message_id, post, waiting

from ml.adapters.objects import LocalObjects
from ml.settings import Notify
from ml.wiring import Services
from tests.dags.postbox import Postbox, smtp_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def letter(name: str = "drift/one", **facts: Any) -> Letter:
    given = {"kind": "drift", "subject": f"about {name}", "html": "<p>moved</p>", "text": "moved\n"}
    return Letter(name=name, **(given | facts))


def telling(services: Services, **notify: Any) -> Services:
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
    return [str(mail["Subject"]) for mail in postbox.messages]


def test_the_same_news_is_mailed_once(postbox: Postbox, services: Services) -> None:
    first = post(letter(), services)
    assert post(letter(), services) == first
    assert subjects(postbox) == ["about drift/one"]
    assert postbox.messages[0]["Message-ID"] == first
    assert postbox.messages[0]["From"] == "evergreen@localhost"
    assert waiting(services.storage) == []


def test_what_is_kept_is_the_whole_mail(dead_server: int, services: Services) -> None:
    post(letter(pictures=(Picture("chart", PNG),), html='<img src="cid:chart">'), services)
    kept = services.storage.get_bytes("outbox/mails/drift/one.eml").decode()
    assert "To: ml-team@example.com" in kept
    assert "image/png" in kept
    assert "text/plain" in kept


def test_a_server_that_is_down_costs_nothing_but_time(dead_server: int, services: Services, caplog: Any) -> None:
    for number in (2, 0, 1):
        post(letter(f"drift/{number}", subject=f"the {number}th"), services)
    assert len(waiting(services.storage)) == 3
    assert "3 mails wait" in caplog.text
    with server_on(dead_server) as back:
        assert flush(services.storage) == 0
        assert flush(services.storage) == 0
    assert sorted(subjects(back)) == ["the 0th", "the 1th", "the 2th"]


def test_the_next_mail_of_any_kind_takes_along_what_waits_oldest_first(
    dead_server: int, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, hour in (("drift/b", 1), ("drift/a", 2)):
        old = outbox.compose(letter(name), ("ml-team@example.com",), services)
        old.replace_header("Date", datetime(2013, 4, 1, hour, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S +0000"))
        services.storage.put_bytes(f"outbox/mails/{name}.eml", old.as_bytes())
    with server_on(dead_server) as back:
        post(letter("task_failed/c", kind="task_failed"), services)
    assert subjects(back) == ["about drift/b", "about drift/a", "about task_failed/c"]


def test_nobody_to_tell_is_no_mail(postbox: Postbox, services: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    quiet = telling(services, kinds={"held": []})
    assert post(letter("held/one", kind="held"), quiet) is None
    assert postbox.messages == []
    assert services.storage.list("outbox/") == []
    assert "nobody" in caplog.text


def test_each_kind_has_its_own_recipients(postbox: Postbox, services: Services) -> None:
    told = telling(services, to=["all@example.com"], approvers=["boss@example.com"], kinds={"decay": ["a@example.com"]})
    for kind in ("drift", "decay", "approval"):
        post(letter(f"{kind}/one", kind=kind), told)
    assert postbox.recipients == [["all@example.com"], ["a@example.com"], ["boss@example.com"]]


def test_one_bad_address_keeps_nothing_from_the_others(
    postbox: Postbox, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    postbox.refuses = {"gone@example.com": "550 no such user"}
    told = telling(services, to=["gone@example.com", "Here <here@example.com>"])
    post(letter(), told)
    post(letter("drift/two"), told)
    assert postbox.recipients == [["here@example.com"], ["here@example.com"]]
    assert waiting(services.storage) == []
    assert "gone@example.com gets no mail" in caplog.text


def test_a_recipient_who_is_busy_gets_it_later_and_the_others_not_again(postbox: Postbox, services: Services) -> None:
    postbox.refuses = {"busy@example.com": "450 mailbox busy"}
    post(letter(), telling(services, to=["busy@example.com", "here@example.com"]))
    assert len(waiting(services.storage)) == 1
    postbox.refuses = {}
    assert flush(services.storage) == 0
    assert postbox.recipients == [["here@example.com"], ["busy@example.com"]]


def test_a_mail_that_the_server_does_not_take_holds_no_other_up(postbox: Postbox, services: Services) -> None:
    postbox.breaks = ["552 too big"]
    post(letter("drift/big"), services)
    post(letter("drift/small"), services)
    assert set(subjects(postbox)) == {"about drift/big", "about drift/small"}


def test_two_runs_at_once_send_a_mail_once(postbox: Postbox, services: Services) -> None:
    with ThreadPoolExecutor(4) as runs:
        for round_ in range(5):
            list(runs.map(lambda _, name=f"drift/{round_}": post(letter(name), services), range(4)))  # type: ignore[misc]
    flush(services.storage)
    assert sorted(subjects(postbox)) == [f"about drift/{number}" for number in range(5)]


def test_what_another_run_is_sending_is_left_to_it(postbox: Postbox, services: Services) -> None:
    services.storage.create_bytes("outbox/claims/drift/one/0000", datetime.now(UTC).isoformat().encode())
    post(letter(), services)
    assert postbox.messages == []
    assert waiting(services.storage) == ["drift/one"]


def test_the_claim_of_a_run_that_was_killed_runs_out(postbox: Postbox, services: Services) -> None:
    long_ago = (datetime.now(UTC) - 2 * LEASE).isoformat().encode()
    for number in ("0000", "0003"):
        services.storage.create_bytes(f"outbox/claims/drift/one/{number}", long_ago)
    post(letter(), services)
    assert subjects(postbox) == ["about drift/one"]


def test_killed_between_the_servers_yes_and_the_mark_it_comes_again_under_the_same_id(
    postbox: Postbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(LocalObjects, "put_bytes", kill)
        with pytest.raises(SystemExit):
            post(letter(), services)
    assert flush(services.storage) == 0
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
            post(letter(), services)
    post(letter("drift/two"), services)
    assert sorted(subjects(postbox)) == ["about drift/one", "about drift/two"]


def test_an_answer_hangs_on_the_mail_that_it_answers(postbox: Postbox, services: Services) -> None:
    opened = post(letter("drift/opened"), services)
    post(letter("drift/resolved", thread="drift/opened"), services)
    assert postbox.messages[1]["In-Reply-To"] == postbox.messages[1]["References"] == opened
    assert postbox.messages[0]["In-Reply-To"] is None


def test_another_installation_gives_other_message_ids(services: Services, tmp_path: Any) -> None:
    here, there = services.storage, LocalObjects(str(tmp_path / "other"))
    assert message_id("drift/one", here) == message_id("drift/one", here)
    assert message_id("drift/one", here) != message_id("drift/two", here)
    assert message_id("drift/one", here) != message_id("drift/one", there)


def test_without_a_connection_the_mail_waits(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    assert post(letter(), services)
    assert waiting(services.storage) == ["drift/one"]


def test_a_picture_travels_inside_the_html(postbox: Postbox, services: Services) -> None:
    post(letter(pictures=(Picture("chart", PNG),), html='<img src="cid:chart" alt="up">'), services)
    (mail,) = postbox.messages
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == "<chart>"
    assert picture.get_content() == PNG
    assert mail.get_content_type() == "multipart/alternative"
