"""The storage door: one battery for a local folder and for a real S3 server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml.adapters.objects import Objects, open_objects
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable

LARGE = 20 * 1024 * 1024


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Open an empty store of each kind."""
    if request.param == "local":
        return open_objects(str(tmp_path / "storage"))
    return open_objects(request.getfixturevalue("s3_root"))


def test_bytes_come_back_as_they_were_put(objects: Objects) -> None:
    uri = objects.put_bytes("runs/a/model.bin", b"\x00\xff")
    assert objects.get_bytes("runs/a/model.bin") == b"\x00\xff"
    assert uri == objects.uri("runs/a/model.bin")
    assert uri == f"{objects.root}/runs/a/model.bin"
    assert objects.size("runs/a/model.bin") == 2


def test_empty_object_is_an_object(objects: Objects) -> None:
    objects.put_bytes("empty", b"")
    assert objects.exists("empty")
    assert objects.get_bytes("empty") == b""


def test_put_replaces_what_was_there(objects: Objects) -> None:
    objects.put_bytes("a", b"a longer first")
    objects.put_bytes("a", b"second")
    assert objects.get_bytes("a") == b"second"


def test_large_file_makes_the_round_trip(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(LARGE))
    objects.put_file("large.bin", source)
    target = objects.get_file("large.bin", tmp_path / "new folder" / "target")
    assert target == tmp_path / "new folder" / "target"
    assert target.read_bytes() == source.read_bytes()


def test_put_file_copies_so_that_later_writes_to_the_source_change_nothing(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"before")
    objects.put_file("copy", source)
    with source.open("r+b") as file:
        file.write(b"after!")
    assert objects.get_bytes("copy") == b"before"


def test_get_file_replaces_the_target_and_leaves_no_temporary(objects: Objects, tmp_path: Path) -> None:
    objects.put_bytes("a", b"new")
    target = tmp_path / "here" / "a"
    target.parent.mkdir()
    target.write_bytes(b"old")
    objects.get_file("a", target)
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["a"]


def test_failed_get_file_leaves_the_target_as_it_was(objects: Objects, tmp_path: Path) -> None:
    target = tmp_path / "here" / "a"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(MissingArtifact):
        objects.get_file("nothing", target)
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["a"]


def test_create_writes_once_and_then_refuses(objects: Objects) -> None:
    assert objects.create_bytes("claims/x", b"first") is True
    assert objects.create_bytes("claims/x", b"second") is False
    assert objects.get_bytes("claims/x") == b"first"


def test_of_many_creators_at_once_exactly_one_wins(objects: Objects) -> None:
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        return objects.create_bytes("claims/y", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert objects.get_bytes("claims/y") == str(won.index(True)).encode()


def test_created_name_can_be_created_again_after_delete(objects: Objects) -> None:
    objects.create_bytes("claims/z", b"1")
    objects.delete("claims/z")
    assert objects.create_bytes("claims/z", b"2") is True


@pytest.mark.parametrize("read", ["get_bytes", "size"])
def test_reading_what_is_not_there_names_it(objects: Objects, read: str) -> None:
    with pytest.raises(MissingArtifact, match="no/such.parquet"):
        getattr(objects, read)("no/such.parquet")


def test_putting_a_file_that_is_not_there_names_it(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="nowhere"):
        objects.put_file("a", tmp_path / "nowhere")
    assert not objects.exists("a")


def test_exists_tells_objects_from_their_prefixes(objects: Objects) -> None:
    objects.put_bytes("a/b", b"x")
    assert objects.exists("a/b")
    assert not objects.exists("a")
    assert not objects.exists("a/bc")


def test_delete_twice_is_as_once(objects: Objects) -> None:
    objects.put_bytes("a/b", b"x")
    objects.delete("a/b")
    objects.delete("a/b")
    assert not objects.exists("a/b")


def test_list_is_sorted_and_takes_any_string_as_prefix(objects: Objects) -> None:
    for name in ("runs/b", "runs/a/2", "runs/a/1", "runs2", "other"):
        objects.put_bytes(name, b"x")
    assert objects.list() == ["other", "runs/a/1", "runs/a/2", "runs/b", "runs2"]
    assert objects.list("runs/") == ["runs/a/1", "runs/a/2", "runs/b"]
    assert objects.list("runs") == ["runs/a/1", "runs/a/2", "runs/b", "runs2"]
    assert objects.list("runs/a/2") == ["runs/a/2"]
    assert objects.list("nothing/") == []


def test_list_of_an_untouched_store_is_empty(objects: Objects) -> None:
    assert objects.list() == []


def test_names_may_hold_what_partitions_need(objects: Objects) -> None:
    name = "predictions/day=2013-04-01/version=3 (late) ü+%41.parquet"
    objects.put_bytes(name, b"x")
    assert objects.list("predictions/") == [name]
    assert objects.get_bytes(name) == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a//b",
        "a/",
        ".",
        "a/./b",
        "a\\b",
        "a\nb",
        "a\0b",
        "a/.x.tmp",
    ],
)
def test_name_that_leaves_the_root_is_refused_by_every_door(objects: Objects, name: str, tmp_path: Path) -> None:
    doors: list[Callable[[], object]] = [
        lambda: objects.uri(name),
        lambda: objects.put_bytes(name, b"x"),
        lambda: objects.put_file(name, tmp_path),
        lambda: objects.create_bytes(name, b"x"),
        lambda: objects.get_bytes(name),
        lambda: objects.get_file(name, tmp_path / "out"),
        lambda: objects.exists(name),
        lambda: objects.delete(name),
    ]
    for door in doors:
        with pytest.raises(EvergreenError, match="cannot name an object"):
            door()


