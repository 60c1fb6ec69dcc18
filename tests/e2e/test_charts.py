"""The page's charts in a real Chromium: they draw the numbers that the page was answered, and have them as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.builders_charts import CLASSES, JUDGED, MULTICLASS, OLD, REGRESSION
from tests.e2e.chart_reading import (
    APPEARANCES,
    MODEL,
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
OF_CLASSES = ["Gain by day", "Loss by day", "Calibration", "ROC", "Precision and recall", "Threshold", "Slices",
              "Differences", "Importance", "Dependence"]  # fmt: skip


# --- a version, and the champion of then ------------------------------------------------------------------


def test_the_gain_by_day_is_drawn_with_its_interval_and_the_margin(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{JUDGED}")
    choose(page, "Gain by day")
    charts = answered(page, f"versions/{JUDGED}/charts")["charts"]
    days, paired = charts["by_day"], charts["paired"]
    known = [(day, gain) for day, gain in zip(days["day"], days["difference"], strict=True) if gain is not None]
    bars, band, mean, margin = traces(page)
    assert list(zip(bars["x"], bars["y"], strict=True)) == known
    assert (min(band["y"]), max(band["y"])) == (paired["low"], paired["high"])
    assert (set(mean["y"]), set(margin["y"])) == ({paired["gain"]}, {paired["margin"]["gain"]})
    cells = table(page)
    assert [(row[0], row[1]) for row in cells[: len(known)]] == [(day, written(gain)) for day, gain in known]
    assert [row[1] for row in cells[len(known) :]] == [
        written(value) for value in (paired["gain"], paired["low"], paired["high"], paired["margin"]["gain"])
    ]
    page.context.close()


def test_curves_of_both_models_are_drawn_as_they_were_computed(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{JUDGED}")
    (side,) = answered(page, f"versions/{JUDGED}/charts")["charts"]["sides"]
    models = [side["models"][name] for name in ("challenger", "champion")]
    choose(page, "Calibration")
    _, *lines, negative, positive = traces(page)
    assert [(line["x"], line["y"]) for line in lines] == [
        (of["calibration"]["predicted"], of["calibration"]["observed"]) for of in models
    ]
    assert (positive["y"], negative["y"]) == (models[0]["scores"]["positive"], models[0]["scores"]["negative"])
    assert table(page)[0][1:3] == [written(models[0]["calibration"][name][0]) for name in ("predicted", "observed")]
    choose(page, "ROC")
    assert [(line["x"], line["y"]) for line in traces(page)[1:]] == [
        (of["roc"]["false_positive_rate"], of["roc"]["true_positive_rate"]) for of in models
    ]
    assert f"({models[0]['roc']['area']:.3f})" in traces(page)[1]["name"]
    choose(page, "Precision and recall")
    assert [(line["x"], line["y"]) for line in traces(page)[1:]] == [
        (of["precision_recall"]["recall"], of["precision_recall"]["precision"]) for of in models
    ]
    page.context.close()


def test_the_slider_shows_the_confusion_and_the_cost_of_a_threshold(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{JUDGED}")
    choose(page, "Threshold")
    (side,) = answered(page, f"versions/{JUDGED}/charts")["charts"]["sides"]
    slider = page.get_by_role("slider", name="Decision threshold")
    page.get_by_label("A missed event costs").fill("5")
    slider.focus()
    page.keyboard.press("ArrowRight")
    at = int(slider.input_value())
    expect(slider).to_have_attribute("aria-valuetext", f"threshold {side['thresholds'][at]:.4f}")
    counts = side["models"]["challenger"]["decisions"]
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    row = page.get_by_role("region", name="What is decided").locator("tbody tr").first.locator("td")
    cost = 5 * counts["false_negatives"][at] + counts["false_positives"][at]
    expect(row.nth(6)).to_have_text(f"{cost:,}")
    assert row.all_inner_texts()[:4] == [f"{counts[name][at]:,}" for name in names]
    settle(page)
    costs = [
        5 * missed + alarms for missed, alarms in zip(counts["false_negatives"], counts["false_positives"], strict=True)
    ]
    assert traces(page)[0]["y"] == costs
    assert row.all_inner_texts()[7] == f"{side['thresholds'][costs.index(min(costs))]:.4f}"
    page.context.close()


def test_slices_are_drawn_worst_first_and_their_names_stay_text(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{JUDGED}")
    choose(page, "Slices")
    slices = sorted(answered(page, f"versions/{JUDGED}/charts")["charts"]["slices"], key=lambda one: one["gain"])
    (dots,) = traces(page)
    assert dots["x"] == [one["gain"] for one in slices]
    assert dots["error_x"]["array"] == pytest.approx([one["high"] - one["gain"] for one in slices])
    assert [row[0] for row in table(page)] == [one["name"] for one in slices]
    expect(page.locator(".js-plotly-plot .ytick", has_text="carrier = <i>UA</i>")).to_have_count(1)
    page.context.close()


def test_a_regression_shows_its_residuals(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{REGRESSION}")
    choose(page, "Residuals")
    residuals = answered(page, f"versions/{REGRESSION}/charts")["charts"]["residuals"]
    _, own, champion = traces(page)
    assert own["y"] == residuals["challenger"]["by_prediction"]["median"]
    assert champion["x"] == residuals["champion"]["by_prediction"]["predicted"]
    assert traces(page, 1)[0]["y"] == residuals["challenger"]["histogram"]["rows"]
    page.context.close()


def test_of_several_classes_one_is_chosen(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{MULTICLASS}")
    choose(page, "ROC")
    page.get_by_label("Class").select_option(CLASSES[2])
    settle(page)
    side = answered(page, f"versions/{MULTICLASS}/charts")["charts"]["sides"][2]
    assert traces(page)[1]["y"] == side["models"]["challenger"]["roc"]["true_positive_rate"]
    page.context.close()


@pytest.mark.parametrize("version", [JUDGED, REGRESSION, MULTICLASS])
def test_the_dependence_on_the_strongest_features_is_drawn_as_it_was_answered(
    browser: Browser, url: str, version: int
) -> None:
    page = opened(browser, url, f"versions/{version}")
    choose(page, "Dependence")
    features = answered(page, f"versions/{version}/charts")["charts"]["dependence"]
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    for at, feature in enumerate(features):
        lines = feature["lines"] + feature.get("champion_lines", [])
        assert [one["y"] for one in traces(page, at)] == [line["mean"] for line in lines]
        rows = [[str(value), *(line["mean"][step] for line in lines)] for step, value in enumerate(feature["values"])]
        written_rows = [[name, *map(written, means)] for name, *means in rows]
        cells = table(page, at)
        assert [row[1:] for row in cells] == [row[1:] for row in written_rows]
        assert at == 0 or [row[0] for row in cells] == feature["values"]
    assert traces(page)[0]["x"] == features[0]["values"]
    expect(page.locator(".js-plotly-plot .xtick", has_text="<b>WN</b>")).to_have_count(1)
    known = {JUDGED: 0, REGRESSION: 1, MULTICLASS: 2}[version]
    expect(page.get_by_text("Of the champion then no curve was kept")).to_have_count(known)
    page.context.close()


def test_a_version_that_was_judged_before_says_so_and_loads_nothing(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{OLD}")
    expect(page.locator(".charts")).to_contain_text("There are no charts of version 2")
    assert page.evaluate("typeof window.Plotly") == "undefined"
    page.context.close()


def test_the_library_is_loaded_by_the_first_chart_and_not_by_the_overview(browser: Browser, url: str) -> None:
    page = opened(browser, url, "now")
    assert page.evaluate("typeof window.Plotly") == "undefined"
    page.goto(f"{url}/evergreen/#{MODEL}/versions/{JUDGED}")
    choose(page, "ROC")
    assert page.evaluate("typeof window.Plotly") == "object"
    page.context.close()


def test_what_is_drawn_is_handed_out_as_a_file(browser: Browser, url: str) -> None:
    page = opened(browser, url, f"versions/{JUDGED}")
    choose(page, "Loss by day")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    days = answered(page, f"versions/{JUDGED}/charts")["charts"]["by_day"]
    assert [row[0] for row in rows[1:]] == days["day"]
    assert [float(row[1]) for row in rows[1:]] == days["loss"]["challenger"]
    page.context.close()


def test_the_figures_of_a_ruling_are_open_only_where_it_did_not_pass(browser: Browser, url: str) -> None:
    page = opened(browser, url, "decisions/x")
    rulings = answered(page, "decisions/x")["rulings"]
    rows = page.get_by_role("region", name="The gate, rule by rule").locator("tbody tr")
    expect(rows).to_have_count(len(rulings))
    for row, ruling in zip(rows.all(), rulings, strict=True):
        figures = row.locator("details")
        if figures.count():
            assert (figures.get_attribute("open") is None) == (ruling["outcome"] == "passed")
    passed = rows.filter(has_text="passed").first.locator("details")
    expect(passed.locator("dl")).to_be_hidden()
    passed.locator("summary").click()
    expect(passed.locator("dl")).to_be_visible()
    check(page, "a decision", None)
    shoot(page, "decision-1280-light")
    page.context.close()


# --- for everybody ----------------------------------------------------------------------------------------


@APPEARANCES
def test_no_chart_of_a_version_stands_in_anybodys_way(
    browser: Browser, url: str, theme: str, viewport: dict[str, int]
) -> None:
    page = opened(browser, url, f"versions/{JUDGED}", viewport=viewport, theme=theme)
    for name in OF_CLASSES:
        choose(page, name)
        table(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        check(page, name, None if name == OF_CLASSES[0] else ".chart-choice")
        shoot(page, f"chart-{name.lower().replace(' ', '-')}-{viewport['width']}-{theme}")
    page.context.close()
