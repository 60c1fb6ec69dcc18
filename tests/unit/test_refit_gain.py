"""Whether a refit would gain asks for a challenger, or makes one wait, and neither without evidence."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from ml.core.gate.expected_loss import Normal
from ml.core.monitoring import refit_gain
from ml.core.monitoring.policy import ChampionFacts
from ml.core.monitoring.refit_gain import UsualGain
from ml.records import Decision, Logged, RefitComparison, RefitDay
from tests.builders import settings
from tests.unit import test_policy
from tests.unit.test_policy import COOLING, DAY, DECAY, DRIFT, OLD, SERVES, ago

NOISE = (0.0002, -0.0003, 0.0001, -0.0001, 0.0003, -0.0002, 0.0, 0.0001, -0.0002, 0.0001)


RULES = {"rules": {"champion": {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": 0.01}}}


def ask(*facts: dict[str, Any], **sections: Any) -> Decision:
    """Decide as elsewhere, with a gate that says which gains count, where a gain asks and its absence makes wait."""
    retrain = {"on_gain": True, "shadow_refit": {"max_wait_days": 14}, **sections.pop("retrain", {})}
    return test_policy.ask(*facts, gate=RULES, retrain=retrain, **sections)


def scored(gain: float, *, days: int = 10, rows: int = 100, until: int = 2, lag: int = 1) -> RefitComparison:
    """Build the days of a refit that gained ``gain`` but for some noise, up to ``until`` days ago."""
    made = [
        RefitDay(
            day=ago(until + days - 1 - n),
            gain=gain + NOISE[n % len(NOISE)],
            rows=rows,
            refit_last_day=ago(until + days - 1 - n + lag),
        )
        for n in range(days)
    ]
    return refit_gain.compare(3, made, settings())


BETTER, USELESS, WORSE = ({"refit": scored(gain)} for gain in (0.01, 0.0, -0.01))
UNSEEN = {"refit": scored(0.0, lag=40)}
FEW = {"refit": scored(0.0, days=4)}
NOTHING = {"refit": refit_gain.compare(3, [], settings())}


def earlier(**facts: Any) -> dict[str, Any]:
    """Yesterday's decision."""
    return {"before": Decision(day=ago(1), action="nothing", reasons=(), alarm=True, champion_version=3, **facts)}


STANDING = earlier(asking_since=ago(12))
TRUTH_TABLE = [
    # what is the case                                      settings.retrain            action
    # -- what a refit would gain asks by itself
    ([BETTER],                                              {},                         "retrain"),
    ([BETTER],                                              {"on_gain": False},         "nothing"),
    ([USELESS],                                             {},                         "nothing"),
    ([BETTER, COOLING],                                     {},                         "nothing"),
    ([NOTHING],                                             {},                         "nothing"),
    # -- drift asks, and trains, unless there is evidence
    ([DRIFT],                                               {},                         "retrain"),
    ([DRIFT, NOTHING],                                      {},                         "retrain"),
    ([DRIFT, STANDING, FEW],                                {},                         "retrain"),
    ([DRIFT, STANDING, BETTER],                             {"on_gain": False},         "retrain"),
    # -- drift that has just begun: no refit has seen it yet
    ([DRIFT, USELESS],                                      {},                         "retrain"),
    ([DRIFT, STANDING, UNSEEN],                             {},                         "retrain"),
    # -- drift that stands, and that refits have seen
    ([DRIFT, STANDING, USELESS],                            {},                         "nothing"),
    ([DRIFT, STANDING, WORSE],                              {},                         "nothing"),
    ([DECAY, STANDING, USELESS],                            {},                         "nothing"),
    ([DRIFT, STANDING, USELESS],                            {"shadow_refit": {"max_wait_days": 0}}, "retrain"),
    # -- age
    ([OLD, USELESS],                                        {},                         "nothing"),
    ([OLD, NOTHING],                                        {},                         "retrain"),
    # -- what a person has ordered by the calendar waits for nothing
    ([USELESS, {"new_days": 7}],                            {"min_new_days": 7},        "retrain"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "retrain", "action"), TRUTH_TABLE)
