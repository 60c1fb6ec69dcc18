"""The data registry against real Git, real DVC and real stores."""

from __future__ import annotations

import multiprocessing
import os
import stat
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.adapters.data_registry import DataRegistry, commits, git
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Asset
from tests.adapters.conftest import Write, run_stock

DAY = date(2013, 4, 1)


@pytest.fixture(params=["folder", "url", "s3"])
def any_registry(request: pytest.FixtureRequest, tmp_path: Path) -> DataRegistry:
    """Create a registry: embedded, behind a Git URL, and with its data in S3."""
    made: DataRegistry = request.getfixturevalue("registry")
    if request.param == "url":
        run_stock(tmp_path, "git", "init", "--bare", "-b", "main", "server.git")
        made = replace(made, url=f"file://{tmp_path}/server.git")
    elif request.param == "s3":
        made = replace(made, url=str(tmp_path / "s3.git"), remote=request.getfixturevalue("s3_root"))
    made.create()
    return made


def test_committed_day_is_read_back(any_registry: DataRegistry, write: Write) -> None:
    source = write("one")
    version = any_registry.commit({("inputs", DAY): source}, message="Add 2013-04-01")
    assert version.changed
    assert any_registry.head() == version.rev
    assert {day: path.read_text() for day, path in any_registry.open("inputs").items()} == {DAY: "one"}
    (found,) = any_registry.days("inputs").values()
    assert (found.day, found.md5, found.bytes) == (DAY, "f97c5d29941bfb1b2fdab0874906ab82", 3)
    assert any_registry.days("labels") == {}


