"""Divide what scikit-learn's trees say of a row among their columns: exact TreeSHAP, by the package shap."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from ml.errors import Unavailable

SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
GRADIENT = (GradientBoostingClassifier, GradientBoostingRegressor)
HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
KINDS = (*SINGLE, *FORESTS, *GRADIENT, *HISTOGRAM)
"""The estimators whose trees are read here; what is derived from them may predict otherwise."""

WORK_AT_ONCE = 5e6
"""A call of shap holds the interpreter, and nothing else answers meanwhile: so much work (see `_work`), or one row."""

Table = dict[str, np.ndarray]
"""A tree, an entry a node, as shap reads it."""


class TreeParts:
    """Divides the raw scores of one fitted estimator among its columns.

    The method is Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9; paths are weighted by the rows of the training
    that took them.

    Parameters
    ----------
    estimator
        A fitted estimator of `KINDS`.

    Raises
    ------
    Unavailable
        If shap is not installed. It is imported here, and not with this module: that takes seconds.
    """

    def __init__(self, estimator: Any) -> None:
        try:
            shap = import_module("shap")
        except ImportError as err:
            raise Unavailable(
                f"contributions of scikit-learn's trees need shap, which cannot be imported ({err}); install what "
                "requirements.txt names, for which Intel Macs need Python 3.12 or newer"
            ) from err
        # scikit-learn brings the rows to 32 bits for all of them but those on histograms
        self.type = np.float64 if isinstance(estimator, HISTOGRAM) else np.float32
        held = tables(estimator)
        self.rows_at_once = int(np.clip(WORK_AT_ONCE / max(sum(map(_work, held)), 1), 1, 256))
        self.explainer = shap.TreeExplainer({"trees": held}, feature_perturbation="tree_path_dependent")

    def __call__(self, transformed: np.ndarray) -> np.ndarray:
        """Return how far each column moves each raw score away from the trees' mean.

        Parameters
        ----------
        transformed : array of shape (n_rows, n_columns)

        Returns
        -------
        array of shape (n_rows, n_columns, n_scores)
        """
        rows = transformed.astype(self.type).astype(np.float64)
        count = self.rows_at_once
        parts = [
            np.asarray(self.explainer.shap_values(rows[start : start + count], check_additivity=False))
            for start in range(0, len(rows), count)
        ]
        return np.concatenate([part if part.ndim == 3 else part[:, :, None] for part in parts])


def tables(estimator: Any) -> list[Table]:
    """Return the trees of a fitted estimator of `KINDS`: the sum of what they say is its raw score.

    Raises
    ------
    ValueError
        If a tree divides its rows by sets of categories, which is no comparison of numbers.
    """
    if isinstance(estimator, SINGLE):
        return [_of_tree(estimator.tree_, _votes(estimator.tree_, estimator))]
    if isinstance(estimator, FORESTS):
        share = 1 / len(estimator.estimators_)
        return [_of_tree(tree.tree_, share * _votes(tree.tree_, tree)) for tree in estimator.estimators_]
    if isinstance(estimator, GRADIENT):
        stages = estimator.estimators_
        return [
            _of_tree(tree.tree_, _only(estimator.learning_rate * tree.tree_.value[:, 0, 0], number, stages.shape[1]))
            for stage in stages
            for number, tree in enumerate(stage)
        ]
    return [
        _of_nodes(predictor.nodes, number, len(stage))
        for stage in estimator._predictors
        for number, predictor in enumerate(stage)
    ]


def raw_scores(estimator: Any, transformed: np.ndarray) -> np.ndarray:
    """Return what the trees of a fitted estimator of `KINDS` add up to, with the constant that they begin with.

    Returns
    -------
    array of shape (n_rows, n_scores)
        Logits of boosted trees that classify, probabilities of other trees; of a regression the value, or its logarithm
        if the loss is of counts. Of two classes there is one score, of more one a class.
    """
    if isinstance(estimator, GradientBoostingClassifier | HistGradientBoostingClassifier):
        scores = np.asarray(estimator.decision_function(transformed), dtype=float)
    elif hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(transformed), dtype=float)
        scores = scores[:, 1] if scores.shape[1] == 2 else scores
    else:
        scores = np.asarray(estimator.predict(transformed), dtype=float)
        if isinstance(estimator, HistGradientBoostingRegressor) and estimator.loss in {"poisson", "gamma"}:
            scores = np.log(scores)
    return scores.reshape(len(transformed), -1)


def _work(tree: Table) -> float:
    """Estimate how long a tree takes for a row: its leaves times the square of the depth of a balanced tree."""
    leaves = len(tree["features"]) / 2
    return float(leaves * np.log2(leaves + 1) ** 2)


def _votes(tree: Any, estimator: Any) -> np.ndarray:
    """Return what each node says: of classes their shares, of two that of the second; else the value."""
    values = np.asarray(tree.value[:, 0, :], dtype=float)
    if not hasattr(estimator, "predict_proba"):
        return values
    shares = values / values.sum(axis=1, keepdims=True)
    return np.asarray(shares[:, 1:] if shares.shape[1] == 2 else shares)


def _only(values: np.ndarray, number: int, scores: int) -> np.ndarray:
    """Return what nodes say of one of several scores, and zero of the others."""
    table = np.zeros((len(values), scores))
    table[:, number] = values
    return table


def _of_tree(tree: Any, values: np.ndarray) -> Table:
    lefts = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)), dtype=bool)
    return _table(
        tree.children_left, tree.children_right, lefts, tree.feature, tree.threshold, values,
        tree.weighted_n_node_samples,
    )  # fmt: skip


def _of_nodes(nodes: Any, number: int, scores: int) -> Table:
    leaf = nodes["is_leaf"].astype(bool)
    if (nodes["is_categorical"].astype(bool) & ~leaf).any():
        raise ValueError("trees that divide rows by sets of categories are not read")
    return _table(
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(bool),
        nodes["feature_idx"],
        nodes["num_threshold"],
        _only(nodes["value"], number, scores),
        nodes["count"],
    )


def _table(
    left: np.ndarray,
    right: np.ndarray,
    missing_left: np.ndarray,
    features: Sequence[int] | np.ndarray,
    thresholds: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
) -> Table:
    leaf = np.asarray(left) < 0
    return {
        "children_left": np.asarray(left),
        "children_right": np.asarray(right),
        "children_default": np.where(missing_left, left, right),
        "features": np.where(leaf, -2, np.asarray(features, dtype=np.int64)),
        "thresholds": np.where(leaf, 0.0, np.asarray(thresholds, dtype=float)),
        "values": np.asarray(values, dtype=float),
        "node_sample_weight": np.asarray(weights, dtype=float),
    }
