"""Find out by which finding, and how soon, faults of labels and changed concepts are detected.

A champion is fitted on all days up to the one before last when each tenure of four weeks begins. From each starting day
on the labels of a fortnight are falsified, or of three days where the fault says so, and the champion is kept. Labels
come with the next day's partition and are judged then (``label_doubt``); those that are let in feed lagged target
means, and are looked at as a whole (``outcome_shift``) and in parts (``slice_change``). A fault of three days is
detected within a fortnight or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from bench.labels import between, falsified, fitted
from bench.made_histories import History, base_of
from ml import settings as settings_module
from ml.backtest import faults
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.label_judging import Predictor, judged
from ml.core.data.days import days_between
from ml.core.monitoring import outcome_shifts, slice_changes, slice_findings
from ml.core.monitoring.slice_changes import MEMORY_DAYS, TRAILING_DAYS, evidence, standardise
from ml.core.predictions import column
from ml.core.training.lagged_means import lookback_days
from ml.settings import Settings

TENURE, WATCHED, SERVED_BEFORE = 28, 14, 42
FINDINGS = ("label_doubt", "outcome_shift", "slice_change")
FAULTS: Mapping[str, Mapping[str, int]] = {
    "flights": {
        "labels all 0 for 3 days": 3,
        "labels inverted for 3 days": 3,
        "labels all 0": WATCHED,
        "labels inverted": WATCHED,
        "outcome times 1.5": WATCHED,
        "outcome times 2 where sched_dep_minute >= 1080": WATCHED,
        "outcome times 2 where carrier == 'B6'": WATCHED,
        "labels 1 read as 0 by 0.5": WATCHED,
        "labels 1 read as null by 0.5": WATCHED,
        "labels inverted by 0.2": WATCHED,
        "labels shuffled": WATCHED,
    }
}
OF_ANY = {
    "labels inverted for 3 days": 3,
    "labels inverted": WATCHED,
    "outcome times 1.5": WATCHED,
    "labels shuffled": WATCHED,
}


@dataclass(frozen=True)
class Detection:
    """On which labelled day, counted from 1, each finding first detected a fault; None within a fortnight."""

    data: str
    fault: str
    start: str
    label_doubt: int | None
    outcome_shift: int | None
    slice_change: int | None

    @property
    def first(self) -> int | None:
        """Return the first day on which anything detected it."""
        days = [day for name in FINDINGS if (day := getattr(self, name)) is not None]
        return min(days) if days else None


@dataclass(frozen=True)
class Scene:
    """A history as its champions served it: what each predicts, and the scores of its true days."""

    history: History
    settings: Settings
    dataset: PointInTimeDataset
    champions: Mapping[date, Predictor]
    scores: Mapping[date, Mapping[str, float]]

    def champion_of(self, day: date) -> Predictor:
        """Return the champion that serves a day."""
        return self.champions[max(first for first in self.champions if first <= day)]


def scene(history: History) -> Scene:
    """Fit a champion every four weeks, and measure what it served."""
    settings = settings_module.parse({**base_of(history), "labels": {"judge": True}})
    dataset, champions, scores = history.dataset(1), {}, {}
    for day in days_between(history.first, history.last):
        if (day - history.first).days % TENURE == 0:
            champions[day] = fitted(between(dataset, history.oldest, day - timedelta(days=2)), settings)
            champion = champions[day]
        if day in dataset.arrived:
            scores[day] = scores_on(dataset, day, champion, settings)
    return Scene(history, settings, dataset, champions, scores)


def scores_on(dataset: PointInTimeDataset, day: date, champion: Predictor, settings: Settings) -> dict[str, float]:
    """Measure a labelled day as it would have been served."""
    rows = dataset.seen_on(day, settings.features.history)
    rows = rows.assign(target=dataset.outcomes(day), prediction=column(champion(rows)))
    return slice_findings.scores_of(rows, settings)


def trials(made: Scene, *, starts: int) -> Iterator[Detection]:
    """Try each fault from each starting day."""
    first = made.history.first + timedelta(days=TRAILING_DAYS)
    every = (made.history.last - timedelta(days=WATCHED) - first).days // max(starts - 1, 1)
    for start in (first + timedelta(days=every * number) for number in range(starts)):
        for text, length in FAULTS.get(made.history.name, OF_ANY).items():
            yield detection_of(made, text, start, length)


def detection_of(made: Scene, text: str, start: date, length: int) -> Detection:
    """Find when a fault is detected by each finding."""
    settings, champion = made.settings, made.champion_of(start)
    what, last = text.partition(" for ")[0], start + timedelta(days=WATCHED - 1)
    fault = faults.parse(f"{what} from {start} to {start + timedelta(days=length - 1)}")
    back = lookback_days(settings.features.history, label_delay_days=1)
    served = start - timedelta(days=SERVED_BEFORE)
    oldest = max(made.history.oldest, served - timedelta(days=max(back, settings.labels.recent_days)))
    broken = falsified(between(made.dataset, oldest, last), fault, settings)
    result = judged(broken, settings, first=served, predictor=lambda _: champion)
    days = days_between(start, last)
    doubted = [day for day in days if result.verdicts[day].status == "doubtful"]
    let_in = [day for day in days if day in result.dataset.arrived]
    new = {day: scores_on(result.dataset, day, champion, settings) for day in let_in}
    before = {day: scores for day, scores in made.scores.items() if day < start}
    table = _table({**before, **new}).tail(TRAILING_DAYS + MEMORY_DAYS)
    return Detection(
        made.history.name,
        text,
        str(start),
        (doubted[0] - start).days + 1 if doubted else None,
        _first(_shifts(table, settings), let_in, start),
        _first(_slices(table, settings), let_in, start),
    )


def _table(scores: Mapping[date, Mapping[str, float]]) -> pd.DataFrame:
    measured = {str(day): dict(streams) for day, streams in sorted(scores.items()) if streams}
    return pd.DataFrame.from_dict(measured, orient="index", dtype=float)


def _shifts(table: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return on which days a shift is called."""
    streams = table.reindex(columns=list(outcome_shifts.STREAMS))
    limit = outcome_shifts.limit_of(settings.performance.shift_false_alarms_per_quarter)
    measured = outcome_shifts.standardised_shifts(streams, settings.task.kind, newest=MEMORY_DAYS).tail(MEMORY_DAYS)
    total = evidence(measured, limit=limit, steps=outcome_shifts.STEPS, most=outcome_shifts.MOST)["total"]
    return total >= limit


