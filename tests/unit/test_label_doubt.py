"""Labels that may not be learned from, of each kind of task, and true days that only look odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from ml.core.data.label_days import label_day
from ml.core.data.label_doubt import judge, judge_history, recent
from ml.core.predictions import column
from ml.records import LabelDay, LabelVerdict
from ml.settings import Labels, Task

FIRST = date(2024, 1, 1)
NOTED = Labels(judge=True)
BINARY = Task(name="t", kind="classification", target="y", key=("day", "id"), label_delay_days=1)
NUMBER = BINARY.model_copy(update={"kind": "regression"})
CLASSES = Task(
    name="t", kind="multiclass", target="y", key=("day", "id"), label_delay_days=1, classes=("low", "middle", "high")
)
TASKS = {"classification": BINARY, "regression": NUMBER, "multiclass": CLASSES}
Rows = tuple[np.ndarray, np.ndarray]


def rows_of(number: int, task: Task, *, shift: float = 0.0, rows: int = 400) -> Rows:
    """Draw the labels and predictions of a day: days differ, by more than their rows alone would."""
    chance = np.random.default_rng([number, 7])
    feature = chance.normal(size=rows)
    moved = chance.normal(0, 0.3) + shift
    if task.kind == "regression":
        return 20 + 5 * feature + 2 * moved + chance.normal(0, 4, rows), 20 + 5 * feature
    if task.classes:
        scores = np.column_stack([-feature, np.full(rows, 0.3), feature])
        odds = softmax(scores + np.array([0.0, 0.0, moved]), axis=1)
        drawn = (odds.cumsum(axis=1) < chance.random(rows)[:, None]).sum(axis=1)
        return drawn.astype(float), column(softmax(scores, axis=1))
    return (chance.random(rows) < expit(feature - 1 + moved)).astype(float), expit(feature - 1)


def days_of(task: Task, number: int, **options: Any) -> dict[date, LabelDay]:
    days = [FIRST + timedelta(days=n) for n in range(number)]
    return {day: label_day(day, *rows_of(n, task, **options), task) for n, day in enumerate(days)}


def verdict_on(
    change: Callable[[Rows], Rows], task: Task, *, later: Sequence[LabelDay] = (), predicted: bool = True, n: int = 60
) -> LabelVerdict:
    past, day = days_of(task, n), FIRST + timedelta(days=n)
    if not predicted:
        past = {d: each.model_copy(update={"expected": None, "association": None}) for d, each in past.items()}
    labels, predictions = change(rows_of(n, task))
    today = label_day(day, labels, predictions if predicted else None, task)
    return judge(today, recent(day, past, NOTED), later, labels=NOTED, task=task)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("predicted", [True, False])
def test_a_dead_feed_is_in_doubt_on_its_first_day_and_stays_so(kind: str, predicted: bool) -> None:
    found = verdict_on(lambda rows: (rows[0] * 0, rows[1]), TASKS[kind], predicted=predicted)
    assert (found.status, found.lasting) == ("doubtful", True)
    assert "all 400 labels are the same" in found.reasons[0]
    assert ("predicted of the same rows" in found.reasons[1]) == predicted
    if kind == "classification":
        assert "the rate is 0, where" in found.reasons[1]
    after = list(days_of(TASKS[kind], 70).values())[61:]
    assert verdict_on(lambda rows: (rows[0] * 0, rows[1]), TASKS[kind], later=after).status == "doubtful"


@pytest.mark.parametrize("kind", TASKS)
def test_inverted_labels_are_in_doubt_on_their_first_day_whatever_comes_later(kind: str) -> None:
    def inverted(rows: Rows) -> Rows:
        return rows[0].max() + rows[0].min() - rows[0], rows[1]

    after = list(days_of(TASKS[kind], 70).values())[61:]
    found = verdict_on(inverted, TASKS[kind], later=after)
    assert (found.status, found.lasting) == ("doubtful", True)
    assert "labels contradict the predictions" in found.reasons[0]


@pytest.mark.parametrize("kind", TASKS)
def test_true_days_are_plausible_with_few_exceptions(kind: str) -> None:
    """A year each: the declared number is one a quarter."""
    days = days_of(TASKS[kind], 379)
    found = judge_history(days, labels=NOTED, task=TASKS[kind])
    assert [found[FIRST + timedelta(days=n)].status for n in range(14)] == ["unjudged"] * 14
    assert "14" in found[FIRST].reasons[0]
    assert sum(verdict.status == "doubtful" for verdict in found.values()) <= 4


def test_a_storm_that_was_foreseen_is_no_fault_of_the_labels() -> None:
    def stormy(rows: Rows) -> Rows:
        chance = np.random.default_rng(1)
        odds = expit(np.log(rows[1] / (1 - rows[1])) + 3.5)
        return (chance.random(len(odds)) < odds).astype(float), odds

    assert verdict_on(stormy, BINARY).status == "plausible"
    assert verdict_on(lambda rows: (stormy(rows)[0], rows[1]), BINARY).status == "doubtful"
    assert verdict_on(stormy, BINARY, predicted=False).status == "doubtful"


def test_an_odd_level_is_confirmed_by_later_days_if_labels_still_follow_the_predictions() -> None:
    def risen(rows: Rows) -> Rows:
        odds = expit(np.log(rows[1] / (1 - rows[1])) + 3.5)
        return (np.random.default_rng(2).random(len(odds)) < odds).astype(float), rows[1]

    later = list(days_of(BINARY, 63).values())[61:]
    assert verdict_on(risen, BINARY).status == "doubtful"
    assert not verdict_on(risen, BINARY).lasting
    assert verdict_on(risen, BINARY, later=later[:1]).status == "doubtful", "one later day is not enough"
    assert verdict_on(risen, BINARY, later=later).status == "confirmed"


def test_without_predictions_an_odd_level_is_confirmed_by_days_like_it_only() -> None:
    def risen(rows: Rows) -> Rows:
        return np.maximum(rows[0], np.random.default_rng(2).random(len(rows[0])) < 0.75), rows[1]

    usual = list(days_of(BINARY, 63).values())[61:]
    alike = [label_day(FIRST + timedelta(days=61 + n), risen(rows_of(61 + n, BINARY))[0], None, BINARY) for n in (0, 1)]
    assert verdict_on(risen, BINARY, later=usual, predicted=False).status == "doubtful"
    assert verdict_on(risen, BINARY, later=alike, predicted=False).status == "confirmed"


def test_an_odd_level_of_a_seeded_day_is_let_in_and_a_dead_feed_is_not() -> None:
    days = days_of(BINARY, 60)
    storm, dead = FIRST + timedelta(days=30), FIRST + timedelta(days=40)
    days[storm] = days_of(BINARY, 60, shift=4.0)[storm]
    rows = rows_of(40, BINARY)
    days[dead] = label_day(dead, np.zeros_like(rows[0]), None, BINARY)
    without = {day: each.model_copy(update={"expected": None, "association": None}) for day, each in days.items()}
    verdicts = judge_history(without, labels=NOTED, task=BINARY)
    assert (verdicts[storm].status, bool(verdicts[storm].reasons)) == ("unjudged", True)
    assert verdicts[dead].status == "doubtful"


def test_a_level_that_stays_becomes_the_past_of_a_seeded_history() -> None:
    days = days_of(BINARY, 60)
    risen = days_of(BINARY, 150, shift=4.0)
    days |= {day: each for day, each in risen.items() if day >= FIRST + timedelta(days=60)}
    without = {day: each.model_copy(update={"expected": None, "association": None}) for day, each in days.items()}
    found = judge_history(without, labels=NOTED, task=BINARY)
    assert found[FIRST + timedelta(days=60)].status == "confirmed"
    assert {found[FIRST + timedelta(days=n)].status for n in range(120, 148)} == {"plausible"}


def test_labels_that_trickle_in_are_not_judged_by_their_level() -> None:
    assert verdict_on(lambda rows: (np.r_[np.ones(60), 0.0], rows[1][:61]), BINARY).status == "plausible"
    assert verdict_on(lambda rows: (rows[0] * 0 + 1, rows[1]), BINARY).status == "doubtful"


def test_few_rows_of_a_rare_class_may_all_be_the_same() -> None:
    days = {d: each for d, each in days_of(BINARY, 60, shift=-2.5, rows=24).items()}
    day = FIRST + timedelta(days=60)
    today = label_day(day, np.zeros(24), rows_of(60, BINARY, rows=24)[1], BINARY)
    assert judge(today, recent(day, days, NOTED), (), labels=NOTED, task=BINARY).status == "plausible"


def test_weekdays_that_differ_are_compared_with_themselves() -> None:
    """A rate that is 5 % on Sundays and 60 % else: a Sunday of 60 % is odd, though most days are so."""

    def made(n: int, rate: float) -> LabelDay:
        chance = np.random.default_rng([n, 3])
        return label_day(FIRST + timedelta(days=n), (chance.random(900) < rate).astype(float), None, BINARY)

    past = {FIRST + timedelta(days=n): made(n, 0.05 if n % 7 == 6 else 0.6) for n in range(62)}
    sunday = FIRST + timedelta(days=62)
    assert sunday.weekday() == 6
    before = recent(sunday, past, NOTED)
    assert judge(made(62, 0.05), before, (), labels=NOTED, task=BINARY).status == "plausible"
    assert judge(made(62, 0.6), before, (), labels=NOTED, task=BINARY).status == "doubtful"


def test_who_switches_it_off_is_not_asked() -> None:
    past, day = days_of(BINARY, 60), FIRST + timedelta(days=60)
    today = label_day(day, np.zeros(400), None, BINARY)
    off = Labels(judge=False)
    assert judge(today, recent(day, past, off), (), labels=off, task=BINARY) == LabelVerdict(status="unjudged")
