"""Weeks of monitoring told by mail: on a change of state only, in one thread, through a real mail server."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from typing import Any, Literal

import pytest
from evergreen.alerts import outbox, wording
from evergreen.alerts.kinds.monitoring import Watch

from ml.core.monitoring.episodes import Episode
from ml.records import (
    ColumnDrift,
    Decision,
    DriftReport,
    Finding,
    Interval,
    LivePerformance,
    Logged,
    RetrainRequest,
    RollbackRequest,
)
from ml.wiring import Services
from tests.dags.postbox import Postbox, smtp_server

DAY = date(2013, 4, 1)
EVIL = "<script>alert('x')</script>"
LINKS = (
    ("This Airflow run", "http://airflow.test:8080/dags/monitor/runs/x"),
    ("The retrain", ""),
    ("Evidently report", "s3://evergreen/monitor/day=2013-04-02/version=3/drift.html"),
    (
        "Champion: version 3 in MLflow",
        "http://mlflow.test:5000/#/models/flight-delay/versions/3?workflowType=machine_learning",
    ),
)
WAITING = "waiting until 2013-04-05: a challenger was judged on 2013-03-29, cooldown is 7 days"


def column(name: str, score: float | None, limit: float | None = 0.11, **facts: Any) -> ColumnDrift:
    moved = score is not None and limit is not None and score > limit
    given = {"role": "structural", "method": "wasserstein", "drifted": moved, "baseline_range": 0.09, "matters": True}
    return ColumnDrift(column=name, score=score, limit=limit, **(given | facts))


def moved(name: str, **facts: Any) -> Finding:
    return Finding(kind="drift", severity="alarm", message=f"{name} moved", column=name, **facts)


def report(number: int, *columns: ColumnDrift, status: Any = None, **facts: Any) -> DriftReport:
    over = [c.column for c in columns if c.drifted and c.role == "structural"]
    return DriftReport(
        day=DAY + timedelta(days=number),
        status=status or ("drift" if over else "calm"),
        champion_version=facts.pop("version", 3),
        reason=f"{len(over)} of 7 structural columns moved: {', '.join(over)}" if over else "no column moved",
        current_first_day=DAY + timedelta(days=number - 6),
        current_rows=6344,
        columns=columns,
        report_uri="s3://evergreen/monitor/drift.html",
        **facts,
    )


def live(number: int, gap: float = 0.01, status: Any = "fine") -> LivePerformance:
    return LivePerformance(
        day=DAY + timedelta(days=number),
        labelled_day=DAY + timedelta(days=number - 1),
        rows=954,
        metrics={"log_loss": 0.54},
        reason=f"mean prediction minus observed rate is {gap:.2f}, promised 0.00",
        champion_version=3,
        status=status,
        window_days=14,
        window_rows=12_688,
        window={
            "gap": Interval(value=gap, low=gap - 0.04, high=gap + 0.04),
            "skill": Interval(value=0.011, low=-0.002, high=0.024),
        },
        expected={"gap": 0.002, "skill": 0.039},
    )


CALM = (column("carrier", 0.02), column("distance", 0.03), column("origin", 0.01))
FAR = (
    column("distance", 0.83, changed="mean 1,027 → 1,643", importance=0.02),
    column("dest", 0.31, method="jensenshannon", changed="JFK's share 33 % → 0 %", matters=False),
    column("carrier", 0.04, matters=None),
    column("temp", 4.2, 3.78, role="environment", changed="mean 38 → 61", matters=False),
    column("origin", 0.01),
)


class Story:
    """Days of monitoring, each told when it comes."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.decisions: list[Logged] = []
        self.notes: list[Logged] = []

    def tell(self, drift: DriftReport, performance: LivePerformance, *findings: Finding, **decided: Any) -> Decision:
        """Keep what the steps keep, then mail as the task ``alert`` does."""
        given: dict[str, Any] = {"action": "nothing", "reasons": ("drift: moved", WAITING), "alarm": bool(findings)}
        state = "alarm" if decided.get("alarm", bool(findings)) else "calm"
        version = decided.pop("version", drift.champion_version)
        decision = Decision(
            day=drift.day, findings=findings, state=state, champion_version=version, **(given | decided)
        )
        stored = self.services.storage_folder(f"monitor/day={drift.day}")
        stored.write_json("decision.json", decision.model_dump(mode="json"))
        stored.write_json("performance.json", performance.model_dump(mode="json"))
        stored.write_json(
            f"version={drift.champion_version}/drift.json", drift.model_dump(mode="json") | {"evidently": {}}
        )
        self.again(drift, performance, decision)
        return decision

    def again(self, drift: DriftReport, performance: LivePerformance, decision: Decision) -> None:
        watch = Watch(drift, performance, decision, self.services, LINKS)
        vars(watch)["decided_during"] = lambda _: self.decisions
        vars(watch)["notes"] = self.notes
        watch.alert()

    def calm(self, number: int) -> None:
        self.tell(report(number, *CALM), live(number))

    def drifted(self, number: int, *more: Finding, **decided: Any) -> Decision:
        return self.tell(report(number, *FAR), live(number), moved("distance"), moved("dest"), *more, **decided)


