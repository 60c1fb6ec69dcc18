"""Rows that are laid out straight from their columns are what the pipeline makes of them, to the last bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.pipeline import Pipeline

from ml.core.training import estimators
from ml.core.training.features import matrix
from ml.core.training.lagged_means import TargetAggregates
from ml.core.training.row_encoding import RowEncoder
from ml.core.training.target_sums import aggregate, class_numbers, groupings
from ml.errors import DataRejected
from ml.settings import Settings
from ml.steps.score.row_scoring import Scorer
from tests.builders import day, settings

HISTORY: list[dict[str, Any]] = [{"days": [3, 7]}, {"by": ["shop"], "days": [7]}, {"by": ["shop", "zone"], "days": [5]}]
FEATURES: dict[str, Any] = {
    "categorical": ["shop", "kind"],
    "numeric": ["number", "count"],
    "spline": ["hour"],
    "history": HISTORY,
}
SCORED = 20
ORDINAL = {"estimator": "sklearn.ensemble.ExtraTreesRegressor", "args": {"n_estimators": 5}, "encoding": "ordinal"}
KINDS: dict[str, dict[str, Any]] = {
    "classification": {},
    "regression by trees": {"task": {"kind": "regression"}, "gate": {"metric": "rmse"}, "fit": ORDINAL},
    "several classes": {"task": {"kind": "multiclass", "classes": ["a", "b", "c"]}},
}
TYPES: dict[str, dict[str, pa.Array]] = {
    "text": {},
    "a whole number as a category": {"kind": pa.array([1, 2, None, 7], pa.int64())},
    "a fraction as a category": {"kind": pa.array([0.5, float("nan"), None, 2.0], pa.float64())},
    "true and false as a category": {"kind": pa.array([True, False, None, True], pa.bool_())},
    "numbers of other widths": {
        "number": pa.array([1.5, None, -3.25, 0.1], pa.float32()),
        "count": pa.array([1, None, 3, 4], pa.uint16()),
    },
    "true and false as a number": {"number": pa.array([True, None, False, True], pa.bool_())},
    "whole numbers as a group": {"shop": pa.array([3, 4, None, 9], pa.int32())},
    "text of another width": {"shop": pa.array(["x", "y", None, "z"], pa.large_string())},
}
SLOW = {
    "instants": {"kind": pa.array([datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(4)])},
    "a dictionary": {"kind": pa.array(["a", "b", None, "a"]).dictionary_encode()},
}


def rows_of(first: int, last: int, *, seed: int, columns: dict[str, pa.Array], per_day: int = 60) -> pa.Table:
    """Draw rows of some days; each of the four values of a column comes about as often, or not at all."""
    days = [day(number) for number in range(first, last + 1)]
    size, chance = len(days) * per_day, np.random.default_rng(seed)
    plain = {
        "shop": pa.array(["x", "y", None, "z"]),
        "zone": pa.array(["1", "2", "3", "4"]),
        "kind": pa.array(["a", "b", None, "rare"]),
        "number": pa.array([1.5, None, -3.25, 0.1]),
        "count": pa.array([1, 2, 3, 4], pa.int64()),
        "hour": pa.array([1.0, 8.0, None, 23.5]),
    }
    drawn = {
        name: values.take(pa.array(chance.choice(4, size, p=[0.5, 0.3, 0.19, 0.01])))
        for name, values in (plain | columns).items()
    }
    return pa.table({"day": np.repeat(days, per_day), "id": np.arange(size), **drawn})


def scorer_of(kind: str, columns: dict[str, pa.Array]) -> Scorer:
    """Fit on days 8 to 19, with lagged means of what came before each."""
    past = rows_of(0, SCORED, seed=0, columns=columns)
    chance = np.random.default_rng(1)
    features = FEATURES
    if kind == "several classes":
        features = FEATURES | {"history": [{**one, "of": "a"} for one in HISTORY]}
    own: Settings = settings(features=features, **KINDS[kind])
    target = chance.integers(0, 3 if own.task.classes else 2, past.num_rows).astype(float)
    labelled = past.to_pandas().assign(**{own.task.target: target})
    numbers = class_numbers(own.features.history, own.task.classes)
    sums = {
        by: aggregate(labelled, by, target=own.task.target, classes=numbers) for by in groupings(own.features.history)
    }
    means = TargetAggregates(sums, own.features.history, label_delay_days=1, classes=numbers)
    fitted_on = past.to_pandas().query("day >= @first", local_dict={"first": day(8)})
    seen = matrix(means.add_to(fitted_on), own.features)
    pipeline = estimators.build(own.task, own.features, own.fit).fit(seen, target[fitted_on.index])
    return Scorer(1, pipeline, own, means)


def by_pipeline(scorer: Scorer, table: pa.Table) -> np.ndarray:
    """Predict as scikit-learn does, with eight rows at once and no fewer."""
    seen = scorer.matrix(table)
    filled = seen.take(np.minimum(np.arange(len(seen) + -len(seen) % 8), len(seen) - 1))
    own = scorer.own
    return estimators.predict(scorer.pipeline, filled, own.task.kind, len(own.task.classes))[: len(seen)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", TYPES)
def test_predictions_are_those_of_the_pipeline_to_the_last_bit(kind: str, types: str) -> None:
    scorer = scorer_of(kind, TYPES[types])
    for seed, per_day in ((2, 300), (3, 1), (4, 13), (5, 300)):
        table = rows_of(SCORED, SCORED, seed=seed, columns=TYPES[types], per_day=per_day)
        assert isinstance(scorer.laid_out(table), np.ndarray)
        assert scorer.raw(table).tobytes() == by_pipeline(scorer, table).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_nobody_has_seen_and_columns_without_any_are_encoded_as_the_pipeline_does(kind: str) -> None:
    scorer = scorer_of(kind, {})
    new = {
        "shop": pa.array(["x", "new", None, "ü"]),
        "kind": pa.array([f"{number}?" for number in range(4)]),
        "number": pa.array([None, None, None, None], pa.float64()),
        "hour": pa.array([-100.0, 1e9, None, 3.0]),
    }
    none = {"kind": pa.array([None] * 4, pa.string()), "shop": pa.array([None] * 4, pa.string())}
    for columns in (new, none, {}, new):
        table = rows_of(SCORED, SCORED, seed=7, columns=columns, per_day=40)
        assert isinstance(scorer.laid_out(table), np.ndarray)
        assert scorer.raw(table).tobytes() == by_pipeline(scorer, table).tobytes()


@pytest.mark.parametrize("types", SLOW)
def test_columns_of_other_types_are_left_to_the_pipeline(types: str) -> None:
    scorer = scorer_of("classification", SLOW[types])
    table = rows_of(SCORED, SCORED, seed=2, columns=SLOW[types])
    assert isinstance(scorer.laid_out(table), pd.DataFrame)
    assert scorer.raw(table).tobytes() == by_pipeline(scorer, table).tobytes()


def test_rows_of_several_days_each_look_back_on_their_own_past() -> None:
    scorer = scorer_of("classification", {})
    table = rows_of(SCORED - 1, SCORED, seed=2, columns={})
    assert isinstance(scorer.laid_out(table), pd.DataFrame)
    days = [table.slice(0, 60), table.slice(60)]
    assert np.concatenate([scorer.raw(one) for one in days]).tolist() == scorer.raw(table).tolist()


def test_no_rows_are_predicted_as_none() -> None:
    scorer = scorer_of("classification", {})
    assert scorer.raw(rows_of(SCORED, SCORED, seed=2, columns={}).slice(0, 0)).shape == (0,)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"number": pa.array([1.0, float("inf"), 2.0, 3.0])}, "'number' is infinite"),
        ({"number": pa.array(["1", "far", "2", "3"])}, "holds text"),
        ({"shop": pa.array([1, 2, 3, 4])}, "'shop', by which lagged target means are grouped, is number"),
        ({"shop": pa.array([True, False, None, True])}, "'shop', by which lagged target means are grouped, is bool"),
    ],
)
def test_what_cannot_be_used_is_refused_as_ever(columns: dict[str, pa.Array], named: str) -> None:
    scorer = scorer_of("classification", {})
    with pytest.raises(DataRejected, match=named):
        scorer.raw(rows_of(SCORED, SCORED, seed=2, columns=columns, per_day=200))


def test_a_pipeline_that_makes_others_of_the_first_rows_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = scorer_of("classification", {})
    table = rows_of(SCORED, SCORED, seed=2, columns={})
    expected = by_pipeline(scorer, table)
    right = RowEncoder.encode
    monkeypatch.setattr(RowEncoder, "encode", lambda *given: np.nextafter(right(*given), np.inf))
    assert scorer.raw(table).tobytes() == expected.tobytes()
    assert scorer.raw(table).tobytes() == expected.tobytes()
    assert [record.message for record in caplog.records if "takes longer" in record.message] != []


def test_a_pipeline_of_another_shape_is_asked_itself() -> None:
    scorer = scorer_of("classification", {})
    assert RowEncoder(scorer.pipeline).can_encode
    assert not RowEncoder(Pipeline([("estimator", scorer.pipeline[-1])])).can_encode


def test_a_category_is_asked_of_scikit_learn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = scorer_of("classification", {})
    encoder = scorer.pipeline.named_steps["features"].named_transformers_["categorical"]
    table = rows_of(SCORED, SCORED, seed=2, columns={}, per_day=300)
    before, asked = scorer.raw(table), list[int]()
    transform = encoder.transform

    def counted(frame: pd.DataFrame) -> Any:
        asked.append(len(frame))
        return transform(frame)

    monkeypatch.setattr(encoder, "transform", counted)
    assert scorer.raw(table).tobytes() == before.tobytes()
    assert asked == []
    scorer.raw(rows_of(SCORED, SCORED, seed=2, columns={"kind": pa.array(["a", "new", "newer", "b"])}))
    assert asked == [2]


def test_groups_of_more_values_than_can_be_numbered_are_looked_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.core.training.group_aggregates.MOST_COMBINED", 3)
    scorer = scorer_of("classification", {})
    table = rows_of(SCORED, SCORED, seed=2, columns={})
    assert isinstance(scorer.laid_out(table), np.ndarray)
    assert scorer.raw(table).tobytes() == by_pipeline(scorer, table).tobytes()
