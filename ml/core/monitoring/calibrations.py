"""Ways of turning a classifier's scores into probabilities, each learnt from scores with their outcomes.

Which of them follows a model is an empirical question: `ml.core.monitoring.estimated_performance` tries all of them on
later days. Platt's curve is a line in log odds and cannot follow scores that saturate; beta calibration bends
(Kull, Silva Filho & Flach 2017, doi:10.1214/17-EJS1338SI); isotonic regression follows any order (Zadrozny & Elkan
2002, doi:10.1145/775047.775151) and needs the most rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ml.core.built_in_metrics import SMALLEST
from ml.core.metrics import measured_of, row_loss
from ml.core.predictions import array

MIN_ROWS = 100
NARROWEST = 1e-6
RATIO_BINS, LARGEST_RATIO = 20, 20.0


class Calibration(ABC):
    """What makes probabilities of the scores of a binary classifier, and expected losses of these."""

    @abstractmethod
    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each score, an array of shape (n_rows,)."""

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Return each row's expected loss, an array of shape (n_rows,).

        Parameters
        ----------
        metric
            A loss such as ``log_loss`` or ``brier``; see `ml.core.metrics.row_loss`.
        """
        p, c = np.asarray(prediction, dtype=float), self.probability(prediction)
        ones, zeros = np.ones_like(p), np.zeros_like(p)
        return np.asarray(c * row_loss(ones, p, metric) + (1 - c) * row_loss(zeros, p, metric))

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Return the expected losses (``log_loss``, ``brier``), ``roc_auc`` and ``prevalence`` of some rows.

        Examples
        --------
        >>> values = Platt(intercept=0.0, slope=1.0).expected([0.5, 0.5])
        >>> {name: round(value, 4) for name, value in values.items()}
        {'log_loss': 0.6931, 'brier': 0.25, 'prevalence': 0.5, 'roc_auc': 0.5}
        """
        p = np.asarray(prediction, dtype=float)
        if not len(p):
            return {}
        c = self.probability(p)
        losses = {name: float(self.expected_losses(p, name).mean()) for name in _losses("classification")}
        return losses | {"prevalence": float(c.mean()), "roc_auc": expected_auc(p, c)}

    def surprise(self, prediction: ArrayLike, target: ArrayLike) -> float:
        """Return the mean log loss of the calibrated probabilities: the lower, the better they follow the outcomes."""
        return float(row_loss(target, self.probability(prediction), "log_loss").mean())


@dataclass(frozen=True)
class Identity(Calibration):
    """The scores as they are."""

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the scores."""
        return np.asarray(prediction, dtype=float)


@dataclass(frozen=True)
class Platt(Calibration):
    """``expit(intercept + slope × logit(score))`` (Platt 1999)."""

    intercept: float
    slope: float

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each score, an array of shape (n_rows,)."""
        return np.asarray(expit(self.intercept + self.slope * _logit(prediction)))


@dataclass(frozen=True)
class Beta(Calibration):
    """``expit(intercept + low × log(score) − high × log(1 − score))``; never falling, as both are at least 0."""

    intercept: float
    low: float
    high: float

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each score, an array of shape (n_rows,)."""
        both = _both_logs(prediction)
        return np.asarray(expit(self.intercept + both @ np.array([self.low, self.high])))


@dataclass(frozen=True, eq=False)
class Isotonic(Calibration):
    """A rising curve of steps, joined by lines."""

    curve: IsotonicRegression = field(repr=False)

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each score, an array of shape (n_rows,)."""
        return np.asarray(self.curve.predict(np.asarray(prediction, dtype=float)), dtype=float)


@dataclass(frozen=True, eq=False)
class ClassIdentity:
    """The scores of several classes as they are."""

    n_classes: int

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the probability of each class, an array of shape (n_rows, n_classes)."""
        return self._vectors(prediction)

    def _vectors(self, prediction: ArrayLike) -> np.ndarray:
        """Return scores as an array of shape (n_rows, n_classes), of no rows too."""
        return array(prediction).reshape(-1, self.n_classes)

    def expected_losses(self, prediction: ArrayLike, metric: str) -> np.ndarray:
        """Return each row's expected loss, an array of shape (n_rows,); see `Calibration.expected_losses`."""
        p, c = self._vectors(prediction), self.probability(prediction)
        return np.asarray(
            sum(c[:, number] * row_loss(np.full(len(p), number), p, metric) for number in range(c.shape[1]))
        )

    def expected(self, prediction: ArrayLike) -> dict[str, float]:
        """Return the expected losses and the expected ``roc_auc``, the mean over the classes, of some rows."""
        p = self._vectors(prediction)
        if not len(p):
            return {}
        c = self.probability(p)
        losses = {name: float(self.expected_losses(p, name).mean()) for name in _losses("multiclass")}
        areas = [expected_auc(p[:, number], c[:, number]) for number in range(c.shape[1])]
        return losses | {"roc_auc": float(np.mean(areas))}

    def surprise(self, prediction: ArrayLike, target: ArrayLike) -> float:
        """Return the mean log loss of the calibrated probabilities; see `Calibration.surprise`."""
        return float(row_loss(target, self.probability(prediction), "log_loss").mean())


