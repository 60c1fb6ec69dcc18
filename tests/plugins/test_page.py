"""The page: nobody without a login sees any of it, what data say stays text, and what fails is named."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from evergreen import page

from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.settings import PROJECT_ROOT

FACTS = json.loads((Path(__file__).parent / "fixtures" / "overview.json").read_text(encoding="utf-8"))
Get = Callable[..., httpx.Response]
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")  # Airflow's, on import


def getter(app: Any, **options: Any) -> Get:
    """Give a function that asks an application for a path, as it is spelled; ``token`` is a session's cookie."""

    def get(path: str, *, token: str | None = None, headers: Mapping[str, str] = {}) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, **options)
            cookies = {"_token": token} if token else {}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://airflow.test", cookies=cookies
            ) as client:
                return await client.get(path, headers=dict(headers))

        return asyncio.run(ask())

    return get


@pytest.fixture(scope="module")
def app() -> Any:
    """Build the page, with a database behind Airflow: it looks there whether a login was revoked."""
    from airflow.utils.db import initdb

    initdb()
    return page.build()


@pytest.fixture
def token(app: Any) -> str:
    """Log a user in as Airflow's simple auth manager does."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return create_auth_manager().generate_jwt(SimpleAuthManagerUser(username="alice", role="viewer"))


@pytest.fixture
def get(app: Any, token: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Ask as a logged-in user, with the facts of the fixture behind the page."""
    from ml.steps import overview

    given = {name: (lambda *_, name=name, **__: FACTS[name]) for name in FACTS if name != "drift"}
    facts = SimpleNamespace(**given, drift_map=lambda *_, **__: FACTS["drift"], file=overview.file)
    monkeypatch.setattr(page, "_overview", lambda: facts)
    ask = getter(app)
    return lambda path: ask(path, token=token)


@pytest.fixture
def failing(get: Get, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], httpx.Response]:
    def ask(err: Exception) -> httpx.Response:
        def fail(*_: Any, **__: Any) -> None:
            raise err

        monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(models=fail))
        return get("/api/models")

    return ask


def addresses(app: Any) -> Iterator[str]:
    """Give an address of each route that the application has."""
    for route in app.routes:
        yield re.sub(r"{(\w+)(:path)?}", lambda name: "1" if name[1] == "version" else "page.css", route.path)


def test_no_route_answers_somebody_who_is_not_logged_in(app: Any) -> None:
    asked = list(addresses(app))
    assert {"/", "/static/page.css", "/files/page.css", "/api/now"} <= set(asked)
    assert {path: getter(app)(path).status_code for path in asked} == dict.fromkeys(asked, 401)


def test_a_forged_login_is_none(app: Any, token: str) -> None:
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    answers = [getter(app)(path, token=forged).status_code for path in addresses(app)]
    assert set(answers) <= {401, 403}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_pages_of_the_framework_are_off(get: Get, path: str) -> None:
    assert get(path).status_code == 404


@pytest.mark.parametrize("how", ["cookie", "bearer"])
def test_a_session_and_a_token_open_the_page(app: Any, token: str, how: str) -> None:
    shown = {"token": token} if how == "cookie" else {"headers": {"authorization": f"Bearer {token}"}}
    answer = getter(app)("/", **shown)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", ["/", "/api/now", "/api/models/x", "/nowhere", "/files/../x", "/static/nothing.js"])
def test_every_answer_lets_in_no_foreign_code_and_no_foreign_frame(get: Get, app: Any, path: str) -> None:
    for answer in (get(path), getter(app)(path)):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["frame-ancestors"] == "'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"decision", "model", "compare"}))
def test_the_facts_come_as_they_were_gathered(get: Get, name: str) -> None:
    answer = get(f"/api/{name}")
    assert answer.json() == FACTS[name]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "name"), [("decisions/x", "decision"), ("models/3", "model"), ("compare?a=3&b=2", "compare")]
)
def test_one_thing_has_its_own_address(get: Get, path: str, name: str) -> None:
    assert get(f"/api/{path}").json() == FACTS[name]


@pytest.mark.parametrize(("asked", "given"), [(-5, 1), (30, 30), (10**9, page.MOST_DAYS)])
def test_as_many_days_are_read_as_are_sensible(
    get: Get, monkeypatch: pytest.MonkeyPatch, asked: int, given: int
) -> None:
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(timeline=lambda _, *, days: {"days": days}))
    assert get(f"/api/timeline?days={asked}").json() == {"days": given}


@pytest.mark.parametrize(
    ("err", "status"),
    [(MissingArtifact("no"), 404), (Unavailable("down"), 503), (SettingsError("bad"), 500), (EvergreenError("x"), 400)],
)
def test_a_failure_says_its_own_sentence(failing: Any, err: Exception, status: int) -> None:
    answer = failing(err)
    assert (answer.status_code, answer.json()) == (status, {"said": str(err)})


