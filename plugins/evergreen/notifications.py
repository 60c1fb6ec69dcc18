"""Mail people what happened: rendered as HTML and as plain text, sent through Airflow's SMTP connection."""

from __future__ import annotations

import logging
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.records import ColumnDrift, Decision, DriftReport, LivePerformance, Rollback, RollbackRequest
    from ml.wiring import Services

log = logging.getLogger(__name__)
CONNECTION = "smtp_default"
TEMPLATES = Path(__file__).parent / "templates"
WORST_COLUMNS = 8


def mail_drift(drift: DriftReport, performance: LivePerformance, decision: Decision) -> None:
    """Mail a day's drift alarm, once: a second run of the same day finds that it was sent."""
    from airflow.sdk import get_current_context

    from ml.wiring import open_services

    services = open_services()
    shelf = services.shelf(f"monitor/day={drift.day}/version={drift.champion_version}")
    if shelf.has("mailed.json"):
        log.info("the alarm of %s was mailed before", drift.day)
        return
    subject = f"Drift on {drift.day}: {drift.reason.split(':')[0]}"
    facts = {
        "drift": drift,
        "performance": performance,
        "decision": decision,
        "columns": worst_first(drift.columns),
        "task": services.settings.task.name,
        "did": sentence_of_action(decision),
        "links": [
            ("This Airflow run", run_link(get_current_context())),
            ("The retrain", retrain_link(drift) if decision.action == "retrain" else ""),
            ("Evidently report", drift.report_uri or ""),
        ],
    }
    message_id = send("drift", subject, facts, services.settings.notify.to)
    shelf.write_json("mailed.json", {"message_id": message_id, "subject": subject})


