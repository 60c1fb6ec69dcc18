"""The one command: what it lists, finds, prints and completes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from setuptools import find_packages

from embedded import running
from embedded.config import PROJECT, Stack
from ml import command_line
from ml.cli.commands import BUILT_IN, Command, every
from ml.cli.main import main
from ml.errors import SettingsError


@pytest.fixture(autouse=True)
def _unchanged_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the command a home of its own, and take back whatever it adds to the environment."""
    before = dict(os.environ)
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def test_help_lists_every_command_with_a_line_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f"  {each.name}" in shown and each.summary in shown for each in BUILT_IN)


def test_the_command_of_another_checkout_reads_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clone/ml").mkdir(parents=True)
    (tmp_path / "clone/ml/roots.py").touch()
    (tmp_path / "clone/data").mkdir()
    monkeypatch.chdir(tmp_path / "clone/data")
    assert main(["models"]) == SettingsError.exit_code
    shown = capsys.readouterr()
    assert shown.out == "" and f"this is the evergreen of {PROJECT}" in shown.err and "make setup" in shown.err
    monkeypatch.chdir(tmp_path)
    assert main(["models"]) == 0


@pytest.mark.parametrize("chosen", BUILT_IN, ids=lambda chosen: chosen.name)
def test_every_command_can_be_loaded_and_refuses_what_it_does_not_know(
    chosen: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    if chosen.name == "run":
        assert main(["run"]) == command_line.MISUSE
        return
    try:
        code = main([chosen.name, "--no-such-option"])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == command_line.MISUSE
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("chosen", BUILT_IN, ids=lambda chosen: chosen.name)
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_every_command_prints_its_help_and_does_nothing(
    chosen: Command, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    (home / "airflow").mkdir(parents=True)
    (home / "airflow" / "keys.json").touch()
    try:
        code = main([chosen.name, word])
    except SystemExit as ended:
        code = int(str(ended.code))
    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    assert shown.out.startswith(f"usage: evergreen {chosen.name}")
    assert [path.name for path in home.iterdir()] == ["airflow"]


def test_what_the_commands_run_is_installed_with_them() -> None:
    """Tests have `plugins` on their path anyway; people, images and servers have what is installed."""
    found = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders, patterns = found["find"].get("where", ["."]), found["find"]["include"]
    installed = {name for folder in folders for name in find_packages(str(PROJECT / folder), include=patterns)}
    needed = {command.target.partition(":")[0].rpartition(".")[0] for command in BUILT_IN}
    assert "evergreen.alerts" in needed
    assert needed <= installed


def test_an_unknown_command_is_misuse_and_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve-coffee"])
    assert ended.value.code == command_line.MISUSE
    assert "'rollback'" in capsys.readouterr().err


def test_people_get_a_table_and_programs_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["champion"]) == 0
    assert capsys.readouterr().out == "version  none\n"
    assert main(["champion", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": None}


def test_an_error_is_one_line_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERGREEN_PARAMS", str(tmp_path / "absent.yaml"))
    assert main(["champion"]) == SettingsError.exit_code
    assert "absent.yaml: no such file" in capsys.readouterr().err


def test_another_package_adds_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, "greet = greeting:main")
    (tmp_path / "greeting.py").write_text(
        "def main(argv):\n    print('hello', *argv)\n    return 3\n", encoding="utf-8"
    )
    assert main(["greet", "you"]) == 3
    assert capsys.readouterr().out == "hello you\n"
    assert "(of greeting)" in every()["greet"].summary


def test_a_package_cannot_replace_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, "rollback = greeting:main")
    assert main(["champion"]) == SettingsError.exit_code
    assert "greeting announces the command 'rollback'" in capsys.readouterr().err


def test_a_package_that_cannot_be_imported_breaks_its_own_command_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, "greet = no_such_module:main")
    assert main(["champion"]) == 0
    assert main(["greet"]) == SettingsError.exit_code
    assert "no_such_module:main cannot be imported" in capsys.readouterr().err


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, entry_point: str) -> None:
    metadata = folder / "greeting-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[evergreen.commands]\n{entry_point}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)


def test_a_running_stack_is_found_with_the_ports_that_it_was_started_with(tmp_path: Path) -> None:
    environ = {"EVERGREEN_HOME": str(tmp_path)}
    started = Stack.load({**environ, "EVERGREEN_MLFLOW_PORT": "5987"})
    running.record(started)
    assert "MLFLOW_TRACKING_URI" not in running.environment(environ)
    with started.lock.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running.environment(environ)["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5987"
        given = {**environ, "MLFLOW_TRACKING_URI": "http://mlflow.example:5000"}
        assert "EVERGREEN_HOME" not in running.environment(given)
        (tmp_path / "ports.json").write_text("{", encoding="utf-8")
        assert running.environment(environ)["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_run_becomes_a_command_in_the_environment_of_the_stack(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ml.cli", "run", sys.executable, "-c", "import os; print(os.environ['AIRFLOW_HOME'])"],
        cwd=PROJECT,
        env={"PATH": os.defpath, "EVERGREEN_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.strip() == str(tmp_path / "airflow")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("evergreen ", {"up", "history", "rollback"}),
        ("evergreen hi", {"history"}),
        ("evergreen history --a", {"--all", "--as-of"}),
    ],
)
def test_the_shell_completes_commands_and_their_options(line: str, offered: set[str], tmp_path: Path) -> None:
    words = complete(line, tmp_path / "offered")
    assert offered <= words
    assert not words - offered or line == "evergreen "


def complete(line: str, answer: Path) -> set[str]:
    """Ask as the shell's completion does."""
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\v",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "",
    }
    subprocess.run(
        [sys.executable, "-m", "ml.cli"],
        cwd=PROJECT,
        env={"PATH": os.defpath, **asked},
        check=False,
        timeout=60,
    )
    return {word.strip() for word in answer.read_text(encoding="utf-8").split("\v")} - {""}


def test_completion_prints_code_that_a_shell_accepts() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ml.cli", "completion"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    subprocess.run(["bash", "-n"], input=ended.stdout, text=True, check=True)
    assert "evergreen" in ended.stdout


def test_the_command_is_installed_with_the_project() -> None:
    installed = Path(sys.executable).parent / "evergreen"
    if not installed.exists() and not os.environ.get("CI"):
        pytest.skip("run 'make setup' again: this environment was made before the command")
    ended = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == "evergreen 0.1.0"
