"""Measure how far the newest days have moved from what the champion knew, and what broke on the newest of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.adapters import day_samples, layout, monitoring_files, request_parts, rows
from ml.adapters.column_types import types_in
from ml.adapters.drift_page import with_summary
from ml.champions.recorded_settings import has_other_classes, settings_of
from ml.core.champions import tenures
from ml.core.data.days import days_between, left_out
from ml.core.data.schema import Types
from ml.core.data.targets import coded
from ml.core.monitoring import drift
from ml.core.monitoring.day_columns import DayColumn
from ml.core.monitoring.distributions import distributions
from ml.core.monitoring.drift_report import Dependence, Sides, Window, report_on
from ml.core.predictions import PREDICTION, RAW, gathered, names
from ml.records import Champion, DriftReport, Finding, Limit
from ml.settings import Drift, Settings
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.drift import Measured

logger = logging.getLogger(__name__)
IMPORTANCE = "card/importance.json"


class _Window(Window):
    """The window of a day in the data registry and the storage, as of the champion's data version."""

    def __init__(self, champion: Champion, version: int, settings: Settings, services: Services) -> None:
        super().__init__(champion.day, settings)
        self.champion, self.version, self.services = champion, version, services

    @cached_property
    def _opened(self) -> Mapping[date, Path]:
        """Open the inputs of the window, and of the two days before the newest one."""
        first = min(self.first, self.before - (self.day - self.before))
        return self.services.registry.open("inputs", rev=self.champion.data_version, first_day=first, last_day=self.day)

    @cached_property
    def excluded(self) -> Collection[date]:
        """Return the days that are not to be learned from: the window is measured without them."""
        return self.services.registry.excluded_days(self.champion.data_version or None).keys()

    @cached_property
    def files(self) -> dict[date, Path]:
        """Open the inputs of the window."""
        return {day: path for day, path in self._opened.items() if day >= self.first and day not in self.excluded}

    @cached_property
    def rows(self) -> int:
        return sum(map(rows.count_rows, self.files.values()))

    @cached_property
    def types(self) -> dict[date, Types]:
        return {day: types_in(path) for day, path in self._opened.items()}

    @cached_property
    def sample(self) -> pd.DataFrame:
        return self._sampled(self.files, drift.watched(self.settings.drift))

    @cached_property
    def served(self) -> pd.Series:
        """Read what the champion itself predicted; the predictions of the day itself may be under way."""
        name = layout.scoring.version_table(self.version)
        with ExitStack() as stack:
            files = {}
            for day in days_between(self.first, self.day)[:-1]:
                stored = self.services.storage_folder(layout.scoring.predictions(day))
                if day not in self.excluded and stored.has(name):
                    files[day] = stack.enter_context(stored.local(name))
            predictions = self._sampled(files, [*names(self.settings.task), RAW])
        if self.settings.task.classes:
            return gathered(predictions, self.settings.task)[PREDICTION]
        served = predictions["raw_prediction"].where(predictions["raw_prediction"].notna(), predictions["prediction"])
        return served.astype("float64")

    @cached_property
    def labels(self) -> pd.Series:
        task = self.settings.task
        files = self.services.registry.open(
            "labels",
            rev=self.champion.data_version,
            first_day=self.first_label_day,
            last_day=self.last_label_day,
            may_be_empty=True,
        )
        files = {day: path for day, path in files.items() if day not in self.excluded}
        return coded(self._sampled(files, [task.target])[task.target], task.positive, task.classes).astype("float64")

    def counted(self, day: date, categorical: Mapping[str, bool]) -> Mapping[str, DayColumn] | None:
        if day not in self._opened:
            return None
        return day_samples.count_day(self._opened[day], categorical, engine=self.services.engine)

    def _sampled(self, files: Mapping[date, Path], columns: list[str]) -> pd.DataFrame:
        most, seed = self.settings.drift.reference_rows, self.settings.fit.seed
        return day_samples.sample(files, columns, rows=most, seed=seed, engine=self.services.engine)


class _Requested(_Window):
    """The rows that were predicted over HTTP, of each key the newest, up to the day before the monitored one."""

    def __init__(
        self, champion: Champion, version: int, settings: Settings, services: Services, *, folder: Path
    ) -> None:
        before = champion.day - timedelta(days=settings.land.every_days)
        super().__init__(champion.model_copy(update={"day": before}), version, settings, services)
        self.folder = folder

    @cached_property
    def _opened(self) -> Mapping[date, Path]:
        storage, task, columns = self.services.storage, self.settings.task, drift.watched(self.settings.drift)
        files = {}
        for day in days_between(min(self.first, self.before), self.day):
            if parts := storage.list(layout.serving.requests(day)):
                path = self.folder / f"{day}.parquet"
                wanted = {"day", *columns, *names(task)}
                request_parts.write_rows(map(storage.get_bytes, parts), task.key, wanted, path)
                files[day] = path
        return files

    @property
    def absent(self) -> set[str]:
        """Return the watched columns that no request holds, since the model does not read them."""
        held = {column for types in self.types.values() for column in types}
        return set(drift.watched(self.settings.drift)) - held

    @cached_property
    def served(self) -> pd.Series:
        """Read what the champion itself answered."""
        task = self.settings.task
        answers = self._sampled(self.files, [*names(task), request_parts.VERSION])
        answers = answers[answers[request_parts.VERSION] == self.version]
        return gathered(answers, task)[PREDICTION] if task.classes else answers[PREDICTION].astype("float64")


