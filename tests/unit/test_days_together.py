"""Days that are joined and summed up together: what each day by itself gives, to the last bit."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.backtest import days_together
from ml.backtest.dataset import PointInTimeDataset
from ml.core.data.arrivals import as_seen
from ml.core.data.days import days_between
from ml.core.training.features import join_labels
from ml.core.training.lagged_means import add_history
from ml.core.training.many_days import labelled_parts
from ml.core.training.target_sums import aggregate, groupings
from ml.settings import HistoryFeature
from tests.builders import settings

KEY, TARGET = ("day", "id"), "late"
FIRST, LAST = date(2024, 1, 1), date(2024, 1, 30)
FEATURES = (HistoryFeature(by=(), days=(1, 7)), HistoryFeature(by=("shop",), days=(3, 7)))


def tables(*, unlike: bool = False) -> tuple[dict[date, pd.DataFrame], dict[date, pd.DataFrame]]:
    """Make days of 5 to 20 rows; some outcomes never come, labels are in another order."""
    chance = np.random.default_rng(3)
    inputs, labels = {}, {}
    for number, day in enumerate(days_between(FIRST, LAST)):
        size = int(chance.integers(5, 20))
        rows = pd.DataFrame({"day": day.isoformat(), "id": np.arange(size), "shop": chance.choice(list("abc"), size)})
        rows["size"] = np.arange(size) if unlike and number == 4 else chance.normal(size=size)
        outcome = np.where(chance.random(size) < 0.1, np.nan, (chance.random(size) < 0.3).astype(float))
        inputs[day] = rows
        labels[day] = rows[list(KEY)].assign(**{TARGET: outcome}).sample(frac=0.9, random_state=number)
    return inputs, labels


def dataset(*, unlike: bool = False) -> PointInTimeDataset:
    inputs, labels = tables(unlike=unlike)
    arrived = {day: day + timedelta(days=1) for day in labels}
    arrived[date(2024, 1, 8)] = date(2024, 1, 13)
    digests = {(asset, day): f"{asset} {day}" for asset in ("inputs", "labels") for day in inputs}
    return PointInTimeDataset(inputs, labels, arrived, {}, digests, key=KEY, target=TARGET, delay=1)


@pytest.mark.parametrize("unlike", [False, True])
def test_labelled_days_in_one_part_are_each_day_below_the_other(unlike: bool) -> None:
    inputs, labels = tables(unlike=unlike)
    task = settings().task.model_copy(update={"key": KEY, "target": TARGET})
    parts = labelled_parts(inputs, labels, list(inputs), task)
    alone = [join_labels(inputs[day], labels[day], key=KEY, target=TARGET) for day in inputs]
    assert len(parts) == (len(alone) if unlike else 1)
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), pd.concat(alone, ignore_index=True), check_exact=True
    )


def test_rows_that_speak_of_another_day_are_joined_with_their_own_file_only() -> None:
    inputs, labels = tables()
    first, second, *_ = inputs
    inputs[first] = inputs[first].assign(day=second.isoformat())
    parts = labelled_parts(inputs, labels, [first, second], settings().task.model_copy(update={"key": KEY}))
    assert [len(part) for part in parts] == [0, labels[second][TARGET].notna().sum()]


@pytest.mark.parametrize("unlike", [False, True])
def test_days_together_are_what_each_is_by_itself(unlike: bool) -> None:
    inputs, labels = tables(unlike=unlike)
    days, facts = list(inputs), {"key": KEY, "target": TARGET}
    rows = days_together.joined(inputs, labels, days, **facts)  # type: ignore[arg-type]
    outcomes = days_together.outcomes(inputs, labels, days, **facts)  # type: ignore[arg-type]
    sums = days_together.sums(rows, groupings(FEATURES), target=TARGET, classes={})
    for day in days:
        alone = join_labels(inputs[day], labels[day], **facts)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(rows[day], alone, check_exact=True)
        known = outcomes[day][~np.isnan(outcomes[day])]
        assert known.tolist() == alone[TARGET].tolist()
        assert len(outcomes[day]) == len(inputs[day])
        for by in groupings(FEATURES):
            order = list(by)
            ours, theirs = sums[day][by], aggregate(alone, by, target=TARGET)
            if order:
                ours, theirs = (side.sort_values(order, ignore_index=True) for side in (ours, theirs))
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_a_row_of_another_day_meets_no_label_of_that_day() -> None:
    inputs, labels = tables()
    odd, other = FIRST + timedelta(days=2), FIRST + timedelta(days=3)
    inputs[odd] = inputs[odd].assign(day=other.isoformat(), id=inputs[odd]["id"] + 100)
    labels[other] = pd.concat([labels[other], inputs[odd][list(KEY)].assign(**{TARGET: 1.0})])
    rows = days_together.joined(inputs, labels, list(inputs), key=KEY, target=TARGET)
    assert len(rows[odd]) == 0
    assert np.isnan(days_together.outcomes(inputs, labels, list(inputs), key=KEY, target=TARGET)[odd]).all()


@pytest.mark.parametrize("unlike", [False, True])
def test_windows_and_scored_days_see_what_they_could_know(unlike: bool) -> None:
    made = dataset(unlike=unlike)
    window = [day for day in made.labelled_days(date(2024, 1, 20)) if day >= date(2024, 1, 9)]
    labelled = made.labelled(made.labelled_days(date(2024, 1, 20)))
    contents = made.not_as_present(list(made.arrived), FEATURES, first=window[0], last=window[-1])
    assert [content.day for content in contents] == [date(2024, 1, 8)]
    own = labelled.loc[labelled["day"] >= window[0].isoformat()].reset_index(drop=True)
    expected = add_history(own, as_seen(labelled, {}, contents), FEATURES, target=TARGET, label_delay_days=1)
    pd.testing.assert_frame_equal(made.labelled_with_history(window, FEATURES), expected, check_exact=True)
    for day in window[::4]:
        past = made.labelled([other for other in made.labelled_days(day) if other < day])
        alone = add_history(made.inputs[day], past, FEATURES, target=TARGET, label_delay_days=1)
        pd.testing.assert_frame_equal(made.seen_on(day, FEATURES), alone, check_exact=True)
