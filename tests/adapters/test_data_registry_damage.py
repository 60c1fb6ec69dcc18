"""A registry whose copies, refs or objects are damaged: named as that, never made anew, never spread."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from ml.adapters.data_registry import DataRegistry, commits, git, recovery
from ml.adapters.data_registry.store import DamagedObject
from ml.errors import EvergreenError, MissingArtifact
from tests.adapters.conftest import Write

DAY = date(2013, 4, 1)


@pytest.fixture(params=["folder", "s3"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> DataRegistry:
    """A registry with its data in a folder, and one with its data in S3."""
    made: DataRegistry = request.getfixturevalue("registry")
    if request.param == "s3":
        made = replace(made, url=str(tmp_path / "s3.git"), remote=request.getfixturevalue("s3_root"))
        made.create()
    return made


# -- copies of a day ---------------------------------------------------------------------------------


def test_flipped_bytes_in_the_cache_are_not_served(stored: DataRegistry, write: Write) -> None:
    stored.commit({("inputs", DAY): write("good")}, message="Add")
    cached = stored.open("inputs")[DAY]
    _overwrite(cached, "evil")
    assert stored.open("inputs")[DAY].read_text() == "good"


def test_a_day_that_was_read_before_is_read_again_when_its_copy_changes(registry: DataRegistry, write: Write) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    cached = registry.open("inputs")[DAY]
    time.sleep(0.1)
    registry.open("inputs")  # remembers that this copy is sound
    _overwrite(cached, "evil")
    assert registry.open("inputs")[DAY].read_text() == "good"


def test_a_damaged_copy_does_not_replace_the_good_one_after_a_correction(stored: DataRegistry, write: Write) -> None:
    first = stored.commit({("inputs", DAY): write("good")}, message="Add")
    stored.commit({("inputs", DAY): write("other")}, message="Correct")
    _overwrite(stored.open("inputs", rev=first.rev)[DAY], "evil")
    assert stored.commit({("inputs", DAY): write("good")}, message="Take it back").changed
    elsewhere = replace(stored, cache=stored.cache.with_name("elsewhere"))
    assert elsewhere.open("inputs")[DAY].read_text() == "good"
    assert elsewhere.open("inputs", rev=first.rev)[DAY].read_text() == "good"


def test_a_sound_object_of_the_remote_is_never_written_over(registry: DataRegistry, write: Write) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    before = {path: path.stat().st_ino for path in _data(registry)}
    registry.commit({("inputs", DAY): write("other")}, message="Correct")
    registry.commit({("inputs", DAY): write("good")}, message="Take it back")
    registry.commit({("inputs", DAY + timedelta(1)): write("good")}, message="The same content for another day")
    assert {path: path.stat().st_ino for path in before} == before


def test_a_damaged_object_of_the_remote_is_named_with_its_day(registry: DataRegistry, write: Write) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    _overwrite(_data(registry)[0], "evil")
    elsewhere = replace(registry, cache=registry.cache.with_name("elsewhere"))
    with pytest.raises(DamagedObject, match=r"inputs of 2013-04-01: .* is damaged.*ingest the day again"):
        elsewhere.open("inputs")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "lost"])
def test_the_remote_heals_when_the_day_is_committed_again(registry: DataRegistry, write: Write, damage: str) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    (path,) = _data(registry)
    _overwrite(path, {"flipped": "evil", "truncated": "go", "lost": ""}[damage])
    if damage == "lost":
        path.unlink()
    elsewhere = replace(registry, cache=registry.cache.with_name("elsewhere"))
    assert not elsewhere.commit({("inputs", DAY): write("good")}, message="The same again").changed
    assert path.read_text() == "good"


def test_a_lost_list_of_dvc_is_written_again_with_the_next_version(registry: DataRegistry, write: Write) -> None:
    registry.commit({("inputs", DAY): write("good")}, message="Add")
    for path in Path(registry.remote).rglob("*.dir"):
        path.chmod(0o644)
        path.write_text("[]")
    registry.commit({("inputs", DAY): write("other")}, message="Correct")
    registry.commit({("inputs", DAY): write("good")}, message="Take it back")
    assert "day=2013-04-01" in (Path(registry.remote) / _newest_list(registry)).read_text()


# -- the head and what it leads to -------------------------------------------------------------------


def _empty_ref(repository: Path) -> None:
    (repository / commits.BRANCH).write_text("")


def _garbage_in_ref(repository: Path) -> None:
    (repository / commits.BRANCH).write_bytes(b"\0" * 41)


def _ref_to_nothing(repository: Path) -> None:
    (repository / commits.BRANCH).write_text("1" * 40 + "\n")


def _no_ref(repository: Path) -> None:
    (repository / commits.BRANCH).unlink()


def _empty_commit(repository: Path) -> None:
    _empty_object(repository, "main")


def _empty_manifest(repository: Path) -> None:
    _empty_object(repository, "main:manifest.csv")


def _lost_dvc_file(repository: Path) -> None:
    _object(repository, "main:inputs.dvc").unlink()


def _empty_head_file(repository: Path) -> None:
    (repository / "HEAD").write_text("")
    (repository / commits.BRANCH).unlink()


DAMAGE = [
    _empty_ref,
    _garbage_in_ref,
    _ref_to_nothing,
    _no_ref,
    _empty_commit,
    _empty_manifest,
    _lost_dvc_file,
    _empty_head_file,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_registry_is_named_and_neither_read_nor_made_anew(
    registry: DataRegistry, write: Write, damage: Callable[[Path], None]
) -> None:
    for number in range(3):
        registry.commit({("inputs", DAY + timedelta(number)): write(str(number))}, message=f"Add {number}")
    damage(Path(registry.url))
    for work in (
        lambda: registry.days("inputs"),
        lambda: registry.open("inputs"),
        lambda: registry.commit({("inputs", DAY): write("new")}, message="On top"),
        registry.create if damage not in {_empty_manifest, _lost_dvc_file} else lambda: registry.days("labels"),
    ):
        with pytest.raises(git.DamagedRegistry, match=r"is damaged: .*evergreen recover"):
            work()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_registry_comes_back_to_its_newest_whole_version(
    registry: DataRegistry, write: Write, damage: Callable[[Path], None]
) -> None:
    revs = []
    for number in range(3):
        day = DAY + timedelta(number)
        revs.append(registry.commit({("inputs", day): write(str(number))}, message=f"Add {number}").rev)
    repository = Path(registry.url)
    damage(repository)
    found = recovery.diagnose(repository, registry.url, None)
    assert found.damage is not None
    assert found.rev == (revs[1] if damage in {_empty_commit, _empty_manifest, _lost_dvc_file} else revs[2])
    assert recovery.repair(repository, registry.url, found) == found.rev == registry.head()
    assert recovery.diagnose(repository, registry.url, None).damage is None
    assert registry.commit({("inputs", DAY + timedelta(2)): write("2")}, message="Again").changed == (
        found.rev == revs[1]
    )
    elsewhere = replace(registry, cache=registry.cache.with_name("elsewhere"))
    assert [path.read_text() for path in elsewhere.open("inputs").values()] == ["0", "1", "2"]


def test_without_what_git_wrote_down_the_newest_stored_version_is_found(registry: DataRegistry, write: Write) -> None:
    revs = [registry.commit({("inputs", DAY): write(text)}, message=text).rev for text in ("a", "b", "c")]
    repository = Path(registry.url)
    (repository / "logs" / commits.BRANCH).unlink()
    _empty_ref(repository)
    assert recovery.diagnose(repository, registry.url, None).rev == revs[-1]


def test_a_registry_that_is_whole_needs_nothing(registry: DataRegistry, write: Write) -> None:
    version = registry.commit({("inputs", DAY): write("a")}, message="Add")
    assert recovery.diagnose(Path(registry.url), registry.url, None) == recovery.Recovery(None, version.rev)


def test_an_absent_registry_is_still_called_absent(tmp_path: Path) -> None:
    nowhere = DataRegistry(url=str(tmp_path / "none.git"), remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    with pytest.raises(MissingArtifact, match="make setup"):
        nowhere.head()
    with pytest.raises(MissingArtifact, match="make setup"):
        recovery.diagnose(Path(nowhere.url), nowhere.url, None)


@pytest.mark.parametrize("damage", [_empty_ref, _empty_commit, _empty_manifest, _lost_dvc_file])
def test_a_damaged_mirror_of_a_url_is_fetched_anew(
    tmp_path: Path, write: Write, damage: Callable[[Path], None]
) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / "server.git"], check=True)
    made = DataRegistry(url=f"file://{tmp_path}/server.git", remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    made.create()
    version = made.commit({("inputs", DAY): write("a")}, message="Add")
    made.days("inputs")
    (mirror,) = (made.cache / "git").glob("*.git")
    damage(mirror)
    assert list(made.days("inputs")) == [DAY]
    assert made.head() == version.rev


# -- a full disk -------------------------------------------------------------------------------------


def test_a_full_disk_of_the_cache_is_named_and_worth_a_retry(
    registry: DataRegistry, write: Write, full_folder: Path
) -> None:
    head = registry.head()
    here = replace(registry, cache=full_folder / "cache")
    big = write("x")
    big.write_bytes(os.urandom(2_000_000))
    with pytest.raises(EvergreenError, match="disk of .* is full: free space") as caught:
        here.commit({("inputs", DAY): big}, message="Add")
    assert caught.value.retryable
    assert registry.head() == head


def test_a_full_disk_of_the_remote_is_named_and_worth_a_retry(
    registry: DataRegistry, write: Write, full_folder: Path
) -> None:
    made = replace(registry, url=registry.url.replace(".git", "-2.git"), remote=str(full_folder / "remote"))
    made.create()
    head, big = made.head(), write("x")
    big.write_bytes(os.urandom(2_000_000))
    with pytest.raises(EvergreenError, match="disk of .* is full: free space") as caught:
        made.commit({("inputs", DAY): big}, message="Add")
    assert caught.value.retryable
    assert made.head() == head


def test_a_full_disk_of_the_history_is_named_and_worth_a_retry(tmp_path: Path, write: Write, full_folder: Path) -> None:
    made = DataRegistry(url=str(full_folder / "r.git"), remote=str(tmp_path / "remote"), cache=tmp_path / "cache")
    made.create()
    head = made.head()
    made.commit({("inputs", DAY): write("a")}, message="Add")
    (full_folder / "ballast").write_bytes(bytes(_room(full_folder)))
    with pytest.raises(EvergreenError, match="disk of .* is full: free space") as caught:
        made.commit({("inputs", DAY): write("b")}, message="Add")
    assert caught.value.retryable
    (full_folder / "ballast").unlink()
    assert made.history(2)[1].rev == head
    assert made.commit({("inputs", DAY): write("b")}, message="Add").changed


def _room(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


# -- tools -------------------------------------------------------------------------------------------


def _overwrite(path: Path, content: str) -> None:
    path.chmod(0o644)
    path.write_text(content)


def _data(registry: DataRegistry) -> list[Path]:
    found = Path(registry.remote).rglob("*")
    return sorted(path for path in found if path.is_file() and path.suffix != ".dir")


def _newest_list(registry: DataRegistry) -> str:
    text = commits.read_files(Path(registry.url), "main", ["inputs.dvc"])["inputs.dvc"].decode()
    md5 = text.split("md5: ")[1].split()[0]
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _object(repository: Path, name: str) -> Path:
    rev = git.run(["rev-parse", name], repository=repository).decode().strip()
    return repository / "objects" / rev[:2] / rev[2:]


def _empty_object(repository: Path, name: str) -> None:
    path = _object(repository, name)
    path.chmod(0o644)
    path.write_bytes(b"")
