"""Tell people what happened: each kind of mail, rendered as HTML and as plain text, and put into the outbox."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.records import (
        Decision,
        DriftReport,
        LivePerformance,
        Rollback,
        RollbackRequest,
        Screening,
    )
    from ml.settings import MailKind
    from ml.wiring import Services

log = logging.getLogger(__name__)
TEMPLATES = Path(__file__).parent / "templates"


def mail_monitoring(drift: DriftReport, performance: LivePerformance, decision: Decision) -> None:
    """Mail what changed in the state of monitoring, if anything did, and send what waits in the outbox.

    Only the newest day is told: what is found on a day that arrives late is in its report.
    """
    from airflow.sdk import get_current_context

    from evergreen import outbox
    from evergreen.approval import version_link
    from evergreen.watch import Watch
    from ml.wiring import open_services

    services = open_services()
    newest = max(services.registry.days("inputs"))
    if decision.day < newest:
        log.info("nobody is told of %s: it is not the newest day, %s is", decision.day, newest)
        outbox.flush(services.storage)
        return
    links = [
        ("This Airflow run", run_link(get_current_context())),
        ("The retrain", retrain_link(drift) if decision.action == "retrain" else ""),
        ("Evidently report", drift.report_uri or ""),
        *version_link("Champion", decision.champion_version, services),
    ]
    Watch(drift, performance, decision, services, tuple(links)).tell()


def mail_outcome(window: Mapping[str, Any], judgement: Mapping[str, Any]) -> None:
    """Mail that a challenger was promoted or held, once for each decision.

    Raises
    ------
    AirflowSkipException
        If ``promote`` left no outcome: it was marked by hand.
    """
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from evergreen.verdicts import OUTCOME, verdict_facts
    from ml.records import Judgement, Promotion, Window
    from ml.wiring import open_services

    context = get_current_context()
    outcome = context["ti"].xcom_pull(task_ids="promote", key=OUTCOME)
    if outcome is None:
        raise AirflowSkipException("nothing to tell: 'promote' left no outcome, it was marked by hand")
    promotion, services = Promotion.model_validate(outcome), open_services(run=window["workspace"])
    known = Window.model_validate(window), Judgement.model_validate(judgement)
    facts = verdict_facts(*known, promotion, services, services.tracking.decisions())
    kind: MailKind = "promoted" if promotion.promoted else "held"
    links = [("This Airflow run", run_link(context)), *facts["links"]]
    about = f"decision={promotion.decision_id}" if promotion.decision_id else f"run={_safe(context['dag_run'].run_id)}"
    post(kind, f"{kind}/{about}", "verdict", facts["headline"], facts | {"links": links}, services)


def mail_approval(window: Mapping[str, Any], judgement: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mail the approvers what a promotion waits for, once for each time that it is asked.

    Returns
    -------
    dict or None
        The question in words (`evergreen.approval.question`), or None if nobody need be asked.
    """
    from airflow.sdk import get_current_context

    from evergreen import approval
    from ml.records import Judgement, Window
    from ml.wiring import open_services

    services = open_services(run=window["workspace"])
    judged = Judgement.model_validate(judgement)
    if not approval.needs_person(judged, services.settings.gate):
        return None
    context = get_current_context()
    asked_by = services.workspace(window["workspace"]).read_json("request.json")["asked_by"]
    facts = approval.question(Window.model_validate(window), judged, services, asked_by=asked_by)
    run = context["dag_run"]
    name = f"approval/run={_safe(run.run_id)}/clearing={run.clear_number}/version={judged.version}"
    links = [("Answer in Airflow", question_link(context)), *facts["links"]]
    post("approval", name, "approval", facts["subject"], facts | {"links": links}, services)
    return facts


