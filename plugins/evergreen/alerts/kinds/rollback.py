"""Alert people that an earlier champion serves again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.alerts.first_lines import NAME, FirstLines, capitalised

if TYPE_CHECKING:
    from ml.records import Rollback, RollbackRequest
    from ml.wiring import Services

SHORT = 160
"""Letters of a reason that the first lines repeat."""


def alert_rollback(done: Rollback, request: RollbackRequest) -> None:
    """Alert people that an earlier champion serves again, once for each rollback."""
    from airflow.sdk import get_current_context

    from evergreen.alerts import outbox
    from evergreen.alerts.links import run_link
    from evergreen.approval import version_link
    from evergreen.link_builder import LinkBuilder
    from evergreen.models import current_model
    from ml.wiring import open_services

    services = open_services(model=current_model())
    blocked = done.decision_id in {entry.decision_id for entry in services.tracking.decisions(kinds=("rollback",))}
    facts = rollback_facts(done, request, services, blocked=blocked)
    links = [
        ("This decision", LinkBuilder.of(services).decision(done.decision_id)),
        ("This Airflow run", run_link(get_current_context())),
    ]
    for role, version in (("Serves again", done.version), ("Taken away", done.from_version)):
        links += version_link(role, version, services)
    alert = outbox.compose(
        "rolled_back",
        f"rolled_back/decision={done.decision_id}",
        "rollback",
        f"Rolled back: version {done.version} serves again instead of {facts['away']}",
        facts | {"links": links},
        services,
        severity="warning",
    )
    outbox.enqueue(alert, services)


def rollback_facts(
    done: Rollback, request: RollbackRequest, services: Services, *, blocked: bool = True
) -> dict[str, Any]:
    """Return what the alert of a rollback says.

    Parameters
    ----------
    blocked
        False where only an alias that somebody had moved by hand was brought back.

    Returns
    -------
    dict
        ``found`` is the comparison in words, or empty if there is none; ``away`` is who served.
    """
    settings, numbers = services.settings, dict(request.evidence)
    gain, low, high = (numbers.pop(name, None) for name in ("gain", "low", "high"))
    comparison = ""
    if gain is not None and low is not None and high is not None:
        comparison = (
            f"Version {done.version} had the lower mean {settings.gate.metric.replace('_', ' ')}, by {gain:.4f} "
            f"({low:.4f} to {high:.4f} with {settings.rollback.confidence:.0%} confidence), on the same rows"
        )
    away = f"version {done.from_version}" if done.from_version is not None else "nobody"
    return {
        "task": settings.task.name,
        NAME: FirstLines(
            happened=f"Version {done.version} serves again, instead of {away}. {because(request)}",
            harm=(
                "The days since the promotion were predicted worse than they could have been; predictions already "
                "served stay as they are."
                if comparison
                else "Predictions already served stay as they are; whether they were worse is not measured here."
            ),
            done=f"Days that are scored from now on are scored by version {done.version}. "
            + (
                f"{capitalised(away)} is blocked: the same data, parameters and code are not promoted again."
                if blocked
                else f"Nothing else changes: {done.reason}."
            ),
            todo=f"nothing at once; look why {away} had to go, before the next training."
            if done.from_version is not None
            else "nothing at once; look who moved the alias, and why.",
        ),
        "done": done,
        "request": request,
        "found": comparison,
        "away": away,
        "blocked": blocked,
        "numbers": [(name.replace("_", " "), f"{value:,.6g}") for name, value in numbers.items() if value is not None],
    }


def because(request: RollbackRequest) -> str:
    """Return why in a sentence, if it is short; a long reason, or one of several lines, is left to the text below."""
    words = request.reason.strip()
    return f"Reason: {words.rstrip('.')}." if 0 < len(words) <= SHORT and "\n" not in words else ""
