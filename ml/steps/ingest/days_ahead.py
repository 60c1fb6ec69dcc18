"""Fetch the days of a history some ahead of their turn, so that one pass of Great Expectations looks at all their rows.

Each day is screened at its turn, by its own past, as if it had been fetched only then: what was fetched with other
learned types than those of its turn is fetched again, and what could not be fetched is raised at its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ml.adapters.rows import count_rows, read_exact
from ml.adapters.sources import Source
from ml.core.data.schema import Types
from ml.records import Asset
from ml.steps.ingest.source_day import fetch
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.contracts.many_tables import RowMetrics  # takes seconds, and is not needed if answers are known

MOST_DAYS = 64
MOST_ROWS = 100_000
"""So many rows of several days are in memory at once; a larger day comes alone, and is screened as one alone is."""


class DaysTogether:
    """Days of an asset that were fetched at once; their rows are looked at when the first of them is screened."""

    def __init__(self, asset: Asset, frames: Mapping[date, pd.DataFrame], services: Services) -> None:
        self.asset, self.services = asset, services
        self._frames = frames

    @cached_property
    def row_metrics(self) -> Mapping[date, RowMetrics]:
        """Return what one pass of Great Expectations finds of the rows of each day; nothing of a day alone."""
        frames, self._frames = self._frames, {}
        if len(frames) < 2:
            return {}
        return dict(zip(frames, self.services.contracts.row_metrics(self.asset, list(frames.values())), strict=True))


@dataclass(frozen=True, eq=False)
class FetchedDay:
    """A day as its source has it; ``path`` is in a folder of its own."""

    day: date
    path: Path
    learned: Mapping[Asset, Types]
    together: DaysTogether
    error: Exception | None = None

    @property
    def row_metrics(self) -> RowMetrics | None:
        """Return what is known of its rows before it is judged; None where no other day was looked at with it."""
        return self.together.row_metrics.get(self.day)


class DaysAhead:
    """The days of a history, by asset, that are fetched and not yet taken.

    Parameters
    ----------
    folder
        Takes the fetched files; the caller removes it.
    wanted
        The days of each asset that may be taken, in order.
    source
        None means the one that ``params.yaml`` names.
    """

    def __init__(
        self, services: Services, folder: Path, wanted: Mapping[Asset, Iterable[date]], source: Source | None = None
    ) -> None:
        self.services, self.folder, self.source = services, folder, source
        self.wanted: dict[Asset, list[date]] = {asset: sorted(days) for asset, days in wanted.items()}
        self._fetched: dict[Asset, dict[date, FetchedDay]] = {asset: {} for asset in self.wanted}
        self._at_once: dict[Asset, int] = dict.fromkeys(self.wanted, 1)
        self._newest: dict[Asset, date] = dict.fromkeys(self.wanted, date.min)

    def take(self, asset: Asset, day: date, learned: Mapping[Asset, Types]) -> FetchedDay:
        """Return a day as fetched with the types in ``learned``; raises as `fetch` does.

        Days are taken in order; those of the asset before ``day`` are no longer held. One that is taken again is
        fetched again, alone.
        """
        fetched = self._again(asset, day, learned) if day <= self._newest[asset] else self._next(asset, day, learned)
        if fetched.error is not None:
            raise fetched.error
        return fetched

    def _again(self, asset: Asset, day: date, learned: Mapping[Asset, Types]) -> FetchedDay:
        return self._fetch(asset, [day], deepcopy(dict(learned)))[day]

    def _next(self, asset: Asset, day: date, learned: Mapping[Asset, Types]) -> FetchedDay:
        self._newest[asset] = day
        held = self._fetched[asset]
        for earlier in [earlier for earlier in held if earlier < day]:
            del held[earlier]
        if day not in held or held[day].learned != learned:
            # The first days may still teach types, with which all that is ahead would have to be fetched again.
            self._at_once[asset] = 1 if day in held else min(MOST_DAYS, 2 * self._at_once[asset])
            following = [other for other in self.wanted[asset] if other >= day][: self._at_once[asset]]
            self._fetched[asset] = held = self._fetch(asset, following or [day], deepcopy(dict(learned)))
        return held.pop(day)

    def _fetch(self, asset: Asset, days: Sequence[date], learned: Mapping[Asset, Types]) -> dict[date, FetchedDay]:
        errors: dict[date, Exception | None] = {}
        frames: dict[date, pd.DataFrame] = {}
        most = min(MOST_ROWS, self.services.settings.screen.rows_at_once)
        rows = 0
        for day in days:
            path, errors[day] = self._path(asset, day), None
            path.parent.mkdir(exist_ok=True)
            try:
                fetch(asset, day, path, self.services, learned=learned, strict=False, source=self.source)
                rows += count_rows(path)
                if rows <= most:
                    frames[day] = read_exact(path, self.services.settings.task.key)
            except Exception as err:  # noqa: BLE001 - raised at the day's turn, if it comes
                errors[day] = err
            if rows > most:
                break
        together = DaysTogether(asset, frames, self.services)
        return {day: FetchedDay(day, self._path(asset, day), learned, together, error) for day, error in errors.items()}

    def _path(self, asset: Asset, day: date) -> Path:
        return self.folder / f"{asset}-{day}" / "landed.parquet"
