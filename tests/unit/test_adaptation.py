"""Scores move by one number, as far as the newest outcomes say and no further than declared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from ml.core.scoring.adaptation import shift_of, shifted

CHANCE = np.random.default_rng(0)
SCORES = expit(CHANCE.normal(-1, 1, 5000))


def outcomes(by: float) -> np.ndarray:
    return (np.random.default_rng(1).random(len(SCORES)) < expit(logit(SCORES) + by)).astype(float)


@pytest.mark.parametrize("by", [-0.8, 0.0, 0.6])
def test_the_whole_shift_makes_the_mean_score_the_observed_rate(by: float) -> None:
    shift = shift_of(SCORES, outcomes(by), kind="classification", share=1.0, most=5.0)
    assert shift == pytest.approx(by, abs=0.1)
    assert shifted(SCORES, shift, kind="classification").mean() == pytest.approx(outcomes(by).mean(), abs=1e-9)


def test_a_share_closes_a_part_of_it() -> None:
    whole, half = (
        shift_of(SCORES, outcomes(0.6), kind="classification", share=share, most=5.0) for share in (1.0, 0.5)
    )
    assert half == pytest.approx(whole / 2)


@pytest.mark.parametrize(("target", "expected"), [(0.0, -0.5), (1.0, 0.5)])
def test_it_is_bounded_even_where_every_outcome_is_the_same(target: float, expected: float) -> None:
    assert shift_of(SCORES, np.full(5000, target), kind="classification", share=0.5, most=0.5) == expected


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_no_evidence_moves_nothing(kind: str) -> None:
    assert shift_of([], [], kind=kind, share=1.0, most=1.0) == 0.0  # type: ignore[arg-type]
    assert shift_of([np.nan], [1.0], kind=kind, share=1.0, most=1.0) == 0.0  # type: ignore[arg-type]
    assert shifted(SCORES, 0.0, kind=kind) is not None  # type: ignore[arg-type]
    np.testing.assert_array_equal(shifted(SCORES, 0.0, kind=kind), SCORES)  # type: ignore[arg-type]


def test_order_is_kept_and_a_shift_can_be_taken_back() -> None:
    moved = shifted(SCORES, 0.4, kind="classification")
    assert (np.argsort(moved) == np.argsort(SCORES)).all()
    np.testing.assert_allclose(shifted(moved, -0.4, kind="classification"), SCORES, rtol=1e-12)


def test_a_regression_moves_in_the_unit_of_its_target() -> None:
    assert shift_of([10.0, 20.0], [14.0, 24.0], kind="regression", share=0.5, most=3.0) == 2.0
    assert shift_of([10.0, 20.0], [114.0, 124.0], kind="regression", share=0.5, most=3.0) == 3.0
    np.testing.assert_array_equal(shifted([1.0, 2.0], 2.0, kind="regression"), [3.0, 4.0])


def test_certain_scores_stay_probabilities() -> None:
    moved = shifted([0.0, 0.5, 1.0], 0.5, kind="classification")
    assert ((moved >= 0) & (moved <= 1)).all() and (np.diff(moved) > 0).all()
