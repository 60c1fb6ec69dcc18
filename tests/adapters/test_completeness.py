"""A delivery that is not whole yet is not taken: markers, manifests and ages of files, objects and URLs."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from ml.adapters.sources.files import DatedFiles
from ml.adapters.sources.http import DatedUrls
from ml.errors import DataRejected, MissingArtifact, SettingsError
from ml.settings import Complete, parse

DAY = date(2013, 4, 1)
WHOLE = b"day,id\n2013-04-01,1\n2013-04-01,2\n2013-04-01,3\n"
HALF = WHOLE[:33]
Source = Callable[[Complete], DatedFiles | DatedUrls]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture(params=["files", "http"])
def source(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Source:
    """Give a source of ``tmp_path``; a marker's or manifest's name is below the same root."""

    def _source(complete: Complete) -> DatedFiles | DatedUrls:
        root = str(tmp_path) if request.param == "files" else url
        names = {key: f"{root}/{name}" for key, name in complete if isinstance(name, str)}
        patterns = [f"{root}/{asset}-{{day}}.csv" for asset in ("inputs", "labels")]
        made = complete.model_copy(update=names)
        if request.param == "files":
            return DatedFiles(*patterns, complete=made)
        return DatedUrls(*patterns, table_format="csv", complete=made, retries=0, timeout_seconds=5)

    return _source


def _put(folder: Path, name: str, content: bytes = b"", *, age: float = 60.0) -> None:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)


def test_a_half_file_waits_for_its_marker(tmp_path: Path, source: Source) -> None:
    marked = source(Complete(marker="{asset}-{day}.done"))
    _put(tmp_path, "inputs-2013-04-01.csv", HALF)
    with pytest.raises(
        MissingArtifact, match=r"not complete yet: .*inputs-2013-04-01.csv of 2013-04-01: there is no .*"
    ):
        marked.inputs(DAY)
    _put(tmp_path, "inputs-2013-04-01.csv", WHOLE)
    _put(tmp_path, "inputs-2013-04-01.done")
    assert len(marked.inputs(DAY)) == 3
    with pytest.raises(MissingArtifact):
        marked.labels(DAY)


@pytest.mark.parametrize(
    "manifest",
    [
        json.dumps({"rows": 3}),
        json.dumps({"bytes": len(WHOLE), "rows": 3}),
        json.dumps({"md5": hashlib.md5(WHOLE).hexdigest()}),
        json.dumps({"inputs": {"sha256": hashlib.sha256(WHOLE).hexdigest().upper()}, "labels": {"rows": 9}}),
        "rows=3\nby=nightly",
        "rows: 3\n",
        "3\n",
        f"{hashlib.md5(WHOLE).hexdigest()}  inputs-2013-04-01.csv\n",
        f"{hashlib.sha256(WHOLE).hexdigest()} *inputs-2013-04-01.csv\n",
        "\ufeff" + json.dumps({"rows": 3}),
    ],
)
def test_a_file_is_held_against_its_manifest(tmp_path: Path, source: Source, manifest: str) -> None:
    stated = source(Complete(manifest="{day}.manifest"))
    _put(tmp_path, "inputs-2013-04-01.csv", WHOLE)
    with pytest.raises(MissingArtifact, match="not complete yet"):
        stated.inputs(DAY)
    _put(tmp_path, "2013-04-01.manifest", manifest.encode())
    assert len(stated.inputs(DAY)) == 3
    _put(tmp_path, "inputs-2013-04-01.csv", HALF)
    with pytest.raises(DataRejected, match=r"inputs-2013-04-01.csv has .* and its manifest .* states"):
        stated.inputs(DAY)


def test_a_wrong_count_names_both_numbers(tmp_path: Path, source: Source) -> None:
    _put(tmp_path, "inputs-2013-04-01.csv", HALF)
    _put(tmp_path, "2013-04-01.json", b'{"rows": 3000}')
    with pytest.raises(DataRejected, match=r"has 2 rows, and its manifest .*2013-04-01.json states 3,000; deliver"):
        source(Complete(manifest="{day}.json")).inputs(DAY)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{", b"[3]", b"hello", b'{"rows": -1}', b'{"rows": true}', b'{"md5": "x"}', b"\xff\xfe", b'{"a": 1}'],
)
def test_a_manifest_that_states_nothing_is_rejected(tmp_path: Path, source: Source, manifest: bytes) -> None:
    _put(tmp_path, "inputs-2013-04-01.csv", WHOLE)
    _put(tmp_path, "2013-04-01.json", manifest)
    with pytest.raises(DataRejected, match=r"2013-04-01.json (is no manifest|states)"):
        source(Complete(manifest="{day}.json")).inputs(DAY)


def test_a_manifest_of_the_inputs_alone_says_nothing_of_labels(tmp_path: Path, source: Source) -> None:
    _put(tmp_path, "labels-2013-04-01.csv", WHOLE)
    _put(tmp_path, "2013-04-01.json", b'{"inputs": {"rows": 3}}')
    with pytest.raises(MissingArtifact, match="not complete yet: .*says nothing of labels"):
        source(Complete(manifest="{day}.json")).labels(DAY)


def test_a_young_file_is_left_alone_until_it_is_old_enough(tmp_path: Path, source: Source) -> None:
    aged = source(Complete.model_validate({"min_age": "5 minutes"}))
    _put(tmp_path, "inputs-2013-04-01.csv", HALF, age=10)
    with pytest.raises(
        MissingArtifact, match=r"not complete yet: .* 1\d s ago, and source.complete.min_age asks for 300 s"
    ):
        aged.inputs(DAY)
    _put(tmp_path, "inputs-2013-04-01.csv", WHOLE, age=301)
    assert len(aged.inputs(DAY)) == 3


def test_a_marker_of_an_earlier_delivery_does_not_speak_for_a_later_one(tmp_path: Path) -> None:
    files = DatedFiles(
        f"{tmp_path}/inputs-{{day}}.csv",
        f"{tmp_path}/labels-{{day}}.csv",
        complete=Complete(marker=f"{tmp_path}/{{day}}.done"),
    )
    _put(tmp_path, "inputs-2013-04-01.csv", WHOLE, age=100)
    _put(tmp_path, "2013-04-01.done", age=99)
    _put(tmp_path, "labels-2013-04-01.csv", HALF, age=5)
    assert len(files.inputs(DAY)) == 3
    with pytest.raises(
        MissingArtifact, match="it was changed at .* after its marker .*; write the marker after the file"
    ):
        files.labels(DAY)
    _put(tmp_path, "2013-04-01.done", age=1)
    assert len(files.labels(DAY)) == 2


def test_a_day_without_file_is_missing_whatever_the_marker(tmp_path: Path, source: Source) -> None:
    _put(tmp_path, "2013-04-01.done")
    with pytest.raises(MissingArtifact, match="nothing for 2013-04-01"):
        source(Complete(marker="{day}.done")).inputs(DAY)


def test_a_marker_in_a_folder_that_is_not_there_is_a_wrong_address(tmp_path: Path) -> None:
    _put(tmp_path, "2013-04-01.csv", WHOLE)
    pattern = f"{tmp_path}/{{day}}.csv"
    files = DatedFiles(pattern, pattern, complete=Complete(marker=f"{tmp_path}/makers/{{day}}"))
    with pytest.raises(SettingsError, match=r"source.complete.marker: there is no folder .*/makers"):
        files.inputs(DAY)


def test_a_large_file_is_held_against_its_manifest_too(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"day": ["2013-04-01"] * 3, "id": [1, 2, 3]}).to_parquet(tmp_path / "2013-04-01.parquet")
    pattern = f"{tmp_path}/{{day}}.parquet"
    files = DatedFiles(pattern, pattern, complete=Complete(manifest=f"{tmp_path}/{{day}}.json"))
    for rows, whole in ((3, True), (4, False)):
        _put(tmp_path, "2013-04-01.json", json.dumps({"rows": rows}).encode())
        if whole:
            files.write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=1)
            continue
        with pytest.raises(DataRejected, match="has 3 rows, and its manifest .* states 4"):
            files.write("inputs", DAY, tmp_path / "copy.parquet", rows_at_once=1)


@pytest.mark.timeout(120)
def test_objects_wait_for_markers_manifests_and_ages(s3_root: str) -> None:
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")

    def put(name: str, content: bytes) -> None:
        boto3.session.Session().client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)

    def files(**how: object) -> DatedFiles:
        pattern = f"{s3_root}/{{day}}.csv"
        return DatedFiles(pattern, pattern, complete=Complete.model_validate(how))

    put("2013-04-01.csv", WHOLE)
    for how in ({"marker": f"{s3_root}/{{day}}.done"}, {"manifest": f"{s3_root}/{{day}}.json"}, {"min_age": 3600}):
        with pytest.raises(MissingArtifact, match="not complete yet"):
            files(**how).inputs(DAY)
    put("2013-04-01.done", b"")
    put("2013-04-01.json", json.dumps({"bytes": len(WHOLE)}).encode())
    assert len(files(marker=f"{s3_root}/{{day}}.done").inputs(DAY)) == 3
    assert len(files(manifest=f"{s3_root}/{{day}}.json").inputs(DAY)) == 3
    with pytest.raises(SettingsError, match=r"source.complete.marker: s3://nobucket/.*: there is no such bucket"):
        files(marker="s3://nobucket/{day}.done").inputs(DAY)


@pytest.mark.parametrize(
    ("complete", "says"),
    [
        ({}, "exactly one of marker, manifest and min_age"),
        ({"marker": "{day}", "min_age": 5}, "exactly one"),
        ({"marker": "done"}, "names no {day}"),
        ({"manifest": "{date}-{day}"}, "other braces"),
        ({"min_age": "soon"}, "min_age"),
        ({"min_age": 0}, "min_age"),
        ({"marker": "{day}", "of": 1}, "of"),
    ],
)
def test_settings_that_say_nothing_or_too_much_are_refused(complete: dict[str, object], says: str) -> None:
    source = {"kind": "files", "inputs": "i/{day}.csv", "labels": "l/{day}.csv", "complete": complete}
    with pytest.raises(SettingsError, match="source") as refused:
        parse({"source": source})
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("said", "seconds"), [(90, 90), ("90", 90), ("10 minutes", 600), ("2h", 7200), ("1.5 min", 90)]
)
def test_an_age_has_a_unit_or_is_in_seconds(said: object, seconds: float) -> None:
    assert Complete.model_validate({"min_age": said}).min_age == seconds
