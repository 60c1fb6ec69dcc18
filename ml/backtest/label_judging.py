"""Keep labels that are in doubt out of what a backtest learns from, as *ingest* does, for all policies alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pandas as pd

from ml.backtest.dataset import PointInTimeDataset
from ml.core.data.label_days import content_of, label_day
from ml.core.data.label_doubt import judge, recent
from ml.core.data.label_parts import label_parts
from ml.core.monitoring import slice_findings
from ml.records import LabelDay, LabelVerdict
from ml.settings import Settings

Predictor = Callable[[pd.DataFrame], np.ndarray]
"""Predicts rows that carry their features."""


@dataclass(eq=False)
class JudgedDataset:
    """A dataset without doubtful labels, and what was found of each day's labels when they came.

    ``confirmed`` are days that waited, and the partition with which they were let in.
    """

    dataset: PointInTimeDataset
    verdicts: dict[date, LabelVerdict] = field(default_factory=dict)
    confirmed: dict[date, date] = field(default_factory=dict)

    @property
    def doubtful(self) -> list[date]:
        """List the days whose labels were in doubt when they came."""
        return [day for day, verdict in sorted(self.verdicts.items()) if verdict.status == "doubtful"]


def judged(
    dataset: PointInTimeDataset,
    settings: Settings,
    *,
    first: date,
    predictor: Callable[[PointInTimeDataset], Predictor | None],
) -> JudgedDataset:
    """Judge labels day by day, as they come, and take out those in doubt until later days confirm them.

    Parameters
    ----------
    dataset
        Not modified.
    first
        The first day that is predicted; earlier labels are judged by their own past alone.
    predictor
        Asked once, when the labels of ``first`` are judged, with all that could be learned from by then. Production
        asks the champion of each day; here one model stands for all policies.
    """
    arrived = dict(dataset.arrived)
    view = replace(dataset, arrived=arrived, kept_out={asset: dict(days) for asset, days in dataset.kept_out.items()})
    view.labelled([])  # joins all labelled days while they are all there
    result = JudgedDataset(view)
    predict: Predictor | None = None
    asked = False
    sums: dict[date, LabelDay] = {}
    waiting: dict[date, LabelDay] = {}
    for partition in sorted(set(dataset.arrived.values())):
        for day in sorted(day for day, came in dataset.arrived.items() if came == partition):
            if day >= first and not asked:
                predict, asked = predictor(_until(view, first)), True
            predicted = None if predict is None or day < first else predict(_rows(view, day, settings))
            outcomes = view.outcomes(day)
            keys = view.inputs[day][[name for name in settings.task.key if name != "day"]]
            parts = label_parts(view.inputs[day], slice_findings.terms(settings), outcomes, predicted, settings.task)
            today = label_day(day, outcomes, predicted, settings.task, content=content_of(keys, outcomes), parts=parts)
            verdict = judge(today, recent(day, sums, settings.labels), (), labels=settings.labels, task=settings.task)
            result.verdicts[day] = verdict
            if verdict.status == "doubtful":
                waiting[day] = today
                del arrived[day]
                _kept_out(view)[day] = partition
            else:
                sums[day] = today
        for day, today in list(waiting.items()):
            all_sums = {**sums, **waiting}
            later = [all_sums[other] for other in sorted(all_sums) if other > day]
            past = recent(day, sums, settings.labels)
            if judge(today, past, later, labels=settings.labels, task=settings.task).status == "confirmed":
                sums[day] = waiting.pop(day)
                arrived[day] = result.confirmed[day] = partition
    return result


def _kept_out(view: PointInTimeDataset) -> dict[date, date]:
    days = view.kept_out["labels"]
    assert isinstance(days, dict)
    return days


def _until(view: PointInTimeDataset, first: date) -> PointInTimeDataset:
    """Return what could be learned from before a day."""
    return replace(view, arrived={day: came for day, came in view.arrived.items() if came < first})


def _rows(view: PointInTimeDataset, day: date, settings: Settings) -> pd.DataFrame:
    rows = view.seen_on(day, settings.features.history)
    if wanted := settings.features.python:
        rows = pd.concat([rows.reset_index(drop=True), view.own_features(day, wanted)], axis=1)
    return rows
