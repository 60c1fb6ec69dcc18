"""Land a partition: the day's inputs, and the labels that have newly arrived or were corrected.

Labels of day D arrive with the partition of D plus the label delay. Those of the days before it
(``land.catch_up_days``) are asked for again: what did not come in time, and what the source has corrected or
completed since, is taken. Those of a day whose inputs never got into the registry wait until it is repaired. Each
part is landed for itself: inputs that are absent or cannot be read keep no labels back, and no labels keep inputs back.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

from ml.adapters import layout
from ml.adapters.rows import count_rows
from ml.adapters.workspace import Workspace
from ml.core.data.landing import due_day, requested_label_days
from ml.core.data.rest_days import rest_reason, weekday_of
from ml.core.data.schema import Types
from ml.errors import DataRejected, EmptyDelivery, EvergreenError, MissingArtifact
from ml.next_moves import rerun
from ml.records import Asset, DayFile, Delivery, Landing, Receipt, Rejection, Unread
from ml.settings import Settings
from ml.steps.ingest import deliveries
from ml.steps.ingest.expected_types import learned_types
from ml.steps.ingest.source_day import fetch
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(day: date, *, now: datetime, settings: Settings, services: Services) -> Landing:
    """Fetch from the source into the landing folder of ``day``; nothing is judged yet.

    What could not be landed is in the record: `ml.steps.ingest.commit` brings in the rest, and then says so.

    Parameters
    ----------
    now
        An aware instant; a day after its calendar day is refused.

    Raises
    ------
    MissingArtifact
        If ``day`` lies in the future.
    Unavailable
        If the source of the inputs does not answer.
    """
    logger.info("land: %s", day)
    refuse_future(day, now=now, settings=settings)
    lander = _Lander(day, services.storage_folder(layout.ingest.landing(day)), settings, services)
    lander.inputs()
    lander.labels()
    landing = lander.landing()
    days = [str(label_day) for label_day in landing.label_days] or "no day"
    logger.info("land: inputs of %s, labels of %s", day if landing.input_days else "no day", days)
    return landing


@dataclass
class _Lander:
    """One partition on its way into its workspace; what is outstanding is collected on the way."""

    day: date
    place: Workspace
    settings: Settings
    services: Services
    rest: str = ""
    absent: str = ""
    landed: list[Delivery] = field(default_factory=list)
    unchanged: list[date] = field(default_factory=list)
    missing: list[date] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    @cached_property
    def held_inputs(self) -> dict[date, DayFile]:
        return self.services.registry.days("inputs")

    @cached_property
    def held_labels(self) -> dict[date, DayFile]:
        return self.services.registry.days("labels")

    @cached_property
    def learned(self) -> Mapping[Asset, Types]:
        return learned_types(self.services)

    def inputs(self) -> None:
        """Land the day's inputs, or find out why there are none."""
        try:
            self._fetch("inputs", self.day)
        except (MissingArtifact, EmptyDelivery) as err:
            self.rest = self._rest(self.day)
            if self.rest:
                logger.info("land: %s", self.rest)
            elif isinstance(err, EmptyDelivery):
                self._reject("inputs", self.day, err)
            else:
                self.absent = f"{err}. {how_to_rest(self.day)}"
        except DataRejected as err:
            self._reject("inputs", self.day, err)

    def labels(self) -> None:
        """Land the labels that are due, and those of earlier days that are new or have changed."""
        newest = max([self.day, *self.held_inputs])
        for day in requested_label_days(self.day, settings=self.settings, newest=newest):
            if day not in self.held_inputs and not (day == self.day and self._has_inputs):
                self.missing += [] if self._rest(day) else [day]
                continue
            try:
                self._label_day(day)
            except MissingArtifact as err:
                if day not in self.held_labels:
                    logger.warning("land: labels of %s have not arrived: %s", day, err)
                    self.missing.append(day)
            except DataRejected as err:
                self._reject("labels", day, err)
            except _UnreadError as err:
                logger.warning("land: labels of %s could not be read: %s", day, err)
                self.unread.append(Unread(day=day, message=str(err), kind=type(err.__cause__).__name__))

    def landing(self) -> Landing:
        days = {
            asset: tuple(delivery.day for delivery in self.landed if delivery.asset == asset)
            for asset in ("inputs", "labels")
        }
        return Landing(
            day=self.day,
            workspace=self.place.uri(),
            input_days=days["inputs"],
            label_days=days["labels"],
            missing_label_days=tuple(self.missing),
            unchanged_label_days=tuple(self.unchanged),
            deliveries=tuple(self.landed),
            rest=self.rest,
            absent=self.absent,
            rejected=tuple(self.rejected),
            unread=tuple(self.unread),
            lost_label_days=deliveries.lost_days(due_day(self.day, self.settings), self.day, self.services),
        )

    @property
    def _has_inputs(self) -> bool:
        return any(delivery.asset == "inputs" for delivery in self.landed)

    def _rest(self, day: date) -> str:
        return "" if day in self.held_inputs else rest_reason(day, self.held_inputs, self.settings.land)

    def _reject(self, asset: Asset, day: date, err: DataRejected) -> None:
        logger.warning("land: %s of %s rejected: %s", asset, day, err)
        held = self.held_inputs if asset == "inputs" else self.held_labels
        self.rejected.append(
            deliveries.rejection(
                asset, day, err, content="", partition=self.day, replaces=day in held, services=self.services
            )
        )

    def _label_day(self, day: date) -> None:
        """Land the labels of a day, unless they are those that the registry holds, or that were taken out of it."""
        held, receipt = self.held_labels.get(day), deliveries.read_receipt(day, self.services)
        by_itself = day not in (self.day, due_day(self.day, self.settings))  # nobody has asked for this very day
        if held is None and (receipt is None or not receipt.withdrawn or not by_itself):
            self._fetch("labels", day)
            return
        if held is not None and not by_itself:
            # Judged in any case: their contract may have been corrected, or the inputs that they speak of.
            self._fetch("labels", day)
            return
        context = deliveries.context_of(self.held_inputs.get(day), self.services)
        if held is None:
            valid_receipt = receipt
        else:
            valid_receipt = receipt if receipt and (receipt.md5, receipt.context) == (held.md5, context) else None
        stat = deliveries.stat_of("labels", day, self.services)
        if valid_receipt is not None and stat is not None and stat == valid_receipt.delivery.stat:
            self.unchanged.append(day)
            if held is not None:
                deliveries.reconcile("labels", day, self.services)
        else:
            self._fetch(
                "labels",
                day,
                md5=held.md5 if held else receipt.md5 if receipt else None,
                valid_receipt=valid_receipt,
                context=context,
            )

    def _fetch(
        self,
        asset: Asset,
        day: date,
        *,
        md5: str | None = None,
        valid_receipt: Receipt | None = None,
        context: str = "",
    ) -> None:
        """Land a day of an asset; of one with a ``valid_receipt``, or there as ``md5``, only other content."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "day.parquet"
            stat = deliveries.stat_of(asset, day, self.services) if asset == "labels" else None
            try:
                fetch(asset, day, path, self.services, learned=self.learned, strict=False)
            except (MissingArtifact, DataRejected):
                raise
            except EvergreenError as err:
                if asset == "inputs":
                    raise
                raise _UnreadError(str(err)) from err
            if asset == "inputs" and not count_rows(path) and self._rest(day):
                raise EmptyDelivery(f"{asset} of {day} have no row")
            delivery = deliveries.delivery_of(asset, day, path, stat, self.services)
            if md5 is not None and (
                (valid_receipt is not None and valid_receipt.delivery.sha256 == delivery.sha256)
                or deliveries.md5_of(path) == md5
            ):
                self.unchanged.append(day)
                if day in self.held_labels:
                    deliveries.reconcile(asset, day, self.services)
                    deliveries.write_receipt(delivery, md5, context, self.services)
                return
            self.place.write_file(layout.ingest.landed(asset, day), path)
            self.landed.append(delivery)


class _UnreadError(Exception):
    """The source of labels fails: inputs need not wait for it."""


def refuse_future(day: date, *, now: datetime, settings: Settings) -> None:
    """Refuse a day that has not begun where the data come from."""
    today = settings.today(now)
    if day > today:
        raise MissingArtifact(
            f"{day} lies in the future: it is {today} in {settings.task.timezone}; choose a day up to that one"
        )


def how_to_rest(day: date) -> str:
    """Return what to do if a day without data is no fault."""
    name = weekday_of(day)
    return (
        f"If there are no data on that day, name it under land.closed; if there are none on any {name}, leave {name} "
        "out of land.calendar; if single days may be without data, set land.empty_days (params.yaml), then "
        f"{rerun()}"
    )
