"""Make holdouts on which two models are compared, as far apart as it was measured on the demo data.

Two classifiers predict flights of which a quarter are late. Both see the same rows; each day has luck that neither
foresees and a lean of each model's own, and both last into the next day. The sizes are such that the paired difference
of log loss scatters over windows as it was measured: 0.054 over 1 day, 0.029 over 7, 0.021 over 14, 0.016 over 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from ml.core.gate.comparison import PairedGain, paired_gain

WEEK_ROWS = (965, 960, 955, 970, 970, 730, 900)
"""Flights from Monday to Sunday."""
LOG_ODDS = -1.3
SIGNAL_SD = 0.75
ROW_NOISE_SD = 0.25
LUCK_SD = 0.6
LEAN_SD = 0.36
LASTING = 0.63
"""Correlation of luck and lean with the day before; of the loss difference, its square: 0.4."""
MIN_GAIN, CONFIDENCE = 0.001, 0.95


@dataclass(frozen=True)
class Draws:
    """Everything random of some simulated holdouts, so that all true gains share it.

    Arrays are of shape (n_simulations, n_rows): log odds ``champion`` and ``challenger`` of two
    equally good models, ``late`` (bool) and the standard normal ``noise`` that makes one worse.
    ``day`` is of shape (n_rows,).
    """

    day: np.ndarray
    late: np.ndarray
    champion: np.ndarray
    challenger: np.ndarray
    noise: np.ndarray


def lasting(shape: tuple[int, int], sd: float, chance: np.random.Generator, correlation: float) -> np.ndarray:
    """Draw stationary normal series of days, each day correlated with the one before (AR(1))."""
    series = chance.normal(0, sd, shape)
    for day in range(1, shape[1]):
        series[:, day] = correlation * series[:, day - 1] + np.sqrt(1 - correlation**2) * series[:, day]
    return series


def draw(
    simulations: int, days: int, chance: np.random.Generator, correlation: float = LASTING, apart: float = 1.0
) -> Draws:
    """Draw holdouts on which two models are equally good: their errors are exchangeable.

    ``apart`` is how far they are from each other, as a share of what was measured.
    """
    rows = np.resize(WEEK_ROWS, days)
    day = np.repeat(np.arange(days), rows)
    shape = (simulations, len(day))
    signal = LOG_ODDS + chance.normal(0, SIGNAL_SD, shape)
    luck, *offsets = (
        lasting((simulations, days), sd, chance, correlation)[:, day]
        for sd in (LUCK_SD, apart * LEAN_SD, apart * LEAN_SD)
    )
    champion, challenger = (signal + offset + chance.normal(0, apart * ROW_NOISE_SD, shape) for offset in offsets)
    late = chance.random(shape) < expit(signal + luck)
    return Draws(day, late, champion, challenger, chance.standard_normal(shape))


def noise_for(gains: Sequence[float], chance: np.random.Generator) -> list[float]:
    """Find the noise (sd, in log odds) that raises the expected log loss by each of ``gains``.

    By interpolation between losses measured on half a million rows.
    """
    found = draw(20, 28, chance)
    noises = np.linspace(0, 5, 41)
    losses = np.array([log_loss(found.late, found.champion + sd * found.noise).mean() for sd in noises])
    return [float(noise) for noise in np.interp(gains, np.maximum.accumulate(losses - losses[0]), noises)]


def resolution_of(draws: Draws, *, n_resamples: int, seed: int) -> float:
    """Return the mean resolution that the gate declares for equal models."""
    found = [
        compare(*one, draws.day, n_resamples, seed)
        for one in zip(draws.late, draws.champion, draws.challenger, strict=True)
    ]
    return float(np.mean([one.resolution for one in found if one is not None]))


def scatter(seed: int, *, windows: int) -> dict[int, float]:
    """Return the standard deviation of the paired difference by length of the window, in days."""
    found: dict[int, float] = {}
    chance = np.random.default_rng(seed)
    for days in (1, 7, 14, 28):
        means = []
        batch = max(1, 1000 // days)
        for first in range(0, windows, batch):
            draws = draw(min(batch, windows - first), days, chance)
            difference = log_loss(draws.late, draws.champion) - log_loss(draws.late, draws.challenger)
            means.append(difference.mean(axis=1))
        found[days] = float(np.concatenate(means).std())
    return found


def log_loss(late: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(late, -log_odds, log_odds))


def compare(
    late: np.ndarray, champion: np.ndarray, challenger: np.ndarray, day: np.ndarray, n_resamples: int, seed: int
) -> PairedGain | None:
    """Compare on one holdout as the gate does; the models' predictions are log odds of shape (n_rows,)."""
    frame = pd.DataFrame(
        {"day": day, "target": late, "champion": expit(champion), "challenger": expit(challenger)}, copy=False
    )
    return paired_gain(frame, metric="log_loss", confidence=CONFIDENCE, n_resamples=n_resamples, seed=seed)


def promotes(found: PairedGain | None) -> bool:
    return found is not None and found.low > 0 and found.gain >= MIN_GAIN
