"""Look for what a model cannot know: features that give the outcome away, rows on both sides of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.tree import DecisionTreeRegressor

from ml.core.metrics import Kind

BINS = 20
PRIOR_ROWS = 20.0
STRONGEST, PAIRED_FEATURES, PAIRED_ROWS, KEPT_PAIRS = 8, 40, 10_000, 5
"""Each of so many features is paired with each of so many, on so many rows; so many pairs are written down."""

TREE_DEPTH, MIN_LEAF_ROWS = 8, 50


class Pair(BaseModel):
    """How well two features explain the holdout together, and the better of them alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    together: float
    alone: float


class Leakage(BaseModel):
    """What was found; ``strengths`` is how well each feature alone explains the holdout.

    ``pairs`` is how well two of the strongest do together, of the best of them. ``measure`` names the unit: AUC of a
    classification, R² of a regression.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    strengths: dict[str, float]
    pairs: dict[str, Pair] = {}
    shared_days: int
    shared_keys: int
    label_columns: tuple[str, ...] = ()


def look(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    features: Sequence[str],
    *,
    target: str,
    key: Sequence[str],
    kind: Kind,
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
    label_columns
        The columns of ``labels`` other than the key.

    Returns
    -------
    Leakage
        A feature that cannot be measured (a single class) has the strength NaN.
    """
    strengths = {name: _strength(train, holdout, name, target, kind) for name in features}
    pairs = _pairs(train, holdout, strengths, target, kind)
    seen, judged = (pd.MultiIndex.from_frame(part[list(key)].astype(str)) for part in (train, holdout))
    return Leakage(
        measure="AUC" if kind == "classification" else "R²",
        strengths=strengths,
        pairs=pairs,
        shared_days=len(set(train["day"]) & set(holdout["day"])),
        shared_keys=int(judged.isin(seen).sum()),
        label_columns=tuple(name for name in label_columns if name in features),
    )


def _strength(train: pd.DataFrame, holdout: pd.DataFrame, name: str, target: str, kind: Kind) -> float:
    known, asked = _binned(train[name], holdout[name])
    y = train[target].to_numpy(dtype=float)
    table = pd.DataFrame({"bin": known, "y": y}).groupby("bin")["y"].agg(["sum", "size"])
    means = (table["sum"] + PRIOR_ROWS * y.mean()) / (table["size"] + PRIOR_ROWS)
    guess = pd.Series(asked).map(means).fillna(y.mean()).to_numpy(dtype=float)
    return _explained(holdout[target].to_numpy(dtype=float), guess, kind)


def _explained(truth: np.ndarray, guess: np.ndarray, kind: Kind) -> float:
    if kind == "regression":
        return float(r2_score(truth, guess)) if len(truth) > 1 else float("nan")
    return float(roc_auc_score(truth, guess)) if len(np.unique(truth)) == 2 else float("nan")


def _pairs(
    train: pd.DataFrame, holdout: pd.DataFrame, strengths: Mapping[str, float], target: str, kind: Kind
) -> dict[str, Pair]:
    """Let each of the strongest features predict with each other one, which may look like noise; best pairs first."""
    known = [name for name, value in strengths.items() if np.isfinite(value)]
    ordered = sorted(known, key=lambda name: -strengths[name])[:PAIRED_FEATURES]
    if len(ordered) < 2 or len(train) < 2 * MIN_LEAF_ROWS:
        return {}
    train, holdout = (
        part.iloc[np.unique(np.linspace(0, len(part) - 1, PAIRED_ROWS).astype(int))] for part in (train, holdout)
    )
    y, truth = (part[target].to_numpy(dtype=float) for part in (train, holdout))
    coded = {name: _coded(train[name], holdout[name], y) for name in ordered}
    found = {}
    for one, other in ((a, b) for a, b in combinations(ordered, 2) if a in ordered[:STRONGEST]):
        known_by, asked_by = (
            np.column_stack([first, second, first - second, first + second])
            for first, second in zip(coded[one], coded[other], strict=True)
        )
        tree = DecisionTreeRegressor(max_depth=TREE_DEPTH, min_samples_leaf=MIN_LEAF_ROWS, random_state=0)
        together = _explained(truth, tree.fit(known_by, y).predict(asked_by), kind)
        if np.isfinite(together):
            found[f"{one} with {other}"] = Pair(together=together, alone=max(strengths[one], strengths[other]))
    return dict(sorted(found.items(), key=lambda pair: -pair[1].together)[:KEPT_PAIRS])


def _coded(train: pd.Series, holdout: pd.Series, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write a feature as numbers: a category as its mean of the target, a null as a number far below all others."""
    if pd.api.types.is_numeric_dtype(train):
        sides = [pd.to_numeric(part, errors="coerce").to_numpy(dtype=float) for part in (train, holdout)]
    else:
        known, asked = _binned(train, holdout)
        table = pd.DataFrame({"bin": known, "y": y}).groupby("bin")["y"].agg(["sum", "size"])
        means = (table["sum"] + PRIOR_ROWS * y.mean()) / (table["size"] + PRIOR_ROWS)
        sides = [pd.Series(part).map(means).fillna(y.mean()).to_numpy(dtype=float) for part in (known, asked)]
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