@pytest.fixture
def story(services: Services) -> Story:
    return Story(services)


def both(mail: EmailMessage) -> tuple[str, str]:
    """Give what a reader sees of both forms."""
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))  # type: ignore[union-attr]
    html = re.sub(r'<span style="white-space:nowrap;">([^<]*)</span>', r"\1", html)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split()), " ".join(text.split())


def test_a_snoozed_alarm_is_quiet_until_its_day_and_its_mails_bear_the_notes(story: Story, postbox: Postbox) -> None:
    story.calm(0)
    story.drifted(1, alarm=False)
    story.drifted(2)
    (opened,) = postbox.messages
    stored = story.services.storage_folder("episodes/drift").read_json(f"day={DAY + timedelta(days=2)}.json")
    until = str(DAY + timedelta(days=6))
    payload = {"episode": Episode.model_validate(stored).id, "requested_by": "ann", "note": "repaired on Monday"}
    story.notes = [
        Logged(
            decision_id="s",
            kind="snooze",
            decided_at=datetime(2013, 4, 3, 9, tzinfo=UTC),
            fingerprint=None,
            effective_day=DAY,
            payload=payload | {"until": until},
        )
    ]
    story.drifted(3, action="retrain", request=RetrainRequest(requested_by="monitor", reasons=("drift",)))
    for number in (4, 5):
        story.drifted(number)
    outbox.flush(story.services)
    assert postbox.messages == [opened], "snoozed, though a challenger was asked for"
    for number in (6, 7):
        story.drifted(number)
    (_, again) = postbox.messages
    for said in both(again):
        assert "the snooze of ann until" in said.lower() and "repaired on Monday" in said
    story.calm(8)
    story.calm(9)
    assert all("repaired on Monday" in said for said in both(postbox.messages[-1]))


def test_a_month_of_drift_is_three_mails_in_one_thread(story: Story, postbox: Postbox) -> None:
    story.calm(0)
    story.drifted(1, alarm=False)
    asked = RetrainRequest(requested_by="monitor", reasons=("drift",))
    for number in range(2, 9):
        story.drifted(number)
    story.drifted(9, action="retrain", request=asked)
    for number in range(10, 30):
        story.drifted(number)
    story.calm(30)
    story.calm(31)
    opened, escalated, resolved = postbox.messages
    subject = "flight-delay: Drift since 2013-04-02: distance, dest"
    assert [mail["Subject"] for mail in postbox.messages] == [subject, f"Re: {subject}", f"Re: {subject}"]
    assert escalated["In-Reply-To"] == resolved["References"] == opened["Message-ID"]
    assert all("6 repeats were kept from you" in said for said in both(escalated))
    assert all("26 repeats were kept from you while it lasted" in said for said in both(resolved))
    assert all("It lasted 30 days" in said for said in both(resolved))


def test_an_alarm_that_got_worse_begins_with_what_is_new(story: Story, postbox: Postbox) -> None:
    gone = Finding(kind="vanished_category", severity="alarm", message="dest: ATL is gone", column="dest", at_once=True)
    story.drifted(0, alarm=False)
    story.drifted(1)
    story.drifted(2, gone)
    _, mail = postbox.messages
    assert all("It got worse: dest: ATL is gone." in text for text in both(mail))


def test_an_alarm_says_first_what_happened_and_what_was_done_then_what_moved(story: Story, postbox: Postbox) -> None:
    story.calm(-1)
    story.drifted(0, alarm=False)
    story.drifted(1)
    (mail,) = postbox.messages
    for said in both(mail):
        happened = "2 of 7 structural columns moved: distance, dest."
        assert said.index(happened) < said.index("No challenger was requested: waiting until")
        assert said.index("waiting until") < said.index("0.83") < said.index("0.31") < said.index("4.2")
        assert "JFK's share 33 % → 0 %".replace("'", "&#39;") in said or "JFK's share 33 % → 0 %" in said
        assert "0.09" in said
        assert "matters little" in said
        assert "not used by the model" in said
        assert "6,344 rows" in said
        assert "Version 3 serves" in said
        assert "None" not in said
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert 'src="cid:chart"' in html
    assert 'alt="Distance as a multiple of its limit by day: distance from 0.27 to 7.5' in html
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == "<chart>"
    assert 5_000 < len(picture.get_content()) < 60_000
    assert html.index("http://airflow.test:8080") > html.index("4.2")


