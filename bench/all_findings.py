"""Count everything that people would be alerted to in a history in which nothing is broken, all findings together.

The product's own backtest lives through each history: a champion every four weeks without a gate, nobody rolled back,
labels judged when they come, drift, performance, slices and shifts looked at every day. An alarm is counted on its
first day, and again only after a week without it; warnings that outcomes have changed are counted in the same way, and
doubtful days of labels. ``true``: days in order, in which things do change, and nobody knows which finding is false.
``shuffled``: whole weeks in random order, so that nothing changes but which week is when.

    python -m bench.all_findings [--data flights demand] [--wheels WHEELS] [--orders 4] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bench.labels import fitted
from bench.made_histories import HISTORIES, History, Tables, base_of
from bench.real_histories import histories
from ml.backtest import policies
from ml.backtest.fits import Fits
from ml.backtest.label_judging import judged
from ml.backtest.outcome import DayRecords
from ml.backtest.simulation import Simulation

WEEK, QUARTER, QUIET_DAYS = 7, 91, 7
WATCHED = {**policies.BUILT_IN["monthly"], "backtest": {"gate": False}}
OUTCOMES = ("slice_change", "outcome_shift")
"""Warnings that say that outcomes have changed; other warnings are columns that moved and matter little."""
MOST_DAYS = 365
"""So many days of a history are lived through, the newest."""


@dataclass(frozen=True)
class Lived:
    """What was reported in one order of the days of one history: episodes by kind, alarms apart from warnings."""

    data: str
    order: str
    days: int
    alarms: Mapping[str, int]
    warnings: Mapping[str, int]
    doubtful: int


def shuffled(history: History, seed: int) -> Mapping[date, Tables]:
    """Return the days of a history with its whole weeks in another order; with ``seed`` 0 as they were."""
    days = history.days(1)
    if seed == 0:
        return days
    names = [day for day in sorted(days) if day >= history.oldest]
    weeks = len(names) // WEEK
    order = np.random.default_rng(seed).permutation(weeks)[:, None] * WEEK + np.arange(WEEK)
    return {
        name: (days[names[at]][0].assign(day=str(name)), days[names[at]][1].assign(day=str(name)))
        for name, at in zip(names, order.ravel(), strict=False)
    }


def live(history: History, seed: int) -> Lived:
    """Live through a history, and count what would be reported."""
    days = shuffled(history, seed)
    dataset = replace(history, days=lambda _: days).dataset(1)
    last = max(dataset.arrived)
    first = max(history.first, last - timedelta(days=MOST_DAYS - 1))
    policy = policies.make("watched", WATCHED, base_of(history), origin="watched")
    result = judged(dataset, policy.settings, first=first, predictor=lambda view: fitted(view, policy.settings))
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(policy, Fits(result.dataset, Path(folder), "bench"), first, last)
        simulation.run()
    records = simulation.records
    return Lived(
        history.name,
        "true" if seed == 0 else f"shuffled {seed}",
        len(records),
        _episodes({day: _kinds(record, "alarm") for day, record in records.items() if record.decision.alarm}),
        _episodes({day: _kinds(record, "warning") for day, record in records.items()}),
        _runs([day for day in result.doubtful if day >= first]),
    )


def _kinds(record: DayRecords, severity: str) -> set[str]:
    return {str(finding.kind) for finding in record.decision.findings if finding.severity == severity}


def _episodes(days: Mapping[date, set[str]]) -> dict[str, int]:
    kinds = Counter(kind for found in days.values() for kind in found)
    return {kind: _runs([day for day, found in days.items() if kind in found]) for kind in sorted(kinds)}


def _runs(days: Sequence[date]) -> int:
    """Count days with something that was not there in the week before."""
    ordered = sorted(days)
    return sum(at == 0 or (day - ordered[at - 1]).days > QUIET_DAYS for at, day in enumerate(ordered))


def rate(count: int, quarters: float) -> str:
    """Write a rate a quarter with its upper 95 % bound (Poisson, exact)."""
    upper = float(stats.chi2.ppf(0.95, 2 * (count + 1))) / 2 / quarters
    return f"{count / quarters:.2f} (< {upper:.2f})"


def lines(lived: Sequence[Lived]) -> Iterator[dict[str, object]]:
    """Sum up each history in order, and shuffled."""
    frame = pd.DataFrame({"lived": lived, "data": [one.data for one in lived]})
    frame["order"] = [one.order.split()[0] for one in lived]
    for (data, order), group in frame.groupby(["data", "order"], sort=False):
        own: list[Lived] = group["lived"].tolist()
        quarters = sum(one.days for one in own) / QUARTER
        alarms, warnings = Counter[str](), Counter[str]()
        for one in own:
            alarms.update(one.alarms)
            warnings.update({kind: count for kind, count in one.warnings.items() if kind in OUTCOMES})
        doubtful = sum(one.doubtful for one in own)
        yield {
            "data": data,
            "order": order,
            "quarters": round(quarters, 1),
            "alarms": rate(alarms.total() + doubtful, quarters),
            "with warnings": rate(alarms.total() + doubtful + warnings.total(), quarters),
            "of them": ", ".join(
                f"{name} {count}"
                for name, count in [("doubtful labels", doubtful), *alarms.items(), *warnings.items()]
                if count
            ),
        }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["flights"])
    parser.add_argument("--wheels", type=Path, help="a folder with the packages of bench.real_histories")
    parser.add_argument("--orders", type=int, default=4, help="random orders of the weeks")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    known = {**HISTORIES, **(histories(asked.wheels) if asked.wheels else {})}
    unknown = set(asked.data) - set(known)
    if unknown:
        raise SystemExit(f"no such data: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    lived = []
    for name in asked.data:
        for seed in range(asked.orders + 1):
            lived.append(live(known[name], seed))
            sys.stderr.write(f"{lived[-1]}\n")
    if asked.json:
        print(json.dumps([asdict(one) for one in lived]))
        return 0
    print("Episodes a quarter while nothing is broken, with the upper 95 % bound; an episode ends after a quiet week")
    print(pd.DataFrame(lines(lived)).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
