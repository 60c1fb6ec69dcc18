"""Names that were given up for the field's own stay away; docs/glossary.md has those that are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("bench", "dags", "deploy", "embedded", "ml", "plugins")
RETIRED = {
    "amiss": "inconsistency",
    "asked_because": "requested_because",
    "asked_by": "requested_by",
    "asker": "requester",
    "barred": "blocked",
    "barred_fingerprint": "blocked_fingerprint",
    "course": "simulation",
    "crowned": "promoted",
    "crowned_on": "promoted_on",
    "crownings": "promotions_and_returns",
    "data_refused": "data_rejected",
    "daybook": "day_summary",
    "dossier": "decision_view",
    "freedom": "degrees_of_freedom",
    "holdings": "inventory",
    "in_share": "in_sample",
    "leaning": "importance_share",
    "leans": "importance_shares",
    "leave_report": "push_report_link",
    "lineup": "model_list",
    "mend": "fix_aliases",
    "misplaced": "misplaced_aliases",
    "no_change": "baseline_range",
    "promise": "expected",
    "promised": "expected",
    "promises": "expected_by_version",
    "raise_if_refused": "raise_if_rejected",
    "reign": "tenure",
    "reigns": "champion_tenures",
    "rival": "previous",
    "rival_version": "previous_version",
    "seat": "serving",
    "settle": "reconcile",
    "share_out": "hash_partition",
    "shelf": "storage_folder",
    "thinned": "sampled",
    "wander": "variability",
    "why": "reason",
    "wishes": "retrain_reasons",
}
"""A retired name, and what is used instead."""


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (PROJECT / room).rglob("*.py"))


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that a module gives or uses, and its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.lineno


def retired(tree: ast.AST) -> list[str]:
    return [
        f"line {line}: {name}, say {RETIRED[plain]}"
        for name, line in names(tree)
        if (plain := name.lower().strip("_")) in RETIRED
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_no_name_is_a_retired_word(path: Path) -> None:
    assert path.stem.strip("_") not in RETIRED
    assert retired(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_a_retired_word_would_be_found() -> None:
    tree = ast.parse("def _settle(seat, *, why=None):\n    return seat.reign(asked_by=why)")
    assert {line.split(": ")[1].split(",")[0] for line in retired(tree)} == {
        "_settle",
        "seat",
        "why",
        "reign",
        "asked_by",
    }


SAYS_NOTHING = {"each", "found", "kept", "said", "say", "told"}
"""What happened to a thing, or that there is one, is no name of it: the name says what it is."""


@pytest.mark.parametrize("room", ["ml", "plugins"])
def test_a_variable_or_an_argument_names_the_thing_that_it_holds(room: str) -> None:
    unnamed = [
        f"{path.relative_to(PROJECT)}, line {node.lineno}: {name}"
        for path in sorted((PROJECT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (name := bound(node)) in SAYS_NOTHING
    ]
    assert unnamed == []


def bound(node: ast.AST) -> str | None:
    """Return the name that a node gives to something, if it does."""
    match node:
        case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.Name(id=name, ctx=ast.Store()):
            return name
    return None
