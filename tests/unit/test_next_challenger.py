"""After a hold it is said when the next challenger is requested, and how many labelled days are missing."""

from __future__ import annotations

from typing import Any

import pytest

from ml.records import Logged
from ml.views import next_challenger
from tests import builders

CHAMPION = [builders.decided("promotion", 3, effective=50, trained_until=48)]
ALONE = ". You need not wait: run Retrain"


def held(*rulings: dict[str, Any], kind: str = "hold", judged_on: int | None = 55, trained_until: int = 54) -> Logged:
    entry = builders.decided(kind, 4, effective=None, trained_until=trained_until, judged_on=judged_on)
    return entry.model_copy(update={"payload": {**entry.payload, "verdict": {"rulings": list(rulings)}}})


def ruling(kind: str, passed: bool | None, **more: Any) -> dict[str, Any]:
    return {"rule": kind, "kind": kind, "passed": passed, "reason": "x", "evidence": {}} | more


def after(entry: Logged, changes: list[Logged] = CHAMPION, **retrain: Any) -> str | None:
    policy = {"max_age_days": 14, "cooldown_days": 7} | retrain
    settings = builders.settings(retrain=policy, gate={"min_days": 7, "min_rows": 1000})
    return next_challenger.after(entry, changes, settings)


def test_the_age_of_the_champion_names_the_latest_day_and_the_cooldown_the_soonest() -> None:
    assert after(held()) == (
        f"The next challenger is requested with the data of {builders.day(65)} at the latest (age: version 3 will have "
        "served more than 14 days; later if data are broken or missing), and from "
        f"{builders.day(62)} on if drift or decay asks for it{ALONE}"
    )


def test_it_does_not_come_before_the_cooldown_is_over_and_waits_for_a_refit_that_would_not_gain() -> None:
    late = after(held(), cooldown_days=20)
    assert late is not None and f"with the data of {builders.day(75)} at the latest" in late and "sooner" not in late
    assert " on if " not in late
    put_off = after(held(), shadow_refit={"max_wait_days": 10})
    assert put_off is not None and f"with the data of {builders.day(75)} at the latest" in put_off


def requested(*days: int) -> list[Logged]:
    return [builders.decided("retrain_request", None, effective=day, trained_until=None) for day in days]


def test_a_cooldown_under_a_week_waits_for_the_budget_of_the_week_too() -> None:
    retrain = {"cooldown_days": 2, "max_age_days": 3, "max_retrains_per_week": 2}
    full = after(held(), [*CHAMPION, *requested(47, 52, 55)], **retrain)
    assert full is not None and f"with the data of {builders.day(59)} at the latest" in full
    assert (
        f"Challengers were requested on {builders.day(52)}, {builders.day(55)}, which is all that a week may have "
        f"(retrain.max_retrains_per_week: 2): the next one waits until {builders.day(59)}"
    ) in full
    sooner = after(held(), [*CHAMPION, *requested(52, 55)], **retrain | {"max_age_days": 14})
    assert sooner is not None and f"from {builders.day(59)} on if drift" in sooner
    for days in [(55,), (49, 50, 55), ()]:
        room = after(held(), [*CHAMPION, *requested(*days)], **retrain)
        assert room is not None and f"with the data of {builders.day(57)} at the latest" in room, days
        assert "a week may have" not in room


def test_the_days_whose_requests_count_are_those_around_the_judgement() -> None:
    first, last = next_challenger.budget_days(held()) or (None, None)
    assert (str(first), str(last)) == (builders.day(49), builders.day(62))
    assert next_challenger.budget_days(held(kind="promotion")) is None
    assert next_challenger.budget_days(held(judged_on=None)) is None


def test_without_a_limit_of_age_only_reasons_ask_and_without_those_nobody() -> None:
    found = after(held(), max_age_days=None, min_new_days=5)
    assert found == (
        f"The next challenger is requested from {builders.day(62)} on if drift or decay or new data asks for it; "
        f"retrain.max_age_days names no latest day{ALONE}"
    )
    past = after(held(), on_past_gain=True)
    assert past is not None and "if drift or decay or the past gain of newer data asks for it" in past
    silent = after(held(), max_age_days=None, on_drift=False, on_decay=False)
    assert silent == f"The next challenger is not requested by itself: no setting under retrain asks for one{ALONE}"


def test_where_nobody_serves_the_next_day_asks() -> None:
    assert after(held(), []) == (
        f"Nobody serves, so the next challenger is requested with the next day that comes in{ALONE}"
    )


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (ruling("champion", None, comparison={"days": 4, "rows": 3000}), "3 labelled days"),
        (ruling("champion", None, comparison={"days": 8, "rows": 500}), "8 labelled days"),
        (ruling("holdout_size", False, evidence={"days": 6.0, "rows": 5000.0}), "1 labelled day"),
        (ruling("champion", None), "1 labelled day"),  # 6 days are new since the champion's training
    ],
)
def test_too_few_days_are_counted(found: dict[str, Any], missing: str) -> None:
    sentence = after(held(found, ruling("bound", True)))
    assert sentence is not None
    assert (
        f"To be compared it needs about {missing} more than this one had, with labels that come 1 day later" in sentence
    )


@pytest.mark.parametrize(
    "found",
    [
        ruling("champion", False, comparison={"days": 14, "rows": 9000}),
        ruling("bound", None),
        ruling("champion", True, comparison={"days": 2, "rows": 10}),
    ],
)
def test_where_days_are_not_what_is_missing_none_are_counted(found: dict[str, Any]) -> None:
    sentence = after(held(found, trained_until=90))
    assert sentence is not None and "labelled" not in sentence


def test_other_decisions_and_odd_ones_say_nothing() -> None:
    assert after(held(kind="promotion")) is None
    assert after(held(judged_on=None)) is None
    odd = held()
    assert after(odd.model_copy(update={"payload": {**odd.payload, "verdict": {"rulings": [None, 3]}}})) is not None
    assert after(odd.model_copy(update={"payload": {**odd.payload, "judged_on": "soon"}})) is None
