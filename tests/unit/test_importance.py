"""What matters ranks first, what does not is near zero, and the same seed says the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from ml.core.training.importance import Importance, measure_importance


def planted(rows: int = 4000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Give three features of which ``strong`` says most, ``weak`` a little and ``noise`` nothing."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(chance.normal(size=(rows, 3)), columns=["noise", "weak", "strong"])
    odds = 2.0 * frame["strong"] + 0.5 * frame["weak"]
    return frame, (chance.random(rows) < 1 / (1 + np.exp(-odds))).astype(float).to_numpy()


def measured(**options: int) -> Importance:
    fitted = Pipeline([("estimator", LogisticRegression())]).fit(*planted())
    unseen, truth = planted(seed=1)
    return measure_importance(
        fitted, unseen, truth, **{"kind": "classification", "metric": "log_loss", "seed": 3} | options
    )


def test_a_planted_signal_ranks_first_and_noise_is_near_zero() -> None:
    found = measured()
    assert found.features == ("strong", "weak", "noise")
    assert found.increase[0] > 10 * found.increase[1] > 0
    assert abs(found.increase[2]) < 0.002
    assert found.rows == 4000 and 0.3 < found.loss < 0.6


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    assert measured() == measured()
    assert measured().increase != measured(seed=4).increase


def test_a_large_holdout_is_sampled_and_the_frame_is_left_as_it_was() -> None:
    assert measured(most_rows=500).rows == 500
    frame, truth = planted()
    before = frame.copy()
    fitted = Pipeline([("estimator", LogisticRegression())]).fit(frame, truth)
    measure_importance(fitted, frame, truth, kind="classification", metric="brier", seed=1)
    pd.testing.assert_frame_equal(frame, before)


def test_the_increase_of_rmse_is_in_the_unit_of_the_target() -> None:
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"number": chance.normal(size=5000)})
    target = 10 * frame["number"] + chance.normal(size=5000)
    fitted = Pipeline([("estimator", LinearRegression())]).fit(frame, target)
    found = measure_importance(fitted, frame, target, kind="regression", metric="rmse", seed=0)
    assert found.loss == pytest.approx(1.0, abs=0.05)
    assert found.increase[0] == pytest.approx(10 * np.sqrt(2) - 1, rel=0.05)  # two independent draws differ by sqrt(2)


def test_no_row_is_refused() -> None:
    fitted = Pipeline([("estimator", LogisticRegression())]).fit(*planted(100))
    with pytest.raises(ValueError, match="no row"):
        measure_importance(fitted, planted(1)[0].head(0), [], kind="classification", metric="brier", seed=0)
