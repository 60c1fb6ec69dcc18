"""Commit what passed the contracts to the data registry, as a new data version.

Each day of each asset is committed for itself: rejected labels keep no inputs back, and rejected inputs no labels.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from ml.adapters import layout
from ml.core.data.schema import declared_schema
from ml.records import Asset, AssetScreening, Ingested, Screening
from ml.settings import Settings
from ml.steps.ingest import deliveries
from ml.wiring import Services

logger = logging.getLogger(__name__)
Files = dict[tuple[Asset, date], Path]


def run(screening: Screening, *, settings: Settings, services: Services, defer_labels: bool = False) -> Ingested:
    """Commit what was accepted of a partition, then say what was not; the same content again changes nothing.

    Other content for a day that is there already is a correction: a new data version, and the old
    one stays readable. Labels that were rejected are in the record, and later partitions ask for them again.

    Parameters
    ----------
    defer_labels
        Whether the caller reports labels whose source cannot be read (`ml.steps.ingest.report_rejected`), so that
        they are no error here.

    Raises
    ------
    DataRejected
        If the inputs were rejected: the labels are committed all the same.
    MissingArtifact
        If there are no inputs though they are expected: likewise.
    EvergreenError
        If the source of labels cannot be read, unless that is deferred; all the rest is committed.
    """
    logger.info("commit: partition %s", screening.day)
    workspace = services.workspace(screening.workspace)
    accepted = [result for result in screening.results if not result.rejected]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files: Files = {}
        for result in accepted:
            path = folder / f"{result.asset}-{result.day}.parquet"
            workspace.objects.get_file(workspace.name(layout.ingest.accepted(result.asset, result.day)), path)
            files[result.asset, result.day] = path
        arrived = dict.fromkeys((day for asset, day in files if asset == "labels"), _partition(screening, services))
        declared = declared_schema(settings)
        version = services.registry.commit(
            files, message=_message(screening, accepted), arrived=arrived, declared=declared
        )
        _remember(screening, files, services)
        for asset, day in files:
            deliveries.reconcile(asset, day, services)
        for rejection in screening.rejected:
            deliveries.keep_rejection(rejection, services)
    rows = {asset: sum(r.accepted_rows for r in accepted if r.asset == asset) for asset in ("inputs", "labels")}
    ingested = Ingested(
        **screening.outstanding(),
        day=screening.day,
        data_version=version.rev,
        changed=version.changed,
        rows=rows["inputs"],
        labelled_rows=rows["labels"],
        quarantined_rows=sum(result.quarantined_rows for result in screening.results),
    )
    logger.info("commit: data version %s (%s)", version.rev, "new" if version.changed else "unchanged")
    for rejection in screening.rejected:
        logger.warning("commit: not among it, reported with partition %s: %s", rejection.partition, rejection.reason)
    problem = deliveries.error_of_inputs(screening.day, screening)
    if problem is None and screening.unread and not defer_labels:
        problem = deliveries.unread_error(screening.unread)
    if problem is not None:
        raise problem
    return ingested


def _remember(screening: Screening, files: Files, services: Services) -> None:
    """Write down which deliveries of labels the registry holds now, so that the same ones are not judged again."""
    inputs = services.registry.days("inputs")
    for delivery in screening.deliveries:
        path = files.get((delivery.asset, delivery.day))
        if delivery.asset == "labels" and path is not None:
            context = deliveries.context_of(inputs.get(delivery.day), services)
            deliveries.write_receipt(delivery, deliveries.md5_of(path), context, services)


def _partition(screening: Screening, services: Services) -> date:
    """Return with which partition labels come: a later repetition brings them with the newest day there is."""
    return max([screening.day, *services.registry.days("inputs")])


def _message(screening: Screening, accepted: list[AssetScreening]) -> str:
    parts = [f"{r.accepted_rows} {r.asset} of {r.day}" for r in accepted]
    return f"Add partition {screening.day}: {', '.join(parts)}"
