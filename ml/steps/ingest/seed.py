"""Land the history that a first training needs: many days, one data version.

Days that are in the registry already are left alone. A day that breaks its contract, or that the
source does not have, is reported, and the others go on; one on which no data are expected is left out. Labels are
judged by their own past: what earlier versions predicted of these days, if anything, is not asked.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.adapters.column_types import types_of
from ml.adapters.contracts import profile
from ml.adapters.rows import count_rows
from ml.command_line import execute, iso_day, parser
from ml.core.data.contracts import DayProfile
from ml.core.data.days import days_between
from ml.core.data.rest_days import rest_reason
from ml.core.data.schema import Types, declared_schema, learned
from ml.errors import DataRejected, EmptyDelivery, LabelsInDoubt, MissingArtifact
from ml.records import Asset, AssetScreening, LabelDay
from ml.settings import Settings
from ml.steps.ingest import deliveries, label_doubts, label_sums
from ml.steps.ingest.day_screening import keep, screen_day
from ml.steps.ingest.days_ahead import DaysAhead
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
REPORT_EVERY_DAYS = 15


def run(first_day: date, last_day: date, *, settings: Settings, services: Services) -> dict[str, Any]:
    """Land, screen and commit ``first_day`` to ``last_day``, with the labels that had arrived by then.

    Returns
    -------
    dict
        ``days``, ``rows``, ``first_day``, ``last_day``, ``data_version``, ``rejected`` (days), ``rest_days``
        (on which no data are expected, and none came) and ``seconds``.
    """
    started = time.perf_counter()
    services.registry.create()
    held_days = {asset: set(services.registry.days(asset)) for asset in ("inputs", "labels")}
    labelled_until = last_day - timedelta(days=settings.task.label_delay_days)
    with tempfile.TemporaryDirectory() as folder:
        days = days_between(first_day, last_day)
        wanted: dict[Asset, list[date]] = {
            "inputs": [day for day in days if day not in held_days["inputs"]],
            "labels": [day for day in days if day not in held_days["labels"] and day <= labelled_until],
        }
        batch = _Batch(services, settings, Path(folder), wanted)
        for number, day in enumerate(days, start=1):
            if day not in held_days["inputs"] and not batch.land("inputs", day, None):
                continue
            if day not in held_days["labels"] and day <= labelled_until:
                inputs = batch.files.get(("inputs", day))
                if inputs is None:
                    inputs = services.registry.open("inputs", first_day=day, last_day=day)[day]
                batch.land("labels", day, inputs)
            if number % REPORT_EVERY_DAYS == 0 and any(wanted.values()):
                sys.stderr.write(f"history: {number} days checked, {batch.rows:,} rows\n")
        batch.judge_labels()
        rest_days = batch.rest_days(held_days["inputs"])
        if batch.files:
            version = services.registry.commit(
                batch.files,
                message=f"Add history {first_day} to {last_day}: {batch.rows} rows",
                # Nobody knows when the labels of history came: take them to have come when they were due.
                arrived={day: day + timedelta(days=settings.task.label_delay_days) for _, day in batch.files},
                declared=declared_schema(settings),
            )
            logger.info("seed: data version %s", version.rev)
            label_sums.keep_seeded(batch.label_sums, services)
    return {
        "days": len(services.registry.days("inputs")),
        "rows": batch.rows,
        "first_day": first_day.isoformat(),
        "last_day": last_day.isoformat(),
        "data_version": services.registry.head(),
        "rejected": batch.rejected,
        "rest_days": [day.isoformat() for day in rest_days],
        "seconds": round(time.perf_counter() - started, 1),
    }


class _Batch:
    """Accepted days on their way into one commit."""

    def __init__(
        self, services: Services, settings: Settings, folder: Path, wanted: Mapping[Asset, Iterable[date]]
    ) -> None:
        self.services, self.settings, self.folder = services, settings, folder
        self.ahead = DaysAhead(services, folder, wanted)
        self.files: dict[Any, Path] = {}
        self.profiles: dict[str, dict[date, DayProfile]] = {"inputs": {}, "labels": {}}
        self.schema: dict[Asset, Types] = dict(services.registry.schema())
        self.rows = 0
        self.rejected: list[str] = []
        self.absent: dict[date, str] = {}
        self.label_sums: dict[date, LabelDay] = {}
        self.label_results: dict[date, AssetScreening] = {}

    def judge_labels(self) -> None:
        """Leave out labels in doubt; of past days nothing was predicted, so that their own past alone judges them."""
        verdicts = label_doubts.judge_seeded(self.label_sums, self.services)
        for day in (day for day, verdict in verdicts.items() if verdict.status == "doubtful"):
            path, verdict = self.files.pop(("labels", day)), verdicts[day]
            error = LabelsInDoubt(label_doubts.message(day, verdict, self.settings))
            result = label_doubts.keep_doubtful(
                self.services, self.label_results[day], path, path, self.label_sums[day], verdict
            )
            rejection = deliveries.rejection(
                "labels", day, error, content=deliveries.md5_of(path), partition=day, replaces=False,
                services=self.services, doubtful=True,
            )  # fmt: skip
            deliveries.keep_rejection(rejection, self.services)
            self._refuse("labels", day, f"left out: {error} ({result.quarantine_uri})")

    def rest_days(self, held_days: set[date]) -> list[date]:
        """Return the absent days on which no data are expected; the others are refused.

        A history may begin between two days with data: so many days before the first as may be without any are fine.
        """
        have = held_days | {day for asset, day in self.files if asset == "inputs"}
        land = self.settings.land
        first = min(have, default=date.max)
        began = [day for day in self.absent if day < first <= day + timedelta(days=land.empty_in_a_row)]
        rest = [day for day in self.absent if day in began or rest_reason(day, have, land)]
        for day in (day for day in self.absent if day not in rest):
            self._refuse("inputs", day, f"left out: {self.absent[day]}")
        return rest

    def _refuse(self, asset: Asset, day: date, reason: str) -> bool:
        sys.stderr.write(f"history: {asset} of {day} {reason}\n")
        self.rejected.append(f"{asset} of {day}")
        return False

    def land(self, asset: Asset, day: date, known_keys: Path | None) -> bool:
        """Fetch one day, screen it and keep it for the commit; False if there is none, or it was refused."""
        path = self.folder / f"{asset}-{day}.parquet"
        try:
            fetched = self.ahead.take(asset, day, self.schema)
            landed = fetched.path
            if asset == "inputs" and not count_rows(landed):
                raise EmptyDelivery(f"{asset} of {day} have no row")
        except (DataRejected, MissingArtifact) as err:
            if asset == "inputs" and isinstance(err, (EmptyDelivery, MissingArtifact)):
                self.absent[day] = str(err)  # whether it is missed is known when all days are there
                return False
            return self._refuse(asset, day, f"left out: {err}")
        oldest = day - timedelta(days=self.settings.screen.recent_days)
        recent = [p for earlier_day, p in self.profiles[asset].items() if oldest <= earlier_day < day]
        screened_file = screen_day(
            self.services, asset, day, landed, recent=recent, known_keys=known_keys, learned=self.schema,
            row_metrics=fetched.row_metrics,
        )  # fmt: skip
        result = keep(self.services, asset, day, landed, screened_file)
        if screened_file.accepted is None:
            shutil.rmtree(landed.parent)
            return self._refuse(asset, day, f"refused: {screened_file.screened.reason} ({result.report_uri})")
        screened_file.accepted.rename(path)
        shutil.rmtree(landed.parent)
        self.files[asset, day] = path
        self.schema[asset] = learned(self.schema.get(asset, {}), [types_of(path)])
        self.profiles[asset][day] = profile(path, day=day)
        if asset == "labels" and self.settings.labels.judge:
            self.label_sums[day] = label_sums.sum_up(day, path, known_keys, None, self.services)
            self.label_results[day] = result
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
