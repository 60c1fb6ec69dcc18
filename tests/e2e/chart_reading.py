"""Open the page's charts in a browser, and read what they draw."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
MODEL = "flight-delay"
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


def check(page: Page, what: str) -> None:
    """Let axe look for what stands in somebody's way."""
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(what, one["id"], [node["target"] for node in one["nodes"]][:4]) for one in violations] == []


def shoot(page: Page, name: str, folder: Path) -> None:
    """Keep a picture in a folder, or where ``EVERGREEN_SCREENSHOTS`` says: of the tour those of `TOUR` only."""
    shots = Path(os.environ.get("EVERGREEN_SCREENSHOTS") or folder)
    if os.environ.get("EVERGREEN_TOUR_DAYS"):
        shots, name = (shots, f"tour-{TOUR[name]}") if name in TOUR else (folder, name)
    shots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shots / f"{name}.png", full_page=True)
