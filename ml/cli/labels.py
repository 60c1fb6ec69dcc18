"""Show the labels that are in doubt, or let those of some days in, as a new data version.

Labels that keep their contract, and are unlike their own past and unlike what was predicted, wait in quarantine. Who
knows that they are right lets them in: ``evergreen labels accept DAY --reason "..."``. The same content is not
questioned again; other content of that day is judged anew. Who let them in, and why, is in the decision log.
"""

from __future__ import annotations

import getpass
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ml.adapters import layout
from ml.command_line import execute, iso_day, parser
from ml.core.data.schema import declared_schema
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import rerun
from ml.records import DataVersion, Delivery, Logged
from ml.settings import Settings
from ml.steps.ingest import deliveries, label_doubts
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def accept(
    days: Sequence[date], *, reason: str, requested_by: str, settings: Settings, services: Services
) -> DataVersion:
    """Let in the labels of some days that are in doubt; the same again changes nothing.

    Parameters
    ----------
    reason, requested_by
        Kept in the decision log, in the version's message, and beside the labels.

    Raises
    ------
    MissingArtifact
        If no labels of a day are in doubt, or the registry does not hold the inputs that they speak of.
    EvergreenError
        If the quarantined file is not the one that was judged.
    Unavailable
        If the decision cannot be written down: nothing is let in then.
    """
    doubts = {day: label_doubts.read_doubt(day, services) for day in days}
    inputs = services.registry.days("inputs")
    if absent := [str(day) for day in days if day not in inputs]:
        raise MissingArtifact(f"the registry holds no inputs of {', '.join(absent)}: bring these in first")
    with tempfile.TemporaryDirectory() as folder:
        files: dict[Any, Path] = {}
        for day in days:
            quarantined = services.storage_folder(layout.ingest.quarantine("labels", day))
            path = Path(folder) / f"{day}.parquet"
            quarantined.objects.get_file(quarantined.name(layout.ingest.ACCEPTED_ROWS), path)
            if deliveries.md5_of(path) != doubts[day]["md5"]:
                uri = quarantined.uri(layout.ingest.ACCEPTED_ROWS)
                raise EvergreenError(f"{uri} is not the file that was judged: {rerun('ingest', day)}")
            files["labels", day] = path
        decisions = {day: _open_decision(day, doubts[day], reason, requested_by, services) for day in days}
        version = services.registry.commit(
            files,
            message=f"Let in labels of {', '.join(map(str, days))} that were in doubt, by {requested_by}: {reason}",
            arrived=dict.fromkeys(days, max(inputs)),
            declared=declared_schema(settings),
        )
        for day in days:
            label_doubts.accept(day, doubts[day]["md5"], reason, requested_by, services)
            context = deliveries.context_of(inputs[day], services)
            # Which delivery it was is not known: the next partition compares the content, and finds it the same.
            delivery = Delivery(asset="labels", day=day, sha256="")
            deliveries.write_receipt(delivery, doubts[day]["md5"], context, services)
            deliveries.reconcile("labels", day, services)
            if not decisions[day].finished:
                services.tracking.close_decision(decisions[day])
    logger.info("labels: data version %s with labels of %s", version.rev, ", ".join(map(str, days)))
    return version


def _open_decision(day: date, doubt: Mapping[str, Any], reason: str, requested_by: str, services: Services) -> Logged:
    """Write down who lets labels in, before they are let in; of the same content the first record is found again."""
    payload = {
        "reason": reason,
        "requested_by": requested_by,
        "doubts": list(doubt["verdict"]["reasons"]),
        "rows": doubt["rows"],
        "md5": doubt["md5"],
    }
    key = f"label acceptance {day} {doubt['md5']}"
    return services.tracking.open_decision(
        "label_acceptance", key, fingerprint=None, effective_day=day, payload=payload
    )


def waiting(services: Services) -> list[dict[str, Any]]:
    """List the days whose labels are in doubt, oldest first, with the reasons."""
    stored = services.storage_folder(f"{layout.ingest.REJECTED}/labels")
    facts = [stored.read_json(name) for name in stored.names()]
    return [{"day": entry["day"], "reason": entry["reason"]} for entry in facts if entry.get("doubtful")]


def main(argv: list[str] | None = None) -> int:
    """List the labels that are in doubt, or let in those of the days that are named."""
    arguments = parser(__doc__)
    actions = arguments.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the days whose labels are in doubt, and why")
    accepting = actions.add_parser("accept", help="let in labels that are in doubt")
    accepting.add_argument("day", nargs="+", type=iso_day, help="such as 2013-04-01")
    accepting.add_argument("--reason", required=True, help="why they are right; kept in the decision log")
    accepting.add_argument("--by", help="who lets them in; without it your user name")
    options = arguments.parse_args(argv)

    def work() -> Any:
        services = open_services()
        if options.action == "list":
            return waiting(services)
        by = options.by or getpass.getuser()
        return accept(
            options.day, reason=options.reason, requested_by=by, settings=services.settings, services=services
        )

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
