"""A path of the storage is built in one package: no other module spells it out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.adapters import layout

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("dags", "plugins", "ml", "embedded", "deploy")
LAYOUT = sorted(Path(layout.__path__[0]).glob("*.py"))
OWN = {
    *(path.relative_to(PROJECT).as_posix() for path in LAYOUT if path.stem != "__init__"),
    "ml/adapters/data_registry/manifest.py",  # the files of the data registry, which are not in the storage
}
"""The modules that may."""

PREFIXES = (
    *("landing", "accepted", "validation", "quarantine", "receipts", "reported", "rejected", "withdrawn", "runs"),
    *("history", "staging", "refits"),
    *("predictions", "shadow", "monitor", "promoted", "registered", "claims", "damaged", "episodes", "outbox"),
    *("serving", "requests"),
    *("screen", "worlds", "courses", "fits", "gates", "references"),
)
"""The folders of the storage, and of a backtest's cache."""

SPELT_OUT = re.compile(rf"(?:{'|'.join(PREFIXES)})/.*\{{|.*\b(?:day|version)=\{{", re.DOTALL)
NO_PATHS = {"{/day={", "approval/run={/clearing={/version={"}
"""A key of ``window.json``, and the name of an alert."""


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield each f-string; ``{`` stands for what is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{" for part in node.values)


@pytest.mark.parametrize(
    "path",
    [path for room in ROOMS for path in sorted((PROJECT / room).rglob("*.py"))],
    ids=lambda path: path.relative_to(PROJECT).as_posix(),
)
def test_no_other_module_spells_out_a_path(path: Path) -> None:
    name = path.relative_to(PROJECT).as_posix()
    spelt = {text for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if SPELT_OUT.match(text)}
    found = spelt - NO_PATHS
    if name in OWN:
        assert found, f"{name} spells out no path any more: take it off the list"
    else:
        assert not found, f"{name}: build these in ml/adapters/layout/"


def test_the_folders_are_those_of_the_layout() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in LAYOUT]
    spelt = {text.partition("/")[0] for tree in trees for text in texts(tree) if re.match(r"[a-z]+/.*\{", text)}
    assert spelt - {"labels", "drift"} <= set(PREFIXES)
