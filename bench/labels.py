"""Measure how soon broken label feeds are found, how many true days are called doubtful, and what a fault still costs.

Labels come with the next day's partition and are judged then (`ml.core.data.label_doubt`), by the code that *ingest*
and the backtest use. From each starting day on the feed is falsified for three days; the model was fitted on all days
up to six weeks before. Damage is the mean loss of its predictions in the fortnight from the start on, against true
outcomes, minus that without the fault: through lagged target means, with labels taken as they come and with doubtful
ones kept out. True days are judged over the whole history. The whole year of flights was looked at to choose
`ml.core.data.label_doubt.DEGREES_OF_FREEDOM` and the rule of the order, so that its figures are optimistic.

    python -m bench.labels [--data flights] [--wheels WHEELS] [--days 3] [--seeds 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from bench.made_histories import HISTORIES, SEVERAL_CLASSES, History, base_of, digest
from bench.real_histories import changes, histories
from ml import settings as settings_module
from ml.backtest import faults
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fault import Fault
from ml.backtest.label_judging import JudgedDataset, Predictor, judged
from ml.core.data.days import days_between
from ml.core.metrics import row_loss
from ml.core.training import parts
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.lagged_means import lookback_days
from ml.settings import Settings
from ml.steps.retrain.pipelines import fit_pipeline

QUARTER = 91
SERVED_BEFORE = 42
"""So many days are predicted before a fault begins."""
WATCHED = 14
STARTS = 5
MADE = ("rentals", "prices")
FEEDS = {
    "classification": (
        "labels all 0", "labels all 1", "labels inverted", "labels shuffled", "labels 1 read as 0 by 0.5",
        "labels inverted by 0.2", "labels 1 read as null by 0.5", "outcome times 1.5",
    ),
    "multiclass": (
        "labels all 1", "labels inverted", "labels shuffled", "labels 0 and 1 swapped", "labels 1 and 2 swapped",
        "labels 0 and 2 swapped",
    ),
    "regression": ("labels all 0", "labels inverted", "labels shuffled", "outcome times 10", "outcome times 1.5"),
}  # fmt: skip

OF_PARTS = {
    "flights": tuple(
        f"labels {what} where {part}"
        for part in ("origin == 'JFK'", "sched_dep_minute >= 1080", "carrier == 'B6'", "carrier == 'AA'")
        for what in ("all 0", "inverted")
    )
}
"""Feeds of a part of a history, tried too."""


@dataclass(frozen=True)
class Outcome:
    """How one fault was judged from one starting day; ``reported`` on its first labelled day."""

    data: str
    fault: str
    start: str
    reported: bool
    kept_out: float
    damage_taken: float
    damage_judged: float


@dataclass(frozen=True)
class TrueDays:
    """How many true days were judged, and which of them were called doubtful, by halves of the history."""

    data: str
    half: int
    days: int
    doubtful: tuple[str, ...]
    confirmed: int

    @property
    def per_quarter(self) -> float:
        return len(self.doubtful) / max(self.days, 1) * QUARTER


def fitted(view: PointInTimeDataset, settings: Settings) -> Predictor:
    """Fit the recipe on all labelled days of a dataset, and return what predicts rows."""
    back = lookback_days(settings.features.history, label_delay_days=settings.task.label_delay_days)
    days = sorted(view.arrived)
    labelled = view.labelled(days)
    first = str(days[0] + timedelta(days=back)) if len(days) > 2 * back else str(days[0])
    own = labelled.loc[labelled["day"] >= first].reset_index(drop=True)
    pipeline = fit_pipeline(parts.with_history(own, labelled, settings, earlier={}, contents=()), settings)
    task = settings.task
    return lambda rows: predict(pipeline, matrix(rows, settings.features), task.kind, len(task.classes))


def falsified(dataset: PointInTimeDataset, fault: Fault, settings: Settings) -> PointInTimeDataset:
    """Return a dataset whose labels come as under a fault."""
    task, labels, digests = settings.task, dict(dataset.labels), dict(dataset.digests)
    for day in days_between(fault.first_day, fault.last_day or max(labels)):
        if day in labels:
            labels[day] = faults.on_labels(fault, labels[day], dataset.inputs[day], key=task.key, target=task.target)
            digests["labels", day] = digest(labels[day])
    return replace(dataset, labels=labels, digests=digests, arrived=dict(dataset.arrived))


def between(dataset: PointInTimeDataset, first: date, last: date) -> PointInTimeDataset:
    """Return the days of a dataset from ``first`` to ``last``."""
    return replace(
        dataset,
        inputs={day: table for day, table in dataset.inputs.items() if first <= day <= last},
        labels={day: table for day, table in dataset.labels.items() if first <= day <= last},
        arrived={day: came for day, came in dataset.arrived.items() if first <= day <= last},
    )


def losses(
    view: PointInTimeDataset, true: PointInTimeDataset, model: Predictor, days: Sequence[date], settings: Settings
) -> float:
    """Return the mean loss on days, predicted from what a view knows, against what truly happened."""
    parts_of = []
    for day in days:
        predicted = model(view.seen_on(day, settings.features.history))
        outcome = true.outcomes(day)
        known = ~np.isnan(outcome)
        parts_of.append(row_loss(outcome[known], predicted[known], settings.gate.metric))
    mean = float(np.concatenate(parts_of).mean())
    return float(np.sqrt(mean)) if settings.gate.metric == "rmse" else mean


def fault_outcomes(
    history: History, dataset: PointInTimeDataset, settings: Settings, length: int, feeds: Sequence[str]
) -> Iterator[Outcome]:
    """Try every feed fault from each starting day."""
    back = lookback_days(settings.features.history, label_delay_days=1)
    first_start = max(history.first, history.oldest + timedelta(days=99))
    every = ((history.last - timedelta(days=WATCHED)) - first_start).days // (STARTS - 1)
    for number in range(STARTS):
        start = first_start + timedelta(days=every * number)
        served = start - timedelta(days=SERVED_BEFORE)
        model = fitted(between(dataset, history.oldest, served - timedelta(days=1)), settings)
        days = days_between(start, start + timedelta(days=WATCHED - 1))
        first = served - timedelta(days=max(back, settings.labels.recent_days))
        near = between(dataset, max(first, history.oldest), days[-1])

        def always(_: PointInTimeDataset, model: Predictor = model) -> Predictor:
            return model

        true_loss = losses(near, near, model, days, settings)
        for what in feeds:
            fault = faults.parse(f"{what} from {start} to {start + timedelta(days=length - 1)}")
            broken = falsified(near, fault, settings)
            result = judged(broken, settings, first=served, predictor=always)
            affected = days_between(start, start + timedelta(days=length - 1))
            truth = broken if fault.outcome is not None else near
            base = true_loss if truth is near else losses(broken, truth, model, days, settings)
            yield Outcome(
                history.name,
                what,
                str(start),
                result.verdicts[start].status == "doubtful",
                float(
                    np.mean([result.verdicts[day].status == "doubtful" for day in affected if day in result.verdicts])
                ),
                losses(broken, truth, model, days, settings) - base,
                losses(result.dataset, truth, model, days, settings) - base,
            )


def true_days(history: History, dataset: PointInTimeDataset, settings: Settings) -> list[TrueDays]:
    """Judge all true days of a history, with a model that was fitted before the first day that is served."""
    result: JudgedDataset = judged(
        dataset, settings, first=history.first, predictor=lambda view: fitted(view, settings)
    )
    days = sorted(day for day, verdict in result.verdicts.items() if verdict.status != "unjudged")
    found = []
    for half, part in enumerate((days[: len(days) // 2], days[len(days) // 2 :]), start=1):
        doubtful = [day for day in result.doubtful if day in set(part)]
        for day in doubtful:
            sys.stderr.write(f"{history.name}: {day}: {'; '.join(result.verdicts[day].reasons)}\n")
        confirmed = sum(day in result.confirmed for day in doubtful)
        found.append(TrueDays(history.name, half, len(part), tuple(map(str, doubtful)), confirmed))
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(HISTORIES))
    parser.add_argument("--wheels", type=Path, help="a folder with the packages of bench.real_histories")
    parser.add_argument("--faults", nargs="+", help="only these of the catalogue, such as 'labels inverted'")
    parser.add_argument("--days", type=int, default=3, help="days that a fault lasts")
    parser.add_argument("--seeds", type=int, default=1, help="made histories of each kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    known = {**HISTORIES, **SEVERAL_CLASSES}
    if options.wheels:
        known |= {**histories(options.wheels), "changes": changes(options.wheels)}
    if unknown := set(options.data) - set(known):
        raise SystemExit(f"no such data: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    outcomes: list[Outcome] = []
    quiet: list[TrueDays] = []
    for name in options.data:
        history = known[name]
        settings = settings_module.parse({**base_of(history), "labels": {"judge": True}})
        for seed in range(1, 1 + (options.seeds if name in MADE else 1)):
            dataset = history.dataset(seed)
            quiet += true_days(history, dataset, settings)
            feeds = options.faults or (*FEEDS[settings.task.kind], *OF_PARTS.get(name, ()))
            outcomes += fault_outcomes(history, dataset, settings, options.days, feeds)
    if options.json:
        print(json.dumps({"faults": [asdict(one) for one in outcomes], "true": [asdict(one) for one in quiet]}))
        return 0
    print(f"Faults of {options.days} days; reported: on the first labelled day")
    table = pd.DataFrame([asdict(one) for one in outcomes]).groupby(["data", "fault"], sort=False)
    lines = table.agg(
        starts=("start", "size"), reported=("reported", "sum"), kept_out=("kept_out", "mean"),
        taken=("damage_taken", "mean"), taken_worst=("damage_taken", "max"),
        judged=("damage_judged", "mean"), judged_worst=("damage_judged", "max"),
    )  # fmt: skip
    print(lines.round(4).to_string())
    print("\nTrue days")
    facts = [{**asdict(one), "doubtful": len(one.doubtful), "a quarter": round(one.per_quarter, 2)} for one in quiet]
    print(pd.DataFrame(facts).groupby(["data", "half"]).sum(numeric_only=True).drop(columns="a quarter").assign(
        a_quarter=lambda found: (found["doubtful"] / found["days"] * QUARTER).round(2)
    ).to_string())  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
