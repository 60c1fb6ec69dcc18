"""A registry that grows for years: packed, with the lists of recent versions only, and as quick as at first."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree

from ml.adapters.data_registry import DataRegistry, commits, git, upkeep, versions
from ml.adapters.data_registry.manifest import Entry, dir_object
from tests.adapters.conftest import Write, run_stock

DAY = date(2013, 4, 1)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is due after many versions be due after few."""
    monkeypatch.setattr(upkeep, "EVERY_VERSIONS", 4)
    monkeypatch.setattr(upkeep, "KEPT_VERSIONS", 3)


def _grow(registry: DataRegistry, write: Write, days: int) -> list[str]:
    return [
        registry.commit({("inputs", DAY + timedelta(n)): write(f"day {n}")}, message=f"Add {n}").rev
        for n in range(days)
    ]


def test_the_list_is_byte_for_byte_what_dvc_writes() -> None:
    names = ["day=2013-04-02.parquet", "day=2013-04-01.parquet", 'a "quoted" näme.txt', "notes.txt", "b/c.txt"]
    entries = {name: Entry(f"{number:032x}", number) for number, name in enumerate(names)}
    tree = Tree()
    for name, entry in entries.items():
        tree.add(tuple(name.split("/")), Meta(), HashInfo("md5", entry.md5))
    tree.digest()
    assert dir_object(entries) == (tree.hash_info.value, tree.as_bytes())


@pytest.mark.usefixtures("often")
def test_old_lists_go_and_every_version_is_still_read(registry: DataRegistry, write: Write) -> None:
    revs = _grow(registry, write, 23)
    assert len(list(Path(registry.remote).rglob("*.dir"))) <= upkeep.KEPT_VERSIONS + upkeep.EVERY_VERSIONS
    fresh = replace(registry, cache=registry.cache.with_name("fresh"))
    for number, rev in enumerate(revs, start=1):
        assert len(fresh.open("inputs", rev=rev)) == number


@pytest.mark.usefixtures("often")
def test_stock_dvc_pulls_the_newest_version_and_a_tagged_one(
    registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    revs = _grow(registry, write, 9)
    git.run(["tag", "keep-this", revs[1]], repository=Path(registry.url))
    _grow(registry, write, 23)
    for rev, days in (("main", 23), ("keep-this", 2)):
        clone = tmp_path / f"clone-{rev}"
        run_stock(tmp_path, "git", "clone", "-q", "--branch", rev, registry.url, clone.name)
        run_stock(clone, "dvc", "pull")
        assert len(list((clone / "inputs").iterdir())) == days


@pytest.mark.usefixtures("often")
def test_the_list_of_an_old_version_is_written_again_on_request(
    registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    revs = _grow(registry, write, 16)
    (written,) = upkeep.write_lists(Path(registry.url), registry._store, revs[1])
    assert written.endswith(".dir")
    run_stock(tmp_path, "git", "clone", "-q", registry.url, "clone")
    run_stock(tmp_path / "clone", "git", "checkout", "-q", revs[1])
    run_stock(tmp_path / "clone", "dvc", "pull")
    assert len(list((tmp_path / "clone" / "inputs").iterdir())) == 2


@pytest.mark.usefixtures("often")
def test_the_list_of_a_version_that_a_person_made_with_dvc_stays(
    registry: DataRegistry, write: Write, tmp_path: Path
) -> None:
    _grow(registry, write, 2)
    run_stock(tmp_path, "git", "clone", "-q", registry.url, "clone")
    clone = tmp_path / "clone"
    (clone / "inputs").mkdir()
    (clone / "inputs" / "day=2014-01-01.parquet").write_text("by hand")
    run_stock(clone, "dvc", "add", "inputs/day=2014-01-01.parquet")
    run_stock(clone, "dvc", "push")
    run_stock(clone, "git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "By hand")
    run_stock(clone, "git", "push", "-q", "origin", "main")
    by_hand = registry.head()
    for number in range(2, 20):
        registry.commit({("inputs", DAY + timedelta(number)): write(f"day {number}")}, message="Add")
    fresh = replace(registry, cache=registry.cache.with_name("fresh"))
    assert len(fresh.open("inputs", rev=by_hand)) == 3


def test_the_history_is_packed_and_whole(registry: DataRegistry, write: Write) -> None:
    _grow(registry, write, 3)
    repository = Path(registry.url)
    for content in _blobs_in_17(4):  # where Git looks to guess how much is loose
        git.run(["hash-object", "-w", "--stdin"], repository=repository, stdin=content)
    version = registry.commit({("labels", DAY): write("labels")}, message="Add labels")
    assert len(list((repository / "objects" / "pack").glob("*.pack"))) == 1
    assert not [path for path in (repository / "objects").glob("??/*") if path.parent.name != "17"]
    git.run(["fsck", "--strict"], repository=repository)
    assert [each.rev for each in registry.history(1)] == [version.rev]
    assert len(registry.history()) == 5


def _blobs_in_17(count: int) -> list[bytes]:
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        content = str(number).encode()
        name = hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
        found += [content] if name.startswith("17") else []
        number += 1
    return found


def test_a_failed_upkeep_leaves_the_version_standing(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(upkeep, "EVERY_VERSIONS", 1)
    monkeypatch.setattr(upkeep, "drop_old_lists", fail)
    assert registry.commit({("inputs", DAY): write("a")}, message="Add").rev == registry.head()
    assert "old lists" in caplog.text


def test_the_version_that_brought_a_day_is_named_without_a_search(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    revs = _grow(registry, write, 6)
    registry.commit({("inputs", DAY): write("corrected")}, message="Correct")
    back = registry.commit({("inputs", DAY): write("day 0")}, message="Take it back")
    registry.commit({("labels", DAY): write("labels")}, message="Labels")
    monkeypatch.setattr(versions, "_search", lambda *_: pytest.fail("the history was searched"))
    for number, rev in enumerate(revs[1:], start=1):
        again = registry.commit({("inputs", DAY + timedelta(number)): write(f"day {number}")}, message="Again")
        assert (again.rev, again.changed) == (rev, False)
    assert registry.commit({("inputs", DAY): write("day 0")}, message="Again").rev == back.rev


def test_a_manifest_without_numbers_is_read_and_searched(
    registry: DataRegistry, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(Entry, "_replace", lambda entry, **_: entry)
        revs = _grow(registry, write, 3)
    manifest = commits.read_files(Path(registry.url), "main", ["manifest.csv"])["manifest.csv"].decode()
    assert {line.count(",") for line in manifest.splitlines()[1:]} == {2}
    added = registry.commit({("inputs", DAY + timedelta(3)): write("day 3")}, message="Add 3")
    for number, rev in enumerate([*revs, added.rev]):
        again = registry.commit({("inputs", DAY + timedelta(number)): write(f"day {number}")}, message="Again")
        assert (again.rev, again.changed) == (rev, False)
