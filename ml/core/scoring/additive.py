"""Find of a fitted estimator the raw scores that are sums of what its columns say, and try on rows that they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from ml.core.scoring import tree_tables
from ml.core.training.boosting import tree_shares

TOLERANCE, TREE_TOLERANCE = 1e-6, 1e-4
"""By so much a prediction may differ from the sum of its parts, where the parts are right; boosters add in 32 bits."""


@dataclass(frozen=True)
class Additive:
    """Divides the raw scores of an estimator among the columns that it is given.

    Attributes
    ----------
    parts
        Takes an array of shape (n_rows, n_columns), returns one of shape (n_rows, n_columns, n_scores).
    base
        What every row's raw scores have beside their parts, of shape (n_scores,).
    """

    parts: Callable[[np.ndarray], np.ndarray]
    base: np.ndarray

    def scores(self, transformed: np.ndarray) -> np.ndarray:
        """Return the raw scores of rows, an array of shape (n_rows, n_scores)."""
        return np.asarray(self.base + self.parts(transformed).sum(axis=1))


def needs_shap(estimator: Any) -> bool:
    """Return whether an estimator, or one that it is made of, is divided by the package shap."""
    if isinstance(estimator, Pipeline):
        return needs_shap(estimator[-1])
    if isinstance(estimator, CalibratedClassifierCV):
        return any(needs_shap(member.estimator) for member in estimator.calibrated_classifiers_)
    return isinstance(estimator, tree_tables.KINDS)


def additive(estimator: Any, sample: np.ndarray) -> Additive | None:
    """Return what divides an estimator's raw scores; None if they are no sum that is known.

    Of calibrated classifiers the raw score is the mean of those before the calibration, which keeps their order.

    Parameters
    ----------
    estimator
        Linear, of XGBoost or LightGBM, a tree or trees of scikit-learn, or a pipeline or a `CalibratedClassifierCV` of
        these.
    sample : array of shape (n_rows, n_columns)
        Rows as the estimator is given them: on these the sums are tried, for each estimator by itself.

    Raises
    ------
    Unavailable
        If shap is needed and not installed.
    """
    if isinstance(estimator, Pipeline):
        return _of_pipeline(estimator, sample)
    if isinstance(estimator, CalibratedClassifierCV):
        return _of_calibrated(estimator, sample)
    division, tolerance = _linear(estimator, sample), TOLERANCE
    if division is None:
        division = _boosted(estimator, sample)
        tolerance = TOLERANCE if division is None else TREE_TOLERANCE
    if division is None:
        division = _trees(estimator, sample)
    return division if division is not None and _adds_up(estimator, division, sample, tolerance) else None


def _linear(estimator: Any, sample: np.ndarray) -> Additive | None:
    weights = np.atleast_2d(np.asarray(getattr(estimator, "coef_", ()), dtype=float))
    intercept = np.ravel(getattr(estimator, "intercept_", 0.0))
    if weights.ndim != 2 or weights.shape[1] != sample.shape[1] or len(intercept) not in {1, len(weights)}:
        return None
    usual = sample.mean(axis=0)
    return Additive(lambda rows: (rows - usual)[:, :, None] * weights.T[None], usual @ weights.T + intercept)


def _boosted(estimator: Any, sample: np.ndarray) -> Additive | None:
    shares = tree_shares(estimator, sample[:1])
    if shares is None:
        return None

    def parts(rows: np.ndarray) -> np.ndarray:
        divided = tree_shares(estimator, rows)
        assert divided is not None
        return divided[:, :-1]

    return Additive(parts, shares[0, -1])


def _trees(estimator: Any, sample: np.ndarray) -> Additive | None:
    if not isinstance(estimator, tree_tables.KINDS):
        return None
    try:
        parts = tree_tables.TreeParts(estimator)
    except ValueError:
        return None
    first = sample[:1]
    return Additive(parts, (tree_tables.raw_scores(estimator, first) - parts(first).sum(axis=1))[0])


def _of_pipeline(pipeline: Pipeline, sample: np.ndarray) -> Additive | None:
    """Return what divides a pipeline's scores, if its steps keep or drop columns, and mix none."""
    names = np.array([f"c{number}" for number in range(sample.shape[1])], dtype=object)
    try:
        out = names if len(pipeline) == 1 else pipeline[:-1].get_feature_names_out(names)
    except (AttributeError, ValueError):  # of steps that do not name what they make
        return None
    places = [int(name[1:]) for name in out if name in names]
    if len(places) != len(out) or len(set(places)) != len(places):
        return None

    def inner(rows: np.ndarray) -> np.ndarray:
        return rows if len(pipeline) == 1 else np.asarray(pipeline[:-1].transform(rows), dtype=float)

    last = additive(pipeline[-1], inner(sample))
    if last is None:
        return None

    def parts(rows: np.ndarray) -> np.ndarray:
        divided = last.parts(inner(rows))
        whole = np.zeros((len(rows), len(names), divided.shape[2]))
        whole[:, places] = divided
        return whole

    return Additive(parts, last.base)


def _of_calibrated(calibrated: CalibratedClassifierCV, sample: np.ndarray) -> Additive | None:
    members: list[Additive] = []
    for member in calibrated.calibrated_classifiers_:
        division = additive(member.estimator, sample)
        if division is None or len(member.estimator.classes_) != len(calibrated.classes_):
            return None
        members.append(division)
    if len({member.base.shape for member in members}) != 1:
        return None
    return Additive(lambda rows: _mean([member.parts(rows) for member in members]), _mean([m.base for m in members]))


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(np.stack(arrays), axis=0))


def _adds_up(estimator: Any, division: Additive, sample: np.ndarray, tolerance: float) -> bool:
    """Try whether the sums, or the probabilities or values that they stand for, are what the estimator predicts."""
    scores = division.scores(sample)
    meant: list[Callable[[np.ndarray], np.ndarray]] = [lambda raw: raw]
    if hasattr(estimator, "predict_proba"):
        predicted = np.asarray(estimator.predict_proba(sample), dtype=float)
        predicted = predicted[:, 1:] if predicted.shape[1] == 2 else predicted
        # Of two classes a loss may count the logit half (Friedman 2001: AdaBoost's exponential loss).
        one_score = scores.shape[1] == 1
        meant += [expit, lambda raw: expit(2 * raw)] if one_score else [lambda raw: softmax(raw, axis=1)]
    elif hasattr(estimator, "decision_function"):
        predicted = np.asarray(estimator.decision_function(sample), dtype=float)
    else:
        predicted = np.asarray(estimator.predict(sample), dtype=float)
        meant.append(np.exp)  # counts
    predicted = predicted.reshape(len(sample), -1)
    with np.errstate(over="ignore"):
        return predicted.shape == scores.shape and any(
            np.allclose(link(scores), predicted, rtol=tolerance, atol=tolerance) for link in meant
        )
