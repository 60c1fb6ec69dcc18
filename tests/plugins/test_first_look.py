"""The demo's first look: who may run Ingest again breaks a day and undoes it; nobody else, and no other data."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import httpx
import pytest

from ml.adapters import layout
from ml.adapters.sources.demo import DemoSource
from ml.settings import PROJECT_ROOT
from ml.views.page import demo
from ml.views.page.sources import DataInventory
from ml.wiring import open_services

DAY = date(2026, 11, 29)
PATH = "/api/models/flight-delay/first-look"
Send = Callable[..., httpx.Response]
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")  # Airflow's, on import


@pytest.fixture
def send(send_as: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch) -> Send:
    """Ask the page as somebody of a role, where the newest day is `DAY`."""
    monkeypatch.setattr(demo, "held", lambda _: DataInventory({DAY: None}, {}, ()))  # type: ignore[dict-item]

    def sent(method: str, role: str, content: str = "", kind: str = "application/json") -> httpx.Response:
        return send_as(role, method, PATH, content=content, headers={"content-type": kind})

    return sent


def act(action: str) -> str:
    return json.dumps({"action": action})


def destinations() -> set[str]:
    return set(open_services().source.inputs(DAY)["dest"])


def test_a_day_is_broken_by_a_click_and_true_again_by_another(send: Send) -> None:
    source, true = open_services().source, set(DemoSource().inputs(DAY)["dest"])
    assert destinations() == true
    looked = send("GET", "user").json()
    assert (looked["day"], looked["fault"], looked["may"]) == (str(DAY), None, True)

    broken = send("POST", "user", act("break")).json()
    assert (broken["fault"]["day"], broken["fault"]["set_by"]) == (str(DAY), "a user")
    assert destinations() == {code[::-1] for code in true}
    assert source.stat("inputs", DAY).endswith("broken")  # type: ignore[attr-defined]
    assert source.labels(DAY).equals(DemoSource().labels(DAY))
    before = date(2026, 11, 28)
    assert source.inputs(before).equals(DemoSource().inputs(before)), "the fault is of one day"
    assert send("POST", "user", act("break")).json()["fault"] == broken["fault"], "twice is as once"

    assert send("POST", "user", act("undo")).json()["fault"]["undone_at"]
    assert source.inputs(DAY).equals(DemoSource().inputs(DAY))


def test_a_viewer_looks_and_changes_nothing(send: Send) -> None:
    assert send("GET", "viewer").json()["may"] is False
    answer = send("POST", "viewer", act("break"))
    assert (answer.status_code, "ask somebody who may" in answer.json()["message"]) == (403, True)
    assert not open_services().storage_folder(layout.ingest.DEMO).has(layout.ingest.DEMO_FAULT)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (act("break"), "text/plain", 415),
        ("action=break", "application/x-www-form-urlencoded", 415),
        (act("drop"), "application/json", 400),
        ("[]", "application/json", 400),
        ("{", "application/json", 400),
        (act("undo"), "application/json", 404),
    ],
)
def test_what_no_button_sends_changes_nothing(send: Send, content: str, kind: str, status: int) -> None:
    assert send("POST", "user", content, kind).status_code == status
    assert not open_services().storage_folder(layout.ingest.DEMO).has(layout.ingest.DEMO_FAULT)


def test_other_data_have_no_first_look(send: Send, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = (PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8")
    (home / "params.yaml").write_text(params.replace("replay: true", "replay: false", 1), encoding="utf-8")
    monkeypatch.setenv("EVERGREEN_PARAMS", str(home / "params.yaml"))
    assert send("GET", "user").status_code == 404
    assert send("POST", "user", act("break")).status_code == 404
    assert isinstance(open_services().source, DemoSource)
