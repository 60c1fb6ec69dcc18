"""The code that runs and what it runs on: its Git commit where there is one, its content always."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from ml.roots import CODE_ROOT, IS_INSTALLED, PROJECT_ROOT

DIRTY = "-dirty"
UNKNOWN = "unknown"
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "joblib", "threadpoolctl", "skops")
"""What computes a training result; the lock's hash stands for all others."""
OPTIONAL_PACKAGES = ("xgboost-cpu", "xgboost", "lightgbm")
"""What computes it where somebody has installed it."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that set how many threads share a sum: another number may add up in another order."""


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """Hash every Python file below ``ml/``: what a training runs through."""
    return hash_code(CODE_ROOT)


def hash_code(project: Path) -> str:
    """Hash every Python file below ``ml/`` of a checkout."""
    digest = hashlib.sha256()
    for path in sorted((project / "ml").rglob("*.py")):
        digest.update(path.relative_to(project).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def lock_sha256() -> str:
    """Hash ``requirements.txt``; empty if the project was installed without it."""
    path: Path = PROJECT_ROOT / "requirements.txt"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of this checkout, with ``-dirty`` if it does not hold what runs.

    It does not if tracked files differ from it, or if there are Python files below ``ml/`` that it does
    not hold. ``EVERGREEN_CODE_VERSION`` stands in where there is no ``.git`` (an image); ``unknown``
    without either, and of an installed package, which lies in no commit.
    """
    baked = os.environ.get("EVERGREEN_CODE_VERSION")
    if baked:
        return baked
    if IS_INSTALLED:
        return UNKNOWN
    try:
        described = git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
        strangers = git("ls-files", "--others", "--", "ml/*.py")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return described.removesuffix(DIRTY) + (DIRTY if strangers or described.endswith(DIRTY) else "")


def state() -> Literal["clean", "dirty", "unknown"]:
    """Return whether the code that runs can be had again: ``clean`` only if a commit holds all of it."""
    code_version = commit()
    return "unknown" if code_version == UNKNOWN else "dirty" if code_version.endswith(DIRTY) else "clean"


def machine() -> dict[str, Any]:
    """Describe what a result may depend on other than code, data and settings.

    Returns
    -------
    dict
        Python, platform, processor and how many there are, versions of the packages that compute, the
        libraries of linear algebra that are loaded now, and the variables in `THREADS` that are set.
    """
    from threadpoolctl import threadpool_info

    keys = ("internal_api", "version", "architecture", "num_threads")
    pools = [", ".join(str(pool[key]) for key in keys if pool.get(key)) for pool in threadpool_info()]
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _read_cpu_name(),
        "cpus": os.cpu_count(),
        "packages": versions(),
        "libraries": sorted(pools),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def versions() -> dict[str, str | None]:
    """Return the release of each package that computes a result; of those that are optional only if it is there."""
    return {name: _find_version(name) for name in PACKAGES} | {
        name: release for name in OPTIONAL_PACKAGES if (release := _find_version(name))
    }


def one_thread() -> AbstractContextManager[object]:
    """Keep the libraries that compute to one thread each: processes that share a machine are then quicker by far."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def git(*arguments: str, seconds: float = 60) -> str:
    """Run Git in this checkout without hooks, and untouched by one that we were called from.

    Raises
    ------
    subprocess.CalledProcessError
        If Git ended with an error; ``stderr`` is what it said.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    result = subprocess.run(
        ["git", "-C", str(CODE_ROOT), "-c", "core.hooksPath=/dev/null", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=True,
        env=environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
    )
    return result.stdout.strip()


def _read_cpu_name() -> str:
    """Return the processor's name: Linux has it in a file, others through `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
