"""A backtest computes features of an adopter's own for each day, from what was known on that day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fits import Fits, Training
from ml.settings import PythonFeature
from tests.builders import settings

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(8)]
LATE = DAYS[3]
"""Its labels came two days late."""

WANTED = PythonFeature(function=f"{__name__}:lately", numeric=("mean", "newest"), days=3)


def lately(inputs: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    newest = pd.to_datetime(labelled["day"]).max()
    rows = inputs[["number"]].assign(mean=labelled["late"].mean(), newest=newest.day if len(labelled) else float("nan"))
    return rows[["mean", "newest"]]


def dataset(**changed: float) -> PointInTimeDataset:
    inputs = {day: pd.DataFrame({"day": str(day), "id": [1, 2], "number": [0.5, 1.5]}) for day in DAYS}
    values = {str(day): float(number) for number, day in enumerate(DAYS)} | changed
    labels = {day: inputs[day][["day", "id"]].assign(late=values[str(day)]) for day in DAYS}
    arrived = {day: day + timedelta(days=3 if day == LATE else 1) for day in DAYS}
    digests = {(asset, day): f"{asset}{day}" for day in DAYS for asset in ("inputs", "labels")}
    return PointInTimeDataset(inputs, labels, arrived, {}, digests, key=("day", "id"), target="late", delay=1)


@pytest.mark.parametrize(
    ("day", "mean", "newest"),
    [
        (DAYS[1], 0.0, 1),
        (DAYS[3], 1.0, 3),  # of the days 1 to 3, whose values are 0, 1 and 2
        (DAYS[4], 1.5, 3),  # day 4 is not known yet
        (DAYS[6], 4.0, 6),  # now it is
    ],
)
def test_a_day_is_given_the_newest_labels_that_had_arrived(day: date, mean: float, newest: int) -> None:
    columns = dataset().own_features(day, WANTED)
    assert columns["mean"].tolist() == [mean, mean]
    assert columns["newest"].tolist() == [newest, newest]


def test_the_future_changes_nothing() -> None:
    day = DAYS[4]
    planted = dataset(**{str(later): 1e6 for later in [LATE, *DAYS[4:]]})
    pd.testing.assert_frame_equal(planted.own_features(day, WANTED), dataset().own_features(day, WANTED))


def test_a_training_has_them_on_every_row(tmp_path: Path) -> None:
    features: dict[str, Any] = {"categorical": [], "numeric": ["number"], "spline": [], "history": [], "python": WANTED}
    chosen = settings(task={"key": ["day", "id"]}, features=features)
    rows = Fits(dataset(), tmp_path, "code").rows(Training(tuple(DAYS[2:6]), tuple(DAYS[:2])), chosen)
    assert len(rows) == 8
    by_day = rows.groupby("day")["mean"].first()
    assert by_day.tolist() == [dataset().own_features(day, WANTED)["mean"][0] for day in DAYS[2:6]]
