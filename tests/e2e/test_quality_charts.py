"""The data quality in a real Chromium: its charts draw the numbers that were answered, and a day opens its rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.builders_quality import FORMULA, QUARANTINED, REJECTED
from tests.e2e.chart_reading import (
    APPEARANCES,
    answered,
    check,
    choose,
    opened,
    settle,
    shoot,
    table,
    traces,
    written,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),  # Airflow's, on import
]
ANY_NUMBER = 1_000_000_000
QUALITY = "data/quality?asset=inputs&days=90"


def show_rows(page: Page, day: str) -> None:
    page.get_by_label("Rows in quarantine of").select_option(day)
    page.get_by_role("button", name="Show the rows").click()
    expect(page.get_by_role("heading", name=f"inputs of {day}")).to_be_focused(timeout=60_000)
    settle(page)


def test_rows_by_reason_are_stacked_as_they_were_answered(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    choose(page, "Quarantined rows")
    facts = answered(page, QUALITY)
    drawn = traces(page)
    assert [(one["x"], one["y"]) for one in drawn] == [(facts["days"], one["rows"]) for one in facts["reasons"]]
    assert [one["name"] for one in drawn] == [one["reason"] for one in facts["reasons"]]
    assert [row[1:] for row in table(page)] == [
        ["unknown" if rows is None else written(rows) for rows in by_reason]
        for by_reason in zip(*(one["rows"] for one in facts["reasons"]), strict=True)
    ]
    page.context.close()


def test_row_counts_are_drawn_in_their_accepted_range(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    choose(page, "Row counts")
    facts = answered(page, QUALITY)
    low, high, came, went, rejected = (one["y"] for one in traces(page))
    assert (low, high) == (facts["lowest_rows"], facts["highest_rows"])
    assert (came, went) == (facts["rows"], facts["accepted"])
    assert [day for day, rows in zip(facts["days"], rejected, strict=True) if rows is not None] == [REJECTED]
    page.context.close()


def test_a_contract_that_accepts_any_number_does_not_flatten_the_rows(browser: Browser, url: str) -> None:
    page = opened(browser, url, "now")
    page.route(f"**/{QUALITY.partition('?')[0]}?*", accept_any_number)
    page.evaluate("location.hash = location.hash.replace('/now', '/data')")
    settle(page)
    choose(page, "Row counts")
    facts = answered(page, QUALITY)
    most = max(rows for rows in facts["rows"] if rows is not None)
    low, high = page.locator(".js-plotly-plot").first.evaluate("plot => plot.layout.yaxis.range")
    assert (low, traces(page)[1]["y"][0]) == (0, ANY_NUMBER)
    assert most < high < 5 * most
    page.context.close()


def accept_any_number(route: Route) -> None:
    facts = route.fetch().json()
    route.fulfill(json=facts | {"highest_rows": [ANY_NUMBER, ANY_NUMBER, *facts["highest_rows"][2:]]})


def test_nulls_of_a_chosen_column_are_drawn_with_the_highest_share_that_is_accepted(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    choose(page, "Nulls")
    page.get_by_label("Column, most nulls first").select_option("temp")
    settle(page)
    (temp,) = (one for one in answered(page, QUALITY)["nulls"] if one["column"] == "temp")
    assert [one["y"] for one in traces(page)] == [temp["share"], temp["highest"]]
    page.context.close()


def test_the_map_of_expectations_is_read_cell_by_cell_and_enter_opens_the_rows(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    facts = answered(page, QUALITY)
    names = page.locator(".charts .heat-names li")
    assert names.all_inner_texts() == [one["rule"] for one in facts["expectations"]]
    slider = page.get_by_role("slider", name="Day of the expectations")
    slider.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    broken = [one["rule"] for one in facts["expectations"]].index("distance must be between 0 and 6000")
    for _ in range(broken):
        page.keyboard.press("ArrowDown")
    expect(slider).to_have_attribute(
        "aria-valuetext", f"distance must be between 0 and 6000, {QUARANTINED}: broken: its rows are quarantined"
    )
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"inputs of {QUARANTINED}")).to_be_focused(timeout=60_000)
    settle(page)
    expect(page.locator(".kept-rows tbody tr")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(slider).to_be_focused(timeout=60_000)
    page.get_by_label("only those that were broken").check()
    assert names.count() == sum("u" in one["states"] for one in facts["expectations"])
    page.context.close()


def test_the_rows_of_a_day_are_a_table_and_a_file(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    show_rows(page, REJECTED)
    cells = page.locator(".kept-rows tbody tr").first.locator("th, td")
    assert cells.all_inner_texts()[:4] == ["distance must be between 0 and 6000", REJECTED, FORMULA, "99999"]
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert download.value.suggested_filename == f"inputs-{REJECTED}-partition.csv"
    assert Path(download.value.path()).read_text(encoding="utf-8").splitlines()[1] == f"{REJECTED},inputs partition"
    page.context.close()


def test_another_asset_and_another_span_can_be_chosen(browser: Browser, url: str) -> None:
    page = opened(browser, url, "data")
    page.get_by_role("group", name="Days shown of the data quality").get_by_role("button", name="30 days").click()
    settle(page)
    span = "2013-05-27 to 2013-06-25 (30 days)"
    expect(page.get_by_role("img", name=f"4 expectations of inputs, {span}")).to_be_visible()
    page.get_by_label("Data asset").select_option("labels")
    settle(page)
    expect(page.locator(".charts")).to_contain_text("No result of a contract is kept for these days.")
    expect(page.locator(".charts")).to_contain_text("No row of labels of these days is in quarantine.")
    page.context.close()


@APPEARANCES
def test_no_chart_of_the_data_stands_in_anybodys_way(
    browser: Browser, url: str, theme: str, viewport: dict[str, int]
) -> None:
    page = opened(browser, url, "data", viewport=viewport, theme=theme)
    show_rows(page, QUARANTINED)
    for name in (None, "Quarantined rows", "Row counts", "Nulls"):
        if name:
            choose(page, name)
            table(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        check(page, name or "Expectations", ".chart-choice" if name else None)
        shown = (name or "Expectations").lower().replace(" ", "-")
        shoot(page, f"quality-{shown}-{viewport['width']}-{theme}")
    page.context.close()
