"""Alert people that labels of some days never came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.alerts.first_lines import NAME, FirstLines

if TYPE_CHECKING:
    from ml.records import Screening


def alert_lost_labels(screening: Screening) -> None:
    """Alert people that labels of some days never came and are asked for no more; each day is in one alert."""
    from airflow.sdk import get_current_context

    from evergreen.alerts import outbox
    from evergreen.alerts.links import run_link
    from evergreen.models import current_model
    from ml.steps.ingest.label_doubts import why_without_labels
    from ml.wiring import open_services

    if not screening.lost_label_days:
        return
    context, services = get_current_context(), open_services(model=current_model())
    instance = context["task_instance"]
    days = ", ".join(map(str, screening.lost_label_days))
    facts = {
        NAME: FirstLines(
            happened=f"Labels of {days} never came, are still in doubt, or could not be taken.",
            harm="Predictions go on. How good they were on these days is not known, and nothing learns from them.",
            done="No later day asks for these labels any more; the inputs of these days stay.",
            todo="look at the source of labels, and deliver them or let them in, as said below.",
        ),
        "what": "Labels missing",
        "where": f"{instance.dag_id}.{instance.task_id}",
        "day": days,
        "error": "",
        "errors": [f"{why_without_labels(day, services)}." for day in screening.lost_label_days],
        "failures": [],
        "links": [("This Airflow run", run_link(context))],
    }
    alert = outbox.compose(
        "data_rejected",
        f"data_rejected/lost/partition={screening.day}",
        "failure",
        f"Labels missing: {facts['day']}",
        facts,
        services,
        severity="alarm",
        day=screening.day,
    )
    outbox.enqueue(alert, services)
