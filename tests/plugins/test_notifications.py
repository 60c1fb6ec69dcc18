"""Mails: readable in both forms, safe whatever the data say, and sent once by a real server."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from evergreen import approval
from evergreen.alerts import outbox, rendering
from evergreen.alerts.channels.email import message_id, recipients_key
from evergreen.alerts.first_lines import NAME
from evergreen.alerts.kinds import approval as approval_kind
from evergreen.alerts.kinds import rollback as rollback_kind
from evergreen.alerts.kinds import verdict as verdict_kind
from evergreen.alerts.kinds.failure import HARM, alert_failure, rejection_lines
from evergreen.alerts.rendering import render

from ml.errors import DataRejected, SettingsError
from ml.records import (
    GainEvidence,
    Judgement,
    Logged,
    Promotion,
    Rejection,
    Rollback,
    RollbackRequest,
    Ruling,
    Verdict,
    Window,
)
from ml.settings import Gate, Notify
from ml.steps.ingest import deliveries
from ml.wiring import Services
from tests.dags.postbox import Postbox

pytestmark = pytest.mark.usefixtures("home")

DAY = date(2013, 4, 1)
MAILS = Path(__file__).resolve().parents[2] / "build" / "mails"
EVIL = "<script>alert('x')</script>"
LONG = "s3://evergreen-storage/" + "a-very-long-prefix-without-any-space/" * 6 + "drift.html"


RUN = "http://airflow.test:8080/dags/flight-delay.ingest/runs/scheduled__2013-04-01"
FAILURES: tuple[dict[str, object], ...] = (
    {
        "expectation": "expect_column_values_to_be_between",
        "column": "distance",
        "level": "row",
        "message": "distance must be between 1 and 10000",
        "unexpected_rows": 743,
        "examples": ["-1", "0"],
    },
    {
        "expectation": "expect_table_row_count_to_be_between",
        "column": None,
        "level": "table",
        "message": "the table must have between 421 and 1684 rows, and has 212",
        "unexpected_rows": 0,
        "examples": [],
    },
)
REFUSED = DataRejected(
    "inputs of 2013-04-01 rejected: 743 of 743 rows (100.0%) break row-level expectations, more than the 5.0% that may "
    "be quarantined (screen.max_quarantined_share). Report: /srv/evergreen/var/storage/quarantine/inputs/"
    "day=2013-04-01/report.html. Next: fix the source and clear this run",
    report_uri="/srv/evergreen/var/storage/quarantine/inputs/day=2013-04-01/report.html",
    failures=FAILURES,
)

WINDOW = Window(
    first_day=date(2013, 1, 1),
    last_day=date(2013, 3, 31),
    data_version="5f1c2a9e0b7d4c3f5f1c2a9e0b7d4c3f5f1c2a9e",
    fingerprint="f" * 64,
    workspace="/srv/evergreen/var/storage/runs/ffff",
    days=90,
    rows=80_789,
)
RULINGS = (
    Ruling(rule="discrimination", kind="bound", passed=True, evidence={}, reason="roc_auc 0.664 is at least 0.55"),
    Ruling(
        rule="base rate",
        kind="base_rate",
        passed=True,
        evidence={},
        reason="log_loss 0.4912, lower than 0.5297 of the base rate",
    ),
    Ruling(
        rule="champion",
        kind="champion",
        passed=True,
        evidence={},
        comparison=GainEvidence(gain=0.0061, low=0.0023, high=0.0098, resolution=0.0057, days=14, rows=13204),
        reason="log_loss is lower by 0.0061 (95% from 0.0023 to 0.0098, over 14 days), beyond min_gain 0.001; "
        "with 14 days this gate can see a gain of 0.0057",
    ),
    Ruling(rule="package", kind="package", passed=True, evidence={}, reason="identical, 38 ms per 1,000 rows, 1.2 MB"),
)
JUDGEMENT = Judgement(
    fingerprint="f" * 64,
    version=5,
    champion_version=4,
    verdict=Verdict(decision="promote", reasons=("all rules passed",), rulings=RULINGS),
    decision_id=None,
)
BACK = Rollback(moved=True, version=4, from_version=5, decision_id="abc", reason="version 4 served before")
BACK_ASKED = RollbackRequest(
    requested_by="monitor of 2013-04-01",
    reason="version 4 did better than champion 5 on 7 newly labelled days: log_loss lower by 0.0124 (0.0041 to 0.0207)",
    to_version=4,
    from_version=5,
    evidence={"gain": 0.0124, "low": 0.0041, "high": 0.0207, "days": 7, "rows": 6344, "power": None},
)
SERVICES: Any = SimpleNamespace(
    storage=SimpleNamespace(root="/srv/storage"),
    identity="flight-delay",
    settings=SimpleNamespace(
        task=SimpleNamespace(name="flight-delay"),
        gate=Gate.model_validate(
            {
                "rules": {
                    "discrimination": {"kind": "bound", "metric": "roc_auc", "at_least": 0.55},
                    "champion": {"kind": "champion", "min_gain": 0.001},
                    "package": {"kind": "package"},
                }
            }
        ),
        rollback=SimpleNamespace(confidence=0.99),
    ),
    environment=SimpleNamespace(tracking="http://mlflow.test:5000"),
)


def logged(kind: str, decision_id: str, effective_day: date | None = None, **payload: Any) -> Logged:
    return Logged(
        decision_id=decision_id,
        kind=kind,
        decided_at=datetime(2013, 4, 1, 9, tzinfo=UTC),
        fingerprint="f" * 64,
        effective_day=effective_day,
        payload=payload,
    )


DECISIONS = (
    logged("promotion", "o", date(2013, 3, 20), version=4, window_last_day="2013-03-19"),
    logged(
        "promotion",
        "p",
        date(2013, 4, 2),
        version=5,
        window_last_day="2013-03-31",
        verdict=JUDGEMENT.verdict.model_dump(mode="json"),
        requested_by="monitor of 2013-04-01",
    ),
)
LEAD = "Gain over the champion in log loss: +0.0061 (95 % interval +0.0023 to +0.0098) on the same 14 days"
LOST = RULINGS[2].model_copy(update={"passed": False, "reason": "log_loss is lower by 0.0002, min_gain is 0.001"})
UNKNOWN = RULINGS[3].model_copy(update={"passed": None, "reason": "not checked"})


def held_facts(**changes: Any) -> dict[str, Any]:
    verdict = Verdict(decision="hold", reasons=(LOST.reason,), rulings=(*RULINGS[:2], LOST, UNKNOWN))
    held = logged("hold", "h", version=5, verdict=verdict.model_dump(mode="json"), requested_by="anna")
    promotion = Promotion(promoted=False, version=5, previous_version=4, decision_id="h", reason=LOST.reason)
    facts = verdict_kind.verdict_facts(WINDOW, JUDGEMENT, promotion, SERVICES, (DECISIONS[0], held))
    return facts | {"subject": facts["headline"], "notified": "notify.to"} | changes


def approval_facts(judgement: Judgement = JUDGEMENT, **changes: Any) -> dict[str, Any]:
    facts = approval.question(WINDOW, judgement, SERVICES, requested_by="monitor of 2013-04-01")
    facts |= {NAME: approval_kind.first_lines(judgement, facts)}
    answer = ("Answer in Airflow", f"{RUN}/tasks/approve/required_actions?map_index=-1")
    return facts | {"links": [answer, *facts["links"]], "notified": "notify.approvers"} | changes


def verdict_facts(promotion: Promotion | None = None, **changes: Any) -> dict[str, Any]:
    said = Promotion(promoted=True, version=5, previous_version=4, decision_id="p", reason="all rules passed")
    facts = verdict_kind.verdict_facts(WINDOW, JUDGEMENT, promotion or said, SERVICES, DECISIONS)
    return facts | {"subject": facts["headline"], "notified": "notify.to"} | changes


def rollback_facts(request: RollbackRequest = BACK_ASKED, **changes: Any) -> dict[str, Any]:
    facts = rollback_kind.rollback_facts(BACK, request, SERVICES)
    links = [("This Airflow run", RUN), *approval.version_link("Serves again", 4, SERVICES)]
    return facts | {"subject": "Rolled back", "links": links, "notified": "notify.to"} | changes


def context(error: BaseException | None, day: str | None = "2013-04-01", tried: int = 1) -> dict[str, Any]:
    """Give what Airflow calls a failure callback with, as far as it is read."""
    instance = SimpleNamespace(
        dag_id="flight-delay.ingest", task_id="screen", run_id="scheduled__2013-04-01", try_number=tried, map_index=-1
    )
    return {"task_instance": instance, "partition_key": day, "exception": error}


def caused(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


def enqueue(kind: Any, key: str, template: str, title: str, facts: dict[str, Any], services: Services) -> str | None:
    return outbox.enqueue(outbox.compose(kind, key, template, title, facts, services), services)


def both(mail: Any) -> tuple[str, str]:
    return mail.get_body(("html",)).get_content(), mail.get_body(("plain",)).get_content()


def visible(html: str) -> str:
    """Strip the tags, as a reader's eyes do."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"</?span[^>]*>", "", html)).split())


