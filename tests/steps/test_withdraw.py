"""A day that was found bad after it was committed is taken out, and the versions before keep it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from ml.cli import withdraw
from ml.errors import MissingArtifact
from ml.settings import PROJECT_ROOT
from tests.steps.conftest import LAST_DAY, World


def take_out(world: World, *days: object, assets: tuple[str, ...] = ("inputs", "labels")) -> object:
    return withdraw.run(days, assets=assets, reason="a test", settings=world.settings, services=world.services)


def test_a_day_is_gone_from_the_newest_version_and_readable_in_the_old_one(seeded: World) -> None:
    day, registry = LAST_DAY - timedelta(days=3), seeded.services.registry
    before, days = registry.head(), registry.days("inputs")
    take_out(seeded, day)
    assert day not in registry.days("inputs")
    assert day not in registry.days("labels")
    assert registry.days("inputs", before) == days
    assert registry.open("inputs", rev=before, first_day=day, last_day=day)[day].exists()
    assert len(registry.days("inputs")) == len(days) - 1
    assert f"Take out inputs of {day}, labels of {day}: a test" in registry.history(1)[0].message


def test_one_asset_of_a_day_can_be_taken_out_and_come_back(seeded: World) -> None:
    day, registry = LAST_DAY - timedelta(days=3), seeded.services.registry
    before = registry.days("labels")[day]
    take_out(seeded, day, assets=("labels",))
    assert day in registry.days("inputs")
    assert day not in registry.days("labels")
    seeded.ingest(day + timedelta(days=1))
    assert registry.days("labels")[day] == before


def test_what_is_not_there_cannot_be_taken_out(seeded: World) -> None:
    with pytest.raises(MissingArtifact, match=r"has no inputs on 1999-01-01; the nearest days it has: 2013"):
        take_out(seeded, LAST_DAY.replace(year=1999, month=1, day=1))


def test_the_command_of_the_message_works(seeded: World) -> None:
    day = LAST_DAY - timedelta(days=3)
    command = [sys.executable, "-m", "ml.cli.withdraw", str(day), "--reason", "infinite ratio"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env={**os.environ, **seeded.environ}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["message"].endswith("infinite ratio")
    assert day not in seeded.services.registry.days("inputs")
