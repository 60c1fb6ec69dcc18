"""Alert people that the scoring service cannot follow the champion, or ask the challenger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from evergreen.alerts import outbox
from evergreen.alerts.first_lines import NAME, FirstLines

if TYPE_CHECKING:
    from ml.wiring import Services

log = logging.getLogger(__name__)


def alert_of_run() -> None:
    """Alert people to what the scoring service of the model whose Dag runs has recorded, and deliver what waits."""
    from evergreen.models import current_model
    from ml.wiring import open_services

    services = open_services(model=current_model())
    alert_serving(services)
    outbox.flush(services)


def alert_serving(services: Services) -> None:
    """Alert people to problems of the champion and the challenger, and to stopped splits, each once."""
    _alert_problems(services)
    _alert_stops(services)


def _alert_problems(services: Services) -> None:
    """Alert people to each problem that a service of this model has recorded and not resolved, once."""
    from ml.serving import problem_records

    for fact in problem_records.read(services):
        answering = fact["serving_version"]
        meanwhile = f"version {answering} answers" if answering is not None else "nobody answers"
        role = "Champion" if fact.get("about", "champion") == "champion" else "Challenger"
        title = f"{role} not served: {meanwhile}"
        facts = {
            NAME: _problem_lines(fact, role, meanwhile),
            "what": title,
            "where": f"the scoring service on {fact['host']} (since {fact['at']})",
            "day": "",
            "error": fact["problem"],
            "errors": [],
            "failures": [],
            "links": _version_links(fact.get("version"), services),
        }
        key = f"task_failed/serving/{problem_records.digest_of(fact['problem'])[:32]}"
        outbox.enqueue(
            outbox.compose("task_failed", key, "failure", title, facts, services, severity="alarm"), services
        )


def _alert_stops(services: Services) -> None:
    """Alert people to each split that was stopped because its challenger does worse, once."""
    from ml.champions import split_control

    for stop in split_control.stops(services):
        if not stop.get("evidence"):
            continue  # a person did it
        version, champion = stop["version"], stop["champion"]
        title = f"Split stopped: version {version} does worse than version {champion}"
        facts = {
            NAME: FirstLines(
                happened=f"The split of requests was stopped: version {version} does worse than version {champion}.",
                harm=f"Until then, the requests that version {version} answered had worse predictions.",
                done=f"Version {champion} answers all requests alone.",
                todo=f"when its fault is corrected, resume the split (evergreen traffic resume {version} --reason "
                "...); else train another challenger, or set serving.traffic to champion.",
            ),
            "what": title,
            "where": f"predictions on request (since {stop['at']})",
            "day": "",
            "error": f"{stop['reason']}.",
            "errors": [],
            "failures": [],
            "links": _version_links(version, services),
        }
        key = f"task_failed/split/{version}-{stop['at'].replace(':', '').replace('+', '-')}"
        outbox.enqueue(
            outbox.compose("task_failed", key, "failure", title, facts, services, severity="alarm"), services
        )


def _problem_lines(fact: dict[str, Any], role: str, meanwhile: str) -> FirstLines:
    """Return the first lines of a problem that a service has recorded."""
    named = f"version {fact['version']}" if fact.get("version") is not None else "the version that is to serve"
    if role == "Challenger":
        harm = f"Requests are answered as before: {meanwhile}."
        done = "The service asks the challenger nothing, and tries again by itself."
    elif fact["serving_version"] is None:
        harm, done = "Requests are not answered.", "The service tries again by itself."
    else:
        harm = f"Requests are answered, by an older model: {meanwhile}."
        done = "The service keeps the version that it has, and tries again by itself."
    return FirstLines(
        happened=f"The scoring service cannot load its {role.lower()}, {named}.",
        harm=harm,
        done=done,
        todo="correct what the error below says; evergreen doctor checks storage and MLflow.",
    )


def _version_links(version: int | None, services: Services) -> list[tuple[str, str]]:
    from evergreen.link_builder import LinkBuilder

    page = LinkBuilder.of(services).model_page(version)
    return [(f"Version {version} on Evergreen's page", page)] if page else []
