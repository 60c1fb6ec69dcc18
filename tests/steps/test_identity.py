"""Two tasks pointed at one home: the second is refused by name, whatever it does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.adapters.data_registry import recovery
from ml.adapters.identity import NAME
from ml.cli import history, recover, rename
from ml.errors import SettingsError
from ml.records import RetrainRequest
from ml.settings import PROJECT_ROOT
from ml.steps.ingest import land, seed
from ml.steps.retrain import pull
from ml.steps.score import resolve
from tests.steps.conftest import MUCH_LATER, World

DAY = date(2013, 6, 14)
REFUSED = r"belongs to task 'flight-delay', params\.yaml says 'other': set EVERGREEN_HOME to another folder"


@pytest.fixture
def other(seeded: World) -> World:
    """The same home, under settings that name another task."""
    return seeded.having(task={"name": "other"})


@pytest.mark.parametrize(
    "work",
    [
        lambda world: world.run(land, DAY, now=MUCH_LATER),
        lambda world: world.run(pull, RetrainRequest(requested_by="a test", reasons=("to see",))),
        lambda world: world.run(resolve, DAY),
        lambda world: seed.run(DAY, DAY, settings=world.settings, services=world.services),
        lambda world: world.services.registry.commit({}, message="Nothing"),
        lambda world: world.services.registry.history(),
        lambda world: world.services.registry.create(),
        lambda world: world.services.storage.list("landing/"),
        lambda world: world.services.tracking,
    ],
    ids=["land", "pull", "resolve", "seed", "commit", "history", "create", "storage", "tracking"],
)
def test_another_task_is_refused_by_name(other: World, work: Callable[[World], Any]) -> None:
    with pytest.raises(SettingsError, match=REFUSED):
        work(other)


def test_a_command_says_it_in_one_line(other: World) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", history.__name__],
        cwd=PROJECT_ROOT,
        env={"PATH": "/usr/bin:/bin", **other.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == SettingsError.exit_code
    assert "Traceback" not in ran.stderr
    assert "belongs to task 'flight-delay'" in ran.stderr


def test_what_nobody_has_named_is_adopted_by_the_first_that_writes(other: World, tmp_path: Path) -> None:
    home = World(tmp_path / "new", other.params)
    home.home.mkdir()
    before = home.services.registry
    unnamed = type(before)(url=before.url, remote=before.remote, cache=before.cache)
    unnamed.create()
    frame = tmp_path / "frame.parquet"
    frame.write_text("x")
    home.services.storage.list("landing/")
    assert not (home.home / "storage" / NAME).exists(), "who only reads takes nothing"
    home.services.registry.commit({("inputs", DAY): frame}, message="Add")
    home.services.storage.put_bytes("a", b"b")
    assert home.services.registry.owner() == "other"
    stranger = home.having(task={"name": "stranger"})
    for work in (stranger.services.registry.head, lambda: stranger.services.storage):
        with pytest.raises(SettingsError, match="belongs to task 'other', params.yaml says 'stranger'"):
            work()


def test_renaming_on_purpose_leads_out_and_locks_the_old_name(seeded: World, other: World) -> None:
    with pytest.raises(SettingsError, match="belongs to task 'flight-delay', not to 'wrong'"):
        rename.run("wrong", services=other.services)
    days = set(seeded.services.registry.days("inputs"))
    first = rename.run("flight-delay", services=other.services)
    assert rename.run("flight-delay", services=other.services)["data_version"] == first["data_version"]
    assert set(other.services.registry.days("inputs")) == days
    with pytest.raises(SettingsError, match="belongs to task 'other', params.yaml says 'flight-delay'"):
        World(seeded.home, seeded.params).services.registry.days("inputs")


def test_a_damaged_registry_is_recovered_by_one_command(seeded: World) -> None:
    head = seeded.services.registry.head()
    assert recover.run(services=seeded.services)["damage"] is None
    (seeded.home / "registry.git" / "refs" / "heads" / "main").write_text("")
    said = recover.run(services=seeded.services)
    assert (said["repaired"], said["data_version"]) == (False, head)
    assert "refs/heads/main is empty" in said["damage"]
    assert "--repair" in said["next"]
    assert recover.run(services=seeded.services, repair=True)["data_version"] == head
    found = recovery.diagnose(seeded.home / "registry.git", "registry", None)
    assert (found.damage, found.rev) == (None, head)
    assert isinstance(seeded.held("inputs", DAY), pd.DataFrame)
