"""Screen a landing: hold each table against its contract and set bad rows aside.

Rows that break a row-level expectation go to quarantine with their reasons and the rest go on. A
table-level breach, or too many bad rows, rejects that day of that asset, and nothing else of the partition. Labels that
keep their contract are judged once more, by their past and by what was predicted: those in doubt are quarantined.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from ml.adapters import layout
from ml.adapters.contracts import Screened, profile
from ml.adapters.workspace import Workspace
from ml.core.data.contracts import DayProfile
from ml.errors import DataRejected, LabelsInDoubt
from ml.records import Asset, AssetScreening, LabelVerdict, Landing, Rejection, Screening
from ml.settings import Settings
from ml.steps.ingest import deliveries, label_doubts
from ml.steps.ingest.day_screening import keep, screen_day
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(landing: Landing, *, settings: Settings, services: Services) -> Screening:
    """Screen inputs first, then labels against the keys of their day's inputs; each day of each for itself.

    What is rejected is in the record, and every report is kept: `ml.steps.ingest.commit` brings in the rest. Labels
    whose inputs are rejected, and were never in the registry, wait for those and are not judged.
    """
    logger.info("screen: partition %s", landing.day)
    workspace = services.workspace(landing.workspace)
    results: list[AssetScreening] = []
    rejected = list(landing.rejected)
    wanted: list[tuple[Asset, date]] = [("inputs", day) for day in landing.input_days]
    wanted += [("labels", day) for day in landing.label_days]
    for asset, day in wanted:
        accepted = {result.day for result in results if result.asset == "inputs" and not result.rejected}
        with (
            workspace.local(layout.ingest.landed(asset, day)) as path,
            _known_keys(asset, workspace, day, day in accepted, services) as keys,
        ):
            if asset == "labels" and keys is None:
                logger.warning("screen: labels of %s wait for the inputs of that day", day)
                continue
            recent = _recent(services, settings, asset, day)
            screened_file = screen_day(services, asset, day, path, recent=recent, known_keys=keys)
            result = keep(services, asset, day, path, screened_file)
            if asset == "labels" and screened_file.accepted is not None:
                assert keys is not None
                today, verdict = label_doubts.judge_day(day, screened_file.accepted, keys, services)
                if verdict.status == "doubtful":
                    result = label_doubts.keep_doubtful(services, result, path, screened_file.accepted, today, verdict)
                    rejected.append(_doubt(landing, result, verdict, services))
            if screened_file.accepted is not None and not result.rejected:
                workspace.write_file(layout.ingest.accepted(asset, day), screened_file.accepted)
        results.append(result)
        if screened_file.screened.rejected:
            rejected.append(_rejection(landing, result, screened_file.screened, services))
    logger.info("screen: %s", [(r.asset, str(r.day), r.accepted_rows, r.quarantined_rows) for r in results])
    return Screening(
        **landing.outstanding() | {"rejected": tuple(rejected)},
        day=landing.day,
        workspace=landing.workspace,
        results=tuple(results),
        deliveries=landing.deliveries,
    )


def _recent(services: Services, settings: Settings, asset: Asset, day: date) -> list[DayProfile]:
    first, last = day - timedelta(days=settings.screen.recent_days), day - timedelta(days=1)
    paths = services.registry.open(asset, first_day=first, last_day=last, may_be_empty=True)
    return [profile(path, day=recent_day) for recent_day, path in paths.items()]


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
        with place.local(layout.ingest.accepted("inputs", day)) as path:
            yield path
    else:
        yield services.registry.open("inputs", first_day=day, last_day=day, may_be_empty=True).get(day)


def _rejection(landing: Landing, result: AssetScreening, screened: Screened, services: Services) -> Rejection:
    """Describe a rejected day, in the words in which it is reported."""
    about = f"{result.asset} of {result.day}"
    return _reported(landing, result, screened.refusal(result.report_uri, about), services)


def _doubt(landing: Landing, result: AssetScreening, verdict: LabelVerdict, services: Services) -> Rejection:
    """Describe labels in doubt, in the words in which they are reported."""
    error = LabelsInDoubt(label_doubts.message(result.day, verdict, services.settings))  # no expectation says it
    return _reported(landing, result, error, services)


def _reported(landing: Landing, result: AssetScreening, error: DataRejected, services: Services) -> Rejection:
    content = {(delivery.asset, delivery.day): delivery.sha256 for delivery in landing.deliveries}
    return deliveries.rejection(
        result.asset,
        result.day,
        error,
        content=content.get((result.asset, result.day), ""),
        partition=landing.day,
        replaces=result.day in services.registry.days(result.asset),
        services=services,
        doubtful=isinstance(error, LabelsInDoubt),
    )