def _slices(table: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return on which days a change of a slice is called."""
    limit = slice_findings.QUARTER / settings.performance.slice_false_alarms_per_quarter
    table = table.drop(columns=list(outcome_shifts.STREAMS), errors="ignore")
    measured = standardise(table, newest=slice_changes.MEMORY_DAYS).tail(MEMORY_DAYS)
    return evidence(measured, limit=limit)["total"] >= limit


def _first(called: pd.Series, days: list[date], start: date) -> int | None:
    found = [day for day in days if bool(called.get(str(day), False))]
    return (found[0] - start).days + 1 if found else None


def table(found: list[Detection]) -> str:
    """Lay each fault out over its starting days: how often it was detected, on which median day, by which finding."""
    lines = []
    for (data, fault), group in pd.DataFrame([{**vars(one), "first": one.first} for one in found]).groupby(
        ["data", "fault"], sort=False
    ):
        line: dict[str, object] = {"data": data, "fault": fault, "starts": len(group)}
        for name in ("first", *FINDINGS):
            days = group[name].dropna().astype(float)
            line[name] = f"{len(days)} (day {np.median(days):.0f})" if len(days) else "0"
            if name == "first":
                line["within 2"], line["within 5"] = int((days <= 2).sum()), int((days <= 5).sum())
        lines.append(line)
    return str(pd.DataFrame(lines).rename(columns={"first": "detected"}).to_string(index=False))
