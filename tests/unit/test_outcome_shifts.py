"""Shifts of all outcomes: found where planted, of rates and of numbers, calm where days only resemble each other."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from ml.core.monitoring.outcome_shifts import (
    LEVEL,
    RELATION,
    STREAMS,
    day_shift,
    limit_of,
    message,
    shift_on,
    standardised_shifts,
)
from ml.core.monitoring.slice_changes import evidence

Kind = Literal["classification", "regression"]
DAYS, CHANGE, LIMIT = 100, 90, limit_of(1.0)


def day_rows(chance: np.random.Generator, kind: Kind, unit: float = 1.0) -> pd.DataFrame:
    """Make a day whose outcomes are as predicted but for luck that all rows share."""
    if kind == "classification":
        prediction = expit(chance.normal(-1.4, 0.8, 400))
        target = (chance.random(400) < expit(logit(prediction) + chance.normal(0, 0.3))).astype(float)
    else:
        prediction = chance.normal(50, 10, 400)
        target = prediction * chance.normal(1, 0.05) + chance.normal(0, 5, 400) + chance.normal(0, 2)
        target, prediction = target * unit, prediction * unit
    return pd.DataFrame({"target": target, "prediction": prediction})


def planted(rows: pd.DataFrame, plant: str, kind: Kind, chance: np.random.Generator) -> pd.DataFrame:
    target = rows["target"].to_numpy(copy=True)
    if plant == "shuffled":
        return rows.assign(target=chance.permutation(target))
    if plant == "inverted":
        return rows.assign(target=1 - target if kind == "classification" else target.min() + target.max() - target)
    if kind == "regression":
        return rows.assign(target=target * 1.5)
    zeros = np.flatnonzero(target == 0)
    target[chance.permutation(zeros)[: int(target.sum() / 2)]] = 1
    return rows.assign(target=target)


def history(kind: Kind, *, plant: str | None = None, seed: int = 1, unit: float = 1.0) -> pd.DataFrame:
    """Measure many days, with a change of all outcomes from day `CHANGE` on."""
    chance, found = np.random.default_rng(seed), {}
    for number in range(DAYS):
        rows = day_rows(chance, kind, unit)
        if plant is not None and number >= CHANGE:
            rows = planted(rows, plant, kind, chance)
        found[(date(2024, 1, 1) + timedelta(days=number)).isoformat()] = day_shift(rows, kind, min_rows=20)
    return pd.DataFrame.from_dict(found, orient="index")


class TestFound:
    @pytest.mark.parametrize("kind", ["classification", "regression"])
    @pytest.mark.parametrize(("plant", "within"), [("times 1.5", 5), ("inverted", 2), ("shuffled", 5)])
    def test_a_change_of_all_rows_is_found_in_time_and_not_before(self, kind: Kind, plant: str, within: int) -> None:
        scores = history(kind, plant=plant)
        assert shift_on(scores.iloc[:CHANGE], kind, limit=LIMIT) is None
        assert shift_on(scores.iloc[: CHANGE + within], kind, limit=LIMIT) is not None

    @pytest.mark.parametrize("kind", ["classification", "regression"])
    def test_the_day_since_when_is_named(self, kind: Kind) -> None:
        change = shift_on(history(kind, plant="inverted").iloc[: CHANGE + 5], kind, limit=LIMIT)
        assert change is not None and change.stream == RELATION and change.shift < 0
        since = date(2024, 1, 1) + timedelta(days=CHANGE)
        assert abs((date.fromisoformat(change.since) - since).days) <= 2

    def test_what_happens_is_said_in_words(self) -> None:
        more = shift_on(history("regression", plant="times 1.5"), "regression", limit=LIMIT)
        less = shift_on(history("classification", plant="shuffled"), "classification", limit=LIMIT)
        assert more is not None and less is not None
        texts = [message(change, false_alarms_per_quarter=1.0) for change in (more, less)]
        assert "higher than predicted" in texts[0] or "differ more than the predictions say" in texts[0]
        assert "follow the predictions less than before" in texts[1]

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_the_unit_of_a_number_makes_no_difference(self, unit: float) -> None:
        one = shift_on(history("regression", plant="times 1.5"), "regression", limit=LIMIT)
        other = shift_on(history("regression", plant="times 1.5", unit=unit), "regression", limit=LIMIT)
        assert one is not None and other is not None
        assert (other.stream, other.since) == (one.stream, one.since)
        assert other.shift == pytest.approx(one.shift)


class TestCalm:
    @pytest.mark.parametrize("lag", [0.0, 0.3])
    def test_autocorrelated_days_call_no_more_than_declared(self, lag: float) -> None:
        chance, called, looks = np.random.default_rng(5), 0, 0
        for _ in range(30):
            values = chance.standard_normal((250, 2)) * 3
            for at in range(1, 250):
                values[at] = lag * values[at - 1] + np.sqrt(1 - lag**2) * values[at]
            measured = standardised_shifts(pd.DataFrame(values, columns=list(STREAMS)), "classification").iloc[35:]
            over = (evidence(measured, limit=LIMIT, steps=(1.0, 2.0), most=3.0)["total"] >= LIMIT).to_numpy()
            called += int(over.sum())
            looks += len(over)
        assert called / looks * 91 <= 1.0

    @pytest.mark.parametrize("stream", STREAMS)
    def test_one_day_however_bad_calls_nothing(self, stream: str) -> None:
        scores = history("classification")
        scores.loc[scores.index[-1], stream] = 80.0
        assert shift_on(scores, "classification", limit=LIMIT) is None

    def test_a_model_without_any_residual_calls_nothing(self) -> None:
        scores = history("regression")
        scores[[LEVEL, RELATION]] = 0.0
        assert shift_on(scores, "regression", limit=LIMIT) is None


class TestDays:
    def test_a_day_of_few_rows_says_nothing(self) -> None:
        rows = day_rows(np.random.default_rng(1), "regression")
        assert day_shift(rows.head(19), "regression", min_rows=20) == {}

    @pytest.mark.parametrize("kind", ["classification", "regression"])
    def test_equal_predictions_have_a_level_and_no_relation(self, kind: Kind) -> None:
        rows = day_rows(np.random.default_rng(1), kind).assign(prediction=0.3)
        assert set(day_shift(rows, kind, min_rows=20)) == {LEVEL}

    def test_predictions_of_zero_and_one_are_measured(self) -> None:
        rows = day_rows(np.random.default_rng(1), "classification")
        rows = rows.assign(prediction=rows["prediction"].round())
        assert all(np.isfinite(list(day_shift(rows, "classification", min_rows=20).values())))

    def test_days_that_only_have_a_level_still_count(self) -> None:
        scores = history("regression", plant="times 1.5").drop(columns=RELATION)
        change = shift_on(scores.reindex(columns=list(STREAMS)), "regression", limit=LIMIT)
        assert change is not None and change.stream == LEVEL
