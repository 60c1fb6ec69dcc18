"""The simulation of the gate's error rates, small: the order of the rules is what the table says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import gate_errors, gate_simulation
from bench.gate_errors import Cell

SIMULATIONS = 120


@pytest.fixture(scope="module")
def cells() -> dict[float, Cell]:
    """Seven days, where every rule has it hardest; by true gain in resolutions."""
    return {cell.step: cell for cell in gate_errors.simulate(7, simulations=SIMULATIONS, n_resamples=300, seed=1)}


def test_the_gate_keeps_its_promises(cells: dict[float, Cell]) -> None:
    assert cells[0].promoted["gate"] <= 0.08
    assert max(cells[-2].promoted["gate"], cells[-1].promoted["gate"]) <= 0.02
    assert cells[2].promoted["gate"] >= 0.8


def test_the_better_a_model_the_likelier_its_promotion(cells: dict[float, Cell]) -> None:
    rates = [cells[step].promoted["gate"] for step in sorted(cells)]
    assert rates == sorted(rates)
    assert rates[-1] > rates[0] + 0.7


@pytest.mark.parametrize("rule", ["LL lower", "F1 higher", "F1 + 0.01", "F1 + 2 %", "LL x 1.01, AUC - .01"])
def test_naive_rules_promote_equal_models_by_the_toss_of_a_coin(cells: dict[float, Cell], rule: str) -> None:
    assert 0.25 < cells[0].promoted[rule] < 0.75


def test_rows_as_units_are_fooled_and_a_plain_bootstrap_of_days_less_so(cells: dict[float, Cell]) -> None:
    equal = cells[0].promoted
    assert equal["gate"] < equal["bootstrap alone"] < equal["t test of rows"]


def test_a_worse_model_is_truly_worse_by_what_is_said() -> None:
    """Measured over 2,800 other days, on the same outcomes."""
    noise = gate_simulation.noise_for([0.05], np.random.default_rng(1))[0]
    draws = gate_simulation.draw(100, 28, np.random.default_rng(2))
    worse = gate_simulation.log_loss(draws.late, draws.champion + noise * draws.noise).mean()
    assert worse - gate_simulation.log_loss(draws.late, draws.champion).mean() == pytest.approx(0.05, rel=0.05)


def test_the_difference_scatters_as_it_was_measured() -> None:
    measured = {1: 0.054, 7: 0.029, 14: 0.021, 28: 0.016}
    found = gate_simulation.scatter(1, windows=300)
    assert found == {days: pytest.approx(sd, rel=0.2) for days, sd in measured.items()}


def test_missed_targets_are_named() -> None:
    cells = [Cell(7, step, step * 0.08, 100, {"gate": rate}) for step, rate in [(-1, 0.02), (0, 0.06), (2, 0.79)]]
    assert [said.split(" was ")[0] for said in gate_errors.missed(cells)] == [
        "7 days: a model worse by 0.080",
        "7 days: an equal model",
        "7 days: a model better by 0.160",
    ]
    assert gate_errors.missed([Cell(7, 0, 0.0, 100, {"gate": 0.05})]) == []


def test_a_refresh_may_tie_and_must_not_lose_its_margin() -> None:
    found = gate_errors.simulate_refreshes(7, 0.06, simulations=SIMULATIONS, n_resamples=300, seed=1)
    assert found.promoted[0.0] >= 0.95
    assert max(rate for gain, rate in found.promoted.items() if gain <= -gate_errors.REFRESH_MAX_LOSS) <= 0.08
    assert gate_errors.missed_by_refreshes([found]) == []
    assert gate_errors.missed_by_refreshes([gate_errors.Refreshes(7, 1.0, 0.05, 100, {-0.01: 0.06, 0.0: 0.9})]) == [
        "7 days: a refresh worse by 0.01 was promoted in 6.0%"
    ]


def test_the_command_prints_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--simulations", "20", "--days", "7", "--n-resamples", "200"]
    code = gate_errors.main([*asked, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert [cell["step"] for cell in said["cells"]] == list(gate_errors.STEPS)
    assert code == (1 if said["missed"] else 0)
