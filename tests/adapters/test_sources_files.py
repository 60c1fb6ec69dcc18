"""Files by day, from a real folder and a real S3 server, whole and broken."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from ml import settings
from ml.adapters.sources import Source
from ml.adapters.sources.files import DatedFiles
from ml.adapters.sources.kinds.files import FilesSource
from ml.adapters.sources.patterns import named
from ml.adapters.sources.tables import read_table
from ml.adapters.workspace import write_parquet
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.settings import Complete
from ml.steps.ingest.deliveries import stat_of
from ml.wiring import Services

DAY = date(2013, 4, 1)
INPUTS = pd.DataFrame({"day": ["2013-04-01"] * 2, "carrier": ["NA", "UA"], "flight": [7, 8], "temp": [1.5, None]})
LABELS = pd.DataFrame({"day": ["2013-04-01"] * 2, "carrier": ["NA", "UA"], "flight": [7, 8], "late": [1.0, None]})


def _csv(text: str) -> pd.DataFrame:
    return read_table(text.encode(), "csv", origin="x.csv")


def _parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, **options)
    return buffer.getvalue()


def _source(folder: Path, ending: str = "csv") -> DatedFiles:
    return DatedFiles(f"{folder}/inputs-{{day}}.{ending}", f"{folder}/labels-{{day}}.{ending}")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_folder_gives_both_tables_of_a_day(tmp_path: Path, ending: str) -> None:
    for name, table in (("inputs", INPUTS), ("labels", LABELS)):
        path = tmp_path / f"{name}-2013-04-01.{ending}"
        table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    source: Source = _source(tmp_path, ending)
    pd.testing.assert_frame_equal(source.inputs(DAY), INPUTS)
    pd.testing.assert_frame_equal(source.labels(DAY), LABELS)


def test_the_day_may_stand_in_a_folder_and_more_than_once(tmp_path: Path) -> None:
    (tmp_path / "2013-04-01").mkdir()
    INPUTS.to_csv(tmp_path / "2013-04-01" / "in-2013-04-01.CSV", index=False)
    pattern = f"{tmp_path}/{{day}}/in-{{day}}.CSV"
    assert len(DatedFiles(pattern, pattern).inputs(DAY)) == 2


def test_a_relative_pattern_starts_at_the_project_wherever_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    INPUTS.to_csv(project / "data" / "2013-04-01.csv", index=False)
    monkeypatch.setattr(settings, "PROJECT_ROOT", project)
    monkeypatch.chdir(tmp_path)
    assert len(DatedFiles("data/{day}.csv", "data/{day}.csv").inputs(DAY)) == 2


def test_settings_make_a_source_that_cannot_be_changed() -> None:
    section = FilesSource(kind="files", inputs="/data/i-{day}.csv", labels="s3://bucket/l/{day}.parquet")
    source = DatedFiles.from_settings(section)
    assert (source.inputs_pattern, source.labels_pattern) == (section.inputs, section.labels)
    with pytest.raises(dataclasses.FrozenInstanceError):
        source.inputs_pattern = "/other/{day}.csv"  # type: ignore[misc]


@pytest.mark.parametrize(
    "pattern",
    ["{year}/{month}/{day}.csv", "{year}/{month}/{day_of_month}.csv", "in/{year}{month}{day_of_month}/{day}.csv"],
)
def test_years_and_months_may_be_folders_and_one_that_has_not_come_is_late(tmp_path: Path, pattern: str) -> None:
    source = DatedFiles(f"{tmp_path}/{pattern}", f"{tmp_path}/{pattern}", day_from_name=True)
    path = tmp_path / named(pattern, DAY)
    path.parent.mkdir(parents=True)
    path.write_text("a,b\n1,2\n")
    assert source.inputs(DAY)["day"].tolist() == ["2013-04-01"]
    with pytest.raises(MissingArtifact, match="nothing for 2014-01-01") as err:
        source.inputs(date(2014, 1, 1))
    assert "nor for any other day" not in str(err.value)


def test_a_marker_in_a_month_that_has_not_begun_is_late_too(tmp_path: Path) -> None:
    (tmp_path / f"{DAY}.csv").write_text("a,b\n1,2\n")
    (tmp_path / "done").mkdir()
    marker = f"{tmp_path}/done/{{year}}/{{month}}/{{asset}}-{{day}}"
    source = DatedFiles(f"{tmp_path}/{{day}}.csv", f"{tmp_path}/{{day}}.csv", Complete(marker=marker))
    with pytest.raises(MissingArtifact, match="not complete yet"):
        source.inputs(DAY)
    (tmp_path / "done/2013/04").mkdir(parents=True)
    (tmp_path / f"done/2013/04/inputs-{DAY}").touch()
    assert len(source.inputs(DAY)) == 1


OBJECTS = '{"id": "01", "n": 1, "at": "2013-04-01T08:00:00Z"}\n\n{"id": "02", "n": 2.5, "flag": true}\n'


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "json", "jsonl.gz", "JSONL"])
def test_a_file_of_json_lines_is_read_as_a_table_of_many_days_is(tmp_path: Path, ending: str) -> None:
    content = OBJECTS.encode()
    (tmp_path / f"{DAY}.{ending}").write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    pattern = f"{tmp_path}/{{day}}.{ending}"
    table = DatedFiles(pattern, pattern, day_from_name=True, time="at", time_parts=("hour",)).inputs(DAY)
    assert list(table) == ["day", "id", "n", "at", "flag", "at_hour"]
    assert table["id"].tolist() == ["01", "02"] and table["n"].tolist() == [1.0, 2.5]
    assert table["flag"].tolist() == [None, True] and table["at_hour"].tolist()[0] == 8


def test_a_key_that_no_object_of_a_day_has_is_null_where_the_settings_name_it(tmp_path: Path) -> None:
    (tmp_path / f"{DAY}.jsonl").write_text(OBJECTS)
    pattern = f"{tmp_path}/{{day}}.jsonl"
    source = DatedFiles(pattern, pattern, day_from_name=True, inputs_columns=("day", "id", "rare"))
    table = source.inputs(DAY)
    assert list(table) == ["day", "id", "rare"] and table["rare"].isna().all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1}\n[2]\n', "line 2 is no JSON object"),
        (b'{"a": 1}\n{"a": ', "line 2 is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": 1}\n{"a": "x"}', "column 'a' mixes numbers and texts"),
        (b'{"a": {"b": 1}}', "column 'a' holds objects"),
        (b"a,b\n1,2\n", "line 1 is not JSON"),
        (b" \n", "is empty"),
    ],
)
def test_broken_json_lines_are_rejected_with_place_and_next_move(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / f"{DAY}.jsonl").write_bytes(content)
    with pytest.raises(DataRejected, match=says):
        DatedFiles(f"{tmp_path}/{{day}}.jsonl", f"{tmp_path}/{{day}}.jsonl").inputs(DAY)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("/data/inputs.csv", "names no {day}"),
        ("/data/{date}/{day}.csv", "braces beside {day}"),
        ("/data/{{day}}.csv", "braces beside {day}"),
        ("/data/{day.csv", "names no {day}"),
        ("/data/{day}.xlsx", "does not end in .parquet, .csv, .jsonl"),
        ("/data/{day}.parquet.gz", "does not end in"),
        ("/data/{year}/{month}.parquet", "if one file holds many days, name the file or its folder with kind: table"),
        ("s3://bucket-{year}/{day}.csv", "is not s3://bucket/name"),
        ("s3://{day}.csv", "is not s3://bucket/name"),
        ("s3://bucket-{day}/in.csv", "is not s3://bucket/name"),
        ("https://example.com/{day}.csv", "set source.kind to http"),
    ],
)
def test_an_impossible_pattern_is_refused_with_its_key(pattern: str, says: str) -> None:
    with pytest.raises(SettingsError, match=r"source.labels") as refused:
        DatedFiles("/data/{day}.csv", pattern)
    assert says in str(refused.value)


def test_a_day_without_file_is_missing_and_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=rf"nothing for 2013-04-01: {tmp_path}/inputs-2013-04-01.csv") as err:
        _source(tmp_path).inputs(DAY)
    assert "deliver the file, or correct source.inputs" in str(err.value)
    assert "there is no folder" not in str(err.value)


def test_a_missing_folder_is_a_wrong_address_and_no_day_that_is_late(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"source.labels: there is no folder .*/gone; correct source.labels, or cr"):
        _source(tmp_path / "gone").labels(DAY)


def test_a_fresh_folder_without_any_day_is_no_dead_end(tmp_path: Path) -> None:
    (tmp_path / "inputs-2013-04-01.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MissingArtifact, match=r"nothing for 2013-04-01: .*nor for any other day"):
        _source(tmp_path).labels(DAY)


@pytest.mark.parametrize("there", ["lable-2013-03-31.csv", "labels-2013-03-31.parquet", "Labels-2013-03-31.csv"])
def test_days_under_a_nearly_equal_name_show_a_wrong_address(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("a,b\n1,2\n")
    with pytest.raises(SettingsError, match=f"is called labels-{{day}}.csv for any day, but there is {there}"):
        _source(tmp_path).labels(DAY)


@pytest.mark.parametrize(
    "there", ["inputs-2013-04-01.csv", "weather-2013-04-01.csv", "README.md", "labels-2013-04-01.done"]
)
def test_other_files_in_the_folder_do_not_speak_against_an_address(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("a,b\n1,2\n")
    with pytest.raises(MissingArtifact, match="nothing for 2013-04-01"):
        _source(tmp_path).labels(DAY)


def test_a_day_folder_that_has_not_arrived_is_missing(tmp_path: Path) -> None:
    (tmp_path / "2013-03-31").mkdir()
    pattern = f"{tmp_path}/{{day}}/labels.csv"
    with pytest.raises(MissingArtifact, match="nothing for 2013-04-01"):
        DatedFiles(pattern, pattern).labels(DAY)


def test_a_folder_in_place_of_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "inputs-2013-04-01.csv").mkdir()
    with pytest.raises(DataRejected, match="is not a file; write one file a day"):
        _source(tmp_path).inputs(DAY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "inputs-2013-04-01.csv"
    path.write_text("a,b\n1,2\n")
    path.chmod(0)
    with pytest.raises(EvergreenError, match="may not be read by this user"):
        _source(tmp_path).inputs(DAY)


BROKEN_CSV = {
    "no bytes": (b"", "is empty (0 bytes)"),
    "blank lines only": (b"\n \n", "is empty"),
    "byte order mark only": (b"\xef\xbb\xbf", "is empty (no header line)"),
    "latin-1": (
        "a,b\n1,2\n3,Zürich\n".encode("latin-1"),
        "offset 11 (line 3) is no part of a character; save it as UTF-8",
    ),
    "utf-16": (
        "a,b\n1,2\n".encode("utf-16"),
        "offset 0 (line 1) is no part of a character; save it as UTF-8",
    ),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), "offset 1 (line 1) is zero; save it as UTF-8"),
    "too few fields": (
        b"a,b\n1,2\n3\n4\n",
        "2 rows have not the 2 fields of the header, the first is row 3 with 1",
    ),
    "too many fields": (
        b"a,b\n1,2,3\n",
        "1 rows have not the 2 fields of the header, the first is row 2 with 3",
    ),
    "every row too long": (b"a,b\n1,2,3\n4,5,6\n", "2 rows have not the 2 fields"),
    "open quotation": (b'a,b\n1,"2\n3,4\n', "leaves a quotation mark open"),
    "semicolons": (b"a;b\n1;2\n", "separates its fields by ';'; save it with commas"),
    "nameless column": (b",a\n0,1\n", "a column without a name (number 1)"),
    "twice the same name": (b"a,b,a\n1,2,3\n", "more than one column a"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN_CSV.values(), ids=BROKEN_CSV.keys())
def test_a_broken_csv_is_rejected_with_place_and_next_move(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "inputs-2013-04-01.csv"
    path.write_bytes(content)
    with pytest.raises(DataRejected) as rejected:
        _source(tmp_path).inputs(DAY)
    message = str(rejected.value)
    assert says in message
    assert str(path) in message


WHOLE_PARQUET = _parquet(INPUTS)
BROKEN_PARQUET = {
    "no bytes": (b"", "is empty (0 bytes)"),
    "a csv under a false name": (b"a,b\n1,2\n", "is no whole Parquet file"),
    "cut off": (WHOLE_PARQUET[:-20], "is no whole Parquet file"),
    "damaged footer": (WHOLE_PARQUET[:-60] + b"\xff" * 52 + WHOLE_PARQUET[-8:], "is no whole Parquet file"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN_PARQUET.values(), ids=BROKEN_PARQUET.keys())
def test_a_broken_parquet_is_rejected_with_next_move(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "inputs-2013-04-01.parquet"
    path.write_bytes(content)
    with pytest.raises(DataRejected, match="write the day again at its source") as rejected:
        _source(tmp_path, "parquet").inputs(DAY)
    assert says in str(rejected.value)
    assert str(path) in str(rejected.value)


def test_no_single_flipped_byte_of_a_parquet_escapes_as_another_kind_of_error() -> None:
    for at in range(0, len(WHOLE_PARQUET), 7):
        content = WHOLE_PARQUET[:at] + bytes([WHOLE_PARQUET[at] ^ 0xFF]) + WHOLE_PARQUET[at + 1 :]
        with suppress(DataRejected):
            read_table(content, "parquet", origin="x.parquet")


def test_only_an_empty_csv_field_is_null() -> None:
    table = _csv('carrier,iata\nNA,null\n,NaN\n"",None\nn/a,nan\n')
    assert table["iata"].tolist() == ["null", "NaN", "None", "nan"]
    assert table["carrier"].isna().tolist() == [False, True, True, False]
    assert table["carrier"].tolist()[0] == "NA"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "0"], "int64"),
        (["1", "", "3"], "float64"),
        (["1", "2.5", "1e-3", ".5", "-0.25"], "float64"),
        (["true", "False"], "bool"),
        (["", ""], "float64"),
        (["007", "8"], "str"),
        (["1", "NaN"], "str"),
        (["1.5", "inf"], "str"),
        (["1e999", "2.5"], "str"),
        ([" 1", "2"], "str"),
        (["1,5", "2"], "str"),
        (["123456789012345678901234567890", "1"], "str"),
        (["9007199254740993", "1"], "int64"),
        (["9007199254740993", ""], "str"),
        (["2013-04-01", "2013-04-02"], "str"),
    ],
)
def test_a_csv_column_gets_a_type_only_if_every_value_asks_for_it(values: list[str], kind: str) -> None:
    table = _csv("row,column\n" + "".join(f'{n},"{value}"\n' for n, value in enumerate(values)))
    assert str(table["column"].dtype) == kind
    if kind == "str":
        assert table["column"].fillna("").tolist() == values


def test_the_day_of_a_csv_stays_text_even_if_it_looks_like_a_number() -> None:
    assert _csv("day,a\n20130401,1\n")["day"].tolist() == ["20130401"]


@pytest.mark.parametrize("text", ['a,b\r\n1,"x,\r\ny"\r\n', '\ufeffa,b\n1,"x,\r\ny"', 'a,b\n\n1,"x,\r\ny"\n\n'])
def test_windows_line_ends_byte_order_marks_and_a_missing_last_line_end_are_read(text: str) -> None:
    table = _csv(text)
    assert list(table.columns) == ["a", "b"]
    assert table["a"].tolist() == [1]
    assert table["b"].tolist() == ["x,\r\ny"]


@pytest.mark.parametrize("text", ["day,a\n", "day,a"])
def test_a_csv_with_a_header_alone_is_a_table_without_rows(text: str) -> None:
    table = _csv(text)
    assert list(table.columns) == ["day", "a"]
    assert len(table) == 0


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    "days",
    [
        pd.Series([date(2013, 4, 1), date(2013, 4, 1)]),
        pd.Series(pd.to_datetime(["2013-04-01", "2013-04-01"])),
        pd.Series(pd.to_datetime(["2013-04-01", "2013-04-01"])).astype("datetime64[ms]"),
        pd.Series(pd.to_datetime(["2013-04-01", "2013-04-01"])).dt.tz_localize(NEW_YORK),
        pd.Series(pd.to_datetime(["2013-04-01", "2013-04-01"])).astype("category"),
        pd.Series(["2013-04-01", "2013-04-01"]),
    ],
    ids=["date", "timestamp", "milliseconds", "local midnight", "category of timestamps", "text"],
)
def test_dates_and_midnights_in_the_day_column_of_a_parquet_become_iso_text(days: pd.Series[Any]) -> None:
    table = read_table(_parquet(pd.DataFrame({"day": days, "a": [1, 2]})), "parquet", origin="x.parquet")
    assert table["day"].tolist() == ["2013-04-01", "2013-04-01"]
    assert str(table["day"].dtype) == "str"


def test_a_null_among_the_days_stays_null_for_the_contract_to_find() -> None:
    days = pd.Series([pd.Timestamp("2013-04-01"), pd.NaT])
    table = read_table(_parquet(pd.DataFrame({"day": days})), "parquet", origin="x.parquet")
    assert table["day"].isna().tolist() == [False, True]


def test_a_day_with_a_time_of_day_is_rejected_because_the_day_would_be_a_guess() -> None:
    utc = pd.Series([datetime(2013, 4, 1, tzinfo=NEW_YORK)]).dt.tz_convert("UTC")
    with pytest.raises(DataRejected, match=r"time of day in column day .*write the local date"):
        read_table(_parquet(pd.DataFrame({"day": utc})), "parquet", origin="x.parquet")


def test_every_other_column_of_a_parquet_keeps_its_type() -> None:
    frame = pd.DataFrame(
        {
            "day": [20130401, 20130402],
            "seen_at": pd.to_datetime(["2013-04-01T05:00", "2013-04-02T05:00"], utc=True),
            "born": [date(1990, 1, 1), None],
            "count": pd.array([1, None], dtype="Int64"),
            "small": pd.Series([1, 2], dtype="int8"),
            "kind": pd.Categorical(["a", "b"]),
        }
    )
    pd.testing.assert_frame_equal(read_table(_parquet(frame), "parquet", origin="x.parquet"), frame)


def test_a_key_that_was_written_as_index_comes_back_as_columns() -> None:
    content = _parquet(INPUTS.set_index(["day", "flight"]))
    assert set(read_table(content, "parquet", origin="x.parquet").columns) == set(INPUTS.columns)


def test_the_index_of_a_filtered_frame_is_no_column() -> None:
    table = read_table(_parquet(INPUTS[INPUTS["flight"] == 8]), "parquet", origin="x.parquet")
    assert list(table.columns) == list(INPUTS.columns)
    assert table.index.tolist() == [0]


# A real S3 server.


@pytest.fixture
def put(s3_root: str) -> Callable[[str, bytes], str]:
    def _put(name: str, content: bytes) -> str:
        bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
        client = boto3.session.Session().client("s3")
        client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)
        return f"{s3_root}/{name}"

    return _put


@pytest.mark.timeout(120)
def test_s3_gives_both_tables_of_a_day(s3_root: str, put: Callable[[str, bytes], str]) -> None:
    put("in/2013-04-01.parquet", _parquet(INPUTS))
    put("out/2013-04-01.csv", LABELS.to_csv(index=False).encode())
    source: Source = DatedFiles(f"{s3_root}/in/{{day}}.parquet", f"{s3_root}/out/{{day}}.csv")
    pd.testing.assert_frame_equal(source.inputs(DAY), INPUTS)
    pd.testing.assert_frame_equal(source.labels(DAY), LABELS)


@pytest.mark.timeout(120)
def test_a_day_without_object_is_missing_and_named(s3_root: str, put: Callable[[str, bytes], str]) -> None:
    put("none/2013-03-31.csv", b"a,b\n1,2\n")
    pattern = f"{s3_root}/none/{{day}}.csv"
    with pytest.raises(MissingArtifact, match=rf"nothing for 2013-04-01: {s3_root}/none/2013-04-01.csv does not exist"):
        DatedFiles(pattern, pattern).inputs(DAY)


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("s3_root")
def test_a_missing_bucket_is_told_apart() -> None:
    with pytest.raises(SettingsError, match=r"s3://nobucket/2013-04-01.csv: there is no such bucket"):
        DatedFiles("s3://nobucket/{day}.csv", "s3://nobucket/{day}.csv").inputs(DAY)


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("s3_root")
def test_a_misspelt_bucket_of_labels_never_looks_like_labels_that_are_late() -> None:
    source = DatedFiles("inputs-{day}.csv", "s3://nobucket/{day}.csv")
    with pytest.raises(SettingsError, match=r"source.labels: s3://nobucket/2013-04-01.csv: there is no such bucket"):
        source.labels(DAY)
    with pytest.raises(SettingsError, match=r"source.labels: s3://nobucket/2013-04-01.csv: there is no such bucket"):
        source.stat("labels", DAY)


@pytest.mark.timeout(120)
def test_an_object_that_has_not_arrived_has_no_description(s3_root: str) -> None:
    pattern = f"{s3_root}/none/{{day}}.csv"
    source = DatedFiles(pattern, pattern)
    with pytest.raises(MissingArtifact, match="no such object"):
        source.stat("labels", DAY)
    assert stat_of("labels", DAY, cast(Services, SimpleNamespace(source=source))) is None


@pytest.mark.timeout(120)
def test_a_misspelt_prefix_is_a_wrong_address_until_its_folder_is_created(
    s3_root: str, put: Callable[[str, bytes], str]
) -> None:
    put("churn/inputs/2013-04-01.csv", b"a,b\n1,2\n")
    source = DatedFiles(f"{s3_root}/churn/inputs/{{day}}.csv", f"{s3_root}/churn/lables/{{day}}.csv")
    with pytest.raises(MissingArtifact, match="nor for any other day"):  # nothing but the inputs: a fresh installation
        source.labels(DAY)
    put("churn/labels/2013-04-01.csv", b"a,b\n1,2\n")
    with pytest.raises(SettingsError, match=r"no object below .*/churn/lables/, but .*/churn/ holds labels/; correct"):
        source.labels(DAY)
    put("churn/lables/", b"")
    with pytest.raises(MissingArtifact, match="nothing for 2013-04-01"):
        source.labels(DAY)


@pytest.mark.timeout(120)
def test_a_misspelt_folder_far_up_is_a_wrong_address(s3_root: str, put: Callable[[str, bytes], str]) -> None:
    put("models/inputs/2013-04-01.csv", b"a,b\n1,2\n")
    source = DatedFiles(f"{s3_root}/models/inputs/{{day}}.csv", f"{s3_root}/modles/labels/{{day}}.csv")
    with pytest.raises(SettingsError, match=r"source.labels: there is no object below .*/modles/labels/"):
        source.labels(DAY)


@pytest.mark.timeout(120)
def test_s3_is_reached_as_the_variables_of_the_storage_say(
    put: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = put("as-said/2013-04-01.csv", b"a,b\n1,2\n").replace("2013-04-01", "{day}")
    monkeypatch.setenv("EVERGREEN_S3_ADDRESSING", "sideways")
    with pytest.raises(SettingsError, match="EVERGREEN_S3_ADDRESSING is 'sideways'"):
        DatedFiles(pattern, pattern).inputs(DAY)
    monkeypatch.setenv("EVERGREEN_S3_ADDRESSING", "path")
    monkeypatch.setenv("EVERGREEN_S3_TIMEOUT", "soon")
    with pytest.raises(SettingsError, match="EVERGREEN_S3_TIMEOUT is 'soon'"):
        DatedFiles(pattern, pattern).inputs(DAY)
    monkeypatch.setenv("EVERGREEN_S3_TIMEOUT", "30")
    assert len(DatedFiles(pattern, pattern).inputs(DAY)) == 1


@pytest.mark.timeout(120)
def test_a_broken_object_is_rejected_and_named(put: Callable[[str, bytes], str]) -> None:
    uri = put("broken/2013-04-01.parquet", WHOLE_PARQUET[:-20])
    pattern = uri.replace("2013-04-01", "{day}")
    with pytest.raises(DataRejected, match=f"{uri} is no whole Parquet file"):
        DatedFiles(pattern, pattern).inputs(DAY)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_an_error_that_says_what_to_check_and_shows_none(
    put: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pattern = put("guarded/2013-04-01.csv", b"a,b\n1,2\n").replace("2013-04-01", "{day}")
    monkeypatch.setenv(name, "hunter2hunter2")
    with pytest.raises(EvergreenError, match=r"guarded/2013-04-01.csv: access denied .*s3:GetObject") as refused:
        DatedFiles(pattern, pattern).inputs(DAY)
    assert not refused.value.retryable
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def own_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def _point(endpoint: str, key: str | None = "key") -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False) if key is None else monkeypatch.setenv(name, key)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    return _point


@pytest.mark.timeout(120)
def test_an_s3_server_that_is_down_is_unavailable(own_endpoint: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    own_endpoint(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=r"did not answer .*AWS_ENDPOINT_URL"):
        DatedFiles("s3://bucket/{day}.csv", "s3://bucket/{day}.csv").inputs(DAY)


def test_missing_s3_credentials_are_an_error_that_names_the_variables(
    own_endpoint: Callable[..., None],
) -> None:
    own_endpoint("http://127.0.0.1:9", None)
    with pytest.raises(EvergreenError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        DatedFiles("s3://bucket/{day}.csv", "s3://bucket/{day}.csv").inputs(DAY)


def test_an_endpoint_that_is_no_url_is_wrong_settings(own_endpoint: Callable[..., None]) -> None:
    own_endpoint("seaweedfs:8333")
    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL"):
        DatedFiles("s3://bucket/{day}.csv", "s3://bucket/{day}.csv").inputs(DAY)


def test_an_impossible_bucket_name_is_wrong_settings(own_endpoint: Callable[..., None]) -> None:
    own_endpoint("http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="is not the name of a bucket"):
        DatedFiles("s3://no bucket!/{day}.csv", "s3://no bucket!/{day}.csv").inputs(DAY)


FRAMES: dict[str, pd.DataFrame] = {
    "plain": pd.DataFrame({"day": ["2013-04-01"] * 5, "x": [1, 2, 3, 4, 5], "y": [1.5, None, 2.5, np.inf, -0.0]}),
    "whole numbers among nulls": pd.DataFrame({"x": pd.array([1, None, 3], "Int64"), "y": [1, 2, 3]}),
    "nulls only later": pd.DataFrame({"x": pd.array([1, 2, 3, None], "Int64"), "text": ["a", "b", "c", None]}),
    "small types": pd.DataFrame({"a": np.int8([1, 2]), "b": np.uint16([1, 2]), "c": np.float32([1, np.nan])}),
    "true, false and neither": pd.DataFrame({"x": pd.array([True, None, False], "boolean"), "y": [True, False, True]}),
    "dates as days": pd.DataFrame({"day": [date(2013, 4, 1), date(2013, 4, 1), None]}),
    "midnights as days": pd.DataFrame({"day": pd.to_datetime(["2013-04-01"] * 3).tz_localize("America/New_York")}),
    "points in time": pd.DataFrame({"at": pd.to_datetime(["2013-04-01 05:00", None]), "day": ["2013-04-01"] * 2}),
    "a key as index": pd.DataFrame({"x": [1, 2], "id": [7, 8], "day": ["2013-04-01"] * 2}).set_index(["id", "day"]),
    "a filtered frame": pd.DataFrame({"x": [1, 2, 3]}).iloc[[0, 2]],
    "nothing but nulls": pd.DataFrame({"x": pd.array([None, None], "Int64"), "text": pd.array([None] * 2, "str")}),
    "categories": pd.DataFrame({"code": pd.Categorical(["a", "b", "a"])}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_large_parquet_is_copied_in_batches_into_what_reading_it_whole_would_give(name: str, tmp_path: Path) -> None:
    source = _source(tmp_path, "parquet")
    FRAMES[name].to_parquet(tmp_path / f"inputs-{DAY}.parquet")
    for rows_at_once, target in ((1, tmp_path / "batches.parquet"), (10**6, tmp_path / "whole.parquet")):
        source.write("inputs", DAY, target, rows_at_once=rows_at_once)
    batches, whole = (pd.read_parquet(tmp_path / f"{each}.parquet") for each in ("batches", "whole"))
    pd.testing.assert_frame_equal(batches, whole)
    write_parquet(source.inputs(DAY), tmp_path / "read.parquet")
    pd.testing.assert_frame_equal(whole, pd.read_parquet(tmp_path / "read.parquet"))


@pytest.mark.parametrize("rows_at_once", [1, 10**6])
def test_only_a_source_whose_names_carry_the_day_adds_it_to_a_table_that_has_none(
    rows_at_once: int, tmp_path: Path
) -> None:
    pattern, target = f"{tmp_path}/inputs-{{day}}.parquet", tmp_path / "landed.parquet"
    pd.DataFrame({"x": [1, 2, 3]}).to_parquet(tmp_path / f"inputs-{DAY}.parquet")
    DatedFiles(pattern, pattern).write("inputs", DAY, target, rows_at_once=rows_at_once)
    assert list(pd.read_parquet(target)) == ["x"]
    DatedFiles(pattern, pattern, day_from_name=True).write("inputs", DAY, target, rows_at_once=rows_at_once)
    assert list(pd.read_parquet(target)["day"]) == [DAY.isoformat()] * 3


def test_no_flipped_byte_of_a_large_parquet_escapes_as_another_kind_of_error(tmp_path: Path) -> None:
    whole = _parquet(pd.DataFrame({"x": range(500), "text": [f"row {n}" for n in range(500)]}))
    for offset in range(4, len(whole), 61):
        content = bytearray(whole)
        content[offset] ^= 0xFF
        (tmp_path / f"inputs-{DAY}.parquet").write_bytes(content)
        with suppress(DataRejected):
            _source(tmp_path, "parquet").write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=1)


def test_a_time_of_day_among_the_days_of_a_large_parquet_is_rejected_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": pd.to_datetime(["2013-04-01", "2013-04-01 05:00"], format="ISO8601")})
    frame.to_parquet(tmp_path / f"inputs-{DAY}.parquet")
    with pytest.raises(DataRejected, match="has a time of day in column day"):
        _source(tmp_path, "parquet").write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=1)


def test_a_disk_without_room_is_not_the_sources_fault(tmp_path: Path) -> None:
    INPUTS.to_parquet(tmp_path / f"inputs-{DAY}.parquet")
    with pytest.raises(OSError, match="No space left on device"):
        _source(tmp_path, "parquet").write("inputs", DAY, Path("/dev/full"), rows_at_once=1)


NESTED = {
    "lists": pa.array([[1], [2, 3]]),
    "structs": pa.array([{"a": 1}, {"a": 2}]),
    "maps": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "fixed lists": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
}


@pytest.mark.parametrize("rows_at_once", [1, 10])
@pytest.mark.parametrize("name", NESTED)
def test_a_column_of_lists_or_the_like_is_rejected_by_name(name: str, rows_at_once: int, tmp_path: Path) -> None:
    table = pa.table({"day": ["2013-04-01"] * 2, "tags": NESTED[name]})
    parquet.write_table(table, tmp_path / f"inputs-{DAY}.parquet")
    source = _source(tmp_path, "parquet")
    with pytest.raises(DataRejected, match="column 'tags' holds .* make columns of plain values of it"):
        source.write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=rows_at_once)
    with pytest.raises(DataRejected, match="column 'tags' holds"):
        source.inputs(DAY)


def _repeated(text: str, rows: int) -> bytes:
    """Pack one text many times: its dictionary holds it once."""
    buffer = io.BytesIO()
    notes = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    table = pa.table({"day": ["2013-04-01"] * rows, "note": notes})
    plain = table.schema.set(1, pa.field("note", pa.string()))  # which is what a reader sees, without Arrow's own hint
    with parquet.ParquetWriter(buffer, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
    assert parquet.read_schema(pa.BufferReader(buffer.getvalue())).equals(plain)
    return buffer.getvalue()


BOMB_READER = """
import resource, sys
from pathlib import Path
from ml.adapters.sources.files import DatedFiles
from ml.adapters.sources.tables import read_table
from ml.errors import DataRejected
from datetime import date
folder = Path(sys.argv[1])
source = DatedFiles(f"{folder}/{{day}}.parquet", f"{folder}/{{day}}.parquet", max_megabytes=64)
reads = [
    lambda: source.inputs(date(2013, 4, 1)),
    lambda: source.write("inputs", date(2013, 4, 1), folder / "copy.parquet", rows_at_once=1),
    lambda: read_table((folder / "2013-04-01.parquet").read_bytes(), "parquet", origin="bomb", limit=64_000_000),
]
import pandas, pyarrow.parquet  # what every read needs, before it is measured
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in reads:
    try:
        read()
    except DataRejected as err:
        print(err)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.timeout(120)
