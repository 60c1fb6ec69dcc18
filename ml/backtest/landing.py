"""Land every day of a backtest: inputs and labels as the contracts let them in, for all policies alike.

A day goes through the rules of `ml.core.data.landing` and the functions of `ml.steps.ingest.land`: labels come with a
later partition, late ones are asked for again, and a table that breaks its contract stays out while the rest of its
partition goes on.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd

from ml.adapters.column_types import conform, types_of_frame
from ml.adapters.rows import count_rows
from ml.adapters.sources import Source
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.screening import Screened, Screens
from ml.core.data.contracts import DayProfile
from ml.core.data.days import days_between
from ml.core.data.landing import requested_label_days
from ml.core.data.rest_days import rest_reason
from ml.core.data.schema import Types, learned
from ml.core.data.targets import coded
from ml.errors import DataRejected, MissingArtifact
from ml.records import Asset
from ml.settings import Settings
from ml.steps.ingest.days_ahead import DaysAhead
from ml.steps.ingest.expected_types import expected_of
from ml.wiring import Services

logger = logging.getLogger(__name__)
Progress = Callable[[int], None]


@runtime_checkable
class KnowsArrivals(Protocol):
    """Tables that say when labels came: a source gives what it has today, a data registry knows."""

    def arrived(self, day: date) -> date | None:
        """Return with which partition the labels of a day came; None means when they were due."""
        ...


def build(
    source: Source,
    first: date,
    last: date,
    *,
    services: Services,
    screens: Screens,
    on_day: Progress = lambda _: None,
) -> PointInTimeDataset:
    """Land and screen every day from ``first`` to ``last``, and the labels that come after it.

    Raises
    ------
    MissingArtifact
        If not a single day got in.
    """
    settings = services.settings
    days = days_between(first, last)
    with tempfile.TemporaryDirectory() as folder:
        ahead = DaysAhead(services, Path(folder), {"inputs": days, "labels": days}, source)
        landing = _Landing(source, services, screens, ahead)
        for day in days_between(first, last + timedelta(days=settings.task.label_delay_days)):
            landing.partition(day, with_inputs=day <= last)
            on_day(1)
    landing.refuse_absent()
    if not landing.inputs:
        reasons = "; ".join(list(landing.rejected.values())[:2])
        raise MissingArtifact(
            f"no day from {first} to {last} got in: {reasons}; choose other days with --from and --to"
        )
    return PointInTimeDataset(
        inputs=landing.inputs,
        labels={day: _coded(frame, settings) for day, frame in landing.labels.items()},
        arrived=landing.arrived,
        rejected=landing.rejected,
        digests=landing.digests,
        quarantined=landing.quarantined,
        kept_out=landing.kept_out,
        key=settings.task.key,
        target=settings.task.target,
        delay=settings.task.label_delay_days,
        classes=settings.task.classes,
    )


def _coded(labels: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Write labels as numbers, as they are read out of the registry."""
    target = settings.task.target
    return labels.assign(**{target: coded(labels[target], settings.task.positive, settings.task.classes)})


class _Landing:
    """The registry of a replay: what has been accepted so far."""

    def __init__(self, source: Source, services: Services, screens: Screens, ahead: DaysAhead) -> None:
        self.source, self.screens, self.ahead = source, screens, ahead
        self.settings = services.settings
        self.inputs: dict[date, pd.DataFrame] = {}
        self.labels: dict[date, pd.DataFrame] = {}
        self.arrived: dict[date, date] = {}
        self.rejected: dict[date, str] = {}
        self.kept_out: dict[Asset, dict[date, date]] = {"inputs": {}, "labels": {}}
        self.absent: dict[date, str] = {}
        self.quarantined: dict[date, int] = {}
        self.digests: dict[tuple[str, date], str] = {}
        self.profiles: dict[Asset, dict[date, DayProfile]] = {"inputs": {}, "labels": {}}
        self.schema: dict[Asset, Types] = {"inputs": {}, "labels": {}}

    def partition(self, day: date, *, with_inputs: bool) -> None:
        """Take in what the contracts accept of the partition of ``day``; labels wait for their inputs."""
        taken: dict[tuple[Asset, date], Screened] = {}
        own = self._take("inputs", day, None) if with_inputs else None
        if own is not None:
            taken["inputs", day] = own
        for label_day in requested_label_days(day, settings=self.settings, newest=day):
            inputs = self.inputs.get(label_day)
            if label_day == day and own is not None and not own.reason:
                inputs = own.accepted
            if inputs is None or label_day in self.labels or self._is_to_come(label_day, day):
                continue
            labels = self._take("labels", label_day, inputs[list(self.settings.task.key)])
            if labels is not None:
                taken["labels", label_day] = labels
        for (asset, of), result in taken.items():
            if not result.reason:
                self._commit(asset, of, day, result)
                continue
            self.kept_out[asset].setdefault(of, day)
            if asset == "inputs":
                self.rejected[of] = f"inputs of {of}: {result.reason}"

    def _take(self, asset: Asset, day: date, keys: pd.DataFrame | None) -> Screened | None:
        """Read and screen a day of an asset; None if there is nothing that a contract can be asked about."""
        oldest = day - timedelta(days=self.settings.screen.recent_days)
        recent = [profile for of, profile in self.profiles[asset].items() if oldest <= of < day]
        try:
            fetched = self.ahead.take(asset, day, self.schema)
            if asset == "inputs" and not count_rows(fetched.path):
                raise MissingArtifact(f"inputs of {day}: no row")
        except MissingArtifact as err:
            if asset == "inputs":
                self.absent[day] = f"there are no inputs of {day}: {err}"
            return None
        except DataRejected as err:
            if asset == "inputs":
                self.rejected[day] = f"inputs of {day}: {err}"
            return None
        clashes = conform(fetched.path, asset, expected_of(self.settings, asset, self.schema))
        screened = self.screens.screen(
            asset,
            day,
            fetched.path,
            clashes=clashes,
            recent=recent,
            known_keys=keys,
            row_metrics=lambda: fetched.row_metrics,
        )
        shutil.rmtree(fetched.path.parent)
        return screened

    def refuse_absent(self) -> None:
        """Count the days without inputs as refused on which, as all days show by now, inputs are expected."""
        for day, reason in self.absent.items():
            if not rest_reason(day, self.inputs, self.settings.land):
                self.rejected[day] = reason

    def _is_to_come(self, label_day: date, partition: date) -> bool:
        came = self.source.arrived(label_day) if isinstance(self.source, KnowsArrivals) else None
        return came is not None and came > partition

    def _commit(self, asset: Asset, of: date, partition: date, result: Screened) -> None:
        held = self.inputs if asset == "inputs" else self.labels
        held[of] = result.accepted
        self.schema[asset] = learned(self.schema[asset], [types_of_frame(result.accepted)])
        self.profiles[asset][of] = profile_of(result.accepted, of)
        self.digests[asset, of] = result.digest
        self.quarantined[partition] = self.quarantined.get(partition, 0) + result.quarantined
        if asset == "labels":
            self.arrived[of] = partition


def profile_of(frame: pd.DataFrame, day: date) -> DayProfile:
    """Count a day's rows and nulls, as `ml.adapters.contracts.profile` does from a file."""
    return DayProfile(day, len(frame), {str(name): int(count) for name, count in frame.isna().sum().items()})
