"""What keeps a challenger waiting is the same whoever asks: production's steps or a backtest."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from ml.core.monitoring import policy_facts
from ml.records import Champion
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
