"""Put where a model stands into figures for a monitoring system: the facts of the page, and nothing of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml.adapters import layout
from ml.adapters.storage import Objects
from ml.core.monitoring import day_summary

FAMILIES = {
    "evergreen_model_readable": "Whether all that is known of a model could be read: 1, or 0.",
    "evergreen_champion_version": "The version that serves; 0 for none.",
    "evergreen_champion_age_days": "Days that the champion serves.",
    "evergreen_newest_day_age_days": "Days from the newest day of inputs, labels or predictions to the due day.",
    "evergreen_predictions_late": "Whether the due predictions are not published after score.due_by: 1, or 0.",
    "evergreen_alarm": "Whether monitoring is in alarm: 1, or 0.",
    "evergreen_alarm_days": "Days that the alarm lasts; 0 without one.",
    "evergreen_rejected_deliveries": "Deliveries of late whose newest answer is a rejection.",
    "evergreen_drift_distance": "Distance of a column from the champion's reference, on the newest monitored day.",
    "evergreen_drift_limit": "The limit of that distance.",
    "evergreen_live_metric": "A metric of live performance over its window.",
    "evergreen_live_metric_low": "The lower end of its interval.",
    "evergreen_live_metric_high": "The upper end of its interval.",
    "evergreen_expected_metric": "What the gate saw of the same metric.",
    "evergreen_request_metric": "The same of predictions on request, by the version that answered.",
    "evergreen_request_metric_low": "The lower end of its interval.",
    "evergreen_request_metric_high": "The upper end of its interval.",
    "evergreen_request_labelled_rows": "Keys that a version answered in the window, and whose labels have arrived.",
    "evergreen_label_coverage_ratio": "Share of the predicted rows of labelled days that has labels.",
    "evergreen_retrain_requested": "Whether a retrain was requested and not answered yet: 1, or 0.",
    "evergreen_alerts_waiting": "Alerts that a channel has not delivered yet.",
    "evergreen_quarantined_ratio": "Share of the rows delivered in the newest 14 days that was quarantined.",
    "evergreen_recent_decisions": "Decisions of the last 30 days, by kind.",
    "evergreen_recent_retrains": "Versions that were trained and registered in the last 30 days.",
    "evergreen_fit_seconds": "Seconds that the fit of the newest registered version took.",
    "evergreen_model_versions": "Versions that are registered in MLflow.",
    "evergreen_registry_days": "Days in the newest data version.",
    "evergreen_registry_bytes": "Bytes of the files of the newest data version.",
}
"""Each metric, and what it is; all are gauges."""


@dataclass(frozen=True)
class Sample:
    """One figure: the name is one of `FAMILIES`."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(
    now: Mapping[str, Any],
    drift: Mapping[str, Any] | None,
    waiting: Mapping[str, int],
    late: bool | None = None,
    requests: Mapping[str, Any] | None = None,
) -> list[Sample]:
    """Return a model's figures; what is unknown has none.

    Parameters
    ----------
    now
        What `ml.views.page.now` gathers.
    drift
        The drift of the newest monitored day, as `ml.core.monitoring.day_summary` keeps it.
    waiting
        How many alerts wait, by channel.
    late
        Whether predictions are late; None where they have no deadline.
    requests
        What `ml.views.page.served.performance` gathers; None where nothing was measured.
    """
    model = now["task"]["name"]
    return [
        Sample(name, {"model": model, **labels}, float(value))
        for name, labels, value in (
            *_figures(now, drift, waiting),
            ("evergreen_predictions_late", {}, late),
            *_of_requests(requests or {}),
        )
        if value is not None
    ]


def blank(model: str) -> list[Sample]:
    """Return the figures of a model of which there is nothing yet."""
    return [
        Sample("evergreen_model_readable", {"model": model}, 1.0),
        Sample("evergreen_champion_version", {"model": model}, 0.0),
    ]


def unreadable(model: str) -> list[Sample]:
    """Return the one figure of a model of which nothing can be read."""
    return [Sample("evergreen_model_readable", {"model": model}, 0.0)]


def waiting_alerts(channels: tuple[str, ...], storage: Objects) -> dict[str, int]:
    """Count by channel the alerts of the outbox that it has not done with."""
    keys = {layout.alerts.key_of(path, layout.alerts.ALERTS) for path in storage.list(layout.alerts.ALERTS)}
    return {
        channel: len(
            keys
            - {
                layout.alerts.key_of(path, layout.alerts.deliveries(channel))
                for path in storage.list(layout.alerts.deliveries(channel))
            }
        )
        for channel in channels
    }


def _figures(
    now: Mapping[str, Any], drift: Mapping[str, Any] | None, waiting: Mapping[str, int]
) -> Iterator[tuple[str, dict[str, str], Any]]:
    champion, live, data = now["champion"], now["performance"] or {}, now["data"]
    yield "evergreen_model_readable", {}, not now["problems"]
    yield "evergreen_champion_version", {}, champion["version"] if champion else 0
    yield "evergreen_champion_age_days", {}, champion and champion["days"]
    newest = {
        "inputs": data["newest_day"],
        "labels": data["labelled_day"],
        "predictions": (now["score"] or {}).get("day"),
    }
    for what, day in newest.items():
        yield "evergreen_newest_day_age_days", {"of": what}, _days(day, data["due_day"])
    if now["state"] != "unknown":
        yield "evergreen_alarm", {}, now["state"] == "alarm"
        yield "evergreen_alarm_days", {}, (now["alarm"] or {}).get("days", 0)
    yield "evergreen_rejected_deliveries", {}, len(now["rejected"])
    for row in day_summary.columns(dict(drift)) if drift else ():
        column = dict(zip(day_summary.COLUMN, row, strict=False))
        about = {"column": str(column["column"]), "role": str(column["role"])}
        yield "evergreen_drift_distance", about, column["score"]
        yield "evergreen_drift_limit", about, column["limit"]
    for figure in live.get("figures", ()):
        about = {"metric": figure["name"]}
        yield "evergreen_live_metric", about, figure["value"]
        yield "evergreen_live_metric_low", about, figure["low"]
        yield "evergreen_live_metric_high", about, figure["high"]
        yield "evergreen_expected_metric", about, figure["expected"]
    yield "evergreen_label_coverage_ratio", {}, live.get("label_coverage")
    yield "evergreen_retrain_requested", {}, now["request"] is not None
    for channel, count in waiting.items():
        yield "evergreen_alerts_waiting", {"channel": channel}, count


def _of_requests(requests: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], Any]]:
    for answers in requests.get("versions", ()):
        version = {"version": str(answers["version"])}
        yield "evergreen_request_labelled_rows", version, answers["rows"]
        for figure in answers["figures"]:
            about = {"metric": figure["name"], **version}
            yield "evergreen_request_metric", about, figure["value"]
            yield "evergreen_request_metric_low", about, figure["low"]
            yield "evergreen_request_metric_high", about, figure["high"]


def _days(day: str | None, due: str | None) -> int | None:
    """Return how many days behind the day that is due another one is; None if either is unknown."""
    if not day or not due:
        return None
    return max((date.fromisoformat(due) - date.fromisoformat(day)).days, 0)
