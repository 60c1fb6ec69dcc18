"""The metrics that Evergreen has by itself; to add one is to add it to the list here.

A separate package announces its own by an entry point of the group ``evergreen.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from ml.core.metric import Kind, Mean, Metric, Ranked, Ranks, Sums
from ml.core.predictions import outcomes
from ml.names import SHARE_BELOW, pinball_name

CLASSES: tuple[Kind, ...] = ("classification", "multiclass")
SMALLEST = 1e-15
CALIBRATION_BINS = 10


def _log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    if p.ndim > 1:
        return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y.astype(int)], SMALLEST, 1.0)))
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def _squared(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray((p - y) ** 2)


def _brier(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the squared differences; of several classes their sum over the classes, 0 to 2 (Brier 1950)."""
    return _squared(y, p) if p.ndim == 1 else np.asarray(((p - outcomes(y, p.shape[1])) ** 2).sum(axis=1))


def _absolute(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(p - y))


def _pinball(quantile: float, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(quantile * (y - p), (quantile - 1) * (y - p)))


def _at_or_below(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray(y <= p, dtype=float)


def _difference(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray(p - y)


def _class_gaps(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    return (_difference(y, p),) if p.ndim == 1 else tuple((p - outcomes(y, p.shape[1])).T)


def _largest_gap(rows: np.ndarray, *gaps: np.ndarray) -> np.ndarray:
    """Return the mean gap of the class that is furthest off, with its sign."""
    means = np.stack([np.asarray(gap / rows) for gap in gaps])
    return np.asarray(np.take_along_axis(means, np.abs(means).argmax(axis=0, keepdims=True), axis=0)[0])


def _calibration_gap(y: np.ndarray, p: np.ndarray) -> float:
    if p.ndim == 1:
        return float(p.mean() - y.mean())
    return float(_largest_gap(np.asarray(1.0), *(gap.mean() for gap in _class_gaps(y, p))))


def _hit(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.asarray(p.argmax(axis=1) == y, dtype=float)


def _class_counts(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return of each class which rows are of it, which are decided so, and which are both."""
    true, decided = outcomes(y, p.shape[1]), outcomes(p.argmax(axis=1), p.shape[1])
    return (*true.T, *decided.T, *(true * decided).T)


def _recall(rows: np.ndarray, *counts: np.ndarray) -> np.ndarray:
    """Return the mean share of each class's rows that are decided so, over the classes that are there."""
    true, _, both = np.split(np.stack(counts), 3)
    return _mean_over_classes(both, true)


def _macro_f1(rows: np.ndarray, *counts: np.ndarray) -> np.ndarray:
    """Return the mean F1 score over the classes that are there, or are decided."""
    true, decided, both = np.split(np.stack(counts), 3)
    return _mean_over_classes(2 * both, true + decided)


def _mean_over_classes(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    there = whole > 0
    shares = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=there)
    return np.asarray(shares.sum(axis=0) / np.maximum(there.sum(axis=0), 1))


def _over_all(combine: Callable[..., np.ndarray]) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, p: float(combine(np.asarray(len(y)), *(count.sum() for count in _class_counts(y, p))))


def _outcome(y: np.ndarray, _: np.ndarray) -> np.ndarray:
    return y


def _two_classes(y: np.ndarray) -> bool:
    low, high = y.min(), y.max()
    return bool(low < high and ((y == low) | (y == high)).all())


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, p)) if _two_classes(y) else None


def _average_precision(y: np.ndarray, p: np.ndarray) -> float | None:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(y, p)) if _two_classes(y) else None


def _calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    from ml.core.metrics import calibration

    table = calibration(y, p)
    weight = table["rows"] / table["rows"].sum()
    return float((weight * (table["predicted"] - table["observed"]).abs()).sum())


def _r2(y: np.ndarray, p: np.ndarray) -> float | None:
    from sklearn.metrics import r2_score

    return float(r2_score(y, p)) if len(y) > 1 and np.ptp(y) > 0 else None


def _area(ranks: Ranks) -> np.ndarray:
    """Return the share of pairs of both classes that are in order; ties count half."""
    positives, negatives = ranks.positive.sum(axis=-1), ranks.negative.sum(axis=-1)
    below = ranks.negative.cumsum(axis=-1) - ranks.negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ranks.positive * below).sum(axis=-1) / (positives * negatives))


def _ranked_precision(ranks: Ranks) -> np.ndarray:
    both = ranks.positive + ranks.negative
    hits, named = ranks.positive[..., ::-1].cumsum(axis=-1), both[..., ::-1].cumsum(axis=-1)
    precision = np.divide(hits, named, out=np.zeros_like(hits), where=named > 0)
    positives = ranks.positive.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.asarray((precision * ranks.positive[..., ::-1]).sum(axis=-1) / positives)
    return np.where(ranks.negative.sum(axis=-1) > 0, value, np.nan)


