"""Folds keep the order of time, tear no day apart, and share none between fit and score."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from ml.core.training.folds import time_ordered
from ml.errors import DataRejected

FIRST_DAY = date(2013, 5, 1)


def days(*numbers: int) -> list[date]:
    return [FIRST_DAY + timedelta(days=number) for number in numbers]


@pytest.mark.parametrize(("count", "folds", "longest"), [(34, 3, 10), (90, 5, 14), (7, 2, 14), (4, 3, 1), (100, 2, 7)])
def test_each_fold_is_scored_on_days_right_after_all_that_it_is_fitted_on(count: int, folds: int, longest: int) -> None:
    known = days(*range(count))
    cut = time_ordered(known[::-1], folds=folds, longest=longest)
    assert len(cut) == folds
    for fold in cut:
        assert [*fold.fitted_on, *fold.scored_on] == known[: len(fold.fitted_on) + len(fold.scored_on)]
        assert 1 <= len(fold.scored_on) <= longest
        assert len(fold.fitted_on) >= len(fold.scored_on)
    for earlier, later in pairwise(cut):
        assert later.fitted_on == earlier.fitted_on + earlier.scored_on
    assert cut[-1].scored_on[-1] == known[-1]


def test_days_that_are_missing_are_no_days() -> None:
    known = days(0, 1, 5, 9, 10, 11)
    cut = time_ordered([*known, *known], folds=2, longest=14)
    assert [fold.scored_on for fold in cut] == [tuple(days(5, 9)), tuple(days(10, 11))]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_days_for_the_folds_are_refused(count: int) -> None:
    with pytest.raises(DataRejected, match=r"lower tune\.folds to at most"):
        time_ordered(days(*range(count)), folds=3, longest=14)