def test_a_percentage_keeps_its_sign_in_its_line() -> None:
    words = "LAX was on 5 % of rows before. " * 12
    wrapped, escaped = rendering._wrapped(words, 40), str(rendering._whole_days("5 % → 0 %"))
    assert not [line for line in wrapped.splitlines() if line.startswith("%")]
    assert " ".join(wrapped.split()) == words.strip()
    assert escaped.count("nowrap") == 2 and visible(escaped) == "5 % → 0 %"


# --- what a mail says -------------------------------------------------------------------------------


def test_an_approval_mail_shows_the_evidence_and_where_to_answer() -> None:
    html, text = render("approval", approval_facts())
    assert f'href="{RUN}/tasks/approve/required_actions?map_index=-1"' in html
    for said in (visible(html), " ".join(text.split())):
        assert "Version 5 passed every rule of the gate and asks to take the place of version 4." in said
        assert said.index("asks to take the place") < said.index(LEAD) < said.index("rained on")
        below = said.partition("rained on")[2]
        assert [below.index(ruling.rule) for ruling in RULINGS] == sorted(below.index(r.rule) for r in RULINGS)
        assert all(ruling.reason in said for ruling in RULINGS)
        assert "No answer within 24 hours means no" in said
        assert "2013-01-01 to 2013-03-31 (90 days, 80,789 rows)" in said
        assert "monitor of 2013-04-01" in said
        assert "notify.approvers" in said
        assert "None" not in said
    assert "http://mlflow.test:5000/#/models/flight-delay/versions/5?workflowType=machine_learning" in text
    assert "http://mlflow.test:5000/#/models/flight-delay/versions/4?workflowType=machine_learning" in text


