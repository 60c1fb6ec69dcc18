"""``dvc repro`` and ``dvc exp run`` on a project of its own: real Git, real DVC, every stage a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml.adapters import checkout
from ml.settings import PROJECT_ROOT, load
from tests.steps.conftest import World

pytestmark = pytest.mark.timeout(900)
REQUIRED_ONLY = """
task: {name: flight-delay, kind: classification, target: late, key: [day, carrier, flight, origin], label_delay_days: 1}
source: {kind: demo, replay: false}
features: {categorical: [carrier, origin], numeric: [distance, clock_minutes]}
fit: {estimator: sklearn.linear_model.LogisticRegression, args: {C: 1e-2}}
"""


@dataclass(frozen=True)
class Project:
    folder: Path
    environ: dict[str, str]

    def run(self, *command: str) -> str:
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=600, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def fitted_with(self) -> dict[str, object]:
        lineage = json.loads((self.folder / "var/workspace/model/lineage.json").read_text())
        args = lineage["settings"]["fit"]["args"]
        assert isinstance(args, dict)
        return args


@pytest.fixture
def project(seeded_once: World, tmp_path: Path) -> Project:
    """A project whose ``params.yaml`` holds what has no default, and nothing else."""
    folder = tmp_path / "project"
    for name in (*checkout.NEEDED, ".gitignore"):
        source, target = PROJECT_ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, target)
    (folder / "params.yaml").write_text(REQUIRED_ONLY)
    seeded_once.copied_to(folder / "var")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVERGREEN_", "MLFLOW_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    made = Project(folder, {**kept, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"})
    made.run("git", "init", "-q")
    for name, value in (("user.name", "a"), ("user.email", "a@example.com"), ("commit.gpgsign", "false")):
        made.run("git", "config", name, value)
    made.run("git", "add", ".")
    made.run("git", "commit", "-qm", "first")
    return made


def test_sections_may_be_left_out_and_an_experiment_sets_a_number_as_dvc_writes_it(project: Project) -> None:
    assert "Running stage 'gate'" in project.dvc("repro")
    assert project.fitted_with() == {"C": 0.01}
    assert "Running stage" not in project.dvc("repro")
    project.dvc("plots", "show", "--out", "var/plots")
    shown = (project.folder / "var/plots/index.html").read_text()
    for name in ("roc", "precision_recall", "calibration", "loss_by_day"):  # pictures: no network is needed
        assert re.search(rf'<img src="[^"]*{name}\.png"', shown), name

    (project.folder / "params.yaml").write_text(REQUIRED_ONLY + "notify: {to: [someone@example.com]}\n")
    again = project.dvc("repro")
    assert "Running stage 'params'" in again
    assert "Running stage 'pull'" not in again, "what changes no result must rerun nothing"

    project.run("git", "add", "params.yaml", "dvc.lock")
    project.run("git", "commit", "-qm", "second")
    tried = project.dvc("exp", "run", "-S", "fit.args.C=0.00001")
    assert "1e-05" in (project.folder / "params.yaml").read_text(), "DVC no longer writes what this test is about"
    assert "Running stage 'fit'" in tried
    assert "Running stage 'split'" not in tried
    assert project.fitted_with() == {"C": 0.00001}
    assert load(project.folder / "params.yaml").fit.args == {"C": 0.00001}


def test_an_added_model_has_stages_of_its_own_that_leave_the_top_ones_alone(project: Project) -> None:
    project.run(sys.executable, "-m", "ml.cli.add_model", "later")
    shutil.move(project.folder / "var", project.folder / "landed")
    home = project.folder / "var" / "models" / "later"
    home.parent.mkdir(parents=True)
    shutil.move(project.folder / "landed", home)
    project.run(sys.executable, "-m", "ml.cli.rename", "--model", "later", "--from", "flight-delay")
    assert "Running stage 'models/later/dvc.yaml:split'" in project.dvc("repro", "models/later/dvc.yaml:split")
    assert (home / "workspace" / "parts").is_dir() and not (project.folder / "var" / "workspace").exists()
    assert (project.folder / "models" / "later" / "dvc.lock").exists()
