"""Columns have moved only if they went further than they ever did by themselves, and were measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.core.drift import (
    JENSEN_SHANNON,
    WASSERSTEIN,
    distance,
    judge,
    limits,
    method,
    sample_days,
    verdict,
    watched,
)
from ml.settings import Drift
from tests.builders import column, day, rows

DRIFT = Drift(window_days=7, structural=("number", "carrier"), environment=("origin",))


class TestDistance:
    def test_a_shift_is_measured_in_standard_deviations_of_the_reference(self) -> None:
        reference = pd.Series([0.0, 2.0, 4.0])
        assert distance(reference, reference + 3) == pytest.approx(3 / np.std([0, 2, 4]))
        assert distance(reference, reference * 0 + 2) == pytest.approx((4 / 3) / np.std([0, 2, 4]))

    def test_a_constant_reference_is_not_divided_by_zero(self) -> None:
        assert distance(pd.Series([5.0, 5.0]), pd.Series([5.5])) == pytest.approx(0.5 / 0.001)

    def test_categories_by_hand(self) -> None:
        """Shares (1, 0) and (1/2, 1/2): the square root of the Jensen–Shannon divergence in nats."""
        middle = np.array([0.75, 0.25])
        divergence = 0.5 * np.log(1 / 0.75) + 0.5 * (0.5 * np.log(0.5 / middle)).sum()
        assert distance(pd.Series(["A", "A"]), pd.Series(["A", "B"])) == pytest.approx(np.sqrt(divergence))

    def test_categories_without_anything_in_common_are_as_far_as_can_be(self) -> None:
        assert distance(pd.Series(["A"]), pd.Series(["B", "C"])) == pytest.approx(np.sqrt(np.log(2)))

    @pytest.mark.parametrize("name", ["number", "carrier"])
    def test_a_column_is_no_distance_from_itself_whatever_its_order(self, name: str) -> None:
        values = rows()[name]
        assert distance(values, values.sample(frac=1, random_state=1)) == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize("name", ["number", "carrier"])
    def test_nulls_are_dropped_before(self, name: str) -> None:
        reference, current = rows()[name], rows(seed=1)[name]
        holey = pd.concat([current, pd.Series([None] * 50, dtype=current.dtype)])
        assert distance(reference, holey) == distance(reference, current)

    @pytest.mark.parametrize(
        "nothing", [pd.Series([], dtype=float), pd.Series([np.nan]), pd.Series([None], dtype="str")]
    )
    def test_a_side_without_any_value_has_no_distance(self, nothing: pd.Series) -> None:
        assert distance(nothing, rows()["number"]) is None
        assert distance(rows()["number"], nothing) is None

    @pytest.mark.parametrize(
        ("values", "name"),
        [
            (pd.Series([1, 2]), WASSERSTEIN),
            (pd.Series([1.5]), WASSERSTEIN),
            (pd.Series([1], dtype="Int64"), WASSERSTEIN),
            (pd.Series([True, False]), JENSEN_SHANNON),
            (pd.Series([True], dtype="boolean"), JENSEN_SHANNON),
            (pd.Series(["A"]), JENSEN_SHANNON),
            (pd.Series(["A"], dtype="category"), JENSEN_SHANNON),
        ],
    )
    def test_the_type_chooses_the_method(self, values: pd.Series, name: str) -> None:
        assert method(values) == name
        assert method(pd.concat([values] * 2000)) == name


class TestLimits:
    def reference(self, *shifts: float, window: int = 7, spare: int = 0) -> pd.DataFrame:
        """Build one block of days for each shift of ``number``, and ``spare`` days far off at the end."""
        frame = rows(days=window * len(shifts) + spare, per_day=10)
        moved = np.concatenate([np.repeat(shifts, window * 10), np.full(spare * 10, 1000.0)])
        return frame.assign(number=frame["number"] + moved)

    def test_the_limit_is_the_largest_wandering_of_a_block_times_the_factor(self) -> None:
        frame = self.reference(0.0, 1.0, 3.0)
        number, block = frame["number"], np.repeat([0, 1, 2], 70)
        widest = max(distance(number[block != b], number[block == b]) for b in range(3))  # type: ignore[type-var]
        assert limits(frame, DRIFT)["number"] == pytest.approx(1.5 * widest)

    def test_no_limit_is_under_the_smallest_effect_of_interest(self) -> None:
        frame = rows(days=28, per_day=500)
        found = limits(frame, DRIFT.model_copy(update={"min_distance": 0.4}))
        assert found == {"number": 0.4, "carrier": 0.4, "origin": 0.4}

    def test_a_block_that_is_not_full_does_not_count(self) -> None:
        """Days left over are no block; here they are all far off, and would widen the limit."""
        whole, spare = self.reference(0.0, 0.0, 0.0), self.reference(0.0, 0.0, 0.0, spare=6)
        assert limits(spare, DRIFT)["number"] <= 1.5 * max(limits(whole, DRIFT)["number"], 1.0)
        full = self.reference(0.0, 0.0, 0.0, spare=7)
        assert limits(full, DRIFT)["number"] > 100

    def test_blocks_are_days_that_are_there_in_day_order_whatever_the_rows_order(self) -> None:
        frame = self.reference(0.0, 1.0, 3.0)
        assert limits(frame.sample(frac=1, random_state=1), DRIFT) == pytest.approx(limits(frame, DRIFT))

    @pytest.mark.parametrize("days", [1, 7, 13])
    def test_a_reference_too_short_for_two_blocks_has_the_smallest_limits(self, days: int) -> None:
        assert limits(rows(days=days), DRIFT) == dict.fromkeys(watched(DRIFT), 0.1)

    def test_a_column_without_any_value_has_no_limit(self) -> None:
        assert set(limits(rows(days=21).assign(number=np.nan), DRIFT)) == {"carrier", "origin"}

    def test_a_column_empty_in_one_block_is_measured_on_the_others(self) -> None:
        frame = self.reference(0.0, 1.0, 3.0)
        found = limits(frame.assign(number=frame["number"].where(frame["day"] >= day(7))), DRIFT)
        assert 0.1 < found["number"] < 10

    def test_columns_without_a_role_are_not_watched(self) -> None:
        assert watched(DRIFT) == ["number", "carrier", "origin"]
        assert set(limits(rows(days=21), DRIFT)) == {"number", "carrier", "origin"}

    def test_healthy_blocks_stay_under_the_limits_of_the_past(self) -> None:
        frame = rows(days=56, per_day=50)
        past, future = frame.loc[frame["day"] < day(42)], frame.loc[frame["day"] >= day(42)]
        found = limits(past, DRIFT)
        for name, limit in found.items():
            for first in (42, 49):
                block = future.loc[future["day"].between(day(first), day(first + 6))]
                assert distance(past[name], block[name]) <= limit  # type: ignore[operator]

    def test_the_reference_is_not_modified(self) -> None:
        frame = rows(days=21)
        limits(frame, DRIFT)
        assert_frame_equal(frame, rows(days=21))


class TestSampleDays:
    def test_each_day_keeps_the_same_share(self) -> None:
        frame = pd.concat([rows(days=[n], per_day=100 * (n + 1)) for n in range(5)], ignore_index=True)
        found = sample_days(frame, rows=300, seed=1)
        assert found.groupby("day").size().tolist() == [20, 40, 60, 80, 100]

    def test_rows_stay_whole_and_in_order_and_none_comes_twice(self) -> None:
        frame = rows()
        found = sample_days(frame, rows=50, seed=1)
        assert found.index.is_monotonic_increasing
        assert found.index.is_unique
        assert_frame_equal(found, frame.loc[found.index])

    def test_the_seed_decides(self) -> None:
        frame = rows()
        assert_frame_equal(sample_days(frame, rows=50, seed=1), sample_days(frame, rows=50, seed=1))
        assert not sample_days(frame, rows=50, seed=1).index.equals(sample_days(frame, rows=50, seed=2).index)

    @pytest.mark.parametrize("fits", [200, 201])
    def test_what_fits_is_kept_whole(self, fits: int) -> None:
        assert_frame_equal(sample_days(rows(), rows=fits, seed=1), rows())


class TestJudge:
    def drifted(self, score: float | None, limit: float | None) -> bool:
        drift = Drift(structural=("x",))
        scores, known = {"x": score}, {} if limit is None else {"x": limit}
        (found,) = judge(scores, {"x": WASSERSTEIN}, known, drift)
        return found.drifted

    @pytest.mark.parametrize(("score", "limit", "expected"), [(0.11, 0.1, True), (0.1, 0.1, False), (0.05, 0.1, False)])
    def test_a_column_drifted_if_it_is_over_its_limit(self, score: float, limit: float, expected: bool) -> None:
        assert self.drifted(score, limit) is expected

    @pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
    def test_a_score_that_is_none_is_never_drift(self, score: float | None) -> None:
        assert not self.drifted(score, 0.1)

    @pytest.mark.parametrize("limit", [None, float("nan"), float("inf")])
    def test_a_limit_that_is_none_is_never_drift(self, limit: float | None) -> None:
        assert not self.drifted(9.0, limit)

    @pytest.mark.parametrize("which", ["score", "limit"])
    @pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
    def test_what_is_not_finite_is_written_as_none_and_reads_as_unknown(self, which: str, value: float | None) -> None:
        facts = {"score": 0.05, "limit": 0.1} | {which: value}
        found = judge({"x": facts["score"]}, {}, {"x": facts["limit"]}, Drift(structural=("x",)))  # type: ignore[dict-item]
        assert getattr(found[0], which) is None
        assert verdict(found, Drift(structural=("x",)))[0] == "unknown"

    def test_every_watched_column_is_listed_with_its_role_measured_or_not(self) -> None:
        found = judge({"carrier": 0.2}, {"carrier": JENSEN_SHANNON}, {"carrier": 0.1}, DRIFT)
        assert [(c.column, c.role, c.method, c.drifted) for c in found] == [
            ("number", "structural", "unknown", False),
            ("carrier", "structural", JENSEN_SHANNON, True),
            ("origin", "environment", "unknown", False),
        ]


class TestVerdict:
    CALM = (column("a", 0.05, 0.1), column("b", 0.05, 0.1))

    def test_calm_if_every_structural_column_was_measured_and_none_moved(self) -> None:
        assert verdict(self.CALM, DRIFT) == ("calm", "none of 2 structural columns moved beyond its limit")

    def test_drift_names_what_moved_the_furthest_for_its_limit_first(self) -> None:
        found = verdict((column("a", 0.9, 0.8), column("b", 0.3, 0.1), *self.CALM), DRIFT)
        assert found == (
            "drift",
            "2 of 4 structural columns moved: b 0.30 (limit 0.10), a 0.90 (limit 0.80)",
        )

    def test_the_environment_never_alarms_and_is_never_missed(self) -> None:
        weather = (column("temp", 9.0, 0.1, role="environment"), column("wind", None, None, role="environment"))
        assert verdict((*self.CALM, *weather), DRIFT)[0] == "calm"

    @pytest.mark.parametrize(("score", "limit"), [(None, 0.1), (0.05, None)])
    def test_unknown_if_a_structural_column_could_not_be_measured(
        self, score: float | None, limit: float | None
    ) -> None:
        found = verdict((*self.CALM, column("c", score, limit)), DRIFT)
        assert found == ("unknown", "could not be measured: c")

    def test_what_moved_is_drift_even_if_another_could_not_be_measured(self) -> None:
        assert verdict((column("a", 0.3, 0.1), column("b", None, 0.1)), DRIFT)[0] == "drift"

    def test_unknown_without_any_structural_column(self) -> None:
        assert verdict((column("temp", 9.0, 0.1, role="environment"),), DRIFT)[0] == "unknown"
        assert verdict((), DRIFT)[0] == "unknown"

    @pytest.mark.parametrize(("moved", "status"), [(1, "calm"), (2, "drift"), (3, "drift")])
    def test_as_many_must_move_as_the_settings_say(self, moved: int, status: str) -> None:
        drift = Drift(min_drifted_columns=2)
        columns = [column(str(n), 0.3 if n < moved else 0.05, 0.1) for n in range(4)]
        assert verdict(columns, drift)[0] == status
