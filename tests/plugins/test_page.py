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
from evergreen.page import answers, charting

from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.settings import PROJECT_ROOT

FACTS = json.loads((Path(__file__).parent / "fixtures" / "overview.json").read_text(encoding="utf-8"))
OF_MODEL = "/api/models/flight-delay"
FILES = "/files/flight-delay"
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


@pytest.fixture
def token(app: Any) -> str:
    """Log a user in as Airflow's simple auth manager does."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return create_auth_manager().generate_jwt(SimpleAuthManagerUser(username="alice", role="viewer"))


@pytest.fixture
def get(app: Any, token: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Ask as a logged-in user, with the facts of the fixture behind the page."""
    from ml.views import page as overview

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
        return get(f"{OF_MODEL}/versions")

    return ask


def addresses(app: Any) -> Iterator[str]:
    """Give an address of each route that the application has."""
    for route in app.routes:
        names = {"version": "1", "model": "flight-delay"}
        yield re.sub(r"{(\w+)(:path)?}", lambda name, names=names: names.get(name[1], "page.css"), route.path)


def test_no_route_answers_somebody_who_is_not_logged_in(app: Any) -> None:
    asked = list(addresses(app))
    assert {"/", "/static/page.css", "/files/flight-delay/page.css", "/api/models", f"{OF_MODEL}/now"} <= set(asked)
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


@pytest.mark.parametrize(
    "path",
    ["/", "/api/models/x/now", "/api/models/flight-delay/versions/x", "/nowhere", "/files/../x", "/static/nothing.js"],
)
def test_every_answer_lets_in_no_foreign_code_and_no_foreign_frame(get: Get, app: Any, path: str) -> None:
    for answer in (get(path), getter(app)(path)):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["frame-ancestors"] == "'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"decision", "model", "compare"}))
def test_the_facts_come_as_they_were_gathered(get: Get, name: str) -> None:
    answer = get(f"{OF_MODEL}/{'versions' if name == 'models' else name}")
    assert answer.json() == FACTS[name]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "name"), [("decisions/x", "decision"), ("versions/3", "model"), ("compare?a=3&b=2", "compare")]
)
def test_one_thing_has_its_own_address(get: Get, path: str, name: str) -> None:
    assert get(f"{OF_MODEL}/{path}").json() == FACTS[name]


@pytest.mark.parametrize(("asked", "given"), [(-5, 1), (30, 30), (10**9, page.MOST_DAYS)])
def test_as_many_days_are_read_as_are_sensible(
    get: Get, monkeypatch: pytest.MonkeyPatch, asked: int, given: int
) -> None:
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(timeline=lambda _, *, days: {"days": days}))
    assert get(f"{OF_MODEL}/timeline?days={asked}").json() == {"days": given}


@pytest.mark.parametrize(
    ("err", "status"),
    [(MissingArtifact("no"), 404), (Unavailable("down"), 503), (SettingsError("bad"), 500), (EvergreenError("x"), 400)],
)
def test_a_failure_says_its_own_sentence(failing: Any, err: Exception, status: int) -> None:
    answer = failing(err)
    assert (answer.status_code, answer.json()) == (status, {"message": str(err)})


