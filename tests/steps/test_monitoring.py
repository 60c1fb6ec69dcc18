"""A fault that was planted raises an alarm and asks for a challenger once; healthy days stay calm."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml.adapters.sources.demo import DemoSource
from ml.records import Champion, Decision, DriftReport
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.score import resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

DEMO = DemoSource(replay=False)
AFTER_COOLDOWN = LAST_DAY + timedelta(days=8)
Fault = Callable[[pd.DataFrame], pd.DataFrame]


def plant(world: World, day: date, fault: Fault, *, days: int = 1) -> None:
    """Bring what there is by ``day`` into the registry, the newest ``days`` with a fault that no contract caught."""
    known = [NEXT_DAY + timedelta(days=n) for n in range((day - NEXT_DAY).days + 1)]
    frames = {("inputs", each): DEMO.inputs(each) for each in known}
    labels = {("labels", each): DEMO.labels(each) for each in [LAST_DAY, *known[:-1]]}
    faulty = {("inputs", each): fault(frames["inputs", each]) for each in known[-days:]}
    world.put({**frames, **labels, **faulty})


def watch(world: World, day: date) -> tuple[Champion, DriftReport, Decision]:
    """Watch a day as the Dag does."""
    champion = world.run(resolve, day)
    drift, performance = world.run(measure_drift, champion), world.run(measure_performance, champion)
    return champion, drift, world.run(decide, champion, drift, performance)


def later(frame: pd.DataFrame) -> pd.DataFrame:
    """Departures five hours late."""
    return frame.assign(sched_dep_minute=frame["sched_dep_minute"] + 300)


def test_a_fault_that_stays_asks_for_a_challenger_on_its_second_day_of_drift(trained: World) -> None:
    drifted: list[DriftReport] = []
    for n in range(4):
        plant(trained, day := AFTER_COOLDOWN + timedelta(days=n), later, days=n + 1)
        _, drift, decision = watch(trained, day)
        drifted += [drift] if drift.status == "drift" else []
        assert decision.state == ["unknown", "alarm"][len(drifted) - 1] if drifted else decision.action == "nothing"
        if len(drifted) == 2:
            break
        assert decision.action == "nothing"
    moved = [found.column for found in drift.columns if found.drifted and found.role == "structural"]
    assert "sched_dep_minute" in moved
    assert decision.request is not None and decision.request.requested_by == f"monitor of {day}"
    assert decision.reasons[0].startswith("drift on 2 of the newest 3 days: ")
    assert "sched_dep_minute" in decision.reasons[0]

    assert watch(trained, day)[2] == decision
    (asked,) = trained.services.tracking.decisions(kinds=("retrain_request",))
    assert asked.payload["reasons"] == list(decision.request.reasons)

    assert Path(str(drift.report_uri)).read_text().lstrip().startswith("<")
    kept = json.loads(Path(str(drift.result_uri)).read_text())
    assert {entry["column"] for entry in kept["columns"]} >= {"sched_dep_minute"}
    assert kept["evidently"]["metrics"]


def test_a_stuck_column_alarms_on_its_first_day_and_nobody_retrains_on_it(trained: World) -> None:
    plant(trained, AFTER_COOLDOWN, lambda frame: frame.assign(origin="unknown"))
    _, drift, decision = watch(trained.having(retrain={"max_age_days": 1}), AFTER_COOLDOWN)
    assert (drift.status, decision.state, decision.action) == ("drift", "alarm", "nothing")
    assert "origin" in {finding.column for finding in decision.findings if finding.at_once}
    assert f"nobody retrains on broken data, found on {AFTER_COOLDOWN}" in decision.reasons[-1]


def test_healthy_days_are_calm(trained_on_whole_days: World) -> None:
    trained = trained_on_whole_days
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
    assert decision.request is not None
    assert decision.request.reasons == ("age: version 1 has served 7 days, more than 6",)


def test_without_a_champion_drift_is_unknown_and_a_challenger_is_asked_for(seeded: World) -> None:
    champion, drift, decision = watch(seeded, LAST_DAY)
    assert (champion.version, drift.status) == (None, "unknown")
    assert (decision.action, decision.alarm) == ("retrain", False)
    assert decision.reasons == ("no champion has been promoted yet",)


def test_what_cannot_be_measured_is_unknown_and_asks_for_nothing(trained: World) -> None:
    plant(trained, NEXT_DAY, lambda frame: frame)
    few = trained.having(drift={"min_rows": 100_000})
    _, drift, decision = watch(few, NEXT_DAY)
    assert drift.status == "unknown" and "drift.min_rows is 100000" in drift.reason
    assert (decision.action, decision.alarm, decision.state) == ("nothing", False, "unknown")


def test_forced_predictions_meet_their_labels_too(trained: World) -> None:
    forced = trained.having(score={"force_future_model": True})
    day = LAST_DAY - timedelta(days=3)
    forced.score(day)
    champion = forced.run(resolve, day + timedelta(days=1))
    performance = forced.run(measure_performance, champion)
    assert performance.labelled_day == day and performance.rows > 0
