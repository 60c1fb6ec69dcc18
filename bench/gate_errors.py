"""Show how often a gate promotes what it should not, and finds what it should: a simulation.

The holdouts are those of `bench.gate_simulation`.

A model is worse because its log odds carry more noise, by just as much as the wanted difference in
expected log loss. Differences are multiples of the gate's resolution at that holdout size, which
is what it declares for equal models.

A second table is of refreshes: two fits of one recipe lean less apart, and the rule asks only that
the challenger loses no more than `refresh_max_loss`, beyond noise. Its gains are log losses.

    python -m bench.gate_errors [--simulations 1000] [--days 7 14 28] [--seed 1] [--json]

Ends with code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from bench.gate_simulation import (
    CONFIDENCE,
    MIN_GAIN,
    Draws,
    compare,
    draw,
    log_loss,
    noise_for,
    promotes,
    resolution_of,
    scatter,
)

THRESHOLD = 0.4
STEPS = (-2.0, -1.0, -0.5, 0.0, 1.0, 2.0)
"""The challenger's true gain, in resolutions."""
REFRESH_MAX_LOSS = 0.01
REFRESH_SHARES = (0.06, 0.2, 1.0)
"""How far two fits of one recipe are apart, as a share of two models of the first table; 0.06: as in the backtest."""
REFRESH_GAINS = (-0.03, -0.02, -0.01, -0.005, 0.0, 0.005, 0.01)
TARGETS = {"worse": 0.01, "equal": 0.05, "better": 0.80}
PILOT = 200


@dataclass(frozen=True)
class Cell:
    """How often each rule promoted at one holdout size and one true gain."""

    days: int
    step: float
    gain: float
    simulations: int
    promoted: dict[str, float]


