"""Predictions that were really served meet real labels, and the gate's promise is held against them."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.core.monitoring import day_summary, slice_changes, slice_findings
from ml.core.monitoring.outcome_shifts import LEVEL, RELATION
from ml.records import Decision, LivePerformance
from ml.steps.monitor import measure_performance
from ml.steps.score import resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

DEMO = DemoSource(replay=False)
SERVED = [LAST_DAY + timedelta(days=n) for n in range(9)]
TODAY = SERVED[-1] + timedelta(days=1)


@pytest.fixture(scope="module")
def served_once(trained_once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Nine days that the champion has scored, all of them labelled by the day after."""
    world = trained_once.copied_to(tmp_path_factory.mktemp("served") / "home")
    inputs = {("inputs", day): DEMO.inputs(day) for day in [*SERVED, TODAY]}
    world.put(inputs | {("labels", day): DEMO.labels(day) for day in SERVED})
    for day in SERVED:
        world.score(day)
    return world


@pytest.fixture
def served(served_once: World, tmp_path: Path) -> World:
    return served_once.copied_to(tmp_path / "home")


def measured(world: World, day: date = TODAY) -> LivePerformance:
    return world.run(measure_performance, world.run(resolve, day))


def kept(world: World, day: date = TODAY) -> Path:
    return world.home / "storage" / "monitor" / f"day={day}"


def test_what_was_served_meets_its_labels(served: World) -> None:
    found = measured(served)
    assert (found.labelled_day, found.champion_version, found.window_days) == (SERVED[-1], 1, 9)
    assert (found.window_first_day, found.window_rows) == (SERVED[0], found.window_rows)
    frames = [
        pd.read_parquet(served.home / "storage" / "predictions" / f"day={day}" / "version=1.parquet").merge(
            served.held("labels", day).dropna(subset=["late"]), on=list(served.settings.task.key)
        )
        for day in SERVED
    ]
    rows = pd.concat(frames)
    assert found.window_rows == len(rows)
    gap = found.window["gap"]
    assert gap.value == pytest.approx((rows["prediction"] - rows["late"]).mean(), abs=1e-6)
    assert gap.low is not None and gap.high is not None and gap.low < gap.value < gap.high
    assert found.metrics["prevalence"] == pytest.approx(frames[-1]["late"].mean(), abs=1e-6)
    assert found.label_coverage == pytest.approx(len(rows) / sum(len(served.held("inputs", day)) for day in SERVED))


