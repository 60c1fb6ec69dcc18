"""Show which model version serves now, since when, and how it did on its holdout."""

from __future__ import annotations

import logging
import sys
from typing import Any

from ml.adapters.tracking.decision_log import DecisionLog
from ml.champions import recorded_models, serving_state
from ml.command_line import execute, parser
from ml.core.champions.tenures import judged_version
from ml.errors import MissingArtifact, UntrustedModel
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(*, services: Services) -> dict[str, Any]:
    """Return who serves by the decisions; ``version`` is None while nothing does.

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
    judged = judged_version(version, DecisionLog(services.tracking).about(version))
    return {
        "version": version,
        "judged_version": judged,
        "run_id": tags["run_id"],
        "window": [tags.get("window_first_day"), tags.get("window_last_day")],
        "metrics": _metrics(judged, services),
    }


def _serving(services: Services) -> int | None:
    serving = serving_state.await_alias(services)
    if serving.alias != serving.version:
        raise UntrustedModel(serving_state.moved_by_hand(serving))
    if serving.tenure is not None and serving.tenure.effective_day is not None and serving.version is not None:
        recorded_models.check_champion(serving.version, serving.tenure.effective_day, serving.decisions, services)
    return serving.version


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
