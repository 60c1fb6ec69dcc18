"""A commit that is killed between any two of its steps: the registry is whole, and a rerun ends the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from ml.adapters.data_registry import DataRegistry, commits, repository
from ml.adapters.data_registry.store import Store
from ml.records import Asset

DAY = date(2013, 4, 1)
STEPS: dict[str, tuple[Any, str]] = {
    "copy into the cache": (Store, "add_file"),
    "read the head": (commits, "resolve"),
    "read the old lists": (commits, "read_files"),
    "upload the days": (Store, "upload_file"),
    "upload DVC's list": (Store, "upload_list"),
    "make a scratch repository": (commits, "init_bare"),
    "write the commit": (commits, "write_commit"),
    "push": (commits, "push"),
    "remember the head": (repository.Repository, "remember_head"),
    "write the head file": (repository, "write_atomically"),
}
# Steps that a commit takes with the new version already pushed.
AFTER_PUSH = {("push", "after")}

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the files of two commits, and a temporary directory of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("first", "second", "third"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_commit_killed_at_a_step_leaves_the_old_version_and_a_rerun_ends_the_same(
    world: Path, step: str, when: Literal["before", "after"]
) -> None:
    clean = _registry(world, "clean")
    _commit(clean, world)
    crashed = _registry(world, "crashed")
    old = crashed.head()

    _run_and_kill(crashed, world, *STEPS[step], when, occurrence=1)

    new = _in_git(crashed, "rev-parse", "main")
    assert (new == old) or _in_git(crashed, "rev-parse", "main~1") == old
    if (step, when) in AFTER_PUSH:
        assert new != old
    _assert_whole(crashed)
    version = _commit(crashed, world)
    assert version.changed == (new == old)
    _assert_same(clean, crashed)


@pytest.mark.parametrize("occurrence", [2, 3])
@pytest.mark.parametrize("step", ["copy into the cache", "upload the days", "upload DVC's list"])
def test_commit_killed_between_two_files_leaves_the_old_version_and_a_rerun_ends_the_same(
    world: Path, step: str, occurrence: int
) -> None:
    clean = _registry(world, "clean")
    _commit(clean, world)
    crashed = _registry(world, "crashed")
    old = crashed.head()
    _run_and_kill(crashed, world, *STEPS[step], "before", occurrence=occurrence)
    if step != "upload DVC's list" or occurrence == 2:
        assert crashed.head() == old
    _assert_whole(crashed)
    _commit(crashed, world)
    _assert_same(clean, crashed)


def test_commit_killed_at_any_moment_leaves_a_whole_registry(world: Path) -> None:
    clean = _registry(world, "clean")
    _commit(clean, world)
    crashed = _registry(world, "crashed")
    context = multiprocessing.get_context("fork")
    for milliseconds in range(0, 120, 6):
        child = context.Process(target=_commit, args=(crashed, world))
        child.start()
        child.join(milliseconds / 1000)
        child.kill()
        child.join()
        _assert_whole(crashed)
    _commit(crashed, world)
    _assert_same(clean, crashed)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["make a scratch repository", "write the commit", "push", "read the head"])
def test_creation_killed_at_a_step_is_completed_by_a_rerun(
    world: Path, step: str, when: Literal["before", "after"]
) -> None:
    begun = replace(_registry(world, "other"), url=str(world / "begun.git"))
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_die_in, args=(begun.create, *STEPS[step], when, 1))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    begun.create()
    assert [version.message for version in begun.history()] == ["Start the data registry"]
    _in_git(begun, "fsck", "--strict")
    assert _commit(begun, world).changed


def _registry(world: Path, name: str) -> DataRegistry:
    """Create a registry that holds one day already."""
    made = DataRegistry(
        url=str(world / f"{name}.git"),
        remote=str(world / f"{name}-remote"),
        cache=world / f"{name}-cache",
        head_file=world / f"{name}-head",
    )
    made.create()
    made.commit({("inputs", DAY): world / "first"}, message="First")
    return made


def _commit(registry: DataRegistry, world: Path) -> Any:
    days: dict[tuple[Asset, date], Path] = {
        ("inputs", DAY): world / "second",
        ("inputs", DAY + timedelta(1)): world / "third",
        ("labels", DAY): world / "first",
    }
    return registry.commit(days, message="Second")


def _run_and_kill(registry: DataRegistry, world: Path, owner: Any, name: str, when: str, *, occurrence: int) -> None:
    """Run the commit in a child that kills itself at the given occurrence of a step."""
    (world / f"{Path(registry.url).stem}-head").unlink(missing_ok=True)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_die_in, args=(lambda: _commit(registry, world), owner, name, when, occurrence))
    child.start()
    child.join(60)
    assert child.exitcode in {-signal.SIGKILL, 0}
    if occurrence == 1:
        assert child.exitcode == -signal.SIGKILL, f"the commit never came to {name}"


def _die_in(work: Callable[[], object], owner: Any, name: str, when: str, occurrence: int) -> None:
    original = getattr(owner, name)
    calls = 0

    def step(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == occurrence
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = original(*args, **kwargs)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, step)
    work()


def _assert_whole(registry: DataRegistry) -> None:
    """Every version reads back whole on a machine that has nothing, and no lock is held."""
    _in_git(registry, "fsck", "--strict")
    with tempfile.TemporaryDirectory() as folder:
        reader = replace(registry, cache=Path(folder), head_file=None)
        for version in reader.history():
            assert set(reader.open("inputs", rev=version.rev)) == set(reader.days("inputs", version.rev))
            reader.open("labels", rev=version.rev)
    _await_no_lock(Path(registry.url))


def _await_no_lock(repository: Path) -> None:
    """Give a push that outlived its parent the moment it needs to end."""
    deadline = time.monotonic() + 5
    while locks := list(repository.rglob("*.lock")):
        assert time.monotonic() < deadline, f"{locks} stay behind"
        time.sleep(0.01)


def _assert_same(clean: DataRegistry, crashed: DataRegistry) -> None:
    """Both registries hold the same tree but for the remote's name, and nothing unfinished."""
    ours = [_in_git(each, "ls-tree", "-r", "main").splitlines() for each in (clean, crashed)]
    trees = [[line for line in lines if ".dvc/config" not in line] for lines in ours]
    assert trees[0] == trees[1]
    assert len(trees[0]) == 7
    for asset in ("inputs", "labels"):
        pairs = [
            {day: path.read_text() for day, path in each.open(asset).items()}  # type: ignore[arg-type]
            for each in (clean, crashed)
        ]
        assert pairs[0] == pairs[1]
    assert [v.message for v in crashed.history()] == ["Second", "First", "Start the data registry"]
    assert crashed.head_file is not None
    assert crashed.head_file.read_text().strip() == crashed.head()
    assert _in_git(crashed, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    _assert_whole(crashed)


def _in_git(registry: DataRegistry, *command: str) -> str:
    done = subprocess.run(["git", f"--git-dir={registry.url}", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
