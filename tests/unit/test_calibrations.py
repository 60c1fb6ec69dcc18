"""Losses expected from calibrated scores are those that come true, as long as the relation holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from ml.core.metrics import measure
from ml.core.monitoring.calibrations import (
    BINARY,
    Beta,
    Identity,
    Platt,
    density_ratio,
    fit_beta,
    fit_isotonic,
    fit_platt,
    learnable,
)


def world(rows: int = 40_000, *, seed: int = 0, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw outcomes of known probability, and scores that are too sure of themselves."""
    chance = np.random.default_rng(seed)
    true = chance.normal(-1 + moved, 1, rows)
    return expit(2 * true + 0.3), (chance.random(rows) < expit(true)).astype(float)


def test_scores_become_probabilities() -> None:
    score, outcome = world()
    found = fit_platt(score, outcome)
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-0.15, abs=0.03))
    assert found.probability(score).mean() == pytest.approx(outcome.mean(), abs=1e-3)


@pytest.mark.parametrize("method", ["Platt", "beta", "isotonic"])
@pytest.mark.parametrize("moved", [0.0, 1.0, -1.5])
def test_other_rows_of_the_same_relation_do_as_expected(method: str, moved: float) -> None:
    """Covariate shift: harder or easier rows, and the estimate follows without a label."""
    found = BINARY[method](*world(), None)
    score, outcome = world(seed=1, moved=moved)
    came = measure(outcome, score, "classification")
    for name, expected in found.expected(score).items():
        assert expected == pytest.approx(came[name], abs=0.02), name


def test_it_cannot_see_that_the_relation_moved() -> None:
    score, outcome = world(seed=1)
    came = measure(1 - outcome, score, "classification")
    assert abs(fit_platt(*world()).expected(score)["log_loss"] - came["log_loss"]) > 0.5


def test_scores_that_are_probabilities_are_left_alone() -> None:
    assert Identity().expected([0.2, 0.4])["prevalence"] == pytest.approx(0.3)


def test_the_beta_curve_bends_where_platts_cannot() -> None:
    score, outcome = world()
    bent = np.where(score > 0.5, score, 0.5 * (2 * score) ** 6)  # in log odds no line leads to the outcome
    beta, platt = fit_beta(bent, outcome), fit_platt(bent, outcome)
    assert beta.surprise(bent, outcome) < platt.surprise(bent, outcome) - 1e-3
    assert fit_isotonic(bent, outcome).surprise(bent, outcome) < platt.surprise(bent, outcome) - 1e-3


def test_a_beta_curve_never_falls() -> None:
    score, outcome = world(4000)
    found = fit_beta(1 - score, outcome)  # the order is wrong everywhere, so no slope is left to fit
    assert isinstance(found, Platt)
    odd = fit_beta(score, np.where(score > 0.9, 0.0, outcome))
    assert isinstance(odd, Beta | Platt)
    if isinstance(odd, Beta):
        assert min(odd.low, odd.high) >= 0


def test_expected_auc_by_hand() -> None:
    """Of three rows: expected pairs in order, ties half."""
    p = np.array([0.2, 0.6, 0.6])
    pairs = p.sum() * (1 - p).sum()
    in_order = 0.6 * 0.8 + 0.6 * 0.8 + (0.2 * 0.8 + 1.2 * 0.8) / 2
    assert Platt(0.0, 1.0).expected(p)["roc_auc"] == pytest.approx(in_order / pairs)


def test_losses_of_rows_by_hand() -> None:
    half = Platt(0.0, 0.0)
    assert half.expected_losses([0.2], "brier")[0] == pytest.approx((0.8**2 + 0.2**2) / 2)
    assert half.expected_losses([0.2], "log_loss")[0] == pytest.approx(-(np.log(0.2) + np.log(0.8)) / 2)


@pytest.mark.parametrize("edge", [0.0, 1.0])
@pytest.mark.parametrize("method", list(BINARY))
def test_certain_scores_give_finite_estimates(method: str, edge: float) -> None:
    score, outcome = world(2000)
    score[:50], outcome[:50] = edge, edge
    found = BINARY[method](score, outcome, None)
    assert np.isfinite(list(found.expected(np.array([edge, 0.5])).values())).all()
    assert np.isfinite(found.surprise(score, outcome))


def test_what_teaches_nothing_gives_nothing() -> None:
    score, outcome = world(200)
    assert learnable(score, outcome)
    assert not learnable(score[:99], outcome[:99])
    assert not learnable(score, np.zeros(200))
    assert not learnable(np.where(score > 0.5, np.nan, score), outcome)
    assert not learnable([], [])


@pytest.mark.parametrize("fit", [fit_platt, fit_beta])
def test_scores_that_all_tie_move_to_the_observed_rate(fit: object) -> None:
    found = fit(np.full(400, 0.3), np.array([1.0] * 40 + [0.0] * 360))  # type: ignore[operator]
    assert found.probability([0.3])[0] == pytest.approx(0.1)
    assert logit(found.probability([0.4])[0]) > logit(0.1)


@pytest.mark.parametrize("method", list(BINARY))
@pytest.mark.parametrize("levels", [(0.02, 0.45), (0.0, 1.0), (0.0, 0.5, 1.0)])
def test_few_different_scores_are_fitted_without_a_warning(method: str, levels: tuple[float, ...]) -> None:
    chance = np.random.default_rng(0)
    score = chance.choice(levels, 5000)
    outcome = (chance.random(5000) < 0.1 + 0.8 * score) * 1.0
    found = BINARY[method](score, outcome, None)
    if method != "identity":
        assert found.probability(score).mean() == pytest.approx(outcome.mean(), abs=0.01)
    separated = BINARY[method](score, (score > 0.01 + min(levels)) * 1.0, None)
    assert np.isfinite(separated.surprise(score, (score > 0.01 + min(levels)) * 1.0))


class TestDensityRatio:
    def test_the_same_mix_weighs_all_alike(self) -> None:
        score, _ = world()
        assert np.ptp(density_ratio(score, score)) < 0.01

    def test_known_rows_are_weighed_as_the_new_mix_has_them(self) -> None:
        known, new = world()[0], world(seed=1, moved=1.0)[0]
        ratio = density_ratio(known, new)
        assert ratio.mean() == pytest.approx(1)
        assert np.average(known, weights=ratio) == pytest.approx(new.mean(), abs=0.03)
        assert abs(known.mean() - new.mean()) > 0.15

    def test_no_weight_explodes(self) -> None:
        ratio = density_ratio(np.r_[np.zeros(10_000), 1.0], np.ones(10_000))
        assert np.isfinite(ratio).all() and ratio[-1] / ratio[0] < 1e7
