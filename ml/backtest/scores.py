"""Score the days of a simulation as *score* and *shadow* do, and hold the predictions that were served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.judging import Version
from ml.core.champions import previous_champion
from ml.core.monitoring import performance, slice_findings
from ml.core.predictions import column
from ml.core.scoring import adaptation
from ml.records import Logged
from ml.settings import Settings


@dataclass(eq=False)
class Scores:
    """The predictions of one policy, as they grow.

    Attributes
    ----------
    versions
        The versions of the simulation, which adds to them.
    raw, predicted
        What a version predicted of a day, before and after its shift.
    served
        The version that served a day.
    """

    dataset: PointInTimeDataset
    settings: Settings
    versions: Mapping[int, Version]
    raw: dict[tuple[date, int], np.ndarray] = field(default_factory=dict)
    predicted: dict[tuple[date, int], np.ndarray] = field(default_factory=dict)
    served: dict[date, int] = field(default_factory=dict)
    _served_rows: dict[tuple[date, int, float], pd.DataFrame] = field(default_factory=dict)
    _slices: dict[date, dict[str, float]] = field(default_factory=dict)

    def score(self, day: date, version: int, decisions: Sequence[Logged]) -> tuple[float, int]:
        """Score a day, and along with it by the version before while it is watched; return shift and rows."""
        rollback = self.settings.rollback
        watched_days = self.settings.land.calendar_days(rollback.watch_days)
        watch, _ = previous_champion.watch_of(day, version, decisions, days=watched_days)
        watched = rollback.automatic and watch is not None and day <= watch.last_day
        if watched and watch is not None and self.versions[watch.previous].fitted.training.last_day < day:
            self._predict(day, watch.previous)
        self.served[day], shift = version, self._predict(day, version)
        return shift, len(self.predicted[day, version])

    def _predict(self, day: date, version: int) -> float:
        shift = self._shift(day, version)
        raw = self._raw(day, version)
        self.predicted[day, version] = adaptation.shifted(raw, shift, kind=self.settings.task.kind)
        return shift

    def _raw(self, day: date, version: int) -> np.ndarray:
        """Return what a version itself predicts of a day, before any shift."""
        if (day, version) not in self.raw:
            self.raw[day, version] = self.versions[version].fitted.predict(self.seen(day))
        return self.raw[day, version]

    def seen(self, day: date) -> pd.DataFrame:
        """Return the inputs of a day with all features, as they could be computed on that day."""
        rows = self.dataset.seen_on(day, self.settings.features.history)
        if wanted := self.settings.features.python:
            rows = pd.concat([rows.reset_index(drop=True), self.dataset.own_features(day, wanted)], axis=1)
        return rows

    def _shift(self, day: date, version: int) -> float:
        """Return by how much the newest labelled days that a version was not fitted on move its scores."""
        if self.settings.score.adapt == "none":
            return 0.0
        reached = self.labelled_between(*adaptation.reach(day, self.settings), day)
        labelled = [other for other in reached if other not in self.dataset.excluded]
        days = adaptation.evidence_days(labelled, str(self.versions[version].fitted.training.last_day), self.settings)
        share = self.share(days)
        tables = [self.rows(labelled_day, share, raw=self._raw(labelled_day, version)) for labelled_day in days]
        raw, target = ([table[name].to_numpy() for table in tables] for name in ("raw", "target"))
        return adaptation.adaptation(days, raw, target, self.settings).shift

    def labelled_between(self, first: date, last: date, known_on: date) -> list[date]:
        """List the days of a span whose labels had arrived by a day."""
        return [day for day in self.dataset.labelled_days(known_on) if first <= day <= last]

    def slices(self, known_on: date) -> dict[date, dict[str, float]]:
        """Measure the slices of the served days whose labels had arrived by a day; each day once."""
        if not slice_findings.are_measured(self.settings):
            return {}
        last = performance.days_of(known_on, self.settings)[2]
        days = [day for day in self.dataset.measured_days(known_on) if day in self.served and day <= last]
        newest = days[-slice_findings.DAYS :]
        self._slices |= {day: self._slices_of(day) for day in newest if day not in self._slices}
        return {day: self._slices[day] for day in newest}

    def _slices_of(self, day: date) -> dict[str, float]:
        declared = self.settings.performance
        share = self.dataset.share_of([day], declared.max_rows // declared.window_days)
        rows = self.rows(day, share, prediction=self.predicted[day, self.served[day]])
        inputs = self.dataset.inputs[day].reset_index(drop=True).loc[rows.index]
        beside = [name for name in slice_findings.columns(self.settings) if name in inputs and name not in rows]
        return slice_findings.scores_of(pd.concat([rows, inputs[beside]], axis=1), self.settings)

    def share(self, days: Collection[date]) -> float:
        """Return the share of keys whose labels are looked at."""
        return self.dataset.share_of(days, self.settings.performance.max_rows)

    def served_rows(self, day: date, share: float) -> pd.DataFrame:
        """Put outcomes beside what was served on a day, with the version; the same frame again, not to be modified."""
        version = self.served[day]
        name = day, version, min(share, 1.0)
        if name not in self._served_rows:
            rows = self.rows(day, share, prediction=self.predicted[day, version])
            self._served_rows[name] = rows.assign(version=version)
        return self._served_rows[name]

    def rows(self, day: date, share: float, **predictions: np.ndarray) -> pd.DataFrame:
        """Put outcomes beside predictions of a day, leaving out rows whose outcome never came."""
        rows = pd.DataFrame({"day": day.isoformat(), "target": self.dataset.outcomes(day)})
        rows = rows.assign(**{name: column(predicted) for name, predicted in predictions.items()})
        return rows.loc[self.dataset.in_sample(day, share) & rows["target"].notna()]
