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
    assert evidence.base_rate["log_loss"] == pytest.approx(evidence.past[0][1]["log_loss"])


def test_the_past_of_a_champion_is_what_it_does_here_and_what_it_did_when_it_was_judged() -> None:
    assert [pair[0] for pair in collected().past] == [{**collected().past[0][0]}]
    kept = {"log_loss": 0.3, "base_rate_log_loss": 0.6}
    assert collected(when_judged=kept).past[1] == (kept, {"log_loss": 0.6})
    assert len(collected(when_judged={"fit_seconds": 1.0}).past) == 1
