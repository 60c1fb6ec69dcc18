"""``evergreen add``, ``evergreen settings``, ``evergreen models``: what a person types to have one model more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ml.cli import add_model, show_settings
from ml.settings import PROJECT_ROOT, Environment, configured_models, load_model
from tests.builders_models import SmallModel


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the repository's own model at the top."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(PROJECT_ROOT / name, tmp_path / name)
    shutil.copytree(PROJECT_ROOT / "expectations", tmp_path / "expectations")
    for name in [name for name in os.environ if name.startswith("EVERGREEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EVERGREEN_MODEL", "")
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("EVERGREEN_PARAMS", str(tmp_path / "params.yaml"))
    monkeypatch.setenv("EVERGREEN_EXPECTATIONS", str(tmp_path / "expectations"))
    return tmp_path


def test_a_model_is_added_whole_with_all_comments_and_only_the_name_changed(project: Path) -> None:
    assert add_model.main(["churn"]) == 0
    ours, copied = (project / "params.yaml").read_text(), (project / "models" / "churn" / "params.yaml").read_text()
    assert copied == ours.replace("  name: flight-delay\n", "  name: churn\n", 1) != ours
    assert [model.name for model in configured_models()] == ["flight-delay", "churn"]
    assert load_model(Environment.load(model="churn")).task.name == "churn"
    assert [path.name for path in (project / "models").iterdir()] == ["churn"]  # nothing half-written beside it


def test_the_modules_that_its_settings_name_come_along(project: Path) -> None:
    (project / "copied_model.py").write_text("import copied_parts\n")
    (project / "copied_parts.py").write_text("x = 1\n")
    (project / "copied_not.py").write_text("x = 1\n")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("sklearn.linear_model.LogisticRegression", "copied_model.Own", 1))
    assert add_model.main(["churn"]) == 0
    files = {path.name: path.read_text() for path in (project / "models" / "churn").glob("*.py")}
    assert files == {"copied_model.py": "import copied_parts\n", "copied_parts.py": "x = 1\n"}


@pytest.mark.parametrize("line", ['name: "flight-delay"   # quoted', "name: 'flight-delay'", "name:   flight-delay"])
def test_the_name_is_found_however_it_is_written(project: Path, line: str) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("name: flight-delay", line, 1))
    assert add_model.main(["churn"]) == 0
    assert load_model(Environment.load(model="churn")).task.name == "churn"


def test_the_stages_of_an_added_model_are_those_of_the_top_on_its_own_files(project: Path) -> None:
    assert add_model.main(["churn"]) == 0
    top = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    own = yaml.safe_load((project / "models" / "churn" / "dvc.yaml").read_text())["stages"]
    assert list(own) == list(top)
    for name, stage in own.items():
        assert stage["wdir"] == "../.."
        assert stage["cmd"] == f"EVERGREEN_MODEL=churn {top[name]['cmd']} --workspace var/models/churn/workspace"
        assert all(out.startswith("var/models/churn/workspace/") for out in stage["outs"])
        own_files = [dep for dep in stage["deps"] if not dep.startswith("ml/")]
        assert all(dep.startswith(("models/churn/", "var/models/churn/")) for dep in own_files), own_files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flight-delay", "there is a model 'flight-delay' already"),
        ("no.dots", "task.name"),
        ("../out", "task.name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_written(
    project: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add_model.main([name]) == 2
    assert message in capsys.readouterr().err
    assert not any((project / "models").glob("*")) and not (project.parent / "out").exists()


def test_settings_are_shown_as_they_count_with_what_the_environment_overlays(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERGREEN_ENV", "staging")
    (project / "params.staging.yaml").write_text("gate: {min_days: 5}\nnotify: {to: [a@example.com]}\n")
    assert show_settings.main([]) == 0
    shown = capsys.readouterr().out
    assert "# gate.min_days: 5 in place of 7" in shown and "params.yaml with " in shown
    settings = yaml.safe_load(shown)
    assert settings["gate"]["min_days"] == 5
    assert settings["performance"]["window_days"] == 14  # a default
    assert show_settings.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["environment"] == "staging"


def test_a_password_in_settings_is_not_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = SmallModel(0)
    model.configure(project / "models" / model.name, project)
    params = project / "models" / model.name / "params.yaml"
    params.write_text(params.read_text().replace(str(project), "https://me:secret@example.com/data"))
    assert show_settings.main(["--model", model.name]) in {0, 2}
    output = capsys.readouterr()
    assert "secret" not in output.out + output.err


def test_the_list_of_models_is_printed_for_people(project: Path) -> None:
    SmallModel(1).configure(project / "models" / "model-1", project)
    (project / "models" / "empty").mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "ml.cli.models"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["flight-delay", "empty", "model-1"]
    assert f"empty: {project / 'models' / 'empty'}: it holds no params.yaml" in ran.stdout
