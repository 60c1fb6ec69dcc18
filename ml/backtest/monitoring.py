"""Monitor a day of a backtest, without Evidently: `ml.core.monitoring.drift` measures the same distances."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters import layout, monitoring_files
from ml.adapters.workspace import Workspace
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.judging import Version
from ml.backtest.outcome import DayRecords
from ml.core.data.days import days_between
from ml.core.data.schema import Types
from ml.core.monitoring import alarm_days, drift, drift_report, performance
from ml.core.monitoring.day_columns import DayColumn
from ml.core.monitoring.drift_report import Dependence, Reference, Sides
from ml.core.monitoring.served import ExpectedPerformance
from ml.core.predictions import column
from ml.core.training.features import matrix
from ml.core.training.importance import measure_importance
from ml.records import DriftReport, Limit
from ml.settings import Settings
from ml.steps.retrain import out_of_fold


class Monitored:
    """What monitoring keeps with a version: its reference, what it depends on, what the gate saw of it.

    Parameters
    ----------
    records
        What monitoring left of the days until then: limits are not learned from those on which an alarm stood.
    """

    def __init__(self, version: Version, records: Mapping[date, DayRecords]) -> None:
        self.version, self.settings, self.fits = version, version.settings, version.fits
        days = version.fitted.training.days
        monitored = [
            alarm_days.day_from(of_day.drift, of_day.performance, of_day.decision)
            for day in days
            if (of_day := records.get(day)) is not None
        ]
        self.days_in_alarm = alarm_days.in_training(monitored, days, self.settings)
        section = self.settings.drift.model_dump(mode="json")
        facts = [version.key, section, self.settings.gate.metric, self.settings.split.holdout_days]
        facts += [sorted(map(str, self.days_in_alarm))] if self.days_in_alarm else []
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        self.folder = layout.backtest.cached("references", key)

    @cached_property
    def reference(self) -> Reference:
        """Return its reference; kept on disk."""

        def make(cache_dir: Workspace) -> dict[str, Any]:
            version = self.version
            predictions = out_of_fold.honest(version.parts[0], version.scored, self.settings)
            rows = self.fits.rows(version.fitted.training, self.settings)
            reference = drift_report.reference_of(rows, predictions, self.settings, alarm_days=self.days_in_alarm)
            monitoring_files.write(self.fits.folder / cache_dir.prefix, reference)
            return {"rows": len(reference.sample)}

        self.fits.once(self.folder, "reference.json", make)
        return monitoring_files.read(self.fits.folder / self.folder)

    @cached_property
    def dependence(self) -> Dependence:
        """Return how much it depends on each column, measured of its candidate on the holdout; kept on disk."""

        def make(_: Workspace) -> dict[str, Any]:
            holdout = self.version.parts[1]
            importance = measure_importance(
                self.version.candidate.pipeline,
                matrix(holdout, self.settings.features),
                holdout[self.settings.task.target],
                kind=self.settings.task.kind,
                classes=len(self.settings.task.classes),
                metric=self.settings.gate.metric,
                seed=self.settings.fit.seed,
            )
            return {entry["feature"]: entry["increase"] for entry in importance.facts()["features"]}

        importance = self.fits.once(self.folder, "importance.json", make)
        return drift.importance_share(drift.watched(self.settings.drift), self.settings.features, importance)

    @cached_property
    def expected(self) -> ExpectedPerformance:
        """Measure what a holdout says of it."""
        return performance.expected(self.version.judged, self.settings, reference=self.reference.predictions)


class Window(drift_report.Window):
    """The window of a day in a backtest.

    Parameters
    ----------
    served
        Returns what the version itself predicted on a day that it served; None if it served none.
    """

    def __init__(
        self, day: date, settings: Settings, dataset: PointInTimeDataset, served: Callable[[date], np.ndarray | None]
    ) -> None:
        super().__init__(day, settings)
        self.dataset, self._served = dataset, served
        self.days = [
            other
            for other in days_between(self.first, day)
            if other in dataset.inputs and other not in dataset.excluded
        ]

    @property
    def rows(self) -> int:
        return sum(len(self.dataset.inputs[day]) for day in self.days)

    @cached_property
    def types(self) -> Mapping[date, Types]:
        days = {*self.days, *(day for day in (self.before, self.day) if day in self.dataset.inputs)}
        return {day: self.dataset.types(day) for day in sorted(days)}

    @cached_property
    def sample(self) -> pd.DataFrame:
        columns = ["day", *drift.watched(self.settings.drift)]
        return self._sampled({day: self.dataset.inputs[day].reindex(columns=columns) for day in self.days})

    @cached_property
    def served(self) -> pd.Series:
        days = [day for day in days_between(self.first, self.day)[:-1] if day not in self.dataset.excluded]
        served = {day: prediction for day in days if (prediction := self._served(day)) is not None}
        return self._sampled({day: pd.DataFrame({"value": column(value)}) for day, value in served.items()})["value"]

    @cached_property
    def labels(self) -> pd.Series:
        labelled, target = set(self.dataset.measured_days(self.day)), self.settings.task.target
        days = [day for day in days_between(self.first_label_day, self.last_label_day) if day in labelled]
        values = {day: self.dataset.labels[day][target].to_numpy(dtype=float) for day in days}
        return self._sampled({day: pd.DataFrame({"value": value}) for day, value in values.items()})["value"]

    def counted(self, day: date, categorical: Mapping[str, bool]) -> Mapping[str, DayColumn] | None:
        return self.dataset.counted(day, categorical) if day in self.dataset.inputs else None

    def _sampled(self, frames: Mapping[date, pd.DataFrame]) -> pd.DataFrame:
        share = self.settings.drift.reference_rows / max(sum(map(len, frames.values())), 1)
        seed = self.settings.fit.seed
        parts = [
            frame if share >= 1 else frame.iloc[drift.drawn_rows(len(frame), day, share=share, seed=seed)]
            for day, frame in frames.items()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"value": np.zeros(0)})

    @property
    def content(self) -> str:
        """Name the inputs of the window."""
        digests = self.dataset.digests
        facts = [digests.get(("inputs", day), "") for day in reversed(days_between(self.first, self.day))]
        return f"{self.day}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Distances:
    """How far columns moved, and by which methods; see `ml.core.monitoring.drift_report.Distances`."""

    scores: Mapping[str, float | None]
    methods: Mapping[str, str]


def drift_on(window: Window, version: int, monitored: Monitored) -> DriftReport:
    """Compare a window with a version's reference; distances of inputs are kept on disk."""
    methods, watched = monitored.settings.drift.methods, drift.watched(monitored.settings.drift)

    def scores(sides: Sides) -> dict[str, float | None]:
        return {column: drift.distance(before, now, methods) for column, (before, now) in sides.items()}

    def measure(sides: Sides, _: Mapping[str, Limit]) -> Distances:
        inputs = {column: pair for column, pair in sides.items() if column in watched}
        stored = monitored.fits.once(
            monitored.folder, layout.backtest.cached_drift(window.content), lambda _: scores(inputs)
        )
        others = scores({column: pair for column, pair in sides.items() if column not in watched})
        named = {column: drift.method(before, methods) for column, (before, _) in sides.items()}
        return Distances({**stored, **others}, named)

    return drift_report.report_on(window, version, monitored.reference, monitored.dependence, measure=measure)[0]
