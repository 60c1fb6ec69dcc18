"""A held challenger is judged by the days on which chance divided the requests, at any look, with the gate's error."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from ml.core.gate import randomised
from ml.core.gate.rules.champion import ChampionRule
from ml.core.monitoring.confidence_sequence import mean_of_days
from ml.records import Ruling, SplitDay
from ml.settings import Gate

FIRST = date(2026, 1, 1)
GATE = Gate.model_validate(
    {
        "min_days": 7,
        "min_rows": 500,
        "rules": {
            "champion": {"kind": "champion", "min_gain": 0.001},
            "ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.5},
        },
    }
)
HELD: list[dict[str, Any]] = [
    {"rule": "champion", "kind": "champion", "passed": False, "evidence": {}, "reason": "no gain"},
    {"rule": "ranks", "kind": "bound", "passed": True, "evidence": {"roc_auc": 0.7}, "reason": "ranks well"},
    {"rule": "holdout size", "kind": "holdout_size", "passed": True, "evidence": {}, "reason": "large"},
]


def days(gains: Any, *, rows: int = 400, metric: str | None = "log_loss") -> list[SplitDay]:
    return [
        SplitDay(
            day=FIRST + timedelta(days=number), kind="randomised", champion=1, challenger=2, rows=9 * rows,
            challenger_rows=rows, difference=-float(gain), metric=metric,
        )
        for number, gain in enumerate(gains)
    ]  # fmt: skip


def ruling(split: list[SplitDay], rule: dict[str, Any] | None = None, gate: Gate = GATE) -> Ruling:
    own = ChampionRule.model_validate({"kind": "champion", **(rule or {"min_gain": 0.001})})
    return randomised.judge("champion", own, split, gate, label_delay_days=1)


def steady(mean: float, count: int, spread: float = 0.01) -> np.ndarray:
    values = np.random.default_rng(5).normal(0, 1, count)
    return np.asarray(mean + spread * (values - values.mean()) / values.std(ddof=1))


def test_a_gain_beyond_noise_passes_and_says_what_it_was_seen_on() -> None:
    judged = ruling(days(steady(0.02, 20)))
    assert judged.passed is True and judged.comparison is not None
    assert judged.comparison.gain == pytest.approx(0.02) and judged.comparison.low > 0
    assert (judged.evidence["split_days"], judged.evidence["rows"], judged.evidence["challenger_rows"]) == (
        20.0, 72000.0, 8000.0,
    )  # fmt: skip
    assert "on 20 days from 2026-01-01 to 2026-01-20" in judged.reason
    assert "72,000 rows of version 1 and 8,000 of version 2" in judged.reason
    assert "97.5 % interval, valid at every look" in judged.reason


def test_a_gain_within_noise_holds_and_says_when_such_days_would_be_enough() -> None:
    short = ruling(days(steady(0.01, 10)))
    assert short.passed is False and short.comparison is not None
    more = int(short.reason.split("which ")[1].split(" more day")[0])
    assert f"about {FIRST + timedelta(days=9 + more + 1)}" in short.reason
    spread = short.comparison.gain - short.comparison.low
    assert more > 0 and spread > 0.01
    worse = ruling(days(steady(-0.01, 20)))
    assert worse.passed is False and "would not show" in worse.reason


@pytest.mark.parametrize(
    ("split", "missing"),
    [
        (days(steady(0.05, 4)), "which 3 more days like these would give, about 2026-01-08"),
        (days(steady(0.05, 8), rows=50), "which 2 more days like these would give, about 2026-01-11"),
        ([], "set serving.traffic to"),
        (days(steady(0.05, 20), metric=None), "no labelled day of a split is known"),
        (days(steady(0.05, 20), metric="brier"), "no labelled day of a split is known"),
    ],
)
def test_too_little_evidence_is_no_pass_and_says_what_is_missing(split: list[SplitDay], missing: str) -> None:
    judged = ruling(split)
    assert judged.passed is None and missing in judged.reason


def test_days_in_shadow_are_no_evidence_of_a_split() -> None:
    shadow = [day.model_copy(update={"kind": "paired"}) for day in days(steady(0.05, 20))]
    assert ruling(shadow).passed is None


def test_a_rule_that_asks_for_no_loss_is_asked_that_here_too() -> None:
    split = days(steady(0.0, 20, spread=0.002))
    assert ruling(split, {"max_loss": 0.01}).passed is True
    assert ruling(split).passed is False
    refresh = {"min_gain": 0.001, "refresh_max_loss": 0.01}
    assert ruling(split, refresh).passed is False, "a refresh that was held gets no margin a second time"


def test_the_rest_of_the_verdict_stays_and_anything_missing_holds() -> None:
    better = days(steady(0.02, 20))
    verdict = randomised.conclude(HELD, better, GATE, label_delay_days=1)
    assert verdict.decision == "promote"
    assert [one.rule for one in verdict.rulings] == [
        "champion",
        "ranks",
        "holdout size",
    ]
    failed = [{**entry, "passed": None} if entry["rule"] == "ranks" else entry for entry in HELD]
    assert randomised.conclude(failed, better, GATE, label_delay_days=1).decision == "hold"
    without = randomised.conclude(HELD[:1], better, GATE, label_delay_days=1)
    assert without.decision == "hold" and "was not judged" in without.reasons[0]
    no_rule = GATE.model_copy(update={"rules": {"ranks": GATE.rules["ranks"]}})
    assert randomised.conclude(HELD, better, no_rule, label_delay_days=1).decision == "hold"


@pytest.mark.parametrize("kind", ["normal", "heavy", "unequal", "lasting"])
def test_looking_every_day_promotes_one_that_is_no_better_in_few_cases(kind: str) -> None:
    """Of those that are exactly as good, the split may promote half of the gate's 5 %; its margin only lowers that."""
    chance = np.random.default_rng(11)
    trials, length, promoted = 600, 60, 0
    for _ in range(trials):
        noise = chance.standard_t(3, length) if kind == "heavy" else chance.normal(0, 1, length)
        if kind == "unequal":
            noise = noise * chance.choice([0.3, 1.0, 3.0], length)
        if kind == "lasting":
            for at in range(1, length):
                noise[at] = 0.3 * noise[at - 1] + noise[at]
        for count in range(GATE.min_days, length + 1):
            low = mean_of_days(noise[:count], confidence=randomised.confidence(GATE))[1]
            if low is not None and low > 0:
                promoted += 1
                break
    assert promoted / trials <= (1 - GATE.confidence) / 2
