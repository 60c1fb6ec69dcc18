"""Names that were given up for the field's own stay away; docs/glossary.md has those that are used."""

from __future__ import annotations

import ast
import re
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


RETIRED_IN_TEXTS = (
    "asked for by make",
    "crowned",
    "daybook",
    "dossier",
    "gate's promise",
    "held by champion",
    "leans on",
    "no-change range",
    "settle who serves",
    "told",
    "units of chance",
    "what it looks at",
)
"""Words that no reader of page, mails or docs meets any more; "told" is an alarm's, a message's or an argument's."""
LISTS_THEM = {"docs/glossary.md"}


def texts() -> list[Path]:
    """Return what people read that is not Python: docs, the page, mails, settings."""
    kinds = {".css", ".html", ".js", ".md", ".txt", ".yaml"}
    rooms = [PROJECT / room for room in ("docs", "expectations", "plugins", "bench", "deploy", "dags")]
    files = [path for room in rooms for path in room.rglob("*") if path.suffix in kinds]
    return sorted([*files, PROJECT / "README.md", PROJECT / "params.yaml"])


def strings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every text of a module, docstrings and the parts of f-strings included, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def retired_in(text: str) -> list[str]:
    return [phrase for phrase in RETIRED_IN_TEXTS if re.search(rf"\b{phrase}\b", text, re.IGNORECASE)]


def test_no_text_for_readers_has_a_retired_phrase() -> None:
    found = {
        name: phrases
        for path in texts()
        if (name := path.relative_to(PROJECT).as_posix()) not in LISTS_THEM
        and (phrases := retired_in(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_no_message_and_no_docstring_has_a_retired_phrase() -> None:
    found = [
        f"{path.relative_to(PROJECT)}, line {line}: {', '.join(phrases)}"
        for path in sources()
        for text, line in strings(ast.parse(path.read_text(encoding="utf-8")))
        if (phrases := retired_in(text))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["People are told on the day", "Held by champion, slices", "The no-change range"])
def test_a_retired_phrase_would_be_found(text: str) -> None:
    assert retired_in(text)