def test_the_truth_table(facts: list[dict[str, Any]], retrain: dict[str, Any], action: str) -> None:
    assert ask(*facts, retrain=retrain).action == action


class TestWaiting:
    def test_a_calm_day_says_what_refits_did_if_anything_was_compared(self) -> None:
        assert ask(USELESS).reasons == ("7 columns", USELESS["refit"].reason, "version 3 has served 20 days")
        assert ask(NOTHING).reasons == ("7 columns", "version 3 has served 20 days")

    def test_it_says_the_figures_and_until_when(self) -> None:
        found = ask(DRIFT, STANDING, USELESS)
        assert found.reasons[-1] == (
            f"waiting until {DAY + timedelta(days=14)} at the latest: a refit would not have gained: refits in shadow "
            f"that had seen data since {ago(12)} +0.0000 log loss [-0.0002, +0.0002] over 10 labelled days"
        )
        assert (found.asking_since, found.put_off_since) == (ago(12), DAY)

    def test_age_waits_for_any_refit_whatever_data_it_had_seen(self) -> None:
        waits = ask(OLD, USELESS).reasons[-1]
        assert "a refit would not have gained: refits in shadow +0.0000 log loss" in waits

    def test_it_ends_after_so_many_days_and_says_so(self) -> None:
        waited = earlier(asking_since=ago(30), put_off_since=ago(14))
        found = ask(DRIFT, waited, USELESS)
        assert found.action == "retrain"
        assert f"it has waited since {ago(14)}, which is long enough" in found.reasons[-1]
        assert ask(DRIFT, earlier(asking_since=ago(30), put_off_since=ago(13)), USELESS).action == "nothing"

    def test_the_days_of_waiting_are_counted_on_through_a_cooldown(self) -> None:
        found = ask(DRIFT, earlier(asking_since=ago(30), put_off_since=ago(14)), USELESS, COOLING)
        assert (found.action, found.put_off_since) == ("nothing", ago(14))

    def test_drift_counts_from_its_first_day_of_the_newest_ones(self) -> None:
        assert ask(DRIFT, COOLING).asking_since == ago(1)
        assert ask(DRIFT, STANDING, COOLING).asking_since == ago(12)
        assert ask(OLD, COOLING).asking_since is None

    def test_other_reasons_to_wait_are_said_beside_it(self) -> None:
        assert [reason.split(":")[0] for reason in ask(DRIFT, STANDING, USELESS, COOLING).reasons[1:]] == [
            f"waiting until {DAY + timedelta(days=1)}",
            f"waiting until {DAY + timedelta(days=14)} at the latest",
        ]


