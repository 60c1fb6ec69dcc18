"""Measure how soon a shift of all outcomes is found, and how often one is called where there is none.

On each history a champion every four weeks, fitted on all days up to the one before last; from each starting day on
the outcomes of a fortnight are changed (what lagged target means make of it included) and the champion is kept. Found
is the first labelled day on which `ml.core.monitoring.outcome_shifts` calls a shift. Calls while nothing changes: the
true days in order (not without change, and nobody knows which call is false), and their weeks in many orders.

``flights`` are shown by halves: streams, steps and limit were chosen on the first half of them and on ``rentals`` and
``prices``, which are made. The second half and the real histories of ``--wheels`` were in view meanwhile, and decided
nothing but that the steps suit them too.

    python -m bench.outcome_shifts [--data flights rentals prices] [--wheels WHEELS] [--orders 100]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from bench.made_histories import HISTORIES, History, base_of
from bench.real_histories import histories
from ml import settings as settings_module
from ml.backtest import faults
from ml.core.monitoring import outcome_shifts
from ml.core.monitoring.outcome_shifts import MOST, STEPS, STREAMS, day_shift, limit_of, standardised_shifts
from ml.core.monitoring.slice_changes import LASTING_DAYS, MEMORY_DAYS, MIN_TRAILING_DAYS, TRAILING_DAYS, evidence
from ml.core.training.estimators import predict
from ml.core.training.features import join_labels, matrix
from ml.core.training.lagged_means import add_history
from ml.settings import Settings
from ml.steps.retrain.pipelines import fit_pipeline

MIN_ROWS, QUARTER, WEEK, TENURE, CHANGED_DAYS, STARTS = 20, 91, 7, 28, 14, 28
HALVES = {"flights": date(2013, 8, 1)}
CHANGES: Mapping[str, int] = {"outcome times 1.5": 5, "labels inverted": 2, "labels shuffled": 5}
"""What is changed, and the labelled days within which it is to be found."""


@dataclass(frozen=True)
class Served:
    """A history as it was served: its tables, its champions by their first day, and the streams of its true days."""

    name: str
    settings: Settings
    inputs: pd.DataFrame
    labels: pd.DataFrame
    champions: Mapping[date, Pipeline]
    streams: pd.DataFrame

    def rows(self, labels: pd.DataFrame, first: date, last: date) -> pd.DataFrame:
        """Join inputs and labels of days, with lagged target means."""
        task = self.settings.task
        between = [frame.loc[frame["day"].between(str(first), str(last))] for frame in (self.inputs, labels)]
        rows = join_labels(*between, key=task.key, target=task.target)
        return _with_history(rows, self.settings)

    def measured(self, rows: pd.DataFrame, champion: Pipeline) -> pd.DataFrame:
        """Return the streams of days as a champion would have served them."""
        return streams(rows.assign(prediction=_predicted(champion, rows, self.settings)), self.settings)


def _with_history(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    task = settings.task
    return add_history(
        rows, rows, settings.features.history, target=task.target, label_delay_days=task.label_delay_days
    )


def _predicted(champion: Pipeline, rows: pd.DataFrame, settings: Settings) -> np.ndarray:
    return np.asarray(predict(champion, matrix(rows, settings.features), settings.task.kind), dtype=float)


def streams(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Measure each day; of shape (n_days, n_streams), by day."""
    rows = rows.assign(target=rows[settings.task.target].astype(float))
    found = {str(day): day_shift(part, settings.task.kind, min_rows=MIN_ROWS) for day, part in rows.groupby("day")}
    return pd.DataFrame.from_dict(found, orient="index").reindex(columns=list(STREAMS))


def serve(history: History) -> Served:
    """Fit a champion every four weeks, and measure what each served."""
    settings, days = settings_module.parse(base_of(history)), history.days(1)
    inputs, labels = (pd.concat([days[day][part] for day in sorted(days)], ignore_index=True) for part in (0, 1))
    task = settings.task
    rows = _with_history(join_labels(inputs, labels, key=task.key, target=task.target), settings)
    champions, parts, first = {}, [], history.first
    while first <= history.last:
        champions[first] = fit_pipeline(rows.loc[rows["day"] < str(first - timedelta(days=1))], settings)
        tenure = rows.loc[rows["day"].between(str(first), str(first + timedelta(days=TENURE - 1)))]
        if len(tenure):
            parts.append(tenure.assign(prediction=_predicted(champions[first], tenure, settings)))
        first += timedelta(days=TENURE)
    return Served(history.name, settings, inputs, labels, champions, streams(pd.concat(parts), settings))


