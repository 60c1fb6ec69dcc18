"""Screen a landing: hold each table against its contract and set bad rows aside.

Rows that break a row-level expectation go to quarantine with their reasons and the rest go on. A
table-level breach, or too many bad rows, refuses the whole partition: nothing of it is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pandas as pd

from ml.adapters.contract_files import ScreenedFile, obstacle_to_parts, screen_file
from ml.adapters.contracts import Screened, profile
from ml.adapters.rows import count_rows
from ml.adapters.workspace import Workspace
from ml.core.contracts import DayProfile
from ml.errors import DataRejected
from ml.records import AssetScreening, Landing, Screening
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
Asset = Literal["inputs", "labels"]


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
        screened, result = _screen(asset, day, place, landing, settings, services)
        results.append(result)
        if screened.refused:
            refused.append((screened, result.report_uri, f"{asset} of {day}"))
    _raise(refused)
    logger.info("screen: %s", [(r.asset, str(r.day), r.accepted_rows, r.quarantined_rows) for r in results])
    return Screening(day=landing.day, workspace=landing.workspace, results=tuple(results))


def _screen(
    asset: Asset, day: date, place: Workspace, landing: Landing, settings: Settings, services: Services
) -> tuple[Screened, AssetScreening]:
    """Screen one table: in memory if it fits, else one share of its keys after the other."""
    name, key = f"{asset}/day={day}.parquet", settings.task.key
    recent = _recent(services, settings, asset, day)
    with place.local(name) as path, _known_keys(asset, place, landing, day, services) as known:
        rows = count_rows(path)
        if _in_memory(asset, max(rows, count_rows(known) if known else 0), settings, services) or not rows:
            frame = pd.read_parquet(path)
            known_keys = pd.DataFrame(columns=list(key)) if known is None else pd.read_parquet(known, columns=list(key))
            screened = screen_table(
                services, asset, day, frame, recent=recent, known_keys=known_keys if asset == "labels" else None
            )
            result = keep(services, asset, day, frame, screened)
            if not screened.refused:
                place.write_table(f"accepted/{name}", screened.accepted)
            return screened, result
        found = screen_file(
            services.contracts,
            asset,
            path,
            key=key,
            parameters=_parameters(services, asset, day, recent),
            folder=path.parent,
            rows_at_once=settings.screen.rows_at_once,
            known_keys=known,
        )
        result = _keep_files(services, asset, day, path, found)
        if found.accepted is not None:
            place.write_file(f"accepted/{name}", found.accepted)
        return found.said, result


def _in_memory(asset: Asset, rows: int, settings: Settings, services: Services) -> bool:
    if rows <= settings.screen.rows_at_once:
        return True
    obstacle = obstacle_to_parts(services.contracts.suite(asset), settings.task.key)
    if obstacle:
        logger.warning("screen: %s can be asked only of the whole table: all of %s is held in memory", obstacle, asset)
    return obstacle is not None


def screen_table(
    services: Services,
    asset: Asset,
    day: date,
    frame: pd.DataFrame,
    *,
    recent: Sequence[DayProfile],
    known_keys: pd.DataFrame | None,
) -> Screened:
    """Hold one day of one asset against its suite, with limits from its recent past."""
    parameters = _parameters(services, asset, day, recent)
    return services.contracts.screen(asset, frame, parameters=parameters, known_keys=known_keys)


def _parameters(services: Services, asset: Asset, day: date, recent: Sequence[DayProfile]) -> dict[str, object]:
    return {"day": day.isoformat(), **services.contracts.baselines(asset, recent, day=day)}


def keep(services: Services, asset: Asset, day: date, frame: pd.DataFrame, screened: Screened) -> AssetScreening:
    """Keep the report, and whatever was set aside, and say where they are.

    A refused table is kept as it came, so that nothing is lost.
    """
    aside = services.shelf(f"quarantine/{asset}/day={day}")
    if screened.refused:
        aside.write_table("partition.parquet", frame)
    if len(screened.quarantined):
        aside.write_table("rows.parquet", screened.quarantined)
    return _keep_report(services, asset, day, screened)


def _keep_files(services: Services, asset: Asset, day: date, path: Path, found: ScreenedFile) -> AssetScreening:
    """Do what `keep` does, of a table in a file."""
    aside = services.shelf(f"quarantine/{asset}/day={day}")
    if found.said.refused:
        aside.write_file("partition.parquet", path)
    if found.quarantined is not None:
        aside.write_file("rows.parquet", found.quarantined)
    return _keep_report(services, asset, day, found.said)


def _keep_report(services: Services, asset: Asset, day: date, screened: Screened) -> AssetScreening:
    shelf, aside = (services.shelf(f"{folder}/{asset}/day={day}") for folder in ("validation", "quarantine"))
    report_uri = shelf.write_text("report.html", screened.html)
    shelf.write_json("result.json", screened.result)
    if screened.refused:
        report_uri = aside.write_text("report.html", screened.html)
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
