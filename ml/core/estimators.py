"""One scikit-learn pipeline holds features and estimator, so training and scoring cannot differ."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

from ml.core.features import history_names
from ml.errors import SettingsError
from ml.settings import Features, Fit, Task


def build(task: Task, features: Features, fit: Fit) -> Pipeline:
    """Build the unfitted pipeline that the settings describe.

    Raises
    ------
    SettingsError
        If the estimator cannot be imported, does not take an argument, or is of the wrong kind.
    """
    return Pipeline([("features", _columns(features, fit)), ("estimator", _estimator(task, fit))])


def _estimator(task: Task, fit: Fit) -> BaseEstimator:
    module_name, _, name = fit.estimator.rpartition(".")
    try:
        kind: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError, TypeError) as err:
        raise SettingsError(
            f"fit.estimator {fit.estimator!r} cannot be imported ({err}); give the full path of a "
            "scikit-learn class such as sklearn.linear_model.LogisticRegression"
        ) from err
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise SettingsError(
            f"fit.estimator {fit.estimator!r} is no scikit-learn estimator; give the full path of a class "
            "such as sklearn.linear_model.LogisticRegression"
        )
    try:
        estimator = kind(**fit.args)
    except TypeError as err:
        raise SettingsError(f"fit.args do not suit {fit.estimator}: {err}; see the class's own parameters") from err
    right = is_classifier(estimator) if task.kind == "classification" else is_regressor(estimator)
    if not right:
        raise SettingsError(
            f"fit.estimator {fit.estimator} does not fit a task of kind {task.kind!r}; choose another of the two"
        )
    if task.kind == "classification" and not hasattr(estimator, "predict_proba"):
        raise SettingsError(
            f"fit.estimator {fit.estimator} with these fit.args gives no probabilities (predict_proba); choose one "
            "that does, such as sklearn.linear_model.LogisticRegression"
        )
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=fit.seed)
    return estimator


def _columns(features: Features, fit: Fit) -> ColumnTransformer:
    parts: list[tuple[str, Any, list[str]]] = []
    if features.categorical:
        parts.append(("categorical", _encoder(features, fit), list(features.categorical)))
    numeric = [*features.numeric, *history_names(features.history)]
    if numeric:
        parts.append(("numeric", make_pipeline(_imputer(), StandardScaler()), numeric))
    if features.spline:
        splines = SplineTransformer(n_knots=8, degree=3, knots="quantile", extrapolation="constant")
        parts.append(("spline", make_pipeline(_imputer(), splines), list(features.spline)))
    return ColumnTransformer(parts, remainder="drop", sparse_threshold=0.0, verbose_feature_names_out=True)


def _encoder(features: Features, fit: Fit) -> BaseEstimator:
    """Encode categories; those that are rare share one code.

    One-hot, those never seen while fitting share it too (all zeros if none was rare). Ordinal, they
    have -1, below every other code: scikit-learn's `OrdinalEncoder` cannot give them the rare one's.
    """
    if fit.encoding == "onehot":
        return OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=features.min_category_rows,
            sparse_output=False,
        )
    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-2,
        min_frequency=features.min_category_rows,
    )


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def predict(pipeline: Pipeline, matrix: pd.DataFrame, kind: str) -> np.ndarray:
    """Predict the probability of 1, or the value.

    Returns
    -------
    array of shape (n_rows,)
        Empty for no rows.
    """
    if matrix.empty:
        return np.zeros(0)
    if kind == "classification":
        return np.asarray(pipeline.predict_proba(matrix)[:, 1], dtype=float)
    return np.asarray(pipeline.predict(matrix), dtype=float)
