"""The evidence of the gate, as retraining and the backtest both collect it."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from ml.core.gate import gate_evidence
from tests.builders import day, rows, settings

SETTINGS = settings(features={"numeric": ["number"], "categorical": ["carrier"]})
LAST = date(2013, 1, 20)


def collected(**given):
    train, holdout = rows(days=range(10)), rows(days=range(10, 14), seed=1)
    scored = gate_evidence.scored_holdout(train, holdout, np.full(len(holdout), 0.4), SETTINGS)
    scored = gate_evidence.with_champion(scored, np.full(len(holdout), 0.5), trained_until=day(11))
    facts = {"against_champion": True, "refresh": False, "leakage": None, "when_judged": {}, "blocked": False}
    return gate_evidence.collect(
        scored, holdout, gate_evidence.measure(scored, SETTINGS), SETTINGS, **{**facts, **given}
    )


@pytest.mark.parametrize(
    ("challenger", "last_day", "refresh"),
    [
        (SETTINGS, LAST, True),
        (SETTINGS, date(2013, 1, 19), False),  # late labels of old days are no newer data
        (settings(features={"numeric": ["number"]}), LAST, False),
    ],
)
def test_a_refresh_is_the_champions_recipe_on_newer_days(challenger, last_day: date, refresh: bool) -> None:
    assert gate_evidence.is_refresh(SETTINGS, date(2013, 1, 19), challenger, last_day) is refresh


def test_columns_of_labels_that_are_features_are_named_and_the_key_is_not() -> None:
    leaks = gate_evidence.leaks(
        rows(days=range(10)), rows(days=range(10, 14)), SETTINGS, label_columns=["day", "id", "late", "number"]
    )
    assert leaks.label_columns == ("number",)


def test_the_comparison_leaves_out_days_that_the_champion_was_fitted_on() -> None:
    evidence = collected()
    assert (evidence.holdout_days, evidence.comparison.days) == (4, 2)
    assert evidence.champion["log_loss"] == pytest.approx(np.log(2))
    assert evidence.base_rate["log_loss"] == pytest.approx(evidence.past[0][1]["log_loss"])


def test_the_past_of_a_champion_is_what_it_does_here_and_what_it_did_when_it_was_judged() -> None:
    assert [pair[0] for pair in collected().past] == [{**collected().past[0][0]}]
    kept = {"log_loss": 0.3, "base_rate_log_loss": 0.6}
    assert collected(when_judged=kept).past[1] == (kept, {"log_loss": 0.6})
    assert len(collected(when_judged={"fit_seconds": 1.0}).past) == 1


def test_what_was_promoted_before_a_champion_belongs_to_the_past() -> None:
    assert collected(promoted=[(0.3, 0.6)]).past[1:] == [({"log_loss": 0.3}, {"log_loss": 0.6})]


@pytest.mark.parametrize(
    ("refresh", "rules", "wanted"),
    [
        ("expected_loss", {"champion": {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": 0.01}}, True),
        ("expected_loss", {"champion": {"kind": "champion", "min_gain": 0.001}}, False),
        ("expected_loss", {"base rate": {"kind": "base_rate"}}, False),
        ("not_worse", {"champion": {"kind": "champion", "min_gain": 0.001, "refresh_max_loss": 0.01}}, False),
    ],
)
def test_the_past_of_a_recipe_is_wanted_where_a_refresh_is_decided_on_by_it(
    refresh: str, rules: dict, wanted: bool
) -> None:
    assert gate_evidence.wants_past(settings(gate={"refresh": refresh, "rules": rules})) is wanted


@pytest.mark.parametrize(
    ("refit", "anchor", "unjudged", "anchor_days"),
    [("after_gate", None, 8, None), ("never", None, -2, None), ("never", date(2013, 1, 3), -2, 17)],
)
def test_a_refresh_is_as_much_newer_as_the_days_that_it_was_fitted_on(
    refit: str, anchor: date | None, unjudged: int, anchor_days: int | None
) -> None:
    """The champion has seen two days more than the model that is compared in its place."""
    history = gate_evidence.refresh_history(
        [],
        settings(retrain={"refit": refit}, split={"holdout_days": 10}),
        compared_last_day=date(2013, 1, 12),
        champion_last_day=date(2013, 1, 14),
        train_last_day=LAST,
        last_day=date(2013, 1, 30),
        anchor_last_day=anchor,
    )
    assert (history.apart_days, history.judged_days) == (10, 8)
    assert (history.unjudged_days, history.anchor_days) == (unjudged, anchor_days)