def trials(served: Served, *, limit: float) -> Iterator[dict[str, object]]:
    """Try each change from each starting day."""
    known = [date.fromisoformat(str(day)) for day in served.streams.index]
    first, last = known[0] + timedelta(days=TRAILING_DAYS), known[-1] - timedelta(days=CHANGED_DAYS - 1)
    every = max(WEEK + 1, (last - first).days // (STARTS - 1))
    task, back = served.settings.task, timedelta(days=60)
    for start in (first + timedelta(days=every * number) for number in range(STARTS)):
        if start > last:
            return
        champion = served.champions[max(day for day in served.champions if day <= start)]
        end = start + timedelta(days=CHANGED_DAYS - 1)
        for change, within in CHANGES.items():
            fault = faults.parse(f"{change} from {start} to {end}")
            labels = faults.on_labels(fault, served.labels, served.inputs, key=task.key, target=task.target)
            rows = served.rows(labels, start - back, end)
            new = served.measured(rows.loc[rows["day"] >= str(start)], champion)
            before = served.streams.loc[served.streams.index < str(start)]
            both = pd.concat([before, new]).tail(TRAILING_DAYS + MEMORY_DAYS)
            called = calls(standardised_shifts(both, task.kind, newest=MEMORY_DAYS), limit=limit)[-len(new) :]
            found = int(called.argmax()) + 1 if called.any() else None
            yield {"change": change, "start": start, "within": within, "found": found}


def calls(standardised: pd.DataFrame, *, limit: float) -> np.ndarray:
    """Return on which days a shift is called."""
    total = evidence(standardised, limit=limit, steps=STEPS, most=MOST)["total"]
    return np.asarray(total >= limit, dtype=bool)


def episodes(called: np.ndarray) -> int:
    """Count calls, and none while one that was called before still counts as present."""
    return sum(bool(now) and not called[max(0, at - LASTING_DAYS) : at].any() for at, now in enumerate(called))


def shuffles(standardised: pd.DataFrame, *, limit: float, orders: int, seed: int) -> tuple[int, float]:
    """Count episodes, and quarters, of weeks in many orders."""
    chance, whole = np.random.default_rng(seed), len(standardised) // WEEK
    count = 0
    for _ in range(orders):
        order = (chance.permutation(whole)[:, None] * WEEK + np.arange(WEEK)).ravel()
        count += episodes(calls(standardised.iloc[order], limit=limit))
    return count, orders * whole * WEEK / QUARTER


def rate(count: int, quarters: float) -> str:
    """Write a rate a quarter with its upper 95 % bound (Poisson, exact)."""
    upper = float(stats.chi2.ppf(0.95, 2 * (count + 1))) / 2 / quarters
    return f"{count / quarters:.2f} a quarter (upper 95 % bound {upper:.2f}; {count} in {quarters:.1f} quarters)"


def report(served: Served, *, limit: float, orders: int) -> Iterator[str]:
    """Say of a history, or of each half of it, what is found and what is called without change."""
    standardised = standardised_shifts(served.streams, served.settings.task.kind).iloc[MIN_TRAILING_DAYS:]
    tried = pd.DataFrame(trials(served, limit=limit))
    half = HALVES.get(served.name)
    spans = [(date.min, date.max)] if half is None else [(date.min, half), (half, date.max)]
    for first, last in spans:
        name = served.name if half is None else f"{served.name} {'before' if last == half else 'from'} {half}"
        part = standardised.loc[(standardised.index >= str(first)) & (standardised.index < str(last))]
        yield f"{name}: true days: {rate(episodes(calls(part, limit=limit)), len(part) / QUARTER)}"
        yield f"  weeks shuffled: {rate(*shuffles(part, limit=limit, orders=orders, seed=1))}"
        for change, group in tried.loc[(tried["start"] >= first) & (tried["start"] < last)].groupby(
            "change", sort=False
        ):
            found = group["found"].fillna(99)
            hits = "; ".join(
                f"{(found <= days).sum()} within {days}" for days in sorted({group["within"].iloc[0], 5, 10})
            )
            yield f"  {change}: of {len(group)} starts {hits}; median day {found.median():.0f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", help="all that are known, if none is named")
    parser.add_argument("--wheels", type=Path, help="a folder with the packages of bench.real_histories")
    parser.add_argument("--declared", type=float, default=1.0, help="false alarms a quarter")
    parser.add_argument("--orders", type=int, default=100, help="orders of the weeks")
    asked = parser.parse_args(argv)
    known = {**HISTORIES, **(histories(asked.wheels) if asked.wheels else {})}
    unknown = set(asked.data or ()) - set(known)
    if unknown:
        raise SystemExit(f"no such data: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    limit = limit_of(asked.declared)
    print(f"declared {asked.declared:g} a quarter: limit {limit:.0f} ({outcome_shifts.DEPENDENCE:g} times the days)")
    for name in asked.data or known:
        for line in report(serve(known[name]), limit=limit, orders=asked.orders):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
