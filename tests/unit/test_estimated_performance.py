"""Losses expected from calibrated scores are those that come true, as long as the relation holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from ml.core.metrics import measure
from ml.core.monitoring.estimated_performance import Calibration, calibrate


def world(rows: int = 40_000, *, seed: int = 0, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw outcomes of known probability, and scores that are too sure of themselves."""
    chance = np.random.default_rng(seed)
    true = chance.normal(-1 + moved, 1, rows)
    return expit(2 * true + 0.3), (chance.random(rows) < expit(true)).astype(float)


def test_scores_become_probabilities() -> None:
    score, outcome = world()
    found = calibrate(score, outcome)
    assert found is not None
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-0.15, abs=0.03))
    assert found.probability(score).mean() == pytest.approx(outcome.mean(), abs=1e-3)


@pytest.mark.parametrize("moved", [0.0, 1.0, -1.5])
def test_other_rows_of_the_same_relation_do_as_expected(moved: float) -> None:
    """Covariate shift: harder or easier rows, and the estimate follows without a label."""
    found = calibrate(*world())
    assert found is not None
    score, outcome = world(seed=1, moved=moved)
    came = measure(outcome, score, "classification")
    for name, expected in found.expected(score).items():
        assert expected == pytest.approx(came[name], abs=0.02), name


def test_it_cannot_see_that_the_relation_moved() -> None:
    found = calibrate(*world())
    assert found is not None
    score, outcome = world(seed=1)
    came = measure(1 - outcome, score, "classification")
    assert abs(found.expected(score)["log_loss"] - came["log_loss"]) > 0.5


def test_expected_auc_by_hand() -> None:
    """Of three rows: expected pairs in order, ties half."""
    certain = Calibration(0.0, 1.0)
    p = np.array([0.2, 0.6, 0.6])
    pairs = p.sum() * (1 - p).sum()
    in_order = 0.6 * 0.8 + 0.6 * 0.8 + (0.2 * 0.8 + 1.2 * 0.8) / 2
    assert certain.expected(p)["roc_auc"] == pytest.approx(in_order / pairs)


def test_losses_of_rows_by_hand() -> None:
    half = Calibration(0.0, 0.0)
    assert half.expected_losses([0.2], "brier")[0] == pytest.approx((0.8**2 + 0.2**2) / 2)
    assert half.expected_losses([0.2], "log_loss")[0] == pytest.approx(-(np.log(0.2) + np.log(0.8)) / 2)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_certain_scores_give_finite_estimates(edge: float) -> None:
    assert np.isfinite(list(Calibration(0.1, 0.9).expected([edge, 0.5]).values())).all()


def test_what_teaches_nothing_gives_nothing() -> None:
    score, outcome = world(200)
    assert calibrate(score[:99], outcome[:99]) is None
    assert calibrate(score, np.zeros(200)) is None
    assert calibrate(np.where(score > 0.5, np.nan, score), outcome) is None
    assert calibrate([], []) is None


def test_scores_that_all_tie_move_to_the_observed_rate() -> None:
    found = calibrate(np.full(400, 0.3), [1.0] * 40 + [0.0] * 360)
    assert found is not None
    assert found.probability([0.3])[0] == pytest.approx(0.1)
    assert logit(found.probability([0.4])[0]) > logit(0.1)
