"""A version is rebuilt from its lineage, whatever became of code and data since: real Git, real ``dvc repro``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from ml.adapters import checkout, code
from ml.cli import reproduce
from ml.errors import MissingArtifact, SettingsError
from ml.records import Reproduction
from ml.settings import PROJECT_ROOT
from ml.steps.retrain import pull
from tests.steps.conftest import FIRST_DAY, REQUEST, World

COPIED = (*checkout.NEEDED, "params.yaml", ".gitignore")
pytestmark = pytest.mark.timeout(900)  # every stage is a process of its own, three times over
TRAIN = """
import sys
from ml.records import Challenger, Judgement, RetrainRequest
from ml.steps.retrain import evaluate, fit, pull, register, split, tune
from ml.wiring import open_services
request = RetrainRequest(requested_by="a test", reasons=("to rebuild it",))
services = open_services()
window = pull.run(request, settings=services.settings, services=services)
given = {"settings": services.settings, "services": services}
for step in (split, tune, fit):
    step.run(window, **given)
if sys.argv[1] == "--only-fit":
    sys.exit()
challenger = register.run(window, evaluate.run(window, **given), **given)
services.tracking.move_alias("champion", challenger.version)
if sys.argv[1] == "--refit":
    from ml.records import Verdict
    from ml.steps.retrain import refit
    verdict = Verdict(decision="promote", reasons=(), rulings=())
    asked = Judgement(fingerprint=window.fingerprint, version=challenger.version, champion_version=None,
                      verdict=verdict, decision_id=None)
    refit.run(window, asked, **given)
