"""Show what the delivered policy costs and saves against the habits of the trade, on data where a model ages.

On each history of `bench.made_histories`, by the product's own backtest: never, monthly and weekly without a gate,
the delivered policy, and the same with ``gate.refresh: not_worse``. With ``--planted``, one training in ten is spoiled
while the data themselves stay true: the newest labels all 0, a column null, or the labels of the window's older half
mixed up. Whoever serves that model pays for it until it is replaced or rolled back.

    python -m bench.delivered [--histories rentals prices flights] [--planted] [--seeds 1] [--workers 2] [--json]

Ends with code 1 if the delivered policy loses more than 2 % to the best habit, or, planted, is not better than weekly.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.made_histories import HISTORIES, base_of
from ml.backtest import policies
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fits import Fits, Training
from ml.backtest.simulation import Simulation
from ml.core.metrics import find, row_loss
from ml.settings import Settings

HABITS = ("never", "monthly", "weekly")
FRAGMENTS: dict[str, dict[str, Any]] = {
    **{name: {**policies.BUILT_IN[name], "backtest": {"gate": False, "monitor": False}} for name in HABITS},
    "delivered": {},
    "not worse": {"gate": {"refresh": "not_worse"}},
}
MOST_LOST = 0.02
EVERY, FAULTS = 10, ("labels 0", "column null", "half wrong")
BROKEN_DAYS = 10


@dataclass(frozen=True)
class SpoiledTraining(Training):
    """A window whose rows are read wrongly, this once."""

    fault: str = ""


class SpoiledFits(Fits):
    """Fits of which those on a spoiled window see wrong rows."""

    def rows(self, window: Training, settings: Settings) -> pd.DataFrame:
        rows = super().rows(window, settings)
        return spoil(rows, window.fault, settings) if isinstance(window, SpoiledTraining) else rows

    def without_holdout(self, whole: Training, settings: Settings) -> Training:
        part = super().without_holdout(whole, settings)
        return (
            SpoiledTraining(part.days, part.lookback, f"{whole.fault} {whole.last_day}")
            if isinstance(whole, SpoiledTraining)
            else part
        )

    def key(self, window: Training, settings: Settings) -> str:
        fault = window.fault if isinstance(window, SpoiledTraining) else ""
        return super().key(window, settings) + fault.replace(" ", "-")


class SpoiledSimulation(Simulation):
    """A simulation in which one training in ten weeks is spoiled."""

    def _window(self, day: date) -> Training:
        chosen = super()._window(day)
        week = (day - self.first).days // 7
        if day < self.first + timedelta(days=21) or week % EVERY != EVERY // 2:
            return chosen
        return SpoiledTraining(chosen.days, chosen.lookback, FAULTS[week // EVERY % len(FAULTS)])


def spoil(rows: pd.DataFrame, fault: str, settings: Settings) -> pd.DataFrame:
    """Return the rows as a broken feed or join would have given them; not modified."""
    kind, until = (fault[:-11], fault[-10:]) if fault[-3:-2] == "-" else (fault, str(rows["day"].max()))
    rows, target = rows.copy(), settings.task.target
    if kind == "labels 0":
        since = (date.fromisoformat(until) - timedelta(days=BROKEN_DAYS - 1)).isoformat()
        rows.loc[rows["day"] >= since, target] = 0.0
    elif kind == "column null":
        numeric = [*settings.features.numeric, *settings.features.spline]
        rows[numeric[0]] = np.nan
    else:
        days = np.sort(rows["day"].unique())
        half = (rows["day"] < days[len(days) // 2]).to_numpy()
        rows.loc[half, target] = np.random.default_rng(0).permutation(rows.loc[half, target].to_numpy())
    return rows


@lru_cache(maxsize=2)
def _dataset(name: str, seed: int) -> PointInTimeDataset:
    return HISTORIES[name].dataset(seed)


def live(name: str, seed: int, policy: str, planted: bool, folder: str, until: date | None) -> dict[str, Any]:
    """Live through a history under one policy; the metric over all rows, and what became of its challengers."""
    history = HISTORIES[name]
    made = policies.make(policy, FRAGMENTS[policy], base_of(history), origin=policy)
    fits_of, simulation = (SpoiledFits, SpoiledSimulation) if planted else (Fits, Simulation)
    fits = fits_of(_dataset(name, seed), Path(folder), "bench")
    outcome = simulation(made, fits, history.first, until or history.last).run()
    scored, metric = outcome.scored.dropna(subset=["target"]), made.settings.gate.metric
    mean = float(row_loss(scored["target"], scored["prediction"], metric).mean())
    events = [event for event in outcome.days["event"] if event]
    return {
        "history": name,
        "seed": seed,
        "policy": policy,
        "metric": metric,
        "value": float(np.sqrt(mean)) if find(metric).is_root else mean,
        "promoted": sum(event.startswith("promoted") for event in events),
        "held": sum(event.startswith("held") for event in events),
        "rolled_back": sum(event.startswith("rolled") for event in events),
        "not_trained": sum(event.startswith("not trained") for event in events),
        "events": [
            f"{day} {event}" for day, event in zip(outcome.days["day"], outcome.days["event"], strict=True) if event
        ],
    }


def missed(results: Sequence[Mapping[str, Any]], *, planted: bool) -> list[str]:
    """Name each history on which the delivered policy misses its target."""
    problems = []
    for name, seed in sorted({(one["history"], one["seed"]) for one in results}):
        values = {one["policy"]: one["value"] for one in results if (one["history"], one["seed"]) == (name, seed)}
        if planted and values["delivered"] >= values["weekly"]:
            problems.append(f"{name} {seed}: {values['delivered']:.4f}, weekly without a gate {values['weekly']:.4f}")
        best = min(values[habit] for habit in HABITS if habit in values)
        if not planted and values["delivered"] > (1 + MOST_LOST) * best:
            problems.append(f"{name} {seed}: {values['delivered'] / best - 1:.1%} above the best habit")
    return problems


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Lay the results out for people."""
    lines = [f"{'history':<9} {'policy':<10} {'value':>9} promoted held rolled back not trained"]
    lines += [
        f"{one['history']:<9} {one['policy']:<10} {one['value']:>9.4f} {one['promoted']:>8} {one['held']:>4} "
        f"{one['rolled_back']:>11} {one['not_trained']:>11}"
        for one in results
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", nargs="+", default=list(HISTORIES), choices=list(HISTORIES))
    parser.add_argument("--policies", nargs="+", default=list(FRAGMENTS), choices=list(FRAGMENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--planted", action="store_true", help="spoil one training in ten")
    parser.add_argument("--until", type=date.fromisoformat, help="end earlier")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="keep fits there, for the next run")
    parser.add_argument("--events", action="store_true", help="print each verdict")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        tasks = [
            (name, seed, policy, asked.planted, f"{asked.folder or temporary}/{name}-{seed}", asked.until)
            for name in asked.histories
            for seed in (asked.seeds if name != "flights" else asked.seeds[:1])
            for policy in asked.policies
        ]
        with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
            results = [future.result() for future in [pool.submit(live, *task) for task in tasks]]
    needed = {"weekly", "delivered"} if asked.planted else {*HABITS, "delivered"}
    judged = needed <= {*asked.policies}
    problems = missed(results, planted=asked.planted) if judged else []
    if asked.json:
        print(json.dumps({"results": results, "missed": problems}, indent=2))
        return 1 if problems else 0
    print(table(results))
    if asked.events:
        for one in results:
            print(one["history"], one["policy"], *Counter(e.split(":")[0][11:] for e in one["events"]).most_common(9))
            print("\n".join(one["events"]))
    met = (
        "All targets are met." if judged else f"Nothing is judged: that needs the policies {', '.join(sorted(needed))}."
    )
    print("\n" + ("\n".join(f"missed: {problem}" for problem in problems) or met))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