@dataclass(frozen=True, eq=False)
class ClassCalibration(ClassIdentity):
    """What makes probabilities of the scores of several classes: a softmax of linear functions of their logarithms.

    Matrix scaling (Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599), kept from extremes by a weak penalty.
    """

    intercepts: np.ndarray
    slopes: np.ndarray

    def probability(self, prediction: ArrayLike) -> np.ndarray:
        """Return the calibrated probability of each class, an array of shape (n_rows, n_classes)."""
        return np.asarray(softmax(_logs(self._vectors(prediction)) @ self.slopes.T + self.intercepts, axis=1))


AnyCalibration = Calibration | ClassIdentity
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray | None], AnyCalibration]
"""From scores, outcomes and the weights of the rows (None: all alike) to a calibration."""


def learnable(prediction: ArrayLike, target: ArrayLike) -> bool:
    """Return whether scores with their outcomes can teach a calibration: 100 finite rows, and each class among them."""
    p, y = array(prediction), np.asarray(target, dtype=float)
    classes = 2 if p.ndim == 1 else p.shape[1]
    return len(p) >= MIN_ROWS and bool(np.isfinite(p).all()) and len(np.unique(y)) == classes


def methods_for(prediction: ArrayLike) -> Mapping[str, Fit]:
    """Return the ways to calibrate such scores by name, the simplest first."""
    return BINARY if array(prediction).ndim == 1 else OF_CLASSES


def _logistic() -> LogisticRegression:
    """Build a regression with a penalty too weak to matter, which decides where slopes are not determined."""
    return LogisticRegression(C=1e4, solver="newton-cholesky", max_iter=1000)


def fit_platt(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Platt:
    """Fit Platt's curve; scores that all tie keep their order and move to the observed rate."""
    scores = _logit(p)
    if np.ptp(scores) < NARROWEST:
        return Platt(float(logit(np.average(y, weights=weight)) - scores.mean()), 1.0)
    fitted = _logistic().fit(scores.reshape(-1, 1), y.astype(int), sample_weight=weight)
    return Platt(float(fitted.intercept_[0]), float(fitted.coef_[0, 0]))


def fit_beta(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> AnyCalibration:
    """Fit the beta curve; a side whose slope would fall is left out, as its authors do."""
    if np.ptp(_logit(p)) < NARROWEST:
        return fit_platt(p, y, weight)
    both = _both_logs(p)
    used = [0, 1]
    while used:
        fitted = _logistic().fit(both[:, used], y.astype(int), sample_weight=weight)
        slopes = dict(zip(used, map(float, fitted.coef_[0]), strict=True))
        if min(slopes.values()) >= 0:
            return Beta(float(fitted.intercept_[0]), slopes.get(0, 0.0), slopes.get(1, 0.0))
        used.remove(min(slopes, key=lambda side: slopes[side]))
    return fit_platt(p, y, weight)


def fit_isotonic(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Isotonic:
    """Fit a rising curve between the scores and their outcomes."""
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    return Isotonic(curve.fit(p, y, sample_weight=weight))


def fit_classes(p: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> ClassCalibration:
    """Fit matrix scaling of several classes."""
    fitted = LogisticRegression(C=len(p), max_iter=1000).fit(_logs(p), y.astype(int), sample_weight=weight)
    return ClassCalibration(p.shape[1], fitted.intercept_, fitted.coef_)


BINARY: Mapping[str, Fit] = {
    "identity": lambda _p, _y, _weight: Identity(),
    "Platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
OF_CLASSES: Mapping[str, Fit] = {
    "identity": lambda p, _y, _weight: ClassIdentity(p.shape[1]),
    "matrix scaling": fit_classes,
}


def density_ratio(known: ArrayLike, new: ArrayLike) -> np.ndarray:
    """Return how much more often each known score occurs among new ones, an array of shape (n_known,) of mean 1.

    The weights with which a calibration is learnt for rows of another mix (Białek, Kivimäki, Kuberski & Perrakis 2024,
    arXiv:2401.08348), here by the score alone: shares in bins of equal numbers, 20 at most, no ratio above 20.
    """
    p, q = np.asarray(known, dtype=float), np.asarray(new, dtype=float)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, RATIO_BINS + 1)[1:-1]))
    bin_of, size = np.searchsorted(edges, p, side="right"), len(edges) + 1
    was = np.bincount(bin_of, minlength=size) + 1.0
    now = np.bincount(np.searchsorted(edges, q, side="right"), minlength=size) + 1.0
    ratio = np.minimum((now / now.sum()) / (was / was.sum()), LARGEST_RATIO)[bin_of]
    return np.asarray(ratio / ratio.mean())


def expected_auc(score: np.ndarray, probability: np.ndarray) -> float:
    """Return the share of expected (positive, negative) pairs that the scores put in order; ties count half."""
    levels, at = np.unique(score, return_inverse=True)
    positive = np.bincount(at, weights=probability, minlength=len(levels))
    negative = np.bincount(at, weights=1 - probability, minlength=len(levels))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else 0.5


def _losses(kind: str) -> list[str]:
    return [metric.name for metric in measured_of(kind) if metric.is_loss]  # type: ignore[arg-type]


def _logs(prediction: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(prediction, SMALLEST, 1.0)))


def _logit(prediction: ArrayLike) -> np.ndarray:
    p = np.asarray(prediction, dtype=float)
    return np.asarray(logit(np.clip(p, SMALLEST, 1 - SMALLEST)))


def _both_logs(prediction: ArrayLike) -> np.ndarray:
    p = np.clip(np.asarray(prediction, dtype=float), SMALLEST, 1 - SMALLEST)
    return np.column_stack([np.log(p), -np.log1p(-p)])