def test_day_is_read_on_a_machine_that_has_nothing(any_registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    any_registry.commit({("inputs", DAY): write("one"), ("labels", DAY): write("two")}, message="Add")
    elsewhere = replace(any_registry, cache=tmp_path / "elsewhere", head_file=None)
    assert elsewhere.open("inputs")[DAY].read_text() == "one"
    assert elsewhere.open("labels")[DAY].read_text() == "two"


def test_stock_git_and_dvc_read_the_registry(any_registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    any_registry.commit({("inputs", DAY): write("one"), ("labels", DAY): write("two")}, message="Add")
    any_registry.commit({("inputs", DAY + timedelta(1)): write("three")}, message="Add another")
    run_stock(tmp_path, "git", "clone", "-q", any_registry.url, "clone")
    clone = tmp_path / "clone"
    run_stock(clone, "dvc", "pull")
    found = {str(path.relative_to(clone)): path.read_text() for path in sorted(clone.glob("*/day=*"))}
    assert found == {
        "inputs/day=2013-04-01.parquet": "one",
        "inputs/day=2013-04-02.parquet": "three",
        "labels/day=2013-04-01.parquet": "two",
    }
    assert "up to date" in run_stock(clone, "dvc", "status")
    assert "in sync" in run_stock(clone, "dvc", "status", "--cloud")
    assert run_stock(clone, "git", "status", "--porcelain") == ""
    run_stock(clone, "dvc", "commit", "-f")
    assert run_stock(clone, "git", "status", "--porcelain") == "", "DVC writes the same .dvc files itself"


def test_day_that_a_person_adds_with_dvc_is_read_and_kept(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    registry.commit({("inputs", DAY): write("one")}, message="Add")
    run_stock(tmp_path, "git", "clone", "-q", registry.url, "clone")
    clone = tmp_path / "clone"
    (clone / "inputs").mkdir()
    (clone / "inputs" / "day=2013-04-02.parquet").write_text("by hand")
    (clone / "inputs" / "notes.txt").write_text("not a day")
    run_stock(clone, "dvc", "add", "inputs/day=2013-04-02.parquet", "inputs/notes.txt")
    run_stock(clone, "dvc", "push")
    run_stock(clone, "git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "By hand")
    run_stock(clone, "git", "push", "-q", "origin", "main")
    fresh = replace(registry, cache=tmp_path / "fresh")
    assert {day: file.bytes for day, file in fresh.days("inputs").items()} == {DAY: 3, date(2013, 4, 2): 7}
    registry.commit({("inputs", date(2013, 4, 3)): write("three")}, message="Add on top")
    assert [path.read_text() for path in registry.open("inputs").values()] == ["one", "by hand", "three"]
    run_stock(clone, "git", "pull", "-q")
    run_stock(clone, "dvc", "pull")
    assert (clone / "inputs" / "notes.txt").read_text() == "not a day"


def test_adding_a_day_needs_no_other_day_on_disk(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    registry.commit({("inputs", DAY): write("one")}, message="Add")
    other = replace(registry, cache=tmp_path / "other")
    other.commit({("inputs", DAY + timedelta(1)): write("two")}, message="Add")
    assert len(_cached(other)) == 1
    assert [path.read_text() for path in registry.open("inputs").values()] == ["one", "two"]


def test_window_fetches_only_its_days(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    _commit_days(registry, write, 10)
    reader = replace(registry, cache=tmp_path / "reader")
    window = reader.open("inputs", first_day=DAY + timedelta(3), last_day=DAY + timedelta(5))
    assert list(window) == [DAY + timedelta(n) for n in (3, 4, 5)]
    assert _cached(reader) == sorted(window.values())


def test_a_window_without_any_day_is_an_error_unless_it_may_be_empty(registry: DataRegistry, write: Write) -> None:
    _commit_days(registry, write, 3)
    beyond = {"first_day": DAY + timedelta(10), "last_day": DAY + timedelta(12)}
    with pytest.raises(MissingArtifact):
        registry.open("inputs", **beyond)
    assert registry.open("inputs", **beyond, may_be_empty=True) == {}


def test_second_read_needs_no_remote(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    _commit_days(registry, write, 3)
    reader = replace(registry, cache=tmp_path / "reader")
    first = reader.open("inputs")
    Path(registry.remote).rename(tmp_path / "gone")
    assert reader.open("inputs") == first


def test_files_in_the_cache_are_read_only_copies(registry: DataRegistry, write: Write) -> None:
    source = write("one")
    before = source.stat()
    registry.commit({("inputs", DAY): source}, message="Add")
    after = source.stat()
    assert (before.st_mtime_ns, before.st_mode, before.st_ino) == (
        after.st_mtime_ns,
        after.st_mode,
        after.st_ino,
    )
    with source.open("r+") as file:
        file.write("two")
    cached = registry.open("inputs")[DAY]
    assert cached.read_text() == "one"
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444


def test_same_content_again_changes_nothing_and_names_the_version_that_brought_it(
    any_registry: DataRegistry, write: Write
) -> None:
    first = any_registry.commit({("inputs", DAY): write("one")}, message="Add")
    second = any_registry.commit({("labels", DAY): write("l")}, message="Add labels")
    third = any_registry.commit({("inputs", DAY + timedelta(1)): write("two")}, message="Add the next day")
    again = any_registry.commit({("inputs", DAY): write("one")}, message="Add")
    assert again == first.model_copy(update={"changed": False})
    both = any_registry.commit({("inputs", DAY): write("one"), ("labels", DAY): write("l")}, message="Add")
    assert both == second.model_copy(update={"changed": False})
    assert any_registry.head() == third.rev


def test_correction_makes_a_version_and_keeps_the_old_one_readable(
    registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    old = registry.commit({("inputs", DAY): write("one")}, message="Add 2013-04-01")
    new = registry.commit({("inputs", DAY): write("two")}, message="Correct 2013-04-01")
    assert new.changed
    fresh = replace(registry, cache=tmp_path / "fresh")
    assert fresh.open("inputs", rev=old.rev)[DAY].read_text() == "one"
    assert fresh.open("inputs", rev=old.rev[:10])[DAY].read_text() == "one"
    assert fresh.open("inputs")[DAY].read_text() == "two"
    back = registry.commit({("inputs", DAY): write("one")}, message="Take the correction back")
    assert back.changed
    assert registry.commit({("inputs", DAY): write("one")}, message="Again").rev == back.rev


def test_git_shows_which_day_changed(registry: DataRegistry, write: Write) -> None:
    _commit_days(registry, write, 3)
    registry.commit({("inputs", DAY): write("corrected")}, message="Correct 2013-04-01")
    shown = run_stock(Path(registry.url), "git", "show", "--format=%s", "-U0", "main", "--", "manifest.csv")
    changed = [line.split(",")[0] for line in shown.splitlines() if line.startswith(("+i", "-i"))]
    assert changed == ["-inputs/day=2013-04-01.parquet", "+inputs/day=2013-04-01.parquet"]
    assert shown.startswith("Correct 2013-04-01")


def test_history_is_newest_first_and_limited(any_registry: DataRegistry, write: Write) -> None:
    first = any_registry.commit({("inputs", DAY): write("1")}, message="One\n\nwith: a body")
    second = any_registry.commit({("inputs", DAY): write("2")}, message="Two – ü")
    assert any_registry.history(2) == [second, first]
    assert [version.message for version in any_registry.history()][-1] == "Start the data registry"
    assert any_registry.history(0) == []


def test_nothing_to_commit_is_no_version(registry: DataRegistry) -> None:
    head = registry.head()
    version = registry.commit({}, message="Nothing")
    assert (version.rev, version.changed) == (head, False)


def test_head_file_follows_the_head_and_is_touched_only_when_it_changes(registry: DataRegistry, write: Write) -> None:
    assert registry.head_file is not None
    version = registry.commit({("inputs", DAY): write("1")}, message="Add")
    assert registry.head_file.read_text().strip() == version.rev
    before = registry.head_file.stat()
    registry.head()
    registry.commit({("inputs", DAY): write("1")}, message="Add")
    assert registry.head_file.stat().st_mtime_ns == before.st_mtime_ns
    assert registry.head_file.stat().st_ino == before.st_ino


def test_head_file_learns_what_another_process_committed(
    any_registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    other = replace(any_registry, cache=tmp_path / "other", head_file=tmp_path / "other head")
    version = other.commit({("inputs", DAY): write("1")}, message="Add")
    assert any_registry.head_file is not None
    any_registry.open("inputs")
    assert any_registry.head_file.read_text().strip() == version.rev


def test_missing_day_names_the_day_the_version_and_its_neighbours(registry: DataRegistry, write: Write) -> None:
    for offset in (0, 5):
        registry.commit({("inputs", DAY + timedelta(offset)): write("x")}, message="Add")
    gap = DAY + timedelta(2)
    with pytest.raises(MissingArtifact, match=rf"{registry.head()}.*inputs on 2013-04-03.*2013-04-01 and 2013-04-06"):
        registry.open("inputs", first_day=gap, last_day=gap)
    with pytest.raises(MissingArtifact, match="labels from .* none at all"):
        registry.open("labels", first_day=gap)
    assert list(registry.open("inputs", last_day=gap)) == [DAY]


@pytest.mark.parametrize("rev", ["0" * 40, "no-such-tag", "--help", "a..b", "HEAD^{tree}"])
def test_unknown_version_is_a_missing_artifact(any_registry: DataRegistry, rev: str) -> None:
    with pytest.raises(MissingArtifact, match="has no version"):
        any_registry.days("inputs", rev)


def test_no_registry_says_to_run_setup(tmp_path: Path) -> None:
    for url in (str(tmp_path / "none.git"), f"file://{tmp_path}/none.git"):
        nowhere = DataRegistry(url=url, remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
        with pytest.raises(MissingArtifact, match="run 'make setup'"):
            nowhere.head()


def test_git_server_that_does_not_answer_is_worth_a_retry(tmp_path: Path) -> None:
    silent = DataRegistry(
        url="http://127.0.0.1:9/registry.git", remote=str(tmp_path / "remote"), cache=tmp_path / "cache"
    )
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        silent.head()


def test_store_that_does_not_answer_leaves_the_registry_as_it_was(
    s3_root: str, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = DataRegistry(url=str(tmp_path / "a.git"), remote=s3_root, cache=tmp_path / "cache")
    made.create()
    head = made.head()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
            made.commit({("inputs", DAY): write("1")}, message="Add")
    assert made.head() == head
    assert made.commit({("inputs", DAY): write("1")}, message="Add").changed


def test_file_that_is_not_there_is_named(registry: DataRegistry, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="nowhere.parquet"):
        registry.commit({("inputs", DAY): tmp_path / "nowhere.parquet"}, message="Add")


def test_object_lost_from_the_remote_is_named_and_heals_by_committing_again(
    registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    registry.commit({("inputs", DAY): write("1")}, message="Add")
    (lost,) = [path for path in Path(registry.remote).rglob("*") if path.is_file() and ".dir" not in path.name]
    lost.unlink()
    reader = replace(registry, cache=tmp_path / "reader")
    with pytest.raises(MissingArtifact, match="inputs of 2013-04-01.*commit the day again"):
        reader.open("inputs")


def test_damaged_object_is_never_handed_out(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    (stored,) = [path for path in Path(registry.remote).rglob("*") if path.is_file() and ".dir" not in path.name]
    stored.write_text("evil")
    reader = replace(registry, cache=tmp_path / "reader")
    with pytest.raises(EvergreenError, match="is damaged"):
        reader.open("inputs")
    assert _cached(reader) == []


def test_truncated_cache_file_is_fetched_again(registry: DataRegistry, write: Write) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    cached = registry.open("inputs")[DAY]
    cached.unlink()
    cached.write_text("go")
    assert registry.open("inputs")[DAY].read_text() == "good"


def test_create_twice_keeps_what_is_there(any_registry: DataRegistry, write: Write) -> None:
    version = any_registry.commit({("inputs", DAY): write("1")}, message="Add")
    any_registry.create()
    assert any_registry.head() == version.rev


def test_create_needs_an_existing_repository_behind_a_url(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact):
        DataRegistry(
            url=f"file://{tmp_path}/none.git", remote=str(tmp_path / "remote"), cache=tmp_path / "cache"
        ).create()


def test_another_remote_than_the_recorded_one_is_refused(registry: DataRegistry, write: Write) -> None:
    wrong = replace(registry, remote="s3://somewhere/else")
    with pytest.raises(SettingsError, match="EVERGREEN_REGISTRY_REMOTE"):
        wrong.create()
    with pytest.raises(SettingsError, match="EVERGREEN_REGISTRY_REMOTE"):
        wrong.commit({("inputs", DAY): write("1")}, message="Add")


def test_registry_holds_no_secret_and_no_endpoint(
    s3_root: str, s3_server: dict[str, str], tmp_path: Path, write: Write
) -> None:
    made = DataRegistry(url=str(tmp_path / "a.git"), remote=s3_root, cache=tmp_path / "cache")
    made.create()
    made.commit({("inputs", DAY): write("1")}, message="Add")
    text = run_stock(tmp_path / "a.git", "git", "log", "-p", "main")
    assert not [name for name, value in s3_server.items() if name != "AWS_DEFAULT_REGION" and value in text]
    assert s3_root in text


def test_needs_no_home_no_user_and_ignores_a_surrounding_hook(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "home"
    empty.mkdir()
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty))
    run_stock(tmp_path, "git", "init", "-q", "-b", "trunk", "outer")
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_QUARANTINE_PATH", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "outer" / ".git" / name.lower()))
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='nonsense'")
    made = DataRegistry(url=str(tmp_path / "a.git"), remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    made.create()
    made.commit({("inputs", DAY): write("1")}, message="Add")
    assert made.open("inputs")[DAY].read_text() == "1"
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    shown = run_stock(tmp_path / "a.git", "git", "log", "-1", "--format=%an <%ae> %D", "main")
    assert shown.strip() == "Evergreen <evergreen@localhost> HEAD -> main"
    assert list(empty.iterdir()) == []


def test_lost_push_race_is_redone_on_top(
    registry: DataRegistry, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(registry, cache=tmp_path / "other")
    push, raced = commits.push, []

    def push_after_other(*args: object) -> None:
        if len(raced) < 3:
            raced.append(args)
            with monkeypatch.context() as patch:
                patch.setattr(commits, "push", push)
                day = DAY + timedelta(len(raced))
                other.commit({("inputs", day): write(f"theirs {day}")}, message="Theirs")
        push(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(commits, "push", push_after_other)
    registry.commit({("inputs", DAY): write("mine")}, message="Mine")
    assert len(raced) == 3
    assert len(registry.days("inputs")) == 4
    assert [version.message for version in registry.history(4)] == ["Mine", "Theirs", "Theirs", "Theirs"]


def test_push_race_lost_for_ever_is_given_up(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise commits.LostRace("fetch first")

    monkeypatch.setattr(commits, "push", lose)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(Unavailable, match="push races"):
        registry.commit({("inputs", DAY): write("mine")}, message="Mine")


def test_ref_lock_of_a_killed_push_expires(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Path(registry.url) / "refs" / "heads" / "main.lock"
    lock.touch()
    monkeypatch.setattr(commits, "LOCK_EXPIRES_SECONDS", 1)
    assert registry.commit({("inputs", DAY): write("1")}, message="Add").changed
    assert not lock.exists()


def test_server_that_declines_is_not_retried(tmp_path: Path, write: Write) -> None:
    run_stock(tmp_path, "git", "init", "-q", "--bare", "-b", "main", "server.git")
    made = DataRegistry(url=f"file://{tmp_path}/server.git", remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    made.create()
    hook = tmp_path / "server.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(EvergreenError, match="hook declined") as caught:
        made.commit({("inputs", DAY): write("1")}, message="Add")
    assert not caught.value.retryable


def _commit_some(registry: DataRegistry, asset: Asset, folder: Path, first: int, count: int) -> None:
    for number in range(first, first + count):
        path = folder / f"{asset}-{number}"
        path.write_text(f"{asset} {number}")
        registry.commit({(asset, DAY + timedelta(number)): path}, message=f"Add {number}")


def _create_and_commit(registry: DataRegistry, folder: Path, number: int) -> None:
    registry.create()
    _commit_some(registry, "inputs", folder, number * 4, 4)


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_four_processes_create_and_commit_at_once(tmp_path: Path, kind: str) -> None:
    url = str(tmp_path / "server.git")
    if kind == "url":
        run_stock(tmp_path, "git", "init", "-q", "--bare", "-b", "main", "server.git")
        url = f"file://{url}"
    shared = DataRegistry(url=url, remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_create_and_commit, args=(shared, tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    read = {day: path.read_text() for day, path in shared.open("inputs").items()}
    assert read == {DAY + timedelta(n): f"inputs {n}" for n in range(16)}
    assert len(shared.history()) == 17
    run_stock(tmp_path / "server.git", "git", "fsck", "--strict")


def _open_all(registry: DataRegistry) -> None:
    assert len(registry.open("inputs")) == 40


def test_several_processes_fill_one_cache_at_once(registry: DataRegistry, write: Write, tmp_path: Path) -> None:
    _commit_days(registry, write, 40)
    reader = replace(registry, cache=tmp_path / "reader")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_open_all, args=(reader,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(_cached(reader)) == 40
    assert not [path for path in reader.cache.rglob("*.tmp")]


def test_quarter_of_both_assets_is_committed_and_read_in_seconds(
    any_registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    assets: tuple[Asset, Asset] = ("inputs", "labels")
    files = {(a, DAY + timedelta(n)): write(f"{a} {n}" * 5000) for a in assets for n in range(90)}
    begun = _processor_seconds()
    any_registry.commit(files, message="Add a quarter")
    assert _processor_seconds() - begun < 10
    reader = replace(any_registry, cache=tmp_path / "reader")
    begun = _processor_seconds()
    assert len(reader.open("labels")) == 90
    assert _processor_seconds() - begun < 10
    begun = _processor_seconds()
    any_registry.commit({("inputs", DAY + timedelta(90)): write("x")}, message="Add a day")
    assert _processor_seconds() - begun < 1.5


def _processor_seconds() -> float:
    """Return the processor time of this process and of the Git commands that it has run: no other test's."""
    return sum(os.times()[:4])


def _commit_days(registry: DataRegistry, write: Write, count: int) -> None:
    files: dict[tuple[Asset, date], Path] = {("inputs", DAY + timedelta(n)): write(f"inputs {n}") for n in range(count)}
    registry.commit(files, message=f"Add {count} days")


def _cached(registry: DataRegistry) -> list[Path]:
    found = (registry.cache / "files").rglob("*")
    return sorted(path for path in found if path.is_file() and not path.name.endswith(".dir"))


def test_a_version_is_looked_up_once_for_what_is_read_of_it(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look-up is a process of Git's: the newest version, and its small files, are one each."""
    registry.create()
    registry.commit({("inputs", DAY): write("one"), ("labels", DAY): write("two")}, message="Add")
    registry.head()
    asked: list[str] = []

    def run(args: list[str], **options: Any) -> bytes:
        asked.append(args[0])
        return git.run(args, **options)

    monkeypatch.setattr(commits, "run", run)
    for look in (registry.days, registry.open):
        look("inputs")
        assert asked == ["rev-parse", "cat-file"]
        asked.clear()
