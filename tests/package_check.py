"""Check packaged models in the tests' own process: a fresh one costs 6 s of imports, and there is one a training.

Modules that ask for `fresh_process` check as in production: those whose subject is that process, or what it imports.
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO

import pytest

from ml.adapters import package

START = package.start


class TrialHere:
    """Do what a fresh process does, in this one; warnings are no errors there either."""

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        errors = StringIO()
        with warnings.catch_warnings(), redirect_stderr(errors):
            warnings.simplefilter("ignore")
            code = package.main(list(arguments))
        return subprocess.CompletedProcess(list(arguments), code, "", errors.getvalue())


@contextmanager
def start_here() -> Iterator[package.Trial]:
    """Stand for `package.start`."""
    yield TrialHere()


@pytest.fixture(scope="session", autouse=True)
def warm_package_check() -> Iterator[None]:
    """Check here, in the worlds that are made once as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "start", start_here)
        yield


@contextmanager
def check_in_a_process() -> Iterator[None]:
    """Check as in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "start", START)
        yield


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """Check as in production."""
    with check_in_a_process():
        yield
