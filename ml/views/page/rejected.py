"""What the registry does not hold though the source had it: days that were rejected, and days that were taken out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ml.adapters import layout
from ml.errors import MissingArtifact
from ml.next_moves import rerun
from ml.records import Asset, Rejection, Withdrawal
from ml.views.page.cache import MEMORY
from ml.wiring import Services

logger = logging.getLogger(__name__)
SECONDS = 5.0
ASSETS: tuple[Asset, ...] = ("inputs", "labels")
Facts = dict[str, Any]
Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class KeptOut:
    """Rejected and withdrawn days of an asset, each as it was left last; ``problems`` names what cannot be read."""

    rejected: dict[tuple[str, date], Rejection]
    withdrawn: dict[tuple[str, date], Withdrawal]
    problems: tuple[str, ...] = ()

    def withdrawn_days(self, asset: str) -> list[date]:
        """Return the days of an asset that a person took out, and that have not come back, oldest first."""
        return sorted(day for name, day in self.withdrawn if name == asset)

    def explains(self, asset: str, day: date) -> bool:
        """Return whether it is known why the registry does not hold a day of an asset."""
        return (asset, day) in self.rejected or (asset, day) in self.withdrawn

    def rejected_days(self, asset: str) -> list[date]:
        """Return the days of an asset of which the newest delivery was rejected, oldest first."""
        return sorted(day for name, day in self.rejected if name == asset)


def kept_out(services: Services, held: Mapping[str, Collection[date]]) -> KeptOut:
    """Read what is not in the registry.

    Parameters
    ----------
    held
        The days that the registry holds, by asset: a day that has come in since is left out, unless it is an earlier
        content of it that the registry keeps.
    """
    result = MEMORY.remembered(("kept out", services.environment.storage), SECONDS, lambda: _read(services))
    return KeptOut(
        {
            asset_day: record
            for asset_day, record in result.rejected.items()
            if record.replaces or record.day not in held.get(record.asset, ())
        },
        {
            asset_day: record
            for asset_day, record in result.withdrawn.items()
            if record.day not in held.get(record.asset, ())
        },
        result.problems,
    )


def row(rejection: Rejection, report: str | None) -> Facts:
    """Return a rejection as the page shows it: what, why with the next move, and the report."""
    what = f"{rejection.asset} of {rejection.day}"
    reason = rejection.reason.removeprefix(what).removeprefix(" rejected").removeprefix(": ")
    if rejection.report_uri:
        reason = reason.replace(f" Report: {rejection.report_uri}.", "")  # the page links it
    reason = reason.replace(str(rerun()), str(rerun("ingest", rejection.partition)))
    sentences, _, move = reason.partition(" Next: ")
    if rejection.replaces:
        reason = f"{reason}. The registry keeps the content before it"
    return {
        "asset": rejection.asset,
        "day": rejection.day,
        "what": what,
        "message": reason,
        "reasons": [part.rstrip(".") for part in sentences.split("; ")],
        "next": move,
        "replaces": rejection.replaces,
        "partition": rejection.partition,
        "report": report,
    }


def report_of(rejection: Rejection) -> str | None:
    """Return the name of a rejection's report as the page serves it; None if the delivery could not even be read."""
    return (
        f"{layout.ingest.quarantine(rejection.asset, rejection.day)}/{layout.ingest.REPORT}"
        if rejection.report_uri
        else None
    )


def _read(services: Services) -> KeptOut:
    problems: list[str] = []
    rejected = _records(services, layout.ingest.REJECTED, Rejection, problems)
    withdrawn = _records(services, layout.ingest.WITHDRAWN, Withdrawal, problems)
    return KeptOut(rejected, withdrawn, tuple(problems))


def _records(services: Services, folder: str, kind: type[Kind], problems: list[str]) -> dict[tuple[str, date], Kind]:
    records: dict[tuple[str, date], Kind] = {}
    for asset in ASSETS:
        stored = services.storage_folder(f"{folder}/{asset}")
        for name in stored.names():
            try:
                record = kind.model_validate(stored.read_json(name))
                records[asset, _day_of(name)] = record
            except MissingArtifact:  # it came in meanwhile
                continue
            except (ValueError, ValidationError) as err:
                logger.warning("overview: %s cannot be read: %s", stored.uri(name), err)
                problems.append(f"{stored.uri(name)} cannot be read: {rerun('ingest', _day_of(name))}, or remove it")
    return records


def _day_of(name: str) -> date:
    return date.fromisoformat(name.removeprefix("day=").removesuffix(".json"))