def test_a_rollback_mail_says_from_to_why_and_what_happens_next() -> None:
    html, text = render("rollback", rollback_facts())
    for said in (visible(html), " ".join(text.split())):
        assert "Version 4 serves again, instead of version 5. " in said
        assert "did better than champion 5" in said
        assert "Version 4 had the lower mean log loss, by 0.0124 (0.0041 to 0.0207 with 99% confidence)" in said
        assert "days 7 rows 6,344" in said
        assert "Version 5 is blocked" in said
        assert "predictions already served stay as they are" in said
        assert "None" not in said
        assert "power" not in said


def test_an_alias_that_is_brought_back_bars_nobody() -> None:
    done = BACK.model_copy(update={"from_version": None, "reason": "the alias was moved by hand; it is back"})
    facts = rollback_kind.rollback_facts(done, BACK_ASKED, SERVICES, blocked=False)
    html, text = render("rollback", facts | {"subject": "s", "links": [], "notified": "notify.to"})
    for said in (visible(html), " ".join(text.split())):
        assert "instead of nobody" in said
        assert "the alias was moved by hand" in said
        assert "blocked" not in said
        assert "None" not in said


def test_a_rollback_by_hand_claims_no_evidence() -> None:
    asked = RollbackRequest(requested_by="anna", reason="it misjudges Sundays")
    html, text = render("rollback", rollback_facts(asked))
    for said in (visible(html), " ".join(text.split())):
        assert "anna" in said
        assert "it misjudges Sundays" in said
        assert "confidence" not in said
        assert "None" not in said


