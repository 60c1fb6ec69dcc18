"""A fault of the demo's feed on one day, switched on and off by a person who wants to see what an alarm looks like.

It is a fact in the storage. The demo source alone reads it, and only where it shows the flights of 2013 as today's: no
other data are ever touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from ml.adapters import layout
from ml.adapters.sources.demo import DemoSource
from ml.adapters.workspace import Workspace
from ml.records import Asset
from ml.records.record import Record

COLUMN = "dest"
SENTENCE = "every destination comes under another code (JFK as KFJ)"


class DemoFault(Record):
    """Which day is broken, since when and by whom; ``undone_at`` is None while it is."""

    day: date
    set_at: datetime
    set_by: str = ""
    undone_at: datetime | None = None


@dataclass(frozen=True)
class FaultSwitch:
    """The folder of the storage that says which day of the demo is broken."""

    stored: Workspace

    def read(self) -> DemoFault | None:
        """Return the newest fault, undone or not; None if there never was one."""
        if not self.stored.has(layout.ingest.DEMO_FAULT):
            return None
        return DemoFault.model_validate(self.stored.read_json(layout.ingest.DEMO_FAULT))

    def write(self, fault: DemoFault) -> None:
        """Let the source hand out this fault from now on, or no more."""
        self.stored.write_json(layout.ingest.DEMO_FAULT, fault.model_dump(mode="json"))


@dataclass(frozen=True)
class BreakableDemo:
    """The demo source, whose newest day a person may break.

    Parameters
    ----------
    switch
        Opens the storage's fact when a day is asked for.
    """

    source: DemoSource
    switch: Callable[[], FaultSwitch]

    def inputs(self, day: date) -> pd.DataFrame:
        """Return the inputs of ``day``, with the fault if it is of this day."""
        rows = self.source.inputs(day)
        return rows.assign(**{COLUMN: rows[COLUMN].str[::-1]}) if self._broken(day) else rows

    def labels(self, day: date) -> pd.DataFrame:
        """Return the labels of ``day``, which no fault touches."""
        return self.source.labels(day)

    def stat(self, asset: Asset, day: date) -> str:
        """Return which day is served, and whether it is broken."""
        state = self.source.stat(asset, day)
        return f"{state}, broken" if asset == "inputs" and self._broken(day) else state

    def _broken(self, day: date) -> bool:
        fault = self.switch().read()
        return fault is not None and fault.day == day and fault.undone_at is None
