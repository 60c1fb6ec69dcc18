"""Commit what passed the contracts to the data registry, as a new data version."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from ml.core.schema import declared_schema
from ml.records import Ingested, Screening
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(screening: Screening, *, settings: Settings, services: Services) -> Ingested:
    """Commit a screened partition; the same content again changes nothing.

    Other content for a day that is there already is a correction: a new data version, and the old
    one stays readable.
    """
    logger.info("commit: partition %s", screening.day)
    place = services.workspace(screening.workspace)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = {}
        for result in screening.results:
            path = folder / f"{result.asset}-{result.day}.parquet"
            place.objects.get_file(place.name(f"accepted/{result.asset}/day={result.day}.parquet"), path)
            files[result.asset, result.day] = path
        arrived = dict.fromkeys((day for asset, day in files if asset == "labels"), _partition(screening, services))
        declared = declared_schema(settings)
        version = services.registry.commit(files, message=_message(screening), arrived=arrived, declared=declared)
    rows = {
        asset: sum(r.accepted_rows for r in screening.results if r.asset == asset) for asset in ("inputs", "labels")
    }
    ingested = Ingested(
        day=screening.day,
        data_version=version.rev,
        changed=version.changed,
        rows=rows["inputs"],
        labelled_rows=rows["labels"],
        quarantined_rows=sum(result.quarantined_rows for result in screening.results),
    )
    logger.info("commit: data version %s (%s)", version.rev, "new" if version.changed else "unchanged")
    return ingested


def _partition(screening: Screening, services: Services) -> date:
    """Return with which partition labels come: a run that is cleared later brings them with the newest day there is."""
    return max([screening.day, *services.registry.days("inputs")])


def _message(screening: Screening) -> str:
    parts = [f"{r.accepted_rows} {r.asset} of {r.day}" for r in screening.results]
    return f"Add partition {screening.day}: {', '.join(parts)}"