def test_a_promoted_mail_says_who_serves_since_when_why_and_on_what_evidence() -> None:
    html, text = render("verdict", verdict_facts())
    for said in (visible(html), " ".join(text.split())):
        assert "Version 5 was promoted, instead of version 4." in said
        assert "It serves the days from 2013-04-02 on" in said
        assert "Requested by monitor of 2013-04-01" in said
        assert [said.rindex(ruling.rule) for ruling in RULINGS] == sorted(said.rindex(r.rule) for r in RULINGS)
        order = [LEAD, "It serves the days", f"All {len(RULINGS)} rules of the gate passed", "Rule by rule"]
        assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
        assert said.count(RULINGS[0].reason) == 1
        assert said.count("What to do: nothing. If you know better, trigger Rollback") == 1
        assert "None" not in said
    assert "/plugin/evergreen/evergreen/#flight-delay/decisions/p" in text
    assert "/evergreen/files/flight-delay/version=5/card/model_card.html" in text
    assert "http://mlflow.test:5000/#/models/flight-delay/versions/5?workflowType=machine_learning" in text
    assert "http://mlflow.test:5000/#/models/flight-delay/versions/4" not in text
    assert html.count("/plugin/evergreen/evergreen/#flight-delay/decisions/p") == 1, "a link is shown once"


def test_a_held_mail_says_which_rules_held_what_to_do_and_who_goes_on() -> None:
    html, text = render("verdict", held_facts())
    for said in (visible(html), " ".join(text.split())):
        assert "Version 5 was held: rules champion and package did not pass." in said
        assert "Version 4 goes on serving; it is champion since 2013-03-20" in said
        assert "champion: nothing: as far as these days can tell" in said
        assert "package: evidence is missing" in said
        assert "discrimination:" not in said
        assert "None" not in said
    assert "http://mlflow.test:5000/#/models/flight-delay/versions/4?workflowType=machine_learning" in text


def test_a_rejection_is_told_as_one_and_a_first_hold_says_that_nobody_serves() -> None:
    rejected = logged("rejection", "r", version=5, verdict=JUDGEMENT.verdict.model_dump(mode="json"))
    promotion = Promotion(promoted=False, version=5, previous_version=None, decision_id="r", reason="rejected by anna")
    facts = verdict_kind.verdict_facts(WINDOW, JUDGEMENT, promotion, SERVICES, [rejected])
    assert facts["headline"] == "Version 5 was not approved"
    assert facts["advice"] == [verdict_kind.BY_HAND]
    assert "Nobody serves yet" in facts[NAME].harm


def test_what_held_though_every_rule_passed_is_the_reason_given() -> None:
    held = logged("hold", "h", version=5, verdict=JUDGEMENT.verdict.model_dump(mode="json"))
    promotion = Promotion(promoted=False, version=5, previous_version=4, decision_id="h", reason="rolled back before")
    facts = verdict_kind.verdict_facts(WINDOW, JUDGEMENT, promotion, SERVICES, [held])
    assert facts["headline"] == "Version 5 was held"
    assert facts[NAME].happened.startswith("Version 5 was held. Rolled back before.")
    assert len(facts["advice"]) == 1


