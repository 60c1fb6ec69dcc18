"""How probably a refresh is of another kind, by how far it moves predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.core.gate.unusual import LEAST, moved, share

USUAL = (0.02, 0.03, 0.025, 0.035, 0.03, 0.022)


def test_as_far_as_refreshes_move_predictions_is_one_in_twenty() -> None:
    assert [share(USUAL, apart) for apart in (0.001, 0.02, 0.03)] == [LEAST] * 3


def test_ten_times_as_far_is_almost_surely_unusual() -> None:
    assert share(USUAL, 0.3) > 0.95


def test_few_refreshes_say_less_of_what_is_usual() -> None:
    assert LEAST < share(USUAL[:3], 0.1) < share(USUAL, 0.1)


def test_with_more_newer_data_predictions_may_move_further() -> None:
    assert share(USUAL, 0.09, times=3) < share(USUAL, 0.09, times=0.5) == share(USUAL, 0.09)


@pytest.mark.parametrize("usual", [(), (0.03, 0.03), (0.0, 0.0, 0.0)])
def test_where_nothing_is_known_of_the_past_it_is_one_in_twenty(usual: tuple[float, ...]) -> None:
    assert share(usual, 0.5) == LEAST


@pytest.mark.parametrize("apart", [None, 0.0])
def test_where_it_moves_nothing_or_nobody_knows_it_is_one_in_twenty(apart: float | None) -> None:
    assert share(USUAL, apart) == LEAST


@given(st.lists(st.floats(1e-9, 1e3), max_size=12), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(-50, 50))
def test_it_is_a_probability_that_grows_with_the_distance(
    usual: list[float], apart: float, further: float, times: float
) -> None:
    near, far = share(usual, apart, times), share(usual, apart + further, times)
    assert LEAST <= near <= far + 1e-9 <= 1 + 1e-9


class TestMoved:
    def test_only_days_new_to_both_count(self) -> None:
        scored = pd.DataFrame({"challenger": [0.2, 0.5], "champion": [0.9, 0.4], "champion_had_seen": [True, False]})
        assert moved(scored, "classification") == pytest.approx(0.1)

    def test_of_several_classes_it_is_the_total_variation_distance(self) -> None:
        vectors = [np.array([0.2, 0.8]), np.array([0.5, 0.5])]
        scored = pd.DataFrame({"champion_had_seen": [False]})
        scored["challenger"], scored["champion"] = [vectors[0]], [vectors[1]]
        assert moved(scored, "multiclass") == pytest.approx(0.3)

    def test_without_a_champion_or_such_days_it_is_not_known(self) -> None:
        assert moved(pd.DataFrame({"challenger": [0.2]}), "classification") is None
        seen = pd.DataFrame({"challenger": [0.2], "champion": [0.2], "champion_had_seen": [True]})
        assert moved(seen, "classification") is None

    def test_constant_predictions_of_a_regression_have_no_unit_to_be_compared_in(self) -> None:
        scored = pd.DataFrame({"challenger": [1.0, 2.0], "champion": [1.0, 1.0], "champion_had_seen": False})
        assert moved(scored, "regression") is None