def test_a_failure_of_another_kind_gives_nothing_away_but_is_logged(
    failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = failing(RuntimeError("password=hunter2"))
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "log" in answer.json()["message"]
    assert "hunter2" in caplog.text


def test_a_number_that_json_does_not_know_is_a_failure_and_no_page_of_the_server(
    get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(models=lambda _: {"x": float("nan")}))
    answer = get(f"{OF_MODEL}/versions")
    assert answer.status_code == 500
    assert "message" in answer.json()


def test_who_keeps_silent_is_not_waited_for_for_ever(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(models=lambda *_, **__: over.wait()))
    try:
        answer = get(f"{OF_MODEL}/versions")
    finally:
        over.set()
    assert answer.status_code == 503
    assert "reload" in answer.json()["message"]


@pytest.fixture
def with_wrong_settings(get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Configure two models beside the project's own: ``churn``, and ``fraud``, whose settings are wrong."""
    params = (PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8")
    for name, changed in {"churn": params, "fraud": params.replace("due_hour:", "due_hours:")}.items():
        (tmp_path / "models" / name).mkdir(parents=True)
        text = changed.replace("name: flight-delay", f"name: {name}")
        (tmp_path / "models" / name / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    return get


def test_the_models_are_named_the_one_at_the_top_first(with_wrong_settings: Get) -> None:
    assert with_wrong_settings("/api/names").json() == {"models": ["flight-delay", "churn", "fraud"]}


def test_the_list_of_models_comes_as_it_was_gathered(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"models": [{"name": "churn", "state": "calm"}], "reading": False}
    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(list_models=lambda *, today: listed))
    assert get("/api/models").json() == listed


@pytest.mark.parametrize("path", [*(path for path in page.ROUTES if "{model}" in path)])
def test_a_model_that_nobody_configured_is_not_there(with_wrong_settings: Get, path: str) -> None:
    named = {"{model}": "nobody", "{version}": "1", "{decision_id}": "x", "{name:path}": "monitor/x.json"}
    for placeholder, value in named.items():
        path = path.replace(placeholder, value)
    answer = with_wrong_settings(f"{path}?a=1&b=2&day=2013-04-01&column=temp&asset=inputs&what=rows")
    assert answer.status_code == 404
    message = answer.json()["message"]
    assert "no model 'nobody'; there are: flight-delay, churn, fraud" in message
    assert "add the folder models/nobody" in message


def test_a_model_with_wrong_settings_says_so_and_no_other_does(with_wrong_settings: Get) -> None:
    answer = with_wrong_settings("/api/models/fraud/now")
    assert answer.status_code == 500
    assert "land.due_hours: unknown key; did you mean 'due_hour'?" in answer.json()["message"]
    assert "models/fraud/params.yaml" in answer.json()["message"]
    for model in ("flight-delay", "churn"):
        assert with_wrong_settings(f"/api/models/{model}/now").json() == FACTS["now"]


def test_a_model_is_asked_about_with_its_own_services(
    with_wrong_settings: Get, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    told = SimpleNamespace(data=lambda services: {"home": str(services.environment.home)})
    monkeypatch.setattr(page, "_overview", lambda: told)
    assert with_wrong_settings("/api/models/churn/data").json() == {"home": str(home / "models" / "churn")}
    assert with_wrong_settings("/api/models/flight-delay/data").json() == {"home": str(home)}


def test_a_silent_model_uses_up_no_other_models_threads(
    with_wrong_settings: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def data(services: Any) -> dict[str, str]:
        if services.settings.task.name == "churn":
            over.wait(60)
        return {"name": services.settings.task.name}

    monkeypatch.setattr(page, "_overview", lambda: SimpleNamespace(data=data))
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.05)
    try:
        silent = {with_wrong_settings("/api/models/churn/data").status_code for _ in range(answers.READERS + 2)}
        monkeypatch.setattr(answers, "ANSWER_SECONDS", 30)
        answer = with_wrong_settings("/api/models/flight-delay/data")
    finally:
        over.set()
    assert silent == {503}
    assert answer.json() == {"name": "flight-delay"}


def test_places_name_the_model_as_mlflow_does(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evergreen.link_builder.training_experiment", lambda services: "7")
    monkeypatch.setenv("EVERGREEN_ENV", "")
    places = get(f"{OF_MODEL}/places").json()
    assert places == {"mlflow": "http://mlflow.test:5000", "experiment": "7", "registered_model": "flight-delay"}


def test_a_report_runs_as_nobody(get: Get, services: Any) -> None:
    html = "<script>parent.document</script>"
    services.storage_folder("monitor/day=2013-06-01/version=1").write_text("drift.html", html)
    answer = get(f"{FILES}/monitor/day%3D2013-06-01/version%3D1/drift.html")
    policy = answer.headers["content-security-policy"]
    assert (answer.status_code, answer.text) == (200, html)
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "default-src 'none'" in policy


def test_a_table_is_handed_out_to_be_kept_not_shown(get: Get, services: Any) -> None:
    services.storage.put_bytes("predictions/day=2013-06-01/a b.parquet", b"PAR1")
    answer = get(f"{FILES}/predictions/day%3D2013-06-01/a%20b.parquet")
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
    answer = get(f"{FILES}/{name}")
    assert answer.status_code in {400, 404}
    assert "message" in answer.json()


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


def test_the_charting_library_is_the_installed_one_and_may_be_kept_until_it_changes(get: Get) -> None:
    edition = re.findall(r"static/([0-9a-f]+)/page.js", get("/").text)[0]
    answer = get(f"/static/{edition}/{charting.NAME}")
    assert answer.status_code == 200
    assert "plotly.js v" in answer.text[:100]
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert get(f"/static/{charting.NAME}").status_code == 404


def test_without_the_charting_library_the_page_says_what_is_missing(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charting, "compressed", lambda: None)
    answer = get(f"/static/x/{charting.NAME}")
    assert (answer.status_code, "plotly" in answer.text) == (404, True)


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
