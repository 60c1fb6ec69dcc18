"""A registry in which an older day has a column of another type: each step works, or names column, days and types."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from ml.adapters.workspace import write_parquet
from ml.errors import DataRejected
from ml.records import Asset
from tests.steps.conftest import LAST_DAY, REQUEST, World

OLD_DAY = LAST_DAY - timedelta(days=3)


def before_there_was_a_schema(
    world: World, monkeypatch: pytest.MonkeyPatch, asset: Asset, day: date, frame: pd.DataFrame
) -> None:
    """Commit a day as a version of Evergreen did that knew no schema."""
    path = world.home / "old.parquet"
    write_parquet(frame, path)
    with monkeypatch.context() as older:
        older.setattr("ml.adapters.data_registry.writer.schema_file", lambda *_: {})
        world.services.registry.commit({(asset, day): path}, message="as an older version did")


@pytest.mark.parametrize("days", [1, 20])
def test_labels_of_another_type_on_older_days_are_named_before_a_training(
    seeded: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    for number in range(days):
        day = OLD_DAY - timedelta(days=number)
        frame = seeded.held("labels", day)
        flights = frame.assign(flight=frame["flight"].astype(str))
        before_there_was_a_schema(seeded, monkeypatch, "labels", day, flights)
    with pytest.raises(DataRejected, match=r"labels: column 'flight' is string on .*, but int64 on the"):
        seeded.train(REQUEST)
