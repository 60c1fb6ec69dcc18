"""Land a partition: the day's inputs, and the labels that have newly arrived.

Labels of day D arrive with the partition of D plus the label delay. Labels that did not come in
time are asked for again for some days; those of a day whose inputs never got into the registry
wait until it is repaired.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from ml.adapters.column_types import conform, suite_types
from ml.adapters.sources import LargeSource, TypedSource
from ml.adapters.workspace import Workspace, write_parquet
from ml.core.schema import Types, csv_types
from ml.errors import DataRejected, MissingArtifact
from ml.records import Asset, Landing
from ml.settings import Settings
from ml.steps.column_types import expected_of, learned_types
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(day: date, *, now: datetime, settings: Settings, services: Services) -> Landing:
    """Fetch from the source into the landing folder of ``day``; nothing is judged yet.

    Parameters
    ----------
    now
        An aware instant; a day after its calendar day is refused.

    Raises
    ------
    MissingArtifact
        If ``day`` lies in the future, or the source has no inputs for it.
    """
    logger.info("land: %s", day)
    refuse_future(day, now=now, settings=settings)
    place = services.shelf(f"landing/day={day}")
    _land("inputs", day, place, services)
    landed, missing = [], []
    with_inputs, with_labels = services.registry.days("inputs"), services.registry.days("labels")
    for label_day in label_days(day, settings=settings, have=set(with_labels)):
        if label_day != day and label_day not in with_inputs:
            missing.append(label_day)
            continue
        try:
            _land("labels", label_day, place, services)
        except MissingArtifact as err:
            logger.warning("land: labels of %s have not arrived: %s", label_day, err)
            missing.append(label_day)
            continue
        landed.append(label_day)
    landing = Landing(
        day=day,
        workspace=place.uri(),
        input_days=(day,),
        label_days=tuple(landed),
        missing_label_days=tuple(missing),
    )
    logger.info("land: inputs of %s, labels of %s", day, [str(d) for d in landed] or "no day")
    return landing


def _land(asset: Asset, day: date, place: Workspace, services: Services) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.parquet"
        fetch(asset, day, path, services, strict=False)
        place.write_file(f"{asset}/day={day}.parquet", path)


def fetch(
    asset: Asset,
    day: date,
    path: Path,
    services: Services,
    *,
    known: Mapping[Asset, Types] | None = None,
    strict: bool = True,
) -> None:
    """Write what the source has of a day to a Parquet file, in parts if both are large; raises as `Source` does.

    CSV is read by the asset's types, and every table is held to them; see `ml.core.schema`.

    Parameters
    ----------
    known
        The types that were learned, by asset; None reads them from the data registry, if it is there.
    strict
        Whether a column of another kind of type than it was raises DataRejected, which names both; else it is left as
        it is, for screening to reject.
    """
    settings = services.settings
    known = learned_types(services) if known is None else known
    source = services.source
    if isinstance(source, TypedSource):
        suite = suite_types(services.environment.expectations, asset)
        source = source.with_types({asset: csv_types(settings, asset, known, suite)})
    if isinstance(source, LargeSource):
        source.write(asset, day, path, rows_at_once=settings.screen.rows_at_once)
    else:
        write_parquet(source.inputs(day) if asset == "inputs" else source.labels(day), path)
    clashes = conform(path, asset, expected_of(settings, asset, known))
    if clashes and strict:
        said = "; ".join(failure.message for failure in clashes)
        raise DataRejected(f"{asset} of {day}: {said}", failures=tuple(failure.as_dict() for failure in clashes))


def refuse_future(day: date, *, now: datetime, settings: Settings) -> None:
    """Refuse a day that has not begun where the data come from."""
    today = settings.today(now)
    if day > today:
        raise MissingArtifact(
            f"{day} lies in the future: it is {today} in {settings.task.timezone}; choose a day up to that one"
        )


def label_days(day: date, *, settings: Settings, have: set[date]) -> list[date]:
    """List the days whose labels a partition asks for: the one that is due, and late ones.

    The due one is asked for even if it is there already: it may have been corrected.
    """
    due = day - timedelta(days=settings.task.label_delay_days)
    late = [due - timedelta(days=n) for n in range(settings.land.catch_up_days, 0, -1)]
    return [*(late_day for late_day in late if late_day not in have), due]
