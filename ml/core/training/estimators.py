"""One scikit-learn pipeline holds features and estimator, so training and scoring cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler
from sklearn.utils import get_tags

from ml.core import predictions
from ml.core.data.schema import CHANGE_TYPE, NULL, Kind, Types, kind_of, kind_of_values
from ml.core.training import chosen_estimator, sample_weights, streaming
from ml.core.training.blockwise import BlockwisePipeline
from ml.core.training.lagged_means import history_names
from ml.errors import DataRejected, SettingsError
from ml.settings import Features, Fit, Task


def build(task: Task, features: Features, fit: Fit) -> Pipeline:
    """Build the unfitted pipeline that the settings describe.

    Raises
    ------
    SettingsError
        If the estimator cannot be imported, is not trusted, does not take an argument or its value, is of the
        wrong kind, or cannot take these features.
    """
    estimator = _estimator(task, fit)
    _refuse_unsuited(estimator, features, fit)
    if fit.sample_weight:
        sample_weights.refuse_unweighted(estimator, fit.estimator)
    if fit.stream:
        streaming.refuse_unstreamed(estimator, fit.estimator, workers=fit.stream.workers)
    return Pipeline([("features", _columns(features, fit)), ("estimator", estimator)])


def _estimator(task: Task, fit: Fit) -> BaseEstimator:
    estimator = chosen_estimator.make(fit)
    try:
        _refuse_other_kind(estimator, task, fit)
        _refuse_other_quantile(estimator, task, fit)
    except (AttributeError, TypeError, ValueError) as err:  # of scikit-learn, about these very arguments
        raise chosen_estimator.unsuited(fit.estimator, err) from err
    return estimator


def _refuse_other_kind(estimator: BaseEstimator, task: Task, fit: Fit) -> None:
    right = is_regressor(estimator) if task.kind == "regression" else is_classifier(estimator)
    if not right:
        raise SettingsError(
            f"fit.estimator {fit.estimator} does not fit a task of kind {task.kind!r}; choose another of the two"
        )
    if task.kind != "regression" and not hasattr(estimator, "predict_proba"):
        raise SettingsError(
            f"fit.estimator {fit.estimator} with these fit.args gives no probabilities (predict_proba); choose one "
            "that does, such as sklearn.linear_model.LogisticRegression"
        )


def _refuse_other_quantile(estimator: BaseEstimator, task: Task, fit: Fit) -> None:
    """Refuse an estimator that predicts another quantile than the task declares; the median needs no declaration."""
    fitted, declared = _quantile_of(estimator.get_params(deep=False)), task.quantile
    if fitted is None or fitted == declared or (declared is None and fitted == 0.5):
        return
    raise SettingsError(
        f"fit.estimator {fit.estimator} predicts the {fitted:g} quantile by its fit.args, and task.quantile is "
        f"{'null, which is the mean' if declared is None else f'{declared:g}'}; set both to one quantile"
    )


def _quantile_of(params: Mapping[str, Any]) -> float | None:
    """Return which quantile an estimator predicts by its own arguments; None if none, or if that is not known."""
    loss = next((str(params[name]) for name in ("loss", "objective") if name in params), None)
    if loss is not None and "quantile" not in loss:
        return None
    names = ("quantile",) if loss is None else ("quantile", "quantile_alpha", "alpha")
    set_to = [params[name] for name in names if isinstance(params.get(name), int | float)]
    return float(set_to[0]) if set_to else None


def _refuse_unsuited(estimator: BaseEstimator, features: Features, fit: Fit) -> None:
    """Refuse an estimator that says itself that it cannot take what the columns are made into."""
    tags = get_tags(estimator)
    scaled = [*features.numbers, *history_names(features.history)]
    alone = len(scaled) == 1 and not features.categories and not features.spline
    reason = ""
    if tags.input_tags.positive_only and (scaled or fit.encoding == "ordinal"):
        reason = (
            "takes no negative values, and numeric and history features are standardized, unknown categories coded -1"
        )
    elif tags.input_tags.one_d_array and not alone:
        reason = "takes a single numeric feature"
    elif tags.target_tags.multi_output and not tags.target_tags.single_output:
        reason = "is for several targets at once"
    if reason:
        raise SettingsError(f"fit.estimator {fit.estimator} {reason}; choose another, or other features")


def stand_in(task: Task, features: Features, *, rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    """Make up rows and a target of the right types, to try an estimator on before there are data.

    Returns
    -------
    tuple of DataFrame of shape (rows, n_features) and array of shape (rows,)
        The same ones each time.
    """
    random = np.random.default_rng(0)
    numbers = [*features.numbers, *features.spline, *history_names(features.history)]
    frame = pd.DataFrame({name: random.choice(["a", "b", "c"], rows) for name in features.categories})
    frame = frame.assign(**{name: random.normal(size=rows) for name in numbers})
    target = random.normal(size=rows)
    if task.classes:
        return frame, np.arange(rows) % len(task.classes)
    return frame, (target > 0).astype("int64") if task.kind == "classification" else np.exp(target)


def _columns(features: Features, fit: Fit) -> ColumnTransformer:
    parts: list[tuple[str, Any, list[str]]] = []
    if features.categories:
        parts.append(("categorical", _encoder(features, fit), list(features.categories)))
    numeric = [*features.numbers, *history_names(features.history)]
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


PREDICTED = "__prediction__"
"""The column of a kept sample that no feature can be called."""


def as_sample(matrix: pd.DataFrame, predicted: np.ndarray) -> pd.DataFrame:
    """Put beside rows what was predicted for them; `of_sample` takes both apart again."""
    return matrix.assign(**{PREDICTED: predictions.column(predicted)})


def of_sample(sample: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of a kept sample, as the pipeline sees them, and what it predicted for them."""
    return sample.drop(columns=PREDICTED), predictions.array(sample[PREDICTED])


