"""What people do in Airflow's web UI, done in a real Chromium on a real running stack, from the login to the rollback.

The tests go through one life in their order: a first champion that a person lets serve, some days, a second one, an
alarm, a rollback. ``EVERGREEN_SCREENSHOTS`` keeps the pictures; with ``EVERGREEN_TOUR_DAYS=16`` they are those of the
docs (`docs/tour.md`).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pandas as pd
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page, expect, sync_playwright

from embedded.airflow_api import Run
from ml.adapters.workspace import table_bytes
from tests.e2e.browser_proxy import proxied
from tests.e2e.browser_stack import MODEL, SERVED_DAYS, Running, chromium, dag, plant, started
from tests.e2e.chart_reading import short_tables, shown_in_tour, wanted_pictures
from tests.e2e.test_loop import free_ports, mails

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
PATIENCE = 120_000
OF_MODEL = f"/api/models/{MODEL}"
OLD_DAY = "2001-01-01"
"""A day before all others, of which a row lies in quarantine."""

LARGEST_PICTURE = 190_000
HEAD = {"retrain": "Retrain", "rollback": "Roll back"}
"""The buttons in the page's head, by the Dag that they start."""

expect.set_options(timeout=PATIENCE)
FIRST, SECOND, BACK = "the first model of this season", "newer flights", "the first one did better in the evenings"
GOOD, KNOWN = "good enough to begin with", "the new codes are known, and stay"


# --- the world --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if chromium() is None:
        pytest.skip("no Chromium here: install the Debian package chromium")
    with started(tmp_path_factory.mktemp("browser"), free_ports(3)) as stack:
        yield stack


@pytest.fixture(scope="module")
def browser(running: Running) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def shots() -> Path | None:
    return wanted_pictures()


@dataclass
class Person:
    """Somebody who is logged in to Airflow, and clicks."""

    page: Page
    running: Running
    shots: Path | None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe[title=Evergreen]")

    def log_in(self) -> None:
        self.page.goto(self.running.url)
        self.page.fill("input[name=username]", "admin")
        self.page.fill("input[name=password]", self.running.stack.password())
        self.page.click("button[type=submit]")
        self.page.get_by_role("link", name="Evergreen").wait_for()

    def open_page(self, part: str = "") -> FrameLocator:
        """Open a part of Evergreen's page as a link does: cold."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.running.url}/plugin/evergreen/evergreen/{part}")
        return self.settled()

    def settled(self) -> FrameLocator:
        """Wait until the page has asked for all that it shows."""
        expect(self.frame.locator("main")).to_be_visible(timeout=PATIENCE)
        expect(self.frame.locator("main [aria-busy]:visible, main .tall:visible")).to_have_count(0, timeout=PATIENCE)
        return self.frame

    def form(self, verb: str) -> Any:
        """Open the form of a Dag in Airflow, as the page's dialog leads there."""
        self.dialog(HEAD[verb]).get_by_role("link", name="Airflow's own form").click()
        self.page.wait_for_url(f"**/dags/{dag(verb)}")
        self.page.get_by_role("button", name="Trigger").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.locator("#element_reason").wait_for()
        return dialog

    def dialog(self, button: str) -> Locator:
        """Open a dialog of the page by its button in the head."""
        self.open_page()
        self.frame.get_by_role("navigation", name="Actions").get_by_role("button", name=button).click()
        opened = self.frame.get_by_role("dialog")
        expect(opened).to_be_visible()
        return opened

    def press(self, dialog: Locator, button: str) -> str:
        """Press a dialog's button twice, as people do; give the id of the run that it says it has started."""
        dialog.get_by_role("button", name=button, exact=True).dblclick()
        href = dialog.get_by_role("link", name=re.compile("^run of .* in Airflow$")).get_attribute("href")
        return unquote(urlsplit(str(href)).path.rpartition("/runs/")[2])

    def send(self, dialog: Any) -> str:
        """Press the form's button; give the id of the run, to which Airflow then leads."""
        dialog.get_by_role("button", name="Trigger", exact=True).last.click()
        self.page.wait_for_url("**/runs/**")
        return unquote(urlsplit(self.page.url).path.rpartition("/runs/")[2])

    def leave(self) -> None:
        """Look elsewhere while there is nothing to see: Airflow's pages ask for news all the time."""
        self.page.goto("about:blank")

    def await_question(self, run_id: str) -> None:
        running = self.running
        self.leave()

        def asked() -> bool:
            run = next((one for one in running.api.runs(dag("retrain")) if one.run_id == run_id), None)
            assert run is None or not run.finished, f"{run_id} ended without asking anybody"
            return run is not None and running.api.tasks(run)["approve"] in {"deferred", "awaiting_input"}

        running.wait(asked, "the question to a person")

    def answer(self, choice: str) -> None:
        """Follow the page's dialog to Airflow's own form, and answer there."""
        self.dialog("Approve").get_by_role("link", name="Airflow's own form").click()
        self.page.get_by_text("passed every rule of the gate").wait_for()
        self.shoot(f"{choice.lower()}")
        self.page.get_by_role("button", name=choice, exact=True).click()
        self.page.get_by_text("response successful").wait_for()
        self.leave()

    def shoot(self, name: str, page: Page | None = None) -> None:
        """Keep a picture, if somebody wants them; of the tour those that it shows, a large one in few colours."""
        if self.shots is None or not shown_in_tour(name):
            return
        page = page or self.page
        page.wait_for_timeout(400)  # what slides in has come to rest
        shot, path = page.screenshot(), self.shots / f"tour-{name}.png"
        path.write_bytes(shot)
        if len(shot) > LARGEST_PICTURE:
            Image.open(BytesIO(shot)).convert("RGB").quantize(256).save(path, optimize=True)


