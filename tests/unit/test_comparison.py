"""Two models are compared on the same rows, and only days are units of chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from ml.core.gate.comparison import PairedGain, expanded_tails, holm, loss_p_value, new_to_both, paired_gain
from tests.builders import holdout

FOUND = PairedGain(gain=0.01, low=0.002, high=0.018, days=14, rows=9000, standard_error=0.004, resolution=0.012)
BY_HAND = pd.DataFrame(
    {
        "day": ["A", "B", "B", "B"],
        "target": 0.0,
        "champion": [4.0, 2.0, 2.0, 2.0],
        "challenger": [1.0, 1.0, 0.5, 1.5],
    }
)
"""Two days: one row that gains 3; three rows that gain 1 each on average."""


def gain_of(frame: pd.DataFrame, *, seed: int = 1, n_resamples: int = 1000, confidence: float = 0.95) -> PairedGain:
    found = paired_gain(frame, metric="mae", confidence=confidence, n_resamples=n_resamples, seed=seed)
    assert found is not None
    return found


def series(gains: list[float]) -> pd.DataFrame:
    """Give each day, in order, one row with this gain."""
    days = [f"2024-05-{number:02}" for number in range(1, len(gains) + 1)]
    return pd.DataFrame({"day": days, "target": 0.0, "champion": 5.0, "challenger": 5.0 - np.array(gains)})


LOPSIDED = series([1.0] * 2 + [-4.0] + [1.0] * 11)


class TestPairedGain:
    def test_two_days_by_hand(self) -> None:
        """One degree of freedom: Student's t reaches 12.7 errors, beyond any resample of two days."""
        found = gain_of(BY_HAND)
        assert (found.gain, found.days, found.rows, found.degrees_of_freedom) == (1.5, 2, 4, 1)
        reach = stats.t.ppf(0.975, 1) * 0.75
        assert (found.low, found.high) == pytest.approx((1.5 - reach, 1.5 + reach))

    def test_luck_that_is_lopsided_makes_the_interval_lopsided(self) -> None:
        """One day in fourteen on which the challenger fails badly: resamples may hold it four times."""
        found = gain_of(LOPSIDED, n_resamples=4000)
        assert found.gain - found.low > 1.1 * (found.high - found.gain)

    def test_the_error_is_that_of_a_ratio_of_daily_sums(self) -> None:
        """Residual sums are 3 − 1.5 and 3 − 4.5: √(2/1 · (1.5² + 1.5²)) over 4 rows is 0.75."""
        assert gain_of(BY_HAND).standard_error == pytest.approx(0.75)

    def test_the_error_of_days_that_alternate_is_the_standard_error_of_their_means(self) -> None:
        found = gain_of(series([1.0, -1.0] * 7))
        assert (found.standard_error, found.degrees_of_freedom) == (
            pytest.approx(np.std([1.0, -1.0] * 7, ddof=1) / np.sqrt(14)),
            13,
        )

    def test_days_that_come_in_runs_are_less_certain_than_the_same_days_mixed(self) -> None:
        mixed, runs = gain_of(series([1.0, -1.0] * 7)), gain_of(series([1.0] * 7 + [-1.0] * 7))
        assert runs.standard_error > 1.5 * mixed.standard_error
        assert runs.degrees_of_freedom == 4
        assert runs.low < mixed.low < mixed.high < runs.high

    @pytest.mark.parametrize("values", [[1.0, -1.0] * 7, [1.0] * 7 + [-1.0] * 7])
    def test_the_resolution_is_the_gain_that_is_found_in_four_cases_of_five(self, values: list[float]) -> None:
        found = gain_of(series(values))
        reach = stats.t.ppf(0.975, found.degrees_of_freedom) + stats.t.ppf(0.8, found.degrees_of_freedom)
        assert found.resolution == pytest.approx(reach * found.standard_error)

    def test_busy_days_count_by_their_rows(self) -> None:
        frame = pd.concat([holdout(1.0, days=1, per_day=90), holdout(0.0, days=2, per_day=10).iloc[10:]])
        assert gain_of(frame).gain == pytest.approx(0.9, abs=0.05)

    def test_positive_means_that_the_challenger_is_better(self) -> None:
        better_one, worse_one = gain_of(holdout(0.5)), gain_of(holdout(-0.5))
        assert 0 < better_one.low < better_one.gain < better_one.high
        assert worse_one.low < worse_one.gain < worse_one.high < 0

    def test_any_two_columns_can_be_compared_and_turning_them_round_turns_the_sign(self) -> None:
        frame = holdout(0.5, day_sd=0.1)
        forth = gain_of(frame)
        turned = frame.rename(columns={"champion": "previous", "challenger": "serving"})
        back = paired_gain(
            turned, metric="mae", confidence=0.95, n_resamples=1000, seed=1, challenger="previous", champion="serving"
        )
        assert back is not None
        assert (back.gain, back.low, back.high) == pytest.approx((-forth.gain, -forth.high, -forth.low))

    def test_rows_of_a_day_are_not_independent(self) -> None:
        """Ten times the rows of the same days make the interval no narrower."""
        few, many = (gain_of(holdout(days=14, per_day=n, day_sd=1.0)) for n in (50, 500))
        assert (many.high - many.low) > 0.9 * (few.high - few.low)
        assert many.standard_error > 0.9 * few.standard_error

    def test_more_confidence_is_a_wider_interval(self) -> None:
        frame = holdout(day_sd=1.0)
        narrow, wide = (gain_of(frame, confidence=c) for c in (0.8, 0.99))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_the_same_seed_gives_the_same_interval(self) -> None:
        uneven = series(
            [1.0 + number / 1000 for number in range(2)] + [-4.0] + [1.0 - number / 777 for number in range(11)]
        )
        assert len({gain_of(uneven, seed=3) for _ in range(5)}) == 1
        assert len({gain_of(LOPSIDED, seed=seed, n_resamples=200).low for seed in range(9)}) > 1
        assert len({gain_of(LOPSIDED, seed=seed, n_resamples=200).gain for seed in range(9)}) == 1

    def test_a_challenger_that_is_the_champion_gains_nothing(self) -> None:
        found = gain_of(holdout(day_sd=1.0).assign(challenger=10.0))
        assert (found.gain, found.low, found.high, found.standard_error, found.resolution) == (0.0, 0.0, 0.0, 0.0, 0.0)

    @pytest.mark.parametrize("days", [0, 1])
    def test_fewer_than_two_days_carry_no_interval(self, days: int) -> None:
        frame = holdout(days=2).iloc[: 80 * days]
        assert paired_gain(frame, metric="mae", confidence=0.95, n_resamples=200, seed=1) is None

    @pytest.mark.parametrize("model", ["challenger", "champion", "target"])
    def test_a_row_that_one_did_not_predict_is_no_tie_but_missing_evidence(self, model: str) -> None:
        frame = holdout(0.5)
        frame.loc[3, model] = np.nan
        assert paired_gain(frame, metric="mae", confidence=0.95, n_resamples=200, seed=1) is None

    def test_the_holdout_is_not_modified(self) -> None:
        frame = holdout()
        gain_of(frame)
        assert_frame_equal(frame, holdout())


