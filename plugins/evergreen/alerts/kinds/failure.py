"""Alert people that a task failed for good, or that it rejected data."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

from evergreen.alerts.first_lines import NAME, FirstLines, capitalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.errors import DataRejected
    from ml.settings import MailKind
    from ml.wiring import Services

log = logging.getLogger(__name__)
HARM = {
    "ingest": "The day may be missing in the data registry: then it is neither scored nor monitored.",
    "score": "Predictions of this day may be missing for whoever reads them.",
    "monitor": "Predictions go on. Drift and decay of this day may be unknown, and nobody is warned of them.",
    "retrain": "Predictions go on: the version that serves is the same, unless this run had promoted one before.",
    "rollback": "Predictions go on; the version that was to go may still serve.",
    "deadline": "Predictions go on, and nobody is alerted if they come late.",
    "digest": "Predictions go on; the weekly digest is missing.",
    "note": "Predictions go on; a note that a person wrote may not be recorded.",
    "exclude": "Predictions go on; days that should teach nothing may still be learned from.",
}
"""What a failed task of each Dag means for predictions."""
UNKNOWN_HARM = "Its work is not done; whether predictions suffer depends on what it was."


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
    harm = HARM.get(instance.dag_id.rpartition(".")[2], UNKNOWN_HARM)
    where = f"{verb_of(instance.dag_id) or instance.dag_id}.{instance.task_id}"  # the title begins with the model
    services = open_services(model=model_of(instance.dag_id))
    title = f"{what}: {where}" + (f" for {day}" if day else "")
    if rejected is not None and rejected.about:
        title = f"{what}: {rejected.about}"
    facts = {
        NAME: rejection_lines(rejected, where, harm) if rejected else failure_lines(instance, where, day, harm),
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


def failure_lines(instance: Any, where: str, day: object, harm: str) -> FirstLines:
    """Return the first lines of a task that failed for good."""
    tries = int(getattr(instance, "try_number", 0) or 0)
    tried = f"Airflow tried {tries} times, and does not try again" if tries > 1 else "Airflow does not try again"
    return FirstLines(
        happened=f"The task {where} failed{f' for {day}' if day else ''}.",
        harm=harm,
        done=f"What was there before stays as it was. {tried}.",
        todo="correct what the error below says, then clear the task in Airflow (the first link).",
    )


def rejection_lines(rejected: DataRejected, where: str, harm: str) -> FirstLines:
    """Return the first lines of data that were rejected, or of labels that are in doubt.

    Parameters
    ----------
    harm
        What it means where the error does not say which data were rejected.
    """
    from ml.errors import LabelsInDoubt

    about = rejected.about or f"The data of {where}"
    if isinstance(rejected, LabelsInDoubt):
        return FirstLines(
            happened=f"{capitalised(about)} are in doubt: they keep their contract, and are unlike their past and the "
            "predictions.",
            harm="Predictions go on. How good they were on these days is not known yet.",
            done="They are quarantined: nothing learns from them until they are corrected, confirmed by later days, or "
            "accepted by a person.",
            todo="compare them with their source; deliver correct ones, or accept these (evergreen labels accept).",
        )
    if rejected.about and "inputs" not in rejected.about:
        harm = "Predictions go on. How good they were on these days is not known, and nothing learns from them."
    elif rejected.about:
        harm = "The day is neither scored nor monitored, unless the data registry has an earlier delivery of it."
    return FirstLines(
        happened=f"{capitalised(about)} were rejected: they break their contract.",
        harm=harm,
        done="Nothing of what is named here went any further; it is quarantined, and what was there before stays.",
        todo="correct it at its source and deliver it again, as said below; if it is right, correct the contract.",
    )


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
