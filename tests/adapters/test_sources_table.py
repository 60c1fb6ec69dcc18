"""Days taken out of a table: a file, a folder or a Hive-partitioned data set, local and from a real S3 server."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from ml import settings
from ml.adapters.sources import DescribedSource, LargeSource, TypedSource
from ml.adapters.sources.kinds.table import TableSource
from ml.adapters.sources.local_day import LocalDay
from ml.adapters.sources.table import EventTable
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError
from ml.settings import Task

DAY = date(2024, 4, 1)
BERLIN = ZoneInfo("Europe/Berlin")
TASK: dict[str, Any] = {
    "name": "rentals",
    "kind": "regression",
    "target": "count",
    "key": ("day", "station", "at"),
    "label_delay_days": 1,
    "timezone": "Europe/Berlin",
}
ROWS = pd.DataFrame(
    {
        "at": ["2024-03-31T21:30:00Z", "2024-03-31T22:30:00Z", "2024-04-01T10:00:00Z", "2024-04-01T22:00:00Z"],
        "station": ["007", "007", "NA", "007"],
        "temp": [1.5, 2.0, None, 3.0],
        "note": ['a "b", c', "line\nend", "plain", None],
        "count": [1, 2, 3, 4],
    }
)
TYPES = {"inputs": {"station": "string"}, "labels": {"station": "string"}}


def _source(table: Path | str, **options: Any) -> EventTable:
    section = {"kind": "table", "inputs": str(table), "time": "at", **options}
    source = TableSource.model_validate(section).open_for(Task.model_validate(TASK))
    assert isinstance(source, EventTable)
    return source.with_types(TYPES)  # type: ignore[arg-type]


def _json_lines(frame: pd.DataFrame) -> bytes:
    rows = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records")]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _zst(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def _write(frame: pd.DataFrame, folder: Path, ending: str) -> Path:
    path = folder / f"rentals.{ending}"
    if ending == "parquet":
        frame.to_parquet(path, row_group_size=max(2, len(frame) // 4))
        return path
    content = frame.to_csv(index=False).encode() if "csv" in ending else _json_lines(frame)
    path.write_bytes(
        gzip.compress(content) if ending.endswith("gz") else _zst(content) if ending.endswith("zst") else content
    )
    return path


ENDINGS = ("parquet", "csv", "csv.gz", "csv.zst", "jsonl", "ndjson.gz", "json.zst")


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_file_gives_inputs_without_the_target_and_labels_of_a_local_day(tmp_path: Path, ending: str) -> None:
    source = _source(_write(ROWS, tmp_path, ending))
    assert isinstance(source, LargeSource | TypedSource | DescribedSource)
    inputs, labels = source.inputs(DAY), source.labels(DAY)
    day = ROWS.iloc[1:3].reset_index(drop=True)
    day.insert(0, "day", "2024-04-01")
    pd.testing.assert_frame_equal(inputs, day.drop(columns="count"))
    pd.testing.assert_frame_equal(labels, day[["day", "station", "at", "count"]])


@pytest.mark.parametrize("ending", ENDINGS)
def test_writing_a_day_gives_the_bytes_of_its_rows_in_a_file_of_their_own(tmp_path: Path, ending: str) -> None:
    source = _source(_write(ROWS, tmp_path, ending))
    expected = tmp_path / "expected.parquet"
    day = ROWS.iloc[1:3].drop(columns="count")
    day.insert(0, "day", "2024-04-01")
    parquet.write_table(
        pa.Table.from_pandas(day, preserve_index=False).replace_schema_metadata(None), expected, compression="zstd"
    )
    source.write("inputs", DAY, tmp_path / "written", rows_at_once=1000)
    assert (tmp_path / "written").read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 31), 23), (date(2024, 10, 27), 25), (date(2024, 4, 1), 24)])
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("form", ["utc", "offset", "naive", "typed", "typed naive"])
def test_a_day_has_the_hours_that_its_clocks_show(
    tmp_path: Path, day: date, hours: int, ending: str, form: str
) -> None:
    start = pd.Timestamp(day - timedelta(days=1), tz="UTC")
    instants = pd.Series(pd.date_range(start, periods=96, freq="h"))
    local = instants.dt.tz_convert("Europe/Berlin")
    forms = {
        "utc": instants.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "offset": local.map(lambda instant: instant.isoformat()),
        "naive": local.dt.strftime("%Y-%m-%d %H:%M"),
        "typed": instants,
        "typed naive": local.dt.tz_localize(None),
    }
    at = forms[form] if ending == "parquet" or not form.startswith("typed") else forms[form].astype(str)
    rows = pd.DataFrame({"at": at, "station": "a", "number": range(96), "count": 1})
    table = _source(_write(rows, tmp_path, ending)).inputs(day)
    assert len(table) == hours
    assert table["number"].tolist() == rows.loc[(local.dt.date == day), "number"].tolist()


def test_an_instant_of_the_day_before_in_utc_is_of_the_local_day(tmp_path: Path) -> None:
    rows = pd.DataFrame({"at": ["2024-03-31T22:00:00+00:00", "2024-04-01T22:00:00+00:00"], "station": "a", "count": 1})
    table = _source(_write(rows, tmp_path, "csv")).inputs(DAY)
    assert table["at"].tolist() == ["2024-03-31T22:00:00+00:00"]
    assert table["day"].tolist() == ["2024-04-01"]


def test_a_midnight_that_clocks_skip_or_show_twice_starts_a_day_once() -> None:
    skipped = LocalDay(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"))
    twice = LocalDay(date(2024, 10, 27), ZoneInfo("Atlantic/Azores"))
    assert (skipped.end - skipped.start, twice.end - twice.start) == (timedelta(hours=23), timedelta(hours=25))
    day_before = LocalDay(date(2018, 11, 3), ZoneInfo("America/Sao_Paulo"))
    assert day_before.end == skipped.start


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_dates_are_the_day_and_a_column_day_may_be_the_time(tmp_path: Path, ending: str) -> None:
    rows = pd.DataFrame({"day": ["2024-03-31", "2024-04-01"], "station": "a", "at": "x", "count": [1.0, 2.0]})
    assert _source(_write(rows, tmp_path, ending), time="day").labels(DAY)["count"].tolist() == [2.0]


def test_dates_of_a_parquet_are_days_and_become_iso_text_in_the_column_day(tmp_path: Path) -> None:
    rows = pd.DataFrame({"day": [date(2024, 3, 31), DAY], "station": "a", "count": [1.0, 2.0]})
    table = _source(_write(rows, tmp_path, "parquet"), time="day").inputs(DAY)
    assert table["day"].tolist() == ["2024-04-01"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_column_day_that_contradicts_the_time_is_rejected(tmp_path: Path, ending: str) -> None:
    rows = ROWS.assign(day=["2024-03-31", "2024-03-31", "2024-04-01", "2024-04-01"])
    with pytest.raises(DataRejected, match=r"'day' holds 2024-03-31, but by 'at' the row is of 2024-04-01") as err:
        _source(_write(rows, tmp_path, ending)).inputs(DAY)
    assert "correct the row or task.timezone, or set source.time to day" in str(err.value)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("bad", [None, "yesterday", "2024-02-30", "20240401"])
def test_a_row_of_which_nobody_knows_the_day_rejects_the_table(tmp_path: Path, ending: str, bad: str | None) -> None:
    rows = ROWS.assign(at=[*ROWS["at"][:3], bad])
    with pytest.raises(DataRejected, match=r"(line 6|line 4|row 4): column 'at' (holds|has no value)"):
        _source(_write(rows, tmp_path, ending)).inputs(DAY)


def test_numbers_are_no_instants(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match="neither an instant nor a date"):
        _source(_write(ROWS.assign(at=range(4)), tmp_path, "parquet")).inputs(DAY)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_day_without_rows_is_missing_and_named(tmp_path: Path, ending: str) -> None:
    with pytest.raises(MissingArtifact, match=r"nothing for 2024-04-05: .* has no row whose at is of that day in Eur"):
        _source(_write(ROWS, tmp_path, ending)).inputs(date(2024, 4, 5))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_labels_have_not_come_while_no_row_of_the_day_has_a_target(tmp_path: Path, ending: str) -> None:
    path = _write(ROWS.assign(count=[1.0, None, None, 4.0]), tmp_path, ending)
    source = _source(path)
    assert len(source.inputs(DAY)) == 2
    with pytest.raises(MissingArtifact, match="has rows of that day, but none has a count yet"):
        source.labels(DAY)
    with pytest.raises(MissingArtifact, match="has rows of that day, but none has a count yet"):
        source.write("labels", DAY, tmp_path / "out", rows_at_once=100)
    own = tmp_path / "own"
    own.mkdir()
    assert len(_source(path, labels=str(_write(ROWS.assign(count=None), own, ending))).labels(DAY)) == 2


def test_columns_may_be_listed_and_never_give_the_target_to_inputs(tmp_path: Path) -> None:
    path = _write(ROWS, tmp_path, "csv")
    source = _source(path, inputs_columns=["temp", "day"], labels_columns=["day", "count"])
    assert list(source.inputs(DAY)) == ["temp", "day"]
    assert list(source.labels(DAY)) == ["day", "count"]
    with pytest.raises(SettingsError, match="inputs_columns names the target count"):
        _source(path, inputs_columns=["day", "count"])
    with pytest.raises(DataRejected, match=r"has no column 'gone' \(source.inputs_columns\), but day, at, station"):
        _source(path, inputs_columns=["gone"]).inputs(DAY)
    with pytest.raises(DataRejected, match=r"has no column 'when' \(source.time\), but at, station"):
        _source(path, time="when").inputs(DAY)


# Folders and Hive partitions.


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl.gz"])
def test_the_rows_of_a_day_may_lie_in_several_files_of_a_folder(tmp_path: Path, ending: str) -> None:
    for number in (1, 0):
        path = _write(ROWS.iloc[[number, number + 2]], tmp_path, ending)
        path.rename(tmp_path / f"part-{number}.{ending}")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "README.txt").write_text("what is here")
    assert _source(tmp_path).inputs(DAY)["station"].tolist() == ["NA", "007"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_partitions_are_columns(tmp_path: Path, ending: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    for station, rows in ROWS.groupby("station"):
        folder = whole / f"station={station}"
        folder.mkdir()
        _write(rows.drop(columns="station"), folder, ending)
    columns = ["day", "at", "station", "temp", "note"]
    single = _source(_write(ROWS, tmp_path, ending), inputs_columns=columns).inputs(DAY)
    pd.testing.assert_frame_equal(_source(whole, inputs_columns=columns).inputs(DAY), single)


def test_a_partition_has_the_type_that_all_its_values_ask_for(tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / f"floor={number}").mkdir()
        _write(ROWS, tmp_path / f"floor={number}", "parquet")
    assert _source(tmp_path).inputs(DAY)["floor"].tolist() == [1, 1, 2, 2]
    (tmp_path / "floor=top%20one").mkdir()
    _write(ROWS, tmp_path / "floor=top%20one", "parquet")
    assert _source(tmp_path).inputs(DAY)["floor"].tolist() == ["1", "1", "2", "2", "top one", "top one"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_only_the_partition_of_the_day_is_read_if_the_time_is_one(tmp_path: Path, ending: str) -> None:
    for day, rows in (("2024-03-31", ROWS.iloc[:1]), ("2024-04-01", ROWS.iloc[1:3])):
        (tmp_path / f"day={day}").mkdir()
        _write(rows, tmp_path / f"day={day}", ending)
    (tmp_path / "day=2024-04-02").mkdir()
    (tmp_path / "day=2024-04-02" / f"broken.{ending}").write_text("broken")
    assert _source(tmp_path, time="day").inputs(DAY)["day"].tolist() == ["2024-04-01"] * 2


def test_a_row_in_the_partition_of_another_day_is_found_and_rejected(tmp_path: Path) -> None:
    for day, rows in (("2024-03-31", ROWS.iloc[:2]), ("2024-04-01", ROWS.iloc[2:])):  # cut by the clocks of UTC
        (tmp_path / f"day={day}").mkdir()
        _write(rows, tmp_path / f"day={day}", "parquet")
    with pytest.raises(DataRejected, match=r"day=2024-03-31/.*: column 'day' holds 2024-03-31, but by 'at'"):
        _source(tmp_path).inputs(DAY)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_of_one_day_must_have_the_same_columns(tmp_path: Path, ending: str) -> None:
    _write(ROWS, tmp_path, ending).rename(tmp_path / f"a.{ending}")
    _write(ROWS.rename(columns={"temp": "tmp"}), tmp_path, ending).rename(tmp_path / f"b.{ending}")
    with pytest.raises(DataRejected, match="hold rows of one day"):
        _source(tmp_path).inputs(DAY)


# What is wrong with an address, or with a file.


def test_a_wrong_address_is_wrong_on_the_first_try(tmp_path: Path) -> None:
    _write(ROWS, tmp_path, "csv")
    with pytest.raises(SettingsError, match=r"source.inputs: there is no folder .*/gone"):
        _source(tmp_path / "gone" / "rentals.csv").inputs(DAY)
    with pytest.raises(SettingsError, match=r"source.inputs: there is no .*/rental.csv; .* holds rentals.csv"):
        _source(tmp_path / "rental.csv").inputs(DAY)
    (tmp_path / "note.txt").touch()
    with pytest.raises(SettingsError, match=r"does not end in .parquet, .csv"):
        _source(tmp_path / "note.txt").inputs(DAY)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingArtifact, match="holds no file yet; deliver the table"):
        _source(tmp_path / "folder").inputs(DAY)
    (tmp_path / "folder" / "note.txt").touch()
    with pytest.raises(SettingsError, match=r"no file in .*/folder ends in .*; it holds note.txt"):
        _source(tmp_path / "folder").inputs(DAY)
    _write(ROWS, tmp_path, "parquet")
    with pytest.raises(SettingsError, match=r"more than one format \(csv, parquet\)"):
        _source(tmp_path).inputs(DAY)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("data/{day}.csv", "use kind: files"),
        ("s3://rentals.csv", "is not s3://bucket/name"),
        ("https://example.com/rentals.csv", "neither a path nor s3://"),
    ],
)
def test_an_impossible_address_is_refused_with_its_key(table: str, says: str) -> None:
    with pytest.raises(SettingsError, match=r"source.labels: ") as refused:
        _source("data/rentals.csv", labels=table)
    assert says in str(refused.value)


HEAD = "at,station,count\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and more", "a ZIP archive"),
        (b"PAR1 and more", "a Parquet file"),
        (gzip.compress(HEAD.encode(), mtime=0), "packed by gzip"),
        (b'{"at": "2024-04-01"}\n', "is JSON"),
        (b"<html></html>", "is a page"),
        (b"at;station;count\n", "separates its fields by ';'"),
        (b"at,at,count\n", "names more than one column at"),
        (f"{HEAD}2024-04-01,a\n".encode(), "line 2 has 2 fields and the header 3"),
        (f"{HEAD}2024-03-01,a,1,2\n2024-04-01,a,1\n".encode(), "line 2 has 4 fields and the header 3"),
        (f'{HEAD}2024-03-01,"a,1\n2024-04-01,a,1\n'.encode(), "leaves a quotation mark open in line 2"),
        (f'{HEAD}2024-03-01,a"b,1\n2024-04-01,a,1\n'.encode(), "a quotation mark inside a field"),
        (f'{HEAD}2024-04-01,"a,1\n2024-04-01,b",1\n'.encode(), "ambiguous"),
        (f"{HEAD}2024-04-01,\xe4,1\n".encode("latin-1"), "is not UTF-8"),
        (f"{HEAD}2024-04-01,a\0,1\n".encode(), "is not text"),
    ],
)
def test_a_csv_that_is_broken_anywhere_gives_no_day(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "rentals.csv").write_bytes(content)
    with pytest.raises(DataRejected) as err:
        _source(tmp_path / "rentals.csv").inputs(DAY)
    assert says in str(err.value)
    assert "rentals.csv" in str(err.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b'[{"at": "2024-04-01"}]\n', "is no JSON object"),
        (b'{"at": "2024-04-01"\n', "line 1 is not JSON"),
        (b'{"at": "2024-04-01", "at": "2024-04-01"}\n', "line 1 names a column twice"),
        (b'{"at": "2024-04-01", "x": NaN}\n', "holds NaN, which is not JSON"),
        (b'{"at": "2024-03-01", "x": [1]}\n', "column 'x' holds lists"),
        (b'{"at": "2024-04-01", "x": {"y": 1}}\n', "column 'x' holds objects"),
        (b'{"at": "2024-04-01", "x": 1}\n{"at": "2024-04-01", "x": "1"}\n', "column 'x' mixes numbers and texts"),
        (b'{"at": "2024-04-01", "x": 123456789012345678901234567890}\n', "write such numbers as text"),
        (b'{"at": "2024-04-01", "x": "\xe4"}\n', "is not UTF-8"),
        (b'{"x": 1}\n', "has no column 'at' (source.time), but x"),
        (b'{"at": "2024-04-01"}\n{"x": 1}\n', "line 2: column 'at' has no value"),
    ],
)
def test_json_lines_that_are_broken_anywhere_give_no_day(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "rentals.jsonl").write_bytes(content)
    with pytest.raises(DataRejected) as err:
        _source(tmp_path / "rentals.jsonl").inputs(DAY)
    assert says in str(err.value)


@pytest.mark.parametrize("ending", ["csv.gz", "csv.zst", "jsonl.gz", "jsonl.zst", "parquet"])
def test_half_a_packed_file_gives_no_day(tmp_path: Path, ending: str) -> None:
    path = _write(pd.concat([ROWS] * 50).assign(temp=range(200)), tmp_path, ending)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataRejected, match=r"is no whole (gzip|zstd|Parquet) file"):
        _source(path).inputs(DAY)
    path.write_bytes(b"PK\x03\x04 is a ZIP archive")
    with pytest.raises(DataRejected, match=r"is no whole (gzip|zstd|Parquet) file"):
        _source(path).inputs(DAY)


def test_no_flipped_byte_of_a_parquet_escapes_as_another_kind_of_error(tmp_path: Path) -> None:
    path = _write(ROWS, tmp_path, "parquet")
    content = path.read_bytes()
    for position in range(0, len(content), 23):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            _source(path).write("inputs", DAY, tmp_path / "out", rows_at_once=1)
        except EvergreenError:
            continue


def test_whole_numbers_beyond_floats_and_nulls_stay_exact(tmp_path: Path) -> None:
    big = 2**60 + 1
    for ending in ("jsonl", "csv"):
        rows = pd.DataFrame({"at": "2024-04-01", "station": "a", "id": pd.array([big, None], "Int64"), "count": 1})
        table = _source(_write(rows, tmp_path, ending)).with_types({"inputs": {"id": "int64"}}).inputs(DAY)
        assert table["id"].tolist()[0] == big, ending


def test_a_day_larger_than_memory_may_hold_is_rejected_or_taken_in_batches(tmp_path: Path) -> None:
    rows = pd.concat([ROWS] * 2000, ignore_index=True)
    for ending in ("csv", "jsonl"):
        with pytest.raises(DataRejected, match="is larger than 0.01 MB"):
            _source(_write(rows, tmp_path, ending), max_megabytes=0.01).inputs(DAY)
    path = _write(rows, tmp_path, "parquet")
    source = _source(path)
    source.write("inputs", DAY, tmp_path / "whole", rows_at_once=10**6)
    source.write("inputs", DAY, tmp_path / "batches", rows_at_once=10)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "batches"), pd.read_parquet(tmp_path / "whole"))


def test_a_day_of_a_large_parquet_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    read = parquet.ParquetFile.iter_batches

    def spy(self: Any, *args: Any, **options: Any) -> Any:
        asked.append((options.get("row_groups") or [0], options["columns"]))
        return read(self, *args, **options)

    path = _write(ROWS, tmp_path, "parquet")  # rows 1 and 2 are of the day, one in each of two row groups
    later = pd.concat([ROWS.iloc[:1]] * 6)
    pd.concat([ROWS, later]).to_parquet(path, row_group_size=2)
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spy)
    _source(path).inputs(DAY)
    columns = ["at", "station", "temp", "note"]
    assert [groups for groups, names in asked if list(names) == columns] == [[0], [1]]
    assert [list(names) for groups, names in asked if groups[0] > 1] == [["at"]] * 3


# Whether a day has changed.


def test_a_table_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(ROWS, tmp_path, "csv")
    source = _source(path)
    assert source.stat("labels", DAY) is None, "so young a file may change without a new time"
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_mtime_ns + 10**10)
    before = source.stat("labels", DAY)
    assert before == source.stat("labels", DAY)
    with path.open("a") as file:
        file.write("2024-04-05,a,1,,5\n")
    assert before not in (None, source.stat("labels", DAY))


def test_a_partition_of_another_day_does_not_change_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("2024-04-01", "2024-04-02"):
        (tmp_path / f"day={day}").mkdir()
        _write(ROWS, tmp_path / f"day={day}", "parquet")
    now = time.time_ns() + 10**11
    monkeypatch.setattr(time, "time_ns", lambda: now)
    source = _source(tmp_path, time="day")
    before = source.stat("labels", DAY)
    _write(ROWS.iloc[:1], tmp_path / "day=2024-04-02", "parquet")
    assert source.stat("labels", DAY) == before is not None


def test_a_relative_table_starts_at_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(ROWS, tmp_path, "csv")
    monkeypatch.setattr(settings, "PROJECT_ROOT", tmp_path)
    assert len(_source("rentals.csv").inputs(DAY)) == 2


# A real S3 server.


@pytest.fixture
def put(s3_root: str) -> Callable[[str, bytes], str]:
    def _put(name: str, content: bytes) -> str:
        bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
        boto3.session.Session().client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)
        return f"{s3_root}/{name}"

    return _put


@pytest.mark.timeout(120)
def test_s3_gives_days_of_an_object_and_of_a_partitioned_folder(
    s3_root: str, put: Callable[[str, bytes], str], tmp_path: Path
) -> None:
    local = _source(_write(ROWS, tmp_path, "csv")).inputs(DAY)
    uri = put("rentals.csv", ROWS.to_csv(index=False).encode())
    pd.testing.assert_frame_equal(_source(uri).inputs(DAY), local)
    for day, rows in (("2024-03-31", ROWS.iloc[:1]), ("2024-04-01", ROWS.iloc[1:3])):
        buffer = io.BytesIO()
        rows.to_parquet(buffer)
        put(f"hive/day={day}/part.parquet", buffer.getvalue())
    put("hive/_SUCCESS", b"")
    source = _source(f"{s3_root}/hive", time="day")
    pd.testing.assert_frame_equal(source.inputs(DAY), local)
    before = source.stat("labels", DAY)
    put("hive/day=2024-04-02/part.parquet", b"other")
    assert before is not None
    assert source.stat("labels", DAY) == before


@pytest.mark.timeout(120)
def test_a_wrong_bucket_or_folder_of_s3_is_wrong_on_the_first_try(
    s3_root: str, put: Callable[[str, bytes], str]
) -> None:
    put("rentals/part.csv", b"a")
    with pytest.raises(SettingsError, match=r"s3://nobucket/rentals.csv: there is no such bucket"):
        _source("s3://nobucket/rentals.csv").inputs(DAY)
    with pytest.raises(SettingsError, match=rf"source.inputs: there is no object {s3_root}/rent, and none below"):
        _source(f"{s3_root}/rent").inputs(DAY)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_parts_of_the_time_are_columns_of_inputs_by_the_clocks_of_the_task(tmp_path: Path, ending: str) -> None:
    source = _source(_write(ROWS, tmp_path, ending), time_parts=["hour", "minute_of_day", "weekday", "month"])
    inputs = source.inputs(DAY)
    assert inputs["at_hour"].tolist() == [0, 12]
    assert inputs["at_minute_of_day"].tolist() == [30, 720]
    assert inputs["at_weekday"].tolist() == [1, 1] and inputs["at_month"].tolist() == [4, 4]
    assert "at_hour" not in source.labels(DAY)


def test_parts_of_the_time_are_the_same_for_a_day_in_batches(tmp_path: Path) -> None:
    path = _write(ROWS, tmp_path, "parquet")
    source = _source(path, time_parts=["hour", "weekday"])
    for rows_at_once in (1, 100):
        source.write("inputs", DAY, tmp_path / "day", rows_at_once=rows_at_once)
        written = pd.read_parquet(tmp_path / "day")
        assert written["at_hour"].tolist() == [0, 12] and written["station"].tolist() == ["007", "NA"]
        assert written.columns.tolist()[-2:] == ["at_hour", "at_weekday"]


def test_a_part_of_the_time_never_takes_the_place_of_a_column(tmp_path: Path) -> None:
    path = _write(ROWS.assign(at_hour=1), tmp_path, "csv")
    with pytest.raises(DataRejected, match="at_hour"):
        _source(path, time_parts=["hour"]).inputs(DAY)
    with pytest.raises(SettingsError, match="source.time_parts"):
        _source(path, time_parts=["hour"], inputs_columns=["day", "station"])
