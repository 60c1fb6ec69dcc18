"""Slack, Teams, PagerDuty and the webhook against a real HTTP server that fails in every way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from evergreen.alerts import http_channel, outbox, send_test
from evergreen.alerts.channels import pagerduty, slack, teams, webhook
from evergreen.alerts.http_channel import alert_id
from evergreen.alerts.outbox import enqueue, flush
from evergreen.alerts.rendering import brief
from pydantic_core import to_json

from ml.adapters.local_files import LocalObjects
from ml.errors import SettingsError
from ml.records import DeliveryReceipt
from ml.wiring import Services
from tests.builders import settings
from tests.dags.postbox import Postbox
from tests.plugins.http_sink import Sink
from tests.plugins.test_notifications import facts_of
from tests.plugins.test_outbox import alert, kill, notifying, subjects
from tests.plugins.test_watch import WAITING, Story

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TOKEN, ROUTING, PATH = "xoxb-not-a-token-0815", "routing-key-0815", "/workflows/secret-path-0815"
ALL = ["slack", "teams", "pagerduty", "webhook"]
FAILING = ["refuse", "hang", "trickle", "drop", "500", "429", "404", "401", "redirect"]


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """Start the server, and lead all connections to it."""
    server = Sink()
    server.start()
    connect(server, monkeypatch)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def impatient(seconds: float = 0.3) -> Iterator[None]:
    """Wait for answers so long only: for the other side that gives none, never for one that is slow today."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_channel, "READ_SECONDS", seconds)
        patch.setattr(http_channel, "DEADLINE", 2 * seconds)
        yield


def connect(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "slack": {"host": f"{sink.url}/api", "password": TOKEN, "extra": {"channel": "C1"}},
        "teams": {"password": f"{sink.url}{PATH}"},
        "pagerduty": {"host": sink.url, "password": ROUTING},
        "webhook": {"host": f"{sink.url}/hook", "password": SECRET},
    }
    for name, fields in made.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", json.dumps({"conn_type": "generic", **fields}))


