"""Many days are sampled alike and counted whole, without ever being in memory at once."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from ml.adapters import aggregates, day_samples, partitions, rows
from ml.adapters.workspace import write_parquet
from ml.core.monitoring.day_columns import count
from ml.core.scoring.shards import Rows
from ml.settings import PROJECT_ROOT, Settings, Task, load

FIRST = date(2013, 1, 1)
COLUMNS = ["number", "carrier"]


@pytest.fixture
def project_settings() -> Settings:
    return load(PROJECT_ROOT / "params.yaml")


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
    found = day_samples.sample(files, COLUMNS, rows=6000, seed=1)
    whole = pd.concat([pd.read_parquet(path).assign(day=str(day)) for day, path in files.items()], ignore_index=True)
    assert_frame_equal(found, whole[["day", *COLUMNS]])


def test_each_day_gives_the_same_share_and_no_row_comes_twice(files: dict[date, Path]) -> None:
    found = day_samples.sample(files, COLUMNS, rows=600, seed=1)
    assert found.groupby("day").size().tolist() == [100, 200, 300]
    assert found["number"].is_unique
    assert found["number"].is_monotonic_increasing
    assert found["number"].max() > 22_500 and found["number"].min() < 300  # from all over a file, not its head


def test_the_seed_decides_and_a_day_is_drawn_alike_whatever_stands_beside_it(files: dict[date, Path]) -> None:
    once = day_samples.sample(files, COLUMNS, rows=600, seed=1)
    assert_frame_equal(once, day_samples.sample(files, COLUMNS, rows=600, seed=1))
    assert not once.equals(day_samples.sample(files, COLUMNS, rows=600, seed=2))
    newest = {max(files): files[max(files)]}
    alone = day_samples.sample(newest, COLUMNS, rows=300, seed=1)
    assert_frame_equal(alone, once.loc[once["day"] == str(max(files))].reset_index(drop=True))


def test_a_column_that_a_day_lacks_is_null_there(files: dict[date, Path]) -> None:
    pd.read_parquet(files[FIRST]).drop(columns="number").to_parquet(files[FIRST])
    found = day_samples.sample(files, COLUMNS, rows=6000, seed=1)
    assert found.groupby("day")["number"].count().tolist() == [0, 2000, 3000]
    counted = day_samples.count_day(files[FIRST], {"number": False, "carrier": True})
    assert (counted["number"].rows, counted["number"].nulls) == (1000, 1000)


def test_no_file_gives_no_row(files: dict[date, Path]) -> None:
    found = day_samples.sample({}, COLUMNS, rows=10, seed=1)
    assert list(found) == ["day", *COLUMNS] and found.empty


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_share_of_keys_is_the_same_keys_of_every_file(day: tuple[Path, Path], share: float) -> None:
    key = ["day", "flight"]
    inputs, labels = (rows.sampled(path, key, key=key, share=share) for path in day)
    assert abs(len(inputs) - 5000 * share) < 150
    held = pd.read_parquet(day[1])["flight"]
    assert set(labels["flight"]) == set(inputs["flight"]) & set(held)
    again = rows.sampled(day[0], [*key, "x", "nowhere"], key=key, share=share)
    assert list(again) == [*key, "x"] and list(again["flight"]) == list(inputs["flight"])


def test_the_whole_of_keys_is_the_file(day: tuple[Path, Path]) -> None:
    whole = rows.sampled(day[0], ["flight", "x"], key=["day", "flight"], share=1.0)
    assert_frame_equal(whole, pd.read_parquet(day[0], columns=["flight", "x"]))


def test_every_row_of_a_day_is_counted(files: dict[date, Path]) -> None:
    newest = files[max(files)]
    frame = pd.read_parquet(newest)
    assert day_samples.count_day(newest, {"number": False, "carrier": True}) == {
        "number": count(frame["number"], categorical=False),
        "carrier": count(frame["carrier"], categorical=True),
    }


# --- some of a file's rows ----------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Write 1,000 rows in row groups of 130."""
    path = tmp_path / "odd.parquet"
    numbers = np.arange(1000)
    pd.DataFrame({"number": numbers, "text": [f"t{n % 7}" for n in numbers], "other": 0}).to_parquet(
        path, row_group_size=130, index=False
    )
    return path


@pytest.mark.parametrize("size", [1, 7, 130, 131, 400, 999, 1000, 5000])
@pytest.mark.parametrize(
    "part", [Rows(0, 1000), Rows(0, 1), Rows(129, 2), Rows(390, 130), Rows(500, 333), Rows(999, 1)]
)
def test_some_rows_come_in_batches_of_the_very_size(odd: Path, size: int, part: Rows) -> None:
    found = list(rows.batches(odd, size, columns=["number", "absent", "text"], part=part))
    assert [batch.num_rows for batch in found[:-1]] == [size] * (len(found) - 1)
    assert found[0].column_names == ["number", "text"]
    numbers = np.concatenate([batch["number"].to_numpy() for batch in found])
    np.testing.assert_array_equal(numbers, np.arange(part.first, part.end))


def test_no_rows_are_no_batch(odd: Path) -> None:
    assert list(rows.batches(odd, 10, part=Rows(0, 0))) == []


