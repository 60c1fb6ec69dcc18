"""What was registered is tried in a process of its own; what does not work there is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters import package
from ml.core.training.estimators import PREDICTED
from ml.records import PackageCheck
from tests.builders import settings
from tests.steps.conftest import World

pytestmark = pytest.mark.usefixtures("fresh_process")
TASK = settings().task


@pytest.fixture
def packaged(trained_once: World, tmp_path: Path) -> tuple[Path, Path]:
    """The registered model's folder, and the sample that its training kept."""
    tracking = trained_once.services.tracking
    with tracking.packaged(tracking.version_tags(1)["run_id"], 1) as model:
        shutil.copytree(model, tmp_path / "model")
    kept = next(Path(trained_once.services.storage.root).rglob("model/sample.parquet"))
    shutil.copy(kept, tmp_path / "sample.parquet")
    return tmp_path / "model", tmp_path / "sample.parquet"


def test_a_sound_package_predicts_as_it_did_in_training(packaged: tuple[Path, Path]) -> None:
    found = package.check(*packaged, TASK)
    assert found.problem is None
    assert (found.identical, found.refuses_bad_input, found.rows) == (True, True, 1000)
    assert found.megabytes is not None and 0.01 < found.megabytes < 50
    assert found.ms_per_1000_rows is not None and found.ms_per_1000_rows > 0


def test_one_prediction_off_by_the_last_bit_is_not_identical(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    kept = pd.read_parquet(sample)
    kept.loc[7, PREDICTED] = np.nextafter(kept.loc[7, PREDICTED], 1.0)
    kept.to_parquet(sample)
    assert not package.check(model, sample, TASK).identical


def test_a_model_without_its_signature_is_a_problem(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    lines = (model / "MLmodel").read_text().split("signature:")
    rest = lines[1].split("\n")
    after = [line for line in rest[1:] if not line.startswith("  ")]
    (model / "MLmodel").write_text(lines[0] + "\n".join(after))
    found = package.check(model, sample, TASK)
    assert found.problem is not None and "no signature" in found.problem


@pytest.mark.parametrize("damage", ["missing", "half", "foreign"])
def test_a_model_that_cannot_be_loaded_is_a_problem(damage: str, packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    file = model / "model.skops"
    if damage == "missing":
        file.unlink()
    elif damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        import skops.io as sio
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        sio.dump(make_pipeline(FunctionTransformer(shutil.rmtree)), file)
    found = package.check(model, sample, TASK)
    assert isinstance(found, PackageCheck)
    assert found.problem and not found.identical and found.ms_per_1000_rows is None
    if damage == "foreign":
        assert "types that are not trusted: shutil.rmtree" in found.problem


def test_the_speed_is_the_processor_time_whatever_else_the_machine_does(packaged: tuple[Path, Path]) -> None:
    calm = package.check(*packaged, TASK).ms_per_1000_rows
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        loaded = package.check(*packaged, TASK).ms_per_1000_rows
    finally:
        for one in spinning:
            one.kill()
            one.wait()
    assert calm is not None and loaded is not None
    assert loaded < 2.5 * calm
