"""Measure how many clean days proposed contracts would reject, and how many planted errors they find.

The suite of inputs is proposed from the first part of the days of four data sets and judged on later ones: clean days,
and days in which the errors of `ml.core.data.planted_errors` are planted in 5, 20 and 50 % of the rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from bench import contract_data
from ml.adapters.contracts import Contracts
from ml.adapters.contracts.trial import Trial, found_by_kind, missed, profiles_of
from ml.adapters.sources.demo import DemoSource
from ml.adapters.suite_files import write_suite
from ml.core.data.planted_errors import errors_for
from ml.core.data.suite_proposals import propose_suite
from ml.settings import PROJECT_ROOT, Task, load

SHARE_LEARNED = 0.4
FLIGHT_DAYS_LEARNED = 120
SETS = ("flights", "hand-written", "bikes", "prices", "churn")


def data(name: str) -> tuple[pd.DataFrame, Task, str]:
    """Return a data set, its task, and the first day that is judged."""
    if name in ("flights", "hand-written"):
        source, first = DemoSource(replay=False), date(2013, 1, 1)
        frames = [source.inputs(first + timedelta(days=n)) for n in range(365)]
        table, task = pd.concat(frames, ignore_index=True), load(PROJECT_ROOT / "params.yaml").task
        return table, task, str(first + timedelta(days=FLIGHT_DAYS_LEARNED))
    table, task = getattr(contract_data, name)(), getattr(contract_data, name.upper())
    days = sorted(table["day"].unique())
    return table, task, days[int(SHARE_LEARNED * len(days))]


def measure(name: str, folder: Path, every: int, error_days: int) -> None:
    """Print what becomes of every so many clean days, and of errors in some of them."""
    table, task, first = data(name)
    frames = {date.fromisoformat(str(day)): frame.reset_index(drop=True) for day, frame in table.groupby("day")}
    if name == "hand-written":
        folder = PROJECT_ROOT / "expectations"
    else:
        write_suite(folder / "inputs.json", propose_suite(table[table["day"] < first], asset="inputs", task=task))
    judged = dict([item for item in frames.items() if str(item[0]) >= first][::every])
    trial = Trial(Contracts(folder), "inputs", judged, profiles_of(frames))
    clean = list(trial.clean_days())
    accepted = [result.day for result in clean if not result.rejected]
    print(f"\n{name}: {len(clean) - len(accepted)} of {len(clean)} clean days rejected", flush=True)
    if not error_days:
        return
    chosen = [accepted[int(place)] for place in np.linspace(0, len(accepted) - 1, error_days)]
    trials = list(trial.planted(list(errors_for(frames[chosen[0]], key=task.key)), chosen))
    for share in (0.05, 0.2, 0.5):
        of_share = [result.rejected for result in trials if result.share == share]
        print(f"  at {share:.0%} of the rows {np.mean(of_share):.1%} of {len(of_share)} planted errors reject the day")
    rows = [
        [row["kind"], row["share"], row["errors"], row["rejected"], row["contained"]] for row in found_by_kind(trials)
    ]
    print(tabulate(rows, ["error", "share", "tried", "rejected", "or rows quarantined"], floatfmt=".2f"))
    print("never found at 20 % or more:", "; ".join(missed(trials)) or "none", flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    arguments.add_argument("--every", type=int, default=3, help="of clean days every so many is judged (3)")
    arguments.add_argument("--error-days", type=int, default=2, help="errors are planted in so many days, or none (2)")
    options = arguments.parse_args()
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, Path(folder), options.every, options.error_days)
    return 0


if __name__ == "__main__":
    sys.exit(main())