class TestCost:
    def cost(self, cost: float) -> dict[str, Any]:
        return {"cost": cost, "loss_value": 10.0}

    def test_a_challenger_is_asked_for_once_it_would_have_paid(self) -> None:
        found = ask(BETTER, retrain=self.cost(99.0))  # 10 days of 100 rows, 0.01 each, 10 a unit: 100
        assert found.action == "retrain"
        assert found.reasons[0].startswith(
            "gain: refits would have saved 100 since version 3 serves, more than retrain.cost (99); refits in shadow"
        )
        assert ask(BETTER, retrain=self.cost(101.0)).action == "nothing"

    def test_drift_waits_until_it_pays_and_no_longer_than_declared(self) -> None:
        found = ask(DRIFT, BETTER, retrain=self.cost(101.0))
        assert found.action == "nothing"
        assert "a training would not pay yet: refits would have saved 100 of retrain.cost (101)" in found.reasons[-1]
        waited = earlier(asking_since=ago(30), put_off_since=ago(14))
        assert ask(DRIFT, BETTER, waited, retrain=self.cost(101.0)).action == "retrain"

    def test_as_many_days_as_declared_and_a_gain_of_just_the_cost_make_it_wait(self) -> None:
        five = {"refit": scored(0.01, days=5)}
        saved = 10.0 * refit_gain.saved(five["refit"], None, ago(21))
        assert ask(five, retrain=self.cost(saved)).action == "nothing"
        assert ask(DRIFT, five, retrain=self.cost(saved)).action == "nothing"
        assert ask(DRIFT, five, retrain=self.cost(saved * 0.999)).action == "retrain"

    def test_of_a_champion_whose_training_window_is_unknown_nothing_is_saved(self) -> None:
        unknown = {"champion": ChampionFacts(version=3, promoted_on=ago(20))}
        assert ask(DRIFT, BETTER, unknown, retrain=self.cost(1e9)).action == "retrain"
        assert ask(BETTER, unknown, retrain=self.cost(1.0)).action == "nothing"

    def test_without_scored_days_nobody_waits(self) -> None:
        assert ask(DRIFT, NOTHING, retrain=self.cost(1e9)).action == "retrain"
        assert ask(DRIFT, FEW, retrain=self.cost(1e9)).action == "retrain"

    def test_the_past_of_the_recipe_counts_until_the_days_say_more(self) -> None:
        usual = UsualGain(Normal(0.02, 0.0001), apart_days=14)
        sure = {"usual_gain": usual, "champion": ChampionFacts(version=3, promoted_on=ago(20), window_last_day=ago(13))}
        assert ask(USELESS, sure, retrain=self.cost(50.0)).action == "retrain"  # the past says 0.02 after a fortnight
        open_minded = sure | {"usual_gain": UsualGain(Normal(0.02, 10.0), apart_days=14)}
        assert ask(USELESS, open_minded, retrain=self.cost(50.0)).action == "nothing"


class TestDays:
    def test_a_refit_is_due_on_the_same_days_whoever_serves_and_scores_those_after_it(self) -> None:
        declared = settings(retrain={"shadow_refit": {"every_days": 7}})
        due = {day: refit_gain.refitted_on(day, declared) for day in (DAY + timedelta(days=n) for n in range(15))}
        assert all(0 < (day - refit).days <= 7 for day, refit in due.items())
        assert len(set(due.values())) == 3

    def test_days_that_the_champion_was_fitted_on_or_did_not_serve_are_left_out(self) -> None:
        promotion = Logged(
            decision_id="1", kind="promotion", decided_at="2013-05-10T12:00:00Z", fingerprint=None,  # type: ignore[arg-type]
            effective_day=date(2013, 5, 11), payload={"version": 3, "window_last_day": "2013-05-12"},
        )  # fmt: skip
        served = [date(2013, 5, 10) + timedelta(days=n) for n in range(6)]
        days, last = refit_gain.days_to_score(3, date(2013, 5, 15), served, [promotion])
        assert (days, last) == ((date(2013, 5, 13), date(2013, 5, 14)), date(2013, 5, 12))

    def test_a_large_day_counts_by_its_rows(self) -> None:
        days = [
            RefitDay(day=ago(3), gain=0.0, rows=300, refit_last_day=ago(5)),
            RefitDay(day=ago(2), gain=0.04, rows=100, refit_last_day=ago(5)),
        ]
        found = refit_gain.compare(3, days, settings())
        assert found.gain == pytest.approx(0.01)
        assert found.reason == "refits in shadow gained +0.0100 log loss over 2 labelled days, too few for an interval"

    def test_a_day_with_a_row_that_nobody_predicted_is_left_out(self) -> None:
        rows = pd.DataFrame({"target": [1.0, 0.0], "champion": [0.5, 0.5], "refit": [0.9, float("nan")]})
        assert refit_gain.scored_day(DAY, rows, ago(3), settings()) is None
        fine = refit_gain.scored_day(DAY, rows.iloc[:1], ago(3), settings())
        assert fine is not None
        assert fine.gain > 0


