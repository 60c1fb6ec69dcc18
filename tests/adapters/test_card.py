"""A card as a page and as Markdown: whatever stands in the data shows as text, and both say the same."""

from __future__ import annotations

import html
import re

import pytest

from ml.views.card.render import Cell, Facts, Page, Picture, Points, Prose, Section, Table, render
from ml.views.card.sections import number

HOSTILE = '<script>alert("x")</script>|`*a*`_[l](javascript:1)'
PNG = b"\x89PNG\r\n\x1a\nrest"


def page(text: str = "plain") -> Page:
    table = Table((text, "loss"), ((Cell(text, "good"), "0.4871"), ("b", Cell("38%", bar=0.38))), caption=text)
    blocks = (Prose(text), Points((text,)), Facts(((text, text),)), Picture(PNG, PNG, text), table)
    return Page(text, text, Cell(text, "bad"), ((text, "0.4871", text),), text, (Section(text, blocks),))


def visible(written: str) -> str:
    """Give what a browser would show of a page."""
    body = re.sub(r"<style>.*?</style>", "", written, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", "\n", body))


def test_what_the_data_say_is_text_and_never_markup() -> None:
    web, markdown = render(page(HOSTILE))
    assert "<script" not in web and HOSTILE in visible(web)
    assert "<script" not in markdown
    assert re.search(r"(?<!\\)`", markdown) is None
    rows = [line for line in markdown.splitlines() if line.startswith("|") and "0.4871" in line]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4, 3]  # three and two cells, as declared


@pytest.mark.parametrize("text", ["two\nlines | here", "a_b _c_ 5 > 4 & 3 < 4"])
def test_a_value_stays_on_its_line_and_in_its_cell(text: str) -> None:
    web, markdown = render(page(text))
    assert " ".join(text.split()) in " ".join(visible(web).split())
    lines = [line for line in markdown.splitlines() if "0.4871" in line]
    assert len(lines) == 2 and all(line.startswith("| ") and line.endswith(" |") for line in lines)


def test_both_formats_hold_the_same_numbers() -> None:
    web, markdown = render(page())
    seen = [re.findall(r"\d+\.\d+|\d+%", text) for text in (visible(web), markdown)]
    shown = re.findall(r'title="(38%)"', web)  # a bar carries its number as its title
    assert sorted(seen[0] + shown) == sorted(seen[1]) == ["0.4871", "0.4871", "38%"]


def test_the_page_stands_alone_and_the_same_page_gives_the_same_bytes() -> None:
    web, _ = render(page())
    assert render(page()) == render(page())
    sources = re.findall(r'(?:src|srcset|href)="([^"]*)"', web)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in web and "url(" not in web and "@import" not in web


def test_a_part_that_is_missing_says_so_in_both() -> None:
    absent = Page("t", "s", Cell("v"), sections=(Section("Slices", (Prose("no holdout", missing=True),)),))
    for written in render(absent):
        assert "Not available" in written and "no holdout" in written


def test_numbers_are_written_for_people() -> None:
    values = (0.48712, -0.0003, -0.00001, 12.345, 125430.2, None, float("nan"))
    assert [number(value) for value in values] == ["0.4871", "−0.0003", "0.0000", "12.35", "125,430", "–", "–"]
    assert number(0.01, signed=True) == "+0.0100"
