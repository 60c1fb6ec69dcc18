"""Every alert begins with what happened, whether it hurts, what was done and what to do, whatever its kind."""

from __future__ import annotations

import re
from dataclasses import astuple
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from evergreen.alerts import first_lines, outbox, rendering, send_test
from evergreen.alerts.channels.email import compose
from evergreen.alerts.first_lines import NAME, FirstLines
from evergreen.alerts.kinds import approval, digest, failure, lost_labels, rollback, verdict
from evergreen.alerts.kinds.late import alert_late
from evergreen.alerts.kinds.monitoring import Watch
from evergreen.alerts.kinds.serving import alert_serving

from ml.champions import split_control
from ml.errors import DataRejected, LabelsInDoubt
from ml.records import Alert, Judgement, QueuedAlert, Screening, Verdict
from ml.serving import problem_records
from ml.settings import PROJECT_ROOT, MailKind
from ml.wiring import Services
from tests import builders
from tests.plugins import test_digest as weeks
from tests.plugins import test_notifications as mails
from tests.plugins import test_watch as watched
from tests.plugins.test_late_alerts import CAME, LATE

NOT_A_MAIL = {"layout", "first_lines", "thread"}
"""Templates that others include."""
DAY = mails.DAY


def queued(services: Services) -> list[Alert]:
    """Return every alert in the outbox."""
    from ml.adapters import layout

    storage = services.storage
    paths = storage.list(layout.alerts.ALERTS)
    return [QueuedAlert.model_validate_json(storage.get_bytes(path)).alert for path in paths]


def monitoring_alerts(services: Services) -> None:
    """Let drift and decay open, and end."""
    story = watched.Story(services)
    decayed = watched.Finding(kind="decay", severity="alarm", message="the gap is 0.19", at_once=True)
    story.tell(watched.report(1, *watched.FAR), watched.live(1, 0.19, "decay"), watched.moved("dest"), decayed)
    story.drifted(2, decayed)
    for number in range(3, 6):
        story.calm(number)


