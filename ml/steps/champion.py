"""Say which model version serves now, since when, and how it did on its holdout."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from ml.errors import MissingArtifact, UntrustedModel
from ml.records import Logged
from ml.steps import recorded_models, succession
from ml.steps.command import execute, parser
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(*, services: Services) -> dict[str, Any]:
    """Say who serves by the decisions; ``version`` is None while nothing does.

    ``metrics`` were measured of ``judged_version``. That is the champion itself, or the version whose refit it
    is: a refit has seen the holdout, and nothing was measured of it. They are empty if MLflow no longer holds
    the judged version.

    Raises
    ------
    UntrustedModel
        If the alias ``champion`` points where no decision has put it, or the storage records no promotion.
    """
    version = _serving(services)
    if version is None:
        return {"version": None}
    tags = services.tracking.version_tags(version)
    judged = judged_version(version, services.tracking.decisions())
    return {
        "version": version,
        "judged_version": judged,
        "run_id": tags["run_id"],
        "window": [tags.get("window_first_day"), tags.get("window_last_day")],
        "metrics": _metrics(judged, services),
    }


def _serving(services: Services) -> int | None:
    seat = succession.await_alias(services)
    if seat.alias != seat.version:
        raise UntrustedModel(succession.moved_by_hand(seat))
    if seat.reign is not None and seat.reign.effective_day is not None and seat.version is not None:
        recorded_models.check_champion(seat.version, seat.reign.effective_day, seat.decisions, services)
    return seat.version


def judged_version(version: int, decisions: Sequence[Logged]) -> int:
    """Find the version that was weighed in the place of ``version``: another one only where it is a refit."""
    found = [
        entry.payload["judged_version"]
        for entry in decisions
        if entry.payload.get("version") == version and entry.payload.get("judged_version") is not None
    ]
    return int(found[-1]) if found else version


def _metrics(version: int, services: Services) -> dict[str, float]:
    try:
        return services.tracking.run_metrics(services.tracking.version_tags(version)["run_id"])
    except MissingArtifact as err:  # somebody cleaned up: who serves is known all the same
        logger.warning("champion: version %d was judged, and its metrics are gone: %s", version, err)
        return {}


def main(argv: list[str] | None = None) -> int:
    """Print the champion as JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("--json", action="store_true", help="the default, and only, form")
    arguments.parse_args(argv)
    return execute(lambda: run(services=open_services()))


if __name__ == "__main__":
    sys.exit(main())
