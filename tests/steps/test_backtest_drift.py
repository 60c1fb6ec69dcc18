"""Drift in a replay of few rows a day: measured at all, with predictions and labels, and a reason to retrain."""

from __future__ import annotations

import hashlib
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
from ml.core.data.days import days_between
from ml.core.monitoring.drift_report import reference_of
from ml.settings import overlaid

FIRST, BEGIN, JUMP, LAST = date(2024, 1, 1), date(2024, 4, 1), date(2024, 4, 20), date(2024, 5, 25)
PARAMS: dict[str, Any] = {
    "task": {"name": "rentals", "kind": "regression", "target": "count", "key": ["day", "hour"], "label_delay_days": 1},
    "source": {"kind": "files", "inputs": "{day}", "labels": "{day}"},
    "pull": {"min_days": 28},
    "split": {"holdout_days": 7},
    "features": {"categorical": ["daytime"], "numeric": ["temp"], "min_category_rows": 5},
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "gate": {
        "metric": "rmse",
        "min_rows": 100,
        "bootstrap_rounds": 200,
        "rules": {"champion": {"kind": "champion", "min_gain": 0.0, "refresh_max_loss": 1e9}},
    },
    "drift": {"structural": ["daytime"], "environment": ["temp"]},
    "performance": {"max_gap": 1e6, "max_lost_skill": 1e9},
    "rollback": {"automatic": False},
}


def rentals(jump: float) -> PointInTimeDataset:
    """Give 24 rows a day; from `JUMP` on the counts are ``jump`` times as many, and no feature says so."""
    chance = np.random.default_rng(3)
    inputs, labels, arrived, digests = {}, {}, {}, {}
    for day in days_between(FIRST, LAST):
        hour = np.arange(24)
        temp = 15 + 5 * np.sin(2 * np.pi * hour / 24) + chance.normal(size=24)
        daytime = np.where((hour >= 7) & (hour < 21), "day", "night")
        mean = np.where(daytime == "day", 120, 20) * (1 + 0.02 * (temp - 15)) * np.exp(chance.normal(scale=0.1))
        count = chance.poisson(mean * (jump if day >= JUMP else 1.0)).astype(float)
        inputs[day] = pd.DataFrame({"day": day.isoformat(), "hour": hour, "daytime": daytime, "temp": temp})
        labels[day] = pd.DataFrame({"day": day.isoformat(), "hour": hour, "count": count})
        arrived[day] = day + timedelta(days=1)
        for asset in ("inputs", "labels"):
            digests[asset, day] = hashlib.md5(f"{asset} {day} {jump}".encode()).hexdigest()
    return PointInTimeDataset(inputs, labels, arrived, {}, digests, key=("day", "hour"), target="count", delay=1)


def lived(tmp_path: Path, *, jump: float, **sections: Any) -> pd.DataFrame:
    base = overlaid(PARAMS, sections)
    policy = policies.make("drift", policies.BUILT_IN["drift"], base, origin="a test")
    return Simulation(policy, Fits(rentals(jump), tmp_path, "code"), BEGIN, LAST).run().days


def found(days: pd.DataFrame, sign: str) -> list[date]:
    return [day for day, signs in zip(days["day"], days["alarm_conditions"], strict=True) if sign in signs.split()]


def test_twenty_four_rows_a_day_are_measured_and_calm_while_nothing_moves(tmp_path: Path) -> None:
    days = lived(tmp_path, jump=1.0)
    assert set(days["drift"]) == {"calm"}
    assert not days["alarm"].any() and (days["action"] == "nothing").all()


def test_labels_that_move_ask_for_a_challenger_though_no_input_moved(tmp_path: Path) -> None:
    days = lived(tmp_path, jump=2.0)
    alarmed = found(days, "alarm:label_drift:label")
    assert JUMP < alarmed[0] <= JUMP + timedelta(days=9)
    asked = days.loc[days["action"] == "retrain"]
    assert asked["day"].iloc[0] <= alarmed[0] + timedelta(days=3)
    assert asked["reason"].iloc[0].startswith("drift on 2 of the newest 3 days: label ")
    assert days["event"].str.startswith("promoted").any()


def test_days_that_a_champion_was_trained_on_do_not_ask_again(tmp_path: Path) -> None:
    days = lived(tmp_path, jump=2.0)
    promoted = days.loc[days["event"].str.startswith("promoted"), "day"]
    after = {promoted.iloc[0] + timedelta(days=n) for n in range(1, 7)}
    assert not after & set(found(days, "alarm:label_drift:label"))
    assert after & set(found(days, "warning:label_drift:label"))


def test_limits_are_learned_from_no_day_in_alarm(tmp_path: Path) -> None:
    policy = policies.make("drift", policies.BUILT_IN["drift"], PARAMS, origin="a test")
    simulation = Simulation(policy, Fits(rentals(2.0), tmp_path, "code"), BEGIN, LAST)
    days = simulation.run().days
    newest = simulation.monitored[max(simulation.monitored)]
    alarmed = set(days.loc[days["alarm"], "day"]) & set(newest.version.fitted.training.days)
    assert alarmed and alarmed <= newest.days_in_alarm and not simulation.monitored[1].days_in_alarm
    rows = newest.fits.rows(newest.version.fitted.training, newest.settings)
    of_calm, of_all = (
        reference_of(rows, newest.reference.predictions, newest.settings, alarm_days=left_out).limits
        for left_out in (newest.days_in_alarm, ())
    )
    assert newest.reference.limits == of_calm != of_all


def test_labels_may_only_warn(tmp_path: Path) -> None:
    days = lived(tmp_path, jump=2.0, drift={"labels": "warning"})
    assert found(days, "warning:label_drift:label") and not found(days, "alarm:label_drift:label")
    assert (days["action"] == "nothing").all()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"min_rows": 500}, "have 168 rows, and a window needs 500: lower drift.min_rows to 84 or leave it out, or"),
        ({"window_days": 1}, "1 usual days of the champion's reference have 24 rows, and a window needs 30: raise"),
    ],
)
def test_what_can_never_be_measured_is_an_alarm(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    days = lived(tmp_path, jump=1.0, drift=section)
    assert set(days["drift"]) == {"unknown"}
    assert len(found(days, "alarm:unmeasured_drift:")) == len(days)
    assert days["state"].iloc[-1] == "alarm" and said in days["reason"].iloc[-1]
