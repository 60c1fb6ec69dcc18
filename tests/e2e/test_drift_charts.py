"""The map of drift in a real Chromium: a cell opens its column, whose charts draw the numbers that were answered."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.builders_drift import CAME, MARKUP, NOT_KEPT, NUMERIC
from tests.e2e.chart_reading import APPEARANCES, answered, check, opened, settle, shoot, table, traces, written

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),  # Airflow's, on import
]


def names_of(page: Page, column: str) -> list[str]:
    """Give the rows of the heat map once it is drawn: all at once, with this column among them."""
    rows = page.locator("#drift .heat-names li")
    rows.filter(has_text=column).first.wait_for(timeout=60_000)
    return rows.all_inner_texts()


def go_to(page: Page, column: str, day: str) -> None:
    """Bring the slider to a cell, by the keyboard alone."""
    drift = answered(page, "drift?days=90")
    names = names_of(page, column)
    slider = page.get_by_role("slider", name="Day of the heat map")
    slider.focus()
    page.keyboard.press("End")
    for _ in range(len(drift["days"]) - 1 - drift["days"].index(day)):
        page.keyboard.press("ArrowLeft")
    for _ in names:
        page.keyboard.press("ArrowUp")
    for _ in range(names.index(column)):
        page.keyboard.press("ArrowDown")


def open_column(page: Page, column: str, day: str = "2013-06-25") -> None:
    go_to(page, column, day)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"{column}, {day}")).to_be_focused(timeout=60_000)
    settle(page)


def test_enter_opens_a_column_of_numbers_with_both_distributions(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    open_column(page, NUMERIC)
    bins = answered(page, f"drift/column?day=2013-06-25&column={NUMERIC}")["distribution"]["bins"]
    before, now = traces(page)
    assert (before["y"], now["y"]) == (bins["reference"], bins["current"])
    assert before["x"] == now["x"]
    assert [row[2:] for row in table(page)] == [
        [written(old), written(new)] for old, new in zip(bins["reference"], bins["current"], strict=True)
    ]
    page.context.close()


def test_a_click_opens_a_column_of_categories_and_names_what_came_and_went(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    names = names_of(page, "carrier")
    heat = page.locator("#drift canvas")
    box = heat.bounding_box()
    assert box is not None
    heat.click(position={"x": box["width"] - 5, "y": 20 * names.index("carrier") + 8})
    heading = page.locator("#drift-column")
    expect(heading).to_have_text("carrier, 2013-06-25")
    settle(page)
    counted = answered(page, "drift/column?day=2013-06-25&column=carrier")["distribution"]
    before, now = traces(page)
    assert (before["x"], now["x"]) == (counted["categories"]["reference"], counted["categories"]["current"])
    panel = page.locator("#drift .panel")
    expect(panel).to_contain_text(f"{CAME['carrier']} ({100 * counted['came'][0][1]:.1f} %)")
    expect(panel).to_contain_text(f"WN ({100 * counted['went'][0][1]:.1f} %)")
    assert [row[0] for row in table(page)] == counted["categories"]["names"]
    page.context.close()


def test_a_category_that_reads_like_markup_stays_text(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    open_column(page, "dest")
    counted = answered(page, "drift/column?day=2013-06-25&column=dest")["distribution"]
    assert MARKUP in counted["categories"]["names"]
    panel = page.locator("#drift .panel")
    expect(panel).to_contain_text(f"{MARKUP} ({100 * counted['came'][0][1]:.1f} %)")
    assert [row[0] for row in table(page)] == counted["categories"]["names"]
    expect(page.locator("#drift .panel b", has_text="XX")).to_have_count(0)
    page.context.close()


def test_a_usual_column_of_a_day_with_drift_is_not_called_drift(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    drift = answered(page, "drift?days=90")
    assert drift["status"][-1] == "drift"
    calm = next(one["column"] for one in drift["columns"] if one["ratio"][-1] is not None and one["ratio"][-1] < 0.5)
    go_to(page, calm, drift["days"][-1])
    said = page.locator("#drift p", has_text=f"{calm}, {drift['days'][-1]}").inner_text()
    assert said.endswith("usual") and "drift" not in said
    expect(page.locator("#drift")).to_contain_text("the day: drift")
    page.context.close()


def test_the_distance_is_drawn_against_its_limit_and_its_baseline_range(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    open_column(page, "carrier")
    drift = answered(page, "drift?days=90")
    column = next(one for one in drift["columns"] if one["column"] == "carrier")
    known = [column["versions"].get(str(version), {}) for version in drift["versions"]]
    baseline, limit, distance, this = traces(page, 1)
    assert (distance["x"], distance["y"]) == (drift["days"], column["score"])
    assert limit["y"] == [one.get("limit") for one in known]
    assert baseline["y"] == [one.get("baseline_range") for one in known]
    assert (this["x"], this["y"]) == ([drift["days"][-1]], [column["score"][-1]])
    assert [row[0] for row in table(page, 1)] == drift["days"]
    page.context.close()


def test_escape_closes_the_column_and_the_reader_is_where_he_was(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    open_column(page, "carrier")
    page.keyboard.press("Escape")
    expect(page.locator("#drift .panel")).to_have_count(0)
    expect(page.get_by_role("slider", name="Day of the heat map")).to_be_focused(timeout=60_000)
    page.context.close()


def test_a_day_whose_distributions_were_not_kept_says_so(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    open_column(page, "carrier", NOT_KEPT)
    expect(page.locator("#drift .panel .hint")).to_have_text(f"The distributions of {NOT_KEPT} were not kept.")
    page.context.close()


def test_columns_are_searched_sorted_and_the_calm_ones_hidden(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    columns = answered(page, "drift?days=90")["columns"]
    names = page.locator("#drift .heat-names li")
    page.get_by_label("Order of the columns").select_option("by importance × distance")

    def worth(column: dict[str, Any]) -> float:
        ratio = next((one for one in reversed(column["ratio"]) if one is not None), -1)
        return float((column["versions"]["3"]["importance"] or 0) * ratio)

    assert names.all_inner_texts() == [one["column"] for one in sorted(columns, key=worth, reverse=True)]
    page.get_by_label("hide the calm ones").check()

    def calm(column: dict[str, Any]) -> bool:
        return all(score is None or score <= column["versions"]["3"]["baseline_range"] for score in column["score"])

    assert set(names.all_inner_texts()) == {one["column"] for one in columns if not calm(one)}
    page.get_by_label("hide the calm ones").uncheck()
    page.get_by_label("Search columns").fill("CARR")
    assert names.all_inner_texts() == ["carrier"]
    page.get_by_label("Search columns").fill("no such column")
    expect(page.locator("#drift .hint")).to_contain_text("No column is left")
    page.context.close()


def test_the_frame_of_a_cell_goes_with_the_reader(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    canvas = page.locator("#drift canvas")
    picture = "canvas => canvas.toDataURL()"
    slider = page.get_by_role("slider", name="Day of the heat map")
    slider.focus()
    before = canvas.evaluate(picture)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert canvas.evaluate(picture) == before
    page.context.close()


def test_nothing_of_a_column_is_loaded_before_it_is_opened(browser: Browser, url: str) -> None:
    page = opened(browser, url, "drift")
    loaded = "performance.getEntriesByType('resource').map(one => one.name.split('/').at(-1))"
    assert not {"drift_column.js", "plotly.min.js"} & set(page.evaluate(loaded))
    open_column(page, "carrier")
    assert {"drift_column.js", "plotly.min.js"} <= set(page.evaluate(loaded))
    page.context.close()


@APPEARANCES
def test_no_chart_of_a_column_stands_in_anybodys_way(
    browser: Browser, url: str, theme: str, viewport: dict[str, int]
) -> None:
    page = opened(browser, url, "drift", viewport=viewport, theme=theme)
    for column in ("carrier", NUMERIC):
        open_column(page, column)
        table(page), table(page, 1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), column
        check(page, column)
        shoot(page, f"drift-{column}-{viewport['width']}-{theme}")
    page.context.close()
