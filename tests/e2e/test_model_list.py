"""The page's list of ten models in a real Chromium: sort, filter, lead on to one model and back, for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.chart_reading import wanted_pictures
from tests.e2e.page_alone import MODELS, TODAY

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),  # Airflow's, on import
]
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
WORST_FIRST = ["card-fraud", "stock-outs", "loan-default", "spare-parts-demand-of-northern-warehouses", "click-through"]


def opened(browser: Browser, url: str, part: str = "", *, viewport: Any = LAPTOP, theme: Any = "light") -> Page:
    context = browser.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"an error of the page's scripts: {error}"))
    page.goto(f"{url}/evergreen/{part}")
    expect(page.locator("main [aria-busy]:visible, main .tall:visible")).to_have_count(0, timeout=60_000)
    return page


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """Open the list as somebody does who names no part, and wait until Airflow has told what it knows."""
    page = opened(browser, url)
    expect(page.locator("tbody .waits")).to_be_visible()
    yield page
    page.context.close()


def names(page: Page) -> list[str]:
    return page.locator("table.models tbody th a").all_inner_texts()


def sort_by(page: Page, head: str) -> str | None:
    """Press the button in a head; give what the head says of the order then."""
    page.get_by_role("button", name=head, exact=True).click()
    return page.get_by_role("columnheader", name=head, exact=True).get_attribute("aria-sort")


# --- the list -------------------------------------------------------------------------------------------


def test_it_opens_on_every_model_the_worst_first(page: Page) -> None:
    assert len(names(page)) == len(MODELS)
    assert names(page)[:5] == WORST_FIRST
    expect(page.get_by_role("columnheader", name="State")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("heading", level=1)).to_have_text("Evergreen")
    expect(page.locator("#sections")).to_be_hidden()


def test_a_row_says_who_serves_how_well_and_how_fresh_the_data_are(page: Page) -> None:
    row = page.locator("tbody tr", has=page.get_by_role("link", name="card-fraud", exact=True))
    for text in ("Alarm", "version 7", "for 48 days", "0.094", "expected 0.061", "decay", "2026-11-27", "2026-11-26"):
        expect(row).to_contain_text(text)
    expect(row.locator(".of-alarms")).to_have_text("3")
    expect(row.get_by_role("link", name="Dags of card-fraud")).to_have_attribute(
        "href", page.url.replace("evergreen/", "dags?tags=card-fraud")
    )
    late = page.locator("tbody tr", has=page.get_by_role("link", name="delivery-time"))
    expect(late.locator(".of-inputs")).to_contain_text("2 days late")


def test_wrong_settings_are_named_with_file_and_key(page: Page) -> None:
    row = page.locator("tbody tr", has=page.get_by_role("link", name="stock-outs"))
    expect(row).to_contain_text("Settings wrong")
    expect(row).to_contain_text("land.due_hours: unknown key; did you mean 'due_hour'?")
    row.get_by_role("link", name="stock-outs").click()
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("models/stock-outs/params.yaml is wrong")


def test_airflow_tells_the_next_runs_who_is_paused_and_who_waits(page: Page) -> None:
    def cell(name: str) -> Any:
        return page.locator("tbody tr", has=page.get_by_role("link", name=name, exact=True)).locator(".of-next")

    expect(cell("flight-delay")).to_have_text(f"{TODAY.replace(day=29)} 04:30")
    expect(cell("loan-default")).to_have_text("paused in Airflow")
    expect(cell("churn")).to_contain_text("retrain running")
    expect(page.locator("#approve")).to_have_text("Approve (1)")


def test_the_heads_sort_both_ways_and_the_unknown_comes_last(page: Page) -> None:
    assert sort_by(page, "Model") == "ascending"
    assert names(page) == sorted(MODELS)
    assert sort_by(page, "Model") == "descending"
    assert names(page) == sorted(MODELS, reverse=True)
    assert sort_by(page, "Champion") == "descending"
    assert names(page)[0] == "energy-demand"
    assert set(names(page)[-3:]) == {name for name in MODELS if not MODELS[name].get("days", 9)} | {
        name for name in MODELS if "problem" in MODELS[name]
    }
    assert sort_by(page, "Champion") == "ascending"
    assert names(page)[0] == "click-through"
    assert len([head for head in page.locator("th[aria-sort]").all()]) == 1
    assert sort_by(page, "Live metric") == "descending"
    assert names(page)[0] == "card-fraud"
    assert sort_by(page, "Inputs") == "ascending"
    assert names(page)[0] == "delivery-time"


def test_text_and_state_filter_and_what_is_left_is_counted(page: Page) -> None:
    search, count = page.get_by_role("searchbox"), page.get_by_role("status")
    expect(count).to_have_text("10 models")
    search.fill("merchant log")
    assert names(page) == ["card-fraud"]
    expect(count).to_have_text("1 of 10 models")
    search.fill("")
    watching = page.get_by_role("button", name="Watching")
    watching.click()
    expect(watching).to_have_attribute("aria-pressed", "true")
    assert names(page) == ["click-through", "delivery-time"]
    search.fill("minutes")
    assert names(page) == ["delivery-time"]
    search.fill("nothing like this")
    expect(page.locator("table.models tbody")).to_contain_text("No model is like this")
    page.get_by_role("button", name="Show all models").click()
    assert len(names(page)) == len(MODELS)
    expect(search).to_be_focused()


def test_the_keyboard_alone_sorts_filters_and_keeps_its_place(page: Page) -> None:
    page.get_by_role("button", name="Model", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("button", name="Model", exact=True)).to_be_focused()
    page.get_by_role("button", name="Calm").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Calm")).to_be_focused()
    assert names(page) == ["basket-size", "churn", "energy-demand", "flight-delay"]


# --- one model, and back ----------------------------------------------------------------------------------


def test_a_model_leads_to_its_parts_and_back_leads_to_the_list_as_it_was(page: Page) -> None:
    page.get_by_role("button", name="Calm").click()
    page.get_by_role("link", name="churn", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Evergreen churn")
    expect(page.locator("#now .state")).to_contain_text("Calm")
    assert page.url.endswith("/evergreen/#churn/now")
    page.get_by_role("button", name="Retrain").click()
    expect(page.get_by_role("dialog").get_by_role("link", name="Airflow's own form")).to_have_attribute(
        "href", page.url.split("/evergreen/")[0] + "/dags/churn.retrain"
    )
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()
    assert page.url.endswith("#churn/versions")
    page.locator("#view a[href='#churn/versions/3']").first.wait_for()  # the heading is there before the table
    hrefs = page.locator("#view a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert {href for href in hrefs if href.startswith("#")} >= {"#churn/versions/3"}
    assert [href for href in hrefs if href.startswith("files/") and not href.startswith("files/churn/")] == []
    page.go_back()
    expect(page.locator("#now .state")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Calm")).to_have_attribute("aria-pressed", "true")
    assert len(names(page)) == 4


def test_from_one_model_to_another_nothing_of_the_first_stays(page: Page) -> None:
    page.get_by_role("link", name="card-fraud", exact=True).click()
    expect(page.locator("#now .state")).to_contain_text("Alarm")
    page.get_by_role("link", name="All models").click()
    expect(page.get_by_role("heading", name="Models")).to_be_focused()
    page.get_by_role("link", name="churn", exact=True).click()
    expect(page.locator("#now .state")).to_contain_text("Calm")
    expect(page.locator("#approve")).to_have_text("Approve (1)")
    files = page.locator("main a[href^='files/']:visible").evaluate_all(
        "links => links.map((link) => link.getAttribute('href'))"
    )
    assert files
    assert [name for name in files if not name.startswith("files/churn/")] == []


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_what_was_served_on_request_is_shown_by_day_with_its_versions_and_times(
    browser: Browser, url: str, viewport: Any
) -> None:
    page = opened(browser, url, "#churn/serving", viewport=viewport)
    days = page.get_by_role("region", name="Predictions on request").locator("tbody tr")
    expect(days).to_have_count(3)
    expect(days.nth(0)).to_contain_text("1,204")
    expect(days.nth(0)).to_contain_text("version 3 (3,002), version 2 (308)")
    expect(days.nth(0)).to_contain_text("41 ms")
    expect(days.nth(1)).to_contain_text("unknown")
    expect(days.nth(2)).to_contain_text("not counted")
    expect(page.locator("#view .problem").nth(0)).to_contain_text("its file does not have the recorded hash")
    expect(page.locator("#view")).to_contain_text("25 % of the rows")
    expect(days.nth(0)).to_contain_text("17 with 422, 2 with 503")
    expect(page.locator("#view")).to_contain_text("answers 10 % of the keys")
    expect(page.locator("#view .problem").nth(1)).to_contain_text("Split of version 4 stopped by monitor")
    measured = page.get_by_role("region", name="Live performance of requests").locator("tbody tr")
    expect(measured.nth(0)).to_contain_text("1 day, 1,507 rows")
    expect(measured.nth(1)).to_contain_text("0.490 (0.460 to 0.523)")
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


@pytest.mark.parametrize(
    ("old", "now", "heading"),
    [("#now", "#flight-delay/now", "Now"), ("#decisions", "#flight-delay/decisions", "Decisions"),
     ("#models/3", "#flight-delay/versions/3", "Version 3"),
     ("#models/3/2", "#flight-delay/versions/3/2", "Version 3 compared with version 2"),
     ("#churn", "#churn/now", "Now"), ("#models", "#models", "Models")],
)  # fmt: skip
def test_an_address_without_a_model_or_a_part_is_completed(
    browser: Browser, url: str, old: str, now: str, heading: str
) -> None:
    page = opened(browser, url, old)
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    assert page.evaluate("location.hash") == now
    page.context.close()


def test_with_one_model_the_page_opens_on_its_now_and_the_list_is_reachable(browser: Browser, url: str) -> None:
    page = opened(browser, url, "#models")
    page.route("**/api/names", lambda route: route.fulfill(json={"models": ["churn"]}))
    page.goto("about:blank")
    page.goto(f"{url}/evergreen/")
    expect(page.locator("#now .state")).to_contain_text("Calm")
    expect(page.get_by_role("heading", level=1)).to_have_text("Evergreen churn")
    page.get_by_role("link", name="All models").click()
    expect(page.locator("table.models")).to_be_visible()
    page.context.close()


def test_a_model_that_is_not_there_says_where_to_go(browser: Browser, url: str) -> None:
    page = opened(browser, url, "#nobody/now")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("there is no model 'nobody'")
    page.get_by_role("link", name="All models").click()
    expect(page.locator("table.models tbody th a")).to_have_count(len(MODELS))
    page.context.close()


# --- for everybody ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_anybody(browser: Browser, url: str, theme: str, viewport: dict[str, int]) -> None:
    page = opened(browser, url, viewport=viewport, theme=theme)
    expect(page.locator("tbody .waits")).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:4]) for one in violations
            if one["impact"] in {"serious", "critical"}] == []  # fmt: skip
    if shots := wanted_pictures():
        page.screenshot(path=shots / f"tour-models-{'phone' if viewport is PHONE else 'laptop'}-{theme}.png")
    page.context.close()


def test_a_phone_sorts_by_a_list_of_columns(browser: Browser, url: str) -> None:
    page = opened(browser, url, viewport=PHONE)
    page.get_by_label("Sort by").select_option("Model")
    assert names(page) == sorted(MODELS)
    page.get_by_role("button", name="ascending").click()
    assert names(page) == sorted(MODELS, reverse=True)
    page.context.close()
