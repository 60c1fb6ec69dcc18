"""A feature that gives the outcome away is found, in whatever shape it comes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.leakage import Leakage, look
from tests.builders import rows


def looked(frame: pd.DataFrame, *features: str, kind: str = "classification", labels: tuple[str, ...] = ()) -> Leakage:
    train, holdout = frame.loc[frame["day"] < "2013-01-08"], frame.loc[frame["day"] >= "2013-01-08"]
    return look(
        train,
        holdout,
        features,
        target="late",
        key=["day", "id"],
        kind=kind,
        label_columns=labels,  # type: ignore[arg-type]
    )


@pytest.fixture
def frame() -> pd.DataFrame:
    return rows(days=10, per_day=200)


def test_honest_features_explain_little(frame: pd.DataFrame) -> None:
    found = looked(frame, "carrier", "number")
    assert all(0.4 < value < 0.6 for value in found.strengths.values())
    assert (found.measure, found.shared_days, found.shared_keys, found.label_columns) == ("AUC", 0, 0, ())


def test_an_outcome_in_disguise_is_found(frame: pd.DataFrame) -> None:
    chance = np.random.default_rng(0)
    late = frame["late"].to_numpy()
    frame["monotone"] = late + chance.normal(0, 0.1, len(frame))
    frame["folded"] = np.where(late > 0, chance.normal(0, 0.1, len(frame)), chance.choice([-3.0, 3.0], len(frame)))
    frame["present"] = pd.Series(np.where(late > 0, 1.0, np.nan))
    frame["word"] = np.where(late > 0, "yes", "no")
    found = looked(frame, "monotone", "folded", "present", "word")
    assert min(found.strengths.values()) > 0.95


def test_the_same_in_a_regression() -> None:
    frame = rows(days=10, per_day=200, regression=True)
    frame["twice"] = 2 * frame["late"]
    found = looked(frame, "twice", "number", kind="regression")
    assert found.measure == "R²"
    assert found.strengths["twice"] > 0.9 > 0.1 > found.strengths["number"]


def test_shared_days_and_keys_are_counted(frame: pd.DataFrame) -> None:
    found = look(frame, frame.head(150), ["number"], target="late", key=["day", "id"], kind="classification")
    assert (found.shared_days, found.shared_keys) == (1, 150)


def test_columns_of_labels_among_the_features_are_named(frame: pd.DataFrame) -> None:
    assert looked(frame, "number", "carrier", labels=("late", "number")).label_columns == ("number",)


def in_two_parts(kind: str) -> pd.DataFrame:
    """A planned and an actual time: neither says much, their difference is the outcome."""
    chance = np.random.default_rng(1)
    frame = rows(days=20, per_day=300, regression=kind == "regression")
    late = frame["late"].to_numpy(dtype=float)
    frame["planned"] = chance.uniform(300, 1400, len(frame))
    frame["actual"] = frame["planned"] + (np.where(late > 0, 40, 0) if kind == "classification" else late)
    frame["actual"] += chance.normal(0, 5, len(frame))
    return frame


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_an_outcome_that_lies_between_two_columns_is_found(kind: str) -> None:
    found = looked(in_two_parts(kind), "number", "planned", "carrier", "actual", kind=kind)
    assert max(found.strengths.values()) < 0.62
    best = next(iter(found.pairs))
    assert best == "actual with planned" or best == "planned with actual"
    assert found.pairs[best].together > 0.95
    assert found.pairs[best].alone == max(found.strengths["planned"], found.strengths["actual"])


def test_a_sum_and_a_word_with_a_number_are_found_too(frame: pd.DataFrame) -> None:
    chance = np.random.default_rng(2)
    frame = rows(days=20, per_day=300)
    late = frame["late"].to_numpy()
    frame["some"] = chance.normal(0, 9, len(frame))
    frame["rest"] = late * 4 - frame["some"]
    frame["side"] = chance.choice(["left", "right"], len(frame))
    frame["turned"] = np.where(frame["side"] == "left", late, 1 - late) + chance.normal(0, 0.1, len(frame))
    found = looked(frame, "some", "rest", "number", "side", "turned")
    assert {frozenset(pair.split(" with ")) for pair in list(found.pairs)[:2]} == {
        frozenset({"some", "rest"}),
        frozenset({"side", "turned"}),
    }
    assert all(pair.together > 0.9 > 0.7 > pair.alone for pair in list(found.pairs.values())[:2])


def test_honest_pairs_explain_little_and_are_found_the_same_each_time(frame: pd.DataFrame) -> None:
    frame = rows(days=20, per_day=300)
    frame["gap"] = frame["number"].where(frame["number"] > -1)
    found = looked(frame, "carrier", "number", "gap", "origin")
    assert len(found.pairs) == 5
    assert all(pair.together < 0.6 for pair in found.pairs.values())
    assert looked(frame, "carrier", "number", "gap", "origin") == found