def test_a_text_that_a_dictionary_holds_once_does_not_fill_the_memory(tmp_path: Path) -> None:
    bomb = _repeated("x" * 900_000, 6_000)
    assert len(bomb) < 1_000_000
    (tmp_path / "2013-04-01.parquet").write_bytes(bomb)
    command = [sys.executable, "-W", "ignore", "-c", BOMB_READER, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=settings.PROJECT_ROOT)
    *messages, megabytes = ran.stdout.splitlines()
    assert len(messages) == 3
    assert all("is larger than 64 MB unpacked; if that is right, raise source.max_megabytes" in m for m in messages)
    assert int(megabytes) < 600


def test_rows_that_a_footer_counts_are_not_read_if_they_are_too_many(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"day": pa.array([7] * 10_000_000)}), tmp_path / f"{DAY}.parquet")
    assert (tmp_path / f"{DAY}.parquet").stat().st_size < 1_000_000
    pattern = f"{tmp_path}/{{day}}.parquet"
    with pytest.raises(DataRejected, match="is larger than 10 MB unpacked"):
        DatedFiles(pattern, pattern, max_megabytes=10).inputs(DAY)


def test_a_file_larger_than_memory_may_hold_is_landed_in_batches_however_few_its_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": ["2013-04-01"] * 200_000, "note": [f"{n:0100}" for n in range(200_000)]})
    frame.to_parquet(tmp_path / f"{DAY}.parquet", row_group_size=50_000)
    pattern = f"{tmp_path}/{{day}}.parquet"
    source = DatedFiles(pattern, pattern, max_megabytes=16)
    source.write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=10**6)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "copy.parquet"), frame)
    with pytest.raises(DataRejected, match="is larger than 16 MB unpacked"):
        source.inputs(DAY)


