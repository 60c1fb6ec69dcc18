"""Measure what a backtest of small data takes: a year of 24 rows a day under the six built-in policies.

Made rentals (`bench.made_histories`) in Parquet files, with the contracts that are proposed of them, replayed by
``evergreen backtest`` with nothing kept from before, by one process with one thread. With ``--against`` the code of
another checkout replays the same files, and the report and the facts of each day must be equal.

    python -m bench.backtest_time [--days 365] [--policies never,evergreen] [--against CHECKOUT] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from tabulate import tabulate

from bench.installation import machine
from bench.landing import small_days
from ml.backtest.policies import BUILT_IN
from ml.settings import PROJECT_ROOT

HISTORY_DAYS = 90
UNEQUAL = ("seconds", "run_id", "report", "csv")
"""Facts of a report that are not the same twice, by how their names begin or end."""


def replay(home: Path, checkout: Path, span: tuple[date, date], policies: str) -> tuple[float, dict[str, Any], str]:
    """Replay by the code of a checkout; return seconds of the processor, the report and the facts of each day."""
    folder = home / f"backtest-{len(list(home.iterdir()))}"
    environ = {
        **os.environ,
        "EVERGREEN_HOME": str(home),
        "EVERGREEN_PARAMS": str(home / "params.yaml"),
        "EVERGREEN_EXPECTATIONS": str(home / "expectations"),
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
    }
    options = ["--from", str(span[0]), "--to", str(span[1]), "--policies", policies, "--workers", "1"]
    command = [sys.executable, "-m", "ml.backtest.backtest", *options, "--folder", str(folder), "--no-log", "--json"]
    before = _processor()
    subprocess.run(command, cwd=checkout, env=environ, check=True, stdout=subprocess.DEVNULL)
    seconds, report = _processor() - before, folder / "report"
    return seconds, json.loads((report / "backtest.json").read_text()), (report / "days.csv").read_text()


def _processor() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def comparable(facts: Any) -> Any:
    """Return the facts of a report without what differs from run to run."""
    if isinstance(facts, Mapping):
        kept = {name: value for name, value in facts.items() if not name.endswith(UNEQUAL)}
        return {name: comparable(value) for name, value in kept.items()}
    return [comparable(part) for part in facts] if isinstance(facts, list) else facts


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365, help="that are replayed, after 90 of history (365)")
    parser.add_argument("--policies", default=",".join(BUILT_IN), help="built-in ones; default: all six")
    parser.add_argument("--against", type=Path, help="a checkout of an earlier commit, to be measured beside this one")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        first, last = small_days(home, HISTORY_DAYS + asked.days + 1)
        span = first + timedelta(days=HISTORY_DAYS), last - timedelta(days=1)
        checkouts = {"before": asked.against.resolve()} if asked.against else {}
        checkouts["now"] = PROJECT_ROOT
        runs = {name: replay(home, checkout, span, asked.policies) for name, checkout in checkouts.items()}
    seconds = {name: round(run[0], 1) for name, run in runs.items()}
    equal = [run[2] for run in runs.values()].count(runs["now"][2]) == len(runs)
    equal &= all(comparable(run[1]) == comparable(runs["now"][1]) for run in runs.values())
    if asked.json:
        print(json.dumps({"seconds": seconds, "equal": equal, "policies": runs["now"][1]["policies"]}, indent=2))
        return 0 if equal else 1
    print(machine())
    lines = [[name, took, took / seconds["now"]] for name, took in seconds.items()]
    print(tabulate(lines, ["code", "seconds of processor", "ratio"], floatfmt=".1f"))
    print("Reports and days are equal." if equal else "Reports or days differ.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
