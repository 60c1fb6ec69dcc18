"""What each feature is worth to a fitted pipeline: how much its loss grows without that feature's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from ml.core.metric import Kind
from ml.core.metrics import loss_of, row_loss
from ml.core.training.blockwise import BlockwisePipeline
from ml.core.training.estimators import predict

MOST_ROWS = 5_000
REPEATS = 5


@dataclass(frozen=True)
class Importance:
    """The permutation importance of each feature, in the unit of the loss, largest first.

    ``increase`` is by how much the loss grows on average when the feature is permuted; about 0 means
    that the model does not need it. ``sd`` is the standard deviation over the permutations.
    """

    metric: str
    loss: float
    rows: int
    repeats: int
    seed: int
    features: tuple[str, ...]
    increase: tuple[float, ...]
    sd: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """Return it as plain JSON, one entry a feature."""
        entries = zip(self.features, self.increase, self.sd, strict=True)
        return {
            "metric": self.metric,
            "loss": self.loss,
            "rows": self.rows,
            "repeats": self.repeats,
            "seed": self.seed,
            "features": [{"feature": name, "increase": mean, "sd": sd} for name, mean, sd in entries],
        }


def overall_loss(target: ArrayLike, prediction: ArrayLike, metric: str) -> float:
    """Return the loss of many rows in the metric's own unit: the mean of row losses, for ``rmse`` its root."""
    return float(loss_of(metric).of_mean(float(row_loss(target, prediction, metric).mean())))


def measure_importance(
    pipeline: Pipeline,
    matrix: pd.DataFrame,
    target: ArrayLike,
    *,
    kind: Kind,
    classes: int = 0,
    metric: str,
    seed: int,
    most_rows: int = MOST_ROWS,
    repeats: int = REPEATS,
) -> Importance:
    """Permute one feature after the other on rows that were not fitted on, and watch the loss.

    Permutation importance (Breiman 2001, doi:10.1023/A:1010933404324). Features that say the same share
    what they say: each looks less important than both together.

    Parameters
    ----------
    matrix : DataFrame of shape (n_rows, n_features)
        What the pipeline sees, before any encoding; not modified.
    target : array of shape (n_rows,)
        In the order of ``matrix``.
    classes
        How many ``task.classes`` there are.
    most_rows
        Of more rows a random sample of so many is taken, with ``seed``.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if matrix.empty:
        raise ValueError("there is no row to permute")
    y = np.asarray(target, dtype=float)
    if len(matrix) > most_rows:
        chosen = np.sort(np.random.default_rng(seed).choice(len(matrix), most_rows, replace=False))
        matrix, y = matrix.iloc[chosen], y[chosen]
    matrix = matrix.reset_index(drop=True)

    blockwise = BlockwisePipeline(pipeline, matrix)

    def negative_loss(_: Pipeline, rows: pd.DataFrame, truth: np.ndarray) -> float:
        return -overall_loss(truth, predict(blockwise, rows, kind, classes), metric)

    result = permutation_importance(
        pipeline, matrix, y, scoring=negative_loss, n_repeats=repeats, random_state=seed, n_jobs=1
    )
    order = np.argsort(-result.importances_mean, kind="stable")
    return Importance(
        metric=metric,
        loss=-negative_loss(pipeline, matrix, y),
        rows=len(matrix),
        repeats=repeats,
        seed=seed,
        features=tuple(str(matrix.columns[at]) for at in order),
        increase=tuple(float(result.importances_mean[at]) for at in order),
        sd=tuple(float(result.importances_std[at]) for at in order),
    )
