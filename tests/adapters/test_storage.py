"""The storage door: one battery for a local folder and for a real S3 server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ml.adapters.local_files import write_atomically
from ml.adapters.storage import Objects, open_objects
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


def test_only_what_is_written_waits_for_the_disk_not_a_copy_of_it(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put_bytes("a", b"new")
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    objects.get_file("a", tmp_path / "copy")
    assert waits == []
    write_atomically(tmp_path / "own", lambda file: file.write(b"own"))
    assert len(waits) == 2  # the file, and its name in the folder


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
from ml.adapters.storage import open_objects
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


WRITE_FILE_FOR_EVER = """
import sys, itertools
from pathlib import Path
from ml.adapters.storage import open_objects
store, source = open_objects(sys.argv[1]), Path(sys.argv[2])
for n in itertools.count():
    source.write_bytes(bytes([n % 256]) * 20_000_000)
    print(n, flush=True)
    store.put_file("large", source)
"""


def test_writer_killed_in_the_middle_of_a_large_file_leaves_a_whole_one(objects: Objects, tmp_path: Path) -> None:
    """On S3 a file of 20 MB goes up in parts: without the last of them there is no object."""
    command = [sys.executable, "-c", WRITE_FILE_FOR_EVER, objects.root, str(tmp_path / "source")]
    for attempt in range(3):
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(2):  # the first is whole, the second is on its way
            writer.stdout.readline()
        time.sleep(0.02 + 0.05 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert objects.list() == ["large"]
        target = objects.get_file("large", tmp_path / "target")
        assert target.stat().st_size == objects.size("large") == 20_000_000
        assert len(set(target.read_bytes())) == 1


def test_list_of_more_names_than_a_page_holds(objects: Objects) -> None:
    names = [f"days/{number:04}" for number in range(1200)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: objects.put_bytes(name, b"x"), names))
    assert objects.list("days/") == names


def test_reader_never_sees_a_part_of_what_is_replaced(objects: Objects) -> None:
    objects.put_bytes("a", b"0" * 2_000_000)
    done = threading.Event()

    def replace() -> None:
        for number in range(20):
            objects.put_bytes("a", str(number % 10).encode() * 2_000_000)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        replaced = pool.submit(replace)
        while not done.is_set():
            found = objects.get_bytes("a")
            assert len(found) == 2_000_000 and len(set(found)) == 1
            if replaced.done():
                break
        replaced.result()


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
    with pytest.raises(EvergreenError, match="fix the permissions"):
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
    store = open_objects("s3://no-such-bucket/p")
    doors: list[Callable[[], object]] = [
        lambda: store.get_bytes("a"),
        lambda: store.exists("a"),
        lambda: store.size("a"),
        store.list,
    ]
    for door in doors:
        with pytest.raises(EvergreenError, match="there is no such bucket; create it") as caught:
            door()
        assert not isinstance(caught.value, MissingArtifact) and not caught.value.retryable


def test_key_that_may_only_read_reads_and_writes_nothing(
    s3_root: str, s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = open_objects(s3_root)
    store.put_bytes("a", b"before")
    (tmp_path / "large").write_bytes(b"x" * LARGE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    assert store.get_bytes("a") == b"before" and store.list() == ["a"]
    doors: list[Callable[[], object]] = [
        lambda: store.put_bytes("a", b"after"),
        lambda: store.put_file("large", tmp_path / "large"),
        lambda: store.create_bytes("new", b"x"),
        lambda: store.delete("a"),
    ]
    for door in doors:
        with pytest.raises(EvergreenError, match="access denied.*what they may do") as caught:
            door()
        assert not caught.value.retryable
    assert store.list() == ["a"] and store.get_bytes("a") == b"before"


def test_a_clock_that_is_wrong_is_named_and_not_the_key(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    genuine = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *given: genuine(*given) - timedelta(hours=2))
    with pytest.raises(
        EvergreenError, match=r"time of the request \(Request\w+\): the clock of this machine says .*\(NTP\)"
    ):
        open_objects(s3_root).put_bytes("a", b"x")
    monkeypatch.undo()


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


def test_an_endpoint_that_is_no_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "seaweedfs:8333")
    with pytest.raises(SettingsError, match="correct AWS_ENDPOINT_URL"):
        open_objects("s3://evergreen").get_bytes("a")


@pytest.mark.parametrize("root", ["", "gs://bucket/x", "s3://", "s3:///x"])
def test_root_of_another_kind_is_refused(root: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        open_objects(root)


def test_file_url_and_relative_folder_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_objects("a/b").root == str(tmp_path / "a" / "b")
    assert open_objects(f"file://{tmp_path}/c").root == str(tmp_path / "c")


@pytest.mark.parametrize("said", ["path", "auto", ""])
def test_how_the_bucket_stands_in_the_url_is_for_the_environment_to_say(
    said: str, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_S3_ADDRESSING", said)
    store = open_objects(s3_root)
    store.put_bytes("a", b"x")
    assert store.list() == ["a"]


def test_virtual_addressing_asks_a_host_of_the_buckets_name(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_S3_ADDRESSING", "virtual")
    port = os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://s3.invalid:{port}")
    with pytest.raises(Unavailable, match="http://evergreen.s3.invalid"):
        open_objects(s3_root).get_bytes("a")


@pytest.mark.parametrize(
    ("name", "value"),
    [("EVERGREEN_S3_ADDRESSING", "host"), ("EVERGREEN_S3_TIMEOUT", "soon"), ("EVERGREEN_S3_TIMEOUT", "0")],
)
def test_a_setting_of_s3_that_is_none_is_named(
    name: str, value: str, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is '{value}'; give "):
        open_objects(s3_root).get_bytes("a")


# --- a store that misbehaves ------------------------------------------------------------------------


class Unruly(threading.Thread):
    """A TCP server before the real one: what ``misbehave`` gives is answered, None passes the request on.

    ``misbehave`` is asked for each connection, with its number from 0 on; a connection carries one request.
    """

    def __init__(self, upstream: str, misbehave: Callable[[int], bytes | None]) -> None:
        super().__init__(daemon=True)
        host, _, port = upstream.removeprefix("http://").partition(":")
        self.upstream, self.misbehave = (host, int(port)), misbehave
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.asked = 0

    def run(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            number, self.asked = self.asked, self.asked + 1
            threading.Thread(target=self._answer, args=(client, self.misbehave(number)), daemon=True).start()

    def _answer(self, client: socket.socket, answer: bytes | None) -> None:
        with client, suppress(OSError):
            request = client.recv(1 << 20)
            if answer == b"":  # silence
                client.recv(1)
            elif answer is not None:
                client.sendall(answer)
            else:
                with socket.create_connection(self.upstream) as server:
                    head, _, body = request.partition(b"\r\n\r\n")
                    server.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
                    threading.Thread(target=carry, args=(client, server), daemon=True).start()
                    carry(server, client)

    def stop(self) -> None:
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


def carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


def said(status: str, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said by a test</Message></Error>".encode()
    head = [f"HTTP/1.1 {status}", "Content-Type: application/xml", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.fixture
def unruly(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Unruly]]:
    """Put a server that misbehaves before the real one."""
    started: list[Unruly] = []

    def start(misbehave: Callable[[int], bytes | None]) -> Unruly:
        started.append(Unruly(s3_server["AWS_ENDPOINT_URL"], misbehave))
        started[-1].start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", started[-1].url)
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_a_busy_store_is_asked_again_until_it_answers(s3_root: str, unruly: Callable[..., Unruly]) -> None:
    open_objects(s3_root).put_bytes("a", b"x")
    server = unruly(lambda number: said("503 Slow Down", "SlowDown") if number < 2 else None)
    assert open_objects(s3_root).get_bytes("a") == b"x"
    assert server.asked == 3


def test_a_store_that_stays_busy_is_given_up_and_is_worth_a_retry(s3_root: str, unruly: Callable[..., Unruly]) -> None:
    server = unruly(lambda _: said("503 Slow Down", "SlowDown"))
    with pytest.raises(Unavailable, match=r"the store is busy \(SlowDown 503\); try again"):
        open_objects(s3_root).put_bytes("a", b"x")
    assert server.asked == 4


def test_a_store_that_takes_the_request_and_is_silent_is_given_up(
    s3_root: str, unruly: Callable[..., Unruly], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_S3_TIMEOUT", "0.5")
    unruly(lambda _: b"")
    with pytest.raises(Unavailable, match="did not answer"):
        open_objects(s3_root).get_bytes("a")


def test_an_answer_that_breaks_off_is_asked_for_again_and_never_taken_for_the_whole(
    s3_root: str, unruly: Callable[..., Unruly]
) -> None:
    open_objects(s3_root).put_bytes("a", b"whole" * 1000)
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\nwhole"
    server = unruly(lambda number: broken if number == 0 else None)
    assert open_objects(s3_root).get_bytes("a") == b"whole" * 1000
    assert server.asked == 2
    unruly(lambda _: broken)
    with pytest.raises(Unavailable, match="did not answer"):
        open_objects(s3_root).get_bytes("a")


def test_a_file_that_never_comes_whole_leaves_nothing(
    s3_root: str, unruly: Callable[..., Unruly], tmp_path: Path
) -> None:
    open_objects(s3_root).put_bytes("a", b"whole" * 1000)
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\nwhole"
    unruly(lambda number: broken if number else None)  # the head comes first
    with pytest.raises(Unavailable, match="try again"):
        open_objects(s3_root).get_file("a", tmp_path / "here" / "a")
    assert os.listdir(tmp_path / "here") == []


def test_a_large_file_that_is_replaced_meanwhile_is_no_mixture(s3_root: str, tmp_path: Path) -> None:
    store = open_objects(s3_root)
    for number in range(2):
        (tmp_path / str(number)).write_bytes(str(number).encode() * LARGE)
    store.put_file("large", tmp_path / "0")

    def replace() -> None:
        for number in range(1, 6):
            store.put_file("large", tmp_path / str(number % 2))

    with ThreadPoolExecutor(1) as pool:
        replaced = pool.submit(replace)
        while not replaced.done():
            with suppress(Unavailable):
                found = store.get_file("large", tmp_path / "found").read_bytes()
                assert len(found) == LARGE and len(set(found)) == 1
        replaced.result()
    assert store.get_file("large", tmp_path / "found").read_bytes() == b"1" * LARGE


def test_who_created_a_name_knows_it_though_the_answer_was_lost(s3_root: str, unruly: Callable[..., Unruly]) -> None:
    """The first try writes, and its answer is lost; the second hears that the name is taken: by itself."""
    store = open_objects(s3_root)
    endpoint = os.environ["AWS_ENDPOINT_URL"]

    def lose(number: int) -> bytes | None:
        if number:
            return None
        os.environ["AWS_ENDPOINT_URL"], here = endpoint, os.environ["AWS_ENDPOINT_URL"]
        open_objects(s3_root).put_bytes("claims/lost", b"mine")
        os.environ["AWS_ENDPOINT_URL"] = here
        return said("500 Internal Server Error", "InternalError")

    unruly(lose)
    assert store.create_bytes("claims/lost", b"mine") is True
    unruly(lambda number: None if number else said("500 Internal Server Error", "InternalError"))
    assert store.create_bytes("claims/lost", b"another's") is False
    assert store.create_bytes("claims/lost", b"mine") is False, "nothing was lost: it was there before"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (said("403 Forbidden", "RequestTimeTooSkewed"), EvergreenError, "the clock of this machine says"),
        (said("400 Bad Request", "IllegalLocationConstraintException"), SettingsError, "in another region"),
        (said("400 Bad Request", "ExpiredToken"), EvergreenError, "access denied"),
        (said("507 Insufficient Storage", "InsufficientStorage"), Unavailable, "try again"),
    ],
)
def test_what_a_store_may_say_has_its_own_next_move(
    answer: bytes, kind: type[EvergreenError], words: str, s3_root: str, unruly: Callable[..., Unruly]
) -> None:
    unruly(lambda _: answer)
    with pytest.raises(kind, match=words):
        open_objects(s3_root).put_bytes("a", b"x")