def test_row_groups_that_are_not_asked_for_are_not_read(odd: Path) -> None:
    """The bytes of the first row group are made rubbish, and nobody notices."""
    with pq.ParquetFile(odd) as file:
        begin = file.metadata.row_group(0).column(0).dictionary_page_offset or 4
        end = file.metadata.row_group(1).column(0).dictionary_page_offset
    with odd.open("r+b") as raw:
        raw.seek(begin)
        raw.write(b"\xff" * (end - begin))
    assert next(rows.batches(odd, 10, part=Rows(130, 10)))["number"][0].as_py() == 130
    with pytest.raises(OSError):
        list(rows.batches(odd, 10, part=Rows(129, 1)))


def test_joined_files_are_the_bytes_of_one_that_was_written_at_once(odd: Path, tmp_path: Path) -> None:
    schema = rows.types_of(odd)
    batches = list(rows.batches(odd, 100))
    for name, some in (("whole", batches), ("first", batches[:3]), ("second", batches[3:])):
        with rows.RowGroups(tmp_path / name, schema) as file:
            for batch in some:
                file.write(batch)
    rows.join_files([tmp_path / "first", tmp_path / "second"], tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    assert pq.read_metadata(tmp_path / "joined").num_row_groups == 10


def test_what_fails_behind_the_writer_is_not_lost(odd: Path, tmp_path: Path) -> None:
    def write(batch: pa.Table) -> None:
        with rows.RowGroups(tmp_path / "out", rows.types_of(odd)) as file:
            file.write(batch)
            monkeypatched(file)
            file.write(batch)

    def monkeypatched(file: rows.RowGroups) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        file._writer.write_table = full

    with pytest.raises(OSError, match="No space left"):
        write(next(rows.batches(odd, 10)))


def test_values_are_compared_with_some_rows_of_another_file(odd: Path, tmp_path: Path) -> None:
    part = pd.read_parquet(odd).iloc[100:300].astype({"text": "category"})
    part.to_parquet(tmp_path / "part", index=False)
    assert rows.same_values(tmp_path / "part", odd, ["number", "text"], part=Rows(100, 200))
    assert not rows.same_values(tmp_path / "part", odd, ["number", "text"], part=Rows(101, 200))
    assert not rows.same_values(tmp_path / "part", odd, ["number", "text"], part=Rows(100, 199))
    part.iloc[::-1].to_parquet(tmp_path / "part", index=False)
    assert not rows.same_values(tmp_path / "part", odd, ["number", "text"], part=Rows(100, 200))


# --- labelled days ------------------------------------------------------------------------------------


TASK = Task(name="flights", kind="classification", target="late", key=("day", "flight"), label_delay_days=1)


@pytest.fixture
def day(tmp_path: Path) -> tuple[Path, Path]:
    """Write the inputs and labels of 5,000 flights, in another order, some cancelled, numbers as float in one."""
    chance = np.random.default_rng(0)
    inputs = pd.DataFrame(
        {"day": "2013-01-01", "flight": np.arange(5000), "carrier": chance.choice(["AA", "BB", None], 5000), "x": 1.0}
    )
    labels = inputs[["day", "flight"]].assign(late=(chance.random(5000) < 0.3).astype(float))
    labels.loc[chance.random(5000) < 0.1, "late"] = np.nan
    labels = labels.sample(frac=0.9, random_state=1).astype({"flight": "float64"})
    inputs.to_parquet(tmp_path / "inputs", index=False)
    labels.to_parquet(tmp_path / "labels", index=False)
    return tmp_path / "inputs", tmp_path / "labels"


def joined(day: tuple[Path, Path]) -> list[pd.DataFrame]:
    """Join a day as the sums of labelled days do, one part after the other."""
    with partitions.labelled_parts(*day, task=TASK, columns=["carrier"]) as parts:
        return [partitions.join(part, task=TASK) for part in parts]


def test_a_large_day_is_joined_in_parts_to_the_same_rows(
    day: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = joined(day)
    monkeypatch.setattr(partitions, "JOINED_ROWS", 700)
    parts = joined(day)
    assert len(parts) == 8 and max(map(len, parts)) < 900
    together = pd.concat(parts).sort_values("flight", ignore_index=True)
    assert_frame_equal(together, whole.sort_values("flight", ignore_index=True))
    assert list(whole) == ["day", "flight", "carrier", "late"]


def test_a_large_day_without_labels_has_no_rows(day: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "JOINED_ROWS", 700)
    pd.read_parquet(day[1]).head(0).to_parquet(day[1], index=False)
    assert sum(map(len, joined(day))) == 0


def test_the_sums_of_a_day_are_the_same_in_parts(
    day: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, project_settings: Settings
) -> None:
    task = project_settings.task.model_copy(update={"key": ("day", "flight")})
    own = project_settings.model_copy(update={"task": task})
    wanted = [(), ("carrier",)]
    whole = aggregates.sum_up(*day, own, wanted).to_pandas()
    monkeypatch.setattr(partitions, "JOINED_ROWS", 700)
    parts = aggregates.sum_up(*day, own, wanted).to_pandas()
    order = [aggregates.GROUPING, "carrier"]
    assert_frame_equal(
        parts.sort_values(order, ignore_index=True), whole.sort_values(order, ignore_index=True), check_like=True
    )
    assert whole.groupby(aggregates.GROUPING)["__count"].sum().nunique() == 1
