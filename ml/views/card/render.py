"""Render a model card as a web page and as Markdown: the same blocks, so the same numbers.

Every value is escaped where it is written: names and categories come from data.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jinja2

TEMPLATES = Path(__file__).parent.parent / "templates"
_MARKDOWN = re.compile(r"([\\`*\[\]|~$#])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class Cell:
    """A value in a table; ``tone`` is ``good``, ``bad``, ``open`` or nothing; ``bar`` is a share from 0 to 1."""

    text: str
    tone: str = ""
    bar: float | None = None
    kind: ClassVar[str] = "cell"


@dataclass(frozen=True)
class Table:
    """Rows under headers; the columns in ``words`` are text, the others numbers; ``stacked`` folds on a phone."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    words: tuple[int, ...] = (0,)
    caption: str = ""
    stacked: bool = False
    kind: ClassVar[str] = "table"

    @property
    def cells(self) -> list[list[Cell]]:
        """Return all rows as cells."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Facts:
    """Names and values; ``exact`` ones are hashes and identifiers."""

    pairs: tuple[tuple[str, str], ...]
    exact: bool = False
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Prose:
    """A paragraph; what is ``missing`` could not be computed, and the text says why."""

    text: str
    missing: bool = False
    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Points:
    """Sentences that stand for themselves."""

    points: tuple[str, ...]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Picture:
    """A PNG for light and one for dark pages; Markdown shows the table beside it only."""

    light: bytes
    dark: bytes
    description: str
    caption: str = ""
    kind: ClassVar[str] = "picture"

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in pixels, as the head of a PNG has them: the page keeps their place free."""
        return int.from_bytes(self.light[16:20], "big"), int.from_bytes(self.light[20:24], "big")

    @property
    def uris(self) -> dict[str, str]:
        """Return both as data URIs: the page loads nothing from elsewhere."""
        pictures = {"light": self.light, "dark": self.dark}
        return {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in pictures.items()}


Block = Table | Facts | Prose | Points | Picture


@dataclass(frozen=True)
class Section:
    """A titled part of the card."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole card; ``figures`` are name, value and remark of what a reader looks for first."""

    title: str
    subtitle: str
    verdict: Cell
    figures: tuple[tuple[str, str, str], ...] = ()
    notice: str = ""
    sections: tuple[Section, ...] = ()


def render(page: Page) -> tuple[str, str]:
    """Write a card as one self-contained HTML page, and as Markdown (GitHub's tables).

    The same page gives the same text, byte by byte.
    """
    shared = {
        "loader": jinja2.FileSystemLoader(TEMPLATES),
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    html = jinja2.Environment(autoescape=True, **shared).get_template("model_card.html")
    # Markdown has no escaping of its own in Jinja: each value that a template writes goes through ours.
    markdown = jinja2.Environment(autoescape=False, finalize=escape_markdown, **shared)  # noqa: S701
    return html.render(page=page), markdown.get_template("model_card.md").render(page=page)


def escape_markdown(value: object) -> str:
    r"""Write a value so that Markdown shows it as it is, on one line, inside a table or out of it.

    Examples
    --------
    >>> escape_markdown("<b>|`x`_ sched_dep_minute")
    '&lt;b&gt;\\|\\`x\\`\\_ sched_dep_minute'
    """
    text = " ".join(str(value).split())
    text = _MARKDOWN.sub(lambda match: "\\" + match.group(0), text)
    return "".join(_ENTITIES.get(char, char) for char in text)
