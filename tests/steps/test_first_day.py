"""The very first day gets in, though there is no past to hold it against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml.adapters.sources.demo import DemoSource
from tests.steps.conftest import FIRST_DAY, World


def test_the_first_day_of_an_empty_registry_is_ingested(tmp_path: Path, project_params: dict[str, Any]) -> None:
    world = World(tmp_path, project_params)
    world.services.registry.create()
    ingested = world.ingest(FIRST_DAY)
    assert ingested.changed and ingested.rows == len(DemoSource(replay=False).inputs(FIRST_DAY)) > 100
    assert list(world.services.registry.days("inputs")) == [FIRST_DAY]
