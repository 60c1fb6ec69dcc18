"""Labels that no later day can confirm: of swapped classes, in another unit, of an earlier day."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.core.data.label_days import content_of, label_day
from ml.core.data.label_doubt import judge, recent
from ml.records import LabelDay, LabelVerdict
from ml.settings import Task
from tests.unit.test_label_doubt import BINARY, CLASSES, FIRST, NOTED, NUMBER, TASKS, Rows, days_of, rows_of, verdict_on

DAY = FIRST + timedelta(days=60)


def with_content(day: date, rows: Rows, task: Task, *, predicted: bool = True) -> LabelDay:
    labels, predictions = rows
    keys = pd.DataFrame({"id": np.arange(len(labels))})
    return label_day(day, labels, predictions if predicted else None, task, content=content_of(keys, labels))


def judged(today: LabelDay, past: dict[date, LabelDay], task: Task) -> LabelVerdict:
    later = list(days_of(task, 70).values())[61:]
    return judge(today, recent(DAY, past, NOTED), later, labels=NOTED, task=task)


def repeated(task: Task, *, rows: int = 400, predicted: bool = True, twice_before: bool = False) -> LabelVerdict:
    """Judge labels that are those of the day before, beside what was predicted of the day itself."""
    past = {
        FIRST + timedelta(days=n): with_content(FIRST + timedelta(days=n), rows_of(n, task, rows=rows), task)
        for n in range(60)
    }
    if twice_before:
        past[FIRST + timedelta(days=40)] = past[FIRST + timedelta(days=39)].model_copy(
            update={"day": FIRST + timedelta(days=40)}
        )
    sent = rows_of(59, task, rows=rows)[0], rows_of(60, task, rows=rows)[1]
    return judged(with_content(DAY, sent, task, predicted=predicted), past, task)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (0, 2)])
def test_two_swapped_classes_are_in_doubt_on_their_first_day_and_stay_so(first: int, second: int) -> None:
    def swapped(rows: Rows) -> Rows:
        return np.select([rows[0] == first, rows[0] == second], [second, first], rows[0]).astype(float), rows[1]

    later = list(days_of(CLASSES, 70).values())[61:]
    verdict = verdict_on(swapped, CLASSES, later=later)
    assert (verdict.status, verdict.lasting) == ("doubtful", True)
    named = f"labels {CLASSES.classes[first]} and {CLASSES.classes[second]} contradict the predictions"
    assert any(named in reason for reason in verdict.reasons) or "the association is -" in verdict.reasons[0]


def test_three_classes_that_go_round_are_in_doubt() -> None:
    verdict = verdict_on(lambda rows: ((rows[0] + 1) % 3, rows[1]), CLASSES)
    assert (verdict.status, verdict.lasting) == ("doubtful", True)


def test_classes_that_predictions_do_not_tell_apart_are_not_called_swapped() -> None:
    """Two classes of one probability each day: only their level could tell, and it is the same."""

    def rows(number: int) -> Rows:
        labels, predictions = rows_of(number, CLASSES)
        alike = np.vstack(list(predictions))
        alike[:, :2] = alike[:, :2].mean(axis=1, keepdims=True)
        return labels, alike

    past = {FIRST + timedelta(days=n): label_day(FIRST + timedelta(days=n), *rows(n), CLASSES) for n in range(60)}
    labels, predictions = rows(60)
    swapped = np.select([labels == 0, labels == 1], [1.0, 0.0], labels)
    verdict = judged(label_day(DAY, swapped, predictions, CLASSES), past, CLASSES)
    assert "swapped" not in " ".join(verdict.reasons)


@pytest.mark.parametrize("factor", [0.001, 1 / 60, 0.1, 10, 60, 1000])
@pytest.mark.parametrize("predicted", [True, False])
def test_numbers_in_another_unit_are_in_doubt_and_no_later_day_lets_them_in(factor: float, predicted: bool) -> None:
    later = list(days_of(NUMBER, 70).values())[61:]
    verdict = verdict_on(lambda rows: (rows[0] * factor, rows[1]), NUMBER, later=later, predicted=predicted)
    assert (verdict.status, verdict.lasting) == ("doubtful", True)
    assert "labels are in another unit than before" in verdict.reasons[0]


def test_numbers_that_double_are_no_other_unit() -> None:
    later = list(days_of(NUMBER, 70).values())[61:]
    verdict = verdict_on(lambda rows: (rows[0] * 2, rows[1]), NUMBER, later=later)
    assert (verdict.status, verdict.lasting) == ("confirmed", False)


def test_few_numbers_that_trickle_in_say_nothing_of_their_unit() -> None:
    verdict = verdict_on(lambda rows: (rows[0][:60] * 0.01, rows[1][:60]), NUMBER)
    assert "unit" not in " ".join(verdict.reasons)


@pytest.mark.parametrize("kind", TASKS)
def test_labels_of_the_day_before_are_in_doubt_and_stay_so(kind: str) -> None:
    verdict = repeated(TASKS[kind])
    assert (verdict.status, verdict.lasting) == ("doubtful", True)
    assert verdict.reasons[0].startswith(f"all 400 labels are those of {DAY - timedelta(days=1)}, row by row")


def test_days_that_repeated_before_may_do_so_again() -> None:
    assert repeated(BINARY, twice_before=True).status == "plausible"


def test_labels_that_chance_repeats_are_plausible() -> None:
    assert repeated(BINARY, rows=8).status == "plausible"
    assert repeated(BINARY, rows=48).status == "plausible", "rows of a day resemble each other"
    assert repeated(NUMBER, rows=12).status == "plausible"


def test_without_predictions_only_many_different_numbers_are_never_those_of_another_day() -> None:
    assert repeated(NUMBER, predicted=False).status == "doubtful"
    assert repeated(BINARY, predicted=False).status == "plausible", "a pattern of the hours may repeat"


def test_rows_are_compared_in_the_order_of_their_keys() -> None:
    keys, labels = pd.DataFrame({"id": [3, 1, 2], "part": ["a", "a", "b"]}), np.array([1.0, 0.0, np.nan])
    assert content_of(keys, labels) == content_of(keys.iloc[::-1], labels[::-1])
    assert content_of(keys, labels) != content_of(keys, labels[::-1])
    assert content_of(pd.DataFrame(index=range(1)), [2.0]) != content_of(pd.DataFrame(index=range(1)), [3.0])
