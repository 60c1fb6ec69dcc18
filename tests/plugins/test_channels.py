"""Several channels: each has its own backlog, none doubles or loses anything when another fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evergreen.alerts import outbox
from evergreen.alerts.channels.email import CHANNEL
from evergreen.alerts.outbox import enqueue, flush

from ml.adapters.local_files import LocalObjects
from ml.errors import SettingsError
from ml.settings import CHANNELS
from ml.wiring import Services
from tests.builders import settings
from tests.dags.postbox import Postbox
from tests.installed import install
from tests.plugins.test_outbox import alert, kill, notifying, server_on, subjects

LINES = """
from evergreen.alerts.channel import Channel, NotTaken

delivered, broken, not_taken = [], False, set()


class Lines(Channel):
    name = "lines"

    def deliver(self, alert, services, receipt):
        from ml.records import DeliveryReceipt

        if broken:
            raise ConnectionError("nobody listens")
        if alert.key in not_taken:
            raise NotTaken("too long")
        delivered.append(alert.key)
        return DeliveryReceipt()
"""
BOTH = ["email", "lines"]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install a channel of another package; give its module."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, monkeypatch, code={"lines": LINES}, entry_points="[evergreen.channels]\nlines = lines:Lines\n")
    monkeypatch.delitem(sys.modules, "lines", raising=False)
    CHANNELS.load("lines")
    yield sys.modules["lines"]
    sys.modules.pop("lines", None)


def test_each_channel_delivers_each_alert_once(postbox: Postbox, services: Services, lines: Any) -> None:
    both = notifying(services, channels=BOTH)
    for _ in range(2):
        enqueue(alert(), both)
    assert subjects(postbox) == ["about drift/one"]
    assert lines.delivered == ["drift/one"]


def test_days_without_one_channel_lose_and_double_nothing(dead_server: int, services: Services, lines: Any) -> None:
    both = notifying(services, channels=BOTH)
    keys = [f"drift/{number}" for number in range(5)]
    for key in keys:
        enqueue(alert(key), both)
        flush(both)
    assert lines.delivered == keys
    assert sorted(outbox.waiting("email", both.storage)) == keys
    lines.broken = True
    with server_on(dead_server) as back:
        enqueue(alert("drift/5"), both)
        flush(both)
        lines.broken = False
        assert flush(both) == 0
    assert subjects(back) == [f"about {key}" for key in [*keys, "drift/5"]]
    assert lines.delivered == [*keys, "drift/5"]


def test_what_a_channel_does_not_take_holds_no_other_alert_up(postbox: Postbox, services: Services, lines: Any) -> None:
    both = notifying(services, channels=BOTH)
    lines.not_taken = {"drift/0", "drift/1", "drift/2"}
    for number in range(4):
        enqueue(alert(f"drift/{number}"), both)
    assert lines.delivered == ["drift/3"]
    assert len(subjects(postbox)) == 4
    assert sorted(outbox.waiting("lines", both.storage)) == ["drift/0", "drift/1", "drift/2"]


def test_facts_that_no_template_fits_hold_no_other_alert_up(
    postbox: Postbox, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        enqueue(alert(f"drift/{number}", facts={}), services)
    enqueue(alert("drift/3"), services)
    assert subjects(postbox) == ["about drift/3"]
    assert "its templates do not fit its facts (UndefinedError" in caplog.text


def test_two_runs_at_once_deliver_once_by_each_channel(postbox: Postbox, services: Services, lines: Any) -> None:
    both = notifying(services, channels=BOTH)
    lines.broken = True
    for number in range(5):
        enqueue(alert(f"drift/{number}"), notifying(services, channels=["lines"]))
    lines.broken = False
    with ThreadPoolExecutor(4) as runs:
        list(runs.map(lambda _: flush(both), range(8)))
    assert sorted(lines.delivered) == [f"drift/{number}" for number in range(5)]
    assert postbox.messages == []


def test_killed_between_two_channels_the_second_delivers_later_and_the_first_not_again(
    postbox: Postbox, services: Services, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = notifying(services, channels=["lines", "email"])
    with monkeypatch.context() as killed:
        killed.setattr(CHANNEL, "deliver", kill)
        with pytest.raises(SystemExit):
            enqueue(alert(), both)
    assert flush(both) == 0
    assert lines.delivered == ["drift/one"]
    assert subjects(postbox) == ["about drift/one"]


def test_killed_right_after_it_was_kept_it_is_delivered_by_whoever_comes_next(
    postbox: Postbox, services: Services, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = notifying(services, channels=BOTH)
    with monkeypatch.context() as killed:
        killed.setattr(outbox, "flush", kill)
        with pytest.raises(SystemExit):
            enqueue(alert(), both)
    assert flush(both) == 0
    assert (subjects(postbox), lines.delivered) == (["about drift/one"], ["drift/one"])


def test_a_channel_that_is_added_later_does_not_get_what_was_before(
    postbox: Postbox, services: Services, lines: Any
) -> None:
    enqueue(alert("drift/old"), services)
    enqueue(alert("drift/new"), notifying(services, channels=BOTH))
    assert lines.delivered == ["drift/new"]
    assert outbox.waiting("lines", services.storage) == []


def test_a_broken_package_keeps_its_alerts_waiting_and_no_other_channel(
    postbox: Postbox, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, monkeypatch, code={"gone": "1 / 0"}, entry_points="[evergreen.channels]\ngone = gone:Gone\n")
    both = notifying(services, channels=["gone", "email"])
    enqueue(alert(), both)
    assert subjects(postbox) == ["about drift/one"]
    assert outbox.waiting("gone", both.storage) == ["drift/one"]
    assert "alerts wait for gone: the channel 'gone' of the package my-extensions cannot be imported" in caplog.text


def test_what_is_no_alert_holds_nothing_up(postbox: Postbox, services: Services, caplog: Any) -> None:
    services.storage.put_bytes("outbox/alerts/drift/0.json", b"{}")
    enqueue(alert(), services)
    assert subjects(postbox) == ["about drift/one"]
    assert "is not an alert, delete it" in caplog.text


def test_a_corrected_address_counts_for_what_still_waits(dead_server: int, services: Services) -> None:
    enqueue(alert(), notifying(services, to=["wrong@example.com"]))
    with server_on(dead_server) as back:
        flush(notifying(services, to=["right@example.com"]))
    assert back.recipients == [["right@example.com"]]


def test_no_channel_is_no_alert(postbox: Postbox, services: Services) -> None:
    assert enqueue(alert(), notifying(services, channels=[])) is None
    assert services.storage.list("outbox/") == []


def test_a_receipt_is_json_that_says_who_has_it(postbox: Postbox, services: Services) -> None:
    postbox.refuses = {"gone@example.com": "550 no such user"}
    enqueue(alert(), notifying(services, to=["gone@example.com", "here@example.com"]))
    receipt = json.loads(services.storage.get_bytes("outbox/delivered/email/drift/one.json"))
    assert (receipt["done"], receipt["taken"], list(receipt["rejected"])) == (
        True,
        ["here@example.com"],
        ["gone@example.com"],
    )


def test_the_built_in_channels_are_called_like_their_modules() -> None:
    for name in set(CHANNELS.names()) - set(CHANNELS.installed()):
        assert CHANNELS.load(name).name == name


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["emial"], r"notify\.channels: 'emial' is not a channel; use any of email"),
        (["email", "email"], r"notify\.channels: 'email' is named twice"),
    ],
)
def test_wrong_channels_are_refused_when_settings_are_loaded(channels: list[str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        settings(notify={"channels": channels})


def test_a_channel_of_another_package_is_known_without_being_imported(lines: ModuleType) -> None:
    sys.modules.pop("lines")
    assert settings(notify={"channels": BOTH}).notify.channels == ("email", "lines")
    assert "lines" not in sys.modules
    with pytest.raises(SettingsError, match=r"use any of email, .*, webhook, lines"):
        settings(notify={"channels": ["line"]})


def test_the_first_storage_error_makes_the_task_try_again(
    postbox: Postbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml.errors import Unavailable

    def unavailable(*_: object) -> None:
        raise Unavailable("the storage did not answer")

    monkeypatch.setattr(LocalObjects, "create_bytes", unavailable)
    with pytest.raises(Unavailable):
        enqueue(alert(), services)
