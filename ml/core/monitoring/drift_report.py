"""Build a day's drift report: what broke on the day, and how far the window has moved from the reference.

Monitoring and the backtest both call `report_on`. How rows are read, and by what distances are measured, is theirs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol, TypeVar

import pandas as pd

from ml.core.data.schema import NULL, Kind, Types, kind_of_values
from ml.core.monitoring import day_columns, drift, limits, structural_faults, value_ranges
from ml.core.monitoring.change_words import change_in_words
from ml.core.monitoring.day_columns import ColumnProfile, DayColumn
from ml.core.monitoring.drift import Role
from ml.core.predictions import compared_labels, compared_predictions
from ml.records import DriftReport, Finding, Limit
from ml.settings import Drift, Settings

Sides = Mapping[str, tuple[pd.Series, pd.Series]]
"""By column, the values of the reference and those of the window."""
Dependence = Mapping[str, tuple[float | None, bool | None]]
"""What `ml.core.monitoring.drift.leaning` returns: by column, its importance and whether it matters."""


@dataclass(frozen=True)
class Reference:
    """What is kept with a version for monitoring: a sample of its training rows, their days, and what follows.

    ``predictions`` (``day``, ``prediction``, ``target``; out of fold and of the holdout) is None for versions that were
    registered without.
    """

    sample: pd.DataFrame
    limits: dict[str, Limit]
    profiles: dict[str, ColumnProfile]
    predictions: pd.DataFrame | None

    @property
    def rows_by_day(self) -> tuple[int, ...]:
        """Return the rows of each day of the reference; empty where no column is watched."""
        return next((profile.rows for profile in self.profiles.values()), ())

    @property
    def last_labelled_day(self) -> str:
        """Return the last day whose labels it was trained or judged on; the end of time if that is not reference."""
        if self.predictions is None or self.predictions.empty:
            return date.max.isoformat()
        return str(self.predictions["day"].max())

    def without(self, columns: set[str]) -> Reference:
        """Return the reference without the limits and profiles of some columns."""
        return replace(
            self,
            limits={column: limit for column, limit in self.limits.items() if column not in columns},
            profiles={column: profile for column, profile in self.profiles.items() if column not in columns},
        )


def reference_of(
    train: pd.DataFrame, predictions: pd.DataFrame, settings: Settings, *, alarm_days: Collection[date] = ()
) -> Reference:
    """Build what monitoring compares with, out of the rows that a version was fitted on.

    Parameters
    ----------
    train : DataFrame of shape (n_rows, n_columns)
        With ``day`` and every watched column; not modified.
    predictions
        What `ml.steps.retrain.out_of_fold` made.
    alarm_days
        Days on which an alarm of drift stood: they stay in the sample, which is what the version knows, and no limit is
        learned from them, or it would grow until the fault is within it. Where too few other days are left, all count.
    """
    declared = settings.drift
    columns = drift.watched(declared)
    rows = train[["day", *columns]]
    in_alarm = {day.isoformat() for day in alarm_days}
    calm, calm_predictions = (frame[~frame["day"].isin(in_alarm)] for frame in (rows, predictions))
    if calm["day"].nunique() < limits.MIN_BLOCKS * declared.window_days or calm_predictions.empty:
        calm, calm_predictions = rows, predictions
    return Reference(
        sample=drift.sample_days(rows, rows=declared.reference_rows, seed=settings.fit.seed),
        limits=limits.limits_of(calm, declared) | limits.own_limits(calm_predictions, declared, settings.task),
        profiles=day_columns.profile(rows, columns, declared, every_days=settings.land.every_days),
        predictions=predictions,
    )


class Window(ABC):
    """The days that a report is about; whoever reads their rows in its own way derives from this.

    Parameters
    ----------
    day
        The newest day, on which every row is counted.
    settings
        Those of the monitor, not of the version.
    """

    def __init__(self, day: date, settings: Settings) -> None:
        delay = timedelta(days=settings.task.label_delay_days)
        self.day, self.settings = day, settings
        self.first = day - timedelta(days=settings.land.calendar_days(settings.drift.window_days) - 1)
        self.before = day - timedelta(days=settings.land.every_days)
        self.first_label_day, self.last_label_day = self.first - delay, day - delay

    @property
    @abstractmethod
    def rows(self) -> int:
        """Return how many rows the window has."""

    @property
    @abstractmethod
    def types(self) -> Mapping[date, Types]:
        """Return the types of the columns by day, the day before the newest among them."""

    @property
    @abstractmethod
    def sample(self) -> pd.DataFrame:
        """Return ``day`` and the watched columns of no more than ``drift.reference_rows`` rows."""

    @property
    @abstractmethod
    def served(self) -> pd.Series:
        """Return what the version itself predicted on the days before the newest one, of likewise many rows."""

    @property
    @abstractmethod
    def labels(self) -> pd.Series:
        """Return the labels from ``first_label_day`` to ``last_label_day``, of likewise many rows."""

    @abstractmethod
    def counted(self, day: date, categorical: Mapping[str, bool]) -> Mapping[str, DayColumn] | None:
        """Count every row of a day, column by column; None if the day is not there."""


class Distances(Protocol):
    """How far columns moved: scores (None if it cannot be computed) and the methods that gave them."""

    @property
    def scores(self) -> Mapping[str, float | None]: ...

    @property
    def methods(self) -> Mapping[str, str]: ...


Measured = TypeVar("Measured", bound=Distances)


def report_on(
    window: Window,
    version: int,
    reference: Reference,
    dependence: Dependence,
    *,
    measure: Callable[[Sides, Mapping[str, Limit]], Measured],
    more: tuple[Finding, ...] = (),
) -> tuple[DriftReport, Measured | None]:
    """Compare a window with the reference of a version, and count its newest day.

    What cannot be measured is ``unknown``, with the reason: never drift, and never calm. What broke on the newest day
    is drift all the same.

    Parameters
    ----------
    measure
        Measures how far each column moved, given both sides and the limits; not called if there are too few rows.
    more
        Further findings of the day.

    Returns
    -------
    tuple of DriftReport and what ``measure`` returned, None if it was not called
    """
    declared = window.settings.drift
    kinds = {
        column: kind_of_values(reference.sample[column]) for column in reference.limits if column in reference.sample
    }
    matters = {column: worth for column, (_, worth) in dependence.items()}
    retyped = structural_faults.type_changes(window.day, window.types, kinds, declared, matters)
    comparable = reference.without({finding.column for finding in retyped if finding.column})
    day_findings = (
        *retyped,
        *_faults_of_day(window, comparable, matters),
        *_out_of_range(window, comparable, dependence),
    )
    day_findings += more
    day_findings += drift.never_measured(declared, reference.rows_by_day)
    report = DriftReport(
        day=window.day,
        champion_version=version,
        current_first_day=window.first,
        current_rows=len(window.sample),
        status="unknown",
        reason="",
        findings=day_findings,
    )
    few = drift.too_few_rows(window.rows, window.first, window.day, declared, reference.rows_by_day)
    if few is not None:
        return _with_what_broke(report.model_copy(update={"reason": few})), None
    sides, also = _sides(window, comparable, _of_one_kind(window.sample, window.types, kinds))
    measured = measure(sides, {column: comparable.limits[column] for column in sides})
    changed = {column: change_in_words(*pair) for column, pair in sides.items()}
    columns = drift.judge(
        measured.scores,
        measured.methods,
        comparable.limits,
        declared,
        importance_shares=dependence,
        changed=changed,
        also=also,
    )
    status, reason = drift.verdict(columns, declared)
    are_new = window.first_label_day.isoformat() > comparable.last_labelled_day
    moved = drift.drift_findings(columns, declared, labels_are_new=are_new)
    facts = {"status": status, "reason": reason, "columns": columns, "findings": (*day_findings, *moved)}
    return _with_what_broke(report.model_copy(update=facts)), measured


def _with_what_broke(report: DriftReport) -> DriftReport:
    """Let what broke on the day speak first."""
    broke = [finding.message for finding in report.findings if finding.at_once and finding.severity == "alarm"]
    if not broke:
        return report
    reasons = [report.reason, *broke] if report.status == "drift" else [*broke, report.reason]
    return report.model_copy(update={"status": "drift", "reason": "; ".join(reasons)})


def _of_one_kind(current: pd.DataFrame, types: Mapping[date, Types], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Leave out what some days of the window hold in a column of another kind than the reference."""
    for column, kind in kinds.items():
        odd = [str(day) for day, held in types.items() if structural_faults.is_other_kind(held.get(column, NULL), kind)]
        if column in current and current["day"].isin(odd).any():
            values = current[column].mask(current["day"].isin(odd))
            current = current.assign(**{column: pd.to_numeric(values) if kind == "number" else values})
    return current