def mail_rollback(done: Rollback, request: RollbackRequest) -> None:
    """Mail that an earlier champion serves again, once for each rollback."""
    from airflow.sdk import get_current_context

    from evergreen.approval import version_link
    from ml.wiring import open_services

    services = open_services()
    barred = done.decision_id in {entry.decision_id for entry in services.tracking.decisions(kinds=("rollback",))}
    facts = rollback_facts(done, request, services, barred=barred)
    subject = f"Rolled back: version {done.version} serves again instead of {facts['away']}"
    links = [("This Airflow run", run_link(get_current_context()))]
    for role, version in (("Serves again", done.version), ("Taken away", done.from_version)):
        links += version_link(role, version, services)
    post(
        "rolled_back",
        f"rolled_back/decision={done.decision_id}",
        "rollback",
        subject,
        facts | {"links": links},
        services,
    )


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
        kind: MailKind = "data_refused" if rejected else "task_failed"
        what = "Data refused" if rejected else "Task failed"
        subject = f"{what}: {instance.dag_id}.{instance.task_id}" + (f" for {day}" if day else "")
        if rejected is not None and rejected.about:
            subject = f"{what}: {rejected.about}"
        facts = {
            "what": what,
            "where": f"{instance.dag_id}.{instance.task_id}",
            "day": rejected.about if rejected is not None and rejected.about else day,
            "error": _said(cause),
            "failures": list(rejected.failures) if rejected else [],
            "links": [
                ("This Airflow run", run_link(context)),
                ("Validation report", (rejected.report_uri or "") if rejected else ""),
            ],
        }
        name = f"{kind}/{facts['where']}/run={_safe(instance.run_id)}/try={getattr(instance, 'try_number', 0)}"
        if getattr(instance, "map_index", -1) >= 0:
            name += f"_of={instance.map_index}"
        if rejected is not None and rejected.identity:  # whoever rejects the same again says nothing new
            name = f"{kind}/{facts['where']}/content={rejected.identity}"
        post(kind, name, "failure", subject, facts, open_services())
    except Exception:
        log.exception("the failure could not be mailed")


def mail_lost_labels(screening: Screening) -> None:
    """Mail that labels of some days never came and are asked for no more; each day is in one mail."""
    from airflow.sdk import get_current_context

    from ml.steps.report_rejected import lost
    from ml.wiring import open_services

    if not screening.lost_label_days:
        return
    context, services = get_current_context(), open_services()
    instance = context["task_instance"]
    facts = {
        "what": "Labels missing",
        "where": f"{instance.dag_id}.{instance.task_id}",
        "day": ", ".join(map(str, screening.lost_label_days)),
        "error": " ".join(f"{lost(day, services.settings)}." for day in screening.lost_label_days),
        "failures": [],
        "links": [("This Airflow run", run_link(context))],
    }
    name = f"data_refused/lost/partition={screening.day}"
    post("data_refused", name, "failure", f"Labels missing: {facts['day']}", facts, services)


def _origin(error: object) -> object:
    """Go back to the error of ours that a task's exception was made from, if it was."""
    from ml.errors import EvergreenError

    cause = error.__cause__ if isinstance(error, BaseException) else None
    return cause if isinstance(cause, EvergreenError) else error


def _said(error: object) -> str:
    """Put an error in words; those that were not written for people are named by their kind."""
    from airflow.sdk.exceptions import AirflowException

    from ml.errors import EvergreenError
    from ml.urls import redact

    if error is None:
        return "The task ended without an error of its own: it was stopped or killed. Its log may say more."
    if isinstance(error, (EvergreenError, AirflowException)) and str(error):
        return redact(str(error))
    return redact(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__


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

    from evergreen.links import airflow_url

    return f"{airflow_url()}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"


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


def post(
    kind: MailKind, name: str, template: str, subject: str, facts: Mapping[str, Any], services: Services
) -> str | None:
    """Render a mail and put it into the outbox under its name; return its message id, None if nobody is told."""
    from evergreen import outbox

    html, text = render(template, {"subject": subject, "told": told_under(kind, services), **facts})
    return outbox.post(outbox.Letter(kind=kind, name=name, subject=subject, html=html, text=text), services)


def told_under(kind: MailKind, services: Services) -> str:
    """Name the key of ``params.yaml`` that says who gets mails of a kind."""
    notify = services.settings.notify
    if kind in notify.kinds:
        return f"notify.kinds.{kind}"
    return "notify.approvers" if kind == "approval" and notify.approvers else "notify.to"


def _safe(part: str) -> str:
    """Make one part of a name of something that may hold slashes."""
    from urllib.parse import quote

    return quote(part, safe="")
