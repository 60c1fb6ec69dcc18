"""A limit knows how far a column wanders by itself, and keeps the declared rate of false alarms."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.core.monitoring import day_blocks, limits
from ml.core.monitoring.day_blocks import apart, daily_counts, rolling, variability
from ml.core.monitoring.drift import distance
from ml.core.monitoring.drift_report import reference_of
from ml.core.monitoring.limits import alarms, episodes, limit_of_series, limits_from, limits_of, multiplier, own_limits
from ml.settings import Drift, Methods
from tests import builders
from tests.builders import day, rows

DRIFT = Drift(window_days=7, structural=("number", "carrier"), environment=("origin",))
FREE = DRIFT.model_copy(update={"min_distance": 1e-9})
METHODS = [Methods(), Methods(numeric="jensenshannon", categorical="hellinger")]


class TestBlocks:
    @pytest.mark.parametrize("methods", METHODS, ids=str)
    @pytest.mark.parametrize("name", ["number", "carrier", "few"])
    def test_distances_from_counts_are_those_from_rows(self, name: str, methods: Methods) -> None:
        frame = rows(days=20, per_day=30)
        frame = frame.assign(number=frame["number"].where(frame.index % 7 > 0), few=frame["number"].round())
        found = variability(daily_counts(frame[name], frame["day"], methods), 7)
        assert len(found) == 14
        for first, measured in enumerate(found):
            inside = frame["day"].between(day(first), day(first + 6))
            assert measured == pytest.approx(distance(frame.loc[~inside, name], frame.loc[inside, name], methods))

    def test_a_window_after_the_reference_is_measured_alike(self) -> None:
        frame = rows(days=28)
        counted = daily_counts(frame["number"], frame["day"], Methods())
        past = counted.counts[:21].sum(axis=0)
        now = rolling(counted.counts, 7)[-1]
        is_past = frame["day"] < day(21)
        expected = distance(frame.loc[is_past, "number"], frame.loc[~is_past, "number"])
        assert apart(counted, past, now) == pytest.approx(expected)

    def test_infinite_numbers_count_as_nulls(self) -> None:
        frame = rows(days=3)
        holey, infinite = (frame["number"].where(frame.index % 5 > 0, gone) for gone in (np.nan, np.inf))
        kept = [daily_counts(values, frame["day"], Methods()) for values in (holey, infinite)]
        np.testing.assert_array_equal(kept[0].counts, kept[1].counts)

    def test_a_day_without_any_row_of_a_value_still_counts_as_a_day(self) -> None:
        frame = rows(days=10)
        counted = daily_counts(frame["number"].where(frame["day"] != day(4)), frame["day"], Methods())
        assert counted.counts.sum(axis=1).tolist() == [20, 20, 20, 20, 0, 20, 20, 20, 20, 20]

    def test_a_block_without_a_value_has_no_distance(self) -> None:
        frame = rows(days=21)
        values = frame["number"].where(frame["day"] >= day(7))
        found = variability(daily_counts(values, frame["day"], Methods()), 7)
        assert np.isnan(found[0])
        assert np.isfinite(found[1:]).all()

    def test_too_many_values_are_counted_on_fewer_points_nearly_exactly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frame = rows(days=21, per_day=200)
        exact = variability(daily_counts(frame["number"], frame["day"], Methods()), 7)
        monkeypatch.setattr(day_blocks, "MAX_POINTS", 500)
        counted = daily_counts(frame["number"], frame["day"], Methods())
        assert counted.counts.shape == (21, 500)
        np.testing.assert_allclose(variability(counted, 7), exact, atol=0.005)

    def test_too_many_categories_share_the_last_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(day_blocks, "MAX_POINTS", 3)
        names = pd.Series(list("AAABBBCCDE"))
        counted = daily_counts(names, pd.Series([day(0)] * 10), Methods())
        assert counted.counts.tolist() == [[3, 3, 4]]


class TestAlarms:
    def test_an_alarm_needs_k_of_the_newest_n_days_and_the_newest_among_them(self) -> None:
        over = np.array([1, 0, 1, 0, 0, 1, 1, 1, 0, 0], dtype=bool)
        assert alarms(over, (2, 3)).astype(int).tolist() == [0, 0, 1, 0, 0, 0, 1, 1, 0, 0]
        assert alarms(over, (1, 1)).tolist() == over.tolist()

    def test_a_run_of_alarm_days_is_one_episode(self) -> None:
        alarm = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], dtype=bool)
        assert episodes(alarm).astype(int).tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0]

    def test_each_series_of_a_stack_is_its_own(self) -> None:
        over = np.array([[0, 1], [1, 0]], dtype=bool)
        assert alarms(over, (2, 2)).tolist() == [[False, False], [False, False]]
        assert episodes(over).tolist() == over.tolist()


class TestMultiplier:
    def test_more_false_alarms_are_bought_by_lower_limits(self) -> None:
        found = [multiplier(77, 7, 5, alarm_days=(2, 3), rate=rate) for rate in (0.25, 0.5, 1, 2, 4)]
        assert found == sorted(found, reverse=True)

    def test_a_short_reference_and_many_columns_ask_for_more(self) -> None:
        base = multiplier(77, 7, 5, alarm_days=(2, 3), rate=1)
        assert multiplier(28, 7, 5, alarm_days=(2, 3), rate=1) > base
        assert multiplier(77, 7, 20, alarm_days=(2, 3), rate=1) > base

    def test_a_stricter_k_of_n_needs_less(self) -> None:
        loose = multiplier(77, 7, 5, alarm_days=(1, 1), rate=1)
        assert multiplier(77, 7, 5, alarm_days=(3, 3), rate=1) < loose

    def test_the_same_question_has_the_same_answer_after_a_restart(self) -> None:
        from ml.core.monitoring import limits

        first = multiplier(42, 7, 3, alarm_days=(2, 3), rate=1)
        limits._multiplier.cache_clear()
        limits._furthest.cache_clear()
        assert multiplier(42, 7, 3, alarm_days=(2, 3), rate=1) == first


class TestLimitsOf:
    def test_columns_that_never_change_raise_about_the_declared_number_of_alarms(self) -> None:
        """Their days are drawn otherwise than the simulation behind the limits draws them."""
        drift = Drift(structural=("a", "b", "c", "d"), window_days=7, min_distance=1e-9, false_alarms_per_quarter=1)
        chance = np.random.default_rng(7)
        raised = [_alarms_of_one_quarter(drift, chance) for _ in range(40)]
        assert 0.4 < np.mean(raised) < 2

    def test_a_column_that_wanders_has_a_wider_limit_over_its_no_change_range(self) -> None:
        frame = rows(days=56, per_day=50)
        by_day = np.repeat(np.random.default_rng(1).normal(size=56), 50)
        calm, restless = limits_of(frame, FREE), limits_of(frame.assign(number=frame["number"] + by_day), FREE)
        assert restless["number"].limit > 2 * calm["number"].limit
        assert restless["carrier"] == calm["carrier"]
        assert calm["number"].baseline_range is not None
        assert calm["number"].limit > 0.9 * calm["number"].baseline_range > 0
        assert calm["number"].blocks == 8

    @pytest.mark.parametrize(("labels", "sharing"), [("warning", 1), ("alarm", 2)])
    def test_a_limit_is_so_many_standard_deviations_over_the_mean_of_the_blocks(
        self, labels: str, sharing: int
    ) -> None:
        """In distances to the power 2/3; blocks without a value are left out, and one beyond the limit is not usual."""
        free = FREE.model_copy(update={"labels": labels})
        moved = np.append(np.random.default_rng(3).uniform(0.1, 0.2, size=22), [9.0, np.nan, np.inf])
        found = limits_from({"number": moved, "origin": moved}, 31, free)
        normal = moved[:23] ** (2 / 3)
        times = multiplier(31, 7, sharing, alarm_days=free.alarm_days, rate=free.false_alarms_per_quarter)
        for limit in (found["number"], found["origin"]):  # carrier, the other structural column, is not there
            assert limit.limit == pytest.approx((normal.mean() + times * normal.std()) ** 1.5)
            assert limit.limit < 9
            assert (limit.baseline_range, limit.blocks) == (moved[:22].max(), 4)
        both = limits_from({"number": moved, "carrier": moved, "origin": moved}, 31, free)
        assert both["number"].limit > found["number"].limit, "two structural columns share the declared rate"
        assert both["origin"] == both["number"]

    @pytest.mark.parametrize(
        ("finite", "days", "knows"), [(7, 35, False), (8, 35, True), (8, 21, True), (8, 20, False)]
    )
    def test_a_limit_needs_three_blocks_of_days_and_more_distances_than_a_window(
        self, finite: int, days: int, knows: bool
    ) -> None:
        moved = np.append(np.linspace(0.1, 0.2, finite), [np.nan] * 9)
        limit = limits_from({"number": moved}, days, FREE)["number"]
        assert (limit.baseline_range is not None) is knows
        assert limit.blocks == min(days // 7, finite)

    def test_predictions_and_labels_have_floors_of_their_own(self) -> None:
        frame = rows(days=28)
        predicted = pd.DataFrame(
            {"day": frame["day"], "prediction": frame["number"].abs() / 9, "target": frame["late"]}
        )
        declared = DRIFT.model_copy(update={"min_distance": 3.0, "min_prediction_distance": 2.0})
        found = own_limits(predicted, declared, builders.settings().task)
        assert {name: limit.limit for name, limit in found.items()} == {"prediction": 2.0, "label": 3.0}
        without = own_limits(predicted.assign(target=np.nan), declared, builders.settings().task)
        assert set(without) == {"prediction"}

    def test_no_limit_is_under_the_smallest_effect_of_interest(self) -> None:
        found = limits_of(rows(days=28, per_day=500), DRIFT.model_copy(update={"min_distance": 0.4}))
        assert {name: limit.limit for name, limit in found.items()} == {"number": 0.4, "carrier": 0.4, "origin": 0.4}

    @pytest.mark.parametrize("days", [1, 7, 20])
    def test_a_reference_of_fewer_than_three_blocks_knows_no_range_and_flags_only_the_gross(self, days: int) -> None:
        found = limits_of(rows(days=days), DRIFT)
        assert {limit.baseline_range for limit in found.values()} == {None}
        assert [limit.limit for limit in found.values()] == pytest.approx([3 * DRIFT.min_distance] * 3)
        assert limits_of(rows(days=21), DRIFT)["number"].baseline_range is not None

    def test_labels_that_alarm_share_the_declared_rate_with_the_columns(self) -> None:
        frame, only = rows(days=56, per_day=50), FREE.model_copy(update={"structural": ("number",)})
        silent = only.model_copy(update={"labels": "warning"})
        assert limits_of(frame, only)["number"].limit > limits_of(frame, silent)["number"].limit
        labels, own = (limit_of_series(frame["number"], frame["day"], drift, floor=1e-9) for drift in (only, silent))
        assert labels is not None
        assert own is not None
        assert labels.limit > own.limit

    def test_a_column_without_any_value_has_no_limit(self) -> None:
        assert set(limits_of(rows(days=21).assign(number=np.nan), DRIFT)) == {"carrier", "origin"}

    def test_the_order_of_rows_does_not_matter(self) -> None:
        frame = rows(days=28)
        mixed = limits_of(frame.sample(frac=1, random_state=1), FREE)
        for name, limit in limits_of(frame, FREE).items():
            assert mixed[name].limit == pytest.approx(limit.limit)

    def test_a_huge_reference_is_read_in_part_and_hardly_differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frame = rows(days=28, per_day=400)
        by_day = np.repeat(np.random.default_rng(1).normal(size=28), 400)
        frame = frame.assign(number=frame["number"] + by_day)
        whole = limits_of(frame, FREE)["number"].limit
        monkeypatch.setattr("ml.core.monitoring.limits.MAX_ROWS", 5000)
        assert limits_of(frame, FREE)["number"].limit == pytest.approx(whole, rel=0.1)
        assert limits_of(frame, FREE) == limits_of(frame, FREE)

    def test_the_reference_is_not_modified(self) -> None:
        frame = rows(days=21)
        limits_of(frame, DRIFT)
        assert_frame_equal(frame, rows(days=21))

    def test_a_further_series_has_a_floor_of_its_own_and_otherwise_the_limit_of_a_column(self) -> None:
        frame = rows(days=56)
        series = limit_of_series(frame["number"], frame["day"], DRIFT, floor=1e-9)
        assert series == limits_of(frame, FREE)["number"]
        floored = limit_of_series(frame["number"], frame["day"], DRIFT, floor=5.0)
        assert floored is not None
        assert floored.limit == 5.0
        assert limit_of_series(frame["number"] * np.nan, frame["day"], DRIFT, floor=0.5) is None


def _alarms_of_one_quarter(drift: Drift, chance: np.random.Generator) -> int:
    """Watch 91 days of columns with one value a day, against the 70 days before."""
    past, lead = 70, drift.window_days - 1 + drift.alarm_days[1]
    days = [day(number) for number in range(past + lead + 91)]
    values = chance.laplace(size=(len(days), len(drift.structural)))
    frame = pd.DataFrame(values, columns=list(drift.structural)).assign(day=days)
    counted = {column: daily_counts(frame[column], frame["day"], drift.methods) for column in drift.structural}
    before = {
        column: day_blocks.DailyCounts(one.method, one.points, one.counts[:past]) for column, one in counted.items()
    }
    limits = limits_from({column: variability(one, 7) for column, one in before.items()}, past, drift)
    over = []
    for column, one in before.items():
        windows = rolling(counted[column].counts[past:], 7)
        measured = apart(one, np.broadcast_to(one.counts.sum(axis=0), windows.shape), windows)
        over.append(measured > limits[column].limit)
    return int(episodes(alarms(np.any(over, axis=0), drift.alarm_days))[-91:].sum())


class TestDaysInAlarm:
    """A week of a broken feed inside the training window."""

    BROKEN = tuple(date(2013, 1, 1) + timedelta(days=n) for n in range(60, 67))

    def train(self) -> pd.DataFrame:
        chance = np.random.default_rng(7)
        days = [date(2013, 1, 1) + timedelta(days=n) for n in range(84)]
        parts = [
            pd.DataFrame({"day": day.isoformat(), "x": chance.normal(3.0 * (day in self.BROKEN), 1.0, 60)})
            for day in days
        ]
        return pd.concat(parts, ignore_index=True)

    def limit(self, *alarm_days: date) -> float:
        settings = builders.settings(drift={"structural": ["x"], "environment": []})
        train = self.train()
        predictions = train.assign(prediction=0.5, target=0.0)[["day", "prediction", "target"]]
        found = reference_of(train, predictions, settings, alarm_days=alarm_days)
        assert len(found.sample) == len(train)
        return found.limits["x"].limit

    def test_limits_do_not_learn_from_them(self) -> None:
        assert self.limit() > 2 * self.limit(*self.BROKEN)

    def test_a_week_beyond_the_limit_is_not_called_usual(self) -> None:
        found = limits_of(self.train(), builders.settings(drift={"structural": ["x"], "environment": []}).drift)["x"]
        assert found.baseline_range is not None
        assert found.baseline_range <= found.limit

    def test_they_count_where_too_few_other_days_are_left(self) -> None:
        every = [date(2013, 1, 1) + timedelta(days=n) for n in range(70)]
        assert self.limit(*every) == self.limit()


@pytest.mark.parametrize(("days", "columns"), [(21, 1), (76, 11), (364, 3)])
def test_simulated_distances_are_those_of_all_directions_at_once_to_the_last_bit(days: int, columns: int) -> None:
    """The limits of a champion depend on them."""
    window_days, size, length = 7, 5, days + 100
    shape, chance = (size, length, columns), np.random.default_rng(1)
    moves = chance.standard_normal((*shape, limits.DIRECTIONS))
    moves /= np.sqrt(chance.chisquare(limits.TAIL, shape) / limits.TAIL)[..., None]
    total = np.concatenate([np.zeros((size, 1, columns, limits.DIRECTIONS)), moves.cumsum(axis=1)], axis=1)
    blocks, reference = total[:, window_days:] - total[:, :-window_days], total[:, [days]]
    inside, after = blocks[:, : days - window_days + 1], blocks[:, days:]
    moved = np.linalg.norm(inside / window_days - (reference - inside) / (days - window_days), axis=-1) ** limits.POWER
    later = np.linalg.norm(after / window_days - reference / days, axis=-1) ** limits.POWER
    expected = ((later - moved.mean(axis=1, keepdims=True)) / moved.std(axis=1, keepdims=True)).max(axis=-1)
    simulated = limits._one_batch(size, days, window_days, columns, length, np.random.default_rng(1))
    assert simulated.tobytes() == expected.tobytes()