def predict(
    pipeline: Pipeline | BlockwisePipeline | BaseEstimator,
    matrix: pd.DataFrame | np.ndarray,
    kind: str,
    classes: int = 0,
) -> np.ndarray:
    """Predict the probability of 1, the value, or the probability of each class.

    Parameters
    ----------
    pipeline
        A fitted pipeline; or its estimator, if ``matrix`` is what that one sees.
    classes
        How many ``task.classes`` there are; a class that the pipeline was not fitted on has the probability 0.

    Returns
    -------
    array of shape (n_rows,), or (n_rows, n_classes) of ``multiclass``
        Empty for no rows.

    Raises
    ------
    ValueError
        If several classes are to be predicted and it is not said how many.
    """
    model: Any = pipeline
    if kind == "multiclass":
        if not classes:
            raise ValueError("how many classes there are is not given")
        predicted = np.zeros((len(matrix), classes))
        if len(matrix):
            predicted[:, model.classes_.astype(int)] = model.predict_proba(matrix)
        return predicted
    if not len(matrix):
        return np.zeros(0)
    if kind == "classification":
        return np.asarray(model.predict_proba(matrix)[:, 1], dtype=float)
    return np.asarray(model.predict(matrix), dtype=float)


def trained_kinds(pipeline: Pipeline, features: Features) -> dict[str, Kind]:
    """Return of what kind each plain feature was when the pipeline was fitted: categories as its encoder holds them."""
    kinds: dict[str, Kind] = dict.fromkeys([*features.numbers, *features.spline], "number")
    if features.categories:
        encoder = pipeline.named_steps["features"].named_transformers_["categorical"]
        held = zip(features.categories, encoder.categories_, strict=True)
        kinds |= {column: kind_of_values(pd.Series(values).dropna()) for column, values in held}
    return kinds


def refuse_other_kinds(trained: Mapping[str, Kind], types: Types, what: str) -> None:
    """Raise if a column is of another kind than a model was trained on: all its values would be unknown to it.

    Parameters
    ----------
    types
        The types of the columns that are to be scored.
    what
        Names both sides, such as "inputs of 2013-04-01, for version 3".

    Raises
    ------
    DataRejected
        Naming column and both types.
    """
    for column, kind in trained.items():
        actual = kind_of(types.get(column, NULL))
        if "null" not in (kind, actual) and kind != actual and (kind, actual) != ("number", "bool"):
            raise DataRejected(
                f"{what}: column '{column}' is {types[column]}, but the model was trained on {kind} there; nothing "
                f"was scored. Next: deliver it as it was, or bring all days to one type ({CHANGE_TYPE}) and train again"
            )


def as_trained(matrix: pd.DataFrame, trained: Mapping[str, Kind]) -> pd.DataFrame:
    """Return rows with codes as a model knows them, after a type was changed on purpose, so that it can be compared.

    Numbers become their text and text of digits numbers; what is no such code is unknown to the model.
    """
    changed: dict[str, pd.Series] = {}
    for column, kind in trained.items():
        actual = kind_of_values(matrix[column])
        if (kind, actual) == ("number", "text"):
            changed[column] = pd.to_numeric(matrix[column], errors="coerce")
        elif (kind, actual) == ("text", "number"):
            changed[column] = matrix[column].map(lambda value: f"{value:.0f}", na_action="ignore").astype(object)
    return matrix.assign(**changed) if changed else matrix
