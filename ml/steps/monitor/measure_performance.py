"""Measure what was served on the labels that have arrived, and compare it with what the gate saw."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pandas as pd

from ml.adapters import layout
from ml.adapters.day_samples import sample
from ml.adapters.rows import count_rows, null_counts, sampled, sampling_share
from ml.champions import recorded_models
from ml.champions.recorded_settings import has_other_classes
from ml.core.champions import tenures
from ml.core.champions.tenures import judged_version
from ml.core.data.days import days_between, left_out
from ml.core.monitoring import interval_coverage, performance
from ml.core.monitoring.estimated_performance import estimate, served_by_day
from ml.core.monitoring.label_coverage import ServedDay
from ml.core.monitoring.served import ExpectedPerformance
from ml.core.monitoring.slice_findings import with_changes
from ml.core.predictions import gathered, names
from ml.core.training.features import join_labels
from ml.errors import EvergreenError, Unavailable
from ml.names import LOWER, UPPER
from ml.records import Champion, IntervalWidth, LivePerformance, Logged
from ml.settings import Settings
from ml.steps.monitor.slice_days import first_day, scores_by_day
from ml.wiring import Services

logger = logging.getLogger(__name__)
COLUMNS = ["day", "version", "target", "prediction"]
ENDS = [LOWER, UPPER]
"""What is read of published predictions beside them: the ends of their intervals, if they have any."""


def run(champion: Champion, *, settings: Settings, services: Services) -> LivePerformance:
    """Measure what was served on the labelled days of the trailing window, whoever served it, and look for decay.

    What is not there (labels, predictions, what the gate saw) is named, and measured as nothing. The day's own
    predictions are not looked at: they may be written at this very moment.
    """
    day = champion.day
    logger.info("measure_performance: %s", day)
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    oldest, first, last = performance.days_of(day, settings)
    versions = _versions(min(oldest, first_day(day, settings)), day - timedelta(days=1), decisions, settings)
    excluded = services.registry.excluded_days(champion.data_version or None).keys()
    rows, served = _labelled(oldest, first, last, versions, champion, settings, services)
    rows = rows.loc[~rows["day"].isin([excluded_day.isoformat() for excluded_day in excluded])]

    @cache
    def out_of_fold(version: int | None) -> pd.DataFrame | None:
        return _out_of_fold(version, settings, services)

    reference = out_of_fold(champion.version)
    newest = None if reference is None else _newest(last, day, versions, champion.version, settings, services)
    expected = estimate(reference, rows.loc[rows["version"] == champion.version], newest, settings)
    report = performance.report_on(
        champion,
        rows,
        served,
        decisions,
        expected_of=lambda version: _seen_by_the_gate(version, out_of_fold(version), decisions, settings, services),
        settings=settings,
        estimate=expected,
    )
    report = report.model_copy(update={"reason": report.reason + left_out(days_between(first, last), excluded)})
    measured = {served_day: version for served_day, version in versions.items() if served_day not in excluded}
    report = with_changes(report, scores_by_day(champion, measured, settings=settings, services=services), settings)
    stored = services.storage_folder(layout.monitoring.day_dir(day))
    by_day = served_by_day(rows, champion.version, expected.by_day, settings)
    stored.write_text(layout.monitoring.PERFORMANCE_BY_DAY, by_day.to_csv(index=False))
    stored.write_json(layout.monitoring.PERFORMANCE, report.model_dump(mode="json"))
    logger.info("measure_performance: %s: %s", report.status, report.reason)
    return report


def _versions(first: date, last: date, decisions: list[Logged], settings: Settings) -> dict[date, int]:
    """Return which version served each day."""
    versions = {}
    for day in days_between(first, last):
        tenure, _ = tenures.champion_of(day, decisions, allow_future=settings.score.force_future_model)
        if tenure is not None:
            versions[day] = tenure.version
    return versions


def _labelled(
    oldest: date,
    first: date,
    last: date,
    versions: dict[date, int],
    champion: Champion,
    settings: Settings,
    services: Services,
) -> tuple[pd.DataFrame, list[ServedDay]]:
    """Join what was served from ``first`` on with its labels, and count what of either is there from ``oldest`` on."""
    inputs, labels = (
        services.registry.open(asset, rev=champion.data_version, first_day=oldest, last_day=last, may_be_empty=True)
        for asset in ("inputs", "labels")
    )
    task, key, target = settings.task, list(settings.task.key), settings.task.target
    measured = [path for day, path in labels.items() if day >= first and day in versions]
    share = sampling_share(measured, settings.performance.max_rows)
    parts, days = [], []
    for day in sorted(inputs):
        count = None
        if day in labels:
            count = count_rows(labels[day]) - null_counts(labels[day])[target]
        with _served(day, versions.get(day), services) as predictions:
            rows = None if predictions is None else count_rows(predictions)
            if predictions is not None and rows is not None and day in labels:
                columns = list(dict.fromkeys([*key, "day", *names(task), *ENDS]))
                predicted = sampled(predictions, columns, key=key, share=share)
                outcome = sampled(labels[day], [*key, target], key=key, share=share)
                joined = join_labels(
                    gathered(predicted, task),
                    outcome,
                    key=key,
                    target=target,
                    positive=task.positive,
                    classes=task.classes,
                )
                joined = joined.assign(version=versions[day], target=joined[target].astype(float))
                joined = interval_coverage.with_covered(joined)
                count = len(joined) if share >= 1 else round(rows * len(joined) / max(len(predicted), 1))
                columns = [name for name in (*COLUMNS, interval_coverage.COVERED) if name in joined]
                parts += [joined[columns]] if day >= first else []
        days.append(ServedDay(day, rows, count))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS), days


@contextmanager
def _served(day: date, version: int | None, services: Services) -> Iterator[Path | None]:
    """Return a local file with what a version served on a day; None if nothing."""
    stored, name = services.storage_folder(layout.scoring.predictions(day)), layout.scoring.version_table(version)
    if version is None or not stored.has(name):
        yield None
        return
    with stored.local(name) as path:
        yield path


def _newest(
    last: date, day: date, versions: dict[date, int], version: int | None, settings: Settings, services: Services
) -> pd.DataFrame | None:
    """Find what the champion served last, from the newest labelled day on and before this one; None if nothing."""
    for earlier_day in reversed(days_between(last, day - timedelta(days=1))):
        if versions.get(earlier_day) == version:
            with _served(earlier_day, version, services) as path:
                if path is not None:
                    columns, most = list(names(settings.task)), settings.performance.max_rows
                    drawn = sample(
                        {earlier_day: path}, columns, rows=most, seed=settings.fit.seed, engine=services.engine
                    )
                    return gathered(drawn, settings.task)
    return None


def _out_of_fold(version: int | None, settings: Settings, services: Services) -> pd.DataFrame | None:
    """Read what a version predicted of days that it was not fitted on; None where that is not known."""
    if version is None or has_other_classes(version, settings, services):
        return None
    return _kept(version, "monitoring/predictions.parquet", services)


def _seen_by_the_gate(
    version: int, reference: pd.DataFrame | None, decisions: list[Logged], settings: Settings, services: Services
) -> ExpectedPerformance:
    if has_other_classes(version, settings, services):
        return ExpectedPerformance({})
    judged = judged_version(version, decisions)
    holdout = _kept(judged, "lineage/holdout.parquet", services)
    if holdout is None:
        return ExpectedPerformance({})
    return performance.expected(holdout, settings, interval=_interval(version, settings, services), reference=reference)


def _interval(version: int, settings: Settings, services: Services) -> IntervalWidth | None:
    """Read how wide the prediction intervals of a version are; None if it has none, or none that is recorded."""
    if settings.task.kind != "regression":
        return None
    try:
        return recorded_models.recorded(version, services).interval
    except Unavailable:
        raise
    except EvergreenError as err:
        logger.warning("measure_performance: nothing is known of the intervals of version %d: %s", version, err)
        return None


def _kept(version: int, name: str, services: Services) -> pd.DataFrame | None:
    """Read a table kept with a version; None if it is not there, which is logged."""

    def read(path: Path) -> pd.DataFrame:
        return pd.read_parquet(path)

    try:
        return services.tracking.read_file(version, name, read)
    except Unavailable:
        raise
    except (EvergreenError, OSError) as err:
        logger.warning("measure_performance: version %d has no %s: %s", version, name, err)
        return None
