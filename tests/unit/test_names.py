"""No column of an adopter's stands in for one of ours: it has a name of its own, or is refused by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.data.row_checks import check_table, used_columns
from ml.core.training.features import join_labels
from ml.core.training.lagged_means import history_names
from ml.errors import DataRejected, SettingsError
from ml.names import BESIDE_KEY, PUBLISHED
from tests.builders import settings

HISTORY = [{"by": ["carrier"], "days": [7]}, {"by": [], "days": [28]}]


def said(**sections: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        settings(**sections)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(BESIDE_KEY))
def test_a_key_cannot_be_called_like_what_stands_beside_it(name: str) -> None:
    assert f"key names {name}: Evergreen's own columns are called so; rename" in said(task={"key": ["day", name]})


@pytest.mark.parametrize("name", [*sorted(PUBLISHED), "__late"])
def test_neither_can_a_target(name: str) -> None:
    assert f"target names {name}" in said(task={"target": name})


@pytest.mark.parametrize("kind", ["categorical", "numeric", "spline"])
@pytest.mark.parametrize("name", ["history_carrier_7d", "history_all_28d", "__position__", "__day"])
def test_a_feature_cannot_be_called_like_one_of_ours(kind: str, name: str) -> None:
    assert f"Evergreen's own: {name}" in said(features={kind: [name], "history": HISTORY})


def test_two_history_features_cannot_share_a_name() -> None:
    twice = [{"by": ["a", "b"], "days": [7]}, {"by": ["a_b"], "days": [7]}]
    assert "two history features would be called history_a_b_7d" in said(features={"history": twice})
    assert "history_all_7d" in said(features={"history": [{"by": [], "days": [7]}, {"by": ["all"], "days": [7]}]})


@pytest.mark.parametrize("name", ["prediction", "label"])
def test_what_is_watched_cannot_be_called_like_predictions_and_labels(name: str) -> None:
    assert f"monitoring watches by itself: {name}" in said(drift={"structural": [name]})


@pytest.mark.parametrize(
    "name", ["prediction", "target", "version", "label", "weight", "history_months", "months_history", "row", "index"]
)
def test_a_feature_may_have_any_other_name(name: str) -> None:
    assert name in settings(features={"numeric": [name], "history": HISTORY}).features.numeric


@pytest.mark.parametrize("name", ["history_carrier_7d", "__position__", "late", "key_known", "input_coverage"])
def test_a_column_that_nobody_uses_is_refused_at_screening_if_it_is_called_like_ours(name: str) -> None:
    given = settings(features={"numeric": ["number"], "history": HISTORY})
    assert "history_carrier_7d" in history_names(given.features.history)
    frame = pd.DataFrame({"day": ["d"], "id": [1], "number": [1.0], name: [0.5]})
    (failure,) = check_table("inputs", frame, used_columns(given), np.arange(1))
    assert failure.level == "table"
    assert f"a column is called '{name}'" in failure.message
    assert check_table("inputs", frame.drop(columns=name), used_columns(given), np.arange(1)) == []


@pytest.mark.parametrize("name", ["Number", "LATE", "Day"])
def test_columns_that_differ_in_capitals_only_are_refused_at_screening(name: str) -> None:
    given = settings(features={"numeric": ["number"], "history": HISTORY})
    frame = pd.DataFrame({"day": ["d"], "id": [1], "number": [1.0], name: [0.5]})
    (failure,) = check_table("inputs", frame, used_columns(given), np.arange(1))
    assert failure.level == "table" and f"'{name}' differ in capitals only" in failure.message
    assert "source.inputs_columns" in failure.message


@pytest.mark.parametrize("task", [{"key": ["day", "Prediction"]}, {"target": "DECISION"}])
def test_other_capitals_are_no_other_name(task: dict[str, Any]) -> None:
    assert "Evergreen's own columns are called so" in said(task=task)


def test_inputs_with_a_column_of_the_target_s_name_are_never_joined() -> None:
    key = pd.DataFrame({"id": [1]})
    with pytest.raises(DataRejected, match="inputs have a column 'late', which is the target"):
        join_labels(key.assign(late=0), key.assign(late=1), key=["id"], target="late")
