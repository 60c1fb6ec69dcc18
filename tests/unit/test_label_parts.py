"""A part of a day whose labels cannot be what happened, and parts that only look odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml.core.data.label_days import label_day
from ml.core.data.label_doubt import judge, recent
from ml.core.data.label_parts import MOST_PARTS, NAMED, label_parts
from ml.records import LabelDay, LabelVerdict
from ml.settings import Task
from tests.unit.test_label_doubt import BINARY, CLASSES, FIRST, NOTED, NUMBER, TASKS, Rows, rows_of

DAY = FIRST + timedelta(days=60)
SHOPS = np.repeat(["a", "b", "c", "d"], 100)
Change = Callable[[Rows, np.ndarray], Rows]


def day_of(
    number: int, task: Task, change: Change = lambda rows, _: rows, *, shops: np.ndarray = SHOPS, predicted: bool = True
) -> LabelDay:
    labels, predictions = change(rows_of(number, task, rows=len(shops)), shops)
    parts = label_parts(pd.DataFrame({"shop": shops}), ["shop"], labels, predictions if predicted else None, task)
    day = FIRST + timedelta(days=number)
    return label_day(day, labels, predictions if predicted else None, task, parts=parts)


def verdict_of(today: LabelDay, task: Task, **options: object) -> LabelVerdict:
    past = {FIRST + timedelta(days=n): day_of(n, task, **options) for n in range(60)}  # type: ignore[arg-type]
    later = [day_of(n, task) for n in (61, 62, 63)]
    return judge(today, recent(DAY, past, NOTED), later, labels=NOTED, task=task)


def dead(shop: str = "b") -> Change:
    return lambda rows, shops: (np.where(shops == shop, 0.0, rows[0]), rows[1])


@pytest.mark.parametrize("predicted", [True, False])
@pytest.mark.parametrize("kind", TASKS)
def test_a_part_whose_labels_are_all_the_same_is_in_doubt_and_no_later_day_lets_it_in(
    kind: str, predicted: bool
) -> None:
    task = TASKS[kind]
    verdict = verdict_of(day_of(60, task, dead(), predicted=predicted), task)
    assert (verdict.status, verdict.lasting) == ("doubtful", True)
    (reason,) = (reason for reason in verdict.reasons if "shop" in reason)
    value = {"classification": "0", "multiclass": "low", "regression": "the same"}[kind]
    assert reason.startswith(f"all 100 labels where shop = b are {value}, ")
    assert "in 56 earlier days" in reason


@pytest.mark.parametrize("kind", TASKS)
def test_true_days_have_no_part_in_doubt(kind: str) -> None:
    for number in range(60, 90):
        today = day_of(number, TASKS[kind]).model_copy(update={"day": DAY})
        assert not any("shop" in reason for reason in verdict_of(today, TASKS[kind]).reasons)


def test_an_inverted_part_is_in_doubt() -> None:
    def inverted(rows: Rows, shops: np.ndarray) -> Rows:
        return np.where(shops == "c", 1 - rows[0], rows[0]), rows[1]

    verdict = verdict_of(day_of(60, BINARY, inverted), BINARY)
    assert verdict.lasting
    assert "labels contradict the predictions where shop = c: their order is " in verdict.reasons[0]
    without = verdict_of(day_of(60, BINARY, inverted, predicted=False), BINARY)
    assert not any("shop" in reason for reason in without.reasons)


def test_a_day_on_which_hardly_anything_happens_anywhere_accuses_no_part() -> None:
    def calm(rows: Rows, _: np.ndarray) -> Rows:
        return np.where(np.arange(len(rows[0])) < 4, 1.0, 0.0), rows[1]

    assert not any("shop" in reason for reason in verdict_of(day_of(60, BINARY, calm), BINARY).reasons)


def test_a_part_that_has_been_so_before_is_not_in_doubt() -> None:
    past = {
        FIRST + timedelta(days=n): day_of(n, BINARY, dead() if n == 40 else lambda rows, _: rows) for n in range(60)
    }
    verdict = judge(day_of(60, BINARY, dead()), recent(DAY, past, NOTED), [], labels=NOTED, task=BINARY)
    assert verdict.status == "plausible"


def test_a_new_part_and_a_small_one_are_not_judged() -> None:
    new = np.where(SHOPS == "b", "e", SHOPS)
    assert verdict_of(day_of(60, BINARY, dead("e"), shops=new), BINARY).status == "plausible"
    small = np.repeat(["a", "b"], [391, 9])
    assert set(day_of(60, BINARY, shops=small).parts) == set(), "nine rows, and nine outside of the rest"


def test_the_first_labels_of_a_day_to_come_are_not_judged_by_parts() -> None:
    few = np.repeat(["a", "b"], [60, 60])
    assert verdict_of(day_of(60, BINARY, dead(), shops=few), BINARY).status == "plausible"


def test_of_many_parts_the_largest_are_looked_at() -> None:
    many = np.repeat([f"s{n:03}" for n in range(MOST_PARTS + 5)], [12] * MOST_PARTS + [11] * 5)
    assert set(day_of(60, BINARY, shops=many).parts) == {f"shop = s{n:03}" for n in range(MOST_PARTS)}


def test_of_many_parts_in_doubt_some_are_named_and_the_rest_counted() -> None:
    def all_but_one(rows: Rows, shops: np.ndarray) -> Rows:
        return np.where(shops == "a", rows[0], 1 - rows[0]), rows[1]

    shops = np.repeat(list("abcdef"), 300)
    past = {FIRST + timedelta(days=n): day_of(n, BINARY, shops=shops) for n in range(60)}
    today = day_of(60, BINARY, all_but_one, shops=shops)
    verdict = judge(today, recent(DAY, past, NOTED), [], labels=NOTED, task=BINARY)
    assert sum("where shop = " in reason for reason in verdict.reasons) == NAMED
    assert "2 more parts are in doubt" in verdict.reasons


def test_a_day_of_one_label_and_a_cut_that_cannot_be_made_have_no_parts() -> None:
    columns = pd.DataFrame({"shop": SHOPS})
    assert label_parts(columns, ["shop"], np.zeros(400), None, BINARY) == {}
    assert label_parts(columns, ["gone", "shop > 3"], rows_of(1, BINARY)[0], None, BINARY) == {}
    assert label_parts(columns, ["shop"], rows_of(1, NUMBER)[0], None, NUMBER)["shop = a"].counts == (1,)
    assert sum(label_parts(columns, ["shop"], rows_of(1, CLASSES)[0], None, CLASSES)["shop = a"].counts) == 100
