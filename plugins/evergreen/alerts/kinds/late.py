"""Alert people that predictions are late, once, and once more when they come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from evergreen.alerts import outbox
from evergreen.alerts.first_lines import NAME, FirstLines

if TYPE_CHECKING:
    from ml.adapters.storage import Objects
    from ml.records import Timeliness
    from ml.wiring import Services

log = logging.getLogger(__name__)
NEXT_BY_CAUSE = {
    "source_late": "ask whoever delivers the data what holds them up; what comes after that is said below.",
    "data_rejected": "correct the data at their source; what comes after that is said below.",
    "no_champion": "train a model that may serve (trigger Retrain); why nobody may score the day is said below.",
    "task_failed": "correct what failed, as said below, and clear that task in Airflow.",
}
CAUSES = {
    "source_late": "the source is late",
    "data_rejected": "the data were rejected",
    "no_champion": "nobody serves",
    "task_failed": "a task failed",
}


def alert_timeliness(facts: dict[str, Any]) -> None:
    """Alert people if the predictions of the model whose Dag runs are late, or late no more, by what its step found."""
    from evergreen.models import current_model
    from ml.records import Timeliness
    from ml.wiring import open_services

    alert_late(Timeliness.model_validate(facts), open_services(model=current_model()))


def alert_late(timeliness: Timeliness, services: Services) -> None:
    """Open an episode if none is open and predictions are late; resolve the open one if they are not.

    The alerts in the outbox are the memory of it: killed anywhere and run again, each is made once.
    """
    since = open_episode(services.storage)
    if timeliness.late and since is None:
        _enqueue(timeliness, str(timeliness.day), services)
    elif since is not None and not timeliness.late:
        _enqueue(timeliness, since, services)
    else:
        log.info("predictions: %s", f"late since {since}, which people know" if since else "in time")
        outbox.flush(services)


def open_episode(storage: Objects) -> str | None:
    """Return since which day predictions are late, as people were alerted; None if they are not."""
    from ml.adapters import layout

    keys = {
        layout.alerts.key_of(path, layout.alerts.ALERTS)
        for path in storage.list(f"{layout.alerts.ALERTS}{layout.alerts.LATE}")
    }
    days = sorted({key.removeprefix(layout.alerts.LATE).partition("/")[0] for key in keys})
    return next((day for day in reversed(days) if layout.alerts.late_key(day, "resolved") not in keys), None)


def _enqueue(timeliness: Timeliness, since: str, services: Services) -> None:
    from ml.adapters import layout

    opening = layout.alerts.late_key(since, "opened")
    facts = {
        "task": services.settings.task.name,
        NAME: _first_lines(timeliness, since, services),
        "since": since,
        "day": timeliness.day,
        "due_by": services.settings.score.due_by,
        "timezone": services.settings.task.timezone,
        "cause": CAUSES.get(timeliness.cause or "", ""),
        "reason": timeliness.reason,
        "links": [],
    }
    alert = outbox.compose(
        "predictions_late",
        opening if timeliness.late else layout.alerts.late_key(since, "resolved"),
        "late",
        f"Predictions late since {since}",
        facts,
        services,
        severity="alarm" if timeliness.late else "info",
        day=timeliness.day,
        thread=None if timeliness.late else opening,
        resolves=not timeliness.late,
    )
    outbox.enqueue(alert, services)


def _first_lines(timeliness: Timeliness, since: str, services: Services) -> FirstLines:
    day, score = timeliness.day, services.settings.score
    if not timeliness.late:
        return FirstLines(
            happened=f"Resolved: the predictions that are due are published, those of {day}.",
            harm=f"Predictions were late from {since} on; whoever reads them has them now.",
            done="This alarm is closed.",
            todo="nothing, unless they come too late too often: then see what held them up.",
        )
    cause = CAUSES.get(timeliness.cause or "", "for a reason that is not known")
    return FirstLines(
        happened=f"The predictions of {day} were due by {score.due_by} ({services.settings.task.timezone}), and are "
        f"not published: {cause}.",
        harm=f"Whoever reads the predictions of {day} has none yet.",
        done="Evergreen looks again each day, and alerts once more when they come; not every day.",
        todo=NEXT_BY_CAUSE.get(timeliness.cause or "", "look at the newest runs of Ingest and Score."),
    )