def test_every_kind_of_rule_has_its_advice() -> None:
    from ml.settings import RULES

    advice = {kind: verdict_kind.advice_of(kind) for kind in RULES.names()}
    assert len(advice) >= 8
    assert all(len(words) > 20 for words in advice.values())
    assert len(set(advice.values())) == len(advice)


def test_the_kind_of_a_ruling_decides_its_advice_and_not_its_name() -> None:
    verdict = Verdict(
        decision="hold",
        reasons=("too weak", "too few"),
        rulings=(
            Ruling(rule="package", kind="bound", passed=False, evidence={}, reason="too weak"),
            Ruling(rule="holdout size", kind="holdout_size", passed=False, evidence={}, reason="too few"),
            Ruling(rule="mine", kind="of_a_package_that_is_gone", passed=False, evidence={}, reason="who knows"),
        ),
    )
    first, second, third = verdict_kind.advice(verdict, rejected=False)
    assert (
        first
        == "package: the model is too weak by itself: look at the features, the window and the labels of these days."
    )
    assert "wait for more labelled days" in second
    assert third == f"mine: r{verdict_kind.UNKNOWN[1:]}"


ALL_MAILS = ["approval", "failure", "rollback", "verdict"]


@pytest.mark.parametrize("name", ALL_MAILS)
def test_values_of_the_data_are_never_markup(name: str) -> None:
    failures = [FAILURES[0] | {"column": EVIL, "message": EVIL, "examples": [EVIL, "a & b"]}]
    rulings = [{"rule": EVIL, "passed": "yes", "reason": EVIL}]
    facts = {
        "approval": approval_facts(rulings=rulings, claim=EVIL, trained=EVIL, subject=EVIL, links=[(EVIL, EVIL)]),
        "rollback": rollback_facts(RollbackRequest(requested_by=EVIL, reason=EVIL), task=EVIL, numbers=[(EVIL, EVIL)]),
        "verdict": verdict_facts(
            rulings=rulings, reason=EVIL, headline=EVIL, serves=EVIL, advice=[EVIL], task=EVIL, links=[(EVIL, EVIL)]
        ),
        "failure": failure_facts(error=EVIL, failures=failures, what=EVIL, where=EVIL, day=EVIL, subject=EVIL),
    }[name]
    html, text = render(name, facts)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert EVIL in text


def test_a_link_is_one_only_if_it_leads_to_the_web() -> None:
    links = [("bad", "javascript:alert(1)"), ("good", RUN), ("none", "")]
    html, text = render("failure", failure_facts(links=links))
    assert re.findall(r'href="([^"]*)"', html) == [RUN]
    assert "none" not in visible(html)
    assert "none:" not in text


def facts_of(name: str) -> dict[str, Any]:
    """Give what one of the mails says."""
    given = {"approval": approval_facts, "rollback": rollback_facts, "verdict": verdict_facts, "failure": failure_facts}
    return given[name]()


@pytest.mark.parametrize("name", ALL_MAILS)
def test_mails_stand_alone_and_fit_a_phone(name: str) -> None:
    facts = facts_of(name)
    html, _ = render(name, facts)
    assert 'name="viewport"' in html
    assert not re.search(r"<(img|link|script|iframe)|url\(|@import", html)
    assert "overflow-wrap:anywhere" in html.replace(" ", "")
    assert not re.search(r"(?<!max-)(?<!min-)width:\s*[4-9]\d\dpx", html)


@pytest.mark.parametrize("name", ALL_MAILS)
def test_plain_text_is_readable(name: str) -> None:
    facts = facts_of(name)
    _, text = render(name, facts)
    assert not re.search(r"[<>{}]|&\w+;", text)
    assert "\n\n\n" not in text
    assert not text.startswith("\n")
    assert text.endswith("\n")
    assert all(len(line) <= 100 or "/" in line for line in text.splitlines())


