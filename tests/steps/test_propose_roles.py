"""The proposal reads the data registry, and its fragment is one that params.yaml takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.cli import propose_roles
from ml.errors import MissingArtifact
from ml.settings import Drift
from tests.steps.conftest import World


def test_the_flights_come_to_the_declared_roles_but_for_the_volume(
    seeded: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in seeded.environ.items():
        monkeypatch.setenv(name, value)
    assert propose_roles.main([]) == 0
    printed = capsys.readouterr().out
    proposed = Drift.model_validate(yaml.safe_load(printed)["drift"])
    declared = seeded.settings.drift
    assert set(proposed.structural) == {*declared.structural, "flights_planned"}
    assert set(proposed.environment) == {*declared.environment} - {"flights_planned"}
    assert "flight:" not in printed
    assert "temp  # blocks of 7 days lie" in printed


def test_too_few_days_propose_nothing(seeded: World) -> None:
    found = seeded.run(propose_roles, days=14)
    assert {one.role for one in found.values()} == {None}


def test_a_home_without_data_is_refused(tmp_path: Path, project_params: dict[str, Any]) -> None:
    with pytest.raises(MissingArtifact):
        World(tmp_path, project_params).run(propose_roles)
