"""A fault that was planted raises an alarm and asks for a challenger once; healthy days stay calm."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.records import Champion, Decision, DriftReport
from ml.steps import decide, measure_drift, measure_performance, resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

DEMO = DemoSource(replay=False)
AFTER_COOLDOWN = LAST_DAY + timedelta(days=8)


def plant(world: World, day: date, fault: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Bring the days up to ``day`` into the registry, the last of them with a fault that no contract caught."""
    days = [NEXT_DAY + timedelta(days=n) for n in range((day - NEXT_DAY).days + 1)]
    frames = {("inputs", each): DEMO.inputs(each) for each in days}
    world.put({**frames, ("inputs", day): fault(frames["inputs", day])})


def watch(world: World, day: date) -> tuple[Champion, DriftReport, Decision]:
    champion = world.run(resolve, day)
    drift = world.run(measure_drift, champion)
    return champion, drift, world.run(decide, champion, drift)


FAULTS = {
    "sched_dep_minute": lambda f: f.assign(sched_dep_minute=f["sched_dep_minute"] + 300),
    "origin": lambda f: f.assign(origin="unknown"),
}


@pytest.mark.parametrize("column", FAULTS)
def test_one_faulty_day_is_drift_and_asks_for_a_challenger_once_with_its_reasons(column: str, trained: World) -> None:
    plant(trained, AFTER_COOLDOWN, FAULTS[column])
    _, drift, decision = watch(trained, AFTER_COOLDOWN)
    assert drift.status == "drift"
    assert [found.column for found in drift.columns if found.drifted and found.role == "structural"] == [column]
    assert (decision.action, decision.alarm) == ("retrain", True)
    assert decision.request is not None and decision.request.asked_by == f"monitor of {AFTER_COOLDOWN}"
    assert decision.reasons[0].startswith("drift: 1 of 7 structural columns moved: " + column)

    assert watch(trained, AFTER_COOLDOWN)[2] == decision
    (asked,) = trained.services.tracking.decisions(kinds=("retrain_request",))
    assert asked.payload["reasons"] == list(decision.reasons)

    assert Path(str(drift.report_uri)).read_text().lstrip().startswith("<")
    kept = json.loads(Path(str(drift.result_uri)).read_text())
    assert {entry["column"] for entry in kept["columns"]} >= {column}
    assert kept["evidently"]["metrics"]


def test_a_fault_that_keeps_within_its_contract_is_found_on_its_second_day(trained: World) -> None:
    """Departures five hours late, modulo a day: one such day in seven still hides below the limit."""

    def wrapped(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(sched_dep_minute=(frame["sched_dep_minute"] + 300) % 1440)

    plant(trained, AFTER_COOLDOWN, wrapped)
    day = AFTER_COOLDOWN + timedelta(days=1)
    trained.put({("inputs", day): wrapped(DEMO.inputs(day))})
    _, drift, decision = watch(trained, day)
    assert (drift.status, decision.action) == ("drift", "retrain")


def test_after_a_judgement_drift_alarms_and_waits_for_the_cooldown(trained: World) -> None:
    plant(trained, AFTER_COOLDOWN, FAULTS["origin"])
    assert watch(trained, AFTER_COOLDOWN)[2].action == "retrain"
    world = trained.having(features={"numeric": ["distance"]})
    assert not world.retrain().promoted
    _, drift, decision = watch(trained, AFTER_COOLDOWN)
    assert (drift.status, decision.action, decision.alarm, decision.request) == ("drift", "nothing", True, None)
    assert f"waiting: a challenger was judged on {AFTER_COOLDOWN}" in decision.reasons[-1]
    assert len(trained.services.tracking.decisions(kinds=("retrain_request",))) == 1


def test_healthy_days_are_calm(trained: World) -> None:
    last = NEXT_DAY + timedelta(days=6)
    plant(trained, last, lambda frame: frame)
    for day in (NEXT_DAY, NEXT_DAY + timedelta(days=3), last):
        _, drift, decision = watch(trained, day)
        assert drift.status == "calm", drift.reason
        assert (decision.action, decision.alarm) == ("nothing", False)
    assert trained.services.tracking.decisions(kinds=("retrain_request",)) == []


def test_a_champion_of_age_asks_for_a_challenger_without_an_alarm(trained: World) -> None:
    plant(trained, AFTER_COOLDOWN, lambda frame: frame)
    old = trained.having(retrain={"max_age_days": 6})
    _, _, decision = watch(old, AFTER_COOLDOWN)
    assert (decision.action, decision.alarm) == ("retrain", False)
    assert decision.reasons == ("age: version 1 has served 7 days, more than 6",)


def test_without_a_champion_drift_is_unknown_and_a_challenger_is_asked_for(seeded: World) -> None:
    champion, drift, decision = watch(seeded, LAST_DAY)
    assert (champion.version, drift.status) == (None, "unknown")
    assert (decision.action, decision.alarm) == ("retrain", False)
    assert decision.reasons == ("no champion has been promoted yet",)


def test_what_cannot_be_measured_is_unknown_and_asks_for_nothing(trained: World) -> None:
    trained.put({("inputs", NEXT_DAY): DEMO.inputs(NEXT_DAY).assign(distance=np.nan)})
    few = trained.having(drift={"min_rows": 100_000})
    _, drift, decision = watch(few, NEXT_DAY)
    assert drift.status == "unknown" and "drift.min_rows is 100000" in drift.reason
    assert (decision.action, decision.alarm) == ("nothing", False)
    alone = trained.having(drift={"window_days": 1, "structural": ["distance"]})
    _, drift, decision = watch(alone, NEXT_DAY)
    assert drift.status == "unknown" and "could not be measured: distance" in drift.reason
    assert (decision.action, decision.alarm) == ("nothing", False)


def test_forced_predictions_meet_their_labels_too(trained: World) -> None:
    forced = trained.having(score={"force_future_model": True})
    day = LAST_DAY - timedelta(days=3)
    forced.score(day)
    champion = forced.run(resolve, day + timedelta(days=1))
    performance = forced.run(measure_performance, champion)
    assert performance.labelled_day == day and performance.rows > 0
