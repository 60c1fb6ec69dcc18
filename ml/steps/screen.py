"""Screen a landing: hold each table against its contract and set bad rows aside.

Rows that break a row-level expectation go to quarantine with their reasons and the rest go on. A
table-level breach, or too many bad rows, refuses the whole partition: nothing of it is committed.
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
from ml.errors import DataRejected
from ml.records import Asset, AssetScreening, Landing, Screening
from ml.settings import Settings
from ml.steps.column_types import expected_of, learned_types
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(landing: Landing, *, settings: Settings, services: Services) -> Screening:
    """Screen inputs first, then labels against the keys of their day's inputs.

    Raises
    ------
    DataRejected
        If any table is refused. All are screened before, and every report is kept.
    """
    logger.info("screen: partition %s", landing.day)
    place = services.workspace(landing.workspace)
    results: list[AssetScreening] = []
    refused: list[tuple[Screened, str, str]] = []
    wanted: list[tuple[Asset, date]] = [("inputs", day) for day in landing.input_days]
    wanted += [("labels", day) for day in landing.label_days]
    for asset, day in wanted:
        name = f"{asset}/day={day}.parquet"
        with place.local(name) as path, _known_keys(asset, place, landing, day, services) as known:
            recent = _recent(services, settings, asset, day)
            found = screen_day(services, asset, day, path, recent=recent, known_keys=known)
            result = keep(services, asset, day, path, found)
            if found.accepted is not None:
                place.write_file(f"accepted/{name}", found.accepted)
        results.append(result)
        if found.said.refused:
            refused.append((found.said, result.report_uri, f"{asset} of {day}"))
    _raise(refused)
    logger.info("screen: %s", [(r.asset, str(r.day), r.accepted_rows, r.quarantined_rows) for r in results])
    return Screening(day=landing.day, workspace=landing.workspace, results=tuple(results))


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
    )


def _recent(services: Services, settings: Settings, asset: Asset, day: date) -> list[DayProfile]:
    first, last = day - timedelta(days=settings.screen.recent_days), day - timedelta(days=1)
    paths = services.registry.open(asset, first_day=first, last_day=last, may_be_empty=True)
    return [profile(path, day=known) for known, path in paths.items()]


@contextmanager
def _known_keys(
    asset: Asset, place: Workspace, landing: Landing, day: date, services: Services
) -> Iterator[Path | None]:
    """Give the file with the inputs that labels speak of; None if those were refused just now, and for inputs."""
    accepted = f"accepted/inputs/day={day}.parquet"
    if asset == "inputs" or (day in landing.input_days and not place.has(accepted)):
        yield None
    elif day in landing.input_days:
        with place.local(accepted) as path:
            yield path
    else:
        yield services.registry.open("inputs", first_day=day, last_day=day)[day]


def _raise(refused: Sequence[tuple[Screened, str, str]]) -> None:
    if len(refused) == 1:
        screened, uri, what = refused[0]
        screened.raise_if_refused(uri, what)
    if refused:
        said = "; ".join(f"{what}: {screened.reason} (report: {uri})" for screened, uri, what in refused)
        raise DataRejected(
            f"{said}. Next: mend the source and clear this run",
            report_uri=refused[0][1],
            failures=tuple(failure.as_dict() for screened, _, _ in refused for failure in screened.failures),
        )
