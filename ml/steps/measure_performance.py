"""Measure what was served on the labels that have arrived, and compare it with what the gate saw."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml.adapters.rows import count_rows, null_counts, sample, share_within, thinned
from ml.core import history, performance
from ml.core.coverage import ServedDay
from ml.core.estimate import Calibration, calibrate, served_by_day
from ml.core.features import days_between, join_labels
from ml.core.served import Promise, Serving
from ml.errors import EvergreenError, Unavailable
from ml.records import Champion, LivePerformance, Logged
from ml.settings import Settings
from ml.steps.champion import judged_version
from ml.wiring import Services

logger = logging.getLogger(__name__)
COLUMNS = ["day", "version", "target", "prediction"]


def run(champion: Champion, *, settings: Settings, services: Services) -> LivePerformance:
    """Measure what was served on the labelled days of the trailing window, whoever served it, and look for decay.

    What is not there (labels, predictions, what the gate saw) is named, and measured as nothing. The day's own
    predictions are not looked at: they may be written at this very moment.
    """
    day = champion.day
    logger.info("measure_performance: %s", day)
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    last = day - timedelta(days=max(settings.task.label_delay_days, 1))
    first = last - timedelta(days=settings.performance.window_days - 1)
    oldest = min(first, last - timedelta(days=settings.land.catch_up_days + 1))  # labels that are missing for good
    versions = _versions(oldest, day - timedelta(days=1), decisions, settings)
    rows, days = _labelled(oldest, first, last, versions, champion, settings, services)
    promised, calibration = _known_of(champion.version, decisions, settings, services)
    others = {int(version) for version in rows["version"].unique()} - {champion.version}
    found = performance.assess(
        day,
        champion.version,
        rows,
        days,
        promised=promised,
        settings=settings,
        calibration=calibration,
        newest=_newest(last, day, versions, champion.version, settings, services) if calibration else None,
        others={version: _seen_by_the_gate(version, decisions, settings, services) for version in sorted(others)},
        serving=_serving(champion, decisions),
    )
    shelf = services.shelf(f"monitor/day={day}")
    by_day = served_by_day(rows, champion.version, calibration, settings)
    shelf.write_text("performance_by_day.csv", by_day.to_csv(index=False))
    shelf.write_json("performance.json", found.model_dump(mode="json"))
    logger.info("measure_performance: %s: %s", found.status, found.reason)
    return found


def _versions(first: date, last: date, decisions: list[Logged], settings: Settings) -> dict[date, int]:
    """Say which version served each day."""
    found = {}
    for day in days_between(first, last):
        reign, _ = history.champion_of(day, decisions, allow_future=settings.score.force_future_model)
        if reign is not None:
            found[day] = reign.version
    return found


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
    key, target = list(settings.task.key), settings.task.target
    measured = [path for day, path in labels.items() if day >= first and day in versions]
    share = share_within(measured, settings.performance.max_rows)
    parts, days = [], []
    for day in sorted(inputs):
        count = None
        if day in labels:
            count = count_rows(labels[day]) - null_counts(labels[day])[target]
        with _served(day, versions.get(day), services) as predictions:
            rows = None if predictions is None else count_rows(predictions)
            if predictions is not None and rows is not None and day in labels:
                predicted = thinned(predictions, list(dict.fromkeys([*key, "day", "prediction"])), key=key, share=share)
                outcome = thinned(labels[day], [*key, target], key=key, share=share)
                positive = settings.task.positive
                joined = join_labels(predicted, outcome, key=key, target=target, positive=positive)
                joined = joined.assign(version=versions[day], target=joined[target].astype(float))
                count = len(joined) if share >= 1 else round(rows * len(joined) / max(len(predicted), 1))
                parts += [joined[COLUMNS]] if day >= first else []
        days.append(ServedDay(day, rows, count))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS), days


@contextmanager
def _served(day: date, version: int | None, services: Services) -> Iterator[Path | None]:
    """Give a local file with what a version served on a day; None if nothing."""
    shelf, name = services.shelf(f"predictions/day={day}"), f"version={version}.parquet"
    if version is None or not shelf.has(name):
        yield None
        return
    with shelf.local(name) as path:
        yield path


def _newest(
    last: date, day: date, versions: dict[date, int], version: int | None, settings: Settings, services: Services
) -> pd.DataFrame | None:
    """Find what the champion served last, from the newest labelled day on and before this one; None if nothing."""
    for each in reversed(days_between(last, day - timedelta(days=1))):
        if versions.get(each) == version:
            with _served(each, version, services) as path:
                if path is not None:
                    return sample(
                        {each: path}, ["prediction"], rows=settings.performance.max_rows, seed=settings.fit.seed
                    )
    return None


def _serving(champion: Champion, decisions: list[Logged]) -> Serving:
    """Read since when days are served, since when by the champion, and what it was trained on."""
    reigns = history.reigns(decisions)
    if not reigns or champion.version is None:
        return Serving()
    reign = history.reign_on(champion.version, champion.day, reigns)
    return Serving(min(each.effective_day for each in reigns), reign.effective_day, reign.window_last_day)


def _known_of(
    version: int | None, decisions: list[Logged], settings: Settings, services: Services
) -> tuple[Promise, Calibration | None]:
    """Read what the gate saw of a version (of the one whose refit it is), and what its scores are worth."""
    if version is None:
        return Promise({}), None
    promised = _seen_by_the_gate(version, decisions, settings, services)
    if settings.task.kind == "regression":
        return promised, None
    out_of_fold = _kept(version, "monitoring/predictions.parquet", services)
    if out_of_fold is None:
        return promised, None
    return promised, calibrate(out_of_fold["prediction"], out_of_fold["target"])


def _seen_by_the_gate(version: int, decisions: list[Logged], settings: Settings, services: Services) -> Promise:
    holdout = _kept(judged_version(version, decisions), "lineage/holdout.parquet", services)
    return Promise({}) if holdout is None else performance.promise(holdout, settings)


def _kept(version: int, name: str, services: Services) -> pd.DataFrame | None:
    """Read a table kept with a version; None if it is not there: older versions kept less."""

    def read(path: Path) -> pd.DataFrame:
        return pd.read_parquet(path)

    try:
        return services.tracking.read_file(version, name, read)
    except Unavailable:
        raise
    except (EvergreenError, OSError) as err:
        logger.warning("measure_performance: version %d has no %s: %s", version, name, err)
        return None
