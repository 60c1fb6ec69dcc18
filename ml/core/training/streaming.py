"""Which estimators can learn from rows that come in parts, and why another cannot."""

from __future__ import annotations

from typing import Any, Literal

from sklearn.base import BaseEstimator

from ml.core.training.boosting import package_of
from ml.errors import SettingsError

Learner = Literal["xgboost", "lightgbm", "steps"]
"""How an estimator learns from parts: by the external memory of its library, or step by step (``partial_fit``)."""
OF_A_LIBRARY: dict[str, Learner] = {
    "xgboost.sklearn.XGBClassifier": "xgboost",
    "xgboost.sklearn.XGBRegressor": "xgboost",
    "lightgbm.sklearn.LGBMClassifier": "lightgbm",
    "lightgbm.sklearn.LGBMRegressor": "lightgbm",
}


def learner_of(estimator: BaseEstimator) -> Learner | None:
    """Return how an estimator learns from rows that come in parts; None if it needs all of them at once."""
    kind = type(estimator)
    of_library = OF_A_LIBRARY.get(f"{kind.__module__}.{kind.__qualname__}")
    return of_library or ("steps" if hasattr(estimator, "partial_fit") else None)


def refuse_unstreamed(estimator: BaseEstimator, path: str, *, workers: int = 1) -> None:
    """Raise if ``fit.stream`` is asked of an estimator that cannot learn from parts, or not with these arguments.

    Raises
    ------
    SettingsError
        Naming the estimator, or the argument, and the alternatives.
    """
    if learner_of(estimator) is None:
        raise SettingsError(
            f"fit.stream: {path} needs all rows at once (it has no partial_fit); choose xgboost.XGBClassifier, "
            "xgboost.XGBRegressor, lightgbm.LGBMClassifier, lightgbm.LGBMRegressor or an estimator with partial_fit, "
            "such as sklearn.linear_model.SGDClassifier, or remove fit.stream"
        )
    if workers > 1 and learner_of(estimator) != "xgboost":
        raise SettingsError(
            f"fit.stream.workers: rows of {path} cannot be divided among workers; choose xgboost.XGBClassifier or "
            "xgboost.XGBRegressor, or remove workers"
        )
    params = estimator.get_params(deep=False)
    problem = _problem(package_of(type(estimator).__module__), params)
    if problem:
        raise SettingsError(f"fit.stream: {path} cannot learn from parts with {problem}")


def _problem(package: str | None, params: dict[str, Any]) -> str | None:
    stops = "early_stopping_rounds" if params.get("early_stopping_rounds") else None
    stops = "early_stopping" if params.get("early_stopping") is True else stops
    if stops:
        return f"fit.args: {stops}, which needs rows of its own to watch; remove it, and search n_estimators by 'tune'"
    if package == "xgboost" and params.get("tree_method") not in (None, "auto", "hist"):
        return f"fit.args: tree_method {params['tree_method']!r}; use hist, which is the default"
    if package == "xgboost" and params.get("booster") == "gblinear":
        return "fit.args: booster 'gblinear'; use gbtree or dart"
    if callable(params.get("objective")):
        return "an objective that is a function of its own; name one that the library has"
    return None
