"""Show what asking whether a refit would gain is worth: trainings, what promotions gained, and what was wasted.

On each history of `bench.made_histories`, by the product's own backtest, under policies that differ in one thing only.
``asked`` counts the requests by their first reason. The gain of a promotion is measured in hindsight: by how much the
loss of the version before would have been higher on the days that the new one served, up to four weeks. A training that
was held, or whose promotion gained nothing, is wasted.

    python -m bench.refit_gain [--histories rentals prices] [--policies delivered both drift] [--workers 2]

``--looks`` measures the interval instead: how often it excludes the true mean at any of 42 daily looks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bench.made_histories import HISTORIES, base_of
from ml.backtest import policies
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fits import Fits
from ml.backtest.simulation import Simulation
from ml.core.champions import tenures
from ml.core.metrics import find, row_loss
from ml.core.monitoring.confidence_sequence import mean_of_days

WAITS = {"shadow_refit": {"max_wait_days": 14}}
DRIFT = policies.BUILT_IN["drift"]
FRAGMENTS: dict[str, dict[str, Any]] = {
    "weekly": policies.BUILT_IN["weekly"],
    "delivered": {},
    "gain asks": {"retrain": {"on_gain": True}},
    "no gain waits": {"retrain": WAITS},
    "both": {"retrain": {"on_gain": True, **WAITS}},
    "drift": DRIFT,
    "drift, no gain waits": {**DRIFT, "retrain": {**DRIFT["retrain"], **WAITS}},
    "gain": {"retrain": {**policies.NO_ASKING, "on_gain": True}},
}
LONGEST_DAYS = 28


@lru_cache(maxsize=2)
def _dataset(name: str, seed: int) -> PointInTimeDataset:
    return HISTORIES[name].dataset(seed)


def live(name: str, seed: int, policy: str, folder: str, until: date | None) -> dict[str, Any]:
    """Live through a history under one policy, and look back on what its trainings were worth."""
    history = HISTORIES[name]
    made = policies.make(policy, FRAGMENTS[policy], base_of(history), origin=policy)
    simulation = Simulation(
        made, Fits(_dataset(name, seed), Path(folder), "bench"), history.first, until or history.last
    )
    outcome = simulation.run()
    scored, metric = outcome.scored.dropna(subset=["target"]), made.settings.gate.metric
    mean = float(row_loss(scored["target"], scored["prediction"], metric).mean())
    decisions = [records.decision for records in simulation.records.values()]
    requests = [decision for decision in decisions if decision.request is not None]
    trained = [event for event in outcome.days["event"] if event.startswith(("promoted", "held"))]
    gains = [(promotion[0], _gain(simulation, *promotion)) for promotion in _promotions(simulation)]
    drift = {decision.day for decision in requests if decision.reasons[0].startswith("drift")}
    of_drift = [gain for day, gain in gains if day in drift]
    held = len([event for event in trained if event.startswith("held")])
    return {
        "history": name,
        "seed": seed,
        "policy": policy,
        "value": float(np.sqrt(mean)) if find(metric).is_root else mean,
        "trained": len(trained),
        "held": held,
        "wasted": held + sum(gain <= 0 for _, gain in gains),
        "asked": dict(Counter(decision.reasons[0].split(":")[0].split(" ")[0] for decision in requests)),
        "gain": float(np.mean([gain for _, gain in gains])) if gains else None,
        "of drift": [len(of_drift), float(np.mean(of_drift)) if of_drift else None],
        "put off": sum(decision.put_off_since is not None for decision in decisions),
        "events": [f"{d.day} {'; '.join(d.reasons)}" for d in decisions if d.request or d.put_off_since],
    }


def _promotions(simulation: Simulation) -> list[tuple[date, int, int]]:
    """List day, version and the version before of each promotion that was not the first."""
    return [
        (entry.decided_at.date(), int(entry.payload["version"]), int(entry.payload["previous_version"]))
        for entry in tenures.promotions_and_returns(simulation.log)
        if entry.kind == "promotion" and entry.payload.get("previous_version") is not None
    ]


def _gain(simulation: Simulation, _: date, version: int, before: int) -> float:
    """Return by how much the mean loss was lower for a promotion, on the days that the version served."""
    losses = []
    for day in sorted(day for day, served in simulation.scores.served.items() if served == version)[:LONGEST_DAYS]:
        predicted = simulation.versions[before].fitted.predict(simulation.scores.seen(day))
        rows = simulation.scores.rows(day, 1.0, new=simulation.scores.raw[day, version], old=predicted)
        metric = simulation.settings.gate.metric
        losses.append(row_loss(rows["target"], rows["old"], metric) - row_loss(rows["target"], rows["new"], metric))
    together = np.concatenate(losses) if losses else np.array([])
    return float(together.mean()) if len(together) else 0.0


def correlated(lag: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Build days of which each resembles the one before."""

    def draw(chance: np.random.Generator, days: int) -> np.ndarray:
        noise, made = chance.normal(size=days), np.zeros(days)
        made[0] = noise[0] / np.sqrt(1 - lag**2)
        for day in range(1, days):
            made[day] = lag * made[day - 1] + noise[day]
        return made

    return draw


