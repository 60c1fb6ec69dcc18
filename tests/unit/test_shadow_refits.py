"""In a backtest a refit in shadow sees what had arrived when it was due, and gains where the world has turned."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.backtest import policies
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fits import Fits
from ml.backtest.simulation import Simulation
from ml.core.monitoring import refit_gain
from tests.builders import params

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(40)]
SERVED = DAYS[20]
TURNED = DAYS[22]


def dataset() -> PointInTimeDataset:
    """Build days whose outcome follows a number, and from `TURNED` on its opposite."""
    chance = np.random.default_rng(0)
    inputs, labels = {}, {}
    for day in DAYS:
        number = chance.normal(size=60)
        sign = -1 if day >= TURNED else 1
        inputs[day] = pd.DataFrame({"day": str(day), "id": np.arange(60), "number": number})
        late = (chance.random(60) < 1 / (1 + np.exp(-3 * sign * number))).astype(float)
        labels[day] = inputs[day][["day", "id"]].assign(late=late)
    arrived = {day: day + timedelta(days=1) for day in DAYS}
    digests = {(asset, day): f"{asset}{day}" for day in DAYS for asset in ("inputs", "labels")}
    return PointInTimeDataset(inputs, labels, arrived, {}, digests, key=("day", "id"), target="late", delay=1)


def simulated(folder: Path, **retrain: Any) -> Simulation:
    """Serve the days with the first model for ever, and score refits beside it."""
    base = params(
        task={"key": ["day", "id"]},
        features={"categorical": [], "numeric": ["number"], "spline": [], "history": []},
        pull={"min_days": 10, "days": 12},
        split={"holdout_days": 4},
        gate={"min_days": 2, "rules": {"champion": {"kind": "champion", "min_gain": 0.001}}},
        retrain={"refit": "after_gate", "shadow_refit": {"every_days": 2}, **retrain},
    )
    simulation = Simulation(
        policies.make("a test", {}, base, origin="a test"), Fits(dataset(), folder, "code"), SERVED, DAYS[-1]
    )
    simulation._begin()
    for day in DAYS[20:]:
        simulation.scores.score(day, 1, simulation.log)
        simulation.refits.score(1, day, simulation.log)
    return simulation


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulated(tmp_path_factory.mktemp("fits"))


def test_each_labelled_day_is_scored_by_a_refit_that_was_due_before_it(course: Simulation) -> None:
    found = course.refits.comparison(1)
    assert found is not None
    assert [day.day for day in found.days] == DAYS[20:-1][-len(found.days) :]
    assert len(found.days) >= 17
    for day in found.days:
        due = refit_gain.refitted_on(day.day, course.settings)
        assert day.refit_last_day == due - timedelta(days=1)  # what had arrived by then


def test_refits_gain_once_they_have_seen_the_world_turn(course: Simulation) -> None:
    found = course.refits.comparison(1)
    assert found is not None
    before = [day.gain for day in found.days if day.day < TURNED]
    after = [day.gain for day in found.days if day.refit_last_day >= TURNED + timedelta(days=8)]
    assert abs(np.mean(before)) < 0.1
    assert min(after) > 0.3
    assert found.low is not None
    assert found.low > 0


def test_a_model_without_a_refit_is_held_back_from_its_holdout_in_shadow_too(tmp_path: Path) -> None:
    found = simulated(tmp_path, refit="never").refits.comparison(1)
    assert found is not None
    assert {(day.day - day.refit_last_day).days for day in found.days} == {6, 7}


def test_where_nothing_asks_for_challengers_nothing_is_fitted(tmp_path: Path) -> None:
    course = simulated(tmp_path, **policies.NO_ASKING)
    assert course.refits.comparison(1) is None
    assert len(list((tmp_path / "fits").iterdir())) == 1