@pytest.fixture(scope="module")
def person(browser: Browser, running: Running, shots: Path | None) -> Iterator[Person]:
    context = browser.new_context(viewport=LAPTOP, color_scheme="light")
    context.set_default_timeout(PATIENCE)
    somebody = Person(context.new_page(), running, shots)
    somebody.log_in()
    yield somebody
    context.close()


@pytest.fixture(scope="module")
def asked(person: Person) -> str:
    """Ask for a first challenger by the page's dialog, and let it come to the question."""
    dialog = person.dialog("Retrain")
    expect(dialog).to_contain_text("is paused in Airflow")
    person.running.api.unpause(dag("retrain"))  # as `make up` does
    dialog.get_by_label("Why").fill(FIRST)
    person.shoot("form")
    run_id = person.press(dialog, "Train")
    assert [run.run_id for run in person.running.api.runs(dag("retrain"))] == [run_id], "two presses, one run"
    person.await_question(run_id)
    return run_id


@pytest.fixture(scope="module")
def first(person: Person, asked: str) -> Run:
    """Let it serve, by the page's dialog."""
    dialog = person.dialog("Approve")
    expect(dialog).to_contain_text("passed every rule of the gate")
    dialog.get_by_label("Why").fill(GOOD)
    person.shoot("answer")
    person.press(dialog, "Approve")
    expect(dialog.get_by_role("status")).to_contain_text("Done. Promoted version", timeout=4 * PATIENCE)
    return person.running.ended(dag("retrain"), asked)


