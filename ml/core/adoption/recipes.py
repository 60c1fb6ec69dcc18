"""Choose features and estimator by time-ordered validation among a linear model and boosted trees."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml.core import metrics, predictions
from ml.core.adoption.columns import Columns
from ml.core.metric import Kind
from ml.core.training import estimators
from ml.core.training.features import matrix
from ml.core.training.folds import time_ordered
from ml.core.training.lagged_means import add_history
from ml.errors import EvergreenError
from ml.settings import Features, Fit, Task

ROWS, FOLDS = 20_000, 8
OWN_WITHIN = 0.01
"""One of scikit-learn, which is everywhere, that loses no larger share of the best one's loss is taken before one of a
library that has to be installed wherever the model runs.
"""

LINEAR_ROWS_PER_CATEGORY = 200


@dataclass(frozen=True)
class Recipe:
    """Features and an estimator, and what people call them."""

    name: str
    features: Features
    fit: Fit


@dataclass(frozen=True)
class Validated:
    """What a recipe did on days that it was not fitted on.

    Attributes
    ----------
    rows : DataFrame of shape (n_rows, 5)
        ``day``, ``truth``, ``predicted``, ``base`` (the mean or the shares of the days before), ``fold``, of all folds.
    """

    recipe: Recipe
    rows: pd.DataFrame = field(repr=False)
    kind: Kind

    def losses(self, of: str = "predicted") -> np.ndarray:
        """Return the loss of each row: log loss, or squared error."""
        metric = "rmse" if self.kind == "regression" else "log_loss"
        return metrics.row_loss(self.rows["truth"], self.rows[of], metric)

    @property
    def loss(self) -> float:
        """Return the mean loss of all rows: log loss, or mean squared error."""
        return float(self.losses().mean())

    @property
    def base_loss(self) -> float:
        """Return what the mean of the days before loses on the same rows."""
        return float(self.losses("base").mean())

    @property
    def score(self) -> float:
        """Return the loss in the metric's own unit: log loss, or the root of the mean squared error."""
        return float(np.sqrt(self.loss)) if self.kind == "regression" else self.loss

    @property
    def base_score(self) -> float:
        """Return the same of the mean of the days before."""
        return float(np.sqrt(self.base_loss)) if self.kind == "regression" else self.base_loss


def recipes(
    columns: Columns,
    groups: Sequence[Mapping[str, Any]],
    *,
    kind: str,
    rows: int,
    counts: bool,
    installed: Sequence[str] = (),
) -> list[Recipe]:
    """Return the recipes that are tried, the simplest first.

    Parameters
    ----------
    groups
        What ``features.history`` may hold; empty for no lagged target means.
    counts
        Whether the target is a number of things, never below 0.
    installed
        Further libraries that may be tried: ``xgboost``, ``lightgbm``.
    """
    rare = max(5, min(50, rows // LINEAR_ROWS_PER_CATEGORY))
    linear = {
        "categorical": [*columns.texts, *columns.few],
        "numeric": list(columns.pairs),
        "spline": list(columns.numbers),
    }
    trees = {"categorical": list(columns.texts), "numeric": [*columns.few, *columns.pairs, *columns.numbers]}
    classify = kind != "regression"
    plain = (
        ("sklearn.linear_model.LogisticRegression", {"C": 0.1, "max_iter": 1000})
        if classify
        else ("sklearn.linear_model.Ridge", {"alpha": 1.0})
    )
    name = f"sklearn.ensemble.HistGradientBoosting{'Classifier' if classify else 'Regressor'}"
    careful: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 300, "max_leaf_nodes": 31, "l2_regularization": 1.0}
    small: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 8, "min_samples_leaf": 40}
    further: list[tuple[str, str, dict[str, Any]]] = [
        ("boosted trees, small", name, small),
        ("boosted trees", name, {}),
        ("boosted trees, slow", name, careful),
    ]
    further += [("boosted trees for counts", name, {"loss": "poisson", **careful})] if counts else []
    further += [(library, *_booster(library, classify)) for library in installed]
    tried: list[Recipe] = []
    for lagged in ([], list(groups)) if groups else ([],):
        suffix = " with lagged target means" if lagged else ""
        if any(linear.values()) or lagged:
            tried.append(_recipe(f"linear model{suffix}", {**linear, "history": lagged}, plain, "onehot", rare))
        if any(trees.values()) or lagged:
            tried += [
                _recipe(f"{label}{suffix}", {**trees, "history": lagged}, (path, args), "ordinal", rare)
                for label, path, args in further
            ]
    return tried


def _recipe(
    name: str, features: Mapping[str, Any], fit: tuple[str, Mapping[str, Any]], encoding: str, rare: int
) -> Recipe:
    return Recipe(
        name,
        Features.model_validate({**features, "min_category_rows": rare}),
        Fit.model_validate({"estimator": fit[0], "args": dict(fit[1]), "encoding": encoding, "seed": 1}),
    )


