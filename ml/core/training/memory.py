"""Estimate how much memory a training takes that holds its window, before it begins."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml.core.training.lagged_means import history_names
from ml.errors import SettingsError
from ml.settings import Settings

USUAL = 3.0
"""A fit by XGBoost of a million rows of 20 features took this many times the frame and the matrix (``bench``)."""
GIGA = 1e9


@dataclass(frozen=True)
class Needed:
    """Bytes: the window as a frame and as a matrix, which have to be there together, and what a fit usually takes."""

    least: float
    usual: float


def needed(example: pd.DataFrame, rows: int, settings: Settings) -> Needed:
    """Estimate the memory of a training that holds its window.

    Parameters
    ----------
    example : DataFrame of shape (n_some, n_columns)
        Some labelled rows; not modified.
    rows
        How many there are.
    """
    of_frame = float(example.memory_usage(deep=True, index=False).sum()) / max(len(example), 1)
    least = rows * (of_frame + 8 * _width(example, settings))
    return Needed(least, USUAL * least)


def _width(example: pd.DataFrame, settings: Settings) -> int:
    """Return into how many columns the features are made, as far as some rows tell."""
    features = settings.features
    categories = [name for name in features.categories if name in example]
    onehot = settings.fit.encoding == "onehot"
    of_categories = sum(int(example[name].nunique(dropna=False)) if onehot else 1 for name in categories)
    return of_categories + len(features.numbers) + len(history_names(features.history)) + 10 * len(features.spline)


def refuse_what_does_not_fit(need: Needed, available: float, rows: int, path: str) -> str | None:
    """Return a warning where a training may take more memory than there is; None where it will not.

    Raises
    ------
    SettingsError
        If not even the window itself has room: the system would end the process without a word.
    """
    about = f"{rows:,} rows held in memory take about {need.usual / GIGA:.1f} GB to train on"
    has = f"this machine gives {available / GIGA:.1f} GB"
    instead = (
        "train on fewer days (pull.days), or from files (fit.stream; docs/estimators.md says with which estimators)"
    )
    if need.least > available:
        raise SettingsError(
            f"{path} needs all rows of the window at once: {about}, {need.least / GIGA:.1f} GB of it for the rows "
            f"themselves, and {has}; {instead}, or give it more memory"
        )
    return f"{about}, and {has}; if it is ended for memory, {instead}" if need.usual > available else None