def failure_facts(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        NAME: rejection_lines(REFUSED, "ingest.screen", HARM["ingest"]),
        "subject": "Data rejected: flight-delay.ingest.screen for 2013-04-01",
        "what": "Data rejected",
        "where": "flight-delay.ingest.screen",
        "day": "2013-04-01",
        "error": str(REFUSED),
        "errors": [],
        "failures": list(FAILURES),
        "links": [("This Airflow run", RUN), ("Validation report", REFUSED.report_uri)],
        "notified": "notify.to",
    }
    return facts | changes


# --- sending ----------------------------------------------------------------------------------------


def test_a_mail_arrives_at_everyone_in_both_forms(postbox: Postbox, services: Services) -> None:
    to = ("ml-team@example.com", "on-call@example.com")
    told = Services(services.settings.model_copy(update={"notify": Notify(to=to)}), services.environment)
    subject = "Rolled back on a day:\nwith a break"
    key = enqueue("rolled_back", "rolled_back/1", "rollback", subject, rollback_facts(), told)
    (mail,) = postbox.messages
    assert postbox.recipients == [list(to)]
    assert mail["Subject"] == "flight-delay: Rolled back on a day: with a break"
    assert mail["From"] == "evergreen@localhost"
    assert key is not None
    assert mail["Message-ID"] == message_id(key, services.storage)
    assert mail["Date"]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_letters_beyond_ascii_and_breaks_in_a_subject_arrive(postbox: Postbox, services: Services) -> None:
    facts = failure_facts(error="Zürich → 東京")
    enqueue("task_failed", "task_failed/1", "failure", "Überraschung —\n東京", facts, services)
    (mail,) = postbox.messages
    assert mail["Subject"] == "flight-delay: Überraschung — 東京"
    assert all("Zürich → 東京" in said for said in both(mail))


def test_the_foot_names_the_key_that_says_who_is_told(services: Services) -> None:
    notify = Notify.model_validate({"approvers": ["boss@example.com"], "kinds": {"held": []}})
    told = Services(services.settings.model_copy(update={"notify": notify}), services.environment)
    found = [recipients_key(kind, told.settings.notify) for kind in ("drift", "held", "approval")]
    assert found == ["notify.to", "notify.kinds.held", "notify.approvers"]
    assert recipients_key("approval", services.settings.notify) == "notify.to"


def test_a_refusal_is_mailed_with_its_evidence(postbox: Postbox) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    alert_failure(context(caused(AirflowFailException(str(REFUSED)), REFUSED)))
    (mail,) = postbox.messages
    assert mail["Subject"] == "flight-delay: Data rejected: ingest.screen for 2013-04-01"
    html, text = both(mail)
    for said in (visible(html), " ".join(text.split())):
        assert "distance must be between 1 and 10000" in said
        assert "743" in said
        assert "-1, 0" in said
        assert "the table must have between 421 and 1684 rows" in said
        assert "fix the source and clear this run" in said
        assert "None" not in said
        assert "/dags/flight-delay.ingest/runs/scheduled__2013-04-01" in html


