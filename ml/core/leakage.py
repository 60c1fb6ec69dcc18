"""Look for what a model cannot know: features that give the outcome away, rows on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import r2_score, roc_auc_score

from ml.core.metrics import Kind

BINS = 20
PRIOR_ROWS = 20.0


class Leakage(BaseModel):
    """What was found; ``strengths`` is how well each feature alone explains the holdout.

    ``measure`` names the unit: AUC of a classification, R² of a regression.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    strengths: dict[str, float]
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
    and the mere presence of a value are seen too.

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
    seen, judged = (pd.MultiIndex.from_frame(part[list(key)].astype(str)) for part in (train, holdout))
    return Leakage(
        measure="AUC" if kind == "classification" else "R²",
        strengths=strengths,
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
    truth = holdout[target].to_numpy(dtype=float)
    if kind == "regression":
        return float(r2_score(truth, guess)) if len(truth) > 1 else float("nan")
    return float(roc_auc_score(truth, guess)) if len(np.unique(truth)) == 2 else float("nan")


def _binned(train: pd.Series, holdout: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    if not pd.api.types.is_numeric_dtype(train):
        return tuple(part.astype("string").fillna("<null>").to_numpy(dtype=object) for part in (train, holdout))  # type: ignore[return-value]
    numbers = train.dropna().to_numpy(dtype=float)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])) if len(numbers) else np.zeros(0)

    def place(part: pd.Series) -> np.ndarray:
        values = pd.to_numeric(part, errors="coerce").to_numpy(dtype=float)
        return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))

    return place(train), place(holdout)
