"""What lies in the tree: names that say something, nothing left for later, nobody's own folders."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("bench", "dags", "docs", "embedded", "expectations", "ml", "plugins", "tests")
VAGUE = {"common", "final", "handle", "helper", "helpers", "manager", "misc", "new2", "process", "util", "utils"}
TEXT = {
    "",
    ".cfg",
    ".css",
    ".html",
    ".in",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
LATER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME")) + r")\b")
SOMEBODYS = re.compile(r"(?<![\w.])/(?:home/[a-z]\w*|Users/[A-Za-z]\w*|root|work)/")


def files() -> list[Path]:
    found = [path for path in PROJECT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a linked tree
    found += [path for room in ROOMS for path in (PROJECT / room).rglob("*") if path.is_file()]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:100]}"
        for path in files()
        if path.suffix in TEXT and not path.name.startswith("requirements")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    assert lines_that_match(LATER) == []


def test_no_path_is_somebodys_own() -> None:
    assert lines_that_match(SOMEBODYS) == []


def test_no_name_is_vague() -> None:
    stems = {path: set(re.split(r"[_\-.]", path.stem.lower())) for path in files()}
    stems |= {path.parent: {path.parent.name.lower()} for path in files() if path.parent != PROJECT}
    assert [str(path.relative_to(PROJECT)) for path, words in stems.items() if words & VAGUE] == []
