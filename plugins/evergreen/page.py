"""The page inside Airflow: who may see it, and what each of its addresses gives.

Nothing of it is built, and no web framework imported, before it is first asked for: Airflow loads
plugins in every process, and only its API server shows pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

    from ml.wiring import Services

log = logging.getLogger(__name__)

PREFIX = "/evergreen"
VIEW = {
    "name": "Evergreen",
    "href": "evergreen/",  # relative to Airflow's own root, which a proxy may have put below a prefix
    "destination": "nav",
    "nav_top_level": True,
    "url_route": "evergreen",
    "icon": "evergreen/static/icon.svg",
    "icon_dark_mode": "evergreen/static/icon-dark.svg",
}
STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MOST_DAYS = 4000
ANSWER_SECONDS = 45
"""Longer than the clients of MLflow and storage try again: a silent server is named by them, not by us."""
READERS = 6
"""Threads that read MLflow and storage: their own, so that a dead server cannot use up Airflow's."""
SHUT = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
SHUT_IN = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report may run the scripts that it brings (Evidently's do), as nobody: no cookies, no requests, no forms."""
HEADERS = {
    "content-security-policy": (
        f"{SHUT}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Page:
    """The page as an ASGI application that is built by its first request."""

    @cached_property
    def app(self) -> FastAPI:
        """Give the application itself."""
        return build()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        await self.app(scope, receive, send)


def build() -> FastAPI:
    """Build the application: each of its routes asks for a logged-in user of Airflow, whatever its auth manager.

    FastAPI's own pages are off: they would be open to anybody.
    """
    from airflow.api_fastapi.core_api.security import requires_authenticated
    from fastapi import Depends, FastAPI

    app = FastAPI(
        title="Evergreen",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(requires_authenticated())],
    )
    for path, give in ROUTES.items():
        app.add_api_route(path, give, methods=["GET"], response_model=None)
    app.add_middleware(Guarded)
    return app


class Guarded:
    """Puts the headers of `HEADERS` on every answer that does not bring its own, errors included."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and the headers back."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                brought = {name.lower() for name, _ in message["headers"]}
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in brought)]
            await send(message)

        await self.app(scope, receive, send_guarded)


async def shell() -> Response:
    """Give the page without a fact in it: what it shows, it asks for."""
    return still("page.html")


async def static(name: str) -> Response:
    """Give one of the files that the page is made of."""
    return still(name)


async def now() -> Response:
    """Say what serves, how it does, and whether anything is wrong."""
    return await answered(lambda services: _overview().now(services, today=datetime.now(UTC)))


async def timeline(days: int = 90) -> Response:
    """Give the live metric by day, and what happened on them."""
    return await answered(lambda services: _overview().timeline(services, days=_within(days)))


async def drift(days: int = 90) -> Response:
    """Give how far each column was on each day."""
    return await answered(lambda services: _overview().drift_map(services, days=_within(days)))


async def decisions() -> Response:
    """List what was decided, newest first."""
    return await answered(lambda services: _overview().decisions(services))


async def decision(decision_id: str) -> Response:
    """Give one decision rule by rule."""
    return await answered(lambda services: _overview().decision(services, decision_id))


async def data() -> Response:
    """Give data versions, days, and what is in quarantine."""
    return await answered(lambda services: _overview().data(services))


async def models() -> Response:
    """List the model versions."""
    return await answered(lambda services: _overview().models(services))


async def model(version: int) -> Response:
    """Give one version: metrics, rulings, slices, lineage."""
    return await answered(lambda services: _overview().model(services, version))


async def compare(a: int, b: int) -> Response:
    """Put two versions side by side."""
    return await answered(lambda services: _overview().compare(services, a, b))


async def places() -> Response:
    """Say where people find what is not here; None where MLflow has no web page."""

    def found(services: Services) -> dict[str, Any]:
        from evergreen.links import mlflow_url

        return {"mlflow": mlflow_url(services) or None}

    return await answered(found)


async def file(name: str) -> Response:
    """Give a report or another artefact; what is in it cannot act as its reader."""

    def found(services: Services) -> Response:
        from fastapi import Response

        kept = _overview().file(services, name)
        headers = {"content-security-policy": SHUT_IN, "cache-control": "private, no-cache"}
        if name.endswith(".parquet"):
            plain = re.sub(r"[^\w.=-]", "_", name.rpartition("/")[2], flags=re.ASCII)
            headers["content-disposition"] = f'attachment; filename="{plain}"'
        return Response(kept.data, media_type=kept.media_type, headers=headers)

    return await answered(found)


ROUTES: dict[str, Callable[..., Awaitable[Response]]] = {
    "/": shell,
    "/static/{name:path}": static,
    "/api/now": now,
    "/api/timeline": timeline,
    "/api/drift": drift,
    "/api/decisions": decisions,
    "/api/decisions/{decision_id}": decision,
    "/api/data": data,
    "/api/models": models,
    "/api/models/{version}": model,
    "/api/compare": compare,
    "/api/places": places,
    "/files/{name:path}": file,
}


async def answered(give: Callable[[Services], Any]) -> Response:
    """Let a reader's thread find the answer, and put into words why there is none.

    A failure is an answer of its own kind, with a sentence that says what, where and the next move:
    404 for what is not there, 503 for what did not answer, 400 for what cannot be asked.
    """
    from fastapi.responses import JSONResponse

    answer = asyncio.get_running_loop().run_in_executor(_readers(), _answer, give)
    try:
        return await asyncio.wait_for(answer, ANSWER_SECONDS)
    except TimeoutError:
        said = f"MLflow or storage did not answer within {ANSWER_SECONDS} seconds: see whether they run, then reload"
        return JSONResponse({"said": said}, status_code=503)


def _answer(give: Callable[[Services], Any]) -> Response:
    from fastapi import Response
    from fastapi.responses import JSONResponse

    from ml.errors import EvergreenError
    from ml.wiring import open_services

    try:
        facts = give(open_services())
        return facts if isinstance(facts, Response) else JSONResponse(facts)
    except EvergreenError as err:
        return JSONResponse({"said": str(err)}, status_code=_status(err))
    except Exception:
        log.exception("the page could not be answered")
        said = "This could not be read for a reason that nobody foresaw: the log of Airflow's API server has it."
        return JSONResponse({"said": said}, status_code=500)


def _status(err: Exception) -> int:
    from ml.errors import MissingArtifact, SettingsError, Unavailable

    kinds = {MissingArtifact: 404, Unavailable: 503, SettingsError: 500}
    return next((status for kind, status in kinds.items() if isinstance(err, kind)), 400)


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="evergreen-page")


def still(name: str) -> Response:
    """Give a file of the page as it lies in the package; below the edition's name it may be kept for good."""
    from fastapi import Response

    known, edition = _files()
    named, _, base = name.rpartition("/")
    if base not in known or named not in {"", edition}:
        return Response("no such file of the page; reload it", status_code=404, media_type="text/plain")
    kept = "private, max-age=31536000, immutable" if named else "private, no-cache"
    content, media_type = known[base]
    return Response(content, media_type=media_type, headers={"cache-control": kept})


@cache
def _files() -> tuple[dict[str, tuple[bytes, str]], str]:
    """Read what the page is made of, once: content and media type by name, and the name of this edition of it."""
    contents = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir())}
    edition = hashlib.sha256(b"".join(contents.values())).hexdigest()[:16]
    contents["page.html"] = contents["page.html"].replace(b"EDITION", edition.encode())
    return {name: (content, MEDIA_TYPES[Path(name).suffix]) for name, content in contents.items()}, edition


def _overview() -> Any:
    """Import what gathers the facts, with the vendors behind it, when it is first needed."""
    from ml.steps import overview

    return overview


def _within(days: int) -> int:
    return min(max(days, 1), MOST_DAYS)
