"""The page's dialogs in a real Chromium, in front of a stub of Airflow's API that answers as a test likes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.page_alone import LOOKS_ONLY, STUB

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),  # Airflow's, on import
]
MODEL = "card-fraud"
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
PATIENCE = 30_000


@pytest.fixture
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open *Now* of a model that has an alarm, on a laptop in light or as the test wants it."""
    viewport, theme = getattr(request, "param", (LAPTOP, "light"))
    STUB.reset()
    context = browser.new_context(viewport=viewport, color_scheme=theme, bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    go(opened, url, "now")
    yield opened
    context.close()
    STUB.reset()


def go(page: Page, url: str, part: str, model: str = MODEL) -> None:
    page.goto("about:blank")
    page.goto(f"{url}/evergreen/#{model}/{part}")
    expect(page.locator("main [aria-busy]:visible, main .tall:visible")).to_have_count(0, timeout=PATIENCE)
    if part == "now":
        expect(page.locator("#runs")).not_to_contain_text("Asking Airflow", timeout=PATIENCE)


def opened(page: Page, name: str) -> Locator:
    page.get_by_role("navigation", name="Actions").get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def started() -> list[tuple[str, Any]]:
    return [(path.split("/")[1], facts["conf"]) for method, path, facts in STUB.sent if path.endswith("dagRuns")]


def test_a_challenger_is_asked_for_once_however_often_one_presses(page: Page) -> None:
    dialog = opened(page, "Retrain")
    expect(dialog.get_by_label("Why")).to_be_focused()
    dialog.get_by_label("Why").fill("the season has changed")
    dialog.get_by_text("Which training").click()
    dialog.get_by_label("Window in days").fill("30")
    dialog.get_by_label("Train even if").check()
    dialog.get_by_role("button", name="Train", exact=True).dblclick()
    expect(dialog.get_by_role("status")).to_contain_text("It waits for Airflow's scheduler")
    expected = {"reason": "the season has changed", "days": 30, "last_day": None, "force": True}
    assert started() == [(f"{MODEL}.retrain", expected)]
    STUB.begin()
    expect(dialog.get_by_role("status")).to_contain_text("It runs: Fit (1 of 2 tasks done)")
    ((_, run),) = STUB.runs
    assert (
        dialog.get_by_role("link", name=f"run of {MODEL}.retrain in Airflow")
        .get_attribute("href")
        .endswith(  # type: ignore[union-attr]
            f"/dags/{MODEL}.retrain/runs/{run.replace(':', '%3A')}"
        )
    )
    STUB.end("success", "Held: challenger 0.31 vs champion 0.30")
    expect(dialog.get_by_role("status")).to_have_text("Done. Held: challenger 0.31 vs champion 0.30.")


def test_what_was_started_is_shown_on_the_page_after_the_dialog_was_closed(page: Page) -> None:
    dialog = opened(page, "Roll back")
    expect(dialog).to_contain_text("Version 5 would serve instead of version 6")
    dialog.get_by_label("Back to version").select_option("2")
    expect(dialog).to_contain_text("Version 2 would serve instead of version 6")
    dialog.get_by_label("Why").fill("better on Sundays")
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog.get_by_role("status")).to_contain_text("It waits for Airflow's scheduler")
    assert started() == [(f"{MODEL}.rollback", {"reason": "better on Sundays", "to_version": 2})]
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Roll back")).to_be_focused()
    kept = page.get_by_role("region", name="What you started")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    STUB.end("failed", "Failed at rollback. Version 2 cannot serve")
    expect(kept.get_by_role("status")).to_have_text(
        "It failed. Failed at rollback. Version 2 cannot serve.", timeout=30_000
    )
    page.wait_for_timeout(500)
    assert any(one.endswith(f"/{MODEL}/now") for one in asked), "the page asks for its facts again"
    kept.get_by_role("button", name="Hide").click()
    expect(kept.get_by_role("status")).to_have_count(0)


