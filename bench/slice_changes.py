"""Measure how soon changes in a part of the data are found by slice, and how often one is called where there is none.

Real days of 2013 and the recipe of ``params.yaml``: a champion every four weeks from 15 February on, fitted on all
days up to a fortnight before it serves. From each starting day on, the labels of three weeks are changed (what the
lagged target means make of it included) and the champion is kept. Found is the first labelled day on which
`ml.core.monitoring.slice_changes` calls a change. ``control`` changes nothing: what is found there is there.

Calls while nothing changes: the true year in order (not without change, and nobody knows which call is false), its
weeks shuffled, and simulated days, independent and autocorrelated. Starts from August on are shown apart, but the
constants were chosen with the whole year in view: all figures are optimistic.

    python -m bench.slice_changes [--limit 91] [--orders 100]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from bench.refit import PARAMS, fit_before, rows_of_2013
from ml import settings as settings_module
from ml.backtest import faults
from ml.core.monitoring.slice_changes import LASTING_DAYS, MIN_TRAILING_DAYS, evidence, standardise
from ml.core.monitoring.slice_streams import day_streams
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.lagged_means import add_history
from ml.settings import Settings

BY = ("carrier", "origin", "sched_dep_minute >= 1080")
MIN_ROWS, QUARTER, WEEK = 20, 91, 7
FIRST_CHAMPION, FIRST_START, CHANGED_DAYS, BEFORE = date(2013, 2, 15), date(2013, 5, 1), 21, 40
JUDGED_FROM = date(2013, 8, 1)
FAULTS: Mapping[str, tuple[str, int]] = {
    "evening doubled": ("outcome times 2 where sched_dep_minute >= 1080", 7),
    "B6 doubled": ("", 14),
    "UA doubled": ("", 14),
    "control": ("", 14),
}


def streams(rows: pd.DataFrame) -> pd.DataFrame:
    """Measure each day's streams; of shape (n_days, n_streams), by day."""
    found = {
        str(day): day_streams(part, "classification", BY, {}, min_rows=MIN_ROWS) for day, part in rows.groupby("day")
    }
    return pd.DataFrame.from_dict(found, orient="index", dtype=float)


def champions(rows: pd.DataFrame, settings: Settings) -> dict[date, Pipeline]:
    """Fit a champion every four weeks."""
    days = [FIRST_CHAMPION + timedelta(days=28 * number) for number in range(12)]
    return {
        day: fit_before(rows, day - timedelta(days=14), settings) for day in days if day.year == FIRST_CHAMPION.year
    }


def served(rows: pd.DataFrame, fitted: Mapping[date, Pipeline], settings: Settings) -> pd.DataFrame:
    """Return what each day's champion predicted of it."""
    parts = []
    for number, (day, pipeline) in enumerate(fitted.items()):
        end = [*fitted, date(2014, 1, 1)][number + 1]
        part = rows.loc[(rows["day"] >= day.isoformat()) & (rows["day"] < end.isoformat())]
        parts.append(_scored(part, pipeline, settings))
    return pd.concat(parts, ignore_index=True)


def _scored(rows: pd.DataFrame, pipeline: Pipeline, settings: Settings) -> pd.DataFrame:
    prediction = predict(pipeline, matrix(rows, settings.features), settings.task.kind)
    return rows.assign(prediction=prediction, target=rows[settings.task.target])


def changed(rows: pd.DataFrame, name: str, start: date, settings: Settings) -> pd.DataFrame:
    """Change the labels of the days from ``start`` on."""
    target, key = settings.task.target, list(settings.task.key)
    if FAULTS[name][0]:
        fault = faults.parse(f"{FAULTS[name][0]} from {start}")
        labels = faults.on_labels(fault, rows[[*key, target]], rows, key=key, target=target)
        return rows.assign(**{target: labels[target].to_numpy()})
    chance, values = np.random.default_rng(start.toordinal()), rows[target].to_numpy(dtype=float, copy=True)
    for day in sorted(set(rows.loc[rows["day"] >= start.isoformat(), "day"])):
        at = np.flatnonzero((rows["day"] == day).to_numpy())
        if name.endswith("doubled"):
            own = at[(rows["carrier"].to_numpy()[at] == name.removesuffix(" doubled"))]
            late = int(values[own].sum())
            values[chance.permutation(own[values[own] == 0])[:late]] = 1
    return rows.assign(**{target: values})