def test_another_champion_s_evidence_and_decisions_do_not_count() -> None:
    from ml.core.monitoring.policy_facts import facts_on
    from ml.records import Champion
    from tests.unit.test_policy import inputs, live

    facts = facts_on(
        Champion(day=DAY, version=None, reason="nobody"), inputs(version=None), live(), None,
        changes=[], recent=[], inputs=[DAY], labels=[], rejected={"inputs": [], "labels": []}, earlier=[], tried=None,
        settings=settings(), refit=USELESS["refit"], before=STANDING["before"],
    )  # fmt: skip
    assert (facts.refit, facts.before) == (None, None)
    assert SERVES.version == 3


def test_what_counts_as_a_gain_is_what_the_gate_declares() -> None:
    assert refit_gain.worthwhile(settings(gate=RULES)) == pytest.approx(0.002)
    assert refit_gain.worthwhile(settings(gate={"rules": {}})) == 0
    small = {"refit": scored(0.0015)}
    assert ask(small).action == "nothing"
    assert test_policy.ask(small, gate={"rules": {}}, retrain={"on_gain": True}).action == "retrain"


def test_as_delivered_a_gain_is_said_and_decides_nothing() -> None:
    assert test_policy.ask(BETTER, gate=RULES).action == "nothing"
    assert BETTER["refit"].reason in test_policy.ask(BETTER, gate=RULES).reasons
    assert test_policy.ask(DRIFT, STANDING, USELESS, gate=RULES).action == "retrain"


USUAL: dict[str, Any] = {"usual_gain": UsualGain(Normal(0.006, 0.01), apart_days=14)}
"""As much as counts (0.002) after 4.7 days."""


class TestPastGain:
    """Newer data are expected to gain what they gained in the recipe's past, in proportion to their days."""

    def ask(self, *facts: dict[str, Any], **retrain: Any) -> Decision:
        return test_policy.ask(*facts, gate=RULES, retrain={"on_past_gain": True, **retrain})

    @pytest.mark.parametrize(
        ("new_days", "gain", "action"),
        [
            (4, 0.006, "nothing"),
            (5, 0.006, "retrain"),
            (14, 0.0019, "nothing"),
            (16, 0.0019, "retrain"),
            (400, 0.0009, "nothing"),  # no more is believed than twice what was seen
            (400, 0.0011, "retrain"),
            (400, -0.01, "nothing"),
            (0, 0.5, "nothing"),
        ],
    )
    def test_it_asks_once_newer_data_are_expected_to_gain_what_counts(
        self, new_days: int, gain: float, action: str
    ) -> None:
        usual = {"usual_gain": UsualGain(Normal(gain, 0.01), apart_days=14)}
        assert self.ask(usual, {"new_days": new_days}).action == action

    def test_it_says_what_is_expected_and_by_what(self) -> None:
        assert self.ask(USUAL, {"new_days": 7}).reasons[0] == (
            "past gain: 7 days were labelled since version 3 was trained, and by its recipe's past newer data by so "
            "many days gain +0.003 log loss"
        )

    def test_it_waits_for_the_cooldown_and_is_not_asked_where_it_is_off_or_a_training_has_a_cost(self) -> None:
        assert self.ask(USUAL, {"new_days": 7}, COOLING).action == "nothing"
        assert self.ask(USUAL, {"new_days": 7}, on_past_gain=False).action == "nothing"
        costly = {"cost": 1.0, "loss_value": 1.0, "on_gain": True}
        assert self.ask(USUAL, {"new_days": 7}, **costly).action == "nothing"

    def test_refits_in_shadow_that_gained_nothing_say_more_than_the_past(self) -> None:
        assert self.ask(USUAL, {"new_days": 7}, USELESS).action == "nothing"
        assert self.ask(USUAL, {"new_days": 7}, FEW).action == "retrain"
        assert self.ask(USUAL, {"new_days": 7}, BETTER).action == "retrain"

    def test_without_a_past_nothing_is_expected(self) -> None:
        assert self.ask({"new_days": 100}).action == "nothing"

    def test_refits_are_made_in_shadow_where_the_past_alone_asks(self) -> None:
        silent = {"on_drift": False, "on_decay": False, "max_age_days": None}
        assert not refit_gain.matters(settings(retrain=silent))
        assert refit_gain.matters(settings(retrain={**silent, "on_past_gain": True}))