def days(running: Running) -> tuple[date, date, date]:
    """Give the first day that is served, the last of the first champion, and the newest."""
    newest = running.newest_day
    return newest - timedelta(days=SERVED_DAYS - 1), newest - timedelta(days=SERVED_DAYS // 2), newest


@pytest.fixture(scope="module")
def served(person: Person, first: Run) -> None:
    """Let half of the days come to pass."""
    begin, middle, _ = days(person.running)
    for verb in ("rollback", "score", "monitor", "ingest"):
        person.running.api.unpause(dag(verb))
    person.running.live(begin, middle)


@pytest.fixture(scope="module")
def second(person: Person, served: None) -> Run:
    """Train on what came since, forced, and let it serve."""
    dialog = person.form("retrain")
    dialog.locator("#element_reason").fill(SECOND)
    dialog.get_by_role("button", name="Which training").click()
    dialog.get_by_text("Train even if this very training was judged before").wait_for()
    # The switch follows its section: Airflow draws a checkbox that only its label shows.
    force = dialog.locator("[name=element_force]")
    force.evaluate("box => box.click()")
    expect(force).to_be_checked()
    run_id = person.send(dialog)
    person.await_question(run_id)
    person.open_page()
    expect(person.frame.locator("#answer")).to_have_text("Approve (1)")
    person.shoot("waiting")
    person.answer("Approve")
    return person.running.ended(dag("retrain"), run_id)


@pytest.fixture(scope="module")
def alarmed(person: Person, second: Run, tmp_path_factory: pytest.TempPathFactory) -> date:
    """Let the other days come; on the newest the source takes to other codes for destinations."""
    _, middle, newest = days(person.running)
    if newest - timedelta(days=1) > middle:
        person.running.live(middle + timedelta(days=1), newest - timedelta(days=1))
    person.open_page()
    person.shoot("now")
    plant(person.running.stack.project, newest, tmp_path_factory.mktemp("planted"))
    person.running.live(newest, newest)
    return newest


@pytest.fixture(scope="module")
def noted(person: Person, alarmed: date) -> Locator:
    """Say beside the alarm that it is known."""
    person.open_page()
    person.frame.get_by_role("button", name="Acknowledge…").first.click()
    dialog = person.frame.get_by_role("dialog")
    dialog.get_by_label("Note").fill(KNOWN)
    person.shoot("note-form")
    person.press(dialog, "Write it down")
    expect(dialog.get_by_role("status")).to_contain_text("Done. Acknowledged: Drift since", timeout=240_000)
    dialog.get_by_role("button", name="Close").last.click()
    return person.frame.locator(".card", has=person.frame.get_by_role("heading", name="Monitoring"))


@pytest.fixture(scope="module")
def rolled_back(person: Person, noted: Locator) -> Run:
    dialog = person.dialog("Roll back")
    former, present = (e.payload["version"] for e in person.running.services.tracking.decisions(kinds=("promotion",)))
    expect(dialog).to_contain_text(f"Version {former} would serve instead of version {present}")
    dialog.get_by_label("Why").fill(BACK)
    person.shoot("rollback-form")
    run_id = person.press(dialog, "Roll back")
    expect(dialog.get_by_role("status")).to_contain_text(f"Done. Version {former} serves again", timeout=4 * PATIENCE)
    return person.running.ended(dag("rollback"), run_id)


def champion(running: Running) -> int:
    version = running.services.tracking.alias("champion")
    assert version is not None
    return int(version)


# --- a first champion ---------------------------------------------------------------------------------


def test_a_retrain_from_the_form_waits_for_a_person_and_the_page_says_so(person: Person, asked: str) -> None:
    frame = person.open_page()
    expect(frame.locator("#answer")).to_have_text("Approve (1)")
    expect(frame.locator("#runs")).to_contain_text("retrain running")
    expect(frame.locator("#runs").get_by_role("link", name="serve?")).to_be_visible()
    expect(frame.locator("#now")).to_contain_text("Nothing serves yet")


def test_who_was_approved_serves_and_the_page_says_why(person: Person, first: Run) -> None:
    assert first.state == "success"
    version = champion(person.running)
    frame = person.open_page()
    expect(frame.locator("#answer")).to_be_hidden()
    card = frame.locator(".card", has=frame.get_by_role("heading", name="Champion"))
    expect(card).to_contain_text(f"version {version}")
    expect(card).to_contain_text("requested by admin, approved by admin")
    card.get_by_role("link", name="decision").click()
    expect(frame.get_by_role("heading", name="Rule by rule")).to_be_visible()
    rules = frame.get_by_role("region", name="The gate, rule by rule").locator("tbody tr")
    gate = person.running.services.settings.gate
    shown = rules.locator("th").all_inner_texts()
    assert {name.replace("_", " ") for name in gate.rules} <= set(shown)
    assert set(rules.locator("td:nth-child(2)").all_inner_texts()) == {"passed"}
    expect(frame.locator("#view")).to_contain_text(FIRST)
    expect(frame.locator("#view")).to_contain_text(re.compile(rf"approved by admin at .*: {GOOD}"))


def test_the_address_outside_names_what_is_shown_inside(person: Person, first: Run) -> None:
    frame = person.open_page(f"#{MODEL}/decisions")
    frame.get_by_role("region", name="Decisions").locator("tbody a").first.click()
    frame.get_by_role("heading", name="Rule by rule").wait_for()
    shown = urlsplit(person.page.url)
    assert re.fullmatch(rf"{MODEL}/decisions/[0-9a-f]{{32}}", shown.fragment)
    person.page.reload()
    expect(person.settled().get_by_role("heading", name="Rule by rule")).to_be_visible()


def test_a_run_has_a_note_in_words(person: Person, first: Run) -> None:
    person.page.goto(f"{person.running.url}/dags/{dag('retrain')}/runs/{quote(first.run_id)}")
    note = person.page.get_by_text(re.compile(rf"Promoted version {champion(person.running)}: challenger \d\.\d+ vs"))
    expect(note.first).to_be_visible()
    person.shoot("run")


# --- days, and a second champion ------------------------------------------------------------------------


def links_of(person: Person, run: Run) -> Iterator[tuple[str, str, str]]:
    """Give the links of a run's tasks, as Airflow's own pages ask for them: task, name, address."""
    tasks = f"{person.running.url}/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances"
    for instance in person.page.request.get(tasks).json()["task_instances"]:
        if instance["state"] != "success":
            continue
        task_id, index = instance["task_id"], instance["map_index"]
        answer = person.page.request.get(f"{tasks}/{task_id}/links?map_index={index}")
        assert answer.ok, answer.text()
        for name, address in answer.json()["extra_links"].items():
            if address:
                yield task_id, name, address


def test_each_link_of_each_task_leads_to_what_it_names(person: Person, second: Run) -> None:
    newest = {run.verb: run for run in reversed(person.running.api.runs(limit=100)) if run.state == "success"}
    followed: dict[str, set[str]] = {}
    for verb in ("ingest", "score", "monitor", "retrain"):
        for task_id, name, address in links_of(person, newest[verb]):
            follow(person, f"{verb}.{task_id}: {name}", address)
            followed.setdefault(verb, set()).add(name)
    assert followed["retrain"] >= {
        "Window", "Validation report", "Split", "MLflow run", "MLflow model version", "Model in Evergreen",
        "Package check", "Verdict", "Model card", "Decision",
    }  # fmt: skip
    assert followed["ingest"] >= {"Data in Evergreen", "Validation report"}
    assert followed["score"] >= {"Predictions", "Validation report", "Model in Evergreen"}
    assert followed["monitor"] >= {"Evidently report", "Live performance", "Decision"}


def follow(person: Person, what: str, address: str) -> None:
    """Follow one link: the page, a file of it, or MLflow."""
    parts, running = urlsplit(address), person.running
    if address.startswith(f"{running.stack.mlflow_url}/#/"):
        login = running.stack.mlflow_login()
        basic = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        login_header = {"Authorization": f"Basic {basic}"}
        assert person.page.request.get(address).status == 401, what
        assert person.page.request.get(address, headers=login_header).ok, what
        route, _, view = parts.fragment.partition("?")
        assert view == "workflowType=machine_learning", what
        kind, *names = route.strip("/").split("/")
        ask = {
            "experiments": f"runs/get?run_id={names[-1]}",
            "models": f"model-versions/get?name={names[0]}&version={names[-1]}",
        }[kind]
        answer = person.page.request.get(f"{running.stack.mlflow_url}/api/2.0/mlflow/{ask}", headers=login_header)
        assert answer.ok, f"{what} {address}: {answer.text()}"
        return
    assert address.startswith(running.url), f"{what} leads elsewhere: {address}"
    if "/plugin/" in parts.path:
        frame = person.open_page(f"#{parts.fragment}")
        model, part, *names = parts.fragment.split("/")
        assert model == MODEL, what
        named = {"decisions": "Decision", "versions": f"Version {names[-1] if names else ''}", "data": "Data"}
        expect(frame.get_by_role("heading", name=named[part], exact=True)).to_be_visible()
        expect(frame.locator(".problem")).to_have_count(0)
        return
    answer = person.page.request.get(address)
    assert answer.ok, f"{what} {address}: {answer.status} {answer.text()[:300]}"
    kept = answer.body()
    signs = {".html": b"<html", ".json": b"{", ".parquet": b"PAR1", ".csv": b","}
    assert signs[Path(parts.path).suffix] in kept.lower() or kept.startswith(signs[Path(parts.path).suffix]), what


def test_a_tasks_own_page_shows_its_links_as_buttons(person: Person, second: Run) -> None:
    for task_id, names in {"promote": ["Decision", "MLflow model version"], "validate": ["Validation report"]}.items():
        person.page.goto(
            f"{person.running.url}/dags/{dag('retrain')}/runs/{quote(second.run_id)}/tasks/{task_id}/details"
        )  # fmt: skip
        for name in names:
            expect(person.page.get_by_role("link", name=name, exact=True)).to_be_visible()
    person.page.goto(f"{person.running.url}/dags/{dag('retrain')}/runs/{quote(second.run_id)}/tasks/promote/details")
    person.page.get_by_role("link", name="Decision", exact=True).wait_for()
    person.shoot("links")
    person.page.get_by_role("link", name="Decision", exact=True).click()
    expect(person.settled().get_by_role("heading", name="Rule by rule")).to_be_visible()


def test_a_report_that_is_opened_shows_itself(person: Person, second: Run) -> None:
    """Evidently's report draws by scripts, which the policy lets run as nobody's."""
    monitored = next(run for run in person.running.api.runs(dag("monitor")) if run.state == "success")
    reports = {name: address for _, name, address in links_of(person, monitored)}
    report = person.page.context.new_page()
    report.goto(reports["Evidently report"])
    expect(report.get_by_text("drift", exact=False).first).to_be_visible()
    report.wait_for_timeout(1500)
    person.shoot("evidently", report)
    report.close()


def test_the_second_champion_took_the_place_of_the_first(person: Person, first: Run, second: Run) -> None:
    assert (first.state, second.state) == ("success", "success")
    promotions = person.running.services.tracking.decisions(kinds=("promotion",))
    assert [entry.payload["requested_because"] for entry in promotions] == [[FIRST], [SECOND]]
    frame = person.open_page(f"#{MODEL}/decisions")
    table = frame.get_by_role("region", name="Decisions")
    expect(table.locator("tbody tr")).to_have_count(len(promotions))
    expect(table.locator("tbody tr").first).to_contain_text("promotion")
    former, present = (entry.payload["version"] for entry in promotions)
    frame = person.open_page(f"#{MODEL}/versions/{present}/{former}")
    expect(frame.locator("#view h2")).to_have_text(f"Version {present} compared with version {former}")
    person.shoot("compare")


# --- an alarm, and the way back --------------------------------------------------------------------------


def test_an_alarm_is_told_with_what_moved(person: Person, alarmed: date) -> None:
    frame = person.open_page()
    expect(frame.locator("#now .state")).to_contain_text("Alarm")
    card = frame.locator(".card", has=frame.get_by_role("heading", name="Monitoring"))
    expect(card).to_contain_text("dest")
    person.shoot("alarm")
    frame = person.open_page(f"#{MODEL}/drift")
    expect(frame.locator("#drift .day-summary")).to_contain_text(str(alarmed))


def test_the_alarms_mail_reads_as_it_was_meant(browser: Browser, person: Person, alarmed: date) -> None:
    mail = mails(person.running.stack.project, "Drift since")[-1]  # an alarm that was open has one thread
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for part in mail.walk():
        if name := str(part["Content-ID"] or "").strip("<>"):
            picture = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            html = html.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{picture}")
    context = browser.new_context(viewport={"width": 800, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.set_content(html)
    expect(page.get_by_role("link", name="This Airflow run")).to_have_attribute(
        "href", re.compile(re.escape(f"/dags/{dag('monitor')}/runs/"))
    )
    expect(page.locator("body")).to_contain_text("dest")
    person.shoot("mail", page)
    context.close()


def test_a_days_validation_report_says_what_was_held_against_what(person: Person, alarmed: date) -> None:
    frame = person.open_page(f"#{MODEL}/data")
    href = frame.get_by_role("region", name="Days").get_by_role("link", name="inputs").first.evaluate("a => a.href")
    report = person.page.context.new_page()
    report.goto(str(href))
    expect(report.locator("body")).to_contain_text("expect")
    person.shoot("validation", report)
    report.close()


@pytest.mark.parametrize("part", ["now", "timeline", "drift", "decisions", "data", "versions"])
def test_each_part_opens_cold_and_has_something_to_show(person: Person, alarmed: date, part: str) -> None:
    frame = person.open_page(f"#{MODEL}/{part}")
    expect(frame.locator(f"#sections a[href='#{MODEL}/{part}']")).to_have_attribute("aria-current", "page")
    place = frame.locator(f"#{part}" if part in {"now", "timeline", "drift"} else "#view")
    expect(place.locator(".problem[role=alert], .hint")).to_have_count(0)
    expect(
        place.locator({"now": ".card", "timeline": ".chart svg", "drift": "canvas"}.get(part, "td")).first
    ).to_be_visible()
    person.shoot(part)


def test_a_note_is_written_beside_the_alarm(noted: Locator, alarmed: date) -> None:
    expect(noted).to_contain_text(re.compile(rf"Acknowledged by admin on \S+: {KNOWN}"))


def test_the_way_back_is_one_form_and_the_page_tells_it(person: Person, second: Run, rolled_back: Run) -> None:
    assert rolled_back.state == "success"
    promotions = person.running.services.tracking.decisions(kinds=("promotion",))
    former, present = (entry.payload["version"] for entry in promotions)
    assert champion(person.running) == former
    frame = person.open_page()
    card = frame.locator(".card", has=frame.get_by_role("heading", name="Champion"))
    expect(card).to_contain_text(f"version {former}")
    expect(card).to_contain_text("requested by admin")
    expect(card).to_contain_text("serves from")
    expect(card).not_to_contain_text("shadowed by")
    frame = person.open_page(f"#{MODEL}/decisions")
    newest = frame.get_by_role("region", name="Decisions").locator("tbody tr").first
    expect(newest).to_contain_text("rollback")
    newest.locator("a").first.click()
    expect(frame.locator("#view")).to_contain_text(BACK)
    person.shoot("rollback")
    frame = person.open_page(f"#{MODEL}/versions")
    gone = frame.locator("tbody tr", has=frame.get_by_role("link", name=f"version {present}", exact=True))
    expect(gone).to_contain_text("rolled back")


def test_days_are_excluded_by_the_page(person: Person, rolled_back: Run) -> None:
    person.open_page(f"#{MODEL}/data")
    person.frame.get_by_role("button", name="Exclude days…").click()
    dialog = person.frame.get_by_role("dialog")
    day = dialog.get_by_label("First day").input_value()
    dialog.get_by_label("Why").fill("a strike")
    person.shoot("exclude-form")
    person.press(dialog, "Exclude")
    expect(dialog.get_by_role("status")).to_contain_text(f"Done. {day} is not learned from", timeout=240_000)
    dialog.get_by_role("button", name="Close").last.click()
    expect(person.frame.locator("#view")).to_contain_text(f"{day}, by admin: a strike")
    assert [str(one) for one in person.running.services.registry.excluded_days()] == [day]


# --- who may do what -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def viewer(running: Running, rolled_back: Run) -> str:
    """Give the token of somebody who may only look, made as Airflow's API server makes them."""
    made = (
        "from airflow.api_fastapi.app import create_auth_manager; "
        "from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser; "
        "print(create_auth_manager().generate_jwt(SimpleAuthManagerUser(username='vera', role='viewer')))"
    )
    running.command("viewer", "-c", made)
    return (running.stack.logs / "viewer.out").read_text(encoding="utf-8").split()[-1]


def test_a_viewer_sees_everything_and_is_offered_nothing(browser: Browser, running: Running, viewer: str) -> None:
    context = browser.new_context(viewport=LAPTOP)
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": "_token", "value": viewer, "url": running.url}])
    page = context.new_page()
    for part in ("now", "data", "decisions"):
        with page.expect_response(re.compile("/actions$")) as answered:
            go(page, running, part)
        assert set(answered.value.json()["may"].values()) == {False}
        expect(page.locator("#actions :visible")).to_have_count(0)
        expect(page.get_by_role("button", name="…")).to_have_count(0)
    context.close()


@pytest.mark.parametrize("verb", ["retrain", "rollback", "note", "exclude", "digest", "ingest"])
def test_airflow_refuses_what_a_viewer_is_not_offered(running: Running, viewer: str, verb: str) -> None:
    runs = f"{running.url}/api/v2/dags/{dag(verb)}/dagRuns"
    headers, asked = {"Authorization": f"Bearer {viewer}"}, {"logical_date": None, "conf": {"reason": "let me"}}
    assert requests.get(runs, headers=headers, timeout=60).status_code == 200
    assert requests.post(runs, headers=headers, json=asked, timeout=60).status_code == 403
    clear = f"{running.url}/api/v2/dags/{dag(verb)}/clearTaskInstances"
    assert requests.post(clear, headers=headers, json={"dry_run": False}, timeout=60).status_code == 403


# --- who may see it --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routes(running: Running, rolled_back: Run) -> list[str]:
    """List the routes of the application itself, each with names that lead to something."""
    asked = "from evergreen import page; import json; print(json.dumps([r.path for r in page.build().routes]))"
    running.command("routes", "-c", f"import sys; sys.path.insert(0, 'plugins'); {asked}")
    listed = json.loads((running.stack.logs / "routes.out").read_text(encoding="utf-8").splitlines()[-1])
    rows = table_bytes(pd.DataFrame({"carrier": ["AA"], "reasons": ["unknown"]}))
    running.services.storage.put_bytes(f"quarantine/inputs/day={OLD_DAY}/rows.parquet", rows)
    decisions = running.services.tracking.decisions()
    version = champion(running)
    names = {
        "/static/{name:path}": "/static/page.css",
        "/files/{model}/{name:path}": f"/files/{MODEL}/monitor/day={running.newest_day}/decision.json",
        "/api/models/{model}/decisions/{decision_id}": f"{OF_MODEL}/decisions/{decisions[-1].decision_id}",
        "/api/models/{model}/versions/{version}": f"{OF_MODEL}/versions/{version}",
        "/api/models/{model}/versions/{version}/charts": f"{OF_MODEL}/versions/{version}/charts",
        "/api/models/{model}/drift/column": f"{OF_MODEL}/drift/column?day={running.newest_day}&column=carrier",
        "/api/models/{model}/data/quarantine": f"{OF_MODEL}/data/quarantine?asset=inputs&day={OLD_DAY}",
        "/api/models/{model}/data/quarantine.csv": (
            f"{OF_MODEL}/data/quarantine.csv?asset=inputs&day={OLD_DAY}&what=rows"
        ),
        "/api/models/{model}/compare": f"{OF_MODEL}/compare?a={version}&b={version}",
    }
    found = [names.get(path, path.replace("{model}", MODEL)) for path in listed]
    assert [path for path in found if "{" in path] == [], "a new route: give it a name that leads to something"
    return found


def raw(running: Running, path: str, token: str | None = None) -> tuple[int, bytes]:
    """Ask for a path as it is spelled: a browser, and most libraries, would tidy it up first."""
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def token(running: Running) -> str:
    running.api._log_in()
    return str(running.api._session.headers["Authorization"]).removeprefix("Bearer ")


def test_no_route_gives_a_stranger_anything(running: Running, routes: list[str], token: str) -> None:
    assert {"/", "/api/names", "/api/models", f"{OF_MODEL}/now", "/static/page.css"} <= set(routes)
    answers = dict.fromkeys(routes, 200) | {f"{OF_MODEL}/first-look": 404}  # these data are not the demo's
    assert {path: raw(running, f"/evergreen{path}", token)[0] for path in routes} == answers
    strangers = {path: raw(running, f"/evergreen{path}") for path in routes}
    assert {path: status for path, (status, _) in strangers.items()} == dict.fromkeys(routes, 401)
    assert all(len(body) < 200 and b"version" not in body for _, body in strangers.values())


def test_long_answers_travel_compressed(running: Running, rolled_back: Run, token: str) -> None:
    asked = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    answer = requests.get(f"{running.url}/evergreen{OF_MODEL}/drift?days=90", headers=asked, timeout=60)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["columns"]


@pytest.mark.parametrize(
    "root",
    ["/evergreen/files/", f"/evergreen/files/{MODEL}/", f"/evergreen/files/{MODEL}/monitor/", "/evergreen/static/"],
)
@pytest.mark.parametrize("climb", ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e%252f"])
def test_no_path_climbs_out(running: Running, rolled_back: Run, token: str, root: str, climb: str) -> None:
    for steps in (1, 2, 3, 6):
        for name in ("airflow/passwords.json", "airflow/keys.json", "params.yaml", "page.py"):
            status, body = raw(running, f"{root}{climb * steps}{name}", token)
            assert status in {400, 404}, (root, climb, steps, name)
            assert running.stack.password().encode() not in body
            assert b"fernet" not in body


# --- for everybody ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(running: Running, rolled_back: Run) -> list[str]:
    """Give every part of the page."""
    decisions, version = running.services.tracking.decisions(), champion(running)
    of_gate = next(entry for entry in decisions if entry.payload.get("verdict"))
    chosen = [f"decisions/{of_gate.decision_id}", f"versions/{version}", f"versions/{version}/1"]
    return ["now", "decisions", "data", "versions", *chosen]


def bare(browser: Browser, person: Person, theme: str, viewport: dict[str, int], **options: Any) -> BrowserContext:
    """Open the page by itself, without Airflow around it, as the same person."""
    state = person.page.context.storage_state()
    context = browser.new_context(storage_state=state, viewport=viewport, color_scheme=theme, **options)  # type: ignore[arg-type]
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    context.set_default_timeout(PATIENCE)
    return context


def go(page: Page, running: Running, part: str) -> None:
    page.goto("about:blank")
    page.goto(f"{running.url}/evergreen/#{MODEL}/{part}")
    expect(page.locator("main")).to_be_visible()
    expect(page.locator("main [aria-busy]:visible, main .tall:visible")).to_have_count(0)
    for fold in page.locator("details:visible").all():
        fold.evaluate("fold => { fold.open = true }")
    page.wait_for_timeout(150)


def serious(page: Page) -> list[str]:
    """Give what axe finds serious or worse, each with where it is."""
    with short_tables(page):
        violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:4]}"
        for one in violations
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_anybody(
    browser: Browser, person: Person, parts: list[str], theme: str, viewport: dict[str, int]
) -> None:
    with bare(browser, person, theme, viewport, bypass_csp=True) as context:
        page = context.new_page()
        found: dict[str, list[str]] = {}
        go(page, person.running, "now")
        page.evaluate("document.body.append(document.createElement('img'))")
        assert serious(page), "the check finds what is wrong: a picture without words"
        for part in parts:
            go(page, person.running, part)
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{part} is too wide"
            violations = serious(page)
            if violations:
                found[part] = violations
            if part == "now":
                name = "phone" if viewport is PHONE else "page"
                page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = false })")
                page.evaluate("scrollTo(0, 0)")
                person.shoot(f"{name}-{theme}", page)
        assert found == {}