"""


@dataclass(frozen=True)
class Project:
    """A project of its own, in Git, beside a world of data and models."""

    folder: Path
    world: World
    commits: tuple[str, str]
    rebuilt: dict[int, tuple[int, Reproduction]]

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return python(self.folder, self.world, *arguments, **variables)

    def left_by(self, version: int) -> Path:
        return Path(str(self.rebuilt[version][1].folder))

    @property
    def worktrees(self) -> list[str]:
        return [line for line in git(self.folder, "worktree", "list", "--porcelain").splitlines() if "worktree" in line]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def python(folder: Path, world: World, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    temporary = folder.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERGREEN_", "MLFLOW_"))}
    given = {name: value for name, value in world.environ.items() if name != "EVERGREEN_DEVELOPMENT"}
    given["EVERGREEN_PARAMS"] = str(folder / "params.yaml")
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=250, check=False,
        env={**kept, "PYTHONPATH": str(folder), "TMPDIR": str(temporary), **given, **variables},
    )  # fmt: skip


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def state_of(home: Path) -> dict[str, object]:
    """What nobody may have written to: data, models and what MLflow says of them."""
    files = [path for path in home.rglob("*") if path.is_file() and "cache" not in path.parts]
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as database:
        dump = list(database.iterdump())
    database.close()
    written = {
        path: path.stat().st_mtime_ns
        for path in files
        if not path.name.startswith("mlflow.db") and path.name != "params.yaml"
    }
    return {"files": written, "mlflow": dump}


@pytest.fixture(scope="module")
def project(seeded_once: World, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1 of an older commit on older data; versions 2 (judged) and 3 (its refit) of the present ones."""
    world = seeded_once.copied_to(tmp_path_factory.mktemp("rebuilt") / "home")
    folder = world.home.parent / "project"
    for name in COPIED:
        source, target = PROJECT_ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    params = folder / "params.yaml"
    for old, new in (("replay: true", "replay: false"), ("min_days: 35", "min_days: 21"),
                     ("holdout_days: 14", "holdout_days: 10"), ("{C: 0.001,", "{C: 1.0e-05,"),
                     ("refit: after_gate", "refit: never")):  # fmt: skip
        replaced(params, old, new)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "older")
    first = git(folder, "rev-parse", "HEAD")
    ran = python(folder, world, "-c", TRAIN, "--judged")
    assert ran.returncode == 0, ran.stderr

    day = FIRST_DAY + timedelta(days=3)
    corrected = world.held("inputs", day)
    world.put({("inputs", day): corrected.assign(distance=corrected["distance"] + 500.0)})
    replaced(folder / "ml" / "core" / "training" / "estimators.py", "n_knots=8", "n_knots=5")
    replaced(params, "{C: 1.0e-05,", "{C: 0.01,")
    replaced(params, "refit: never", "refit: after_gate")
    git(folder, "commit", "-qam", "newer")
    second = git(folder, "rev-parse", "HEAD")
    ran = python(folder, world, "-c", TRAIN, "--refit", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert ran.returncode == 0, ran.stderr

    before = state_of(world.home)

    def rebuild(version: int) -> tuple[int, Reproduction]:
        ran = python(folder, world, "-m", "ml.cli.reproduce", "--version", str(version), "--json", "--keep")
        assert ran.stdout, ran.stderr
        return ran.returncode, Reproduction.model_validate_json(ran.stdout)

    with ThreadPoolExecutor(2) as pool:
        rebuilt = dict(zip((1, 3), pool.map(rebuild, (1, 3)), strict=True))
    assert state_of(world.home) == before
    return Project(folder, world, (first, second), rebuilt)


@pytest.mark.parametrize("version", [1, 3])
def test_a_version_is_rebuilt_bit_by_bit_from_its_own_code_and_data(project: Project, version: int) -> None:
    exit_code, found = project.rebuilt[version]
    assert [one for one in found.compared if not one.same] == []
    assert exit_code == 0 and found.identical
    assert found.source == f"commit {project.commits[version > 1]}"
    compared = {one.what for one in found.compared}
    assert compared >= {
        "code of ml/, SHA-256", "lock file, SHA-256", "window", "files of the window, md5", "fingerprint",
        "predictions on the kept sample", "the registered model on the holdout", "train_rows",
    }  # fmt: skip
    measured = {"predictions on the holdout", "log_loss", "roc_auc", "base_rate_log_loss", "holdout_rows"}
    assert measured & compared == (measured if version == 1 else set())  # nobody measured a refit on what it has seen


def test_the_model_that_was_judged_is_rebuilt_on_the_way_to_its_refit(project: Project) -> None:
    services = project.world.services
    recorded = services.tracking.read_file(2, "lineage/lineage.json", lambda path: json.loads(path.read_text()))
    found = reproduce.compare(2, recorded, project.left_by(3) / "project", services)
    assert [one for one in found if not one.same] == []
    assert {"predictions on the holdout", "log_loss", "fingerprint"} <= {one.what for one in found}
    old, new = ({one.what: one.recorded for one in every} for every in (project.rebuilt[1][1].compared, found))
    for what in ("code of ml/, SHA-256", "files of the window, md5", "fingerprint", "predictions on the holdout"):
        assert old[what] != new[what]
    assert recorded["data_version"] != project.rebuilt[1][1].data_version


def test_the_lineage_says_all_that_a_training_came_from(project: Project) -> None:
    tracking = project.world.services.tracking
    found = tracking.read_file(2, "lineage/lineage.json", lambda path: json.loads(path.read_text()))
    assert (found["code_version"], found["code_state"]) == (project.commits[1], "clean")
    assert found["fingerprint"] == found["resolved_fingerprint"] == tracking.version_tags(2)["fingerprint"]
    assert (found["requested_by"], found["reasons"]) == ("a test", ["to rebuild it"])
    assert found["seeds"] == {"fit": 20130101}
    files = project.world.services.registry.days("inputs", found["data_version"])
    assert found["window"]["files"]["inputs/day=2013-05-04"] == files[FIRST_DAY + timedelta(days=3)].md5
    assert set(found["environment"]["packages"]) >= {"numpy", "scipy", "scikit-learn", "pandas"}
    assert found["environment"]["threads"]["OMP_NUM_THREADS"] == "1"
    assert all(found["environment"][name] for name in ("python", "platform", "machine", "cpu", "cpus", "libraries"))
    refit = tracking.read_file(3, "lineage/lineage.json", lambda path: json.loads(path.read_text()))
    assert refit["parts"]["refit_of"] == found["fingerprint"] == refit["resolved_fingerprint"]


def test_nothing_is_left_behind_but_what_was_to_be_kept(project: Project) -> None:
    kept = {project.left_by(version) for version in (1, 3)}
    assert set(project.worktrees) == {f"worktree {place}" for place in (project.folder, *(k / "project" for k in kept))}
    assert set((project.folder.parent / "tmp").glob("evergreen-*")) == kept
    assert git(project.folder, "status", "--porcelain") == ""


@pytest.fixture
def tampered(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Compare what was rebuilt of version 1 with a copy of the world in which somebody changed something."""
    world = project.world.copied_to(tmp_path / "home")
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    kept = project.left_by(1) / "project"
    monkeypatch.setattr(checkout, "lay_out", lambda *_: (kept, "what was rebuilt before"))
    monkeypatch.setattr(reproduce, "rebuild", lambda *_: None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return world


def kept_file(world: World, version: int, name: str) -> Path:
    run_id = world.services.tracking.version_tags(version)["run_id"]
    (found,) = (path for path in (world.home / "mlflow").rglob(name) if run_id in path.parts)
    return found


def model_file(world: World, version: int) -> Path:
    with world.services.tracking.packaged(world.services.tracking.version_tags(version)["run_id"], version) as folder:
        content = (folder / "model.skops").read_bytes()
    (found,) = (path for path in (world.home / "mlflow").rglob("model.skops") if path.read_bytes() == content)
    return found


def test_a_changed_record_is_named(tampered: World, capsys: pytest.CaptureFixture[str]) -> None:
    def differing() -> list[str]:
        assert reproduce.main(["--version", "1"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1].startswith("not identical: ")
        return [line.split("  ")[0] for line in lines if "  NO" in line]

    assert reproduce.main(["--version", "1"]) == 0
    assert "identical: all" in capsys.readouterr().out

    model = model_file(tampered, 1)
    own = model.read_bytes()
    model.write_bytes(model_file(tampered, 2).read_bytes())
    assert differing() == ["the registered model file, SHA-256", "the registered model on the holdout"]
    model.write_bytes(own)

    holdout = kept_file(tampered, 1, "holdout.parquet")
    frame = pd.read_parquet(holdout)
    frame.loc[7, "challenger"] += 1e-16 * 2
    frame.to_parquet(holdout, index=False)
    assert differing() == ["predictions on the holdout"]
    holdout.unlink()
    assert differing() == ["targets of the holdout", "predictions on the holdout"]

    lineage = kept_file(tampered, 1, "lineage.json")
    facts = json.loads(lineage.read_text())
    facts["window"]["files"]["labels/day=2013-05-20"] = "0" * 32
    facts["environment"]["packages"]["numpy"] = "1.26.4"
    lineage.write_text(json.dumps(facts))
    assert reproduce.main(["--version", "1"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "lineage.json of version 1" in said.err and "somebody changed it" in said.err
    (record,) = (tampered.home / "storage" / "registered" / "version=1").iterdir()
    recorded = json.loads(record.read_text())
    recorded["lineage_sha256"] = hashlib.sha256(lineage.read_bytes()).hexdigest()
    record.write_text(json.dumps(recorded))
    client, run_id = tampered.services.tracking.client, tampered.services.tracking.version_tags(1)["run_id"]
    client.log_metric(run_id, "roc_auc", 0.9)
    assert reproduce.main(["--version", "1"]) == 1
    said = capsys.readouterr().out
    assert "labels/day=2013-05-20" in said
    assert "roc_auc" in [line.split("  ")[0] for line in said.splitlines() if "  NO" in line]
    assert "packages.numpy" in said and "1.26.4" in said and "Try again where the environment is as recorded" in said


def test_a_command_hidden_in_a_lineage_is_never_run(
    tampered: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lineage = kept_file(tampered, 1, "lineage.json")
    facts = json.loads(lineage.read_text())
    facts["environment"]["threads"] |= {"GIT_SSH_COMMAND": f"touch {tmp_path / 'run'}", "LD_PRELOAD": "/tmp/x.so"}
    lineage.write_text(json.dumps(facts, indent=2, sort_keys=True))
    assert reproduce.main(["--version", "1"]) == 1
    assert "somebody changed it" in capsys.readouterr().err
    (record,) = (tampered.home / "storage" / "registered" / "version=1").iterdir()
    recorded = json.loads(record.read_text())
    recorded["lineage_sha256"] = hashlib.sha256(lineage.read_bytes()).hexdigest()
    record.write_text(json.dumps(recorded))
    assert reproduce.main(["--version", "1"]) == 1  # even if the record were ours: no such variable is set
    said = capsys.readouterr().out
    assert "variable GIT_SSH_COMMAND" in said and "variable LD_PRELOAD" in said and "refused: it is none of" in said
    assert said.splitlines()[-1].startswith("not identical: variable GIT_SSH_COMMAND, variable LD_PRELOAD")
    facts["data_version"] = "--upload-pack=touch run"
    lineage.write_text(json.dumps(facts, indent=2, sort_keys=True))
    recorded["lineage_sha256"] = hashlib.sha256(lineage.read_bytes()).hexdigest()
    record.write_text(json.dumps(recorded))
    assert reproduce.main(["--version", "1"]) == 1
    assert "'--upload-pack=touch run' as data_version, which is not a whole hash" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_damaged_day_is_found_and_what_a_killed_reproduction_left_is_removed(project: Project) -> None:
    left = project.folder.parent / "tmp" / "evergreen-reproduce-killed"
    left.mkdir()
    (left / "lock").touch()
    git(project.folder, "worktree", "add", "-q", "--detach", str(left / "project"), project.commits[0])
    worktrees = project.worktrees
    day = FIRST_DAY + timedelta(days=5)
    md5 = project.world.services.registry.days("inputs")[day].md5
    (stored,) = project.world.home.joinpath("registry-remote").rglob(md5[2:])
    content = stored.read_bytes()
    stored.chmod(0o644)
    try:
        stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        ran = project.python("-m", "ml.cli.reproduce", "--version", "champion", "--json")
    finally:
        stored.write_bytes(content)
    assert ran.returncode == 1, ran.stderr
    found = Reproduction.model_validate_json(ran.stdout)
    (row,) = found.compared
    assert (row.what, row.same) == ("stages", False)
    assert "is damaged" in row.detail and "failed to reproduce 'pull'" in row.detail
    assert project.worktrees == [line for line in worktrees if "killed" not in line]
    assert not left.exists()


def test_code_that_no_commit_holds_is_not_registered_outside_development(project: Project) -> None:
    module = project.folder / "ml" / "core" / "monitoring" / "drift.py"
    own = module.read_text()
    module.write_text(own + "\n# tried out\n")
    only_pull = TRAIN.replace("for step in (split, tune, fit):", "sys.exit()\nfor step in (split, tune, fit):")
    try:
        rejected = project.python("-c", only_pull, "--judged")
        assert rejected.returncode != 0
        assert "SettingsError: nobody could rebuild a model from this code" in rejected.stderr
        assert "-dirty" in rejected.stderr and "EVERGREEN_DEVELOPMENT=1" in rejected.stderr
        ran = project.python("-c", only_pull, "--judged", EVERGREEN_DEVELOPMENT="1")
        assert ran.returncode == 0, ran.stderr
        ran = project.python("-m", "ml.steps.retrain.pull", "--workspace", str(project.folder / "var" / "workspace"))
        assert ran.returncode == 0, ran.stderr
    finally:
        module.write_text(own)


def test_where_there_is_no_commit_at_all_it_is_refused_too(seeded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "commit", lambda: "unknown")
    strict = seeded.services.environment.model_copy(update={"development": False})
    services = type(seeded.services)(seeded.settings, strict)
    with pytest.raises(SettingsError, match="set EVERGREEN_CODE_VERSION"):
        pull.run(REQUEST, settings=seeded.settings, services=services)
    assert not (seeded.home / "storage" / "runs").exists()


def test_code_is_taken_by_its_content_from_here_or_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "gate.py").write_text("x = 1\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setattr(checkout, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(code, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(code, "CODE_ROOT", tmp_path)
    content = code.hash_code(tmp_path)
    monkeypatch.setattr(code, "code_sha256", lambda: content)
    copy, source = checkout.lay_out("unknown", content, tmp_path / "a")
    assert (copy / "ml" / "gate.py").read_text() == "x = 1\n" and source.startswith("a copy of this checkout")
    with pytest.raises(MissingArtifact, match="fetch that commit"):
        checkout.lay_out("f" * 40, "0" * 64, tmp_path / "b")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "ml", "dvc.yaml")
    git(tmp_path, "commit", "-qm", "one")
    dirty = f"{git(tmp_path, 'rev-parse', 'HEAD')}-dirty"
    with checkout.scratch() as folder:
        assert checkout.lay_out(dirty, content, folder)[1].startswith("commit ")
    monkeypatch.setattr(code, "code_sha256", lambda: "1" * 64)
    with checkout.scratch() as folder, pytest.raises(MissingArtifact, match="restore the changes"):
        checkout.lay_out(dirty, "0" * 64, folder)
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1
    assert not folder.exists()
