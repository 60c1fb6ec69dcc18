"""The version before scores along, apart from what is served; if it does better, it is asked back."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ml.adapters.sources.demo import DemoSource
from ml.records import Champion, Decision, DriftReport, PreviousChampionComparison, Shadows
from ml.steps import rollback
from ml.steps.monitor import compare_with_previous, decide, measure_performance
from ml.steps.retrain import promote
from ml.steps.score import resolve, shadow
from tests.steps.conftest import BAD_MODEL, LAST_DAY, NEXT_DAY, Contest, World

DEMO = DemoSource(replay=False)
DAYS = [NEXT_DAY + timedelta(days=n) for n in range(7)]
NEWEST = DAYS[-1]
ANYTHING_WINS = {"rules": {"champion": {"kind": "champion", "max_loss": 100.0}}}


@pytest.fixture(scope="module")
def replaced_once(trained_once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A good champion (1), a bad one (2) promoted over it, and a week that both scored, labelled but for its end."""
    world = trained_once.copied_to(tmp_path_factory.mktemp("replaced") / "home")
    assert world.having(fit=BAD_MODEL["fit"], gate=ANYTHING_WINS).retrain().promoted
    world.put(
        {("inputs", day): DEMO.inputs(day) for day in DAYS}
        | {("labels", day): DEMO.labels(day) for day in [LAST_DAY, *DAYS[:-1]]}
    )
    for day in DAYS:
        assert in_shadow(world, day)[1].versions == (1,)
    return world


@pytest.fixture
def replaced(replaced_once: World, tmp_path: Path) -> World:
    return replaced_once.copied_to(tmp_path / "home")


def in_shadow(world: World, day: date) -> tuple[Champion, Shadows]:
    """Score a day as the Dag does."""
    champion, _ = world.score(day)
    return champion, world.run(shadow, champion)


def rivalry_of(world: World, day: date = NEWEST) -> PreviousChampionComparison:
    return world.run(compare_with_previous, world.run(resolve, day))


def decided(world: World, day: date = NEWEST) -> Decision:
    champion = world.run(resolve, day)
    calm = DriftReport(day=day, status="calm", champion_version=champion.version, reason="calm")
    performance = world.run(measure_performance, champion)
    return world.run(decide, champion, calm, performance, world.run(compare_with_previous, champion))


def kept(world: World, day: date, version: int = 1) -> Path:
    return world.home / "storage" / "shadow" / f"day={day}" / f"version={version}.parquet"


class TestShadow:
    def test_it_is_kept_apart_and_never_among_the_predictions(self, replaced: World) -> None:
        served = sorted(path.name for path in (replaced.home / "storage" / "predictions").rglob("*.parquet"))
        assert served == ["version=2.parquet"] * len(DAYS)
        frame, sidecar = pd.read_parquet(kept(replaced, NEWEST)), kept(replaced, NEWEST).with_suffix(".json")
        key = list(replaced.settings.task.key)
        pd.testing.assert_frame_equal(frame[key], replaced.held("inputs", NEWEST)[key])
        assert set(frame["model_version"]) == {1}
        facts = json.loads(sidecar.read_text())
        assert (facts["rows"], facts["beside"]) == (len(frame), 2)
        assert facts["data_version"] == replaced.services.registry.head()

    def test_it_is_what_the_version_would_have_served_and_the_same_bytes_again(self, replaced: World) -> None:
        before = kept(replaced, NEWEST).read_bytes()
        shutil.rmtree(replaced.home / "storage" / "shadow")
        in_shadow(replaced, NEWEST)
        assert kept(replaced, NEWEST).read_bytes() == before

    def test_it_ends_with_the_watch(self, replaced: World) -> None:
        short = replaced.having(rollback={"watch_days": 5})
        assert in_shadow(short, DAYS[4])[1].versions == (1,)
        assert in_shadow(short, DAYS[5])[1].versions == ()

    def test_without_a_version_before_nothing_is_scored(self, trained: World) -> None:
        _, found = in_shadow(trained, LAST_DAY)
        assert (found.versions, found.uris) == ((), ())
        assert not (trained.home / "storage" / "shadow").exists()

    def test_a_held_challenger_scores_along_if_wanted_but_no_day_that_it_was_trained_on(self, contest: Contest) -> None:
        world = contest.world.having(score={"shadow_challenger": True})
        world.put({("inputs", NEXT_DAY): DEMO.inputs(NEXT_DAY)})
        assert in_shadow(contest.world, NEXT_DAY)[1].versions == ()
        champion, found = in_shadow(world, NEXT_DAY)
        assert (champion.version, found.versions) == (1, (2,))
        assert kept(world, NEXT_DAY, 2).exists()

        seen = world.run(resolve, NEXT_DAY).model_copy(update={"day": LAST_DAY - timedelta(days=1)})
        found = world.run(shadow, seen)
        assert found.versions == ()
        assert "version 2 is left out: it was trained on days up to 2013-06-13" in found.reason
        assert not kept(world, seen.day, 2).exists()


