"""Gather what a week brought a model: who serves, how it does, what was decided, and what waits for a person."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from ml.adapters import layout
from ml.adapters.tracking.decision_log import DecisionLog
from ml.core.monitoring.day_summary import Facts, plain
from ml.errors import EvergreenError
from ml.records import Alert, Logged, QueuedAlert
from ml.settings import ConfiguredModel
from ml.views import charts, gain
from ml.views.page import data_inventory, status
from ml.views.page.installation import blank, row_of
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
SHOWN_DAYS = 7
"""So many of the newest days of data are looked at."""

JUDGED = ("promotion", "hold", "rejection", "rollback", "withdrawal")
WORDS = {
    "promotion": "{who} was promoted",
    "hold": "{who} was held",
    "rejection": "{who} was not approved",
    "rollback": "rolled back to {who}",
    "withdrawal": "version {against} was withdrawn",
    "day_exclusion": "days were excluded",
    "day_inclusion": "days count again",
    "label_acceptance": "labels were let in",
}
ALARMS = ("drift", "decay", "predictions_late")


def of_model(model: ConfiguredModel, *, now: datetime, week: tuple[datetime, datetime]) -> Facts:
    """Gather the week of one model; one that cannot be read says why, and stops no other.

    Parameters
    ----------
    now
        The present instant (aware).
    week
        From which instant, inclusive, until which, exclusive.

    Returns
    -------
    dict
        The row of `ml.views.page.installation.row_of`, with ``waits`` and ``problems`` (sentences), ``happened``
        (``day`` and ``sentence``, oldest first), ``counts`` by kind of decision and of alarms ``opened`` and
        ``resolved``, ``days`` (``missing``, ``rejected``, ``quarantined_rows``, ``in_doubt`` of the newest days), and
        ``began``: whether anything happened before the week's end.
    """
    try:
        services = open_services(model=model.name)
        return _facts(model.name, services, now=now, week=week)
    except EvergreenError as err:
        logger.warning("digest: %s cannot be read: %s", model.name, err)
        state = "unknown" if err.retryable else "misconfigured"
        return _without(blank(model.name, state, model.problem or str(err)))


def _without(row: Facts) -> Facts:
    days = {"missing": [], "rejected": [], "quarantined_rows": 0, "in_doubt": [], "excluded": []}
    return {
        **row,
        "metric_label": "",
        "reason": None,
        "waits": [row["sentence"]],
        "happened": [],
        "counts": {},
        "days": days,
        "began": True,
    }


def _facts(name: str, services: Services, *, now: datetime, week: tuple[datetime, datetime]) -> Facts:
    present = status.now(services, today=now)
    since, until = week
    log = DecisionLog(services.tracking)
    decided = [
        entry
        for entry in log.since(since, kinds=[*WORDS, "retrain_request"])
        if since <= entry.decided_at < until and entry.kind in WORDS
    ]
    alerts = [alert for alert in _alarms(services) if since <= alert.created_at < until]
    happened = [(entry.decided_at, _sentence(entry, services)) for entry in decided]
    happened += [(alert.created_at, _alarm(alert)) for alert in alerts if alert.thread is None or alert.resolves]
    counts = {kind: sum(entry.kind == kind for entry in decided) for kind in JUDGED}
    counts |= {
        "opened": sum(alert.thread is None for alert in alerts),
        "resolved": sum(alert.resolves for alert in alerts),
    }
    facts: Facts = plain(
        {
            **row_of(name, present),
            "metric_label": charts.label(present["task"]["metric"]),
            "reason": (present["performance"] or {}).get("reason"),
            "happened": [
                {"day": at.date(), "sentence": sentence} for at, sentence in sorted(happened, key=lambda item: item[0])
            ],
            "counts": counts,
            "days": _days(services, until.date()),
            "waits": [*_open_questions(services, log, now), *_rejected(present)],
            "began": bool(decided or alerts) or any(entry.decided_at < until for entry in log.changes),
        }
    )
    return facts


def _sentence(entry: Logged, services: Services) -> str:
    version = entry.payload.get("version")
    who = f"version {version}" if version is not None else "a challenger"
    what = WORDS[entry.kind].format(who=who, against=entry.payload.get("previous_version"))
    reasons = gain.reasons_of(entry, services.settings.gate)
    return f"{what[:1].upper()}{what[1:]}{f': {reasons[0]}' if reasons else ''}"


def _alarms(services: Services) -> list[Alert]:
    """Read the alerts of alarms, oldest first; the outbox holds each once, whichever channel delivered it."""
    alerts = []
    for kind in ALARMS:
        for name in services.storage.list(f"{layout.alerts.ALERTS}{kind}/"):
            try:
                alerts.append(QueuedAlert.model_validate_json(services.storage.get_bytes(name)).alert)
            except ValueError as err:
                logger.warning("digest: %s cannot be read: %s", name, err)
    return sorted(alerts, key=lambda alert: alert.created_at)


def _alarm(alert: Alert) -> str:
    return f"{'Alarm over' if alert.resolves else 'Alarm'}: {alert.title}"


def _days(services: Services, until: date) -> Facts:
    """Name what is missing, was rejected, quarantined or is in doubt among the newest days of data."""
    data = data_inventory.data(services, days=SHOWN_DAYS)
    newest = data["newest_day"]
    first = str(date.fromisoformat(newest) - timedelta(days=SHOWN_DAYS - 1)) if newest else str(until)
    doubts = [row for row in data["rejected"] if any("in doubt" in reason for reason in row["reasons"])]
    return {
        "missing": [day for day in data["missing_days"] if day >= first],
        "rejected": [row["what"] for row in data["rejected"] if row not in doubts and row["day"] >= first],
        "quarantined_rows": sum(
            row["rows"] or 0 for row in data["quarantine"] if row["day"] >= first and not row["rejected"]
        ),
        "in_doubt": [row["day"] for row in doubts],
        "excluded": [period for period in data["excluded"] if period["last_day"] >= first],
    }


def _rejected(present: Facts) -> list[str]:
    """Return what a person has to do about deliveries that were rejected, or labels that are in doubt."""
    return [
        f"{row['what']}: {row['reasons'][0]}. {row['next'] or 'Fix them at their source'}"
        for row in present["rejected"]
    ] + ([present["hint"]["message"]] if present["hint"] and present["champion"] is None else [])


def _open_questions(services: Services, log: DecisionLog, now: datetime) -> list[str]:
    """Return the promotions that wait for an approval: asked for, not timed out, and nothing was judged since."""
    hours = services.settings.gate.approval_hours
    questions = []
    for name in services.storage.list(f"{layout.alerts.ALERTS}approval/"):
        alert = QueuedAlert.model_validate_json(services.storage.get_bytes(name)).alert
        if alert.created_at < now - timedelta(hours=hours):
            continue
        judged = log.since(alert.created_at, kinds=["hold", "rejection"])
        if not any(entry.decided_at >= alert.created_at for entry in judged):
            questions.append(f"{alert.title} No answer within {hours:g} hours means no")
    return questions
