"""Screen a landing: hold each table against its contract and set bad rows aside.

Rows that break a row-level expectation go to quarantine with their reasons and the rest go on. A
table-level breach, or too many bad rows, rejects that day of that asset, and nothing else of the partition.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from ml.adapters.column_types import conform
from ml.adapters.contract_files import ScreenedFile, screen_file
from ml.adapters.contracts import Screened, profile
from ml.adapters.workspace import Workspace
from ml.core.contracts import DayProfile
from ml.core.schema import Types
from ml.records import Asset, AssetScreening, Landing, Rejection, Screening
from ml.settings import Settings
from ml.steps import deliveries
from ml.steps.column_types import expected_of, learned_types
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(landing: Landing, *, settings: Settings, services: Services) -> Screening:
    """Screen inputs first, then labels against the keys of their day's inputs; each day of each for itself.

    What is rejected is in the record, and every report is kept: `ml.steps.commit` brings in the rest. Labels whose
    inputs are rejected, and were never in the registry, wait for those and are not judged.
    """
    logger.info("screen: partition %s", landing.day)
    place = services.workspace(landing.workspace)
    results: list[AssetScreening] = []
    rejected = list(landing.rejected)
    wanted: list[tuple[Asset, date]] = [("inputs", day) for day in landing.input_days]
    wanted += [("labels", day) for day in landing.label_days]
    for asset, day in wanted:
        accepted = {result.day for result in results if result.asset == "inputs" and not result.refused}
        with (
            place.local(f"{asset}/day={day}.parquet") as path,
            _known_keys(asset, place, day, day in accepted, services) as known,
        ):
            if asset == "labels" and known is None:
                logger.warning("screen: labels of %s wait for the inputs of that day", day)
                continue
            recent = _recent(services, settings, asset, day)
            found = screen_day(services, asset, day, path, recent=recent, known_keys=known)
            result = keep(services, asset, day, path, found)
            if found.accepted is not None:
                place.write_file(f"accepted/{asset}/day={day}.parquet", found.accepted)
        results.append(result)
        if found.said.refused:
            rejected.append(_rejection(landing, result, found.said, services))
    logger.info("screen: %s", [(r.asset, str(r.day), r.accepted_rows, r.quarantined_rows) for r in results])
    return Screening(
        **landing.outstanding() | {"rejected": tuple(rejected)},
        day=landing.day,
        workspace=landing.workspace,
        results=tuple(results),
        deliveries=landing.deliveries,
    )


def screen_day(
    services: Services,
    asset: Asset,
    day: date,
    path: Path,
    *,
    recent: Sequence[DayProfile],
    known_keys: Path | None,
    known: Mapping[Asset, Types] | None = None,
) -> ScreenedFile:
    """Hold one day of one asset against its suite, with limits from its recent past; the rows go beside ``path``.

    ``known`` are the types that were learned, by asset; None means those of the data registry.
    """
    types = learned_types(services) if known is None else known
    return screen_file(
        services.contracts,
        asset,
        path,
        key=services.settings.task.key,
        parameters={"day": day.isoformat(), **services.contracts.baselines(asset, recent, day=day)},
        folder=path.parent,
        rows_at_once=services.settings.screen.rows_at_once,
        known_keys=known_keys,
        clashes=conform(path, asset, expected_of(services.settings, asset, types)),
    )


def keep(services: Services, asset: Asset, day: date, path: Path, found: ScreenedFile) -> AssetScreening:
    """Keep the report, and whatever was set aside, and say where they are.

    A refused table is kept as it came, so that nothing is lost.
    """
    screened = found.said
    shelf, aside = (services.shelf(f"{folder}/{asset}/day={day}") for folder in ("validation", "quarantine"))
    report_uri = shelf.write_text("report.html", screened.html)
    shelf.write_json("result.json", screened.result)
    if screened.refused:
        aside.write_file("partition.parquet", path)
        report_uri = aside.write_text("report.html", screened.html)
    if found.quarantined is not None:
        aside.write_file("rows.parquet", found.quarantined)
    rows, bad = screened.result["rows"], screened.result["quarantined_rows"]
    return AssetScreening(
        asset=asset,
        day=day,
        rows=rows,
        accepted_rows=screened.result["accepted_rows"],
        quarantined_rows=rows if screened.refused else bad,
        report_uri=report_uri,
        quarantine_uri=aside.uri() if screened.refused or bad else None,
        refused=screened.refused,
    )


def _recent(services: Services, settings: Settings, asset: Asset, day: date) -> list[DayProfile]:
    first, last = day - timedelta(days=settings.screen.recent_days), day - timedelta(days=1)
    paths = services.registry.open(asset, first_day=first, last_day=last, may_be_empty=True)
    return [profile(path, day=known) for known, path in paths.items()]


@contextmanager
def _known_keys(asset: Asset, place: Workspace, day: date, landed: bool, services: Services) -> Iterator[Path | None]:
    """Yield the file with the inputs that labels speak of; None if there are none, and for inputs.

    Parameters
    ----------
    landed
        Whether those inputs have just been accepted; otherwise they are those of the registry.
    """
    if asset == "inputs":
        yield None
    elif landed:
        with place.local(f"accepted/inputs/day={day}.parquet") as path:
            yield path
    else:
        yield services.registry.open("inputs", first_day=day, last_day=day, may_be_empty=True).get(day)


def _rejection(landing: Landing, result: AssetScreening, screened: Screened, services: Services) -> Rejection:
    """Describe a rejected day, in the words in which it is reported."""
    content = {(each.asset, each.day): each.sha256 for each in landing.deliveries}
    replaces = result.day in services.registry.days(result.asset)
    return deliveries.rejection(
        result.asset,
        result.day,
        screened.refusal(result.report_uri, f"{result.asset} of {result.day}"),
        content=content.get((result.asset, result.day), ""),
        partition=landing.day,
        replaces=replaces,
        services=services,
    )
