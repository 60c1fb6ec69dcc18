"""Show how often the gate errs by who was compared with the challenger: the model that serves, its twin, its recipe.

Where the champion has seen the holdout, its twin (the version that was judged, on fewer days) or its recipe, fitted
again up to the holdout, stands for it (`ml.core.gate.gate_evidence`). On the holdouts of `bench.gate_simulation` a
challenger of another recipe is judged by the rule for superiority against each of the three; its true gain is over the
model that serves. Two fits of one recipe are as far apart as in the backtest. What the twin lacks is the news of a
holdout: a refit gained 0.0042 log loss (``bench/refit.py``), so that a challenger on newer days has that advantage.

    python -m bench.gate_stand_ins [--simulations 1000] [--days 7 14 28] [--stale 0.0042] [--seed 1] [--json]

Ends with code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bench.gate_errors import PILOT, STEPS, TARGETS
from bench.gate_simulation import (
    LASTING,
    LEAN_SD,
    ROW_NOISE_SD,
    Draws,
    compare,
    draw,
    lasting,
    noise_for,
    promotes,
    resolution_of,
)

WHO = ("model", "twin", "recipe")
FITS_APART = 0.06
"""How far two fits of one recipe are apart, as a share of two recipes."""
STALE = 0.0042


@dataclass(frozen=True)
class Line:
    """How often a challenger was promoted at one holdout size and one true gain, by who was compared with it."""

    days: int
    step: float
    gain: float
    simulations: int
    promoted: dict[str, float]


def stand_in(champion: np.ndarray, draws: Draws, chance: np.random.Generator, *, noise: float = 0.0) -> np.ndarray:
    """Return the log odds of another fit of the champion's recipe, worse by ``noise`` (sd, in log odds)."""
    n_days = int(draws.day.max()) + 1
    lean = lasting((len(champion), n_days), FITS_APART * LEAN_SD, chance, LASTING)[:, draws.day]
    own = chance.normal(0, float(np.hypot(FITS_APART * ROW_NOISE_SD, noise)), champion.shape)
    return np.asarray(champion + lean + own)


def simulate(days: int, *, stale: float, simulations: int, n_resamples: int, seed: int) -> Iterator[Line]:
    """Judge challengers at one holdout size, for each step of the true gain."""
    chance = np.random.default_rng([seed, days])
    unit = resolution_of(draw(min(PILOT, simulations), days, chance), n_resamples=n_resamples, seed=seed)
    gains = [step * unit for step in STEPS]
    *noises, stale_noise = noise_for([*(abs(gain) for gain in gains), stale], chance)
    batch, counts = max(1, 1000 // days), [dict.fromkeys(WHO, 0) for _ in STEPS]
    for first in range(0, simulations, batch):
        draws = draw(min(batch, simulations - first), days, chance)
        for count, gain, noise in zip(counts, gains, noises, strict=True):
            model = draws.champion + noise * draws.noise * (gain > 0)
            challenger = draws.challenger + noise * draws.noise * (gain < 0)
            compared = {
                "model": model,
                "twin": stand_in(model, draws, chance, noise=stale_noise),
                "recipe": stand_in(model, draws, chance),
            }
            for who, champion in compared.items():
                for late, own, other in zip(draws.late, champion, challenger, strict=True):
                    count[who] += promotes(compare(late, own, other, draws.day, n_resamples, seed + first))
    for step, gain, count in zip(STEPS, gains, counts, strict=True):
        yield Line(days, step, gain, simulations, {who: n / simulations for who, n in count.items()})


def missed(lines: Sequence[Line]) -> list[str]:
    """Name each target of `bench.gate_errors` that is missed, by who was compared."""
    problems = []
    for line in lines:
        for who, rate in line.promoted.items():
            at = f"{line.days} days, {who}"
            if line.step < 0 and rate > TARGETS["worse"]:
                problems.append(f"{at}: a model worse by {-line.gain:.3f} was promoted in {rate:.1%}")
            if line.step == 0 and rate > TARGETS["equal"]:
                problems.append(f"{at}: an equal model was promoted in {rate:.1%}")
            if line.step >= 2 and rate < TARGETS["better"]:
                problems.append(f"{at}: a model better by {line.gain:.3f} was promoted in only {rate:.1%}")
    return problems


def table(lines: Sequence[Line]) -> str:
    """Lay the lines out for people: promotions in per cent."""
    rows = ["days  true gain             " + "  ".join(f"{who:>6}" for who in WHO)]
    for line in lines:
        name = "equal" if line.step == 0 else f"{line.step:+.1f} resolutions"
        rates = "  ".join(f"{100 * line.promoted[who]:>6.1f}" for who in WHO)
        rows.append(f"{line.days:>4}  {line.gain:+.3f} {name:<17} {rates}")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="holdouts a line")
    parser.add_argument("--days", type=int, nargs="+", default=[7, 14, 28], help="holdout sizes")
    parser.add_argument("--stale", type=float, default=STALE, help="what the twin loses to the model, in log loss")
    parser.add_argument("--n-resamples", type=int, default=1000, help="resamples of a bootstrap")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    how = {"stale": asked.stale, "simulations": asked.simulations, "n_resamples": asked.n_resamples}
    lines = [line for days in asked.days for line in simulate(days, **how, seed=asked.seed)]
    problems = missed(lines)
    if asked.json:
        print(json.dumps({"lines": [asdict(line) for line in lines], "missed": problems}, indent=2))
        return 1 if problems else 0
    error = 100 * float(np.sqrt(0.05 * 0.95 / asked.simulations))
    print(
        f"Promotions in % of {asked.simulations} simulated holdouts a line (standard error {error:.1f} at 5 %), by who"
    )
    print(f"was compared; the twin loses {asked.stale:g} log loss to the model that serves.\n")
    print(table(lines))
    print("\n" + ("\n".join(f"missed: {problem}" for problem in problems) or "All targets are met."))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
