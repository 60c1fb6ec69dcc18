"""What keeps a challenger waiting is the same whoever asks: production's steps or a backtest."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ml.core.monitoring import policy, policy_facts
from ml.records import Champion, RefitComparison
from tests.builders import decided, drift_report, settings

DAY = date(2013, 6, 14)  # a Friday
WEEKS = {DAY - timedelta(days=back) for back in range(28)}
NONE: dict = {"inputs": (), "labels": ()}
WINDOW = settings(drift={"structural": ["carrier"], "window_days": 3, "alarm_days": [2, 3]})


def absent(inputs: set[date] = WEEKS, labels: set[date] = WEEKS, **rejected: set[date]) -> tuple[date, ...]:
    return policy_facts.absent_days(DAY, inputs, labels, {**NONE, **rejected}, WINDOW)


def before(days: int) -> date:
    return DAY - timedelta(days=days)


@pytest.mark.parametrize("asset", ["inputs", "labels"])
def test_a_rejected_day_of_the_window_is_absent_until_it_comes_in(asset: str) -> None:
    without = {asset: WEEKS - {before(1)}}
    assert absent(**without) == ((before(1),) if asset == "inputs" else ())  # a gap is a gap of inputs
    rejected = policy_facts.absent_days(
        DAY, without.get("inputs", WEEKS), without.get("labels", WEEKS), {**NONE, asset: {before(1), before(5)}}, WINDOW
    )
    assert rejected == (before(1),)
    assert policy_facts.absent_days(DAY, WEEKS, WEEKS, {**NONE, asset: {before(1)}}, WINDOW) == ()


def test_a_day_without_a_file_is_missed_only_where_its_weekday_was_there_before() -> None:
    young = {before(back) for back in range(10)}
    assert absent(inputs=young - {before(1)}) == ()
    assert absent(inputs=WEEKS - {before(1)}) == (before(1),)
    assert absent(inputs=WEEKS - {before(1 + 7 * week) for week in range(4)}) == ()


def test_a_rejected_day_on_which_nothing_is_expected_is_not_absent() -> None:
    closed = settings(drift={"structural": ["carrier"], "window_days": 3}, land={"closed": [str(before(1))]})
    kept_out = {**NONE, "inputs": {before(1)}}
    assert policy_facts.absent_days(DAY, WEEKS - {before(1)}, WEEKS, kept_out, closed) == ()


def test_a_training_is_tried_once_it_was_judged_and_barred_once_it_was_rolled_back() -> None:
    back = decided("rollback", 1, effective=9, trained_until=3).model_copy(
        update={"payload": {"version": 1, "window_last_day": "2013-01-04", "blocked_fingerprint": "bad"}}
    )

    def judged(name: str) -> list:
        return [back] if name == "known" else []

    assert [policy_facts.tried(name, [back], judged=judged) for name in (None, "new", "known", "bad")] == [
        None,
        None,
        "judged",
        "blocked",
    ]


def test_new_days_are_those_with_both_inputs_and_labels_after_the_champions_window() -> None:
    promoted = decided("promotion", 3, effective=0, trained_until=0).model_copy(
        update={"effective_day": before(4), "payload": {"version": 3, "window_last_day": str(before(5))}}
    )
    facts = policy_facts.facts_on(
        Champion(day=DAY, version=3, reason="", data_version=""),
        drift_report(on=DAY),
        None,  # type: ignore[arg-type]
        None,
        changes=[promoted],
        recent=[promoted],
        inputs=WEEKS,
        labels=WEEKS - {DAY, before(2)},
        rejected=NONE,
        earlier=(),
        tried=None,
        settings=WINDOW,
    )
    assert (facts.new_days, facts.anyone_serves, facts.newest_day) == (3, True, DAY)
    assert facts.champion is not None and facts.champion.serves_now and facts.champion.promoted_on == before(4)


@pytest.mark.parametrize(("every_days", "newest", "oldest"), [(1, 1, 7), (7, 1, 49)])
def test_the_last_decision_is_looked_for_on_the_newest_seven_days_with_data(
    every_days: int, newest: int, oldest: int
) -> None:
    rare = settings(land={"every_days": every_days}, screen={"recent_days": 56}, drift={"structural": ["number"]})
    days = policy_facts.decided_days(DAY, rare)
    assert days == [before(back) for back in range(newest, oldest + 1)]


def facts(**changed: Any) -> policy.Facts:
    """Collect the facts of `DAY` for version 3, which came to serve four days before, but for what is ``changed``."""
    promoted = decided("promotion", 3, effective=0, trained_until=0).model_copy(
        update={"effective_day": before(4), "payload": {"version": 3, "window_last_day": str(before(5))}}
    )
    given: dict[str, Any] = {
        "changes": [promoted], "recent": [promoted], "inputs": WEEKS, "labels": WEEKS, "rejected": NONE, "earlier": (),
        "tried": None, "settings": WINDOW,
    }  # fmt: skip
    champion = Champion(day=DAY, version=3, reason="the alias is gone", data_version="")
    return policy_facts.facts_on(
        changed.pop("champion", champion),
        drift_report(on=DAY),
        None,  # type: ignore[arg-type]
        None,
        **{**given, **changed},
    )


def test_days_that_are_not_learned_from_are_no_new_days_and_without_a_champion_there_are_none() -> None:
    assert facts().new_days == 5
    assert facts(excluded=[before(1), before(9)]).new_days == 4
    nobody = facts(champion=Champion(day=DAY, version=None, reason="nobody yet", data_version=""), changes=[])
    assert (nobody.new_days, nobody.champion, nobody.no_champion_reason) == (0, None, "nobody yet")
    assert not nobody.anyone_serves


def test_what_refits_of_this_champion_did_is_a_fact_and_of_another_one_is_none() -> None:
    own, other = (RefitComparison(champion_version=version, reason="refits") for version in (3, 2))
    assert facts(refit=own).refit == own
    assert facts(refit=other).refit is None


def test_judgements_and_rollbacks_of_later_days_are_not_known_on_the_day() -> None:
    log = [
        decided(kind, 2, effective=None, trained_until=None).model_copy(
            update={"payload": {"version": 2, "judged_on": str(on)}}
        )
        for kind, on in (
            ("hold", before(3)),
            ("rollback", before(6)),
            ("rollback", before(-1)),
            ("hold", before(-2)),
        )
    ]
    found = facts(recent=log)
    assert (found.last_judged, found.rolled_back_on) == (before(3), before(6))


def test_requests_are_those_for_a_challenger_with_the_day_on_behalf_of_which_they_asked() -> None:
    asked = decided("retrain_request", None, effective=0, trained_until=None).model_copy(
        update={"effective_day": before(2)}
    )
    undated = asked.model_copy(update={"effective_day": None})
    other = asked.model_copy(update={"kind": "hold", "effective_day": before(1)})
    assert facts(recent=[asked, undated, other]).requests == (before(2),)


def test_what_the_newest_promotion_knew_of_the_past_of_its_recipe_is_a_fact() -> None:
    figures = {"usual_gain": 0.004, "usual_sd": 0.002, "usual_days": 14.0}
    promoted = decided("promotion", 3, effective=0, trained_until=0)
    rulings = [{"rule": "champion", "kind": "champion", "evidence": figures}]
    payload = {"version": 3, "window_last_day": str(before(5)), "verdict": {"rulings": rulings}}
    log = [promoted.model_copy(update={"effective_day": before(4), "payload": payload})]
    usual = facts(changes=log).usual_gain
    assert usual is not None
    assert (usual.belief.mean, usual.belief.sd, usual.apart_days) == (0.004, 0.002, 14)
    assert facts().usual_gain is None
