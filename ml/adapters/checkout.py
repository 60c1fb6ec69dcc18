"""The project as it was, in a folder of its own, and DVC's stages run there.

A folder is removed when its user is done, also if that failed. One whose user was killed is removed by
the next: a lock in it that the kernel holds shows whether anybody is still there.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ml.adapters import code
from ml.errors import EvergreenError, MissingArtifact
from ml.settings import PROJECT_ROOT

logger = logging.getLogger(__name__)
TEMPORARY, KEPT = "evergreen-reproduce-", "evergreen-kept-"
PROJECT = "project"
NEEDED = ("ml", "expectations", "dvc.yaml", ".dvc/config", ".dvcignore", "requirements.txt")
"""What the stages of ``dvc.yaml`` run through."""

FOREIGN = ("EVERGREEN_", "AIRFLOW_CTX_", "MLFLOW_", "DVC_", "GIT_", "PYTHONPATH", *code.THREADS)
"""Variables that would lead a stage elsewhere, or let it compute in another way."""


@contextmanager
def scratch(*, keep: bool = False) -> Iterator[Path]:
    """Yield an empty folder, and remove it with the worktree in it at the end; ``keep`` leaves both."""
    _remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=KEPT if keep else TEMPORARY)).resolve()
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        if not keep:
            _remove(folder)


def lay_out(version: str, code_sha256: str, folder: Path) -> tuple[Path, str]:
    """Copy the code of a recorded version into a folder; return its project and where the code came from.

    Parameters
    ----------
    version
        What `code.commit` said at the time. Only a whole hash is looked up; of a ``-dirty`` one its commit is
        tried, since it may hold the same code all the same.
    code_sha256
        What `code.code_sha256` said: code with another content is not taken.

    Raises
    ------
    MissingArtifact
        If neither a commit of this repository nor this checkout holds that code.
    """
    rev = version.removesuffix(code.DIRTY)
    project, commit = folder / PROJECT, _full_hash(rev) if re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", rev) else None
    if commit is not None:
        try:
            code.git("worktree", "add", "--detach", "--", str(project), commit, seconds=600)
        except (OSError, subprocess.SubprocessError) as err:
            message = getattr(err, "stderr", None) or err
            raise EvergreenError(f"Git could not check {commit} out ({str(message).strip()}); fix that first") from err
        if code.hash_code(project) == code_sha256:
            return _quiet(project), f"commit {commit}"
        _remove_worktree(project)
    if code.code_sha256() == code_sha256:
        for name in NEEDED:
            source, target = PROJECT_ROOT / name, project / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        return _quiet(project), "a copy of this checkout, whose code has the recorded content"
    if commit is None:
        raise MissingArtifact(
            f"the code is recorded as {version}, which is no commit of {PROJECT_ROOT}, and this checkout holds other "
            "code; fetch that commit, or run this where it is"
        )
    raise MissingArtifact(
        f"the code is recorded as {version}, whose content was not what commit {commit} holds, and this checkout holds "
        "other code; restore the changes that were not committed then, or train a new version from a commit"
    )


def repeat(stage: str, project: Path, environ: Mapping[str, str]) -> None:
    """Run every stage of ``dvc.yaml`` up to ``stage``, whatever was run or cached before.

    Parameters
    ----------
    environ
        Variables to set; of the caller's own, those in `FOREIGN` are not handed on.

    Raises
    ------
    EvergreenError
        If a stage fails; the message holds what it said.
    """
    run(["-m", "dvc", "repro", "--force", "--no-run-cache", "--no-commit", stage], project, environ)


def run(arguments: list[str], project: Path, environ: Mapping[str, str]) -> None:
    """Run Python in a project, with its own ``ml``; its output goes to ``run.log`` next to the project.

    Raises
    ------
    EvergreenError
        If it fails; the message holds the errors that it named.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = [str(Path(sys.executable).parent), variables.get("PATH", os.defpath)]
    log = project.parent / "run.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=project,
            env={
                **variables,
                "PATH": os.pathsep.join(path),
                "PYTHONPATH": str(project),
                "DVC_NO_ANALYTICS": "true",
                "DVC_SITE_CACHE_DIR": str(project.parent / "dvc-site"),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.strip() for line in lines if line.lower().startswith("error:")] or lines[-5:]
        raise EvergreenError("; ".join(errors) or f"it ended with {process.returncode} and said nothing")


def _quiet(project: Path) -> Path:
    """Keep DVC from using Git: what runs here is neither to be committed nor ignored."""
    (project / ".dvc").mkdir(exist_ok=True)
    (project / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    return project


def _full_hash(rev: str) -> str | None:
    """Return the full hash of a commit of this repository; None if it has none such, or is none."""
    try:
        return code.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    except (OSError, subprocess.SubprocessError):
        return None


def _remove_abandoned() -> None:
    """Remove the folders of earlier users that were killed; those who still hold their lock are left alone."""
    worktrees = []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = code.git("worktree", "list", "--porcelain").splitlines()
        worktrees = [Path(line.removeprefix("worktree ")).parent for line in lines if line.startswith("worktree ")]
    folders = Path(tempfile.gettempdir()).resolve().glob(f"{TEMPORARY}*")
    for folder in sorted({*(path for path in worktrees if path.name.startswith(TEMPORARY)), *folders}):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            if folder.exists():  # it is just being made
                continue
        except OSError:
            continue
        logger.info("removing %s, which a killed reproduction left behind", folder)
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _remove_worktree(folder / PROJECT)


def _remove_worktree(project: Path) -> None:
    """Remove a worktree from Git's list, and what is left of it; nothing happens if it is none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        code.git("worktree", "remove", "--force", str(project))
    shutil.rmtree(project, ignore_errors=True)