def trials(
    rows: pd.DataFrame, true: pd.DataFrame, fitted: Mapping[date, Pipeline], *, limit: float
) -> Iterator[dict[str, object]]:
    """Try each change from each starting day."""
    settings = settings_module.load(PARAMS)
    plain = rows[[name for name in rows if not str(name).startswith("history_")]]
    start = FIRST_START
    while start + timedelta(days=CHANGED_DAYS) <= date(2014, 1, 1):
        last, first = start + timedelta(days=CHANGED_DAYS - 1), start - timedelta(days=BEFORE)
        near = plain.loc[plain["day"].between(first.isoformat(), last.isoformat())].reset_index(drop=True)
        pipeline = fitted[max(day for day in fitted if day <= start)]
        for name, (_, within) in FAULTS.items():
            new = changed(near, name, start, settings)
            new = add_history(
                new,
                new,
                settings.features.history,
                target=settings.task.target,
                label_delay_days=settings.task.label_delay_days,
            )
            new = new.loc[new["day"] >= start.isoformat()]
            both = pd.concat([true.loc[true.index < start.isoformat()], streams(_scored(new, pipeline, settings))])
            both = both.reindex(columns=true.columns).tail(CHANGED_DAYS + 90)
            total = evidence(standardise(both).tail(CHANGED_DAYS + 14), limit=limit)["total"].to_numpy()
            over = total[-CHANGED_DAYS:] >= limit
            found = int(over.argmax()) + 1 if over.any() else None
            yield {
                "change": name,
                "start": start,
                "within": within,
                "found": found,
                "before": (total[14 - LASTING_DAYS : 14] >= limit).any(),
            }
        start += timedelta(days=17)


def episodes(standardised: pd.DataFrame, *, limit: float) -> int:
    """Count changes that are called, and not while one that was called before still counts as present."""
    called = (evidence(standardised, limit=limit)["total"] >= limit).to_numpy()
    return sum(bool(now) and not called[max(0, at - LASTING_DAYS) : at].any() for at, now in enumerate(called))


def shuffles(standardised: pd.DataFrame, *, limit: float, orders: int, seed: int) -> tuple[int, float]:
    """Count episodes, and quarters, of weeks in many orders."""
    chance, whole = np.random.default_rng(seed), len(standardised) // WEEK
    count = 0
    for _ in range(orders):
        order = (chance.permutation(whole)[:, None] * WEEK + np.arange(WEEK)).ravel()
        count += episodes(standardised.iloc[order], limit=limit)
    return count, orders * whole * WEEK / QUARTER


def simulated(lag: float, *, limit: float, orders: int, seed: int) -> tuple[int, float]:
    """Count episodes in made days, each like the day before by ``lag``, of fifteen streams."""
    chance, days, names = np.random.default_rng(seed), 300, [f"carrier = {n}" for n in range(14)] + ["hour = 1"]
    count = 0
    for _ in range(orders):
        noise, values = chance.standard_normal((days, len(names))) * 2, np.zeros((days, len(names)))
        for at in range(days):
            values[at] = lag * values[at - 1] + np.sqrt(1 - lag**2) * noise[at] if at else noise[at]
        made = standardise(pd.DataFrame(values, columns=names), beside=dict.fromkeys(names, ())).iloc[
            MIN_TRAILING_DAYS:
        ]
        count += episodes(made, limit=limit)
    return count, orders * (days - MIN_TRAILING_DAYS) / QUARTER


def rate(count: int, quarters: float) -> str:
    """Write a rate a quarter with its upper 95 % bound (Poisson, exact)."""
    upper = float(stats.chi2.ppf(0.95, 2 * (count + 1))) / 2 / quarters
    return f"{count / quarters:5.2f} a quarter (upper bound {upper:.2f}; {count} in {quarters:.1f})"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=91, help="mean days between calls while nothing changes")
    parser.add_argument("--orders", type=int, default=100, help="orders of the weeks, and simulated years")
    asked = parser.parse_args(argv)
    settings = settings_module.load(PARAMS)
    rows = rows_of_2013(settings)
    fitted = champions(rows, settings)
    true = streams(served(rows, fitted, settings))
    standardised = standardise(true).iloc[MIN_TRAILING_DAYS:]
    for name, part in (
        ("before", standardised.index < str(JUDGED_FROM)),
        ("from", standardised.index >= str(JUDGED_FROM)),
    ):
        count = episodes(standardised.loc[part], limit=asked.limit)
        print(f"true days {name} {JUDGED_FROM}: {rate(count, part.sum() / QUARTER)}")
    count, quarters = shuffles(standardised, limit=asked.limit, orders=asked.orders, seed=1)
    print(f"true weeks shuffled: {rate(count, quarters)}")
    for lag in (0.0, 0.2, 0.4):
        count, quarters = simulated(lag, limit=asked.limit, orders=min(asked.orders, 30), seed=2)
        print(f"simulated days, autocorrelation {lag}: {rate(count, quarters)}")
    found = pd.DataFrame(trials(rows, true, fitted, limit=asked.limit))
    for change, group in found.groupby("change", sort=False):
        within = group["within"].iloc[0]
        hits = group["found"].le(within)
        later = hits[group["start"] >= JUDGED_FROM]
        print(
            f"{change}: {hits.sum()} of {len(hits)} within {within} labelled days ({later.sum()} of {len(later)} from "
            f"{JUDGED_FROM}), {group['found'].notna().sum()} within {CHANGED_DAYS}; median day "
            f"{group['found'].fillna(99).median():.0f}; called already on the eve: {group['before'].sum()}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
