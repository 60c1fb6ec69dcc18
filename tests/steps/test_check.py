"""What was registered is tried in a process of its own; what does not work there is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters import package
from ml.core.training.estimators import PREDICTED
from ml.records import PackageCheck
from tests.builders import settings
from tests.steps.conftest import World

TASK = settings().task


def check(model: Path, sample: Path) -> PackageCheck:
    with package.start() as trial:
        return package.check(model, sample, TASK, trial=trial)


QUOTED_REQUIRED = '"required": true'


@pytest.fixture
def packaged(trained_once: World, tmp_path: Path) -> tuple[Path, Path]:
    """The registered model's folder, and the sample that its training kept."""
    tracking = trained_once.services.tracking
    with tracking.packaged(tracking.version_tags(1)["run_id"], 1) as model:
        shutil.copytree(model, tmp_path / "model")
    kept = next(Path(trained_once.services.storage.root).rglob("model/sample.parquet"))
    shutil.copy(kept, tmp_path / "sample.parquet")
    return tmp_path / "model", tmp_path / "sample.parquet"


@pytest.mark.usefixtures("fresh_process")
def test_a_sound_package_predicts_as_it_did_in_training(packaged: tuple[Path, Path]) -> None:
    found = check(*packaged)
    assert found.problem is None
    assert (found.identical, found.refuses_bad_input, found.rows) == (True, True, 1000)
    assert found.megabytes is not None and 0.01 < found.megabytes < 50
    assert found.ms_per_1000_rows is not None and found.ms_per_1000_rows > 0


def test_one_prediction_off_by_the_last_bit_is_not_identical(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    kept = pd.read_parquet(sample)
    kept.loc[7, PREDICTED] = np.nextafter(kept.loc[7, PREDICTED], 1.0)
    kept.to_parquet(sample)
    assert not check(model, sample).identical


def test_a_column_that_may_be_missing_is_no_way_to_break_a_signature(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    text = (model / "MLmodel").read_text()
    first = text.replace(QUOTED_REQUIRED, QUOTED_REQUIRED.replace("true", "false"), 1)
    (model / "MLmodel").write_text(first)
    assert first != text and check(model, sample).refuses_bad_input


def test_a_model_without_its_signature_is_a_problem(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    lines = (model / "MLmodel").read_text().split("signature:")
    rest = lines[1].split("\n")
    after = [line for line in rest[1:] if not line.startswith("  ")]
    (model / "MLmodel").write_text(lines[0] + "\n".join(after))
    found = check(model, sample)
    assert found.problem is not None and "no signature" in found.problem


@pytest.mark.usefixtures("fresh_process")
def test_a_problem_reaches_whoever_started_the_process(packaged: tuple[Path, Path]) -> None:
    model, sample = packaged
    (model / "model.skops").unlink()
    found = check(model, sample)
    assert found.problem and not found.identical and found.ms_per_1000_rows is None


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
    found = check(model, sample)
    assert isinstance(found, PackageCheck)
    assert found.problem and not found.identical and found.ms_per_1000_rows is None
    if damage == "foreign":
        assert "types that are not trusted: shutil.rmtree" in found.problem


@pytest.mark.usefixtures("fresh_process")
def test_the_speed_is_the_processor_time_whatever_else_the_machine_does(packaged: tuple[Path, Path]) -> None:
    calm = check(*packaged).ms_per_1000_rows
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        loaded = check(*packaged).ms_per_1000_rows
    finally:
        for one in spinning:
            one.kill()
            one.wait()
    assert calm is not None and loaded is not None
    assert loaded < 2.5 * calm


def test_the_process_imports_nothing_that_only_this_one_needs(packaged: tuple[Path, Path]) -> None:
    heavy = ("mlflow", "great_expectations", "matplotlib", "evidently")
    answer = packaged[1].with_name("answer.json")
    arguments = [str(packaged[0]), str(packaged[1]), TASK.kind, str(answer), "0"]
    code = (
        f"import sys; from ml.adapters import package; assert not package.main({arguments!r}); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_process_that_gets_no_model_ends_with_whoever_started_it() -> None:
    code = "import sys\nfrom ml.adapters import package\nwith package.start() as trial: print(trial.process.pid)\n"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(f"/proc/{int(ran.stdout)}").exists()
    with tempfile.TemporaryDirectory() as folder, package.FreshTrial(folder).process as orphan:
        assert orphan.stdin is not None
        orphan.stdin.close()  # what the end of whoever holds the other end does
        assert orphan.wait(timeout=package.TIMEOUT_SECONDS) == 1