class TestErrorRates:
    """What the interval promises, when the luck of a day (sd 1) is ten times that of a row."""

    def promoted(self, gain: float, *, days: int = 14, times: int = 400) -> float:
        lows = [
            gain_of(holdout(gain, days=days, day_sd=1.0, per_day=5, seed=s), n_resamples=400).low for s in range(times)
        ]
        return float(np.mean(np.array(lows) > 0))

    @pytest.mark.parametrize("days", [5, 14])
    def test_an_equal_model_seems_better_in_at_most_a_twentieth_of_holdouts(self, days: int) -> None:
        assert self.promoted(0.0, days=days) <= 0.05

    @pytest.mark.parametrize("days", [7, 14])
    def test_so_it_does_if_luck_lasts_for_days(self, days: int) -> None:
        """Neighbouring days correlate by 0.4: a t test of the days finds a gain in 9 % of 500 holdouts."""
        chance, fooled, naive = np.random.default_rng(1), 0, 0
        for _ in range(500):
            steps = chance.normal(size=days + 20)
            luck = [0.0]
            for step in steps:
                luck.append(0.4 * luck[-1] + step)
            gains = luck[-days:]
            fooled += gain_of(series(gains), n_resamples=400).low > 0
            naive += stats.ttest_1samp(gains, 0, alternative="greater").pvalue < 0.025
        assert fooled / 500 <= 0.05 < naive / 500

    def test_a_much_better_model_is_found_nearly_always(self) -> None:
        assert self.promoted(1.5) >= 0.95

    def test_a_bootstrap_of_rows_would_have_been_fooled(self) -> None:
        """The same holdouts, each row taken for a day of its own: what this comparison avoids."""
        fooled = 0
        for seed in range(60):
            frame = holdout(0.0, day_sd=1.0, per_day=20, seed=seed)
            each = np.random.default_rng(seed).permutation(len(frame))
            fooled += gain_of(frame.assign(day=each), n_resamples=200).low > 0
        assert fooled / 60 > 0.2


