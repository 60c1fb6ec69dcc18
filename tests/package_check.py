"""Check packaged models in the tests' own process: a fresh one costs 6 s of imports, and there is one a training.

Modules that ask for `fresh_process` check as in production: those whose subject is that process, or what it imports.
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from io import StringIO

import pytest

from ml.adapters import package

RUN_FRESH = package.run_fresh


def run_here(arguments: Sequence[str], folder: str) -> subprocess.CompletedProcess[str]:
    """Do what a fresh process does, in this one; warnings are no errors there either."""
    del folder
    errors = StringIO()
    with warnings.catch_warnings(), redirect_stderr(errors):
        warnings.simplefilter("ignore")
        code = package.main(list(arguments))
    return subprocess.CompletedProcess(list(arguments), code, "", errors.getvalue())


@pytest.fixture(scope="session", autouse=True)
def warm_package_check() -> Iterator[None]:
    """Check here, in the worlds that are made once as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "run_fresh", run_here)
        yield


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check as in production."""
    monkeypatch.setattr(package, "run_fresh", RUN_FRESH)
