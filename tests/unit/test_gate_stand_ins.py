"""Who stands for the champion makes little difference to the gate's errors, and an old twin makes them larger."""

from __future__ import annotations

import numpy as np
import pytest

from bench.gate_simulation import draw, log_loss, noise_for
from bench.gate_stand_ins import Line, missed, simulate, stand_in


def test_a_recipe_is_as_good_as_its_model_and_a_twin_worse_by_what_is_said() -> None:
    noise = noise_for([0.02], np.random.default_rng(1))[0]
    draws, chance = draw(100, 28, np.random.default_rng(2)), np.random.default_rng(3)
    model, recipe, twin = (
        float(log_loss(draws.late, odds).mean())
        for odds in (
            draws.champion,
            stand_in(draws.champion, draws, chance),
            stand_in(draws.champion, draws, chance, noise=noise),
        )
    )
    assert recipe == pytest.approx(model, abs=0.001)
    assert twin - model == pytest.approx(0.02, rel=0.15)


def test_errors_are_those_of_the_model_unless_the_twin_is_old() -> None:
    found = {line.step: line.promoted for line in simulate(7, stale=0.08, simulations=80, n_resamples=200, seed=1)}
    assert abs(found[0]["recipe"] - found[0]["model"]) <= 0.05
    assert found[0]["twin"] > found[0]["recipe"] + 0.3
    assert min(found[2].values()) >= 0.8


def test_missed_targets_name_who_was_compared() -> None:
    lines = [Line(7, 0, 0.0, 100, {"model": 0.02, "twin": 0.06, "recipe": 0.03})]
    assert missed(lines) == ["7 days, twin: an equal model was promoted in 6.0%"]
