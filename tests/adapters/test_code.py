"""The version of the code that runs: its commit, and its content where there is none."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.adapters import code
from ml.settings import PROJECT_ROOT


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ask anew in each test, and leave nothing behind for others."""
    monkeypatch.delenv("EVERGREEN_CODE_VERSION", raising=False)
    for function in (code.code_sha256, code.lock_sha256, code.commit):
        function.cache_clear()
    yield
    for function in (code.code_sha256, code.lock_sha256, code.commit):
        function.cache_clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project of its own that the module takes for this one."""
    (tmp_path / "ml" / "core").mkdir(parents=True)
    (tmp_path / "ml" / "core" / "gate.py").write_text("x = 1\n")
    (tmp_path / "requirements.txt").write_text("pandas==3.0.0\n")
    monkeypatch.setattr(code, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(code, "CODE_ROOT", tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def asked(function) -> str:
    function.cache_clear()
    return function()


def test_the_content_of_the_code_is_what_counts(project: Path) -> None:
    first = asked(code.code_sha256)
    assert len(first) == 64
    (project / "ml" / "notes.md").write_text("no code\n")
    assert asked(code.code_sha256) == first
    (project / "ml" / "core" / "gate.py").write_text("x = 2\n")
    changed = asked(code.code_sha256)
    (project / "ml" / "core" / "gate.py").rename(project / "ml" / "core" / "judge.py")
    assert len({first, changed, asked(code.code_sha256)}) == 3


def test_the_lock_file_is_hashed_and_may_be_absent(project: Path) -> None:
    assert code.lock_sha256() == hashlib.sha256(b"pandas==3.0.0\n").hexdigest()
    (project / "requirements.txt").unlink()
    assert asked(code.lock_sha256) == ""


def test_the_commit_says_so_when_files_differ_from_it(project: Path) -> None:
    assert asked(code.commit) == code.state() == "unknown"
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    head = git(project, "rev-parse", "HEAD")
    assert asked(code.commit) == head
    assert code.state() == "clean"
    (project / "ml" / "core" / "gate.py").write_text("x = 3\n")
    assert asked(code.commit) == f"{head}-dirty"
    assert code.state() == "dirty"
    git(project, "checkout", "-q", ".")
    (project / "ml" / "notes.md").write_text("no code\n")
    assert asked(code.commit) == head
    (project / "ml" / "core" / "new.py").write_text("x = 4\n")
    assert asked(code.commit) == f"{head}-dirty", "no commit holds what runs"


def test_an_image_without_git_says_what_it_was_built_from(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_CODE_VERSION", "v1.2.3")
    assert code.commit() == "v1.2.3"


def test_a_hook_that_sets_gits_own_variables_does_not_mislead(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "first")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    git_dir = project / ".git"
    assert git_dir.exists()
    assert len(asked(code.commit)) == 40


def test_this_very_checkout_has_a_content() -> None:
    assert len(code.code_sha256()) == 64
    assert shutil.which("git") is None or code.commit() != ""
    assert (PROJECT_ROOT / "ml" / "adapters" / "code.py").exists()
