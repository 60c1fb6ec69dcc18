"""Show how often the automatic rollback is wrong, and how often and how soon it is right: a simulation.

Champion and previous champion are watched as ``monitor`` watches them: a look for each new labelled day, from
``rollback.min_days`` to ``rollback.watch_days``, until one rolls back. The daily difference of their losses
scatters as it was measured on the demo data: by 0.054 log loss, and lasting. With a correlation of 0.4 from
one day to the next, means of 7, 14 and 28 days scatter by 0.029, 0.021 and 0.016 as measured; independent
days would give 0.020, 0.014 and 0.010.

    python -m bench.rollback_errors [--simulations 2000] [--watch-days 14] [--out bench/rollback_errors.md]

Ends with code 1 if an equal champion is taken back in more than 5 % of promotions.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ml.core.champions.previous_champion import Watch, compare
from ml.settings import Gate, Rollback

DAY_SD = 0.054
LASTING = (0.0, 0.4)
GAINS = (0.0, 0.03, 0.06, 0.1, 0.2)
MOST_FALSE = 0.05
FIRST = date(2013, 1, 1)
WATCH = Watch(champion=2, previous=1, first_day=FIRST, last_day=FIRST)
GATE = Gate(metric="mae", bootstrap_rounds=1000)


def differences(chance: np.random.Generator, *, gain: float, lasting: float, days: int) -> np.ndarray:
    """Draw a champion's loss minus that of the version before, by day: stationary, correlated from day to day."""
    drawn = chance.normal(0, DAY_SD, days)
    drawn[1:] *= np.sqrt(1 - lasting**2)
    for day in range(1, days):
        drawn[day] += lasting * drawn[day - 1]
    return np.asarray(gain + drawn)


def rolled_back_on(drawn: np.ndarray, rollback: Rollback) -> int | None:
    """Return the number of labelled days after which the champion is taken back; None if it stays."""
    for days in range(rollback.min_days, rollback.watch_days + 1):
        # One row a day, whose absolute error is its loss.
        rows = pd.DataFrame({"day": range(days), "target": 0.0, "champion": 10 + drawn[:days], "previous": 10.0})
        found = compare(FIRST, WATCH, rows, gate=GATE, rollback=rollback, seed=1)
        if found.low is not None and found.low > 0:
            return days
    return None


def simulate(simulations: int, rollback: Rollback) -> pd.DataFrame:
    """Simulate promotions of champions that are equal to, or worse than, the version before."""
    cells = []
    for lasting in LASTING:
        for gain in GAINS:
            chance = np.random.default_rng(20130101)
            ends = Counter(
                rolled_back_on(differences(chance, gain=gain, lasting=lasting, days=rollback.watch_days), rollback)
                for _ in range(simulations)
            )
            days = sorted(day for day in ends.elements() if day is not None)
            median = float(np.median(days)) if days else None
            cells.append({"gain": gain, "lasting": lasting, "rolled_back": len(days) / simulations, "median": median})
    return pd.DataFrame(cells)


def report(found: pd.DataFrame, simulations: int, rollback: Rollback) -> str:
    """Write the result as Markdown."""
    said = (
        f"{simulations} simulated promotions each; a look after each of the labelled days {rollback.min_days} to "
        f"{rollback.watch_days}, confidence {rollback.confidence:g}. A champion that is worse by 0 is an equal one: "
        "each rollback of it is false. Written by `python -m bench.rollback_errors`."
    )
    head = (
        "| champion's log loss is worse by | correlation of a day with the next | rolled back | median labelled day |"
    )
    lines = ["# Errors of the automatic rollback", "", said, "", head, "| --- | --- | --- | --- |"]
    for cell in found.to_dict("records"):
        median = "–" if pd.isna(cell["median"]) else f"{cell['median']:.0f}"
        lines.append(f"| {cell['gain']:g} | {cell['lasting']:g} | {cell['rolled_back']:.1%} | {median} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the table, or write it; say whether the false rollbacks are few enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--watch-days", type=int, default=Rollback().watch_days)
    parser.add_argument("--out", type=Path, help="a file for the table; without it, it is printed")
    options = parser.parse_args()
    rollback = Rollback(watch_days=options.watch_days)
    found = simulate(options.simulations, rollback)
    said = report(found, options.simulations, rollback)
    if options.out:
        options.out.write_text(said, encoding="utf-8")
    else:
        sys.stdout.write(said)
    return int(found.loc[found["gain"] == 0, "rolled_back"].max() > MOST_FALSE)


if __name__ == "__main__":
    sys.exit(main())
