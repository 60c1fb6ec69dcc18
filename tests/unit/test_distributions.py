"""Distributions count what was there, in the same bins on either side, and stay small."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.distributions import BINS, MOST_CATEGORIES, distribution, distributions

CHANCE = np.random.default_rng(7)


def test_numbers_share_their_bins_and_the_outermost_hold_what_lies_beyond() -> None:
    before, now = pd.Series(CHANCE.normal(0, 1, 5000)), pd.Series([*CHANCE.normal(1, 1, 999), 1e9])
    bins = distribution(before, now)["bins"]
    assert len(bins["edges"]) == BINS + 1 and bins["edges"][-1] < 10
    for side, values in (("reference", before), ("current", now)):
        assert sum(bins[side]) == pytest.approx(1, abs=1e-3)
        middle = (bins["edges"][10], bins["edges"][11])
        inside = ((values >= middle[0]) & (values < middle[1])).mean()
        assert bins[side][10] == pytest.approx(inside, abs=2e-3)
    assert bins["highest"] == 1e9


def test_nulls_and_infinite_numbers_are_in_no_bin() -> None:
    before = pd.Series([*range(100), None, np.inf], dtype=float)
    facts = distribution(before, before)
    assert facts["null_share"]["reference"] == pytest.approx(1 / 102, abs=1e-5)
    assert sum(facts["bins"]["current"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("empty", ["reference", "current"])
def test_a_side_without_values_has_no_bins(empty: str) -> None:
    values, nothing = pd.Series(np.arange(100.0)), pd.Series([np.nan] * 5)
    facts = distribution(nothing, values) if empty == "reference" else distribution(values, nothing)
    assert facts["bins"][empty] is None
    assert facts["null_share"][empty] == 1.0


def test_equal_values_on_both_sides_are_one_category() -> None:
    facts = distribution(pd.Series([3.0, 3.0]), pd.Series([3, 4]))
    assert facts["categories"]["names"] == ["3", "4"]
    assert (facts["categories"]["reference"], facts["categories"]["current"]) == ([1.0, 0.0], [0.5, 0.5])


def test_many_categories_are_named_up_to_a_number_and_all_are_counted() -> None:
    before = pd.Series([f"old {number}" for number in range(500)])
    now = pd.Series([f"new {number}" for number in range(300)])
    facts = distribution(before, now)
    assert len(facts["categories"]["names"]) == len(facts["came"]) == len(facts["went"]) == MOST_CATEGORIES
    assert (facts["came_count"], facts["went_count"], facts["categories"]["others"]) == (
        300,
        500,
        800 - MOST_CATEGORIES,
    )
    assert sum(facts["categories"]["current"]) + facts["categories"]["other"]["current"] == pytest.approx(1, abs=1e-3)


def test_a_hundred_columns_stay_small() -> None:
    numbers = {f"number_{n}": (pd.Series(CHANCE.normal(size=3000)),) * 2 for n in range(60)}
    texts = {f"text_{n}": (pd.Series(CHANCE.integers(0, 5000, 3000)).astype(str),) * 2 for n in range(40)}
    facts = distributions({**numbers, **texts})
    assert len(json.dumps(facts, allow_nan=False)) < 150_000