def every_alert(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Compose an alert of each kind as the Dags do."""
    monkeypatch.setattr(split_control, "_record", lambda *_: None)  # of MLflow, which is not here
    monkeypatch.setattr(Watch, "decided_during", lambda *_: [])
    monkeypatch.setattr(Watch, "notes", [])
    context = mails.context(None) | {"dag": SimpleNamespace(dag_id="flight-delay.ingest")}
    for module in ("airflow.sdk", "evergreen.models", "evergreen.stepping"):
        monkeypatch.setattr(f"{module}.get_current_context", lambda: context)
    monitoring_alerts(services)
    score = services.settings.score.model_copy(update={"due_by": "07:30"})
    due = Services(services.settings.model_copy(update={"score": score}), services.environment)
    alert_late(LATE, due)
    alert_late(CAME, due)
    about = {"about": f"labels of {DAY}", "identity": "a"}
    for error in (
        ValueError("x"),
        mails.REFUSED,
        DataRejected("labels rejected", **about),  # type: ignore[arg-type]
        LabelsInDoubt("all labels are the same", **(about | {"identity": "b"})),  # type: ignore[arg-type]
    ):
        failure.alert_failure(mails.context(error))
    lost_labels.alert_lost_labels(Screening.model_construct(day=DAY, lost_label_days=(DAY,)))
    problem_records.write("its file is missing", version=3, serving_version=2, services=services)
    problem_records.write("no file", version=4, serving_version=2, services=services, about="challenger")
    stop = watched.DAY
    evidence = split_evidence(stop)
    assert split_control.stop(evidence, services)
    alert_serving(services)
    week = weeks.CALM | {"name": services.settings.task.name}
    outbox.enqueue(digest.compose(weeks.MONDAY, [week, weeks.TROUBLED], services), services)
    held = mails.held_facts()
    for kind, template, facts in (
        ("promoted", "verdict", mails.verdict_facts()),
        ("held", "verdict", held),
        ("approval", "approval", mails.approval_facts()),
        ("rolled_back", "rollback", mails.rollback_facts()),
    ):
        plain = {name: value for name, value in facts.items() if name not in {"subject", "notified"}}
        mails.enqueue(kind, f"{kind}/1", template, f"{kind} of version 5", plain, services)
    for alert in send_test._alerts(services):
        outbox.enqueue(alert, services)
    return queued(services)


def split_evidence(day: Any) -> Any:
    from ml.records import Interval, SplitEvidence

    return SplitEvidence(
        kind="randomised", champion=2, challenger=3, first_day=day, last_day=day + timedelta(days=8), days=9,
        rows=900, challenger_rows=100, metric="log_loss", difference=Interval(value=0.03, low=0.01, high=0.05),
        is_worse=True, reason="version 3 has a log loss higher by 0.0300 than version 2",
    )  # fmt: skip


def templates() -> set[str]:
    return {path.stem for path in Path(rendering.TEMPLATES).glob("*.txt")} - NOT_A_MAIL


def test_the_battery_has_every_kind_and_every_template(
    postbox: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = every_alert(services, monkeypatch)
    assert {alert.kind for alert in alerts} == {*get_args(MailKind)}
    assert {alert.template for alert in alerts} == templates()


def test_every_mail_begins_with_the_four_answers_and_leads_to_the_page(
    postbox: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alert in every_alert(services, monkeypatch):
        mail = compose(alert, ["a@example.com"], services)
        lines = FirstLines(**alert.facts[NAME])
        answers = [lines.happened, lines.harm, lines.done, f"What to do: {lines.todo}"]
        assert mail["Subject"].removeprefix("Re: ").startswith(f"{alert.model}: "), alert.key
        html, text = shown(mail)
        assert text.startswith(" ".join(" ".join(answers).split())), alert.key
        in_html = [html.find(" ".join(answer.split())) for answer in answers]
        assert -1 not in in_html and in_html == sorted(in_html), (alert.key, in_html)
        assert rendering.brief(alert).startswith(lines.happened), alert.key
        assert "/plugin/evergreen" in text, alert.key
        assert "None" not in text and "None" not in html, alert.key
        assert len(" ".join(answers)) < 900, f"{alert.key}: the first lines are no first lines any more"


def shown(mail: EmailMessage) -> tuple[str, str]:
    """Give what a reader sees of both forms."""
    import html as escapes

    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))  # type: ignore[union-attr]
    body = html.partition("<body")[2].partition(">")[2]
    visible = escapes.unescape(re.sub(r"</?(span|strong)[^>]*>", "", body))
    return " ".join(re.sub(r"<[^>]+>", " ", visible).split()), " ".join(text.split())


@pytest.mark.parametrize("missing", ["happened", "harm", "done", "todo"])
def test_an_answer_that_is_empty_is_refused(missing: str) -> None:
    answers = dict.fromkeys(("happened", "harm", "done", "todo"), "something") | {missing: " "}
    with pytest.raises(ValueError, match=missing):
        FirstLines(**answers)


def test_an_answer_ends_with_a_stop_and_stays_what_it_is() -> None:
    lines = FirstLines("It broke", "Yes!", "Nothing.", "each of these:")
    assert astuple(lines) == ("It broke.", "Yes!", "Nothing.", "each of these:")
    assert first_lines.capitalised("version 5") == "Version 5"


def test_an_alert_without_first_lines_is_not_composed(services: Services) -> None:
    with pytest.raises(TypeError, match="'held' need their first lines"):
        outbox.compose("held", "held/1", "verdict", "Held", {"error": "x"}, services)


def test_an_alert_of_an_older_release_is_still_delivered(services: Services) -> None:
    facts = {name: value for name, value in mails.failure_facts().items() if name != NAME}
    html, text = rendering.render("failure", facts)
    assert str(mails.REFUSED)[:40] in html and str(mails.REFUSED)[:40] in text


def test_every_dag_has_its_harm() -> None:
    drawn = {path.stem for path in (PROJECT_ROOT / "dags").glob("*.py")} - {"wrong_settings"}
    assert set(failure.HARM) == drawn


@pytest.mark.parametrize(
    ("dag_id", "part"),
    [
        ("retrain", "the version that serves is the same"),
        ("score", "may be missing"),
        ("deadline", "if they come late"),
    ],
)
def test_a_failed_task_says_whether_predictions_suffer(
    dag_id: str, part: str, postbox: Any, services: Services
) -> None:
    context = mails.context(ValueError("x"), tried=3)
    context["task_instance"].dag_id = f"flight-delay.{dag_id}"
    failure.alert_failure(context)
    (alert,) = queued(services)
    lines = FirstLines(**alert.facts[NAME])
    assert part in lines.harm
    assert "Airflow tried 3 times" in lines.done


def test_a_hold_by_one_rule_says_what_to_do_at_once_and_by_several_in_a_list() -> None:
    several = mails.held_facts()
    assert several[NAME].todo.endswith(":") and len(several["advice"]) == 2
    one = Verdict(decision="hold", reasons=("x",), rulings=(*mails.RULINGS[:2], mails.LOST))
    held = mails.logged("hold", "h", version=5, verdict=one.model_dump(mode="json"), requested_by="anna")
    judgement = Judgement(fingerprint="f" * 64, version=5, champion_version=4, verdict=one, decision_id=None)
    promotion = mails.Promotion(promoted=False, version=5, previous_version=4, decision_id="h", reason="x")
    facts = verdict.verdict_facts(mails.WINDOW, judgement, promotion, mails.SERVICES, (mails.DECISIONS[0], held))
    assert facts[NAME].todo.startswith("nothing: as far as these days can tell")


def test_a_hold_says_when_the_next_challenger_is_requested() -> None:
    services = SimpleNamespace(**{**vars(mails.SERVICES), "settings": builders.settings(retrain={"max_age_days": 14})})
    held = mails.logged("hold", "h", version=5, verdict=mails.JUDGEMENT.verdict.model_dump(mode="json"))
    held = held.model_copy(update={"payload": {**held.payload, "judged_on": "2013-03-24"}})
    promotion = mails.Promotion(promoted=False, version=5, previous_version=4, decision_id="h", reason="x")
    facts = verdict.verdict_facts(
        mails.WINDOW, mails.JUDGEMENT, promotion, cast("Services", services), (mails.DECISIONS[0], held)
    )
    assert facts["more"][0].startswith("The next challenger is requested with the data of 2013-04-04 at the latest")


def test_a_question_says_who_serves_while_it_waits() -> None:
    first = mails.JUDGEMENT.model_copy(update={"champion_version": None})
    assert "nobody serves" in mails.approval_facts(first)[NAME].harm
    assert "version 4 goes on serving" in mails.approval_facts()[NAME].harm
    assert approval.NAME == NAME


def test_a_long_reason_of_a_rollback_is_left_to_the_text_below() -> None:
    short = mails.RollbackRequest(requested_by="anna", reason="it misjudges Sundays")
    assert rollback.because(short) == "Reason: it misjudges Sundays."
    assert rollback.because(mails.RollbackRequest(requested_by="anna", reason="x" * 500)) == ""