class TestLossPValue:
    def test_it_is_the_one_sided_t_test_of_the_daily_means(self) -> None:
        gains = [0.5, -1.0] * 7
        expected = stats.ttest_1samp(gains, -0.1, alternative="less").pvalue
        assert loss_p_value(gain_of(series(gains)), 0.1) == pytest.approx(expected)

    def test_luck_that_lasts_is_less_surprising(self) -> None:
        mixed, runs = gain_of(series([0.5, -1.0] * 7)), gain_of(series([0.5] * 7 + [-1.0] * 7))
        assert loss_p_value(runs, 0.1) > loss_p_value(mixed, 0.1)

    def test_a_loss_that_is_exactly_allowed_is_even_odds(self) -> None:
        assert loss_p_value(replace(FOUND, gain=-0.02), 0.02) == pytest.approx(0.5)

    @pytest.mark.parametrize(("gain", "p"), [(-0.03, 0.0), (-0.02, 1.0), (0.0, 1.0)])
    def test_days_that_do_not_differ_leave_no_doubt(self, gain: float, p: float) -> None:
        assert loss_p_value(replace(FOUND, gain=gain, standard_error=0.0), 0.02) == p


class TestHolm:
    def test_the_worked_example(self) -> None:
        """α / 4, / 3, / 2, / 1 = .0125, .0167, .025, .05: .01 and .005 fall, .03 stands and with it .04."""
        assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]

    def test_it_keeps_the_familys_error_where_single_tests_would_not(self) -> None:
        """Ten true hypotheses, 2000 times: some test errs in 40 % of families, Holm's in 5 %."""
        families = np.random.default_rng(1).uniform(size=(2000, 10))
        assert np.mean([any(holm(list(p), 0.05)) for p in families]) == pytest.approx(0.05, abs=0.015)
        assert np.mean((families <= 0.05).any(axis=1)) > 0.35

    def test_nothing_tested_nothing_rejected(self) -> None:
        assert holm([], 0.05) == []

    @pytest.mark.parametrize("p", [float("nan"), -0.1, 1.1])
    def test_what_is_no_probability_is_refused(self, p: float) -> None:
        with pytest.raises(ValueError, match="leave out"):
            holm([0.01, p], 0.05)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_percentiles_lie_further_out_the_fewer_the_days(confidence: float) -> None:
    found = [expanded_tails(days, confidence) for days in (3, 7, 14, 100_000)]
    lows = [low for low, _ in found]
    assert lows == sorted(set(lows)) and [high for _, high in found] == [1 - low for low in lows]
    assert lows[-1] == pytest.approx((1 - confidence) / 2, rel=1e-3)


def test_days_that_the_champion_had_seen_are_left_out_and_nothing_else() -> None:
    seen = BY_HAND.assign(champion_had_seen=[True, False, False, False])
    kept = new_to_both(seen)
    assert list(kept.index) == [1, 2, 3] and len(seen) == 4
    assert new_to_both(BY_HAND) is BY_HAND