def test_of_a_large_window_a_share_of_the_keys_is_measured_and_all_are_counted(served: World) -> None:
    whole = measured(served)
    some = measured(served.having(performance={"max_rows": whole.window_rows // 2}))
    assert whole.window_rows is not None and some.window_rows is not None
    assert some.window_rows == pytest.approx(whole.window_rows / 2, rel=0.1)
    assert some.label_coverage == pytest.approx(whole.label_coverage, abs=0.02)
    assert some.window["gap"].value == pytest.approx(whole.window["gap"].value, abs=0.03)
    assert (some.status, some.estimated_day) == (whole.status, whole.estimated_day)


def test_before_any_label_has_arrived_nothing_is_measured_and_nothing_fails(served: World) -> None:
    later = TODAY + timedelta(days=90)
    served.put({("inputs", later): DEMO.inputs(later)})
    found = measured(served, later)
    assert (found.status, found.window_rows) == ("unknown", 0)


def test_the_promise_is_what_the_gate_saw(served: World) -> None:
    found = measured(served)
    metrics = served.services.tracking.run_metrics(served.services.tracking.version_tags(1)["run_id"])
    assert found.expected["log_loss"] == pytest.approx(metrics["log_loss"], abs=1e-6)
    assert found.expected["skill"] == pytest.approx(metrics["base_rate_log_loss"] - metrics["log_loss"], abs=1e-6)
    assert found.status in {"fine", "decay"}


def test_it_is_kept_and_the_same_again(served: World) -> None:
    found = measured(served)
    before = {path.name: path.read_bytes() for path in kept(served).iterdir()}
    assert LivePerformance.model_validate_json(before["performance.json"]) == found
    days = pd.read_csv(kept(served) / "performance_by_day.csv")
    assert list(days["day"]) == [day.isoformat() for day in SERVED]
    assert measured(served) == found
    assert {path.name: path.read_bytes() for path in kept(served).iterdir()} == before


def test_whether_the_day_itself_is_scored_already_makes_no_difference(served: World) -> None:
    before = measured(served)
    served.score(TODAY)
    assert measured(served) == before


def test_outcomes_that_turn_are_decay(served: World) -> None:
    served.put({("labels", day): served.held("labels", day).assign(late=1.0) for day in SERVED})
    found = measured(served)
    assert found.status == "decay"
    assert {finding.kind for finding in found.findings} >= {"decay"}
    assert "version 1 predicts 0." in found.reason and "too low on average" in found.reason


def test_too_few_labelled_days_are_unknown_and_are_measured_all_the_same(served: World) -> None:
    found = measured(served, SERVED[3])
    assert (found.status, found.window_days, found.labelled_day) == ("unknown", 3, SERVED[2])
    assert "of the 7 that a live figure needs" in found.reason
    assert found.metrics["log_loss"] > 0


def test_an_estimate_without_labels_is_of_a_named_day_or_says_why_there_is_none(served: World) -> None:
    found = measured(served.having(task={"label_delay_days": 3}))
    assert found.labelled_day == SERVED[-3]
    if found.estimated is None:
        assert found.estimate_reason.startswith("no estimate without labels is shown: ")
        assert (found.estimated_day, found.estimated_metrics, found.estimated_low) == (None, {}, None)
    else:
        assert found.estimated_day == SERVED[-1] and "the same as before" in found.estimate_reason
        assert found.estimated_low is not None and found.estimated_low < found.estimated < 1
    assert not [finding for finding in found.findings if "estimate" in finding.message]


def test_a_mix_that_says_how_hard_a_day_is_makes_an_estimate(served: World) -> None:
    """What is kept with the version is replaced by days whose easy rows come and go: the estimate proves itself."""
    (path,) = [path for path in served.home.rglob("monitoring/predictions.parquet") if "artifacts" in path.parts]
    known = pd.read_parquet(path)
    days = [(SERVED[0] - timedelta(days=number)).isoformat() for number in range(40, 0, -1)]
    chance = np.random.default_rng(0)
    parts = []
    for day in days:
        p = np.where(chance.random(500) < chance.random(), 0.02, 0.45)
        parts.append(pd.DataFrame({"day": day, "prediction": p, "target": (chance.random(500) < p) * 1.0}))
    pd.concat(parts, ignore_index=True).astype({"day": known["day"].dtype}).to_parquet(path)
    found = measured(served.having(task={"label_delay_days": 3}, performance={"min_days": 9}))
    assert found.estimated is not None, found.estimate_reason
    assert found.estimated_day == SERVED[-1]
    assert found.estimated_low is not None and found.estimated_high is not None and found.estimate_error is not None
    assert found.estimated_low < found.estimated < found.estimated_high
    summary = day_summary.summarise(
        Decision(day=TODAY, action="nothing", reasons=("all is well",), alarm=False), None, found
    )
    assert summary["performance"]["estimated_low"] == found.estimated_low
    assert summary["performance"]["estimate_reason"] == found.estimate_reason


def test_a_version_of_which_less_was_kept_is_unknown_not_fine(served: World) -> None:
    gone = [path for path in served.home.rglob("*") if path.name in {"holdout.parquet", "predictions.parquet"}]
    for path in gone:
        if "artifacts" in path.parts:
            path.unlink()
    found = measured(served)
    assert (found.status, found.expected, found.estimated) == ("unknown", {}, None)
    assert "what the gate saw of it is not kept" in found.reason


def test_what_never_came_is_named(served: World) -> None:
    shutil.rmtree(served.home / "storage" / "predictions" / f"day={SERVED[-1]}")
    found = measured(served)
    assert (found.labelled_day, found.window_days) == (SERVED[-2], 8)
    assert f"no predictions were served for {SERVED[-1]}" in found.reason
    later = [TODAY + timedelta(days=n) for n in range(1, 10)]
    served.put({("inputs", day): DEMO.inputs(day) for day in later})
    (finding,) = [each for each in measured(served, later[-1]).findings if each.kind == "missing_labels"]
    assert finding.severity == "alarm" and f"no labels of {TODAY}, and 7 days of asking" in finding.message


def test_without_a_champion_nothing_is_claimed(seeded: World) -> None:
    found = measured(seeded, LAST_DAY)
    assert (found.status, found.champion_version, found.rows) == ("unknown", None, 0)
    assert f"no champion serves {LAST_DAY}" in found.reason


def test_after_a_promotion_what_the_version_before_served_speaks_of_the_days_without_labels(served: World) -> None:
    served.score(TODAY)
    anything_wins = {"rules": {"champion": {"kind": "champion", "max_loss": 100.0}}}
    assert served.having(gate=anything_wins).retrain().version == 2
    after = [TODAY + timedelta(days=n) for n in range(1, 9)]
    served.put({("inputs", day): DEMO.inputs(day) for day in after} | {("labels", TODAY): DEMO.labels(TODAY)})
    found = measured(served, after[0])
    assert (found.champion_version, found.status, found.versions, found.window_days) == (2, "fine", (1,), 10)
    assert "version 1 (10 days): mean prediction minus mean outcome" in found.reason
    days = pd.read_csv(kept(served, after[0]) / "performance_by_day.csv")
    assert list(days["day"]) == [day.isoformat() for day in [*SERVED, TODAY]]

    for day in after[:-1]:
        served.score(day)
    served.put({("labels", day): DEMO.labels(day) for day in after[:-1]})
    own = measured(served, after[-1])
    assert (own.versions, own.window_days) == ((2,), 7) and own.reason.startswith("version 2")


def test_forced_predictions_meet_their_labels_too(trained: World) -> None:
    forced = trained.having(score={"force_future_model": True})
    day = NEXT_DAY - timedelta(days=4)
    forced.score(day)
    found = measured(forced, day + timedelta(days=1))
    assert found.labelled_day == day and found.rows > 0


def slices(world: World) -> dict[str, tuple[str, dict[str, float]]]:
    facts: dict[str, tuple[str, dict[str, float]]] = json.loads(
        (world.home / "storage" / "slice_scores" / "newest.json").read_text(encoding="utf-8")
    )
    return facts


def test_the_slices_of_every_served_day_are_measured_and_measured_anew_only_where_the_day_changed(
    served: World,
) -> None:
    found, before = measured(served), slices(served)
    assert list(before) == [day.isoformat() for day in SERVED]
    assert "so far there are 9" in found.slice_reason and "so far there are 9" in found.shift_reason
    assert {"carrier = UA", "origin = JFK", LEVEL, RELATION} <= before[str(SERVED[0])][1].keys()
    served.put({("labels", SERVED[2]): served.held("labels", SERVED[2]).assign(late=1.0)})
    measured(served)
    assert [day for day, entry in slices(served).items() if entry != before[day]] == [str(SERVED[2])]


def test_slices_that_are_lost_or_damaged_are_measured_again_to_the_same(served: World) -> None:
    found, before = measured(served), slices(served)
    path = served.home / "storage" / "slice_scores" / "newest.json"
    for damage in ("{", "[1]", '{"2013-01-01": 3}'):
        path.write_text(damage, encoding="utf-8")
        assert measured(served) == found
        assert slices(served) == before


def test_a_part_that_changes_is_a_finding_whatever_order_days_are_monitored_in(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (slice_changes, slice_findings):
        monkeypatch.setattr(module, "MIN_TRAILING_DAYS", 4)
    turned = {("labels", day): one_airport_late(served, day) for day in SERVED[-3:]}
    served.put(turned)
    rules = {
        **served.params["gate"]["rules"],
        "slices": {"kind": "slices", "by": ["origin == 'JFK'"], "max_loss": 0.02},
    }
    alarming = served.having(
        gate={"rules": rules}, performance={"slices": "alarm", "slice_false_alarms_per_quarter": 6}
    )
    first = measured(alarming)
    (finding,) = [finding for finding in first.findings if finding.kind == "slice_change"]
    assert finding.severity == "alarm" and finding.at_once
    assert "where origin == 'JFK'" in finding.message
    assert measured(alarming, SERVED[-3]).slice_reason.startswith("no part of the data has changed")
    assert measured(alarming) == first


def one_airport_late(world: World, day: date) -> pd.DataFrame:
    """Let everything from JFK be late."""
    labels = world.held("labels", day)
    return labels.assign(late=labels["late"].where((labels["origin"] != "JFK") | labels["late"].isna(), 1.0))
