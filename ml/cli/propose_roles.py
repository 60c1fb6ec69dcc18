"""Propose which columns are structural and which environment, as a fragment of params.yaml with the evidence."""

from __future__ import annotations

import logging
import sys

import pandas as pd

from ml.command_line import execute, parser
from ml.core.monitoring.roles import Proposal, propose
from ml.core.training.features import feature_columns
from ml.errors import MissingArtifact
from ml.settings import Settings
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
DAYS = 182


def run(*, settings: Settings, services: Services, days: int = DAYS) -> dict[str, Proposal]:
    """Look at the newest ``days`` days of ``inputs`` in the data registry; nothing is changed.

    A column of the key that is no feature is an identifier, and is left out.

    Raises
    ------
    MissingArtifact
        If the registry holds no day.
    """
    version = services.registry.head()
    newest_days = sorted(services.registry.days("inputs", version))[-days:]
    if not newest_days:
        raise MissingArtifact("the data registry holds no inputs; run 'make setup' or ingest some days")
    logger.info("propose_roles: %d days from %s to %s", len(newest_days), newest_days[0], newest_days[-1])
    paths = services.registry.open("inputs", rev=version, first_day=newest_days[0], last_day=newest_days[-1])
    frame = pd.concat([pd.read_parquet(path) for path in paths.values()], ignore_index=True)
    features = feature_columns(settings.features)
    identifiers = [column for column in settings.task.key if column not in features]
    return propose(frame, settings.drift, leave_out=identifiers)


def show(proposals: dict[str, Proposal]) -> str:
    """Lay the proposal out as YAML, the calmest column first."""
    lines = ["drift:"]
    for role in ("structural", "environment"):
        chosen = sorted(
            (proposal for proposal in proposals.values() if proposal.role == role),
            key=lambda proposal: proposal.typical or 0.0,
        )
        lines += [f"  {role}:", *(f"    - {proposal.column}  # {proposal.reason}" for proposal in chosen)]
        if not chosen:
            lines[-1] += " []"
    lines += [
        f"  # not watched: {proposal.column} {proposal.reason}"
        for proposal in proposals.values()
        if proposal.role is None
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the proposal; put it into params.yaml by hand, and correct it by what you know."""
    arguments = parser(__doc__)
    arguments.add_argument("--days", type=int, default=DAYS, help=f"so many of the newest days are read ({DAYS})")
    options = arguments.parse_args(argv)

    def work() -> dict[str, Proposal]:
        services = open_services()
        return run(settings=services.settings, services=services, days=options.days)

    return execute(work, show=show)


if __name__ == "__main__":
    sys.exit(main())