def run(champion: Champion, *, settings: Settings, services: Services) -> DriftReport:
    """Compare the trailing window with the champion's reference and keep Evidently's report.

    Evidently sees a bounded, seeded sample of either side; the newest day is counted row by row. See
    `ml.core.monitoring.drift_report.report_on`.
    """
    logger.info("measure_drift: %s against version %s", champion.day, champion.version)
    if champion.version is None:
        return _unknown(champion, champion.reason)
    version, day = champion.version, champion.day
    reference = services.tracking.read_file(version, "monitoring", monitoring_files.read)
    if has_other_classes(version, settings, services):
        reference = replace(reference, predictions=None)
    stored = services.storage_folder(layout.monitoring.day_dir(day))
    window = batch = _Window(champion, version, settings, services)
    compared: dict[str, Any] = {}

    def measured_by_evidently(sides: Sides, limits: Mapping[str, Limit]) -> Measured:
        compared.update(distributions(sides))
        return _by_evidently(sides, limits, settings.drift)

    with TemporaryDirectory(prefix="evergreen-requests-") as folder:
        if settings.drift.rows_from == "requests":
            window = requested = _Requested(champion, version, settings, services, folder=Path(folder))
            reference = reference.without(requested.absent)
        report, measured = report_on(
            window,
            version,
            reference,
            _dependence(version, settings, services),
            measure=measured_by_evidently,
            more=_missing_predictions(batch),
        )
    facts = {"day": day, "result_uri": stored.uri(layout.monitoring.drift_result(version))}
    facts["reason"] = report.reason + left_out(days_between(window.first, window.day), window.excluded)
    if measured is not None:
        html = with_summary(measured.html, *_summary(champion, report, settings), report.columns)
        facts["report_uri"] = stored.write_text(layout.monitoring.drift_report(version), html)
        stored.write_json(layout.monitoring.distributions(version), compared)
    report = report.model_copy(update=facts)
    result = measured.result if measured is not None else {}
    stored.write_json(layout.monitoring.drift_result(version), {**report.model_dump(mode="json"), "evidently": result})
    logger.info("measure_drift: %s: %s", report.status, report.reason)
    return report


def _summary(champion: Champion, report: DriftReport, settings: Settings) -> tuple[str, list[str]]:
    """Return the title of the day's page, and what it says first."""
    first = report.current_first_day
    window = f"{first} to {champion.day}" if first and first != champion.day else str(champion.day)
    compared = (
        f"Compared: {report.current_rows:,} rows of {window} with the reference of version {champion.version}. A "
        "column moved when its distance is above its limit, which follows from how far blocks of days inside the "
        "reference are apart. Predictions that moved are a warning, and so is an environment column, unless it moved "
        f"{drift.GROSS_MOVE:g} times beyond its limit and the champion depends on it."
    )
    lines = [f"{report.status.capitalize()}: {report.reason}.", compared]
    return f"Drift of {settings.task.name} on {champion.day}", lines


def _by_evidently(sides: Sides, limits: Mapping[str, Limit], declared: Drift) -> Measured:
    from ml.adapters import drift as evidently

    roles = dict.fromkeys(declared.structural, "structural") | dict.fromkeys(declared.environment, "environment")
    before, now = (
        pd.DataFrame({column: pair[side].reset_index(drop=True) for column, pair in sides.items()}) for side in (0, 1)
    )
    return evidently.measure(before, now, limits, methods=declared.methods, roles=roles, loud=declared.structural)


def _dependence(version: int, settings: Settings, services: Services) -> Dependence:
    """Read how much a version depends on each column; without its importances only what is no feature is known."""
    importance: dict[str, float] | None = None
    if services.tracking.has_file(version, IMPORTANCE):
        card = services.tracking.read_file(
            version, IMPORTANCE, lambda path: json.loads(path.read_text(encoding="utf-8"))
        )
        importance = {entry["feature"]: float(entry["increase"]) for entry in card["features"]}
    return drift.importance_share(drift.watched(settings.drift), settings_of(version, services).features, importance)


def _missing_predictions(window: _Window) -> tuple[Finding, ...]:
    """Find days before this one that a champion should have scored, and nobody has."""
    services, settings = window.services, window.settings
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    missing = []
    for day in (day for day in window.files if day < window.day):
        tenure, _ = tenures.champion_of(day, decisions, allow_future=settings.score.force_future_model)
        if tenure is None or tenure.effective_day > day:
            continue
        served = services.storage_folder(layout.scoring.predictions(day)).names()
        if not any(name.endswith(".parquet") for name in served):
            missing.append(day)
    if not missing:
        return ()
    listed = ", ".join(map(str, missing))
    return (
        Finding(
            kind="missing_predictions",
            severity="warning",
            message=f"no predictions were served for {listed}, although a champion was in force: run 'score' for each",
        ),
    )


def _unknown(champion: Champion, reason: str) -> DriftReport:
    logger.info("measure_drift: unknown: %s", reason)
    return DriftReport(day=champion.day, status="unknown", champion_version=champion.version, reason=reason)
