"""XGBoost and LightGBM: which of their estimators are known, and what each needs to give the same model again."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from ml.errors import SettingsError
from ml.settings import Fit

BOOSTERS = {
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
}
"""Their estimators, each of which is `<package>.sklearn.<name>`."""
BOOSTER_TYPES = frozenset(f"{package}.sklearn.{name}" for package, names in BOOSTERS.items() for name in names)

XGBOOST_ALSO = frozenset((
    "alpha", "eta", "expectile_alpha", "feature_selector", "huber_slope", "lambda", "max_cached_hist_node",
    "min_split_loss", "normalize_type", "nthread", "one_drop", "process_type", "quantile_alpha", "rate_drop",
    "refresh_leaf", "sample_type", "skip_drop", "top_k", "tweedie_variance_power", "updater",
))  # fmt: skip
"""Parameters of the library that its estimators take without naming them."""

INSTALL = "install it with 'make boosting' (the image: build it with BOOSTING=1) wherever models are trained and scored"


def package_of(path: str) -> str | None:
    """Return ``xgboost`` or ``lightgbm`` if an import path leads there, else None."""
    package = path.partition(".")[0]
    return package if package in BOOSTERS else None


def not_loadable(path: str, err: Exception) -> str | None:
    """Return why one of these packages cannot be imported and what to do; None if the path leads to neither."""
    package = package_of(path)
    if package is None:
        return None
    if isinstance(err, ModuleNotFoundError) and err.name == package:
        return f"{package} is not installed; {INSTALL}"
    if isinstance(err, OSError):
        return f"{package} cannot be loaded ({err}); install the system library that it names (Debian: libgomp1)"
    return None


def own_args(kind: type[Any], fit: Fit, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that make a fit the same on any machine, where ``fit.args`` do not say otherwise.

    Both libraries take all threads of the machine by default, and LightGBM lets a stopwatch choose
    in which order it adds up.

    Raises
    ------
    SettingsError
        If an argument is unknown to the library, which would pass over it without an error.
    """
    path = f"{kind.__module__}.{kind.__qualname__}"
    if path not in BOOSTER_TYPES:
        return {}
    known = set(kind().get_params())
    defaults: dict[str, Any]
    if package_of(path) == "xgboost":
        known |= XGBOOST_ALSO
        defaults = {"n_jobs": fit.threads}
    else:
        known |= _lightgbm_aliases()
        defaults = {"n_jobs": fit.threads, "verbosity": -1, "deterministic": True}
        if "force_row_wise" not in given:
            defaults["force_col_wise"] = True
    strange = sorted(set(given) - known)
    if strange:
        raise SettingsError(
            f"fit.args do not suit {path}: it has no parameter {', '.join(map(repr, strange))}; "
            f"name any of {', '.join(sorted(kind().get_params()))}"
        )
    return {name: value for name, value in defaults.items() if name not in given}


def tree_shares(estimator: Any, transformed: np.ndarray) -> np.ndarray | None:
    """Divide what boosted trees say of rows among their columns: the libraries' own exact TreeSHAP.

    Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9; paths are weighted by the rows of the training that took them.

    Returns
    -------
    array of shape (n_rows, n_columns + 1, n_scores) or None
        In the unit that trees add up in, of several classes one score a class; the last column is what they say of the
        mean row. None of other estimators.
    """
    package, (rows, columns) = package_of(type(estimator).__module__), transformed.shape
    if package == "lightgbm":
        shares = np.asarray(estimator.predict(transformed, pred_contrib=True), dtype=float)
        return shares.reshape(rows, -1, columns + 1).transpose(0, 2, 1)
    if package == "xgboost":
        matrix = import_module("xgboost").DMatrix(transformed)
        shares = np.asarray(estimator.get_booster().predict(matrix, pred_contribs=True), dtype=float)
        return shares.reshape(rows, -1, columns + 1).transpose(0, 2, 1)
    return None


def _lightgbm_aliases() -> set[str]:
    """Return every name that LightGBM's library knows a parameter by."""
    basic = import_module("lightgbm.basic")
    by_name: Mapping[str, Any] = basic._ConfigAliases._get_all_param_aliases()
    return set(by_name) | {alias for aliases in by_name.values() for alias in aliases}
