"""Screen a landing: hold each table against its contract and set bad rows aside.

Rows that break a row-level expectation go to quarantine with their reasons and the rest go on. A
table-level breach, or too many bad rows, refuses the whole partition: nothing of it is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import pandas as pd

from ml.adapters.contracts import Screened, profile
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
        frame = place.read_table(f"{asset}/day={day}.parquet")
        recent = _recent(services, settings, asset, day)
        keys = _known_keys(place, landing, day, settings, services) if asset == "labels" else None
        screened = screen_table(services, asset, day, frame, recent=recent, known_keys=keys)
        result = keep(services, asset, day, frame, screened)
        results.append(result)
        if screened.refused:
            refused.append((screened, result.report_uri, f"{asset} of {day}"))
            continue
        place.write_table(f"accepted/{asset}/day={day}.parquet", screened.accepted)
    _raise(refused)
    logger.info("screen: %s", [(r.asset, str(r.day), r.accepted_rows, r.quarantined_rows) for r in results])
    return Screening(day=landing.day, workspace=landing.workspace, results=tuple(results))


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
    parameters = {"day": day.isoformat(), **services.contracts.baselines(asset, recent, day=day)}
    return services.contracts.screen(asset, frame, parameters=parameters, known_keys=known_keys)


def keep(services: Services, asset: Asset, day: date, frame: pd.DataFrame, screened: Screened) -> AssetScreening:
    """Keep the report, and whatever was set aside, and say where they are.

    A refused table is kept as it came, so that nothing is lost.
    """
    shelf = services.shelf(f"validation/{asset}/day={day}")
    report_uri = shelf.write_text("report.html", screened.html)
    shelf.write_json("result.json", screened.result)
    quarantine_uri = None
    aside = services.shelf(f"quarantine/{asset}/day={day}")
    if screened.refused:
        aside.write_table("partition.parquet", frame)
        quarantine_uri = aside.uri()
        report_uri = aside.write_text("report.html", screened.html)
    if len(screened.quarantined):
        aside.write_table("rows.parquet", screened.quarantined)
        quarantine_uri = aside.uri()
    return AssetScreening(
        asset=asset,
        day=day,
        rows=len(frame),
        accepted_rows=0 if screened.refused else len(screened.accepted),
        quarantined_rows=len(frame) if screened.refused else len(screened.quarantined),
        report_uri=report_uri,
        quarantine_uri=quarantine_uri,
    )


def _recent(services: Services, settings: Settings, asset: Asset, day: date) -> list[DayProfile]:
    first, last = day - timedelta(days=settings.screen.recent_days), day - timedelta(days=1)
    paths = services.registry.open(asset, first_day=first, last_day=last, may_be_empty=True)
    return [profile(path, day=known) for known, path in paths.items()]


def _known_keys(place: Workspace, landing: Landing, day: date, settings: Settings, services: Services) -> pd.DataFrame:
    key = list(settings.task.key)
    if day in landing.input_days:
        name = f"accepted/inputs/day={day}.parquet"
        return place.read_table(name, key) if place.has(name) else pd.DataFrame(columns=key)
    return pd.read_parquet(services.registry.open("inputs", first_day=day, last_day=day)[day], columns=key)


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
