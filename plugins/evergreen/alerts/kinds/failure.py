"""Alert people that a task failed for good, or that it rejected data."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.errors import DataRejected
    from ml.settings import MailKind
    from ml.wiring import Services

log = logging.getLogger(__name__)


def alert_failure(context: Mapping[str, Any]) -> None:
    """Alert people that a task failed for good; the ``on_failure_callback`` of every task.

    A failure of the alert itself is logged and goes no further: it must not hide the failure it speaks of.
    """
    try:
        _alert_failure(context)
    except Exception:
        log.exception("no alert of the failure could be made")


def _alert_failure(context: Mapping[str, Any]) -> None:
    from evergreen.alerts import outbox
    from evergreen.alerts.links import run_link
    from evergreen.models import model_of, verb_of
    from ml.errors import DataRejected, LabelsInDoubt
    from ml.wiring import open_services

    cause = _origin(context.get("exception"))
    rejected = cause if isinstance(cause, DataRejected) else None
    instance, day = context["task_instance"], context.get("partition_key")
    kind: MailKind = "data_rejected" if rejected else "task_failed"
    what = "Data rejected" if rejected else "Task failed"
    if isinstance(rejected, LabelsInDoubt):
        kind, what = "labels_in_doubt", "Labels in doubt"
    where = f"{verb_of(instance.dag_id) or instance.dag_id}.{instance.task_id}"  # the title begins with the model
    services = open_services(model=model_of(instance.dag_id))
    title = f"{what}: {where}" + (f" for {day}" if day else "")
    if rejected is not None and rejected.about:
        title = f"{what}: {rejected.about}"
    facts = {
        "what": what,
        "where": f"{instance.dag_id}.{instance.task_id}",
        "day": rejected.about if rejected is not None and rejected.about else day,
        "error": _message(cause),
        "errors": _reasons(rejected),
        "failures": list(rejected.failures) if rejected else [],
        "links": [("This Airflow run", run_link(context)), *_reports(rejected, services)],
    }
    key = f"{kind}/{where}/run={outbox.key_part(instance.run_id)}/try={getattr(instance, 'try_number', 0)}"
    if getattr(instance, "map_index", -1) >= 0:
        key += f"_of={instance.map_index}"
    if rejected is not None and rejected.identity:  # whoever rejects the same again says nothing new
        key = f"{kind}/{where}/content={rejected.identity}"
    alert = outbox.compose(kind, key, "failure", title, facts, services, severity="alarm", day=_day(day))
    outbox.enqueue(alert, services)


def _day(partition_key: object) -> date | None:
    """Return the day that a partition key names, if it names one."""
    try:
        return date.fromisoformat(str(partition_key))
    except ValueError:
        return None


def _reasons(rejected: DataRejected | None) -> list[str]:
    """Return why each delivery was rejected, where there are several; else nothing."""
    from ml.urls import redact

    return [redact(reason) for reason in rejected.reasons] if rejected is not None else []


def _reports(rejected: DataRejected | None, services: Services) -> list[tuple[str, str]]:
    """Return the report of each rejected delivery, as the page serves it."""
    from evergreen.alerts.links import readable

    if rejected is None:
        return []
    reports = list(rejected.reports) or [("", rejected.report_uri or "")]
    named = len(reports) > 1
    return [
        (f"Validation report of {about}" if named else "Validation report", readable(uri, services))
        for about, uri in reports
    ]


def _origin(error: object) -> object:
    """Go back to the error of ours that a task's exception was made from, if it was."""
    from ml.errors import EvergreenError

    cause = error.__cause__ if isinstance(error, BaseException) else None
    return cause if isinstance(cause, EvergreenError) else error


def _message(error: object) -> str:
    """Put an error in words; those that were not written for people are named by their kind."""
    from airflow.sdk.exceptions import AirflowException

    from ml.errors import EvergreenError
    from ml.urls import redact

    if error is None:
        return "The task ended without an error of its own: it was stopped or killed. Its log may say more."
    if isinstance(error, (EvergreenError, AirflowException)) and str(error):
        return redact(str(error))
    return redact(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__
