"""What a model sees of the past: only what had arrived, by the very formula, and nothing else."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from pandas.errors import MergeError
from pandas.testing import assert_frame_equal

from ml.core.data.days import days_between
from ml.core.training.features import example_rows, feature_columns, join_labels, matrix
from ml.core.training.lagged_means import add_history, history_names, lookback_days
from ml.errors import DataRejected
from ml.settings import Features, HistoryFeature
from tests.builders import day, rows

HISTORY = (
    HistoryFeature(by=(), days=(1, 3)),
    HistoryFeature(by=("carrier",), days=(2, 5), prior_rows=7),
    HistoryFeature(by=("carrier", "origin"), days=(4,), prior_rows=3),
)
NAMES = history_names(HISTORY)
LONGEST = 5


def with_history(
    seen: pd.DataFrame, labelled: pd.DataFrame, *, delay: int = 1, history: tuple[HistoryFeature, ...] = HISTORY
) -> pd.DataFrame:
    return add_history(seen, labelled, history, target="late", label_delay_days=delay)


def slowly(seen: pd.DataFrame, labelled: pd.DataFrame, feature: HistoryFeature, days: int, delay: int) -> list[float]:
    """Compute one history feature row by row, as its docstring says it."""
    found = []
    for _, row in seen.iterrows():
        last = date.fromisoformat(row["day"]) - timedelta(days=max(delay, 1))
        first = last - timedelta(days=days - 1)
        past = labelled.loc[(labelled["day"] >= first.isoformat()) & (labelled["day"] <= last.isoformat())]
        overall = past["late"].mean()
        same = past
        for name in feature.by:
            same = same.loc[same[name] == row[name]]
        weight = feature.prior_rows if feature.by else 0.0
        if past.empty or len(same) + weight == 0:
            found.append(overall)
        else:
            found.append((same["late"].sum() + weight * overall) / (len(same) + weight))
    return found


class TestPointInTime:
    @pytest.mark.parametrize("delay", [0, 1, 3])
    def test_a_label_that_had_not_arrived_changes_nothing(self, delay: int) -> None:
        """The property over every day: flip all labels of day L; rows of days up to L + delay - 1 stay."""
        frame = rows(days=14, per_day=6)
        before = with_history(frame, frame, delay=delay)
        for flipped in range(14):
            changed = frame.assign(late=np.where(frame["day"] == day(flipped), 1 - frame["late"], frame["late"]))
            after = with_history(frame, changed, delay=delay)
            unaware = frame["day"] < day(flipped + max(delay, 1))
            assert_frame_equal(before.loc[unaware, NAMES], after.loc[unaware, NAMES], check_exact=True)

    @pytest.mark.parametrize("delay", [0, 1, 3])
    def test_a_label_counts_from_the_first_day_on_which_it_had_arrived(self, delay: int) -> None:
        frame = rows(days=12, per_day=6)
        arrives = 4 + max(delay, 1)
        before, after = (
            with_history(frame, frame.assign(late=frame["late"].where(frame["day"] != day(4), late)), delay=delay)
            for late in (0.0, 1.0)
        )
        moved = (before["history_all_1d"] != after["history_all_1d"]) & before["history_all_1d"].notna()
        assert set(frame.loc[moved, "day"]) == {day(arrives)}

    @pytest.mark.parametrize("delay", [0, 1, 3])
    def test_missing_rows_of_the_future_change_nothing(self, delay: int) -> None:
        """Scoring knows only labels up to day - delay; training knows all: the features are the same."""
        frame = rows(days=12, per_day=6)
        trained = with_history(frame, frame, delay=delay)
        for number in range(12):
            today = frame.loc[frame["day"] == day(number)]
            arrived = frame.loc[frame["day"] <= day(number - max(delay, 1))]
            scored = with_history(today, arrived, delay=delay)
            assert_frame_equal(scored, trained.loc[today.index], check_exact=True)

    @pytest.mark.parametrize("delay", [0, 1, 2, 5])
    def test_rows_older_than_the_lookback_change_nothing(self, delay: int) -> None:
        frame = rows(days=20, per_day=5)
        seen = frame.loc[frame["day"] >= day(15)]
        reach = lookback_days(HISTORY, label_delay_days=delay)
        kept = frame.loc[frame["day"] >= day(15 - reach)]
        assert_frame_equal(
            with_history(seen, frame, delay=delay), with_history(seen, kept, delay=delay), check_exact=True
        )

    @pytest.mark.parametrize("delay", [0, 1, 2, 5])
    def test_the_oldest_day_of_the_lookback_is_needed(self, delay: int) -> None:
        frame = rows(days=20, per_day=5).assign(late=0.0)
        seen = rows(days=[15], per_day=5)
        reach = lookback_days(HISTORY, label_delay_days=delay)
        marked = frame.assign(late=(frame["day"] == day(15 - reach)).astype(float))
        changed = with_history(seen, frame, delay=delay)[NAMES] != with_history(seen, marked, delay=delay)[NAMES]
        assert changed["history_carrier_5d"].any()

    def test_nothing_reaches_back_without_history_features(self) -> None:
        assert lookback_days((), label_delay_days=5) == 0


class TestFormula:
    @pytest.mark.parametrize("delay", [0, 1, 3])
    @pytest.mark.parametrize("regression", [False, True])
    def test_it_is_what_a_slow_computation_gives(self, delay: int, regression: bool) -> None:
        labelled = rows(days=[0, 1, 2, 5, 6, 7, 9, 10], per_day=5, regression=regression)
        seen = rows(days=12, per_day=4, carriers="ABCD", seed=1)
        found = with_history(seen, labelled, delay=delay)
        for feature in HISTORY:
            for days in feature.days:
                name = history_names([feature])[feature.days.index(days)]
                np.testing.assert_allclose(found[name], slowly(seen, labelled, feature, days, delay), rtol=1e-12)

    def test_a_group_is_drawn_towards_the_overall_mean_with_the_weight_of_the_prior(self) -> None:
        labelled = rows(days=1, per_day=4).assign(carrier=["A", "A", "B", "B"], late=[1.0, 1.0, 0.0, 1.0])
        seen = rows(days=[1], per_day=2).assign(carrier=["A", "B"])
        feature = HistoryFeature(by=("carrier",), days=(1,), prior_rows=8)
        found = with_history(seen, labelled, history=(feature,))["history_carrier_1d"]
        assert found.tolist() == pytest.approx([(2 + 8 * 0.75) / 10, (1 + 8 * 0.75) / 10])

    def test_a_group_never_seen_gets_the_overall_mean(self) -> None:
        labelled = rows(days=3, per_day=8)
        found = with_history(rows(days=[3], per_day=2, carriers="Z"), labelled)
        late = labelled.loc[labelled["day"] >= day(1), "late"].mean()
        assert found["history_carrier_2d"].tolist() == pytest.approx([late, late])

    def test_a_group_never_seen_gets_the_overall_mean_without_a_prior_too(self) -> None:
        labelled = rows(days=1, per_day=8)
        feature = HistoryFeature(by=("carrier",), days=(1,), prior_rows=0)
        found = with_history(rows(days=[1], per_day=1, carriers="Z"), labelled, history=(feature,))
        assert found["history_carrier_1d"].tolist() == pytest.approx([labelled["late"].mean()])

    def test_a_null_group_is_a_group_of_its_own(self) -> None:
        labelled = rows(days=1, per_day=4).assign(carrier=["A", None, None, "B"], late=[0.0, 1.0, 1.0, 0.0])
        seen = rows(days=[1], per_day=2).assign(carrier=[None, "unseen"])
        feature = HistoryFeature(by=("carrier",), days=(1,), prior_rows=2)
        found = with_history(seen, labelled, history=(feature,))["history_carrier_1d"]
        assert found.tolist() == pytest.approx([(2 + 2 * 0.5) / 4, 0.5])

    def test_days_without_rows_leave_a_gap_and_nothing_reaches_over_it(self) -> None:
        labelled = rows(days=[0, 1], per_day=4)
        found = with_history(rows(days=[2, 3, 4, 6], per_day=1), labelled)
        assert found["history_all_1d"].isna().tolist() == [False, True, True, True]
        assert found["history_all_3d"].isna().tolist() == [False, False, False, True]
        assert found["history_carrier_5d"].notna().all()

    def test_without_any_label_every_feature_is_null(self) -> None:
        seen = rows(days=[5], per_day=3)
        found = with_history(seen, rows(days=3).iloc[:0])
        assert found[NAMES].isna().all(axis=None)
        assert found[NAMES].dtypes.eq("float64").all()

    def test_no_row_gives_no_row_with_the_same_columns(self) -> None:
        found = with_history(rows(days=3).iloc[:0], rows(days=3))
        assert len(found) == 0
        assert list(found.columns) == [*rows().columns, *NAMES]

    def test_without_history_features_the_rows_stay_as_they_are(self) -> None:
        assert_frame_equal(with_history(rows(), rows(), history=()), rows())

    def test_neither_order_nor_index_of_the_rows_matters(self) -> None:
        frame = rows(days=8)
        mixed = frame.sample(frac=1, random_state=3)
        assert_frame_equal(with_history(mixed, mixed).sort_index(), with_history(frame, frame), check_exact=True)

    def test_a_distant_day_in_between_does_not_disturb(self) -> None:
        labelled = rows(days=[*range(6), *range(400, 406)])
        both = with_history(rows(days=[6, 406]), labelled)
        alone = with_history(rows(days=[6, 406]).iloc[:20], labelled)
        assert_frame_equal(both.iloc[:20], alone)

    def test_the_frames_given_are_not_modified(self) -> None:
        seen, labelled = rows(days=4), rows(days=4, seed=1)
        with_history(seen, labelled)
        assert_frame_equal(seen, rows(days=4))
        assert_frame_equal(labelled, rows(days=4, seed=1))


class TestNames:
    def test_columns_come_in_the_order_of_their_declaration(self) -> None:
        features = Features(numeric=("n",), categorical=("c",), spline=("s",), history=HISTORY[:2])
        assert feature_columns(features) == [
            "c", "n", "s", "history_all_1d", "history_all_3d", "history_carrier_2d", "history_carrier_5d",
        ]  # fmt: skip

    def test_what_is_named_is_what_is_added(self) -> None:
        assert list(with_history(rows(), rows()).columns) == [*rows().columns, *NAMES]


class TestMatrix:
    FEATURES = Features(categorical=("carrier",), numeric=("number",), history=(HistoryFeature(days=(1,)),))

    def test_it_holds_the_declared_columns_only(self) -> None:
        found = matrix(rows().assign(history_all_1d=0.5), self.FEATURES)
        assert list(found.columns) == ["carrier", "number", "history_all_1d"]

    def test_numbers_are_float64_with_or_without_nulls(self) -> None:
        whole = rows().assign(number=1, history_all_1d=True)
        holey = rows().assign(number=pd.array([None] * 200, dtype="Int64"), history_all_1d=None)
        for frame in (whole, holey):
            assert matrix(frame, self.FEATURES)[["number", "history_all_1d"]].dtypes.eq("float64").all()

    def test_a_missing_column_is_named_with_the_next_move(self) -> None:
        with pytest.raises(DataRejected, match=r"columns number, history_all_1d .*correct params.yaml"):
            matrix(rows().drop(columns="number"), self.FEATURES)

    def test_text_in_a_number_is_refused_with_the_next_move(self) -> None:
        with pytest.raises(DataRejected, match=r"'much'.*correct params.yaml or the source"):
            matrix(rows().assign(number="much", history_all_1d=0.5), self.FEATURES)

    def test_a_categorical_column_without_any_value_is_no_number(self) -> None:
        found = matrix(rows().assign(carrier=np.nan, history_all_1d=0.5), self.FEATURES)
        assert found["carrier"].dtype == object

    def test_the_rows_given_are_not_modified(self) -> None:
        frame = rows().assign(number=1, history_all_1d=0.5, carrier=np.nan)
        copy = frame.copy(deep=True)
        matrix(frame, self.FEATURES)
        assert_frame_equal(frame, copy)


class TestJoinLabels:
    KEY = ("day", "id")

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        frame = rows(days=2, per_day=3)
        return frame.drop(columns="late"), frame[["day", "id", "late"]]

    def join(self, inputs: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
        return join_labels(inputs, labels, key=self.KEY, target="late")

    def test_each_row_gets_its_own_outcome_in_the_order_of_the_inputs(self) -> None:
        inputs, labels = self.parts()
        mixed = inputs.sample(frac=1, random_state=1)
        found = self.join(mixed, labels.sample(frac=1, random_state=2))
        expected = rows(days=2, per_day=3).loc[mixed.index].reset_index(drop=True)
        assert_frame_equal(found, expected)

    def test_an_outcome_that_never_came_leaves_its_row_out(self) -> None:
        inputs, labels = self.parts()
        found = self.join(inputs, labels.assign(late=labels["late"].where(labels["id"] != 1)))
        assert found["id"].tolist() == [0, 2, 0, 2]
        assert found["late"].notna().all()

    def test_rows_without_their_counterpart_are_left_out(self) -> None:
        inputs, labels = self.parts()
        found = self.join(inputs.iloc[1:], labels.iloc[:-1])
        assert found[["day", "id"]].to_numpy().tolist() == inputs.iloc[1:-1][["day", "id"]].to_numpy().tolist()

    def test_other_columns_of_the_labels_do_not_come_along(self) -> None:
        inputs, labels = self.parts()
        found = self.join(inputs, labels.assign(arr_delay=99, carrier="leaks"))
        assert list(found.columns) == [*inputs.columns, "late"]
        assert "leaks" not in set(found["carrier"])

    @pytest.mark.parametrize("side", [0, 1])
    def test_a_key_that_repeats_is_an_error_on_either_side(self, side: int) -> None:
        parts = list(self.parts())
        parts[side] = pd.concat([parts[side], parts[side].iloc[:1]])
        with pytest.raises(MergeError):
            self.join(*parts)

    def test_the_frames_given_are_not_modified(self) -> None:
        inputs, labels = self.parts()
        self.join(inputs, labels)
        assert_frame_equal(inputs, self.parts()[0])
        assert_frame_equal(labels, self.parts()[1])


def test_days_between_counts_both_ends() -> None:
    found = days_between(date(2013, 2, 27), date(2013, 3, 1))
    assert found == [date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1)]
    assert days_between(date(2013, 3, 1), date(2013, 3, 1)) == [date(2013, 3, 1)]


class TestInfiniteNumbers:
    FEATURES = Features(numeric=("number",), history=(HistoryFeature(by=(), days=(1,)),))

    @pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
    def test_it_is_named_by_column_day_and_row_before_any_estimator_sees_it(self, value: float) -> None:
        frame = rows().assign(history_all_1d=0.5)
        frame["number"] = frame["number"].astype(float)
        frame.loc[frame.index[1], "number"] = value
        with pytest.raises(DataRejected, match=r"'number' is infinite or too large in 1 row of .*first is row 1"):
            matrix(frame, self.FEATURES)


def test_an_example_has_a_value_of_each_column_that_begins_later() -> None:
    features = Features(categorical=("carrier", "origin"), numeric=("number",))
    frame = rows(days=10, per_day=20)
    late = frame.assign(origin=frame["origin"].where(frame.index >= 150), carrier=None)
    example = example_rows(late, features, 50)
    assert list(example.index) == [*range(50), 150]
    assert_frame_equal(example_rows(frame, features, 50), frame.head(50))
