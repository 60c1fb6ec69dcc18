"""Late predictions are alerted once with their cause, and resolved once, through the real outbox and mail."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from evergreen.alerts.kinds.late import alert_late, open_episode

from ml.adapters import layout
from ml.records import QueuedAlert, Timeliness
from ml.wiring import Services
from tests.dags.postbox import Postbox

DAY = date(2013, 6, 14)
LATE = Timeliness(day=DAY, late=True, cause="data_rejected", reason="The inputs were rejected.")
TOMORROW = LATE.model_copy(update={"day": DAY + timedelta(days=1)})
CAME = Timeliness(day=DAY + timedelta(days=1), late=False)


def subjects(postbox: Postbox) -> list[str]:
    return [str(mail["Subject"]) for mail in postbox.messages]


def test_an_episode_is_two_mails_however_often_and_however_long(postbox: Postbox, services: Services) -> None:
    alert_late(CAME, services)
    assert subjects(postbox) == [], "in time"
    for found in (LATE, LATE, TOMORROW, TOMORROW, CAME, CAME):
        alert_late(found, services)
    title = f"flight-delay: Predictions late since {DAY}"
    assert subjects(postbox) == [title, f"Re: {title}"]
    opened, resolved = (mail.as_string().replace("=\n", "") for mail in postbox.messages)
    assert "the data were rejected" in opened
    assert "The inputs were rejected." in opened
    assert "Resolved" in resolved
    assert "rejected" not in resolved


def test_the_next_episode_is_another_one(postbox: Postbox, services: Services) -> None:
    later = LATE.model_copy(update={"day": DAY + timedelta(days=9)})
    for found in (LATE, CAME, later):
        alert_late(found, services)
    assert subjects(postbox)[-1] == f"flight-delay: Predictions late since {later.day}"
    assert open_episode(services.storage) == str(later.day)


def test_killed_before_the_mail_went_out_it_is_told_later_and_once(
    dead_server: int, services: Services, request: pytest.FixtureRequest
) -> None:
    alert_late(LATE, services)
    assert open_episode(services.storage) == str(DAY), "the outbox has it, no channel"
    postbox: Postbox = request.getfixturevalue("postbox")
    alert_late(LATE, services)
    alert_late(LATE, services)
    assert len(postbox.messages) == 1


def test_a_channel_sees_one_thread_that_ends(postbox: Postbox, services: Services) -> None:
    alert_late(LATE, services)
    alert_late(CAME, services)
    opening = layout.alerts.late_key(DAY, "opened")
    stored = services.storage.get_bytes(layout.alerts.alert(layout.alerts.late_key(DAY, "resolved")))
    alert = QueuedAlert.model_validate_json(stored).alert
    assert (alert.thread, alert.resolves, alert.severity) == (opening, True, "info")
