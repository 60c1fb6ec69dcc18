"""Decide whether a winner's refit on the whole window may serve in its place.

The refit cannot be judged on days that it has seen, so it has to predict what the judged model predicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.core.metric import Kind
from ml.records import Ruling, Verdict

COMPARED_ROWS = 1000


def compared_rows(train: pd.DataFrame) -> pd.DataFrame:
    """Return the rows on which both models are compared: up to `COMPARED_ROWS`, from all over the training part."""
    return train.iloc[np.unique(np.linspace(0, len(train) - 1, COMPARED_ROWS).astype(int))]


def difference(judged: np.ndarray, refit: np.ndarray, kind: Kind) -> float:
    """Compute by how much the predictions of two models for the same rows differ on average.

    Of a classification in units of probability, of several classes the total variation distance (half of the sum of
    the differences), of a regression in standard deviations of the judged model's
    predictions; NaN if these do not vary.
    """
    if kind == "multiclass":
        return float(np.abs(refit - judged).sum(axis=1).mean() / 2)
    apart = float(np.abs(refit - judged).mean())
    if kind == "classification":
        return apart
    spread = float(judged.std())
    return apart / spread if spread > 0 else float("nan")


def agreement(difference: float, bound: float) -> Ruling:
    """Return whether the refit predicts what the judged model does, on average within ``bound``."""
    comparable = bool(np.isfinite(difference))
    reason = f"refit and judged model differ by {difference:.4f} on average, must be at most {bound:g}"
    return Ruling(
        rule="refit agrees",
        kind="refit_agreement",
        passed=difference <= bound if comparable else None,
        evidence={"difference": difference if comparable else None, "max_difference": bound},
        reason=reason if comparable else "refit and judged model could not be compared",
    )


def conclude(judged: Verdict, rulings: Sequence[Ruling]) -> Verdict:
    """Return the verdict on the refit of a model that may be promoted: any ruling that did not pass holds it."""
    failed = tuple(ruling.reason for ruling in rulings if not ruling.passed)
    return Verdict(
        decision="hold" if failed else "promote",
        reasons=failed or (*judged.reasons, *(ruling.reason for ruling in rulings)),
        rulings=(*judged.rulings, *rulings),
    )
