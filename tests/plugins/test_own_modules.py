"""Our own modules are imported once, and anew once a file of theirs has changed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))

from evergreen import own_modules

NAME = "package_that_is_watched"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of our own with one module, imported."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "part.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(own_modules, "PACKAGES", (NAME,))
    importlib.import_module(f"{NAME}.part")
    yield folder
    for name in own_modules.imported():
        sys.modules.pop(name, None)


def value() -> int:
    importlib.invalidate_caches()
    return int(importlib.import_module(f"{NAME}.part").VALUE)


def test_what_has_not_changed_stays_imported(package: Path) -> None:
    module = sys.modules[f"{NAME}.part"]
    assert own_modules.forget_if_changed(own_modules.signatures_of_imported()) is False
    assert sys.modules[f"{NAME}.part"] is module


def test_an_edit_takes_effect_with_the_next_import(package: Path) -> None:
    signatures = own_modules.signatures_of_imported()
    (package / "part.py").write_text("VALUE = 22\n")
    assert value() == 1
    assert own_modules.forget_if_changed(signatures) is True
    assert value() == 22


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_file_that_comes_or_goes_is_a_change(package: Path, change: str) -> None:
    signatures = own_modules.signatures_of_imported()
    if change == "added":
        (package / "rule.py").write_text("")
    else:
        (package / "part.py").unlink()
    assert own_modules.forget_if_changed(signatures) is True


def test_modules_of_others_are_left_alone(package: Path) -> None:
    signatures = own_modules.signatures_of_imported()
    (package / "part.py").write_text("VALUE = 22\n")
    own_modules.forget_if_changed(signatures)
    assert "json" in sys.modules and "evergreen.own_modules" in sys.modules


def test_each_forked_process_looks_for_itself(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child))
    own_modules.watch()
    (hook,) = hooks
    hook()
    assert value() == 1
    (package / "part.py").write_text("VALUE = 22\n")
    hook()
    assert value() == 22
