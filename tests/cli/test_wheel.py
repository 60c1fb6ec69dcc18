"""A wheel of the project holds all of it, and works where nothing but its requirements is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from ml.settings import PROJECT_ROOT

PACKAGES = ("ml", "embedded")


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EVERGREEN", "COV"))}
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert not check or ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy: what earlier builds left in the checkout is no part of it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copy(PROJECT_ROOT / "pyproject.toml", source)
    for package in PACKAGES:
        shutil.copytree(PROJECT_ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", target, source, cwd=source)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a new environment, which then sees the libraries of this one and nothing of ours."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-index", "--no-deps", wheel, cwd=home)
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin"


def test_it_holds_every_module_and_template(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for package in PACKAGES
        for path in (PROJECT_ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == files


def test_the_command_runs_and_tells_the_version_of_pyproject(installed: Path, tmp_path: Path) -> None:
    declared = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert run(installed / "evergreen", "--version", cwd=tmp_path).stdout.strip() == f"evergreen {declared}"
    shown = run(installed / "evergreen", "--help", cwd=tmp_path).stdout
    assert all(name in shown for name in ("champion", "backtest", "doctor"))


def test_the_project_is_the_folder_in_which_it_is_called(installed: Path, tmp_path: Path) -> None:
    lost = run(installed / "evergreen", "champion", cwd=tmp_path, check=False)
    assert lost.returncode == 2
    assert f"{tmp_path / 'params.yaml'}: no such file; point EVERGREEN_PARAMS at your params.yaml" in lost.stderr
    assert list(tmp_path.iterdir()) == []

    shutil.copy(PROJECT_ROOT / "params.yaml", tmp_path)
    code = (
        "import ml, ml.settings, ml.wiring; from ml.adapters import code, drift, sources; "
        "print(ml.__file__, ml.settings.load().gate.metric, ml.settings.Environment.load().home, code.commit())"
    )
    file, metric, home, commit = run(installed / "python", "-W", "ignore", "-c", code, cwd=tmp_path).stdout.split()
    assert Path(file).is_relative_to(installed.parent)
    assert (metric, home, commit) == ("log_loss", str(tmp_path / "var"), "unknown")


def test_the_stack_says_that_it_needs_a_checkout(installed: Path, tmp_path: Path) -> None:
    shutil.copy(PROJECT_ROOT / "params.yaml", tmp_path)
    ended = run(installed / "evergreen", "setup", cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert "holds no dags/: the embedded stack needs a checkout of Evergreen" in ended.stderr
    assert not (tmp_path / "var").exists()