def test_list_does_not_leave_the_root(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    with pytest.raises(EvergreenError, match="cannot name an object"):
        objects.list("../")
    assert objects.list("..") == []


WRITE_FOR_EVER = """
import sys, itertools
from ml.adapters.objects import open_objects
store = open_objects(sys.argv[1])
for n in itertools.count():
    store.put_bytes("a", bytes([n % 256]) * 3_000_000)
    print(n, flush=True)
"""


def test_killed_writer_leaves_whole_objects_only(tmp_path: Path) -> None:
    store = open_objects(str(tmp_path))
    for attempt in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, store.root], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.005 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        data = store.get_bytes("a")
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
        assert store.list() == ["a"]


def test_leftover_of_a_killed_writer_is_not_listed_and_is_swept_in_time(tmp_path: Path) -> None:
    store = open_objects(str(tmp_path))
    fresh, old = tmp_path / "a" / ".0-1.tmp", tmp_path / "a" / ".0-2.tmp"
    fresh.parent.mkdir()
    fresh.write_bytes(b"half")
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store.list() == []
    store.put_bytes("a/b", b"x")
    assert store.list() == ["a/b"]
    assert fresh.exists()
    assert not old.exists()


def test_file_in_a_folder_that_may_not_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "a")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EvergreenError, match="mend the permissions"):
        open_objects(str(tmp_path)).put_bytes("a", b"x")


def test_full_disk_is_worth_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = open_objects(str(tmp_path))
    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(Unavailable, match="No space left"):
        store.put_bytes("a", b"x")
    assert os.listdir(tmp_path) == []


def test_wrong_key_is_denied_and_not_retried(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(EvergreenError, match=r"deep/a: access denied.*AWS_ACCESS_KEY_ID") as caught:
        open_objects(s3_root).get_bytes("a")
    assert not caught.value.retryable


def test_missing_bucket_is_not_a_missing_object(s3_root: str) -> None:
    with pytest.raises(EvergreenError, match="bucket does not exist") as caught:
        open_objects("s3://no-such-bucket/p").get_bytes("a")
    assert not isinstance(caught.value, MissingArtifact)


def test_silent_endpoint_is_worth_a_retry_and_soon_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="127.0.0.1:9 did not answer"):
        open_objects("s3://evergreen").get_bytes("a")
    assert time.monotonic() - begun < 30


def test_no_credentials_says_which_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="set AWS_ACCESS_KEY_ID"):
        open_objects("s3://evergreen").get_bytes("a")


@pytest.mark.parametrize("root", ["", "gs://bucket/x", "s3://", "s3:///x"])
def test_root_of_another_kind_is_refused(root: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        open_objects(root)


def test_file_url_and_relative_folder_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_objects("a/b").root == str(tmp_path / "a" / "b")
    assert open_objects(f"file://{tmp_path}/c").root == str(tmp_path / "c")