def test_several_rejections_are_a_list_with_the_report_of_each(postbox: Postbox, home: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    rejected = [
        Rejection(
            asset=asset, day=DAY, reason=f"{asset} of {DAY} rejected: too few; and odd", identity=asset, partition=DAY,
            report_uri=f"{home}/storage/quarantine/{asset}/day={DAY}/report.html", failures=FAILURES[:1],
        )
        for asset in ("inputs", "labels")
    ]  # fmt: skip
    error = deliveries.rejected_error(rejected)
    alert_failure(context(caused(AirflowFailException(str(error)), error)))
    (mail,) = postbox.messages
    html, text = both(mail)
    assert html.count("<li") == 2
    for asset in ("inputs", "labels"):
        assert f"- {asset} of {DAY} rejected: too few; and odd" in " ".join(text.split())
        report = f"/evergreen/files/flight-delay/quarantine/{asset}/day={DAY}/report.html"
        assert f"Validation report of {asset} of {DAY}: http://airflow.test:8080{report}" in text
        assert report in html
        assert f"- {asset} of {DAY}, distance: " in text


def test_an_error_of_ours_is_quoted(postbox: Postbox) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    error = SettingsError("params.yaml is wrong: fit.seed")
    alert_failure(context(caused(AirflowFailException("x"), error), day=None))
    (mail,) = postbox.messages
    assert mail["Subject"] == "flight-delay: Task failed: ingest.screen"
    assert all("params.yaml is wrong: fit.seed" in said for said in both(mail))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (caused(ValueError("the outer one"), KeyError("inner")), "ValueError: the outer one"),
        (KeyError("log_loss"), "KeyError: 'log_loss'"),
        (AssertionError(), "AssertionError"),
        (None, "without an error of its own"),
    ],
)
def test_any_other_error_is_named(postbox: Postbox, error: Exception | None, said: str) -> None:
    alert_failure(context(error))
    (mail,) = postbox.messages
    _, text = both(mail)
    assert said in text
    assert "None" not in text


def test_a_message_for_people_is_not_lost_to_the_error_behind_it(postbox: Postbox) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    alert_failure(context(caused(AirflowFailException("give the run a day"), ValueError("bad iso"))))
    (mail,) = postbox.messages
    assert all("give the run a day" in said and "bad iso" not in said for said in both(mail))


def test_each_failure_is_mailed_and_none_twice(postbox: Postbox) -> None:
    for tried in (1, 1, 2):
        alert_failure(context(ValueError("x"), tried=tried))
    assert len(postbox.messages) == 2


def test_a_dead_mail_server_does_not_hide_the_failure_and_loses_nothing(dead_server: int, services: Services) -> None:
    alert_failure(context(ValueError("x")))
    (waits,) = outbox.waiting("email", services.storage)
    assert waits.startswith("task_failed/ingest.screen/")


def test_a_broken_installation_does_not_hide_the_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EVERGREEN_PARAMS", "/nowhere/params.yaml")
    alert_failure(context(ValueError("x")))
    assert "no alert of the failure could be made" in caplog.text


def test_a_context_without_anything_does_not_raise(caplog: pytest.LogCaptureFixture) -> None:
    alert_failure({})
    assert "no alert of the failure could be made" in caplog.text


# --- pictures ---------------------------------------------------------------------------------------


def test_sample_mails_can_be_looked_at() -> None:
    """Write what the templates make to build/mails/, for eyes and for CI's artefacts."""
    MAILS.mkdir(parents=True, exist_ok=True)
    crash = failure_facts(
        what="Task failed", where="flight-delay.retrain.fit", day=None, failures=[], links=[("Log", LONG)]
    )
    long = RULINGS[0].model_copy(update={"rule": "slices", "reason": LONG})
    refit = JUDGEMENT.model_copy(
        update={
            "judged_version": 5,
            "version": 6,
            "verdict": JUDGEMENT.verdict.model_copy(update={"rulings": (*RULINGS, long)}),
        }
    )
    samples = {
        "approval": ("approval", approval_facts()),
        "approval-of-refit": ("approval", approval_facts(refit)),
        "rollback": ("rollback", rollback_facts()),
        "rollback-by-hand": (
            "rollback",
            rollback_facts(RollbackRequest(requested_by="anna", reason="it misjudges Sundays")),
        ),
        "promoted": ("verdict", verdict_facts()),
        "held": ("verdict", held_facts()),
        "rejected": ("failure", failure_facts()),
        "failed": ("failure", crash | {"error": "KeyError: 'log_loss'"}),
    }
    for sample, (name, facts) in samples.items():
        html, text = render(name, facts)
        (MAILS / f"{sample}.html").write_text(html, encoding="utf-8")
        (MAILS / f"{sample}.txt").write_text(text, encoding="utf-8")
        assert html.lower().startswith("<!doctype html>")
