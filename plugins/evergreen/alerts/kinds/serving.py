"""Alert people that the scoring service cannot follow the champion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evergreen.alerts import outbox

if TYPE_CHECKING:
    from ml.wiring import Services

log = logging.getLogger(__name__)


def alert_serving(services: Services) -> None:
    """Alert people to each problem that a service of this model has recorded and not resolved, once."""
    from ml.serving import problem_records

    for fact in problem_records.read(services):
        answering = fact["serving_version"]
        meanwhile = f"version {answering} answers" if answering is not None else "nobody answers"
        title = f"Champion not served: {meanwhile}"
        facts = {
            "what": title,
            "where": f"the scoring service on {fact['host']} (since {fact['at']})",
            "day": "",
            "error": fact["problem"],
            "errors": [],
            "failures": [],
            "links": [],
        }
        key = f"task_failed/serving/{problem_records.digest_of(fact['problem'])[:32]}"
        outbox.enqueue(
            outbox.compose("task_failed", key, "failure", title, facts, services, severity="alarm"), services
        )
