"""Models of a regression's loss given its prediction: what an error will be where no label has arrived.

Direct loss estimation, as NannyML calls it. What is kept of a version for monitoring is its predictions and outcomes,
so the prediction is the only feature: errors that grow with what is predicted are seen, others are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.isotonic import IsotonicRegression
from sklearn.tree import DecisionTreeRegressor

from ml.core.metrics import find, row_loss
from ml.core.monitoring.calibrations import MIN_ROWS

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class LossModel:
    """The expected loss of a row by its prediction, for each loss of a task; ``main`` is the one to choose by."""

    curves: Mapping[str, Any]
    main: str

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Return each row's expected loss, an array of shape (n_rows,); of ``rmse`` its square."""
        values = self.curves[metric].predict(np.asarray(prediction, dtype=float).reshape(-1, 1))
        return np.asarray(np.maximum(np.asarray(values, dtype=float), 0.0))

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Return the expected value of each metric of some rows; empty for no row."""
        if not len(np.asarray(prediction)):
            return {}
        means = {name: float(self.expected_losses(prediction, name).mean()) for name in self.curves}
        return {name: mean**0.5 if find(name).is_root else mean for name, mean in means.items()}

    def surprise(self, prediction: ArrayLike, target: ArrayLike) -> float:
        """Return the mean squared difference of expected and true losses: the lower, the better they are followed."""
        came = row_loss(target, prediction, self.main)
        return float(((self.expected_losses(prediction, self.main) - came) ** 2).mean())


def learnable(prediction: ArrayLike, target: ArrayLike) -> bool:
    """Return whether predictions with their outcomes can teach a loss model: 100 finite rows that do not all tie."""
    p, y = np.asarray(prediction, dtype=float), np.asarray(target, dtype=float)
    return len(p) >= MIN_ROWS and bool(np.isfinite(p).all() and np.isfinite(y).all()) and len(np.unique(p)) > 1


def fit_loss_model(method: str, p: np.ndarray, y: np.ndarray, losses: tuple[str, ...], *, seed: int) -> LossModel:
    """Fit the losses by one of `METHODS`.

    Parameters
    ----------
    losses
        The names of the losses; the first is the one to choose by.
    """
    column = p.reshape(-1, 1)
    curves = {name: METHODS[method](seed).fit(column, row_loss(y, p, name)) for name in losses}
    return LossModel(curves, losses[0])


METHODS: Mapping[str, Callable[[int], Any]] = {
    "rising loss": lambda _: IsotonicRegression(out_of_bounds="clip"),
    "falling loss": lambda _: IsotonicRegression(increasing=False, out_of_bounds="clip"),
    "tree": lambda seed: DecisionTreeRegressor(max_leaf_nodes=16, min_samples_leaf=50, random_state=seed),
}
"""How a loss may follow the prediction, by name."""
