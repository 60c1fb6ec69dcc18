"""A refit in shadow is made when it is due, scores each labelled day once, and what it gained reaches the decision."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.adapters.sources.demo import DemoSource
from ml.errors import SettingsError
from ml.records import Champion, DriftReport, LivePerformance, RefitComparison
from ml.steps.monitor import decide, score_refit
from ml.steps.score import resolve
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World

DEMO = DemoSource(replay=False)
DAYS = [NEXT_DAY + timedelta(days=n) for n in range(7)]
NEWEST = DAYS[-1]
OFTEN = {"shadow_refit": {"every_days": 2, "min_days": 2}}


@pytest.fixture(scope="module")
def served_once(trained_once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A champion that has served a week, labelled but for its end."""
    world = trained_once.copied_to(tmp_path_factory.mktemp("shadowed") / "home")
    world.put(
        {("inputs", day): DEMO.inputs(day) for day in DAYS}
        | {("labels", day): DEMO.labels(day) for day in [LAST_DAY, *DAYS[:-1]]}
    )
    for day in DAYS:
        world.score(day)
    return world


@pytest.fixture
def served(served_once: World, tmp_path: Path) -> World:
    return served_once.copied_to(tmp_path / "home").having(retrain=OFTEN)


def scored(world: World) -> RefitComparison:
    found = world.run(score_refit, world.run(resolve, NEWEST))
    assert isinstance(found, RefitComparison)
    return found


def kept(world: World) -> Path:
    return world.home / "storage" / "refits" / "version=1.json"


def no_fit(*_: Any) -> Any:
    raise SettingsError("nothing is to be fitted")


def test_each_labelled_day_is_scored_by_a_refit_that_had_not_seen_it(served: World) -> None:
    found = scored(served)
    assert found.gain is not None
    assert found.reason.startswith("refits in shadow gained ")
    assert {day.day for day in found.days} <= set(DAYS[:-1])
    assert len(found.days) >= 4
    assert all(LAST_DAY <= day.refit_last_day < day.day for day in found.days)
    assert all(day.rows == len(DEMO.labels(day.day).dropna()) for day in found.days)
    assert len({day.refit_last_day for day in found.days}) >= 2


def test_a_second_run_fits_and_scores_nothing(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, written = scored(served), kept(served).read_bytes()
    monkeypatch.setattr(score_refit, "fit_pipeline", no_fit)
    monkeypatch.setattr(score_refit, "labelled_rows", no_fit)
    assert scored(served) == first
    assert kept(served).read_bytes() == written


def test_a_run_that_was_killed_comes_to_the_same(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(served)
    facts = json.loads(kept(served).read_text())
    kept(served).write_text(json.dumps(dict(list(facts.items())[:2])))
    monkeypatch.setattr(score_refit, "fit_pipeline", no_fit)  # the fits are kept under their fingerprints
    assert scored(served) == whole
    kept(served).write_text("{")
    assert scored(served) == whole


def test_corrected_labels_are_scored_again(served: World) -> None:
    before = scored(served)
    day = before.days[-1].day
    labels = DEMO.labels(day)
    served.put({("labels", day): labels.assign(late=1 - labels["late"])})
    after = scored(served)
    assert [each.day for each in after.days if each not in before.days] == [day]


def test_a_fit_that_fails_leaves_its_days_out_and_says_why(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_refit, "fit_pipeline", no_fit)
    found = scored(served)
    assert (found.days, found.gain) == ((), None)
    assert "is not scored by a refit: nothing is to be fitted" in found.reason


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"retrain": {"shadow_refit": {"every_days": None}}}, "retrain.shadow_refit.every_days is null"),
        ({"fit": {"args": {"C": 0.5}}}, "params.yaml declares another recipe than that of version 1"),
        ({"tune": {"enabled": True}}, "a search (tune.enabled) may find another recipe"),
    ],
)
def test_where_a_refit_would_show_nothing_none_is_made(served: World, sections: dict[str, Any], reason: str) -> None:
    found = scored(served.having(**sections))
    assert (found.days, found.reason[: len(reason)]) == ((), reason)
    assert not kept(served).exists()


def test_nobody_serves(seeded: World) -> None:
    champion = Champion(day=LAST_DAY, version=None, reason="no champion yet", data_version="")
    assert seeded.run(score_refit, champion).reason == "no champion yet"


def test_the_next_decision_says_what_refits_gained(served: World) -> None:
    found = scored(served)
    champion = served.run(resolve, NEWEST)
    calm = DriftReport(day=NEWEST, status="calm", champion_version=1, reason="calm")
    live = LivePerformance(day=NEWEST, labelled_day=None, rows=0, metrics={}, reason="-", champion_version=1)
    decision = served.run(decide, champion, calm, live)
    assert decision.action == "nothing"
    assert any(reason.startswith("refits in shadow gained") for reason in decision.reasons), (decision, found)
