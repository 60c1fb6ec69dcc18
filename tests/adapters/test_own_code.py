"""Modules beside params.yaml: hashed, trusted while they are what was reviewed, and kept with the version."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import own_code
from ml.adapters import models
from ml.core.training.estimators import build, predict, stand_in
from ml.errors import SettingsError
from ml.settings import Features, Fit, Task

FEATURES = Features(numeric=("weight",))
TASK = Task(name="orders", kind="regression", target="amount", key=("day",), label_delay_days=1)
MODULE = '''"""An estimator of our own."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from {top}_scale import factor


class Always(RegressorMixin, BaseEstimator):
    """Predicts a multiple of the mean."""

    def fit(self, rows, target):
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, rows):
        import {top}_late

        return np.full(len(rows), factor() * self.mean_ + {top}_late.ADDED)
'''
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Write]]:
    """Give a name that no other test uses, and a function that writes modules of that name."""
    top = "own_" + "".join(letter for letter in request.node.name if letter.isalnum())[:40].lower()

    def written(*, factor: float = 1.0, added: float = 0.0, folder: Path = tmp_path) -> Path:
        folder.mkdir(exist_ok=True)
        texts = {
            "": MODULE.format(top=top),
            "_scale": f"def factor():\n    return {factor}\n",
            "_late": f"ADDED = {added}\n",
        }
        for suffix, text in texts.items():
            (folder / f"{top}{suffix}.py").write_text(text)
        # Python tells bytecode from another source by seconds and size, and these come within one second.
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        own_code.use(folder)
        importlib.invalidate_caches()
        return folder / f"{top}.py"

    yield top, written
    for name in [name for name in sys.modules if name.startswith(top)]:
        del sys.modules[name]
    for folder in [folder for folder in own_code._FOLDERS if folder.is_relative_to(tmp_path)]:
        own_code._FOLDERS.remove(folder)
        sys.path.remove(str(folder))


def fit_of(top: str, *trusted: str) -> Fit:
    return Fit(estimator=f"{top}.Always", trusted_types=trusted)


def fitted(top: str, *trusted: str) -> tuple[Any, Any]:
    rows, target = stand_in(TASK, FEATURES)
    return build(TASK, FEATURES, fit_of(top, *trusted)).fit(rows, target), rows


class TestHash:
    def test_it_follows_the_module_and_what_it_imports_from_beside_it(self, write: tuple[str, Write]) -> None:
        top, written = write
        path = written()
        before = own_code.sha256(top)
        assert set(own_code.files(top)) == {f"{top}.py", f"{top}_scale.py", f"{top}_late.py"}
        (path.parent / "unrelated.py").write_text("x = 1\n")
        assert own_code.sha256(top) == before
        written(factor=2.0)
        second = own_code.sha256(top)
        written(added=1.0)
        assert len({before, second, own_code.sha256(top)}) == 3

    def test_nothing_is_imported_to_hash_it(self, write: tuple[str, Write]) -> None:
        top, written = write
        written().write_text("raise SystemExit\n")
        assert own_code.hashes([f"{top}.Always", "sklearn.svm.SVC"]) == {top: own_code.sha256(top)}
        assert top not in sys.modules

    def test_a_package_is_hashed_with_its_release(self) -> None:
        assert len(own_code.sha256("lightgbm")) == 64
        assert own_code.files("lightgbm") == {}
        assert own_code.hashes(["lightgbm.LGBMRegressor", "numpy.dtype"]) == {"lightgbm": own_code.sha256("lightgbm")}


class TestTrust:
    def test_the_refusal_names_the_line_that_trusts_it(self, write: tuple[str, Write]) -> None:
        top, written = write
        written()
        line = f"{top}.Always@{own_code.sha256(top)[:12]}"
        with pytest.raises(SettingsError, match=rf"review it, and name {line} .* under fit.trusted_types"):
            fitted(top)
        assert fitted(top, line)

    def test_code_that_changed_since_it_was_reviewed_is_refused_with_both_hashes(
        self, write: tuple[str, Write], tmp_path: Path
    ) -> None:
        top, written = write
        written()
        reviewed = own_code.pinned(f"{top}.Always")
        pipeline, _ = fitted(top, reviewed)
        models.save(pipeline, tmp_path / "model.skops", trusted=[reviewed])
        written(factor=3.0)
        said = rf"was {reviewed.split('@')[1]}, and it is {own_code.sha256(top)[:12]} now: somebody changed it. Review"
        with pytest.raises(SettingsError, match=said):
            fitted(top, reviewed)
        with pytest.raises(SettingsError, match=said):
            models.load(tmp_path / "model.skops", trusted=[reviewed])
        models.load(tmp_path / "model.skops", trusted=[f"{top}.Always"])
        models.load(tmp_path / "model.skops", trusted=[reviewed, own_code.pinned(f"{top}.Always")])

    def test_what_a_file_holds_beside_it_is_named_with_its_hash(self, write: tuple[str, Write], tmp_path: Path) -> None:
        top, written = write
        written()
        pipeline, _ = fitted(top, f"{top}.Always")
        with pytest.raises(
            SettingsError, match=rf"under fit.trusted_types in params.yaml: \[{top}.Always@[0-9a-f]{{12}}\]"
        ):
            models.save(pipeline, tmp_path / "model.skops")

    def test_a_module_that_is_broken_is_an_error_of_the_settings(self, write: tuple[str, Write]) -> None:
        top, written = write
        written().write_text("def (:\n")
        with pytest.raises(SettingsError, match=rf"fit.estimator '{top}.Always' cannot be imported \(invalid syntax"):
            fitted(top, f"{top}.Always")

    def test_two_models_with_different_modules_of_one_name_are_refused(
        self, write: tuple[str, Write], tmp_path: Path
    ) -> None:
        top, written = write
        written(folder=tmp_path / "a")
        written(folder=tmp_path / "b")
        fitted(top, f"{top}.Always")
        (tmp_path / "b" / f"{top}.py").write_text("x = 1\n")
        with pytest.raises(SettingsError, match=rf"'{top}' in .*/a and in .*/b, and they differ; give"):
            fitted(top, f"{top}.Always")

    def test_a_module_that_is_found_elsewhere_first_is_refused(
        self, write: tuple[str, Write], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in the folder of the project, which Python searches first, for a model in a folder of its own."""
        top, written = write
        written()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / f"{top}.py").write_text("class Always: ...\n")
        monkeypatch.syspath_prepend(str(elsewhere))
        with pytest.raises(SettingsError, match=rf"'{top}' in .* and in .*/elsewhere, and they differ; give"):
            fitted(top, f"{top}.Always")

    def test_a_module_cannot_hide_behind_an_installed_one(self, write: tuple[str, Write], tmp_path: Path) -> None:
        _, written = write
        written()
        (tmp_path / "skops.py").write_text("class Always: ...\n")
        with pytest.raises(SettingsError, match="'skops' in .* has the name of an installed package; rename the file"):
            fitted("skops", "skops.Always")


def test_a_version_is_loaded_with_the_modules_that_it_was_trained_with(
    write: tuple[str, Write], tmp_path: Path
) -> None:
    top, written = write
    written(factor=1.0)
    first, rows = fitted(top, f"{top}.Always")
    recorded = {top: {"sha256": own_code.sha256(top), "files": own_code.files(top)}}
    models.save(first, tmp_path / "model.skops", trusted=[f"{top}.Always"])
    expected = predict(first, rows, "regression")

    written(factor=5.0, added=7.0)
    for name in [name for name in sys.modules if name.startswith(top)]:
        del sys.modules[name]  # as in another process
    present, _ = fitted(top, f"{top}.Always")
    for _ in range(2):
        with own_code.as_recorded(recorded):
            loaded = models.load(tmp_path / "model.skops", trusted=[f"{top}.Always@{own_code.sha256(top)}"])
            assert own_code.find(f"{top}:Always", "x") is type(loaded["estimator"])
        own_scale = predict(loaded, rows, "regression")
    assert np.allclose(own_scale - 7.0, expected), "its own factor, in a module that it imports at its top"
    assert np.allclose(predict(present, rows, "regression"), 5.0 * expected + 7.0)
    assert type(present["estimator"]) is sys.modules[top].Always
    assert type(loaded["estimator"]) is not type(present["estimator"])


def test_what_was_recorded_is_not_touched_where_the_code_is_the_same(write: tuple[str, Write]) -> None:
    top, written = write
    written()
    fitted(top, f"{top}.Always")
    before = sys.modules[top]
    with own_code.as_recorded({top: {"sha256": own_code.sha256(top), "files": own_code.files(top)}}):
        assert sys.modules[top] is before


def test_a_process_of_its_own_finds_them(write: tuple[str, Write], tmp_path: Path) -> None:
    top, written = write
    written()
    paths = ":".join(map(str, own_code.search_path()))
    code = f"import {top}; print({top}.Always.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "Always"