def test_a_failure_of_another_kind_gives_nothing_away_but_is_logged(
    failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = failing(RuntimeError("password=hunter2"))
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "log" in answer.json()["said"]
    assert "hunter2" in caplog.text


def test_a_number_that_json_does_not_know_is_a_failure_and_no_page_of_the_server(
    get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(models=lambda _: {"x": float("nan")}))
    answer = get("/api/models")
    assert answer.status_code == 500
    assert "said" in answer.json()


def test_who_keeps_silent_is_not_waited_for_for_ever(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(page, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(models=lambda _: over.wait()))
    try:
        answer = get("/api/models")
    finally:
        over.set()
    assert answer.status_code == 503
    assert "reload" in answer.json()["said"]


def test_a_report_runs_as_nobody(get: Get, services: Any) -> None:
    html = "<script>parent.document</script>"
    services.shelf("monitor/day=2013-06-01/version=1").write_text("drift.html", html)
    answer = get("/files/monitor/day%3D2013-06-01/version%3D1/drift.html")
    policy = answer.headers["content-security-policy"]
    assert (answer.status_code, answer.text) == (200, html)
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "default-src 'none'" in policy


def test_a_table_is_handed_out_to_be_kept_not_shown(get: Get, services: Any) -> None:
    services.storage.put_bytes("predictions/day=2013-06-01/a b.parquet", b"PAR1")
    answer = get("/files/predictions/day%3D2013-06-01/a%20b.parquet")
    assert answer.headers["content-disposition"] == 'attachment; filename="a_b.parquet"'


@pytest.mark.parametrize(
    "name",
    [
        "%2e%2e/secret.json",
        "monitor/%2e%2e/%2e%2e/secret.json",
        "monitor%2f..%2f..%2fsecret.json",
        "%2Fetc/passwd.json",
        "monitor/..%5C..%5Csecret.json",
        "version=1/%2e%2e/%2e%2e/secret.json",
        "outbox/letter.json",
        "runs/x/settings.json",
        "monitor/secret",
    ],
)
def test_no_name_leads_out_of_what_is_shown(get: Get, services: Any, home: Path, name: str) -> None:
    (home / "secret.json").write_text("{}", encoding="utf-8")
    for kept in ("outbox/letter.json", "runs/x/settings.json", "monitor/secret"):
        services.storage.put_bytes(kept, b"{}")
    answer = get(f"/files/{name}")
    assert answer.status_code in {400, 404}
    assert "said" in answer.json()


@pytest.mark.parametrize("name", ["../page.py", "%2e%2e/page.py", "%2e%2e%2fpage.py", "x/page.css", ".", "nothing.js"])
def test_only_the_files_of_the_page_are_given_as_such(get: Get, name: str) -> None:
    assert get(f"/static/{name}").status_code == 404


def test_what_the_page_is_made_of_may_be_kept_until_it_changes(get: Get) -> None:
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', get("/").text)
    assert {Path(path).name for path in named} >= {"page.js", "page.css", "theme.js", "dom.js"}
    for path in named:
        answer = get(f"/{path}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_the_page_works_below_a_prefix(app: Any, token: str) -> None:
    """Behind a proxy: every address in it is relative, so that the prefix need not be known."""
    answer = getter(app, root_path="/airflow/evergreen")("/airflow/evergreen/", token=token)
    assert answer.status_code == 200
    assert not re.findall(r'(?:src|href)="(?:/|https?:)', answer.text)
    scripts = "".join(path.read_text(encoding="utf-8") for path in page.STATIC.glob("*.js"))
    assert not re.findall(r"""(?:from|fetch\(|href: )\s*["'`]/""", scripts)


def test_nothing_that_comes_from_data_can_become_html() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in page.STATIC.glob("*.js")}
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc"
    assert {name: re.findall(ways, text) for name, text in scripts.items()} == {name: [] for name in scripts}


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_inline() -> None:
    for path in page.STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?://[a-z]|@import|url\(", text), path.name
    html = (page.STATIC / "page.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", html)


def test_airflow_shows_the_page_in_its_navigation_with_an_icon(get: Get) -> None:
    view = page.VIEW
    assert len(view["name"]) <= 10
    assert view["href"] == page.PREFIX.removeprefix("/") + "/"
    for icon in ("icon", "icon_dark_mode"):
        answer = get(view[icon].removeprefix("evergreen"))
        assert answer.headers["content-type"] == "image/svg+xml"


def test_airflow_itself_loads_the_page_and_no_web_framework_with_it() -> None:
    """In a process that only imports the plugin's modules, as every task does."""
    program = "import sys; from evergreen import page; page.Page(); print({'fastapi', 'ml'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{PROJECT_ROOT}:{PROJECT_ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ended.stdout.strip() == "set()"


def test_the_page_is_built_by_the_first_who_asks(app: Any, token: str) -> None:
    lazy = page.Page()
    assert "app" not in vars(lazy)
    assert getter(lazy)("/", token=token).status_code == 200
