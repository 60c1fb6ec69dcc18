"""What people read in pages, mails, forms and notes has the words of the field, none of the retired ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.settings import PROJECT_ROOT

RETIRED = re.compile(
    r"\b(mend(s|ed|ing)?|promised|asked for by|set aside|sets [\w ]+ aside|barred|wander\w*|rival\w*|daybook|dossier"
    r"|data refused|hold it against|against (its|their) contracts?|beside|amiss|heed(s|ed)?|is no (number|port)"
    r"|(challengers?|retraining|promotion|nothing) (is|was|were|has been) asked for|asked for no more)\b",
    re.IGNORECASE,
)
"""The words that were retired, as far as people ever saw them."""

STATIC, TEMPLATES = (PROJECT_ROOT / "plugins" / "evergreen" / name for name in ("page/static", "alerts/templates"))
STRINGS = re.compile(r"""\"(?:[^"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`""")
MESSAGES = re.compile(r"""f?\"(?:[^"\\\n]|\\.)*\"|f?'(?:[^'\\\n]|\\.)*'""")
IDENTIFIER = re.compile(r"""f?["'`][\w./=-]*["'`]""")


def shown(path: Path) -> Iterator[str]:
    """Yield what a file shows to people: its strings, or its text, without what is computed in them."""
    text = path.read_text(encoding="utf-8")
    if path.is_relative_to(TEMPLATES):
        yield re.sub(r"{{.*?}}|{%.*?%}", lambda code: " ".join(_strings(code[0])), text, flags=re.DOTALL)
    elif path.suffix == ".html":
        yield text
    elif path.suffix == ".js":
        yield from (re.sub(r"\$\{[^}]*\}", "", string) for string in STRINGS.findall(text))
    else:
        yield from (re.sub(r"\{[^}]*\}", "", string) for string in _strings(text))
    if path.parent.name == "dags":
        yield text.split('"""')[1]


def _strings(code: str) -> list[str]:
    return [string for string in MESSAGES.findall(code) if not IDENTIFIER.fullmatch(string) or string.islower()]


FILES = sorted(
    [
        *STATIC.glob("*.js"),
        *STATIC.glob("*.html"),
        *(path for path in TEMPLATES.rglob("*") if path.is_file()),
        *(PROJECT_ROOT / "plugins" / "evergreen").glob("*.py"),
        *(PROJECT_ROOT / "dags").glob("*.py"),
    ]
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nobody_reads_a_retired_word(path: Path) -> None:
    found = [string for string in shown(path) if RETIRED.search(string) and not IDENTIFIER.fullmatch(string)]
    assert found == []


def test_a_retired_word_would_be_found(tmp_path: Path) -> None:
    script = tmp_path / "now.js"
    script.write_text('badge(held.mended, "mended since"); `as ${known.promised}`', encoding="utf-8")
    assert [string for string in shown(script) if RETIRED.search(string)] == ['"mended since"']
