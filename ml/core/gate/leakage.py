"""Look for what a model cannot know: features that give the outcome away, rows on both sides of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.tree import DecisionTreeRegressor

from ml.core.metric import Kind
from ml.core.predictions import outcomes

BINS = 20
PRIOR_ROWS = 20.0
STRONGEST, PAIRED_FEATURES, PAIRED_ROWS, KEPT_PAIRS = 8, 40, 10_000, 5
"""Each of so many features is paired with each of so many, on so many rows; so many pairs are written down."""

TREE_DEPTH, MIN_LEAF_ROWS = 8, 50
FEWEST_OF_CLASS = 50
"""Of several classes, one with fewer rows in the holdout is separated by chance now and then, and does not count."""


class Pair(BaseModel):
    """How well two features explain the holdout together, and the better of them alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    together: float
    alone: float


class Leakage(BaseModel):
    """What was found; ``strengths`` is how well each feature alone explains the holdout.

    ``pairs`` is how well two of the strongest do together, of the best of them. ``measure`` names the unit: AUC of a
    classification, R² of a regression; of several classes the AUC of the class against the rest that is separated best,
    whose number ``best_classes`` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    strengths: dict[str, float]
    pairs: dict[str, Pair] = {}
    shared_days: int
    shared_keys: int
    label_columns: tuple[str, ...] = ()
    best_classes: dict[str, int] = {}


def look(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    features: Sequence[str],
    *,
    target: str,
    key: Sequence[str],
    kind: Kind,
    classes: int = 0,
    label_columns: Sequence[str] = (),
) -> Leakage:
    """Let each feature alone predict the holdout, and compare days and keys of the two parts.

    A feature predicts by the training mean of the target in its bin (twenty equally filled ones, one for
    nulls, a category each for text), drawn towards the overall mean, so that shapes that are not monotone
    and the mere presence of a value are seen too. Two features together predict by a small tree on both, their sum and
    their difference, fitted on a sample: the outcome may lie in what neither says, as in an actual and a planned time.

    Parameters
    ----------
    train, holdout : DataFrame of shape (n_rows, n_columns)
        Carry ``features``, ``target`` and ``key``; not modified.
    classes
        How many ``task.classes`` there are.
    label_columns
        The columns of ``labels`` other than the key.

    Returns
    -------
    Leakage
        A feature that cannot be measured (a single class) has the strength NaN.
    """
    numbers = range(classes) if kind == "multiclass" else None
    by_class = {name: _strengths(train, holdout, name, target, kind, numbers) for name in features}
    best = {name: _best(values) for name, values in by_class.items()}
    strengths = {name: values[best[name]] for name, values in by_class.items()}
    pairs = _pairs(train, holdout, strengths, target, kind, best if numbers else None)
    seen, judged = (pd.MultiIndex.from_frame(part[list(key)].astype(str)) for part in (train, holdout))
    return Leakage(
        measure="R²" if kind == "regression" else "AUC",
        strengths=strengths,
        pairs=pairs,
        shared_days=len(set(train["day"]) & set(holdout["day"])),
        shared_keys=int(judged.isin(seen).sum()),
        label_columns=tuple(name for name in label_columns if name in features),
        best_classes=best if numbers else {},
    )


def _strengths(
    train: pd.DataFrame, holdout: pd.DataFrame, name: str, target: str, kind: Kind, numbers: Sequence[int] | None
) -> dict[int, float]:
    """Return how well a feature explains the target, or of several classes each of them against the rest."""
    bins = _binned(train[name], holdout[name])
    y, truth = (part[target].to_numpy(dtype=float) for part in (train, holdout))
    if numbers is None:
        return {0: _strength(bins, y, truth, kind)}
    sides = {number: (y == number, truth == number) for number in numbers}
    return {
        number: _strength(bins, of_train.astype(float), of_holdout.astype(float), kind)
        if of_holdout.sum() >= FEWEST_OF_CLASS
        else float("nan")
        for number, (of_train, of_holdout) in sides.items()
    }


def _best(by_class: Mapping[int, float]) -> int:
    return max(by_class, key=lambda number: _or_lowest(by_class[number]))


def _or_lowest(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _strength(bins: tuple[np.ndarray, np.ndarray], y: np.ndarray, truth: np.ndarray, kind: Kind) -> float:
    train_bins, holdout_bins = bins
    table = pd.DataFrame({"bin": train_bins, "y": y}).groupby("bin")["y"].agg(["sum", "size"])
    means = (table["sum"] + PRIOR_ROWS * y.mean()) / (table["size"] + PRIOR_ROWS)
    guess = pd.Series(holdout_bins).map(means).fillna(y.mean()).to_numpy(dtype=float)
    return _explained(truth, guess, kind)


def _explained(truth: np.ndarray, guess: np.ndarray, kind: Kind) -> float:
    if guess.ndim > 1:
        by_class = [
            _explained(of_class, guess[:, number], "classification")
            for number, of_class in enumerate(outcomes(truth, guess.shape[1]).T)
            if of_class.sum() >= FEWEST_OF_CLASS
        ]
        return max(by_class, key=_or_lowest, default=float("nan"))
    if kind == "regression":
        return float(r2_score(truth, guess)) if len(truth) > 1 else float("nan")
    return float(roc_auc_score(truth, guess)) if len(np.unique(truth)) == 2 else float("nan")


def _pairs(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    strengths: Mapping[str, float],
    target: str,
    kind: Kind,
    best: Mapping[str, int] | None,
) -> dict[str, Pair]:
    """Let each of the strongest features predict with each other one, which may look like noise; best pairs first.

    Parameters
    ----------
    best
        Of several classes, the one that each feature tells best.
    """
    names = [name for name, value in strengths.items() if np.isfinite(value)]
    ordered = sorted(names, key=lambda name: -strengths[name])[:PAIRED_FEATURES]
    if len(ordered) < 2 or len(train) < 2 * MIN_LEAF_ROWS:
        return {}
    train, holdout = (
        part.iloc[np.unique(np.linspace(0, len(part) - 1, PAIRED_ROWS).astype(int))] for part in (train, holdout)
    )
    y, truth = (part[target].to_numpy(dtype=float) for part in (train, holdout))
    coded = {
        name: _coded(train[name], holdout[name], y if best is None else (y == best[name]).astype(float))
        for name in ordered
    }
    fitted_to = y if best is None else outcomes(y, 1 + int(max(y.max(), truth.max())))
    pairs = {}
    for feature, other in ((a, b) for a, b in combinations(ordered, 2) if a in ordered[:STRONGEST]):
        known_by, requested_by = (
            np.column_stack([first, second, first - second, first + second])
            for first, second in zip(coded[feature], coded[other], strict=True)
        )
        tree = DecisionTreeRegressor(max_depth=TREE_DEPTH, min_samples_leaf=MIN_LEAF_ROWS, random_state=0)
        together = _explained(truth, tree.fit(known_by, fitted_to).predict(requested_by), kind)
        if np.isfinite(together):
            pairs[f"{feature} with {other}"] = Pair(together=together, alone=max(strengths[feature], strengths[other]))
    return dict(sorted(pairs.items(), key=lambda pair: -pair[1].together)[:KEPT_PAIRS])


def _coded(train: pd.Series, holdout: pd.Series, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write a feature as numbers: a category as its mean of the target, a null as a number far below all others."""
    if pd.api.types.is_numeric_dtype(train):
        sides = [pd.to_numeric(part, errors="coerce").to_numpy(dtype=float) for part in (train, holdout)]
    else:
        train_bins, holdout_bins = _binned(train, holdout)
        table = pd.DataFrame({"bin": train_bins, "y": y}).groupby("bin")["y"].agg(["sum", "size"])
        means = (table["sum"] + PRIOR_ROWS * y.mean()) / (table["size"] + PRIOR_ROWS)
        sides = [
            pd.Series(part).map(means).fillna(y.mean()).to_numpy(dtype=float) for part in (train_bins, holdout_bins)
        ]
    finite = sides[0][np.isfinite(sides[0])]
    below = float(finite.min() - 2 * (np.ptp(finite) + 1)) if len(finite) else -1.0
    first, second = (np.where(np.isfinite(part), part, below) for part in sides)
    return first, second


def _binned(train: pd.Series, holdout: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    if not pd.api.types.is_numeric_dtype(train):
        return tuple(part.astype("string").fillna("<null>").to_numpy(dtype=object) for part in (train, holdout))  # type: ignore[return-value]
    numbers = train.dropna().to_numpy(dtype=float)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])) if len(numbers) else np.zeros(0)

    def place(part: pd.Series) -> np.ndarray:
        values = pd.to_numeric(part, errors="coerce").to_numpy(dtype=float)
        return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))

    return place(train), place(holdout)