def worst_first(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Order columns by how far they are over their limit, structural ones first."""
    key = lambda column: (column.role != "structural", -(column.score or 0.0) / (column.limit or 1.0))  # noqa: E731
    return sorted(columns, key=key)[:WORST_COLUMNS]


def sentence_of_action(decision: Decision) -> str:
    """Say what the system did about it."""
    if decision.action == "rollback" and decision.rollback:
        back = decision.rollback.to_version
        return f"Version {back or 'that served before'} comes back: {decision.rollback.why}"
    if decision.action == "retrain":
        return "A challenger has been asked for; it will serve only if it beats the champion on the same days."
    return "No challenger was asked for: " + "; ".join(decision.reasons[1:] or decision.reasons)


def mail_approval(window: Mapping[str, Any], judgement: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mail the approvers what a promotion waits for, once for each time that it is asked.

    Returns
    -------
    dict or None
        The question in words (`evergreen.approval.question`), or None if nobody need be asked.
    """
    from urllib.parse import quote

    from airflow.sdk import get_current_context

    from evergreen import approval
    from ml.records import Judgement, Window
    from ml.wiring import open_services

    services = open_services(run=window["workspace"])
    judged = Judgement.model_validate(judgement)
    if not approval.needs_person(judged, services.settings.gate):
        return None
    context = get_current_context()
    place = services.workspace(window["workspace"])
    asked_by = place.read_json("request.json")["asked_by"]
    facts = approval.question(Window.model_validate(window), judged, services, asked_by=asked_by)
    run = context["dag_run"]
    sent = f"asked/run={quote(run.run_id, safe='')}/clearing={run.clear_number}/version={judged.version}.json"
    if place.has(sent):
        log.info("the approvers were mailed before")
        return facts
    links = [("Answer in Airflow", question_link(context)), *facts["links"]]
    notify = services.settings.notify
    told = "notify.approvers" if notify.approvers else "notify.to"
    mail = facts | {"links": links, "told": told}
    message_id = send("approval", facts["subject"], mail, notify.approvers or notify.to)
    place.write_json(sent, {"message_id": message_id, "subject": facts["subject"]})
    return facts


def mail_rollback(done: Rollback, request: RollbackRequest) -> None:
    """Mail that an earlier champion serves again, once for each rollback."""
    from airflow.sdk import get_current_context

    from evergreen.approval import version_link
    from ml.wiring import open_services

    services = open_services()
    shelf = services.shelf(f"rollbacks/decision={done.decision_id}")
    if shelf.has("mailed.json"):
        log.info("rollback %s was mailed before", done.decision_id)
        return
    barred = done.decision_id in {entry.decision_id for entry in services.tracking.decisions(kinds=("rollback",))}
    facts = rollback_facts(done, request, services, barred=barred)
    subject = f"Rolled back: version {done.version} serves again instead of {facts['away']}"
    links = [("This Airflow run", run_link(get_current_context()))]
    for role, version in (("Serves again", done.version), ("Taken away", done.from_version)):
        links += version_link(role, version, services)
    message_id = send("rollback", subject, facts | {"links": links}, services.settings.notify.to)
    shelf.write_json("mailed.json", {"message_id": message_id, "subject": subject})


def rollback_facts(
    done: Rollback, request: RollbackRequest, services: Services, *, barred: bool = True
) -> dict[str, Any]:
    """Give what the mail of a rollback says.

    Parameters
    ----------
    barred
        False where only an alias that somebody had moved by hand was brought back.

    Returns
    -------
    dict
        ``found`` is the comparison in words, or empty if there is none; ``away`` is who served.
    """
    settings, numbers = services.settings, dict(request.evidence)
    gain, low, high = (numbers.pop(name, None) for name in ("gain", "low", "high"))
    found = ""
    if gain is not None and low is not None and high is not None:
        found = (
            f"Version {done.version} had the lower mean {settings.gate.metric.replace('_', ' ')}, by {gain:.4f} "
            f"({low:.4f} to {high:.4f} with {settings.rollback.confidence:.0%} confidence), on the same rows"
        )
    return {
        "task": settings.task.name,
        "done": done,
        "request": request,
        "found": found,
        "away": f"version {done.from_version}" if done.from_version is not None else "nobody",
        "barred": barred,
        "numbers": [(name.replace("_", " "), f"{value:,.6g}") for name, value in numbers.items() if value is not None],
    }


def mail_failure(context: Mapping[str, Any]) -> None:
    """Mail that a task failed for good; the ``on_failure_callback`` of every task.

    A failure to mail is logged and goes no further: it must not hide the failure it speaks of.
    """
    try:
        from ml.errors import DataRejected
        from ml.wiring import open_services

        cause = _origin(context.get("exception"))
        rejected = cause if isinstance(cause, DataRejected) else None
        instance, day = context["task_instance"], context.get("partition_key")
        what = "Data refused" if rejected else "Task failed"
        subject = f"{what}: {instance.dag_id}.{instance.task_id}" + (f" for {day}" if day else "")
        facts = {
            "what": what,
            "where": f"{instance.dag_id}.{instance.task_id}",
            "day": day,
            "error": _said(cause),
            "failures": list(rejected.failures) if rejected else [],
            "links": [
                ("This Airflow run", run_link(context)),
                ("Validation report", (rejected.report_uri or "") if rejected else ""),
            ],
        }
        send("failure", subject, facts, open_services().settings.notify.to)
    except Exception:
        log.exception("the failure could not be mailed")


def _origin(error: object) -> object:
    """Go back to the error of ours that a task's exception was made from, if it was."""
    from ml.errors import EvergreenError

    cause = error.__cause__ if isinstance(error, BaseException) else None
    return cause if isinstance(cause, EvergreenError) else error


def _said(error: object) -> str:
    """Put an error in words; those that were not written for people are named by their kind."""
    from airflow.sdk.exceptions import AirflowException

    from ml.errors import EvergreenError

    if error is None:
        return "The task ended without an error of its own: it was stopped or killed. Its log may say more."
    if isinstance(error, (EvergreenError, AirflowException)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run_link(context: Mapping[str, Any]) -> str:
    """Give the address of this Dag run in Airflow's web UI."""
    instance = context["task_instance"]
    return _link(instance.dag_id, instance.run_id)


def retrain_link(drift: DriftReport) -> str:
    """Give the address of the retrain that a day's monitoring asks for: its run id follows from the day."""
    return _link("retrain", f"monitor__{drift.day}")


def question_link(context: Mapping[str, Any]) -> str:
    """Give the address of the page where a person answers for this Dag run."""
    return f"{run_link(context)}/tasks/approve/required_actions?map_index=-1"


def _link(dag_id: str, run_id: str) -> str:
    from urllib.parse import quote

    from airflow.sdk.configuration import conf

    base = (conf.get("api", "base_url", fallback="") or "http://localhost:8080").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"


def render(name: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Render a mail as HTML (all values escaped) and as plain text."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    html, text = (environment.get_template(f"{name}.{kind}").render(**facts) for kind in ("html", "txt"))
    return html, text


def send(name: str, subject: str, facts: Mapping[str, Any], to: Sequence[str]) -> str:
    """Render and send one mail to all of ``to``; return its message id.

    The hook itself sends HTML only, so the message is built here and the hook gives connection,
    sender and credentials.
    """
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    html, text = render(name, {"subject": subject, **facts})
    with SmtpHook(smtp_conn_id=CONNECTION) as hook:
        message = EmailMessage()
        message["Subject"] = " ".join(subject.split())
        message["From"] = hook.from_email or "evergreen@localhost"
        message["To"] = ", ".join(to)
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain="evergreen.local")
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        hook._smtp_client.send_message(message)
    log.info("mailed %r to %s", subject, ", ".join(to))
    return str(message["Message-ID"])
