"""Let predictions meet the labels that have arrived, and measure how they did."""

from __future__ import annotations

import logging
from datetime import timedelta

import pandas as pd

from ml.core import history, metrics
from ml.core.features import join_labels
from ml.records import Champion, LivePerformance
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> LivePerformance:
    """Measure the predictions that were served for the newest day whose labels are due.

    What is not there (labels, predictions) is named, and measured as nothing.
    """
    day = champion.day
    labelled_day = day - timedelta(days=settings.task.label_delay_days)
    logger.info("measure_performance: %s", labelled_day)
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    served, _ = history.champion_of(labelled_day, decisions, allow_future=settings.score.force_future_model)
    name = f"version={served.version}.parquet" if served else ""
    shelf = services.shelf(f"predictions/day={labelled_day}")
    labels = services.registry.open("labels", rev=champion.data_version, first_day=labelled_day, last_day=labelled_day)
    if labelled_day not in labels:
        return _nothing(champion, f"the labels of {labelled_day} have not arrived")
    if served is None or not shelf.has(name):
        return _nothing(champion, f"no predictions were served for {labelled_day}")
    joined = join_labels(
        shelf.read_table(name),
        pd.read_parquet(labels[labelled_day]),
        key=settings.task.key,
        target=settings.task.target,
    )
    found = metrics.measure(joined[settings.task.target], joined["prediction"], settings.task.kind)
    performance = LivePerformance(
        day=day,
        labelled_day=labelled_day,
        rows=len(joined),
        metrics={key: round(value, 6) for key, value in found.items()},
        reason=f"version {served.version} on {len(joined)} labelled rows",
    )
    facts = performance.model_dump(mode="json") | {"version": served.version}
    services.shelf(f"monitor/day={day}").write_json("performance.json", facts)
    logger.info("measure_performance: %s", performance.metrics)
    return performance


def _nothing(champion: Champion, reason: str) -> LivePerformance:
    logger.info("measure_performance: %s", reason)
    return LivePerformance(day=champion.day, labelled_day=None, rows=0, metrics={}, reason=reason)
