"""How an answer looks, by what is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.serving.answers import rows_of
from ml.serving.asked import Prediction
from ml.serving.problems import Refused
from ml.serving.served_model import RateLimit
from ml.serving.tokens import Token, digest, holder
from tests.builders import settings


def answered(predictions: Any, shares: pd.DataFrame | None = None, **task: Any) -> list[dict[str, Any]]:
    read = settings(task=task, gate={"metric": "rmse"} if task["kind"] == "regression" else {})
    records = None if shares is None else shares.to_dict("records")
    return rows_of(Prediction(np.array(predictions), 3, False, records), read.task)


def test_two_classes_are_a_probability_and_a_decision_at_the_threshold() -> None:
    assert answered([0.2, 0.3], kind="classification", threshold=0.3) == [
        {"probability": 0.2, "decision": False},
        {"probability": 0.3, "decision": True},
    ]


def test_several_classes_are_a_probability_each_and_the_most_probable_label() -> None:
    given: dict[str, Any] = {"kind": "multiclass", "classes": ["low", "middle", "high"]}
    assert answered([[0.2, 0.3, 0.5]], **given) == [
        {"probabilities": {"low": 0.2, "middle": 0.3, "high": 0.5}, "decision": "high"}
    ]
    assert answered(np.zeros((0, 3)), **given) == []


def test_a_number_is_its_value_and_contributions_are_the_largest_first() -> None:
    shares = pd.DataFrame({"a": [1.0], "b": [-3.0], "c": [0.5], "d": [2.0]})
    assert answered([7.5], shares, kind="regression") == [
        {
            "value": 7.5,
            "contributions": [
                {"column": "b", "contribution": -3.0},
                {"column": "d", "contribution": 2.0},
                {"column": "a", "contribution": 1.0},
            ],
        }
    ]


def test_a_token_is_known_by_its_hash() -> None:
    from datetime import UTC, datetime

    tokens = [Token(name, digest(f"evg_{name}"), datetime(2024, 1, 1, tzinfo=UTC)) for name in ("one", "two")]
    assert holder("evg_two", tokens) == "two"
    assert holder("two", tokens) is None and holder(digest("evg_two"), tokens) is None


def test_requests_beyond_the_rate_of_one_token_keep_no_other_from_asking() -> None:
    limit = RateLimit(0.001)
    limit.take("one")
    with pytest.raises(Refused) as refused:
        limit.take("one")
    assert refused.value.status == 429 and int(refused.value.headers()["Retry-After"]) > 900
    limit.take("two")
    for _ in range(100):
        RateLimit(None).take("one")
