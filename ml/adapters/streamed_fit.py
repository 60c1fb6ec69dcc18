"""Fit a pipeline on rows that come in parts: memory holds some of them, whatever the size of the training window.

What the features need to know of all rows (medians, scales, categories) is learned from a sample. Each row then goes
through them once, into a matrix on the local disk, from which the estimator learns: XGBoost by its external memory,
LightGBM by a `Sequence`, any other step by step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline

from ml.adapters import xgboost_fit
from ml.adapters.engine import LOCAL, Engine
from ml.adapters.matrix_file import VALUE, MatrixFile
from ml.core.training import sample_weights, streaming
from ml.core.training.estimators import as_trained, trained_kinds
from ml.core.training.features import matrix
from ml.settings import Settings

Source = Callable[[Sequence[str] | None], Iterator[pd.DataFrame]]
"""Gives the rows in parts, each time anew; of the columns that are named, None means all."""
BATCH_BYTES = 64 << 20
"""So much of the matrix LightGBM reads at once."""
STEP_ROWS = 8192
"""So many rows are one step of an estimator with ``partial_fit``."""


def fit(
    pipeline: Pipeline, sample: pd.DataFrame, source: Source, settings: Settings, *, engine: Engine = LOCAL
) -> Pipeline:
    """Fit an unfitted pipeline whose estimator `ml.core.training.streaming.learner_of` knows.

    Parameters
    ----------
    pipeline
        As `ml.core.training.estimators.build` gives it; fitted in place.
    sample : DataFrame of shape (n_sampled, n_columns)
        Training rows that stand for all of them; not modified.
    source
        All training rows, with their history features, ``day`` and the target.
    engine
        What works on the shares of a fit that is divided among workers.

    Returns
    -------
    Pipeline
        The same one. The same rows in the same parts give the same model.

    Raises
    ------
    DataRejected
        If a row cannot be used: its features, or its weight.
    Unavailable
        If the local disk has no room for the matrix, or the workers that fit cannot be reached or were lost.
    """
    features, estimator = pipeline.named_steps["features"], pipeline.named_steps["estimator"]
    seen = features.fit_transform(matrix(sample, settings.features))
    with tempfile.TemporaryDirectory(prefix="evergreen-fit-") as folder:
        file, targets = _write(Path(folder) / "matrix", pipeline, source, settings, width=seen.shape[1])
        learner = streaming.learner_of(estimator)
        if learner == "xgboost":
            reference = _reference(sample, seen, settings)
            _xgboost(estimator, file, targets, reference, folder, settings, engine)
        elif learner == "lightgbm":
            _lightgbm(estimator, file, targets, settings)
        else:
            _in_steps(estimator, file, targets, settings)
    return pipeline


def of_frame(train: pd.DataFrame) -> Source:
    """Give the rows of a frame in one part."""
    return lambda columns: iter([train if columns is None else train[list(columns)]])


def _write(
    path: Path, pipeline: Pipeline, source: Source, settings: Settings, *, width: int
) -> tuple[MatrixFile, np.ndarray]:
    """Write the matrix; return it, and of a task with classes those that there are."""
    target, weighting = settings.task.target, settings.fit.sample_weight
    kinds = trained_kinds(pipeline, settings.features)
    rows, newest, scale = _survey(source, settings)
    classes: set[float] = set()
    with MatrixFile(path, features=width, rows=rows) as file:
        for frame in source(None):
            seen = as_trained(matrix(frame, settings.features), kinds)
            outcome = frame[target].to_numpy(dtype=float)
            if settings.task.kind != "regression":
                classes |= set(np.unique(outcome).tolist())
            weight = np.ones(len(frame))
            if weighting is not None:
                weight = sample_weights.unscaled(frame, weighting, newest=newest) * scale
            file.append(pipeline.named_steps["features"].transform(seen), outcome, weight)
    return file, np.array(sorted(classes))


def _survey(source: Source, settings: Settings) -> tuple[int, str, float]:
    """Count the rows, and find what their weights are related to: the newest day, and by what they are multiplied."""
    weighting = settings.fit.sample_weight
    columns = ["day", *([weighting.column] if weighting and weighting.column else [])]
    rows, newest = 0, ""
    for frame in source(columns):
        rows, newest = rows + len(frame), max(newest, str(frame["day"].max()))
    if weighting is None:
        return rows, newest, 1.0
    total = sum(float(sample_weights.unscaled(frame, weighting, newest=newest).sum()) for frame in source(columns))
    return rows, newest, sample_weights.scale(rows, total)


def _reference(sample: pd.DataFrame, seen: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the features of the sample and, where rows are weighted, their weights."""
    weighting = settings.fit.sample_weight
    return np.asarray(seen, dtype=VALUE), None if weighting is None else sample_weights.weights(sample, weighting)


