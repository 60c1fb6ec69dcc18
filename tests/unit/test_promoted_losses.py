"""What was promoted before tells what can be known of a task, whatever the champion of the day learned from."""

from __future__ import annotations

from typing import Any

import pytest

from ml.core.champions.promoted_losses import NEWEST, beside_base_rate
from ml.records import Logged
from tests.builders import decided


def judged(kind: str, version: int, figures: dict[str, Any], *, fingerprint: str | None = None) -> Logged:
    entry = decided(kind, version, effective=40 + version, trained_until=version)
    ruling = {"rule": "base_rate", "kind": "base_rate", "passed": True, "evidence": figures, "reason": "better"}
    payload = {**entry.payload, "verdict": {"decision": "promote", "reasons": [], "rulings": [ruling]}}
    return entry.model_copy(update={"payload": payload, "fingerprint": fingerprint})


def test_promotions_count_with_their_loss_and_the_base_rates_and_holds_do_not() -> None:
    log = [
        judged("promotion", 1, {"log_loss": 0.3, "base_rate": 0.6}),
        judged("hold", 2, {"log_loss": 0.1, "base_rate": 0.6}),
    ]
    assert beside_base_rate(log, "log_loss") == [(0.3, 0.6)]


def test_only_the_newest_count() -> None:
    log = [judged("promotion", number, {"log_loss": number / 100, "base_rate": 0.6}) for number in range(1, 10)]
    assert beside_base_rate(log, "log_loss") == [(number / 100, 0.6) for number in range(10 - NEWEST, 10)]


@pytest.mark.parametrize(
    "figures",
    [{}, {"rmse": 3.0, "base_rate": 5.0}, {"log_loss": None, "base_rate": 0.6}, {"log_loss": 0.3, "base_rate": 0.0}],
)
def test_what_was_not_measured_by_the_metric_is_left_out(figures: dict[str, Any]) -> None:
    log = [judged("promotion", 1, figures), decided("promotion", 2, effective=42, trained_until=2)]
    assert beside_base_rate(log, "log_loss") == []


def test_a_promotion_that_was_rolled_back_says_nothing_of_what_can_be_known() -> None:
    """A leak may have been what made it so good."""
    good, leaking = (
        judged("promotion", 1, {"log_loss": 0.3, "base_rate": 0.6}, fingerprint="a"),
        judged("promotion", 2, {"log_loss": 0.01, "base_rate": 0.6}, fingerprint="b"),
    )
    back = decided("rollback", 1, effective=50, trained_until=1)
    back = back.model_copy(update={"fingerprint": "a", "payload": {**back.payload, "blocked_fingerprint": "b"}})
    assert beside_base_rate([good, leaking, back], "log_loss") == [(0.3, 0.6)]