def test_decay_is_told_with_the_promise_and_the_intervals(story: Story, postbox: Postbox) -> None:
    decayed = Finding(
        kind="decay", severity="alarm", message="the gap is 0.19 (0.15 to 0.23), promised 0.00", at_once=True
    )
    story.calm(0)
    story.tell(report(1, *CALM), live(1, 0.19, "decay"), decayed, reasons=("decay",), action="retrain")
    (mail,) = postbox.messages
    assert mail["Subject"] == "flight-delay: Decay since 2013-04-02: decay"
    for said in both(mail):
        assert "the gap is 0.19" in said
        assert "A challenger has been requested" in said
        assert "0.150 to 0.230" in said
        assert said.index("0.002") < said.index("0.190")
        assert "gain over the base rate" in said


def test_drift_and_decay_are_threads_of_their_own(story: Story, postbox: Postbox) -> None:
    decayed = Finding(kind="decay", severity="alarm", message="the gap is 0.19", at_once=True)
    story.tell(report(1, *FAR), live(1, 0.19, "decay"), moved("distance", at_once=True), decayed)
    assert sorted(mail["Subject"].split(" ")[1] for mail in postbox.messages) == ["Decay", "Drift"]
    assert all(mail["In-Reply-To"] is None for mail in postbox.messages)


@pytest.mark.parametrize(
    ("kind", "title"), [("slice_change", "A part of the data changed"), ("outcome_shift", "Outcomes shifted")]
)
def test_a_change_of_outcomes_is_told_once_and_resolved_once(
    story: Story, postbox: Postbox, kind: Literal["slice_change", "outcome_shift"], title: str
) -> None:
    message = "outcomes are higher than predicted where carrier = UA, since about 2013-04-01"
    changed = Finding(kind=kind, severity="alarm", message=message, at_once=True)
    name = kind.replace("_", " ")
    story.calm(0)
    for number in range(1, 8):
        story.tell(report(number, *CALM), live(number), changed, reasons=(name,))
    story.calm(8)
    story.calm(9)
    opened, resolved = postbox.messages
    subject = f"flight-delay: {title} since 2013-04-02: {name}"
    assert [opened["Subject"].strip(), resolved["Subject"].strip()] == [subject, f"Re: {subject}"]
    assert all(message in said and "No challenger was requested" in said for said in both(opened))


def test_clearing_a_day_mails_nothing_more(story: Story, postbox: Postbox) -> None:
    story.drifted(0, alarm=False)
    decision = story.drifted(1)
    story.again(report(1, *FAR), live(1), decision)
    assert len(postbox.messages) == 1