@pytest.mark.parametrize("part", ["now", "decisions", "data", "versions"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Browser, person: Person, parts: list[str], part: str
) -> None:
    number = """() => {
        const all = document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]');
        const shown = [...all].filter((one) => one.checkVisibility());
        shown.forEach((one, at) => { one.dataset.number = at; });
        return shown.length;
    }"""
    where = """() => {
        const one = document.activeElement, look = getComputedStyle(one);
        const seen = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) >= 2;
        return { number: one.dataset?.number ?? null, seen };
    }"""
    with bare(browser, person, "light", LAPTOP, bypass_csp=True) as context:
        page = context.new_page()
        go(page, person.running, part)
        expected = page.evaluate(number)
        reached: dict[str, bool] = {}
        for _ in range(2 * expected + 10):  # a browser also stops at what scrolls
            page.keyboard.press("Tab")
            at = page.evaluate(where)
            if at["number"] is not None:
                reached[at["number"]] = at["seen"]
            if len(reached) == expected:
                break
        assert sorted(map(int, reached)) == list(range(expected))
        assert [number for number, seen in reached.items() if not seen] == []


def test_the_keyboard_reads_a_chart_day_by_day(browser: Browser, person: Person, rolled_back: Run) -> None:
    with bare(browser, person, "light", LAPTOP) as context:
        page = context.new_page()
        go(page, person.running, "now")
        newest = person.running.newest_day
        for chart in ("timeline", "drift"):
            slider = page.locator(f"#{chart} input[type=range]")
            slider.focus()
            assert str(newest) in str(slider.get_attribute("aria-valuetext"))
            slider.press("ArrowLeft")
            expect(page.locator(f"#{chart} .day-summary strong")).to_contain_text(str(newest - timedelta(days=1)))


# --- behind a proxy ---------------------------------------------------------------------------------------


def test_it_works_below_a_prefix(browser: Browser, person: Person, rolled_back: Run) -> None:
    """A second API server that knows its public address, behind a real reverse proxy."""
    running = person.running
    with proxied(running, "/team/airflow") as url:
        context = browser.new_context(viewport=LAPTOP)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url) if not request.url.startswith(url) else None)
        page.goto(f"{url}/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", running.stack.password())
        page.click("button[type=submit]")
        page.get_by_role("link", name="Evergreen").click()
        frame = page.frame_locator("iframe[title=Evergreen]")
        # A server that has just started imports MLflow and DVC for its first answer.
        expect(frame.locator("#now .card").first).to_be_visible(timeout=3 * PATIENCE)
        expect(frame.locator("#runs")).not_to_contain_text("Asking Airflow", timeout=3 * PATIENCE)
        expect(frame.locator("#runs")).not_to_contain_text("Airflow did not say")
        frame.get_by_role("link", name="Evidently report").first.wait_for()
        report = frame.get_by_role("link", name="Evidently report").first.evaluate("link => link.href")
        assert page.request.get(report).ok
        frame.get_by_role("button", name="Retrain").click()
        frame.get_by_role("link", name="Airflow's own form").click()
        page.wait_for_url(f"{url}/dags/{dag('retrain')}")
        page.goto(f"{url}/plugin/evergreen{urlsplit(url).path}/evergreen/#{MODEL}/decisions")  # as the tasks' links are
        expect(frame.get_by_role("region", name="Decisions").locator("tbody tr").first).to_be_visible()
        assert [one for one in outside if not one.startswith(("data:", "blob:", "about:"))] == []
        context.close()
