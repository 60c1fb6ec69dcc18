"""``ml`` names nothing of Airflow: it writes a next move as an `ml.next_moves.NextMove`, worded where it is read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ML = Path(__file__).resolve().parents[2] / "ml"
OF_AIRFLOW = re.compile(
    r"\b(Dags?|XComs?|[Bb]ackfill\w*|[Tt]rigger(s|ed|ing)?)\b"
    r"|\b[Cc]lear(s|ed)? ('|what is red|(this|the|that|its|their|\w+'s) (\w+'s )?runs?\b)"
    r"|\brun that is cleared|\b([Ll]og of )?the task '?(check|fit|gate|tune|evaluate|predict|screen)\b"
)


def sentences(path: Path) -> list[tuple[int, str]]:
    """Return every string of a file, docstrings too, and the parts of those with values in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("path", sorted(ML.rglob("*.py")), ids=lambda path: str(path.relative_to(ML)))
def test_a_sentence_of_ml_needs_no_airflow(path: Path) -> None:
    wrong = [f"{line}: {text.strip()[:90]}" for line, text in sentences(path) if OF_AIRFLOW.search(text)]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["trigger Retrain", "then clear this run", "clear that day's run", "run the ingest Dag", "clear 'screen' of"],
)
def test_the_words_are_found(text: str) -> None:
    assert OF_AIRFLOW.search(text)
