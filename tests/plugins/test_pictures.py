"""Mails as people see them: read back from a real mail server, shown by Chromium, kept in build/mails/ as pictures."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from evergreen.alerts import outbox
from evergreen.alerts.kinds import digest

from ml.wiring import Services
from tests.dags.postbox import Postbox
from tests.plugins.test_digest import BROKEN, MONDAY, TROUBLED
from tests.plugins.test_digest import CALM as CALM_WEEK
from tests.plugins.test_notifications import enqueue, held_facts, logged, rollback_facts, verdict_facts
from tests.plugins.test_watch import CALM, DAY, FAR, Story, live, moved, report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")
PICTURES = Path(__file__).resolve().parents[2] / "build" / "mails"
SCREENS = {"desktop": (900, "light"), "phone": (375, "light"), "small": (320, "light"), "dark": (375, "dark")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def shown(mail: EmailMessage) -> str:
    """Give the HTML as a mail program shows it: with its pictures."""
    html = str(mail.get_body(("html",)).get_content())  # type: ignore[union-attr]
    for part in mail.walk():
        if part.get_content_maintype() == "image":
            inline = "data:image/png;base64," + base64.b64encode(part.get_content()).decode()
            html = html.replace(f"cid:{part['Content-ID'].strip('<>')}", inline)
    return html


def growing(number: int) -> tuple[Any, ...]:
    """Give columns that move a little farther each day."""
    scores = [((c.score or 0.0) * number / 10, c.limit or 0.0) for c in FAR]
    return tuple(
        c.model_copy(update={"score": score, "drifted": score > limit})
        for c, (score, limit) in zip(FAR, scores, strict=True)
    )


def mails(story: Story, postbox: Postbox, services: Services) -> dict[str, EmailMessage]:
    for number in range(-10, 0):
        story.tell(report(number, *CALM), live(number))
    for number in range(10):
        columns = growing(number + 1)
        found = [moved(c.column) for c in columns if c.drifted and c.role == "structural"]
        story.tell(report(number, *columns), live(number), *found)
    story.tell(report(10, *FAR), live(10, 0.19, "decay"), moved("distance"), moved("dest"), decay(), action="retrain")
    story.decisions = [
        logged("retrain_request", "q", DAY + timedelta(days=10)),
        logged("hold", "h", version=4, judged_on=str(DAY + timedelta(days=10))),
    ]
    for number in (11, 12, 13):
        story.tell(report(number, *CALM), live(number))
    enqueue("rolled_back", "rolled_back/1", "rollback", "Rolled back", rollback_facts(), services)
    outbox.enqueue(digest.compose(MONDAY, [CALM_WEEK, TROUBLED, BROKEN], services), services)
    enqueue("promoted", "promoted/1", "verdict", "Promoted", verdict_facts(), services)
    enqueue("held", "held/1", "verdict", "Held", held_facts(), services)
    by_name = {"rolled-back": "Rolled back", "promoted": "Promoted", "held": "Held"}
    found = {
        name: mail
        for name, title in by_name.items()
        for mail in postbox.messages
        if mail["Subject"] == f"flight-delay: {title}"
    }
    found["digest"] = next(mail for mail in postbox.messages if "Weekly digest" in mail["Subject"])
    drift = [mail for mail in postbox.messages if "Drift" in mail["Subject"]]
    (decay_mail, *_) = [mail for mail in postbox.messages if mail["Subject"].startswith("flight-delay: Decay")]
    return found | {"alarm": drift[0], "escalated": drift[1], "resolved": drift[-1], "decay": decay_mail}


def decay() -> Any:
    from ml.records import Finding

    said = (
        "mean prediction minus observed rate is 0.19 (0.15 to 0.23) over 14 days, more than 0.10 over the promised 0.00"
    )
    return Finding(kind="decay", severity="alarm", message=said, at_once=True)


def test_mails_are_readable_on_a_desk_on_a_phone_and_in_the_dark(
    postbox: Postbox, services: Services, browser: Any
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(device_scale_factor=2)
    for name, mail in mails(Story(services), postbox, services).items():
        (PICTURES / f"{name}.eml").write_bytes(mail.as_bytes())
        (PICTURES / f"{name}.txt").write_text(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
        page.set_content(shown(mail))
        for screen, (width, scheme) in SCREENS.items():
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 300})
            page.screenshot(path=PICTURES / f"{name}-{screen}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide on a screen of {width}"
