"""Who asks for a challenger, when, and in which words."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from ml.core.policy import ChampionFacts, decide
from ml.records import Decision, Rivalry
from ml.settings import Retrain, Rollback
from tests.builders import drift_report

DAY = date(2013, 6, 1)


def champion(age: int = 10) -> ChampionFacts:
    return ChampionFacts(version=3, promoted_on=DAY - timedelta(days=age))


def ask(
    status: str = "calm",
    *,
    age: int | None = 10,
    judged: int | None = None,
    newest: date = DAY,
    anyone_serves: bool = False,
    **policy: Any,
) -> Decision:
    """Decide for `DAY`: the champion serves since ``age`` days, a challenger was judged ``judged`` days ago."""
    return decide(
        drift_report(status, on=DAY, reason="7 columns"),
        champion=None if age is None else champion(age),
        newest_day=newest,
        last_judged=None if judged is None else DAY - timedelta(days=judged),
        policy=Retrain(**policy),
        anyone_serves=anyone_serves,
        no_champion_reason="nobody was promoted",
    )


@pytest.mark.parametrize(
    ("status", "old", "cooling", "on_drift"),
    list(product(["calm", "drift", "unknown"], [False, True], [False, True], [False, True])),
)
def test_the_truth_table(status: str, old: bool, cooling: bool, on_drift: bool) -> None:
    found = ask(status, age=29 if old else 28, judged=6 if cooling else 7, on_drift=on_drift)
    wanted = old or (status == "drift" and on_drift)
    assert found.action == ("retrain" if wanted and not cooling else "nothing")
    assert found.alarm is (status == "drift")
    assert (found.request is not None) is (found.action == "retrain")
    assert found.reasons


class TestReasons:
    def test_drift_and_age_are_both_given(self) -> None:
        found = ask("drift", age=40)
        assert found.reasons == ("drift: 7 columns", "age: version 3 has served 40 days, more than 28")
        assert found.request is not None
        assert found.request.reasons == found.reasons
        assert found.request.asked_by == "monitor of 2013-06-01"

    def test_waiting_says_what_it_waits_for_and_what_is_wished(self) -> None:
        assert ask("drift", judged=2).reasons == (
            "drift: 7 columns",
            "waiting: a challenger was judged on 2013-05-30, cooldown is 7 days",
        )

    def test_drift_that_nobody_wants_to_hear_of_is_said_all_the_same(self) -> None:
        assert ask("drift", on_drift=False).reasons == ("drift, but retrain.on_drift is off: 7 columns",)

    def test_drift_that_could_not_be_measured_is_said(self) -> None:
        assert ask("unknown").reasons == ("drift unknown: 7 columns",)

    def test_calm_says_how_long_the_champion_serves(self) -> None:
        assert ask("calm", age=5).reasons == ("7 columns; the champion has served 5 days",)


class TestCooldown:
    @pytest.mark.parametrize(("judged", "action"), [(0, "nothing"), (6, "nothing"), (7, "retrain"), (None, "retrain")])
    def test_it_ends_on_its_last_day(self, judged: int | None, action: str) -> None:
        assert ask("drift", judged=judged).action == action

    def test_a_judgement_of_a_later_day_does_not_cool(self) -> None:
        assert ask("drift", judged=-1).action == "retrain"

    def test_none_asks_on_the_day_of_the_judgement_itself(self) -> None:
        assert ask("drift", judged=0, cooldown_days=0).action == "retrain"


class TestAge:
    def test_a_champion_may_serve_for_ever_if_no_age_is_set(self) -> None:
        assert ask("calm", age=10_000, max_age_days=None).action == "nothing"

    def test_drift_asks_without_an_age_too(self) -> None:
        assert ask("drift", max_age_days=None).action == "retrain"


class TestWithoutChampion:
    @pytest.mark.parametrize("status", ["calm", "drift", "unknown"])
    def test_it_asks_at_once_even_while_cooling(self, status: str) -> None:
        found = ask(status, age=None, judged=0)
        assert (found.action, found.reasons, found.alarm) == ("retrain", ("nobody was promoted",), False)
        assert found.request is not None

    def test_a_champion_that_may_not_judge_the_day_is_champion_enough(self) -> None:
        found = ask("unknown", age=None, anyone_serves=True)
        assert (found.action, found.alarm, found.request) == ("nothing", False, None)
        assert found.reasons == ("drift unknown: nobody was promoted",)


BETTER_BEFORE = Rivalry(
    day=DAY,
    champion_version=3,
    rival_version=2,
    days=6,
    rows=5400,
    gain=0.05,
    low=0.01,
    high=0.09,
    reason="it was better",
)


def rival(
    status: str = "calm", *, serves_now: bool = True, newest: date = DAY, automatic: bool = True, **changed: Any
) -> Decision:
    """Decide for `DAY` where the version before did better, but for what is ``changed``."""
    return decide(
        drift_report(status, on=DAY, reason="7 columns"),
        champion=ChampionFacts(version=3, promoted_on=DAY - timedelta(days=100), serves_now=serves_now),
        newest_day=newest,
        last_judged=None,
        policy=Retrain(max_age_days=None if status == "calm" else 28),
        rivalry=BETTER_BEFORE.model_copy(update=changed),
        rollback=Rollback(automatic=automatic, min_days=5),
    )


class TestRollback:
    def test_a_version_before_that_does_better_beyond_noise_is_asked_back_with_the_evidence(self) -> None:
        found = rival()
        assert (found.action, found.alarm, found.request) == ("rollback", False, None)
        assert found.reasons == ("it was better",)
        assert found.rollback is not None
        assert found.rollback.model_dump() == {
            "asked_by": "monitor of 2013-06-01",
            "why": "it was better",
            "to_version": 2,
            "from_version": 3,
            "evidence": {"gain": 0.05, "low": 0.01, "high": 0.09, "days": 6.0, "rows": 5400.0},
        }

    def test_it_goes_before_a_challenger_and_keeps_the_alarm(self) -> None:
        found = rival("drift")
        assert (found.action, found.alarm, found.request) == ("rollback", True, None)
        assert found.reasons == ("drift: 7 columns", "it was better")

    @pytest.mark.parametrize(
        "lacking",
        [
            {"low": 0.0},
            {"low": -0.001},
            {"low": None, "gain": None, "high": None},
            {"days": 4},
            {"champion_version": 4},
            {"champion_version": None},
            {"rival_version": None},
            {"serves_now": False},
            {"automatic": False},
            {"newest": DAY + timedelta(days=1)},
        ],
        ids=", ".join,
    )
    def test_anything_less_rolls_nothing_back(self, lacking: dict[str, Any]) -> None:
        found = rival(**lacking)
        assert (found.action, found.rollback) == ("nothing", None)

    def test_what_was_not_measured_rolls_nothing_back(self) -> None:
        assert ask("calm").rollback is None


@pytest.mark.parametrize("age", [None, 5, 100])
@pytest.mark.parametrize("status", ["calm", "drift", "unknown"])
def test_a_day_that_is_not_the_newest_asks_for_nothing_and_never_alarms(status: str, age: int | None) -> None:
    found = ask(status, age=age, newest=DAY + timedelta(days=1))
    assert (found.action, found.alarm, found.request) == ("nothing", False, None)
    assert "2013-06-01 is not the newest day (2013-06-02)" in found.reasons[0]
