"""Find out how soon drift monitoring finds each fault of the inputs, and what the fault costs.

Real days of 2013. From each starting day on, the inputs (or the outcomes) of two weeks are falsified
(`ml.backtest.faults`); the champion was fitted by the recipe of ``params.yaml`` on all days up to a fortnight before.
Found is only what the true data of the same days do not show: a structural column beyond its limit, or a column of the
environment that the champion depends on far beyond it, on k of the newest n days, or a finding at once
(`ml.core.monitoring.structural_faults`, `ml.core.monitoring.value_ranges`), counts as alarm; these, or any column
beyond its limit, as reported. Damage is the mean log loss of the champion's predictions under the fault minus that
without it. Contracts, which refuse a day before, are not asked here.

Beside it the share of days that Evidently's defaults flag on daily batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from bench.evidently_defaults import SHARE
from bench.false_alarms import HELD_BACK, Counts, Stretch
from bench.refit import fit_before, rows_of_2013
from ml.adapters.sources.demo import FIRST_DAY, LAST_DAY, DemoSource
from ml.backtest import faults
from ml.backtest.fault import Fault
from ml.core.data.days import days_between
from ml.core.metrics import row_loss
from ml.core.monitoring import day_columns, structural_faults, value_ranges
from ml.core.monitoring import drift as drift_module
from ml.core.monitoring.day_blocks import DailyCounts, count_all
from ml.core.monitoring.limits import alarms, limits_from
from ml.core.training.estimators import predict
from ml.core.training.features import join_labels, matrix
from ml.core.training.importance import measure_importance
from ml.core.training.lagged_means import add_history, lookback_days
from ml.settings import Drift, Settings

FIRST_START = date(2013, 4, 10)
WATCHED_DAYS = 14
FEED = "temp,dewp,humid,wind_speed,precip,pressure,visib"
FAULTS = (
    "sched_dep_minute shifted by 300 minutes",
    "clock_minutes in hours",
    "distance in km",
    "temp in C",
    "wind_speed in m/s",
    "visib in km",
    f"{FEED} stuck by origin",
    f"{FEED} null",
    "carrier EV missing",
    "origin JFK missing",
    "carrier US recoded AA",
    "carrier * recoded unknown",
    "day duplicated",
    "outcome times 2 where sched_dep_minute >= 1080",
)


@dataclass(frozen=True)
class Scene:
    """What stands before a fault begins: a champion, its reference, and the true days around the start."""

    start: date
    settings: Settings
    pipeline: Pipeline
    reference: pd.DataFrame
    inputs: pd.DataFrame
    labels: pd.DataFrame
    profiles: Mapping[str, day_columns.ColumnProfile]
    dependence: Mapping[str, tuple[float | None, bool | None]]

    @property
    def matters(self) -> Mapping[str, bool | None]:
        """Return whether the champion depends on each column."""
        return {column: matters for column, (_, matters) in self.dependence.items()}

    @property
    def drift(self) -> Drift:
        """Return what is declared."""
        return self.settings.drift

    @property
    def days(self) -> list[date]:
        """List the days that are watched."""
        return days_between(self.start, self.start + timedelta(days=WATCHED_DAYS - 1))


@dataclass(frozen=True)
class Seen:
    """What monitoring and the defaults see of the watched days; arrays by day.

    ``over`` says which column is beyond its limit, ``gross`` which of the environment that the champion depends on is
    far beyond it, ``loud`` and ``reported`` name the findings at once: those that
    alarm, and all; ``far`` which columns Evidently's default distance calls drifted on the day's batch;
    ``losses`` are the champion's by row, under the row's number in the true data.
    """

    over: Mapping[str, np.ndarray]
    gross: Mapping[str, np.ndarray]
    loud: tuple[frozenset[str], ...]
    reported: tuple[frozenset[str], ...]
    far: Mapping[str, np.ndarray]
    losses: pd.Series


@dataclass(frozen=True)
class Outcome:
    """How one fault was found from one starting day; days count from 1, None means not within two weeks."""

    fault: str
    start: str
    alarm_day: int | None
    reported_day: int | None
    damage: float
    any_structural: float
    share_of_columns: float


def scenes(settings: Settings, *, starts: int, every: int) -> Iterator[Scene]:
    """Set up each starting day."""
    source, declared = DemoSource(replay=False), settings.drift
    year = days_between(FIRST_DAY, LAST_DAY)
    inputs = pd.concat([source.inputs(day) for day in year], ignore_index=True)
    labels = pd.concat([source.labels(day) for day in year], ignore_index=True)
    rows = rows_of_2013(settings)
    back = lookback_days(settings.features.history, label_delay_days=settings.task.label_delay_days)
    columns = drift_module.watched(declared)
    for number in range(starts):
        start = FIRST_START + timedelta(days=every * number)
        end = start + timedelta(days=WATCHED_DAYS - 1)
        if end > LAST_DAY:
            raise SystemExit(
                f"start {number + 1}, {start}, leaves no two weeks of 2013; ask for fewer or closer starts"
            )
        trained = start - timedelta(days=HELD_BACK)
        first = (start - timedelta(days=max(back, HELD_BACK) + 1)).isoformat()
        reference = inputs.loc[inputs["day"] < trained.isoformat(), ["day", *columns]]
        pipeline = fit_before(rows, trained, settings)
        held = rows.loc[rows["day"].between(trained.isoformat(), (start - timedelta(days=1)).isoformat())]
        near_inputs, near_labels = (
            frame.loc[frame["day"].between(first, end.isoformat())] for frame in (inputs, labels)
        )
        profiles = day_columns.profile(reference, columns, declared)
        dependence = _dependence(pipeline, held, settings)
        yield Scene(start, settings, pipeline, reference, near_inputs, near_labels, profiles, dependence)


def _dependence(
    pipeline: Pipeline, held: pd.DataFrame, settings: Settings
) -> dict[str, tuple[float | None, bool | None]]:
    target = held[settings.task.target]
    found = measure_importance(
        pipeline,
        matrix(held, settings.features),
        target,
        kind=settings.task.kind,
        metric=settings.gate.metric,
        seed=settings.fit.seed,
    )
    importance = {one["feature"]: one["increase"] for one in found.facts()["features"]}
    columns = drift_module.watched(settings.drift)
    return drift_module.importance_share(columns, settings.features, importance)


def look(scene: Scene, fault: Fault | None, counted: dict[str, DailyCounts]) -> Seen:
    """See the watched days under a fault (None: as they truly were).

    Parameters
    ----------
    counted
        Columns' counts of reference and true days, for those that the fault leaves alone; filled without a fault.
    """
    declared, columns = scene.drift, drift_module.watched(scene.drift)
    arrived = faults.on_inputs(fault, scene.inputs) if fault else scene.inputs
    touched = [] if fault and fault.on_labels else columns
    if fault and fault.columns and len(arrived) == len(scene.inputs):
        touched = [column for column in fault.columns if column in columns]
    known = scene.reference["day"].nunique()
    lead = declared.window_days - 1 + declared.alarm_days[1]
    first = (scene.start - timedelta(days=lead)).isoformat()
    stretch = arrived.loc[arrived["day"] >= first, ["day", *columns]]
    both = pd.concat([scene.reference, stretch], ignore_index=True)
    counts = {**counted, **count_all(both, touched, declared.methods)}
    if fault is None:
        counted.update(counts)
    watch = Stretch(_part(counts, slice(None, known)), _part(counts, slice(known, None)), declared.window_days, 0)
    limits = limits_from(watch.block_distances, known, declared)
    loud, reported = _at_once(scene, arrived)
    return Seen(
        over={column: watch.scores[column] > limits[column].limit for column in limits},
        gross={
            column: watch.scores[column] >= drift_module.GROSS_MOVE * limits[column].limit
            for column in declared.environment
            if column in limits and scene.matters.get(column)
        },
        loud=loud,
        reported=reported,
        far={column: far[declared.alarm_days[1] :] for column, far in watch.far.items()},
        losses=_losses(scene, fault),
    )


def _part(counts: Mapping[str, DailyCounts], days: slice) -> Counts:
    return {column: replace(one, counts=one.counts[days]) for column, one in counts.items()}


def _at_once(scene: Scene, arrived: pd.DataFrame) -> tuple[tuple[frozenset[str], ...], tuple[frozenset[str], ...]]:
    """Name the columns with findings on each day: those that alarm, and all."""
    loud, reported = [], []
    before: dict[str, day_columns.DayColumn] | None = None
    for day in [scene.start - timedelta(days=1), *scene.days]:
        rows = arrived.loc[arrived["day"] == day.isoformat()]
        today = {
            column: day_columns.count(rows[column], categorical=one.categorical)
            for column, one in scene.profiles.items()
        }
        found = structural_faults.structural_faults(
            day, today, scene.profiles, scene.drift, scene.matters, yesterday=before
        )
        known = {column: scene.reference[column] for column in scene.profiles}
        found += value_ranges.out_of_range(day, rows, known, scene.drift, scene.dependence)
        loud.append(frozenset(f"{one.kind} {one.column}" for one in found if one.severity == "alarm"))
        reported.append(frozenset(f"{one.kind} {one.column}" for one in found))
        before = today
    return tuple(loud[1:]), tuple(reported[1:])


def _losses(scene: Scene, fault: Fault | None) -> pd.Series:
    """Return the champion's loss on each labelled row of the watched days, by the row's number in the true data.

    Outcomes are joined before the inputs are falsified, so that a fault in the key does not hide what it costs.
    """
    settings, labels = scene.settings, scene.labels
    task = settings.task
    if fault is not None:
        labels = faults.on_labels(fault, labels, scene.inputs, key=task.key, target=task.target)
    rows = join_labels(scene.inputs, labels, key=task.key, target=task.target)
    rows = rows.assign(row_number=np.arange(len(rows)))
    rows = faults.on_inputs(fault, rows) if fault else rows
    rows = add_history(
        rows, rows, settings.features.history, target=task.target, label_delay_days=task.label_delay_days
    )
    rows = rows.loc[rows["day"] >= scene.start.isoformat()]
    prediction = predict(scene.pipeline, matrix(rows, settings.features), task.kind)
    return pd.Series(row_loss(rows[task.target], prediction, settings.gate.metric), index=rows["row_number"])


def judge(scene: Scene, fault: Fault, seen: Seen, true: Seen) -> Outcome:
    """Return when a fault was found that the true days do not show, and what it costs on the rows that it leaves."""
    declared = scene.drift
    new = {column: over & ~true.over[column] for column, over in seen.over.items()}
    structural = np.sum([new[column] for column in declared.structural], axis=0) >= declared.min_drifted_columns
    far_off = [over & ~true.gross[column] for column, over in seen.gross.items() if column in true.gross]
    moved = np.any([structural, *far_off], axis=0)
    raised = alarms(moved, declared.alarm_days)[declared.alarm_days[1] :]
    shown = np.any(list(new.values()), axis=0)[declared.alarm_days[1] :]
    loud = np.array([bool(now - before) for now, before in zip(seen.loud, true.loud, strict=True)])
    reported = np.array([bool(now - before) for now, before in zip(seen.reported, true.reported, strict=True)])
    every = np.array([seen.far[column] for column in drift_module.watched(declared)])
    own = np.array([seen.far[column] for column in declared.structural])
    damage = seen.losses.to_numpy() - true.losses.reindex(seen.losses.index).to_numpy()
    return Outcome(
        fault=fault.text.split(" from ")[0],
        start=scene.start.isoformat(),
        alarm_day=_first(raised | loud),
        reported_day=_first(raised | loud | shown | reported),
        damage=float(damage.mean()),
        any_structural=float(own.any(axis=0).mean()),
        share_of_columns=float((every.mean(axis=0) >= SHARE).mean()),
    )


def _first(days: np.ndarray) -> int | None:
    return int(np.argmax(days)) + 1 if days.any() else None


def outcomes(scene: Scene) -> Iterator[Outcome]:
    """Try every fault from one starting day; the first line is that without any."""
    counted: dict[str, DailyCounts] = {}
    true = look(scene, None, counted)
    quiet = replace(true, over={column: np.zeros_like(over) for column, over in true.over.items()})
    quiet = replace(quiet, gross={column: np.zeros_like(far) for column, far in true.gross.items()})
    quiet = replace(quiet, loud=(frozenset(),) * WATCHED_DAYS, reported=(frozenset(),) * WATCHED_DAYS)
    none = Fault("nothing", "nothing", (), scene.start, None)
    yield judge(scene, none, true, quiet)
    for what in FAULTS:
        fault = faults.parse(f"{what} from {scene.start}")
        yield judge(scene, fault, look(scene, fault, counted), true)