def promotions(draws: Draws, gain: float, noise: float, *, n_resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Let each rule judge each holdout; arrays of bool of shape (n_simulations,)."""
    champion = draws.champion + noise * draws.noise * (gain > 0)
    challenger = draws.challenger + noise * draws.noise * (gain < 0)
    late = draws.late
    difference = log_loss(late, champion) - log_loss(late, challenger)
    rows = np.bincount(draws.day)
    starts = np.concatenate([[0], np.cumsum(rows)[:-1]])
    sums = np.add.reduceat(difference, starts, axis=1)
    loss = [log_loss(late, model).mean(axis=1) for model in (champion, challenger)]
    f1 = [_f1(late, model) for model in (champion, challenger)]
    auc = [_auc(late, model) for model in (champion, challenger)]
    return {
        "gate": np.array(
            [
                promotes(compare(*one, draws.day, n_resamples, seed))
                for one in zip(late, champion, challenger, strict=True)
            ]
        ),
        "bootstrap alone": _bootstrap_alone(sums, rows, n_resamples, seed),
        "t test of rows": stats.ttest_1samp(difference, 0, axis=1).statistic > stats.norm.isf((1 - CONFIDENCE) / 2),
        "LL lower": loss[1] < loss[0],
        "F1 higher": f1[1] > f1[0],
        "F1 + 0.01": f1[1] >= f1[0] + 0.01,
        "F1 + 2 %": f1[1] >= f1[0] * 1.02,
        "LL x 1.01, AUC - .01": (loss[1] <= loss[0] * 1.01) & (auc[1] >= auc[0] - 0.01),
    }


def simulate(days: int, *, simulations: int, n_resamples: int, seed: int) -> Iterator[Cell]:
    """Measure every rule at one holdout size, for each step of the true gain."""
    chance = np.random.default_rng([seed, days])
    unit = resolution_of(draw(min(PILOT, simulations), days, chance), n_resamples=n_resamples, seed=seed)
    gains = [step * unit for step in STEPS]
    noises = noise_for([abs(gain) for gain in gains], chance)
    batch = max(1, 1000 // days)
    counts: list[dict[str, int]] = [{} for _ in STEPS]
    for first in range(0, simulations, batch):
        draws = draw(min(batch, simulations - first), days, chance)
        for count, gain, noise in zip(counts, gains, noises, strict=True):
            for rule, promoted in promotions(draws, gain, noise, n_resamples=n_resamples, seed=seed + first).items():
                count[rule] = count.get(rule, 0) + int(promoted.sum())
    for step, gain, count in zip(STEPS, gains, counts, strict=True):
        yield Cell(days, step, gain, simulations, {rule: n / simulations for rule, n in count.items()})


@dataclass(frozen=True)
class Refreshes:
    """How often refreshes are promoted at one holdout size and one distance, by their true gain in log loss."""

    days: int
    apart: float
    half_width: float
    simulations: int
    promoted: dict[float, float]


def simulate_refreshes(days: int, apart: float, *, simulations: int, n_resamples: int, seed: int) -> Refreshes:
    """Measure the rule for refreshes; ``half_width`` is the mean of the intervals of equal models."""
    chance = np.random.default_rng([seed, days, int(1000 * apart)])
    noises = noise_for([abs(gain) for gain in REFRESH_GAINS], chance)
    batch = max(1, 1000 // days)
    counts = dict.fromkeys(REFRESH_GAINS, 0)
    widths = []
    for first in range(0, simulations, batch):
        draws = draw(min(batch, simulations - first), days, chance, apart=apart)
        for gain, noise in zip(REFRESH_GAINS, noises, strict=True):
            champion = draws.champion + noise * draws.noise * (gain > 0)
            challenger = draws.challenger + noise * draws.noise * (gain < 0)
            for one in zip(draws.late, champion, challenger, strict=True):
                found = compare(*one, draws.day, n_resamples, seed + first)
                counts[gain] += found is not None and found.low > -REFRESH_MAX_LOSS
                if gain == 0 and found is not None:
                    widths.append((found.high - found.low) / 2)
    rates = {gain: count / simulations for gain, count in counts.items()}
    return Refreshes(days, apart, float(np.mean(widths)), simulations, rates)


def refresh_table(found: Sequence[Refreshes]) -> str:
    """Lay refreshes out for people: promotions in per cent."""
    lines = ["days  interval  " + "  ".join(f"{gain:>+6.3f}" for gain in REFRESH_GAINS)]
    lines += [
        f"{one.days:>4}  +-{one.half_width:.4f}  "
        + "  ".join(f"{100 * one.promoted[gain]:>6.1f}" for gain in REFRESH_GAINS)
        for one in found
    ]
    return "\n".join(lines)


def missed(cells: Sequence[Cell]) -> list[str]:
    """Name each target that the gate missed."""
    said = []
    for cell in cells:
        rate = cell.promoted["gate"]
        if cell.step < 0 and rate > TARGETS["worse"]:
            said.append(f"{cell.days} days: a model worse by {-cell.gain:.3f} was promoted in {rate:.1%}")
        if cell.step == 0 and rate > TARGETS["equal"]:
            said.append(f"{cell.days} days: an equal model was promoted in {rate:.1%}")
        if cell.step >= 2 and rate < TARGETS["better"]:
            said.append(f"{cell.days} days: a model better by {cell.gain:.3f} was promoted in only {rate:.1%}")
    return said


def missed_by_refreshes(found: Sequence[Refreshes]) -> list[str]:
    """Name each refresh that loses as much as it may, or more, and was promoted in over 5 %."""
    return [
        f"{one.days} days: a refresh worse by {-gain:g} was promoted in {rate:.1%}"
        for one in found
        for gain, rate in one.promoted.items()
        if gain <= -REFRESH_MAX_LOSS and rate > TARGETS["equal"]
    ]


def table(cells: Sequence[Cell]) -> str:
    """Lay the cells out for people: promotions in per cent."""
    rules = list(cells[0].promoted)
    lines = ["days  true gain            " + "  ".join(f"{rule:>{max(5, len(rule))}}" for rule in rules)]
    for cell in cells:
        name = "equal" if cell.step == 0 else f"{cell.step:+.1f} resolutions"
        rates = "  ".join(f"{100 * cell.promoted[rule]:>{max(5, len(rule))}.1f}" for rule in rules)
        lines.append(f"{cell.days:>4}  {cell.gain:+.3f} {name:<17}{rates}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="holdouts a cell")
    parser.add_argument("--days", type=int, nargs="+", default=[7, 14, 28], help="holdout sizes")
    parser.add_argument("--n-resamples", type=int, default=1000, help="resamples of a bootstrap")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    cells = [
        cell
        for days in asked.days
        for cell in simulate(days, simulations=asked.simulations, n_resamples=asked.n_resamples, seed=asked.seed)
    ]
    refreshes = [
        simulate_refreshes(days, apart, simulations=asked.simulations, n_resamples=asked.n_resamples, seed=asked.seed)
        for days in asked.days
        for apart in REFRESH_SHARES
    ]
    failed, spread = missed(cells) + missed_by_refreshes(refreshes), scatter(asked.seed, windows=asked.simulations)
    error = {
        f"{rate:.0%}": round(float(np.sqrt(rate * (1 - rate) / asked.simulations)), 4) for rate in (0.01, 0.05, 0.5)
    }
    if asked.json:
        said = {
            "cells": [asdict(cell) for cell in cells],
            "refreshes": [asdict(one) for one in refreshes],
            "scatter": spread,
            "error": error,
            "missed": failed,
        }
        print(json.dumps(said, indent=2))
        return 1 if failed else 0
    print(f"Promotions in % of {asked.simulations} simulated holdouts a line.")
    print("Monte-Carlo standard error: " + ", ".join(f"{100 * e:.1f} at {rate}" for rate, e in error.items()) + ".")
    print("sd of the paired difference: " + ", ".join(f"{sd:.3f} over {n} d" for n, sd in spread.items()) + ".\n")
    print(table(cells))
    print(f"\nRefreshes, by their true gain; they may lose {REFRESH_MAX_LOSS:g} beyond noise.\n")
    print(refresh_table(refreshes))
    print("\n" + ("\n".join(f"missed: {one}" for one in failed) or "All targets are met."))
    return 1 if failed else 0


def _bootstrap_alone(sums: np.ndarray, rows: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed).integers(0, len(rows), size=(n_resamples, len(rows)))
    weights = np.stack([np.bincount(one, minlength=len(rows)) for one in draws])
    low = np.quantile(sums @ weights.T / (weights @ rows), (1 - CONFIDENCE) / 2, axis=1)
    promoted: np.ndarray = (low > 0) & (sums.sum(axis=1) / rows.sum() >= MIN_GAIN)
    return promoted


def _f1(late: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    called = log_odds >= np.log(THRESHOLD / (1 - THRESHOLD))
    scores: np.ndarray = 2 * (called & late).sum(axis=1) / (called.sum(axis=1) + late.sum(axis=1))
    return scores


def _auc(late: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve from ranks (Mann & Whitney); log odds do not tie."""
    ordered = np.take_along_axis(late, np.argsort(log_odds, axis=1), axis=1)
    positive = late.sum(axis=1)
    ranks = (ordered * np.arange(1, late.shape[1] + 1)).sum(axis=1)
    areas: np.ndarray = (ranks - positive * (positive + 1) / 2) / (positive * (late.shape[1] - positive))
    return areas


if __name__ == "__main__":
    sys.exit(main())
