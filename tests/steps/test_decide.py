"""The facts that a decision rests on are gathered from where they are kept, and a day asks once, whatever follows."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.core.champions import tenures
from ml.errors import DataRejected
from ml.records import (
    Champion,
    Decision,
    DriftReport,
    Finding,
    LivePerformance,
    PreviousChampionComparison,
    RollbackRequest,
)
from ml.steps import rollback
from ml.steps.monitor import decide
from ml.steps.retrain import pull
from tests.steps.conftest import LAST_DAY, NEXT_DAY, REQUEST, Contest, World, travelled

DEMO = DemoSource(replay=False)
DAY = NEXT_DAY + timedelta(days=7)  # the cooldown after the first champion is over
MOVED = Finding(kind="drift", severity="alarm", message="distance moved", column="distance")


def bring(world: World, last: date, *, without: tuple[date, ...] = (), labels: bool = True) -> None:
    """Bring the days after the seeded ones up to ``last`` into the registry, with the labels that are due by then."""
    days = [NEXT_DAY + timedelta(days=n) for n in range((last - NEXT_DAY).days + 1)]
    files: dict[Any, pd.DataFrame] = {("inputs", day): DEMO.inputs(day) for day in days if day not in without}
    if labels:
        files |= {("labels", day): DEMO.labels(day) for day in [LAST_DAY, *days[:-1]] if day not in without}
    world.put(files)


def drift(day: date = DAY, status: str = "drift", *, version: int | None = 1, **facts: Any) -> DriftReport:
    findings = (MOVED,) if status == "drift" else ()
    return DriftReport.model_validate(
        {"day": day, "status": status, "champion_version": version, "reason": "7 columns", "findings": findings} | facts
    )


def live(day: date = DAY, status: str = "fine", *, version: int | None = 1) -> LivePerformance:
    return LivePerformance(
        day=day, labelled_day=day - timedelta(days=1), rows=9, metrics={}, reason="the gap",
        champion_version=version, status=status,  # type: ignore[arg-type]
    )  # fmt: skip


def place(world: World, day: date) -> Path:
    return world.home / "storage" / "monitor" / f"day={day}"


def keep(world: World, *measured: DriftReport | LivePerformance) -> None:
    """Leave what was measured on earlier days where monitoring leaves it."""
    for each in measured:
        name = f"version={each.champion_version}/drift.json" if isinstance(each, DriftReport) else "performance.json"
        path = place(world, each.day) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**each.model_dump(mode="json"), "evidently": {"metrics": []}}))


def decided(
    world: World,
    report: DriftReport,
    performance: LivePerformance | None = None,
    comparison: PreviousChampionComparison | None = None,
) -> Decision:
    """Decide, and hold what was returned against what was written down."""
    champion = Champion(day=report.day, version=report.champion_version, reason="nobody serves yet")
    found = world.run(decide, champion, report, performance or live(report.day), comparison)
    assert found == written(world, report.day)
    return found


def written(world: World, day: date) -> Decision:
    return Decision.model_validate_json((place(world, day) / "decision.json").read_text())


def requests(world: World) -> list[Any]:
    return world.services.tracking.decisions(kinds=("retrain_request",))


YESTERDAY, THE_DAY_BEFORE = DAY - timedelta(days=1), DAY - timedelta(days=2)


@pytest.fixture(scope="module")
def world_once(trained_once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = trained_once.copied_to(tmp_path_factory.mktemp("followed") / "home")
    bring(world, DAY)
    return world


@pytest.fixture
def world(world_once: World, tmp_path: Path) -> World:
    """A champion since `NEXT_DAY`, and a week of days that followed."""
    return world_once.copied_to(tmp_path / "home")


class TestEarlierDays:
    def test_drift_on_two_days_asks_for_a_challenger_with_its_reasons(self, world: World) -> None:
        keep(world, drift(YESTERDAY))
        found = decided(world, drift())
        assert (found.action, found.state, found.champion_version) == ("retrain", "alarm", 1)
        assert found.reasons == ("drift on 2 of the newest 3 days: 7 columns",)
        assert found.findings == (MOVED,)
        (asked,) = requests(world)
        assert (asked.effective_day, asked.payload["version"]) == (DAY, 1)
        assert asked.payload["reasons"] == list(found.reasons)
        assert asked.payload["requested_by"] == f"monitor of {DAY}"

    def test_decay_on_two_days_does_too(self, world: World) -> None:
        keep(world, live(THE_DAY_BEFORE, "decay"))
        found = decided(world, drift(status="calm"), live(DAY, "decay"))
        assert (found.action, found.reasons) == ("retrain", ("decay on 2 of the newest 3 days: the gap",))

    def test_one_day_watches(self, world: World) -> None:
        found = decided(world, drift())
        assert (found.action, found.state) == ("nothing", "watching")
        assert requests(world) == []

    def test_what_was_measured_of_another_version_or_too_long_ago_counts_for_nothing(self, world: World) -> None:
        keep(world, drift(YESTERDAY, version=2), drift(DAY - timedelta(days=3)))
        assert decided(world, drift()).state == "watching"

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"day": "2013-06-21", "status": "drifted"}'])
    def test_what_cannot_be_read_counts_for_nothing(self, world: World, content: str) -> None:
        keep(world, drift(YESTERDAY), live(YESTERDAY, "decay"))
        for name in ("version=1/drift.json", "performance.json"):
            (place(world, YESTERDAY) / name).write_text(content)
        assert decided(world, drift(), live(DAY, "decay")).state == "watching"


class TestOnce:
    @pytest.fixture
    def asked(self, world: World) -> Decision:
        keep(world, drift(YESTERDAY))
        return decided(world, drift())

    def test_a_second_run_finds_the_same_answer(self, world: World, asked: Decision) -> None:
        assert decided(world, drift()) == asked
        assert len(requests(world)) == 1

    def test_after_the_judgement_the_days_answer_stands_and_the_next_day_waits(
        self, world: World, asked: Decision
    ) -> None:
        assert not world.having(features={"numeric": ["distance"]}).retrain().promoted
        assert decided(world, drift()) == asked
        world.put({("inputs", tomorrow := DAY + timedelta(days=1)): DEMO.inputs(tomorrow)})
        keep(world, drift())
        found = decided(world, drift(tomorrow))
        assert (found.action, found.alarm) == ("nothing", True)
        until = DAY + timedelta(days=7)
        assert found.reasons[-1].startswith(f"waiting until {until}: a challenger was judged on {DAY}, cooldown")
        assert decided(world, drift()) == asked, "though it is no longer the newest day"
        assert len(requests(world)) == 1

    def test_a_lost_decision_is_told_by_its_request(self, world: World, asked: Decision) -> None:
        (place(world, DAY) / "decision.json").unlink()
        found = decided(world, drift())
        assert (found.action, found.request, found.reasons) == ("retrain", asked.request, asked.reasons)
        assert len(requests(world)) == 1

    def test_a_day_that_asked_for_nothing_is_decided_again_on_what_is_known_by_then(self, world: World) -> None:
        assert decided(world, drift()).state == "watching"
        keep(world, drift(YESTERDAY))
        assert decided(world, drift()).action == "retrain"

    def test_what_was_decided_for_a_day_of_the_past_stays_though_it_is_measured_again(self, world: World) -> None:
        before = decided(world, drift())
        world.put({("inputs", tomorrow := DAY + timedelta(days=1)): DEMO.inputs(tomorrow)})
        assert decided(world, drift(status="calm")) == before

    def test_a_day_of_the_past_that_was_never_decided_asks_for_nothing(self, world: World) -> None:
        keep(world, drift(THE_DAY_BEFORE))
        found = decided(world, drift(YESTERDAY))
        assert (found.action, found.alarm, found.state) == ("nothing", False, "watching")
        assert f"{YESTERDAY} is not the newest day ({DAY})" in found.reasons[0]


class TestWaiting:
    """Cooldown and budget are read out of the decisions; refused days out of storage and registry."""

    @pytest.fixture
    def eager(self, world: World) -> World:
        """Whoever asks every day: the champion is always too old."""
        return world.having(retrain={"max_age_days": 1, "cooldown_days": 0})

    def test_the_budget_of_a_week_is_spent_by_requests_alone(self, eager: World) -> None:
        """None of them is judged: a training that fails must not be asked for every day."""
        for n, action in enumerate(["retrain", "retrain", "nothing", "nothing"]):
            day = DAY + timedelta(days=n)
            bring(eager, day)
            found = decided(eager, drift(day, "calm"))
            assert found.action == action, found.reasons
        until = DAY + timedelta(days=7)
        assert found.reasons[-1].startswith(f"waiting until {until}: challengers were requested on {DAY}")
        bring(eager, until)
        assert decided(eager, drift(until, "calm")).action == "retrain"

    def test_the_very_same_training_is_not_asked_for_again(self, trained: World) -> None:
        """No label has come since the champion was trained: *pull* would choose the same days."""
        bring(trained, DAY, labels=False)
        old = trained.having(retrain={"max_age_days": 1})
        found = decided(old, drift(status="calm"))
        assert (found.action, found.state) == ("nothing", "calm")
        assert found.reasons[-1].endswith("nothing new to train on, this very training was judged before")
        assert old.run(pull, REQUEST).seen_before

        other = old.having(fit={"seed": 7})
        assert decided(other, drift(status="calm")).action == "retrain"
        assert not other.run(pull, REQUEST).seen_before

    def test_a_pinned_data_version_is_what_would_be_trained_on(self, world: World) -> None:
        pinned = world.services.registry.history()[1].rev
        old = world.having(retrain={"max_age_days": 1}, pull={"data_version": pinned})
        assert "this very training was judged before" in decided(old, drift(status="calm")).reasons[-1]

    def test_a_training_that_was_rolled_back_is_not_asked_for_again(self, contest: Contest) -> None:
        from ml.steps.retrain import promote

        world = contest.world
        assert world.run(promote, contest.window, contest.judgement).promoted
        back = {"requested_by": "a test", "reason": "it was bad"}
        assert world.run(rollback, RollbackRequest.model_validate(back)).version == 1
        bring(world, DAY, labels=False)
        found = decided(world.having(retrain={"max_age_days": 1}), drift(status="calm"))
        assert found.reasons[-1].endswith("this very training was rolled back before")

    def test_too_little_to_train_on_is_left_to_pull(self, world: World) -> None:
        """It names what is missing; here nothing is known of a training that cannot be."""
        short = world.having(retrain={"max_age_days": 1}, pull={"min_days": 1000})
        assert decided(short, drift(status="calm")).action == "retrain"

    def test_enough_newly_labelled_days_ask(self, world: World) -> None:
        """Those since the champion's window: `LAST_DAY` to the day before `DAY`."""
        for wanted, action in ((9, "nothing"), (8, "retrain")):
            found = decided(world.having(retrain={"min_new_days": wanted}), drift(status="calm"))
            assert found.action == action
        assert found.reasons[0].startswith("new data: 8 days were labelled since 2013-06-13")

    def test_while_a_day_is_missing_that_should_be_there_it_waits(self, trained: World) -> None:
        bring(trained, DAY, without=(YESTERDAY,))
        old = trained.having(retrain={"max_age_days": 1})
        found = decided(old, drift(status="calm"))
        assert found.action == "nothing"
        assert f"data of {YESTERDAY} are rejected or missing" in found.reasons[-1]
        trained.put({("inputs", YESTERDAY): DEMO.inputs(YESTERDAY), ("labels", YESTERDAY): DEMO.labels(YESTERDAY)})
        assert decided(old, drift(status="calm")).action == "retrain"

    def test_while_the_day_to_come_is_refused_it_waits(self, world: World) -> None:
        source = world.home / "source"
        tomorrow = DAY + timedelta(days=1)
        broken = {"inputs": DEMO.inputs(tomorrow).assign(distance=-1.0), "labels": DEMO.labels(DAY)}
        for (asset, frame), day in zip(broken.items(), (tomorrow, DAY), strict=True):
            (source / asset).mkdir(parents=True)
            frame.to_parquet(source / asset / f"day={day}.parquet")
        files = {asset: f"{source}/{asset}/day={{day}}.parquet" for asset in broken}
        old = world.having(retrain={"max_age_days": 1}, source={"kind": "files", **files})
        with pytest.raises(DataRejected):
            old.ingest(tomorrow)
        found = decided(old, drift(status="calm"))
        assert (found.action, found.state) == ("nothing", "calm")
        assert f"data of {tomorrow} are rejected or missing" in found.reasons[-1]

    def test_a_broken_feed_alarms_and_waits(self, world: World) -> None:
        nulls = Finding(kind="null_share", severity="alarm", message="distance is null", at_once=True)
        keep(world, drift(YESTERDAY))
        found = decided(world, drift(findings=(MOVED, nulls)))
        assert (found.action, found.alarm, found.request) == ("nothing", True, None)
        assert f"nobody retrains on broken data, found on {DAY}" in found.reasons[-1]


def test_nobody_serves_and_a_challenger_is_asked_for_once(seeded: World) -> None:
    report = drift(LAST_DAY, "unknown", version=None)
    found = decided(seeded, report, live(LAST_DAY, "unknown", version=None))
    assert (found.action, found.alarm, found.reasons) == ("retrain", False, ("nobody serves yet",))
    assert seeded.retrain().promoted
    assert decided(seeded, report) == found
    assert tenures.last_judged(seeded.services.tracking.decisions(), until=LAST_DAY) == LAST_DAY
    assert len(requests(seeded)) == 1


def test_a_version_before_that_did_better_is_asked_back(world: World) -> None:
    comparison = PreviousChampionComparison(
        day=DAY,
        champion_version=1,
        previous_version=2,
        days=6,
        rows=5400,
        gain=0.05,
        low=0.01,
        high=0.09,
        reason="better",
    )
    found = decided(world, travelled(drift(status="calm")), comparison=comparison)
    assert (found.action, found.rollback and found.rollback.to_version) == ("rollback", 2)
    assert requests(world) == []
