"""Land the history that a first training needs: many days, one data version.

Days that are in the registry already are left alone. A day that breaks its contract, or that the
source does not have, is reported, and the others go on.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.adapters.column_types import types_of
from ml.adapters.contracts import profile
from ml.core.contracts import DayProfile
from ml.core.features import days_between
from ml.core.schema import Types, declared_schema, learned
from ml.errors import DataRejected, MissingArtifact
from ml.records import Asset
from ml.settings import Settings
from ml.steps import screen
from ml.steps.command import execute, iso_day, parser
from ml.steps.land import fetch
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
REPORT_EVERY_DAYS = 15


def run(first_day: date, last_day: date, *, settings: Settings, services: Services) -> dict[str, Any]:
    """Land, screen and commit ``first_day`` to ``last_day``, with the labels that had arrived by then.

    Returns
    -------
    dict
        ``days``, ``rows``, ``first_day``, ``last_day``, ``data_version``, ``refused`` (days) and
        ``seconds``.
    """
    started = time.perf_counter()
    services.registry.create()
    known = {asset: set(services.registry.days(asset)) for asset in ("inputs", "labels")}
    labelled_until = last_day - timedelta(days=settings.task.label_delay_days)
    refused: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        batch = _Batch(services, settings, Path(folder))
        for number, day in enumerate(days_between(first_day, last_day), start=1):
            if day not in known["inputs"] and not batch.land("inputs", day, None):
                refused.append(f"inputs of {day}")
                continue
            if day not in known["labels"] and day <= labelled_until:
                inputs = batch.files.get(("inputs", day))
                if inputs is None:
                    inputs = services.registry.open("inputs", first_day=day, last_day=day)[day]
                if not batch.land("labels", day, inputs):
                    refused.append(f"labels of {day}")
            if number % REPORT_EVERY_DAYS == 0:
                sys.stderr.write(f"history: {number} days checked, {batch.rows:,} rows\n")
        if batch.files:
            version = services.registry.commit(
                batch.files,
                message=f"Add history {first_day} to {last_day}: {batch.rows} rows",
                # Nobody knows when the labels of history came: take them to have come when they were due.
                arrived={day: day + timedelta(days=settings.task.label_delay_days) for _, day in batch.files},
                declared=declared_schema(settings),
            )
            logger.info("seed: data version %s", version.rev)
    return {
        "days": len(services.registry.days("inputs")),
        "rows": batch.rows,
        "first_day": first_day.isoformat(),
        "last_day": last_day.isoformat(),
        "data_version": services.registry.head(),
        "refused": refused,
        "seconds": round(time.perf_counter() - started, 1),
    }


class _Batch:
    """Accepted days on their way into one commit."""

    def __init__(self, services: Services, settings: Settings, folder: Path) -> None:
        self.services, self.settings, self.folder = services, settings, folder
        self.files: dict[Any, Path] = {}
        self.profiles: dict[str, dict[date, DayProfile]] = {"inputs": {}, "labels": {}}
        self.schema: dict[Asset, Types] = dict(services.registry.schema())
        self.rows = 0

    def land(self, asset: Asset, day: date, known_keys: Path | None) -> bool:
        """Fetch one day, screen it and keep it for the commit; False if there is none, or it was refused."""
        path = self.folder / f"{asset}-{day}.parquet"
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            landed = Path(folder) / "landed.parquet"
            try:
                fetch(asset, day, landed, self.services, known=self.schema, strict=False)
            except (DataRejected, MissingArtifact) as err:
                sys.stderr.write(f"history: {asset} of {day} left out: {err}\n")
                return False
            oldest = day - timedelta(days=self.settings.screen.recent_days)
            recent = [p for known, p in self.profiles[asset].items() if oldest <= known < day]
            found = screen.screen_day(
                self.services, asset, day, landed, recent=recent, known_keys=known_keys, known=self.schema
            )
            result = screen.keep(self.services, asset, day, landed, found)
            if found.accepted is None:
                sys.stderr.write(f"history: {asset} of {day} refused: {found.said.reason} ({result.report_uri})\n")
                return False
            found.accepted.rename(path)
        self.files[asset, day] = path
        self.schema[asset] = learned(self.schema.get(asset, {}), [types_of(path)])
        self.profiles[asset][day] = profile(path, day=day)
        self.rows += result.accepted_rows if asset == "inputs" else 0
        return True


def main(argv: list[str] | None = None) -> int:
    """Land the newest ``land.history_days`` before the day that is due, or the days that were asked for."""
    arguments = parser(__doc__)
    arguments.add_argument("--from-date", type=iso_day, help="first day; default: land.history_days before the last")
    arguments.add_argument("--to-date", type=iso_day, help="last day; default: the day before the newest due one")
    options = arguments.parse_args(argv)

    def work() -> dict[str, Any]:
        services = open_services()
        settings = services.settings
        due = settings.newest_due_day(datetime.now(UTC))
        last = options.to_date or due - timedelta(days=1)
        first = options.from_date or last - timedelta(days=settings.land.history_days - 1)
        return run(first, last, settings=settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