def test_a_csv_of_empty_fields_is_bounded_by_their_number(tmp_path: Path) -> None:
    (tmp_path / f"inputs-{DAY}.csv").write_text("a,b,c\n" + ",,\n" * 100_000)
    files = dataclasses.replace(_source(tmp_path), max_megabytes=1)
    with pytest.raises(DataRejected, match="is larger than 1 MB unpacked"):
        files.inputs(DAY)


def test_no_flipped_bit_of_a_footer_ends_the_process_or_escapes_as_another_kind_of_error(tmp_path: Path) -> None:
    whole = _parquet(INPUTS, index=False)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    source = _source(tmp_path, "parquet")
    for bit in range(footer * 8, len(whole) * 8, 23):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << (bit % 8)
        (tmp_path / f"inputs-{DAY}.parquet").write_bytes(content)
        with suppress(DataRejected):
            source.inputs(DAY)
        with suppress(DataRejected):
            source.write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=1)


class TestTimeParts:
    """Parts of a column of times, in files whose day is that of their name."""

    CHANGE = date(2024, 3, 31)
    """The day on which the clocks go forward in Berlin."""

    def source(self, folder: Path, ending: str, times: list[Any]) -> DatedFiles:
        table = pd.DataFrame({"id": range(len(times)), "at": times})
        path = folder / f"inputs-{self.CHANGE}.{ending}"
        table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path, index=False)
        names = [str(folder / f"{asset}-{{day}}.{ending}") for asset in ("inputs", "labels")]
        zone = ZoneInfo("Europe/Berlin")
        return DatedFiles(*names, day_from_name=True, time="at", time_parts=("hour",), zone=zone)

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    @pytest.mark.parametrize(
        ("times", "hours"),
        [
            (["2024-03-31T10:30:00", None], [10, None]),
            ([None, None], [None, None]),
            (["2024-03-31T10:30:00", "2024-03-31T10:30:00Z"], [10, 12]),
            (["2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00"], [1, 3]),
        ],
    )
    @pytest.mark.parametrize("rows_at_once", [1, 100])
    def test_a_row_without_a_time_has_null_parts_and_each_instant_its_own_clock(
        self, tmp_path: Path, ending: str, times: list[Any], hours: list[Any], rows_at_once: int
    ) -> None:
        source, target = self.source(tmp_path, ending, times), tmp_path / "landed.parquet"
        source.write("inputs", self.CHANGE, target, rows_at_once=rows_at_once)
        column = parquet.read_table(target)["at_hour"]
        assert (str(column.type), column.to_pylist()) == ("int64", hours)

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    @pytest.mark.parametrize("wrong", ["soon", "31.03.2024 10:30", "2024-02-30T10:30:00"])
    def test_a_time_that_nobody_can_read_rejects_the_day_and_is_named(
        self, tmp_path: Path, ending: str, wrong: str
    ) -> None:
        source = self.source(tmp_path, ending, ["2024-03-31T10:30:00", None, wrong])
        for read in (
            lambda: source.inputs(self.CHANGE),
            lambda: source.write("inputs", self.CHANGE, tmp_path / "landed.parquet", rows_at_once=1),
        ):
            with pytest.raises(DataRejected, match=f"column 'at'.* holds '{wrong}' in row 2.*write ISO 8601"):
                read()


@pytest.mark.parametrize(("ending", "rows_at_once"), [("csv", 1000), ("parquet", 1000), ("parquet", 1)])
def test_only_named_columns_are_taken_and_one_that_is_not_there_is_named(
    tmp_path: Path, ending: str, rows_at_once: int
) -> None:
    for name, table in (("inputs", INPUTS), ("labels", LABELS)):
        path = tmp_path / f"{name}-2013-04-01.{ending}"
        table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    source = dataclasses.replace(
        _source(tmp_path, ending), inputs_columns=("day", "flight", "carrier"), labels_columns=("day", "delay")
    )
    target = tmp_path / "out.parquet"
    source.write("inputs", DAY, target, rows_at_once=rows_at_once)
    assert list(pd.read_parquet(target)) == ["day", "flight", "carrier"]
    with pytest.raises(DataRejected, match=r"no column 'delay', which source.labels_columns names; it has day, carr"):
        source.write("labels", DAY, target, rows_at_once=rows_at_once)


def test_parts_of_a_time_that_is_not_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="which source.inputs_columns leave out"):
        dataclasses.replace(_source(tmp_path), time="at", time_parts=("hour",), inputs_columns=("day", "flight"))