def _booster(library: str, classify: bool) -> tuple[str, dict[str, Any]]:
    if library == "xgboost":
        args = {"n_estimators": 300, "learning_rate": 0.05, "max_depth": 6, "min_child_weight": 5}
        return f"xgboost.{'XGBClassifier' if classify else 'XGBRegressor'}", args
    args = {"n_estimators": 300, "learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20}
    return f"lightgbm.{'LGBMClassifier' if classify else 'LGBMRegressor'}", args


def validate(recipe: Recipe, table: pd.DataFrame, task: Task, *, longest: int) -> Validated | None:
    """Fit a recipe on the days before each of some blocks of days, and predict these; None if it cannot be fitted.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Labelled rows with ``day`` and the target as a number; not modified.
    longest
        Most days in a block.
    """
    target = task.target
    rows = add_history(
        table,
        table,
        recipe.features.history,
        target=target,
        label_delay_days=task.label_delay_days,
        classes=task.classes,
    )
    parts = []
    delayed = max(task.label_delay_days, 1) - 1
    try:
        days = _days(rows)
        folds = time_ordered(days, folds=min(FOLDS, max(len(days) - 1, 1)), longest=longest)
        for number, fold in enumerate(folds):
            fitted_days = [day.isoformat() for day in fold.fitted_on if (fold.scored_on[0] - day).days > delayed]
            train = rows.loc[rows["day"].isin(fitted_days)]
            judged = rows.loc[rows["day"].isin([day.isoformat() for day in fold.scored_on])]
            if train.empty or (task.kind != "regression" and train[target].nunique() < 2):
                return None
            pipeline = estimators.build(task, recipe.features, recipe.fit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pipeline.fit(matrix(train, recipe.features), train[target])
                seen = matrix(judged, recipe.features)
                predicted = estimators.predict(pipeline, seen, task.kind, len(task.classes))
            parts.append(
                pd.DataFrame(
                    {
                        "day": judged["day"].to_numpy(),
                        "truth": judged[target].to_numpy(dtype=float),
                        "predicted": predictions.column(predicted),
                        "base": predictions.column(_base(train[target], task, len(judged))),
                        "fold": number,
                    }
                )
            )
    except (EvergreenError, ValueError):
        return None
    return Validated(recipe, pd.concat(parts, ignore_index=True), task.kind)


def _base(target: pd.Series, task: Task, rows: int) -> np.ndarray:
    """Return what is predicted without any feature: the mean, or the share of each class."""
    if not task.classes:
        return predictions.constant(float(target.mean()), rows)
    counts = np.bincount(target.astype("int64"), minlength=len(task.classes))
    return predictions.constant(counts / counts.sum(), rows)


def _days(rows: pd.DataFrame) -> list[date]:
    return [date.fromisoformat(day) for day in rows["day"].unique()]


def choose(
    tried: Sequence[Recipe],
    table: pd.DataFrame,
    task: Task,
    *,
    longest: int,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Validated, list[Validated]]:
    """Return the simplest recipe that newer days cannot distinguish from the best one, and what each of them did.

    It loses no more than the best one and the standard error of their daily difference (the rule of one standard error:
    Breiman, Friedman, Olshen and Stone, *Classification and Regression Trees*, 1984, section 3.4.3).

    Raises
    ------
    EvergreenError
        If none of them can be fitted on these data.
    """
    results: list[Validated] = []
    for recipe in tried:
        result = validate(recipe, table, task, longest=longest)
        if result is not None:
            results.append(result)
            tell(f"  {recipe.name}: {result.score:.4g} (base rate {result.base_score:.4g})")
    if not results:
        raise EvergreenError(
            "no model could be fitted on the sample: it has too few labelled days, or one class only on most of them; "
            "give more data"
        )
    return simplest_of_the_best(results), results


def simplest_of_the_best(results: Sequence[Validated]) -> Validated:
    """Return the simplest result, which comes first, that cannot be distinguished from the best; see `choose`."""
    best = min(results, key=lambda result: result.loss)
    own = [r for r in results if r.recipe.fit.estimator.startswith("sklearn.")]
    best_own = min(own, key=lambda result: result.loss, default=best)
    if best_own.loss <= best.loss * (1 + OWN_WITHIN):
        best = best_own
    return next(result for result in results if _is_about_as_good(result, best))


def _is_about_as_good(result: Validated, best: Validated) -> bool:
    """Return whether a recipe loses no more than the best one beyond the standard error of their daily difference."""
    more = pd.Series(result.losses() - best.losses()).groupby(result.rows["day"].to_numpy()).sum()
    error = np.sqrt(len(more)) * more.std(ddof=1) if len(more) > 1 else 0.0
    return bool(more.sum() <= error)


def newest_rows(table: pd.DataFrame, rows: int = ROWS) -> pd.DataFrame:
    """Return the newest whole days that hold about so many rows, all of them if there are not more."""
    if len(table) <= rows:
        return table
    counts = table["day"].value_counts().sort_index(ascending=False).cumsum()
    chosen = counts.index[counts <= max(rows, int(counts.iloc[0]))]
    return table.loc[table["day"].isin(chosen)]
