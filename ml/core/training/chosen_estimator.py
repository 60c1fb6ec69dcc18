"""Make the estimator that the settings name, and the estimators among its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator

from ml import own_code
from ml.core.training import boosting
from ml.errors import SettingsError
from ml.settings import Fit

NESTED = {"estimator", "args"}
"""The keys of an argument that is an estimator itself, written like ``fit``."""


def make(fit: Fit) -> BaseEstimator:
    """Make the unfitted estimator of ``fit``, with ``fit.seed`` wherever it draws numbers.

    An argument ``{estimator: PATH, args: {...}}``, alone or in a list, is made likewise, and ``[NAME, {estimator: …}]``
    is a named step of a pipeline.

    Raises
    ------
    SettingsError
        If one cannot be imported, is not trusted, or does not take an argument or its value.
    """
    return _make(fit.estimator, fit.args, fit, "fit.estimator")


def _make(path: str, args: Mapping[str, Any], fit: Fit, where: str) -> BaseEstimator:
    kind = _class_of(path, where)
    values = {name: _argument(value, fit, f"fit.args: {name}") for name, value in args.items()}
    try:
        estimator: BaseEstimator = kind(**boosting.own_args(kind, fit, values), **values)
    except TypeError as err:
        raise SettingsError(f"fit.args do not suit {path}: {err}; see the class's own parameters") from err
    _refuse_untrusted(kind, path, fit, where)
    try:
        if hasattr(estimator, "_parameter_constraints"):
            estimator._validate_params()
        if "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=fit.seed)
    except (AttributeError, TypeError, ValueError) as err:  # of scikit-learn, about these very arguments
        raise unsuited(path, err) from err
    return estimator


def unsuited(path: str, err: Exception) -> SettingsError:
    """Build the error of arguments that an estimator refuses, in its own words."""
    message = " ".join(str(err).split())
    return SettingsError(f"fit.args do not suit {path}: {message}; see the class's own parameters")


def _class_of(path: str, where: str) -> Any:
    try:
        kind: Any = own_code.find(path, where)
    except SettingsError:
        raise
    except Exception as err:
        reason = boosting.not_loadable(path, err)
        raise SettingsError(
            f"{where} {path!r}: {reason}"
            if reason
            else f"{where} {path!r} cannot be imported ({err}); give the full path of a "
            "scikit-learn class such as sklearn.linear_model.LogisticRegression"
        ) from err
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise SettingsError(
            f"{where} {path!r} is no scikit-learn estimator; give the full path of a class "
            "such as sklearn.linear_model.LogisticRegression"
        )
    return kind


def _refuse_untrusted(kind: type[Any], path: str, fit: Fit, where: str) -> None:
    full = f"{kind.__module__}.{kind.__qualname__}"
    if full.startswith("sklearn.") or full in boosting.BOOSTER_TYPES:
        return
    if full not in own_code.reviewed(fit.trusted_types, [full]):
        raise SettingsError(
            f"{where} {path} is none of scikit-learn's own: review it, and name {own_code.pinned(full)} and the types "
            "that it holds when fitted under fit.trusted_types in params.yaml"
        )


def _argument(value: Any, fit: Fit, where: str) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("estimator"), str) and set(value) <= NESTED:
            return _make(value["estimator"], value.get("args") or {}, fit, where)
        return {name: _argument(inner, fit, where) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        made = [_argument(inner, fit, where) for inner in value]
        return tuple(made) if any(isinstance(inner, BaseEstimator) for inner in made) and _is_step(made) else made
    return value


def _is_step(made: list[Any]) -> bool:
    """Return whether this is a name and the estimator that has it, as pipelines and ensembles want them: a tuple."""
    return len(made) == 2 and isinstance(made[0], str)
