"""Fetch the days of a history some ahead of their turn, so that one pass of Great Expectations looks at all their rows.

Each day is screened at its turn, by its own past, as if it had been fetched only then: what was fetched with other
learned types than those of its turn is fetched again, and what could not be fetched is raised at its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters.contracts.many_tables import RowMetrics
from ml.adapters.rows import count_rows, read_exact
from ml.core.data.schema import Types
from ml.records import Asset
from ml.steps.ingest.source_day import fetch
from ml.wiring import Services

MOST_DAYS = 64
MOST_ROWS = 100_000
"""So many rows of several days are in memory at once; a larger day comes alone, and is screened as one alone is."""


@dataclass(frozen=True, eq=False)
class FetchedDay:
    """A day as its source has it; ``path`` is in a folder of its own. None as ``row_metrics`` means it is alone."""

    path: Path
    learned: Mapping[Asset, Types]
    error: Exception | None = None
    row_metrics: RowMetrics | None = None


class DaysAhead:
    """The days of a history, by asset, that are fetched and not yet taken.

    Parameters
    ----------
    folder
        Takes the fetched files; the caller removes it.
    wanted
        The days of each asset that may be taken, in order.
    """

    def __init__(self, services: Services, folder: Path, wanted: Mapping[Asset, Iterable[date]]) -> None:
        self.services, self.folder = services, folder
        self.wanted: dict[Asset, list[date]] = {asset: sorted(days) for asset, days in wanted.items()}
        self._fetched: dict[Asset, dict[date, FetchedDay]] = {asset: {} for asset in self.wanted}
        self._at_once: dict[Asset, int] = dict.fromkeys(self.wanted, 1)

    def take(self, asset: Asset, day: date, learned: Mapping[Asset, Types]) -> FetchedDay:
        """Return a day as fetched with the types in ``learned``; raises as `fetch` does.

        Days are taken in order; those of the asset before ``day`` are no longer held.
        """
        held = self._fetched[asset]
        for earlier in [earlier for earlier in held if earlier < day]:
            del held[earlier]
        if day not in held or held[day].learned != learned:
            # The first days may still teach types, with which all that is ahead would have to be fetched again.
            self._at_once[asset] = 1 if day in held else min(MOST_DAYS, 2 * self._at_once[asset])
            following = [other for other in self.wanted[asset] if other >= day][: self._at_once[asset]]
            self._fetched[asset] = held = self._fetch(asset, following or [day], deepcopy(dict(learned)))
        fetched = held.pop(day)
        if fetched.error is not None:
            raise fetched.error
        return fetched

    def _fetch(self, asset: Asset, days: Sequence[date], learned: Mapping[Asset, Types]) -> dict[date, FetchedDay]:
        fetched: dict[date, FetchedDay] = {}
        frames: dict[date, pd.DataFrame] = {}
        most = min(MOST_ROWS, self.services.settings.screen.rows_at_once)
        rows = 0
        for day in days:
            path = self.folder / f"{asset}-{day}" / "landed.parquet"
            path.parent.mkdir(exist_ok=True)
            try:
                fetch(asset, day, path, self.services, learned=learned, strict=False)
                rows += count_rows(path)
                if rows <= most:
                    frames[day] = read_exact(path, self.services.settings.task.key)
                fetched[day] = FetchedDay(path, learned)
            except Exception as err:  # noqa: BLE001 - raised at the day's turn, if it comes
                fetched[day] = FetchedDay(path, learned, error=err)
            if rows > most:
                break
        for day, row_metrics in self._metrics(asset, frames).items():
            fetched[day] = FetchedDay(fetched[day].path, learned, row_metrics=row_metrics)
        return fetched

    def _metrics(self, asset: Asset, frames: Mapping[date, pd.DataFrame]) -> dict[date, RowMetrics]:
        if len(frames) < 2:
            return {}
        return dict(zip(frames, self.services.contracts.row_metrics(asset, list(frames.values())), strict=True))
