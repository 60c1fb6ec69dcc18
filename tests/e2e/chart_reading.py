"""Open the page's charts in a browser, and read what they draw."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
APPEARANCES = pytest.mark.parametrize(
    ("theme", "viewport"),
    [
        pytest.param(theme, viewport, id=f"{theme}-{name}")
        for theme in ("light", "dark")
        for name, viewport in (("laptop", LAPTOP), ("phone", PHONE))
    ],
)

LOOKED_AT_ROWS = 20
HIDE = """rows => document.querySelectorAll("tbody").forEach((body) => [...body.rows].slice(rows).forEach((row) => {
    row.style.setProperty("display", "none", "important");
}))"""
SHOW = "() => document.querySelectorAll('tbody tr').forEach((row) => row.style.removeProperty('display'))"
AT_THE_TOP = """above => {
    const drawn = document.querySelector(".js-plotly-plot, .chart-choice");
    scrollTo(0, drawn.getBoundingClientRect().top + scrollY - above);
}"""
ABOVE = 260
"""Pixels above a chart that a picture shows: the header of the page, the title and what can be chosen."""

MODEL = "flight-delay"
TOUR_PAGE = Path(__file__).parents[2] / "docs/tour.md"
TOUR = {
    "performance-live-figure-1280-light": "performance",
    "performance-slices-1280-light": "slices",
    "chart-gain-by-day-1280-light": "gain",
    "chart-threshold-1280-light": "threshold",
    "drift-carrier-1280-light": "drift-column",
    "quality-expectations-1280-light": "quality",
}
"""The pictures of charts that the tour shows, by the names that its links use."""


def opened(browser: Browser, url: str, part: str, *, viewport: Any = LAPTOP, theme: Any = "light") -> Page:
    """Open a part of the page as people get it, its policy in force."""
    context = browser.new_context(viewport=viewport, color_scheme=theme)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"an error of the page's scripts: {error}"))
    page.goto(f"{url}/evergreen/#{MODEL}/{part}")
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until all that is shown is drawn."""
    expect(page.locator("main [aria-busy]:visible")).to_have_count(0, timeout=60_000)


def answered(page: Page, path: str) -> Any:
    return page.evaluate("path => fetch(`api/models/flight-delay/${path}`).then(answer => answer.json())", path)


def choose(page: Page, name: str) -> None:
    """Press the button that shows a chart, and wait until it is drawn."""
    page.locator(".chart-choice").get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".chart-choice .js-plotly-plot").first).to_be_visible(timeout=60_000)
    settle(page)


def traces(page: Page, at: int = 0) -> list[dict[str, Any]]:
    """Return what the library has drawn: name, x and y of each trace."""
    drawn: list[dict[str, Any]] = (
        page.locator(".js-plotly-plot")
        .nth(at)
        .evaluate("plot => plot.data.map(({name, x, y, error_x}) => ({name, x: [...x], y: [...y], error_x}))")
    )
    return drawn


def table(page: Page, at: int = 0) -> list[list[str]]:
    """Open the table of a chart; give its cells."""
    figure = page.locator("figure.plot").nth(at)
    figure.locator("summary").click()
    rows = figure.locator("details tbody tr")
    expect(rows.first).to_be_visible()
    cells: list[list[str]] = rows.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")
    return cells


def written(value: float) -> str:
    return f"{value:,}" if value == int(value) else f"{value:.4f}".replace("-", "−")


@contextmanager
def short_tables(page: Page) -> Iterator[None]:
    """Hide all but the first rows of each table, the others being made in the same way: axe looks at every cell."""
    page.evaluate(HIDE, LOOKED_AT_ROWS)
    yield
    page.evaluate(SHOW)


def check(page: Page, what: str, within: str | None = None) -> None:
    """Let axe look for what stands in somebody's way: on the whole page, or in the part that has changed since."""
    with short_tables(page):
        violations = Axe().run(page, context=within, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(what, one["id"], [node["target"] for node in one["nodes"]][:4]) for one in violations] == []


def wanted_pictures() -> Path | None:
    """Return the folder for pictures, which ``EVERGREEN_SCREENSHOTS`` names, if somebody wants them."""
    wanted = os.environ.get("EVERGREEN_SCREENSHOTS")
    if not wanted:
        return None
    folder = Path(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shown_in_tour(name: str) -> bool:
    """Return whether a picture is to be kept: where those of the tour are taken, only what it shows is kept in Git."""
    return not os.environ.get("EVERGREEN_TOUR_DAYS") or f"images/tour-{name}.png" in TOUR_PAGE.read_text(
        encoding="utf-8"
    )


def shoot(page: Page, name: str) -> None:
    """Keep a picture where ``EVERGREEN_SCREENSHOTS`` says, if it says so: of the tour those of `TOUR`, chart first."""
    folder = wanted_pictures()
    if folder is None:
        return
    if not os.environ.get("EVERGREEN_TOUR_DAYS"):
        page.screenshot(path=folder / f"{name}.png", full_page=True)
    elif name in TOUR:
        page.evaluate(AT_THE_TOP, ABOVE)
        page.wait_for_timeout(400)  # what is drawn anew in another place has come to rest
        page.screenshot(path=folder / f"tour-{TOUR[name]}.png")
        page.evaluate("scrollTo(0, 0)")
