"""Predict the training window by fits that had not seen what they predict: what live predictions compare with.

In-sample predictions are too sure of themselves: held against them, every healthy day would have moved.
"""

from __future__ import annotations

import logging
from datetime import date

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core.monitoring.drift import sample_days
from ml.core.predictions import column
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.folds import Fold, time_ordered
from ml.errors import DataRejected
from ml.settings import Settings
from ml.steps.retrain.pipelines import fit_pipeline

logger = logging.getLogger(__name__)
PREDICTIONS = "monitoring/predictions.parquet"
COLUMNS = ["day", "prediction", "target"]
FOLDS = 5
MOST_ROWS = 200_000
"""No fold is fitted on more rows than these: its predictions stand for a distribution, and serve nobody."""


def predictions(run_dir: Workspace, train: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return honest predictions for the newer part of the window, once: kept in the workspace.

    Time-ordered folds of the training part, each predicted by a fit on the days before it, and after them the
    holdout as the candidate itself predicted it. A refit finds those of the version that was judged.

    Parameters
    ----------
    train : DataFrame of shape (n_rows, n_columns)
        The training part with its history features and the target.
    settings
        Those that the candidate is fitted with; after a search they hold what it found.

    Returns
    -------
    DataFrame of shape (n_predicted, 3)
        ``day``, ``prediction`` and ``target``, in day order; empty if the window is too short to be cut.
    """
    if run_dir.has(PREDICTIONS):
        return run_dir.read_table(PREDICTIONS)
    holdout = None
    if run_dir.has("evaluation/holdout.parquet"):
        holdout = run_dir.read_table("evaluation/holdout.parquet", columns=["day", "target", "challenger"])
    predicted = honest(train, holdout, settings)
    run_dir.write_table(PREDICTIONS, predicted)
    logger.info("out of fold: %d rows of %d days", len(predicted), predicted["day"].nunique())
    return predicted


def honest(train: pd.DataFrame, holdout: pd.DataFrame | None, settings: Settings) -> pd.DataFrame:
    """Predict the newer part of the training part, each fold by a fit on the days before it; see `predictions`.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``challenger``, as `ml.core.gate.gate_evidence.scored_holdout` gives them.
    """
    parts = [_fold(fold, train, settings) for fold in _folds(train, settings)]
    if holdout is not None:
        parts.append(holdout.rename(columns={"challenger": "prediction"})[COLUMNS])
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else _nothing()


def _folds(train: pd.DataFrame, settings: Settings) -> tuple[Fold, ...]:
    days = [date.fromisoformat(day) for day in train["day"].unique()]
    try:
        return time_ordered(days, folds=FOLDS, longest=len(days))
    except DataRejected:  # fewer days than folds: there is the holdout
        return ()


def _fold(fold: Fold, train: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    fitted, scored = (
        train.loc[train["day"].isin([day.isoformat() for day in days])] for days in (fold.fitted_on, fold.scored_on)
    )
    task = settings.task
    if task.kind != "regression" and fitted[task.target].nunique() < 2:
        return _nothing()
    try:
        pipeline = fit_pipeline(sample_days(fitted, rows=MOST_ROWS, seed=settings.fit.seed), settings)
        predicted = predict(pipeline, matrix(scored, settings.features), task.kind, len(task.classes))
    except ValueError as err:  # an estimator may refuse so few rows, and the candidate is good all the same
        logger.warning("out of fold: nothing is predicted from %s on: %s", fold.scored_on[0], err)
        return _nothing()
    return pd.DataFrame(
        {
            "day": scored["day"].to_numpy(),
            "prediction": column(predicted),
            "target": scored[task.target].to_numpy(dtype=float),
        }
    )


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({"day": pd.Series(dtype="str"), "prediction": [], "target": []}).astype(
        {"prediction": "float64", "target": "float64"}
    )