def test_killed_after_the_mail_and_before_the_ledger_nothing_is_told_twice(
    story: Story, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.drifted(0, alarm=False)

    def kill(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as killed:
        killed.setattr(Watch, "record", kill)
        with pytest.raises(SystemExit):
            story.drifted(1)
    story.drifted(1)
    story.drifted(2)
    assert len(postbox.messages) == 1


def test_what_the_server_did_not_take_is_sent_by_a_later_monitor_in_order(
    story: Story, dead_server: int, services: Services
) -> None:
    story.drifted(0, alarm=False)
    story.drifted(1)
    story.calm(2)
    story.calm(3)
    assert len(outbox.waiting("email", services.storage)) == 2
    caught = Postbox()
    server = smtp_server(caught, dead_server)
    server.start()
    try:
        story.calm(4)
    finally:
        server.stop()
    assert sorted(bool(mail["In-Reply-To"]) for mail in caught.messages) == [False, True]
    assert outbox.waiting("email", services.storage) == []


def test_the_end_says_why_how_long_and_what_was_done(story: Story, postbox: Postbox) -> None:
    story.drifted(0, alarm=False)
    story.drifted(1)
    at = datetime(2013, 4, 3, tzinfo=UTC)
    asked = {"decided_at": at, "fingerprint": None}
    story.decisions = [
        Logged(
            decision_id="a", kind="hold", effective_day=None, payload={"version": 2, "judged_on": "2013-03-01"}, **asked
        ),
        Logged(decision_id="b", kind="retrain_request", effective_day=DAY + timedelta(days=1), payload={}, **asked),
        Logged(
            decision_id="c",
            kind="promotion",
            effective_day=DAY + timedelta(days=3),
            payload={"version": 4, "judged_on": "2013-04-03"},
            **asked,
        ),
    ]
    story.tell(report(3, *CALM, version=4), live(3))
    assert len(postbox.messages) == 1  # a promotion proves nothing about the data
    story.tell(report(4, *CALM, version=4), live(4))
    end = postbox.messages[-1]
    for said in both(end):
        assert "nothing was found on 2 days in a row" in said
        assert "Version 3 served when it began, version 4 serves now." in said
        assert "It lasted 4 days, from 2013-04-01 to 2013-04-05" in said
        assert said.index("2013-04-02: a challenger was requested") < said.index("2013-04-03: version 4 was promoted")
        assert "version 2" not in said


def test_an_alarm_without_any_finding_is_told_by_its_verdict(story: Story, postbox: Postbox) -> None:
    story.tell(report(1, *FAR), live(1), alarm=True)
    (mail,) = postbox.messages
    assert mail["Subject"].startswith("flight-delay: Drift since 2013-04-02")


def test_broken_data_are_called_so(story: Story, postbox: Postbox) -> None:
    null = Finding(
        kind="null_share", severity="alarm", message="visib is null on 100 % of rows", column="visib", at_once=True
    )
    story.tell(report(1, *CALM), live(1), null)
    (mail,) = postbox.messages
    assert mail["Subject"] == "flight-delay: Broken data since 2013-04-02: visib"
    assert all("visib is null on 100 % of rows." in said for said in both(mail))


def test_a_chart_that_cannot_be_drawn_keeps_no_mail_back(
    story: Story, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml.views import plots

    monkeypatch.setattr(plots, "distances_png", lambda *_: 1 / 0)
    story.drifted(0, alarm=False)
    story.drifted(1)
    (mail,) = postbox.messages
    assert "cid:" not in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_values_of_the_data_are_never_markup(story: Story, postbox: Postbox) -> None:
    evil = column(EVIL, 0.5, changed=EVIL)
    finding = Finding(kind="drift", severity="alarm", message=EVIL, column=EVIL, at_once=True)
    warning = Finding(kind="constant", severity="warning", message=EVIL)
    story.tell(report(0, *CALM), live(0))
    story.tell(report(1, evil), live(1), finding, warning, reasons=("waiting " + EVIL,))
    (mail,) = postbox.messages
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert EVIL in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["alarm", "resolved"])
def test_plain_text_is_readable_and_html_stands_alone(story: Story, postbox: Postbox, name: str) -> None:
    story.calm(-1)
    story.drifted(0, alarm=False)
    story.drifted(1)
    story.calm(2)
    story.calm(3)
    mail = postbox.messages[0 if name == "alarm" else -1]
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))  # type: ignore[union-attr]
    text = text.replace("\r", "")
    assert not re.search(r"[<>{}]|&\w+;", text)
    assert "\n\n\n" not in text
    assert all(len(line) <= 100 or "/" in line for line in text.splitlines()), text
    assert 'name="viewport"' in html
    assert re.findall(r'src="([^"]*)"', html) == (["cid:chart"] if name == "alarm" else [])
    assert not re.search(r"<(link|script|iframe)|url\(|@import", html)


def test_structural_columns_come_first_and_the_farthest_over_their_limit() -> None:
    found = [each.column for each in wording.worst_first((FAR[3], *FAR[::-1]))]
    assert found[:2] == ["distance", "dest"]
    assert found[-1] == "temp"


def test_what_is_unknown_is_called_so() -> None:
    row = wording.column_row(column("visib", None, None, baseline_range=None), frozenset({"visib"}))
    assert (row["distance"], row["limit"], row["baseline_range"]) == ("unknown", "unknown", None)


def test_an_action_is_put_in_a_sentence() -> None:
    back = RollbackRequest(requested_by="monitor", reason="version 4 did better", to_version=4, from_version=5)
    decision = Decision(day=DAY, action="rollback", reasons=("drift",), alarm=True, rollback=back)
    assert wording.sentence_of_action(decision) == "Version 4 comes back: version 4 did better"
    waits = Decision(day=DAY, action="nothing", reasons=("drift: 2 of 7", WAITING), alarm=True)
    assert wording.sentence_of_action(waits) == f"No challenger was requested: {WAITING}."
