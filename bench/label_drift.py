"""On how many days labels count as drift: hourly rentals that grow or do not, and the flights as they were.

    python -m bench.label_drift

A champion is trained every so many days on all days before; its limit follows from its own labels as in
`ml.core.monitoring.limits`, and each day's newest week of labels is compared with them. Exits 1 if labels that do not
grow are ever called drift, or labels that grow by 1.6 a year never are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
from tabulate import tabulate

from ml.adapters.sources.demo import DemoSource
from ml.core.data.days import days_between
from ml.core.monitoring import drift, limits
from ml.settings import Drift

DRIFT = Drift(structural=tuple("abcdefg"))
FIRST, TURN, LAST = date(2011, 1, 1), date(2012, 1, 1), date(2012, 12, 31)
NEVER = 1000
HOURS = 24


def rentals(growth: float, *, seed: int = 0) -> dict[date, np.ndarray]:
    """Make hourly counts of two years, with hours, weather and seasons, that grow by a factor each year."""
    chance, found = np.random.default_rng(seed), {}
    shape = 0.1 + np.exp(-(((np.arange(HOURS) - 8) / 2.5) ** 2)) + 1.6 * np.exp(-(((np.arange(HOURS) - 17) / 3.0) ** 2))
    for number, day in enumerate(days_between(FIRST, LAST)):
        season = 1 - 0.45 * np.cos(2 * np.pi * number / 365)
        weather = chance.choice([1.05, 0.95, 0.6], p=[0.6, 0.3, 0.1]) * np.exp(chance.normal(scale=0.12))
        found[day] = chance.poisson(190 * growth ** (number / 365) * shape * season * weather).astype(float)
    return found


def flights() -> dict[date, np.ndarray]:
    """Read the outcomes of the demo's year."""
    source = DemoSource(replay=False)
    days = days_between(date(2013, 1, 1), date(2013, 12, 30))
    return {day: source.labels(day)["late"].dropna().to_numpy(dtype=float) for day in days}


def over(labels: Mapping[date, np.ndarray], first: date, last: date, *, every: int) -> pd.Series:
    """Return for each day whether its newest week of labels is beyond the limit of the champion of that day."""
    found, promoted = {}, None
    for day in days_between(first, last):
        if promoted is None or (day - promoted).days >= every:
            promoted = day
            known = [each for each in sorted(labels) if each <= day - timedelta(days=2)]
            known = known[len(known) // 6 :]  # as out-of-fold predictions are: of the newer five sixths
            values = pd.Series(np.concatenate([labels[each] for each in known]))
            days = pd.Series(np.repeat([str(each) for each in known], [len(labels[each]) for each in known]))
            limit = limits.limit_of_series(values, days, DRIFT, floor=DRIFT.min_distance)
            assert limit is not None
            highest = limit.limit
        week = [labels[each] for each in days_between(day - timedelta(days=7), day - timedelta(days=1))]
        distance = drift.distance(values, pd.Series(np.concatenate(week)))
        found[day] = distance is not None and distance > highest
    return pd.Series(found)


def main() -> int:
    """Print the table, and check its ends."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows, counted = [], {}
    cases = [(f"rentals × {growth} a year", rentals(growth), TURN, LAST) for growth in (1.0, 1.3, 1.6)]
    cases.append(("flights", flights(), date(2013, 4, 1), date(2013, 12, 30)))
    for name, labels, first, last in cases:
        for every in (14, NEVER):
            days = over(labels, first, last, every=every)
            alarm = limits.alarms(days.to_numpy(dtype=bool), DRIFT.alarm_days)
            began = str(days.index[alarm][0]) if alarm.any() else "–"
            counted[name, every] = int(days.sum())
            again = "never" if every == NEVER else f"every {every} days"
            rows.append([name, again, int(days.sum()), len(days), int(limits.episodes(alarm).sum()), began])
    heads = ["labels", "champion retrained", "days in drift", "of", "alarms", "first"]
    sys.stdout.write(tabulate(rows, headers=heads) + "\n")
    calm = counted["rentals × 1.0 a year", NEVER] == counted["rentals × 1.0 a year", 14] == 0
    return 0 if calm and counted["rentals × 1.6 a year", NEVER] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
