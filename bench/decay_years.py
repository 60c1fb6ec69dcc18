"""Measure in how many years a healthy champion is called decayed, with a look on every day.

Years are simulated: a champion whose probabilities are right on average, in a world whose luck differs from day to day
(``days``), is followed by like luck (``autocorrelated``, lag-1 correlation 0.6), or holds for whole weeks (``weeks``).
Its reference are the 89 days before, its holdout the newest 14 of them. `ml.core.monitoring.performance.assess` judges
the trailing fortnight daily, as monitoring does, with the honest predictions of the reference and without them. A year
has a finding if any day is called decayed, an alarm if two of three days are.

    python -m bench.decay_years [--years 40] [--every 1]

Ends with code 1 if more than 5 % of the years of any line have an alarm, with the reference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from bench.decay import K, N
from ml import settings as settings_module
from ml.core.monitoring.performance import assess, expected
from ml.settings import PROJECT_ROOT, Settings

FIRST, TRAINED, HELD, YEAR, ROWS = date(2012, 1, 1), 75, 14, 365, 60
LUCK = ("days", "autocorrelated", "weeks")
MOST = 0.05


def luck_of(kind: str, days: int, chance: np.random.Generator) -> np.ndarray:
    """Return by how much the log odds of each day are off: a standard deviation of about a half."""
    if kind == "weeks":
        return np.repeat(chance.normal(0, 0.5, -(-days // 7)), 7)[:days] + chance.normal(0, 0.25, days)
    shocks = chance.normal(0, 0.5 if kind == "days" else 0.4, days)
    if kind == "days":
        return shocks
    luck = np.zeros(days)
    for day in range(days):
        luck[day] = shocks[day] + (0.6 * luck[day - 1] if day else 0.0)
    return luck


def served(kind: str, seed: int) -> pd.DataFrame:
    """Return what is served of the reference and of the year after it, with its outcomes."""
    chance = np.random.default_rng(seed)
    days = TRAINED + HELD + YEAR
    log_odds = 0.9 * chance.normal(0, 1, days * ROWS) - 0.8
    true = 1 / (1 + np.exp(-(log_odds + np.repeat(luck_of(kind, days, chance), ROWS))))
    return pd.DataFrame(
        {
            "day": np.repeat([(FIRST + timedelta(days=number)).isoformat() for number in range(days)], ROWS),
            "version": 1,
            "target": (chance.random(days * ROWS) < true).astype(float),
            "prediction": 1 / (1 + np.exp(-log_odds)),
        }
    )


def year(kind: str, seed: int, settings: Settings, *, reference: bool, every: int) -> list[bool]:
    """Return on which looks of a year the champion is called decayed."""
    rows = served(kind, seed)
    days = sorted(rows["day"].unique())
    start, window = TRAINED + HELD, settings.performance.window_days
    known = rows.loc[rows["day"] < days[start]]
    holdout = known.loc[known["day"] >= days[TRAINED]].rename(columns={"prediction": "challenger"})
    holdout = holdout.assign(base_rate=known["target"].mean())
    seen = expected(holdout, settings, reference=known if reference else None)
    found = []
    for end in range(start + window, len(days), every):
        part = rows.loc[rows["day"].between(days[end - window], days[end - 1])]
        report = assess(date.fromisoformat(days[end]), 1, part, [], expected=seen, settings=settings, in_full=False)
        found.append(report.status == "decay")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=40)
    parser.add_argument("--every", type=int, default=1, help="look on every so many days")
    asked = parser.parse_args(argv)
    settings = settings_module.load(PROJECT_ROOT / "params.yaml")
    table = []
    for kind in LUCK:
        for reference in (False, True):
            years = [
                pd.Series(year(kind, seed, settings, reference=reference, every=asked.every), dtype=float)
                for seed in range(asked.years)
            ]
            alarms = [(looks.rolling(N, min_periods=1).sum() >= K).any() for looks in years]
            table.append(
                {
                    "luck": kind,
                    "reference": reference,
                    "looks called decayed %": 100 * float(pd.concat(years).mean()),
                    "years with a finding %": 100 * float(np.mean([looks.any() for looks in years])),
                    "years with an alarm %": 100 * float(np.mean(alarms)),
                }
            )
            print(table[-1], file=sys.stderr, flush=True)
    frame = pd.DataFrame(table)
    print(frame.round(1).to_string(index=False))
    missed = frame.loc[frame["reference"], "years with an alarm %"] > 100 * MOST
    return int(missed.any())


if __name__ == "__main__":
    sys.exit(main())