class TestRivalry:
    def test_the_better_version_before_is_found_on_the_labelled_days_and_asked_back(self, replaced: World) -> None:
        found = rivalry_of(replaced)
        assert (found.champion_version, found.previous_version, found.days) == (2, 1, 6)
        assert found.low is not None and found.low > 0
        written = json.loads((replaced.home / "storage" / "monitor" / f"day={NEWEST}" / "comparison.json").read_text())
        assert PreviousChampionComparison.model_validate(written) == found

        decision = decided(replaced)
        assert (decision.action, decision.alarm, decision.request) == ("rollback", False, None)
        assert decision.rollback is not None
        assert (decision.rollback.from_version, decision.rollback.to_version) == (2, 1)
        assert decision.rollback.evidence["low"] == found.low
        assert decided(replaced) == decision

    def test_of_many_labels_a_share_is_compared(self, replaced: World) -> None:
        whole = rivalry_of(replaced)
        some = rivalry_of(replaced.having(performance={"max_rows": whole.rows // 2}))
        assert (some.days, some.rows) == (whole.days, pytest.approx(whole.rows / 2, rel=0.1))
        assert some.gain is not None and whole.gain is not None and some.gain * whole.gain > 0

    def test_it_waits_for_as_many_labelled_days_as_declared(self, replaced: World) -> None:
        assert rivalry_of(replaced, DAYS[4]).gain is None  # four days have labels
        assert rivalry_of(replaced, DAYS[5]).gain is not None

    def test_a_day_without_its_shadow_or_of_other_rows_does_not_count(self, replaced: World) -> None:
        kept(replaced, DAYS[0]).unlink()
        other = pd.read_parquet(kept(replaced, DAYS[1]))
        other.iloc[1:].to_parquet(kept(replaced, DAYS[1]))
        found = rivalry_of(replaced)
        assert (found.days, found.gain) == (4, None)
        assert f"left out: {DAYS[0]}, {DAYS[1]}" in found.reason
        assert decided(replaced).action == "nothing"

    def test_while_no_label_has_arrived_nothing_is_compared_and_nothing_fails(self, trained: World) -> None:
        assert trained.having(fit=BAD_MODEL["fit"], gate=ANYTHING_WINS).retrain().promoted
        trained.put({("inputs", day): DEMO.inputs(day) for day in DAYS[:3]})
        found = rivalry_of(trained, DAYS[2])
        assert (found.gain, found.days) == (None, 0)
        assert found.reason == f"no labels from {NEXT_DAY} to {DAYS[1]} have arrived"

    def test_a_champion_that_is_replaced_before_its_labels_come_says_so(self, replaced: World) -> None:
        slow = replaced.having(task={"label_delay_days": 30}, retrain={"max_age_days": 14})
        assert "task.label_delay_days (30) is longer than retrain.max_age_days (14)" in rivalry_of(slow).reason

    def test_without_any_shadow_nothing_is_rolled_back(self, replaced: World) -> None:
        shutil.rmtree(replaced.home / "storage" / "shadow")
        assert rivalry_of(replaced).days == 0
        assert decided(replaced).action == "nothing"

    def test_only_on_behalf_of_the_newest_day_and_if_wanted(self, replaced: World) -> None:
        assert decided(replaced, DAYS[5]).action == "nothing"
        assert decided(replaced.having(rollback={"automatic": False})).action == "nothing"

    def test_a_champion_that_was_replaced_meanwhile_is_not_rolled_back(self, replaced: World) -> None:
        again = replaced.having(gate=ANYTHING_WINS, fit={"args": {"C": 0.002, "max_iter": 500}})
        assert again.retrain().promoted
        assert decided(replaced).action == "nothing"

    def test_carried_out_it_ends_the_watch_for_the_one_that_came_back_too(self, replaced: World) -> None:
        done = replaced.run(rollback, decided(replaced).rollback)
        assert (done.moved, done.version, done.from_version) == (True, 1, 2)
        assert decided(replaced).action == "nothing"
        tomorrow = NEWEST + timedelta(days=1)
        replaced.put({("inputs", tomorrow): DEMO.inputs(tomorrow), ("labels", NEWEST): DEMO.labels(NEWEST)})
        champion, found = in_shadow(replaced, tomorrow)
        assert (champion.version, found.versions) == (1, ())
        assert "came back by rollback" in found.reason
        assert rivalry_of(replaced, tomorrow).gain is None

    def test_the_better_champion_stays(self, contest: Contest) -> None:
        """The other way round: version 1 is the bad one, and version 2 has replaced it."""
        world = contest.world
        assert world.run(promote, contest.window, contest.judgement).promoted
        world.put(
            {("inputs", day): DEMO.inputs(day) for day in DAYS[:6]}
            | {("labels", day): DEMO.labels(day) for day in DAYS[:5]}
        )
        for day in DAYS[:5]:
            assert in_shadow(world, day)[1].versions == (1,)
        found = rivalry_of(world, DAYS[5])
        assert found.days == 5 and found.gain is not None and found.gain < 0
        assert decided(world, DAYS[5]).action == "nothing"


class TestAdapted:
    def test_served_and_shadow_each_follow_the_labels_by_their_own_gap_and_are_compared_so(
        self, replaced: World
    ) -> None:
        before = rivalry_of(replaced)
        adapted = replaced.having(score={"adapt": "intercept"})
        for day in DAYS:
            in_shadow(adapted, day)
        served = replaced.home / "storage" / "predictions" / f"day={NEWEST}" / "version=2.json"
        beside = kept(replaced, NEWEST).with_suffix(".json")
        moves = [json.loads(path.read_text())["adaptation"]["shift"] for path in (served, beside)]
        assert moves[0] != moves[1]
        after = rivalry_of(adapted)
        assert after.days == before.days and after.gain != before.gain

    def test_where_only_one_of_both_was_adapted_what_the_versions_said_is_compared(self, replaced: World) -> None:
        before = rivalry_of(replaced)
        adapted = replaced.having(score={"adapt": "intercept"})
        for day in DAYS:
            assert adapted.run(shadow, adapted.run(resolve, day)).versions == (1,)
        assert "raw_prediction" in pd.read_parquet(kept(replaced, NEWEST))
        assert rivalry_of(replaced) == before
