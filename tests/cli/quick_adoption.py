"""What tests of ``evergreen adopt`` share: one recipe is tried, in a folder of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml.core.adoption import proposal, recipes


@pytest.fixture(autouse=True)
def quick_adoption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one recipe be tried, and the models be in a folder of the test's own, whatever is in the environment."""
    for name in [name for name in os.environ if name.startswith("EVERGREEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(proposal, "recipes", lambda *args, **options: recipes.recipes(*args, **options)[:1])
