"""Many days are sampled alike and counted whole, without ever being in memory at once."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.adapters import rows
from ml.adapters.workspace import write_parquet
from ml.core.findings import count

FIRST = date(2013, 1, 1)
COLUMNS = ["number", "carrier"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[date, Path]:
    """Write three days of 1,000, 2,000 and 3,000 rows, each read in several batches."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 300)
    found = {}
    for number in range(3):
        day = FIRST + timedelta(days=number)
        size = 1000 * (number + 1)
        frame = pd.DataFrame(
            {
                "id": np.arange(size),
                "number": np.arange(size, dtype=float) + 10_000 * number,
                "carrier": np.random.default_rng(number).choice(["AA", "BB", None], size),
            }
        )
        found[day] = tmp_path / f"day={day}.parquet"
        write_parquet(frame, found[day])
    return found


def test_what_fits_is_read_whole(files: dict[date, Path]) -> None:
    found = rows.sample(files, COLUMNS, rows=6000, seed=1)
    whole = pd.concat([pd.read_parquet(path).assign(day=str(day)) for day, path in files.items()], ignore_index=True)
    assert_frame_equal(found, whole[["day", *COLUMNS]])


def test_each_day_gives_the_same_share_and_no_row_comes_twice(files: dict[date, Path]) -> None:
    found = rows.sample(files, COLUMNS, rows=600, seed=1)
    assert found.groupby("day").size().tolist() == [100, 200, 300]
    assert found["number"].is_unique
    assert found["number"].is_monotonic_increasing
    assert found["number"].max() > 22_500 and found["number"].min() < 300  # from all over a file, not its head


def test_the_seed_decides_and_a_day_is_drawn_alike_whatever_stands_beside_it(files: dict[date, Path]) -> None:
    once = rows.sample(files, COLUMNS, rows=600, seed=1)
    assert_frame_equal(once, rows.sample(files, COLUMNS, rows=600, seed=1))
    assert not once.equals(rows.sample(files, COLUMNS, rows=600, seed=2))
    newest = {max(files): files[max(files)]}
    alone = rows.sample(newest, COLUMNS, rows=300, seed=1)
    assert_frame_equal(alone, once.loc[once["day"] == str(max(files))].reset_index(drop=True))


def test_a_column_that_a_day_lacks_is_null_there(files: dict[date, Path]) -> None:
    pd.read_parquet(files[FIRST]).drop(columns="number").to_parquet(files[FIRST])
    found = rows.sample(files, COLUMNS, rows=6000, seed=1)
    assert found.groupby("day")["number"].count().tolist() == [0, 2000, 3000]
    counted = rows.count_day(files[FIRST], {"number": False, "carrier": True})
    assert (counted["number"].rows, counted["number"].nulls) == (1000, 1000)


def test_no_file_gives_no_row(files: dict[date, Path]) -> None:
    found = rows.sample({}, COLUMNS, rows=10, seed=1)
    assert list(found) == ["day", *COLUMNS] and found.empty


def test_every_row_of_a_day_is_counted(files: dict[date, Path]) -> None:
    newest = files[max(files)]
    frame = pd.read_parquet(newest)
    assert rows.count_day(newest, {"number": False, "carrier": True}) == {
        "number": count(frame["number"], categorical=False),
        "carrier": count(frame["carrier"], categorical=True),
    }
