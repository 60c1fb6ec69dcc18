"""A newcomer's first minutes with the demo: past days, a start that is interrupted, and the first look.

The real launcher, Airflow and MLflow, and a Chromium that clicks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from ml.settings import PROJECT_ROOT
from tests.e2e.browser_stack import MODEL, chromium
from tests.e2e.chart_reading import wanted_pictures
from tests.e2e.test_loop import free_ports, mails, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
PATIENCE = 240_000
DAYS = 2


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if chromium() is None:
        pytest.skip("no Chromium here: install the Debian package chromium")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW"))}
    ports = zip(("AIRFLOW", "MLFLOW", "SMTP"), free_ports(3), strict=True)
    return {
        **kept,
        **{f"EVERGREEN_{name}_PORT": str(port) for name, port in ports},
        # A folder of its own below: mails and processes are looked for in ``var``, as in a clone.
        "EVERGREEN_HOME": str(tmp_path_factory.mktemp("first-look") / "var"),
        "EVERGREEN_DEMO_DAYS": str(DAYS),
        "EVERGREEN_SERVING": "0",
        "PYTHONPATH": str(PROJECT_ROOT),
    }


@contextmanager
def up(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the stack as `make up` does, and interrupt it at the end."""
    with log.open("wb") as out:
        launched = subprocess.Popen(
            [sys.executable, "-m", "embedded.up"], cwd=PROJECT_ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield launched
    finally:
        if launched.poll() is None:
            os.killpg(launched.pid, signal.SIGINT)
        launched.wait(90)
        sys.stdout.write(log.read_text())


def awaited(launched: subprocess.Popen[bytes], log: Path, text: str, seconds: float) -> str:
    def look() -> str | None:
        said = log.read_text()
        assert launched.poll() is None, said
        return said if text in said else None

    return wait_for(look, text, seconds)


@pytest.fixture(scope="module")
def running(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Interrupt the first start in the middle of its days; the second one goes on, and stays."""
    logs = tmp_path_factory.mktemp("up")
    with up(environ, logs / "first.log") as launched:
        awaited(launched, logs / "first.log", f"1/{DAYS}  ", 900)
    with up(environ, logs / "second.log") as launched:
        yield Path(environ["EVERGREEN_HOME"]), awaited(launched, logs / "second.log", "one whole loop in", 900)


def test_an_interrupted_start_goes_on_with_the_days_that_are_left(running: tuple[Path, str]) -> None:
    home, said = running
    assert re.search(rf"1/{DAYS}  \S+  done before\n.*{DAYS}/{DAYS}  ", said, re.DOTALL), said
    assert f"{DAYS} days up to" in said
    assert "training a first champion" not in said, "the first start has trained it"
    days = sorted(path.name.removeprefix("day=") for path in (home / "storage" / "predictions").iterdir())
    assert len(days) == DAYS + 1, "the newest day came by Airflow"
    assert [(home / "storage" / "replayed" / f"day={day}.json").exists() for day in days] == [True] * DAYS + [False]


@pytest.fixture(scope="module")
def page(running: tuple[Path, str], environ: dict[str, str]) -> Iterator[Page]:
    home, _ = running
    url = f"http://127.0.0.1:{environ['EVERGREEN_AIRFLOW_PORT']}"
    password = json.loads((home / "airflow" / "passwords.json").read_text())["admin"]
    session = requests.Session()
    session.trust_env = False
    login = {"username": "admin", "password": password}
    token = session.post(f"{url}/auth/token", json=login, timeout=60).json()["access_token"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": "_token", "value": token, "url": url}])
        context.set_default_timeout(PATIENCE)
        opened = context.new_page()
        opened.goto(f"{url}/evergreen/#{MODEL}/now")
        yield opened
        browser.close()


def test_a_newcomer_breaks_a_day_watches_the_alarm_and_undoes_it(page: Page, running: tuple[Path, str]) -> None:
    home, _ = running
    look = page.get_by_role("region", name="A first look")
    look.get_by_role("button", name="Break ").click(timeout=PATIENCE)
    expect(look).to_contain_text("Monitor found it", timeout=PATIENCE)
    fault = json.loads((home / "storage" / "demo" / "fault.json").read_text())
    day = date.fromisoformat(fault["day"])
    (mail,) = wait_for(lambda: mails(home.parent, f"Drift since {day}") or None, "the alarm's mail")
    text: Any = mail.get_body(("plain",))
    assert "dest" in text.get_content()
    picture(page, "broken")

    look.get_by_role("button", name="Undo").click()
    expect(look).to_contain_text("is as it was", timeout=PATIENCE)
    summary = json.loads((home / "storage" / "monitor" / f"day={day}" / "summary.json").read_text())
    assert "dest" not in [finding["column"] for finding in summary["findings"]]
    picture(page, "undone")
    look.get_by_role("button", name="Done: hide this").click()
    expect(look).to_have_count(0)


def test_replayed_days_and_decisions_say_so(page: Page, running: tuple[Path, str]) -> None:
    page.goto(page.url.partition("#")[0] + f"#{MODEL}/decisions")
    expect(page.locator("tbody tr", has_text="promotion").last).to_contain_text("replayed")
    page.goto(page.url.partition("#")[0] + f"#{MODEL}/timeline")
    expect(page.locator("#timeline .legend")).to_contain_text("replayed days")


def picture(page: Page, name: str) -> None:
    if folder := wanted_pictures():
        page.screenshot(path=folder / f"first-look-{name}.png", full_page=True)