def _ranked_calibration_error(ranks: Ranks) -> np.ndarray:
    """Return the calibration error over equally filled bins, as they would be of the rows that were drawn."""
    both = ranks.positive + ranks.negative
    rows, until = both.sum(axis=-1, keepdims=True), both.cumsum(axis=-1)
    bins = np.ceil((until - both + (both + 1) / 2) / rows * CALIBRATION_BINS).astype(int)
    gaps = both * ranks.levels - ranks.positive
    shape = (int(np.prod(bins.shape[:-1])), CALIBRATION_BINS + 2)  # where nothing was drawn at the end, one beyond
    cells = (bins.reshape(shape[0], -1) + np.arange(shape[0])[:, None] * shape[1]).ravel()
    binned = np.bincount(cells, weights=gaps.ravel(), minlength=shape[0] * shape[1]).reshape(*bins.shape[:-1], shape[1])
    return np.asarray(np.abs(binned).sum(axis=-1) / rows[..., 0])


def _spread(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    centred = y - y.mean()
    return _squared(y, p), centred**2, centred


def _explained(rows: np.ndarray, squared: np.ndarray, scatter: np.ndarray, centred: np.ndarray) -> np.ndarray:
    spread = scatter - centred**2 / rows
    return np.asarray(1 - np.divide(squared, spread, out=np.full_like(rows, np.nan), where=spread > 0))


_ALL = (
    Metric("log_loss", "log loss", "lower", CLASSES, Mean(_log_loss), backtest_column=1),
    Metric("brier", "Brier score", "lower", CLASSES, Mean(_brier), short="Brier", backtest_column=3),
    Metric("accuracy", "accuracy", "higher", ("multiclass",), Mean(_hit), backtest_column=4),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "higher",
        ("multiclass",),
        Sums(_class_counts, _recall),
        _over_all(_recall),
    ),
    Metric("macro_f1", "macro F1", "higher", ("multiclass",), Sums(_class_counts, _macro_f1), _over_all(_macro_f1)),
    # Of several classes the mean over them: the classwise one of Kull et al. 2019, arXiv:1910.12656.
    # The expected calibration error: Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602.
    Metric(
        "calibration_error",
        "calibration error",
        "lower",
        CLASSES,
        Ranked(_ranked_calibration_error),
        _calibration_error,
    ),
    Metric(
        "calibration_gap",
        "calibration gap",
        "nearer 0",
        CLASSES,
        Sums(_class_gaps, _largest_gap),
        _calibration_gap,
    ),
    Metric("prevalence", "observed rate", "", ("classification",), Mean(_outcome)),
    Metric("roc_auc", "ROC AUC", "higher", CLASSES, Ranked(_area), _roc_auc, short="AUC", backtest_column=2),
    Metric(
        "average_precision",
        "average precision",
        "higher",
        CLASSES,
        Ranked(_ranked_precision),
        _average_precision,
    ),
    Metric(
        "rmse",
        "RMSE",
        "lower",
        ("regression",),
        Mean(_squared, root=True, mean_label="mean squared error"),
        backtest_column=1,
    ),
    Metric(
        "mae", "MAE", "lower", ("regression",), Mean(_absolute, mean_label="mean absolute error"), backtest_column=2
    ),
    Metric("bias", "bias", "nearer 0", ("regression",), Mean(_difference)),
    Metric("r2", "R²", "higher", ("regression",), Sums(_spread, _explained), _r2, backtest_column=3),
)
BUILT_IN = {metric.name: metric for metric in _ALL}
"""The metrics by name, in the order in which they are written down."""

PINBALL = "pinball_"


@cache
def of_name(name: str) -> Metric | None:
    """Return a metric of predictions of a quantile by its name, such as ``pinball_0.9``; None if it names none.

    The pinball loss is lowest, on average, where the quantile itself is predicted (Koenker & Bassett 1978,
    doi:10.2307/1913643).

    Examples
    --------
    >>> of_name("pinball_0.9").compute(np.array([10.0, 10.0]), np.array([8.0, 12.0]))
    1.0
    >>> of_name("pinball_2") is None
    True
    """
    if name == SHARE_BELOW:
        label = "share at or below the prediction"
        return Metric(name, label, "", ("regression",), Mean(_at_or_below), short="share below", backtest_column=2)
    try:
        quantile = float(name.removeprefix(PINBALL))
    except ValueError:
        return None
    if not 0 < quantile < 1 or pinball_name(quantile) != name:
        return None
    label, rows = f"pinball loss of {quantile:g}", Mean(partial(_pinball, quantile))
    return Metric(name, label, "lower", ("regression",), rows, backtest_column=1)


def of_quantile(quantile: float) -> tuple[Metric, ...]:
    """Return the metrics of predictions of a quantile."""
    return tuple(metric for name in (pinball_name(quantile), SHARE_BELOW) if (metric := of_name(name)) is not None)