def test_what_was_started_is_followed_on_another_models_pages_and_after_a_reload(page: Page, url: str) -> None:
    dialog = opened(page, "Retrain")
    dialog.get_by_label("Why").fill("the season has changed")
    dialog.get_by_role("button", name="Train", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("It waits for Airflow's scheduler")
    page.keyboard.press("Escape")
    kept = page.get_by_role("region", name="What you started")
    page.evaluate("location.hash = '#churn/now'")
    expect(page.get_by_role("heading", level=1)).to_contain_text("churn")
    STUB.begin()
    expect(kept.get_by_role("status")).to_contain_text("It runs: Fit")
    page.reload()
    expect(kept).to_contain_text("Training a challenger: the season has changed.")
    expect(kept.get_by_role("link", name=f"run of {MODEL}.retrain in Airflow")).to_be_visible()
    STUB.end("success", "Held: challenger 0.31 vs champion 0.30")
    expect(kept.get_by_role("status")).to_have_text("Done. Held: challenger 0.31 vs champion 0.30.")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("churn")
    expect(kept.get_by_role("status")).to_have_count(0)


@pytest.mark.parametrize(("refused", "message"), [(None, "It waits for Airflow"), (403, "may not roll back")])
def test_what_airflow_answers_after_the_dialog_was_closed_is_shown_too(
    page: Page, refused: int | None, message: str
) -> None:
    dialog = opened(page, "Roll back")
    expect(dialog).to_contain_text("Version 5 would serve instead of version 6")
    dialog.get_by_label("Why").fill("better on Sundays")
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(re.compile(r"\.rollback/dagRuns$"), hold)
    with page.expect_request(lambda request: request.method == "POST"):
        dialog.get_by_role("button", name="Roll back").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    (route,) = waiting
    if refused:
        route.fulfill(status=refused, json={"detail": "Forbidden"})
    else:
        route.fallback()
    expect(page.get_by_role("region", name="What you started")).to_contain_text(message)


def test_an_alarm_is_snoozed_beside_it_and_a_decision_commented_on(page: Page, url: str) -> None:
    page.get_by_role("button", name="Snooze…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Decay since 2026-11-24")
    dialog.get_by_label("Note").fill("the mapping is repaired on Monday")
    dialog.get_by_label("Snoozed until").fill("2026-12-05")
    dialog.get_by_role("button", name="Write it down").click()
    expect(dialog.get_by_role("status")).to_be_visible()
    go(page, url, "decisions/x")
    expect(page.locator(".next-challenger")).to_contain_text("with the data of 2013-06-29 at the latest")
    page.get_by_role("button", name="Comment…").click()
    dialog.get_by_label("Note").fill("we know why")
    dialog.get_by_role("button", name="Write it down").click()
    expect(dialog.get_by_role("status")).to_be_visible()
    (_, snooze), (_, comment) = started()
    assert snooze == {
        "kind": "snooze", "note": "the mapping is repaired on Monday", "alarm": "decay", "until": "2026-12-05",
    }  # fmt: skip
    assert (comment["kind"], comment["note"], bool(comment["decision"])) == ("comment", "we know why", True)


def test_days_are_excluded_and_count_again(page: Page, url: str) -> None:
    go(page, url, "data")
    page.get_by_role("button", name="Exclude days…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("First day").fill("2026-11-03")
    dialog.get_by_label("Last day").fill("2026-11-07")
    dialog.get_by_label("Why").fill("a strike")
    dialog.get_by_role("button", name="Exclude", exact=True).click()
    expect(dialog.get_by_role("status")).to_be_visible()
    expected = {"first_day": "2026-11-03", "last_day": "2026-11-07", "reason": "a strike", "undo": False}
    assert started() == [(f"{MODEL}.exclude", expected)]


@pytest.mark.parametrize("brought", [True, False])
def test_a_rejected_day_is_brought_again(page: Page, brought: bool) -> None:
    day = page.get_by_role("button", name=re.compile(r"Bring \S+ again…")).first.inner_text().split()[1]
    if brought:
        STUB.daily[f"{MODEL}.ingest"] = [{"dag_run_id": "scheduled__1", "partition_key": day}]
    page.get_by_role("button", name=f"Bring {day} again…").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"Bring {day} again").click()
    expect(dialog.get_by_role("status")).to_be_visible()
    ((method, path, facts),) = STUB.sent
    assert method == "POST"
    if brought:
        assert path == f"dags/{MODEL}.ingest/clearTaskInstances"
        assert (facts["dag_run_id"], facts["only_failed"], facts["dry_run"]) == ("scheduled__1", False, False)
    else:
        assert (path, facts["partition_key"]) == (f"dags/{MODEL}.ingest/dagRuns", day)
    STUB.end("success", f"Ingested {day}")
    expect(dialog.get_by_role("status")).to_have_text(f"Done. Ingested {day}.")


@pytest.mark.parametrize("choice", ["Approve", "Reject"])
def test_a_question_is_answered_with_its_evidence_and_a_reason(page: Page, url: str, choice: str) -> None:
    STUB.question(MODEL)
    go(page, url, "now")
    dialog = opened(page, "Approve (1)")
    expect(dialog).to_contain_text("+0.0042 (95 % interval +0.0011 to +0.0073, margin +0.0005)")
    expect(dialog.get_by_role("img", name="The gain with its interval")).to_be_visible()
    dialog.get_by_role("button", name=choice, exact=True).click()
    assert STUB.sent == [], "a reason is asked for first"
    dialog.get_by_label("Why").fill("as we expected it")
    dialog.get_by_role("button", name=choice, exact=True).click()
    expect(dialog.get_by_role("status")).to_be_visible()
    ((method, path, facts),) = STUB.sent
    assert (method, path) == ("PATCH", f"dags/{MODEL}.retrain/dagRuns/r1/taskInstances/approve/-1/hitlDetails")
    assert facts == {"chosen_options": [choice], "params_input": {"comment": "as we expected it"}}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "Log in again in another tab"), (403, "Your role in Airflow may not train a challenger"),
        (404, "import errors"), (409, "Airflow has this already"), (422, "as the test wants it. Correct it"),
        (500, "the log of its API server"), (503, "Wait a minute"),
    ],
)  # fmt: skip
def test_what_airflow_refuses_is_put_into_words_and_may_be_tried_again(page: Page, status: int, says: str) -> None:
    STUB.refusals.append(status)
    dialog = opened(page, "Retrain")
    dialog.get_by_label("Why").fill("kept while one logs in")
    dialog.get_by_role("button", name="Train", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text(says)
    expect(dialog.get_by_label("Why")).to_have_value("kept while one logs in")
    dialog.get_by_role("button", name="Train", exact=True).click()
    expect(dialog.get_by_role("status")).to_be_visible()
    first, second = (facts["dag_run_id"] for _, _, facts in STUB.sent)
    assert first == second, "Airflow takes a run of this id only once"


def test_where_no_alarm_stands_a_note_is_a_comment(page: Page, url: str) -> None:
    expect(opened(page, "Note").get_by_label("What", exact=True)).to_have_value("acknowledgement")
    go(page, url, "now", "churn")
    expect(opened(page, "Note").get_by_label("What", exact=True)).to_have_value("comment")


def test_a_paused_dag_is_named_before_and_after(page: Page) -> None:
    STUB.paused.add(f"{MODEL}.retrain")
    dialog = opened(page, "Retrain")
    expect(dialog.get_by_role("link", name="is paused in Airflow")).to_be_visible()
    dialog.get_by_role("button", name="Train", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("begins when somebody switches the Dag on")


def test_who_may_only_look_is_offered_nothing_to_do(page: Page, url: str) -> None:
    STUB.question(LOOKS_ONLY)
    for part in ("now", "decisions/x", "data"):
        go(page, url, part, LOOKS_ONLY)
        page.wait_for_timeout(300)
        expect(page.locator("[data-act]:visible, #answer:visible")).to_have_count(0)
        for words in ("Acknowledge…", "Snooze…", "Comment…", "Exclude days…", "again…"):
            expect(page.get_by_role("button", name=words)).to_have_count(0)


def test_what_the_first_look_is_refused_is_said_at_its_model_whichever_is_shown_meanwhile(page: Page, url: str) -> None:
    day = "2026-11-27"
    asked: list[Route] = []

    def demo(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | {"first_look": True})

    def wait(route: Route) -> None:
        asked.append(route)

    page.route("**/models/*/now", demo)
    facts = {"may": True, "day": day, "sentence": "one code is lost", "fault": None, "monitored": None}
    page.route("**/models/*/first-look", lambda route: route.fulfill(json=facts))
    page.route("**/dagRuns?partition_key_prefix_pattern=*", wait)
    go(page, url, "now")
    page.get_by_role("button", name=f"Break {day}").click()
    page.wait_for_timeout(300)
    (waits,) = asked
    go_on = "([model]) => { location.hash = `#${model}/now` }"
    page.evaluate(go_on, ["churn"])
    expect(page.get_by_role("button", name=f"Break {day}")).to_be_disabled()
    waits.fulfill(json={"dag_runs": [], "total_entries": 0})
    expect(page.get_by_role("button", name=f"Break {day}")).to_be_enabled()
    expect(page.locator("#first-look")).not_to_contain_text("Airflow has no run")
    page.evaluate(go_on, [MODEL])
    expect(page.locator("#first-look")).to_contain_text(f"Airflow has no run of {MODEL}.ingest for {day}")


def test_the_first_looks_link_opens_the_column_that_broke(page: Page, url: str) -> None:
    from tests.e2e.page_alone import FACTS

    day, column = FACTS["drift"]["days"][-1], FACTS["drift"]["columns"][1]["column"]
    page.evaluate("([day, column]) => { location.hash = `#card-fraud/drift/${day}/${column}` }", [day, column])
    expect(page.get_by_role("heading", name=f"{column}, {day}")).to_be_visible()
    go(page, url, f"drift/{day}/{column}")
    expect(page.get_by_role("heading", name=f"{column}, {day}")).to_be_visible()


@pytest.mark.parametrize("page", [(LAPTOP, "light"), (PHONE, "dark")], indirect=True, ids=["laptop", "phone"])
def test_the_dialogs_stand_in_nobodys_way(page: Page, url: str) -> None:
    STUB.question(MODEL)
    go(page, url, "now")
    found: dict[str, list[str]] = {}
    for name in ("Retrain", "Roll back", "Note", "Approve (1)"):
        dialog = opened(page, name)
        for fold in dialog.locator("details").all():
            fold.evaluate("fold => { fold.open = true }")
        page.wait_for_timeout(200)
        found[name] = [one["id"] for one in Axe().run(page).response["violations"]]
        assert page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth"), f"{name} is too wide"
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("button", name=name)).to_be_focused()
    assert found == {name: [] for name in found}


@pytest.mark.parametrize("page", [({"width": 1212, "height": 800}, "light")], indirect=True)
def test_no_section_is_cut_off_while_a_question_waits(page: Page, url: str) -> None:
    STUB.question(MODEL)
    go(page, url, "now")
    expect(page.locator("#answer")).to_have_text("Approve (1)")
    assert page.locator("#sections").evaluate("nav => nav.scrollWidth <= nav.clientWidth")
    assert page.locator("h1").evaluate("head => head.scrollWidth <= head.clientWidth")