def _sides(window: Window, reference: Reference, current: pd.DataFrame) -> tuple[Sides, Mapping[Role, list[str]]]:
    """Return both sides of each column that has a limit, and of predictions and labels, with the names of these.

    Of too few predictions or labels there is nothing to compare: they read as unknown.
    """
    declared = window.settings.drift
    sides = {
        column: (reference.sample[column], current[column])
        for column in drift.watched(declared)
        if column in reference.limits and column in reference.sample
    }
    if reference.predictions is None or reference.predictions.empty:
        return sides, {}
    task = window.settings.task
    before = drift.sample_days(reference.predictions, rows=declared.reference_rows, seed=window.settings.fit.seed)
    expected, served = (compared_predictions(side, task) for side in (before["prediction"], window.served))
    pairs = [(name, expected[name], served[name]) for name in expected]
    pairs.append((drift.LABEL, compared_labels(before["target"], task), compared_labels(window.labels, task)))
    least = drift.fewest_rows(declared, reference.rows_by_day)
    sides |= {name: (old, new) for name, old, new in pairs if name in reference.limits and new.notna().sum() >= least}
    return sides, {"prediction": list(expected), "label": [drift.LABEL]}


def _faults_of_day(window: Window, reference: Reference, matters: Mapping[str, bool | None]) -> tuple[Finding, ...]:
    """Compare every row of the newest day with how the days of the reference were."""
    declared: Drift = window.settings.drift
    profiles = {
        column: reference.profiles[column] for column in drift.watched(declared) if column in reference.profiles
    }
    categorical = {column: profile.categorical for column, profile in profiles.items()}
    today = window.counted(window.day, categorical)
    if today is None:
        return ()
    yesterday = window.counted(window.before, categorical)
    earlier = window.counted(window.before - (window.day - window.before), categorical)
    return structural_faults.structural_faults(
        window.day, today, profiles, declared, matters=matters, yesterday=yesterday, earlier=earlier
    )


def _out_of_range(window: Window, reference: Reference, dependence: Dependence) -> tuple[Finding, ...]:
    """Compare the values of the newest day, as far as they are sampled, with all that the reference ever held."""
    declared, current = window.settings.drift, window.sample
    today = current.loc[current["day"] == window.day.isoformat()]
    columns = [column for column in drift.watched(declared) if column in reference.limits and column in today]
    before = {column: reference.sample[column] for column in columns if column in reference.sample}
    return value_ranges.out_of_range(window.day, today, before, declared, dependence)
