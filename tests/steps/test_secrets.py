"""Secrets in URLs of settings and environment reach no file, no database, no message and no log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml.command_line import execute
from ml.errors import EvergreenError
from ml.settings import Environment
from ml.wiring import Services
from tests.steps.conftest import World

PASSWORD, TOKEN, SIGNATURE = "hunter2-password", "hunter2-token", "hunter2-signature"
SECRETS = (PASSWORD, TOKEN, SIGNATURE)
REGISTRY = f"https://me:{PASSWORD}@git.invalid/data/registry.git"
SOURCE = {
    "kind": "http",
    "inputs": f"https://me:{PASSWORD}@data.invalid/inputs/{{day}}.parquet?token={TOKEN}",
    "labels": f"https://data.invalid/labels?day={{day}}&sig={SIGNATURE}",
    "format": "parquet",
}


@dataclass(frozen=True)
class Remote(World):
    """A world whose registry is behind a Git URL with a password."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "EVERGREEN_REGISTRY": REGISTRY}

    @property
    def services(self) -> Services:
        return Services(self.settings, Environment.load(self.environ))


@pytest.fixture
def remote(seeded: World, monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{seeded.home}/registry.git.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", REGISTRY)
    params: dict[str, Any] = {**seeded.having().params, "source": SOURCE}
    return Remote(seeded.home, params)


def test_a_training_writes_no_secret_anywhere(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    promotion = remote.retrain()
    assert promotion.promoted
    assert _leaks(remote.home) == []
    assert not [secret for secret in SECRETS if secret in caplog.text or secret in promotion.model_dump_json()]
    pinned = next(remote.home.glob("storage/runs/*/settings.json")).read_text()
    assert "https://data.invalid/labels?day={day}&sig=***" in pinned
    lineage = next(remote.home.rglob("lineage.json")).read_text()
    assert "https://data.invalid/inputs/{day}.parquet?token=***" in lineage


def test_what_fails_names_the_place_and_no_secret(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://nowhere.invalid/")

    def work() -> None:
        try:
            remote.services.registry.head()
        except EvergreenError:
            logging.getLogger("a test").exception("the registry was asked for")
            raise

    assert execute(work) == 1
    said = "".join(capfd.readouterr())
    assert "git.invalid/data/registry.git" in said
    assert not [secret for secret in SECRETS if secret in said]


def _leaks(home: Path) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "params.yaml"]
    assert len(files) > 50
    return [f"{path}: {secret}" for path in files for secret in SECRETS if secret.encode() in path.read_bytes()]
