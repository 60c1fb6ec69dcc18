"""Who is watched, for how long, and what counts as doing better."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.champions.previous_champion import Watch, compare, watch_of
from ml.records import Logged
from ml.settings import Gate, Rollback
from tests import builders

DAY = date(2013, 6, 1)
MAE = Gate(metric="mae")
WATCH = Watch(champion=2, previous=1, first_day=DAY, last_day=DAY + timedelta(days=13))


def came(kind: str, version: int, before: int | None, on: date, trained: date | None = None) -> Logged:
    """Write down that a version came to serve from ``on``, trained on days up to ``trained`` (the day before it)."""
    payload: dict[str, Any] = {"version": version, "previous_version": before}
    payload["window_last_day"] = (trained or on - timedelta(days=1)).isoformat()
    at = datetime(2013, 6, 1, tzinfo=UTC)
    name = f"{kind} {version} {on}"
    return Logged(decision_id=name, kind=kind, decided_at=at, fingerprint=None, effective_day=on, payload=payload)


LIFE = [
    came("promotion", 1, None, DAY - timedelta(days=30)),
    came("promotion", 2, 1, DAY),
    came("promotion", 3, 2, DAY + timedelta(days=5)),
    came("rollback", 2, 3, DAY + timedelta(days=9)),
]


class TestWatch:
    @pytest.mark.parametrize(("after", "version", "previous"), [(0, 2, 1), (4, 2, 1), (5, 3, 2), (8, 3, 2)])
    def test_a_promoted_version_is_held_against_the_one_it_replaced(
        self, after: int, version: int, previous: int
    ) -> None:
        watch, _ = watch_of(DAY + timedelta(days=after), version, LIFE, days=14)
        assert watch is not None
        assert (watch.champion, watch.previous) == (version, previous)

    def test_it_lasts_as_many_days_as_declared_from_the_day_on_which_the_version_serves(self) -> None:
        watch, _ = watch_of(DAY, 2, LIFE[:2], days=14)
        assert watch == WATCH

    def test_days_that_the_champion_was_trained_on_are_no_evidence(self) -> None:
        seen = DAY + timedelta(days=2)
        watch, _ = watch_of(DAY, 2, [LIFE[0], came("promotion", 2, 1, DAY, trained=seen)], days=14)
        assert watch is not None
        assert watch.first_day == seen + timedelta(days=1)

    @pytest.mark.parametrize(
        ("after", "version", "stated"),
        [
            (-5, 1, "no other version served before"),
            (10, 2, "came back by rollback"),
            (5, 2, "was not the champion in force"),
            (-40, 1, "was not the champion in force"),
            (0, None, "no champion serves"),
        ],
    )
    def test_nobody_else_is(self, after: int, version: int | None, stated: str) -> None:
        watch, reason = watch_of(DAY + timedelta(days=after), version, LIFE, days=14)
        assert watch is None
        assert stated in reason


def rows(gain: float, *, days: int = 14, day_sd: float = 0.0, seed: int = 0) -> pd.DataFrame:
    frame = builders.holdout(gain, days=days, day_sd=day_sd, seed=seed)
    return frame.rename(columns={"challenger": "previous"})


class TestCompare:
    def test_a_rival_that_is_better_every_day_is_found_and_said(self) -> None:
        found = compare(DAY, WATCH, rows(5.0, day_sd=1.0), gate=MAE, rollback=Rollback(), seed=1)
        assert found.gain is not None and found.low is not None and found.high is not None
        assert 0 < found.low < found.gain < found.high
        assert (found.champion_version, found.previous_version, found.days) == (2, 1, 14)
        assert "version 1, which served before, has a MAE lower by" in found.reason

    def test_fewer_days_than_declared_say_nothing(self) -> None:
        found = compare(DAY, WATCH, rows(5.0, days=4), gate=MAE, rollback=Rollback(), seed=1, left_out="; left out: x")
        assert (found.gain, found.low, found.high, found.days) == (None, None, None, 4)
        assert "of the 5 that a rollback needs" in found.reason and found.reason.endswith("left out: x")

    def test_no_day_at_all_says_nothing(self) -> None:
        found = compare(DAY, WATCH, rows(0.0).head(0), gate=MAE, rollback=Rollback(), seed=1)
        assert (found.gain, found.days, found.rows) == (None, 0, 0)

    def test_a_prediction_that_is_no_number_says_nothing(self) -> None:
        frame = rows(5.0)
        frame.loc[3, "previous"] = np.nan
        assert compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1).gain is None

    def test_equal_models_are_equal(self) -> None:
        frame = rows(0.0)
        frame["previous"] = frame["champion"]
        found = compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1)
        assert (found.gain, found.low) == (0.0, 0.0)

    def test_five_lucky_days_are_not_enough(self) -> None:
        """Five days that all favour the rival come by chance too: with equal models once in 32 promotions."""
        frame = pd.DataFrame(
            {"day": list("abcde"), "target": 0.0, "champion": [1.1, 1.3, 1.02, 1.2, 1.05], "previous": 1.0}
        )
        found = compare(DAY, WATCH, frame, gate=MAE, rollback=Rollback(), seed=1)
        assert found.low is not None and found.gain is not None
        assert found.low < 0 < found.gain