DAYS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda chance, days: chance.normal(size=days),
    "heavy tails (Student's t, 3)": lambda chance, days: chance.standard_t(3, size=days),
    "rare large gains": lambda chance, days: chance.exponential(size=days) - 1,
    "rare large losses": lambda chance, days: 1 - chance.exponential(size=days),
    "autocorrelated, 0.3": correlated(0.3),
    "autocorrelated, 0.5": correlated(0.5),
}


def looks(repeats: int, confidence: float) -> dict[str, tuple[float, float]]:
    """Measure how often the interval lies above, and below, the true mean of 0 at any of 42 daily looks."""
    found = {}
    for name, draw in DAYS.items():
        chance, wrong = np.random.default_rng(0), np.zeros(2)
        for _ in range(repeats):
            days = draw(chance, 42)
            ends = [mean_of_days(days[:count], confidence=confidence)[1:] for count in range(2, 43)]
            wrong += [
                any(low is not None and low > 0 for low, _ in ends),
                any(high is not None and high < 0 for _, high in ends),
            ]
        found[name] = float(wrong[0] / repeats), float(wrong[1] / repeats)
    return found


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Lay the results out for people."""
    lines = [f"{'history':<9} {'policy':<17} {'value':>8} trained held wasted put-off {'gain':>9} of drift, asked"]
    for one in results:
        number, gain = one["of drift"]
        lines.append(
            f"{one['history']:<9} {one['policy']:<17} {one['value']:>8.4f} {one['trained']:>7} {one['held']:>4} "
            f"{one['wasted']:>6} {one['put off']:>7} {one['gain'] or 0:>+9.4f} {number} {gain or 0:+.4f}, "
            + " ".join(f"{name} {count}" for name, count in sorted(one["asked"].items()))
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", nargs="+", default=["rentals", "prices"], choices=list(HISTORIES))
    parser.add_argument("--policies", nargs="+", default=list(FRAGMENTS), choices=list(FRAGMENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--until", type=date.fromisoformat, help="end earlier")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="keep fits there, for the next run")
    parser.add_argument("--events", action="store_true", help="print each day that asked, or waited for a gain")
    parser.add_argument("--looks", type=int, metavar="REPEATS", help="measure the interval instead")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    if asked.looks:
        for name, (above, below) in looks(asked.looks, 0.9).items():
            print(f"{name:<30} above {above:.1%}, below {below:.1%}")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        tasks = [
            (name, seed, policy, f"{asked.folder or temporary}/{name}-{seed}", asked.until)
            for name in asked.histories
            for seed in asked.seeds
            for policy in asked.policies
        ]
        with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
            results = [future.result() for future in [pool.submit(live, *task) for task in tasks]]
    print(json.dumps(results, indent=2) if asked.json else table(results))
    if asked.events:
        for one in results:
            print("\n".join([f"{one['history']} {one['policy']}", *one["events"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