def _prepared(estimator: Any, targets: np.ndarray, features: int) -> int:
    """Fit one made-up tree, so that the estimator knows its classes; return how many trees it is to have."""
    trees, values = estimator.n_estimators, targets if len(targets) else np.arange(2.0)
    made_up = np.random.default_rng(0).normal(size=(100 * len(values), features))
    outcome = np.tile(values.astype("int64") if len(targets) else values, 100)
    estimator.set_params(n_estimators=1).fit(made_up, outcome).set_params(n_estimators=trees)
    return 100 if trees is None else int(trees)


def _xgboost(
    estimator: Any,
    file: MatrixFile,
    targets: np.ndarray,
    sample: tuple[np.ndarray, np.ndarray | None],
    folder: str,
    settings: Settings,
    engine: Engine,
) -> None:
    """Fit by XGBoost's external memory; the bins of its histograms are those of the sample."""
    assert settings.fit.stream is not None
    trees = _prepared(estimator, targets, file.features)
    params = estimator.get_xgb_params() | ({"num_class": len(targets)} if len(targets) > 2 else {})
    options = {"max_bin": estimator.max_bin or 256, "nthread": estimator.n_jobs}
    recipe = xgboost_fit.Recipe(params, trees, options, *sample)
    threads = max(estimator.n_jobs or 0, 0) or settings.fit.threads
    workers = settings.fit.stream.workers
    estimator._Booster = xgboost_fit.fit(recipe, file, Path(folder), workers=workers, threads=threads, engine=engine)


def _lightgbm(estimator: Any, file: MatrixFile, targets: np.ndarray, settings: Settings) -> None:
    """Fit by LightGBM, which holds a byte of each value in memory and reads the values themselves from the file."""
    lightgbm = import_module("lightgbm")
    mapped = file.mapped()

    class Values(lightgbm.Sequence):  # type: ignore[name-defined]
        """Gives the library the rows that it asks for."""

        batch_size = file.rows_in(BATCH_BYTES)

        def __getitem__(self, index: Any) -> np.ndarray:
            return np.asarray(mapped[index][..., :-2], dtype=float)

        def __len__(self) -> int:
            return file.rows

    trees = _prepared(estimator, targets, file.features)
    params = {**estimator.booster_.params, "num_iterations": trees}
    weight = np.array(mapped[:, -1]) if settings.fit.sample_weight is not None else None
    data = lightgbm.Dataset([Values()], label=np.array(mapped[:, -2]), weight=weight, params=params)
    estimator._Booster = lightgbm.train(params, data, num_boost_round=trees)


def _in_steps(estimator: BaseEstimator, file: MatrixFile, targets: np.ndarray, settings: Settings) -> None:
    """Fit step by step; in each pass the parts, and the rows of a part, come in another order drawn by the seed."""
    assert settings.fit.stream is not None
    random, first = np.random.default_rng(settings.fit.seed), True
    for _ in range(settings.fit.stream.passes):
        for features, target, weight in file.parts(STEP_ROWS, random.permutation(file.count(STEP_ROWS)).tolist()):
            order = random.permutation(len(target))
            outcome = target[order].astype("int64" if is_classifier(estimator) else float)
            more: dict[str, Any] = {"classes": targets.astype("int64")} if first and is_classifier(estimator) else {}
            if settings.fit.sample_weight is not None:
                more["sample_weight"] = weight[order].astype(float)
            estimator.partial_fit(features[order].astype(float), outcome, **more)
            first = False
