"""Measure what was answered on request, of the request log, on the labels that have arrived."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters import layout, request_parts
from ml.adapters.rows import sampled, sampling_share
from ml.core.data.days import days_between
from ml.core.monitoring import performance, requested
from ml.core.predictions import gathered, names
from ml.core.training.features import join_labels
from ml.records import Champion, RequestPerformance
from ml.settings import Settings
from ml.steps.monitor import split_days
from ml.wiring import Services

logger = logging.getLogger(__name__)
COLUMNS = ["day", "version", "target", "prediction"]


def run(champion: Champion, *, settings: Settings, services: Services) -> RequestPerformance:
    """Measure the answers on the labelled days of the trailing window, by the version that gave them.

    Where a challenger is asked beside the champion, all days of the two are weighed, and its split ends if it does
    worse beyond noise.
    """
    day = champion.day
    logger.info("measure_requests: %s", day)
    _, first, last = performance.days_of(day, settings)
    labels = services.registry.open(
        "labels", rev=champion.data_version, first_day=first, last_day=last, may_be_empty=True
    )
    excluded = services.registry.excluded_days(champion.data_version or None)
    labels = {labelled_day: path for labelled_day, path in labels.items() if labelled_day not in excluded}
    share = sampling_share(labels.values(), settings.performance.max_rows)
    asked, parts = 0, []
    for labelled_day in days_between(first, last):
        answers = first_answers(labelled_day, settings, services, share=share) if labelled_day in labels else None
        if answers is None:
            continue
        asked += len(answers)
        answered = with_outcomes(answers, labels[labelled_day], settings, share=share)
        split_days.keep(labelled_day, answered, settings, services)
        parts.append(answered[COLUMNS])
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    report = requested.report_on(day, first, last, rows, asked=asked, settings=settings)
    stored, name = services.storage_folder(layout.serving.REQUEST_PERFORMANCE), layout.days.day_json(day)
    splits = split_days.weigh(champion.version, last, settings, services, excluded=excluded)
    report = report.model_copy(update={"result_uri": stored.uri(name), "splits": splits})
    stored.write_json(name, report.model_dump(mode="json"))
    logger.info("measure_requests: %s", report.reason)
    return report


def first_answers(day: date, settings: Settings, services: Services, *, share: float) -> pd.DataFrame | None:
    """Read of each key of a day its first answer, of a share of all keys; None if nothing was asked.

    Returns
    -------
    DataFrame of shape (n_keys, n_columns)
        The key, ``day``, ``version`` and ``prediction``, and what else of `request_parts.ANSWER` the log holds.
    """
    task, storage = settings.task, services.storage
    parts = storage.list(layout.serving.requests(day))
    if not parts:
        return None
    answers = request_parts.answers(map(storage.get_bytes, parts), task.key, names(task), share=share)
    first = requested.first_answers(answers, task.key)
    return gathered(first, task).assign(day=day.isoformat(), version=first[request_parts.VERSION])


def with_outcomes(answers: pd.DataFrame, labels: Path, settings: Settings, *, share: float) -> pd.DataFrame:
    """Join answers with the labels of their day; those without one are left out."""
    task = settings.task
    outcome = sampled(labels, [*task.key, task.target], key=task.key, share=share)
    joined = join_labels(
        answers, outcome, key=task.key, target=task.target, positive=task.positive, classes=task.classes
    )
    return joined.assign(target=joined[task.target].astype(float))
