"""Performance over time in a real Chromium: its charts draw the numbers that were answered, of any span of days."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.builders_performance import COST, ODD, SECOND
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
VIEW, ASKED = "performance", "timeline/charts?days=90"


def named(page: Page, at: int = 0) -> dict[str, dict[str, Any]]:
    """Return what is drawn in a chart by the name of the trace."""
    return {one["name"]: one for one in traces(page, at)}


def figure_of(facts: dict[str, Any], name: str) -> dict[str, Any]:
    figure: dict[str, Any] = next(one for one in facts["live"]["figures"] if one["name"] == name)
    return figure


def test_the_metric_is_drawn_by_version_beside_what_was_expected_and_the_base_rate(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    choose(page, "Live figure")
    facts = answered(page, ASKED)
    live, loss, drawn = facts["live"], figure_of(facts, "log_loss"), named(page)
    assert (drawn["95 % interval"]["y"], drawn["lower end"]["y"]) == (loss["high"], loss["low"])
    assert drawn["expected from the holdout"]["y"] == loss["expected"]
    assert drawn["base rate's"]["y"] == loss["base_rate"]
    assert (drawn["one day"]["x"], drawn["one day"]["y"]) == (live["days"], loss["daily"])
    for version in (2, 3):
        of_it = [at for at, measured in enumerate(live["version"]) if measured == version]
        assert drawn[f"version {version}"]["x"] == [live["days"][at] for at in of_it]
        assert drawn[f"version {version}"]["y"] == [loss["value"][at] for at in of_it]
    rows = table(page)
    assert [row[0] for row in rows] == live["days"]
    assert [row[4] for row in rows] == [written(value) for value in loss["value"]]
    assert {row[3] for row in rows if row[0] >= str(SECOND)} == {"3"}
    page.context.close()


def test_another_loss_has_its_skill_drawn_below_it(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    choose(page, "Live figure")
    page.get_by_label("Figure").select_option("Brier score")
    settle(page)
    facts = answered(page, ASKED)
    assert named(page)["95 % interval"]["y"] == figure_of(facts, "brier")["high"]
    assert named(page, 1)["expected from the holdout"]["y"] == figure_of(facts, "skill")["expected"]
    page.context.close()


def test_days_are_chosen_by_their_dates_and_all_charts_and_files_are_of_these(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    page.get_by_label("From").fill("2013-06-01")
    page.get_by_label("to", exact=True).fill("2013-06-10")
    choose(page, "Live figure")
    chosen = [f"2013-06-{day:02}" for day in range(1, 11)]
    assert named(page)["one day"]["x"] == chosen
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    loss = figure_of(answered(page, ASKED), "log_loss")
    days = answered(page, ASKED)["live"]["days"]
    assert [row[0] for row in rows[1:]] == chosen
    assert [float(row[4]) for row in rows[1:]] == [loss["value"][days.index(day)] for day in chosen]
    choose(page, "Labels")
    assert named(page, 1)["first came"]["x"] == chosen
    page.get_by_role("button", name="Whole range").first.click()
    settle(page)
    expect(page.get_by_label("From")).to_have_value("")
    page.context.close()


def test_days_are_chosen_by_dragging_over_a_chart(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    choose(page, "Live figure")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=8)
    page.mouse.up()
    expect(page.get_by_label("From")).not_to_have_value("", timeout=60_000)
    settle(page)
    first, last = (page.get_by_label(name, exact=True).input_value() for name in ("From", "to"))
    days = named(page)["one day"]["x"]
    assert first <= days[0] and days[-1] <= last and 8 < len(days) < 30
    page.context.close()


def test_days_before_those_that_were_loaded_are_asked_for(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    choose(page, "Live figure")
    page.get_by_label("From").fill("2013-03-05")
    page.get_by_label("to", exact=True).fill("2013-03-20")
    settle(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=60_000)
    assert named(page)["one day"]["x"] == [f"2013-03-{day:02}" for day in range(5, 21)]
    page.context.close()


def test_slices_are_small_multiples_of_what_was_measured(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    choose(page, "Slices")
    facts = answered(page, ASKED)["slices"]
    drawn = traces(page)
    assert [one["y"] for one in drawn[2::3]] == [one["gap"] for one in facts["slices"]]
    assert [one["y"] for one in drawn[1::3]] == [one["high"] for one in facts["slices"]]
    expect(page.locator(".annotation-text", has_text=ODD)).to_have_count(1)
    page.get_by_label("Order of the slices").select_option("furthest off first")
    settle(page)
    (evening,) = (one for one in facts["slices"] if one["slice"] == "hour >= 18")
    assert traces(page)[2]["y"] == evening["gap"]
    page.get_by_label("What is drawn of each slice").select_option("predicted and observed")
    page.get_by_label("Search slices").fill("hour")
    settle(page)
    expect(page.locator(".annotation-text")).to_have_count(1)
    assert [one["y"] for one in traces(page)] == [evening["observed"], evening["predicted"]]
    assert {row[0] for row in table(page)} == {"hour >= 18"}
    page.context.close()


def test_coverage_delay_volume_and_trainings_are_drawn_as_they_were_answered(browser: Browser, url: str) -> None:
    page = opened(browser, url, VIEW)
    facts = answered(page, ASKED)
    choose(page, "Labels")
    assert named(page)["share with an outcome"]["y"] == facts["live"]["coverage"]
    came = facts["labels"]
    assert named(page, 1)["first came"]["y"] == came["first"]
    assert named(page, 1)["corrected"]["y"] == came["corrected"]
    choose(page, "Volume")
    volume = answered(page, "data/quality?asset=inputs&days=90")
    assert named(page)["rows that came"]["y"] == [rows for rows in volume["rows"] if rows is not None]
    choose(page, "Trainings")
    (training,) = facts["trainings"]
    assert (traces(page)[0]["x"], traces(page)[0]["y"]) == ([training["last_day"]], [training["seconds"]])
    expect(page.locator("figure.plot").first).to_contain_text(f"30 seconds of fitting, and a cost of {COST:.2f}")
    assert table(page)[0][5] == written(training["seconds"])
    assert traces(page, 1)[0]["y"] == [one["versions"] for one in facts["data_versions"]]
    page.context.close()


def test_the_timeline_leads_there_and_the_overview_loads_none_of_it(browser: Browser, url: str) -> None:
    page = opened(browser, url, "now")
    assert page.evaluate("typeof window.Plotly") == "undefined"
    loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name.split('/').pop())")
    assert not {"performance.js", "live_figure.js", "slice_charts.js", "training_charts.js"} & set(loaded)
    page.get_by_role("link", name="Performance over time").click()
    choose(page, "Live figure")
    expect(page.get_by_role("heading", name="Performance over time")).to_be_visible()
    page.context.close()


@APPEARANCES
def test_no_chart_of_performance_stands_in_anybodys_way(
    browser: Browser, url: str, theme: str, viewport: dict[str, int]
) -> None:
    page = opened(browser, url, VIEW, viewport=viewport, theme=theme)
    for name in ("Live figure", "Slices", "Labels", "Volume", "Trainings"):
        choose(page, name)
        shown = name.lower().replace(" ", "-")
        shoot(page, f"performance-{shown}-{viewport['width']}-{theme}")
        table(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        check(page, name, None if name == "Live figure" else ".chart-choice")
    page.context.close()