class Clock(datetime):
    """The outbox's time, which a test moves."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "ahead", timedelta(0))
    monkeypatch.setattr(outbox, "datetime", Clock)
    monkeypatch.setattr(teams, "datetime", Clock)
    return Clock


def opened(number: int = 0, **more: Any) -> Any:
    return alert(f"drift/{number}/opened", title=f"Drift since day {number}: dep_hour", **more)


def worse(number: int = 0) -> Any:
    return alert(
        f"drift/{number}/escalated", title=f"Drift since day {number}: dep_hour", thread=f"drift/{number}/opened"
    )


def over(number: int = 0) -> Any:
    return alert(
        f"drift/{number}/resolved",
        title=f"Drift since day {number}: dep_hour",
        thread=f"drift/{number}/opened",
        severity="info",
        resolves=True,
    )


def titles_of_cards(sink: Sink) -> list[str]:
    cards = [content["attachments"][0]["content"] for path, content in sink.taken if path == PATH]
    return [card["fallbackText"] for card in cards]


# --- what a reader sees -------------------------------------------------------------------------------


def test_an_episode_is_one_thread_of_slack(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["slack"])
    for about in (opened(), worse(), over()):
        enqueue(about, to)
    root, reply, last = sink.posted
    assert "thread_ts" not in root
    assert (reply["thread_ts"], last["thread_ts"]) == (root["ts"], root["ts"])
    assert (reply["reply_broadcast"], last["reply_broadcast"]) == (False, True)
    assert root["blocks"][0]["text"]["text"] == "🔴 flight-delay: Drift since day 0: dep_hour"
    assert last["blocks"][0]["text"]["text"].startswith("🟢")
    assert root["blocks"][1]["text"]["text"] == "In monitor, 2013-04-01.\n- moved"
    assert {headers["authorization"] for _, headers, _ in sink.calls} == {f"Bearer {TOKEN}"}


def test_an_episode_is_one_incident_of_pagerduty(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["pagerduty"])
    enqueue(opened(day=date(2013, 4, 1), links=(("The run", "http://airflow/run"), ("nowhere", ""))), to)
    enqueue(worse(), to)
    assert list(sink.incidents().values()) == ["triggered"]
    enqueue(over(), to)
    assert list(sink.incidents().values()) == ["resolved"]
    _, first = sink.taken[0]
    assert first["routing_key"] == ROUTING
    assert first["payload"]["summary"] == "flight-delay: Drift since day 0: dep_hour"
    assert (first["payload"]["severity"], first["payload"]["class"]) == ("error", "drift")
    assert first["links"] == [{"href": "http://airflow/run", "text": "The run"}]
    assert first["payload"]["custom_details"] == {"what": "In monitor, 2013-04-01.\n- moved", "day": "2013-04-01"}


def test_what_nobody_must_act_on_opens_no_incident(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["pagerduty"])
    assert enqueue(alert("promoted/one", kind="promoted", severity="info"), to) is None
    assert enqueue(alert("approval/one", kind="approval", severity="warning"), to) is None
    assert sink.calls == []


def test_a_card_of_teams_says_what_became_of_it(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["teams"])
    for about in (opened(links=(("The run", "http://airflow/run"),)), worse(), over()):
        enqueue(about, to)
    title = "flight-delay: Drift since day 0: dep_hour"
    assert titles_of_cards(sink) == [title, f"Again: {title}", f"Resolved: {title}"]
    card = sink.taken[0][1]["attachments"][0]["content"]
    assert [run["text"] for block in card["body"] for run in block["inlines"]] == [
        title, "In monitor, 2013-04-01.", "- moved",
    ]  # fmt: skip
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "The run", "url": "http://airflow/run"}]


def test_a_receiver_can_prove_who_sent_the_webhook(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["webhook"])
    enqueue(
        opened(facts={"what": "x", "where": "y", "day": "", "error": float("nan"), "errors": ["z"], "failures": []}), to
    )
    enqueue(over(), to)
    (_, headers, body), (_, _, last) = sink.calls
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    first, second = json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")), json.loads(last)
    assert (first["status"], second["status"]) == ("opened", "resolved")
    assert first["id"] == headers["webhook-id"] == second["thread"]


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of standardwebhooks.com's reference libraries."""
    secret, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    headers = webhook.signed("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secret, at)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "no base64!"])
def test_a_weak_key_signs_nothing(secret: str) -> None:
    with pytest.raises(SettingsError, match="is not a key: make one"):
        webhook.signed("id", b"{}", secret, datetime.now(UTC))


def test_nothing_in_an_alert_is_markup_in_slack() -> None:
    named = opened(links=(("a <b> & c|d", "http://x"), ("gone", "")))
    body = slack.message(named.model_copy(update={"title": "<!channel> *bold*"}), "id", "C1")
    assert body["text"] == "🔴 flight-delay: &lt;!channel&gt; *bold*"
    assert body["blocks"][0]["text"]["type"] == body["blocks"][1]["text"]["type"] == "plain_text"
    assert body["blocks"][2]["elements"][0]["text"] == "<http://x|a &lt;b&gt; &amp; c/d>"


def test_no_text_is_longer_than_its_place() -> None:
    long = opened(facts={"what": "", "where": "", "day": "", "error": "", "errors": ["word " * 3000], "failures": []})
    long = long.model_copy(update={"title": "t" * 4000})
    blocks = slack.message(long, "id", "C1")["blocks"]
    assert len(blocks[0]["text"]["text"]) <= 150
    assert len(blocks[1]["text"]["text"]) <= 3000
    assert len(pagerduty.message(long, "key")["payload"]["summary"]) <= 1024
    assert len(json.dumps(teams.message(long))) < 28_000


BY_HAND = "see whether a feed is broken or the world has changed; retrain by hand if it has changed for good."


def test_a_week_of_drift_is_a_short_thread_that_can_be_read(sink: Sink, services: Services) -> None:
    story = Story(notifying(services, channels=["slack", "pagerduty"]))
    for number in (1, 2, 3, 4):
        story.drifted(number, alarm=number > 1)
    story.calm(5)
    story.calm(6)
    first, last = [message["blocks"][1]["text"]["text"].splitlines() for message in sink.posted]
    assert first == [
        "2 of 7 structural columns moved: distance, dest.",
        "Predictions are not worse than expected, beyond noise, on the days that have labels.",
        f"No challenger was requested: {WAITING}.",
        f"What to do: {BY_HAND}",
        "- distance: distance 0.83, limit 0.11 (structural, matters)",
        "- dest: distance 0.31, limit 0.11 (structural, matters little)",
        "Version 3 serves; since 2013-04-02, now 2013-04-03.",
    ]
    assert last[0] == "Resolved: nothing was found on 2 days in a row."
    assert last[3:5] == [
        "What to do: nothing. If a feed was broken, exclude its days from learning (evergreen exclude).",
        "It lasted 5 days, from 2013-04-02 to 2013-04-07.",
    ]
    assert list(sink.incidents().values()) == ["resolved"]


@pytest.mark.parametrize("name", ["approval", "rollback", "verdict", "failure"])
def test_every_kind_of_alert_has_a_brief_text(name: str, home: Path) -> None:
    facts = facts_of(name)
    text = brief(alert(template=name, facts=json.loads(to_json(facts, serialize_unknown=True))))
    assert not re.search(r"[{}]|&\w+;|None|\n\n", text)
    assert "Sent by Evergreen" not in text


# --- nothing is lost, and nothing comes twice -----------------------------------------------------------


@pytest.mark.parametrize("mode", FAILING)
@pytest.mark.parametrize("channel", ALL)
def test_whatever_fails_the_alert_waits_and_arrives_once(
    sink: Sink, services: Services, clock: type[Clock], channel: str, mode: str, caplog: Any
) -> None:
    to = notifying(services, channels=[channel])
    if mode == "refuse":
        sink.stop()
    else:
        sink.mode = mode
    with impatient():
        enqueue(opened(), to)
        enqueue(over(), to)
    assert len(outbox.waiting(channel, to.storage)) == 2
    for secret in (TOKEN, ROUTING, PATH, SECRET):
        assert secret not in caplog.text
    sink.mode = "ok"
    if mode == "refuse":
        sink.start()
    clock.ahead = timedelta(hours=7)
    assert flush(to) == 0
    assert flush(to) == 0
    if channel == "slack":
        assert [message.get("thread_ts") for message in sink.posted] == [None, sink.posted[0]["ts"]]
    elif channel == "pagerduty":
        assert list(sink.incidents().values()) == ["resolved"]
    elif channel == "webhook":
        assert [content["status"] for _, content in sink.taken][-2:] == ["opened", "resolved"]
        assert len(sink.ids()) == 2
    else:
        first, *_, last = titles_of_cards(sink)
        assert (first.startswith("flight-delay"), last.startswith("Resolved")) == (True, True)
        if mode != "drop":
            assert len(titles_of_cards(sink)) == 2


def test_a_day_without_an_answer_loses_and_doubles_nothing(
    sink: Sink, postbox: Postbox, services: Services, clock: type[Clock]
) -> None:
    to = notifying(services, channels=["slack", "pagerduty", "webhook", "email"])
    day = ["drop", "refuse", "hang", "500", "429", "trickle", "404", "drop"] * 3
    expected = []
    for hour, mode in enumerate(day):
        clock.ahead = timedelta(hours=hour)
        (sink.stop if mode == "refuse" else lambda: None)()
        sink.mode = mode
        with impatient(0.15):
            for about in [opened(hour)] + ([over(hour - 1)] if hour else []):
                enqueue(about, to)
                expected.append(about.key)
        if mode == "refuse":
            sink.start()
    assert len(subjects(postbox)) == len(expected), "mail went on all the time"
    sink.mode, clock.ahead = "ok", timedelta(hours=40)
    assert flush(to) == 0
    names = {alert_id(key, to) for key in expected}
    assert Counter(m["metadata"]["event_payload"]["id"] for m in sink.posted) == dict.fromkeys(names, 1)
    assert set(sink.ids()) == names, "the receiver gets each, and ignores an id that it has"
    states = sink.incidents()
    assert Counter(states.values()) == {"resolved": len(day) - 1, "triggered": 1}
    assert states[alert_id(opened(len(day) - 1).key, to)] == "triggered"
    roots = {m["metadata"]["event_payload"]["id"]: m["ts"] for m in sink.posted if "thread_ts" not in m}
    assert all(m["thread_ts"] in roots.values() for m in sink.posted if "thread_ts" in m)


def test_a_lost_answer_of_teams_is_repeated_ever_more_rarely_and_says_so(
    sink: Sink, services: Services, clock: type[Clock]
) -> None:
    to = notifying(services, channels=["teams"])
    sink.mode = "drop"
    enqueue(opened(), to)
    for minute in range(0, 24 * 60, 10):
        clock.ahead = timedelta(minutes=minute)
        flush(to)
    assert len(titles_of_cards(sink)) == 8, "of 145 chances in a day"
    sink.mode, clock.ahead = "ok", timedelta(hours=31)
    assert flush(to) == 0
    last = sink.taken[-1][1]["attachments"][0]["content"]["body"][-1]["inlines"][0]["text"]
    assert last == "Sent again: no answer came to the first, which may be above."


def test_killed_after_slack_took_it_it_is_not_posted_again(
    sink: Sink, services: Services, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    to = notifying(services, channels=["slack"])
    for number in range(5):
        enqueue(opened(number), to)
    with monkeypatch.context() as killed:
        killed.setattr(LocalObjects, "put_bytes", kill)
        with pytest.raises(SystemExit):
            enqueue(opened(5), to)
    clock.ahead = timedelta(hours=1)
    assert flush(to) == 0
    assert len(sink.posted) == 6
    enqueue(over(5), to)
    assert sink.posted[-1]["thread_ts"] == sink.posted[-2]["ts"]


def test_a_bot_that_may_not_read_still_posts(sink: Sink, services: Services, caplog: Any) -> None:
    sink.slack_errors = {"conversations.history": "missing_scope"}
    enqueue(opened(), notifying(services, channels=["slack"]))
    assert len(sink.posted) == 1
    assert "needs channels:history" in caplog.text


def test_the_other_side_is_left_alone_for_as_long_as_it_asks(
    sink: Sink, services: Services, clock: type[Clock]
) -> None:
    to = notifying(services, channels=["webhook"])
    sink.mode, sink.retry_after = "429", "1800"
    enqueue(opened(1), to)
    enqueue(opened(2), to)
    assert len(sink.calls) == 1
    sink.mode, clock.ahead = "ok", timedelta(minutes=29)
    assert flush(to) == 2
    clock.ahead = timedelta(minutes=31)
    assert flush(to) == 0
    assert len(sink.ids()) == 2


def test_a_long_pause_is_no_pause_for_ever(sink: Sink, services: Services, clock: type[Clock]) -> None:
    to = notifying(services, channels=["webhook"])
    sink.mode, sink.retry_after = "429", "999999999"
    enqueue(opened(), to)
    sink.mode, clock.ahead = "ok", timedelta(hours=7)
    assert flush(to) == 0


def test_an_alert_that_is_refused_holds_no_other_thread_up_and_keeps_its_own_in_order(
    sink: Sink, services: Services
) -> None:
    to = notifying(services, channels=["pagerduty"])
    sink.mode = "400"
    enqueue(opened(1), to)
    sink.mode = "ok"
    to.storage.create_bytes("outbox/claims/pagerduty/drift/1/opened/0000", datetime.now(UTC).isoformat().encode())
    enqueue(over(1), to)
    enqueue(opened(2), to)
    assert list(sink.incidents().values()) == ["triggered"]
    assert sorted(outbox.waiting("pagerduty", to.storage)) == ["drift/1/opened", "drift/1/resolved"]


def test_a_hanging_channel_keeps_nothing_from_another(sink: Sink, postbox: Postbox, services: Services) -> None:
    to = notifying(services, channels=["webhook", "email", "slack"])
    sink.mode = "hang"
    with impatient():
        for number in range(3):
            enqueue(opened(number), to)
    assert len(subjects(postbox)) == 3


# --- settings -------------------------------------------------------------------------------------------


def test_each_channel_can_have_its_own_kinds_and_connection(
    sink: Sink, services: Services, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = json.dumps({"conn_type": "generic", "host": f"{sink.url}/api", "password": "p", "extra": {"channel": "C2"}})
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_FRAUD", other)
    to = notifying(
        services, channels=["email", "slack"], channel_kinds={"slack": ["decay"]}, connections={"slack": "slack_fraud"}
    )
    enqueue(opened(), to)
    enqueue(alert("decay/one", kind="decay"), to)
    assert [message["channel"] for message in sink.posted] == ["C2"]
    assert len(subjects(postbox)) == 2


@pytest.mark.parametrize("key", ["channel_kinds", "connections"])
def test_a_channel_that_is_not_used_has_no_settings(key: str) -> None:
    value: Any = {"channel_kinds": {"slack": ["drift"]}, "connections": {"slack": "other"}}[key]
    with pytest.raises(SettingsError, match=f"{key} names 'slack', which is not under channels"):
        settings(notify={"channels": ["email"], key: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (None, "Airflow has no connection 'slack_default'"),
        ({"host": "https://x"}, "has no password"),
        ({"host": "x", "password": "p"}, "is no address that begins with https"),
        ({"host": "https://x", "password": "p"}, "needs its channel"),
    ],
)
def test_a_wrong_connection_is_named_in_the_log(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: Any, fields: Any, message: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SLACK_DEFAULT", raising=False)
    if fields:
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", json.dumps({"conn_type": "generic", **fields}))
    enqueue(opened(), notifying(services, channels=["slack"]))
    assert message in caplog.text
    assert outbox.waiting("slack", services.storage) == ["drift/0/opened"]


def test_a_test_alert_reaches_every_channel_and_leaves_nothing(
    sink: Sink, postbox: Postbox, services: Services
) -> None:
    to = notifying(services, channels=["email", *ALL])
    assert send_test.run(None, services=to) == dict.fromkeys(["email", *ALL], "delivered")
    assert list(sink.incidents().values()) == ["resolved"]
    assert (len(sink.posted), len(sink.ids()), len(titles_of_cards(sink)), len(postbox.messages)) == (2, 2, 2, 2)
    assert to.storage.list("outbox/") == ["outbox/installation"]


def test_a_test_alert_says_which_channel_does_not_work(sink: Sink, services: Services) -> None:
    to = notifying(services, channels=["webhook", "slack"])
    sink.slack_errors = {"chat.postMessage": "not_in_channel"}
    with pytest.raises(
        SettingsError, match=r"slack: ConnectionError: slack answers not_in_channel.*; webhook: delivered"
    ):
        send_test.run(None, services=to)
    with pytest.raises(SettingsError, match="teams: not under notify.channels"):
        send_test.run(["teams"], services=to)


def test_a_receipt_of_an_older_release_is_read() -> None:
    assert DeliveryReceipt.model_validate_json('{"done": true, "taken": [], "rejected": {}}').reference == ""
