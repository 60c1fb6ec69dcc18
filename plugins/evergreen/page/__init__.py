"""The page inside Airflow: who may see it, and what each of its addresses gives.

Nothing of it is built, and no web framework imported, before it is first asked for: Airflow loads
plugins in every process, and only its API server shows pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.page import actions, charting, first_look
from evergreen.page.answers import answered, answered_of, configured_names
from evergreen.page.headers import SHUT_IN, Guarded, Message, Receive, Send

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

    from ml.wiring import Services

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
KEPT = "private, max-age=31536000, immutable"


class Page:
    """The page as an ASGI application that is built by its first request."""

    @cached_property
    def app(self) -> FastAPI:
        """Return the application itself."""
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
    for path, answer in ROUTES.items():
        app.add_api_route(path, answer, methods=["GET"], response_model=None)
    actions.add_routes(app)
    first_look.add_routes(app)
    app.add_middleware(Guarded)
    return app


async def shell() -> Response:
    """Return the page without a fact in it: what it shows, it asks for."""
    return still("page.html")


async def static(name: str) -> Response:
    """Return one of the files that the page is made of, or the library that draws its charts."""
    if name.rpartition("/")[2] == charting.NAME:
        return await asyncio.to_thread(_library, name)
    return still(name)


async def names() -> Response:
    """Name the configured models; the first is the one at the top, if there is one."""
    return await answered(lambda: {"models": configured_names()})


async def model_list() -> Response:
    """List the models, each with its state; one that is silent or broken delays no other."""
    return await answered(lambda: _overview().list_models(today=datetime.now(UTC)))


async def now(model: str) -> Response:
    """Return what serves, how it does, and whether anything is wrong."""
    return await answered_of(model, lambda services: _overview().now(services, today=datetime.now(UTC)))


async def timeline(model: str, days: int = 90) -> Response:
    """Return the live metric by day, and what happened on them."""
    return await answered_of(model, lambda services: _overview().timeline(services, days=_within(days)))


async def performance_charts(model: str, days: int = 90) -> Response:
    """Return what the charts of performance over time draw: live figures, slices, labels, trainings."""
    return await answered_of(model, lambda services: _overview().performance_charts(services, days=_within(days)))


async def drift(model: str, days: int = 90) -> Response:
    """Return how far each column was on each day."""
    return await answered_of(model, lambda services: _overview().drift_map(services, days=_within(days)))


async def drift_column(model: str, day: str, column: str) -> Response:
    """Return how a column was distributed in the reference and in the window of a day."""
    return await answered_of(model, lambda services: _overview().drift_column(services, day=day, column=column))


async def decisions(model: str, before: str | None = None, kind: str | None = None) -> Response:
    """List what was decided, newest first: the newest, or those that come before a place that an answer named."""
    return await answered_of(model, lambda services: _overview().decisions(services, before=before, kind=kind))


async def decision(model: str, decision_id: str) -> Response:
    """Return one decision rule by rule."""
    return await answered_of(model, lambda services: _overview().decision(services, decision_id))


async def data(model: str) -> Response:
    """Return data versions, days, and what is in quarantine."""
    return await answered_of(model, lambda services: _overview().data(services))


async def data_quality(model: str, asset: str = "inputs", days: int = 90) -> Response:
    """Return what the contract of an asset said, day by day."""
    return await answered_of(
        model, lambda services: _overview().data_quality(services, asset=asset, days=_within(days))
    )


async def quarantine(model: str, asset: str, day: str) -> Response:
    """Return the first rows of a day that its contract kept out."""
    return await answered_of(model, lambda services: _overview().quarantined_rows(services, asset=asset, day=day))


async def quarantine_csv(model: str, asset: str, day: str, what: str) -> Response:
    """Return the rows of a day that its contract kept out, as a CSV file."""

    def collected(services: Services) -> Response:
        from fastapi import Response

        text = _overview().quarantined_csv(services, asset=asset, day=day, what=what)
        headers = {"content-disposition": f'attachment; filename="{asset}-{day}-{what}.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    return await answered_of(model, collected)


async def served(model: str) -> Response:
    """Return what was answered over HTTP: requests, rows, versions and times by day."""
    return await answered_of(model, lambda services: _overview().served(services))


async def versions(model: str, before: int | None = None) -> Response:
    """List the versions of a model: the newest, or those below one."""
    return await answered_of(model, lambda services: _overview().models(services, before=before))


async def version(model: str, version: int) -> Response:
    """Return one version: metrics, rulings, slices, lineage."""
    return await answered_of(model, lambda services: _overview().model(services, version))


async def version_charts(model: str, version: int) -> Response:
    """Return what the charts of a version draw."""
    return await answered_of(model, lambda services: _overview().version_charts(services, version))


async def compare(model: str, a: int, b: int) -> Response:
    """Put two versions side by side."""
    return await answered_of(model, lambda services: _overview().compare(services, a, b))


async def places(model: str) -> Response:
    """Return where people find what is not here; ``mlflow`` is None where that has no web page."""

    def collected(services: Services) -> dict[str, Any]:
        from evergreen.link_builder import mlflow_url, training_experiment

        mlflow = mlflow_url(services)
        experiment = (mlflow and training_experiment(services)) or None
        return {"mlflow": mlflow or None, "experiment": experiment, "registered_model": services.identity}

    return await answered_of(model, collected)


async def file(model: str, name: str) -> Response:
    """Return a report or another artefact; what is in it cannot act as its reader."""

    def collected(services: Services) -> Response:
        from fastapi import Response

        artifact = _overview().file(services, name)
        headers = {"content-security-policy": SHUT_IN, "cache-control": "private, no-cache"}
        if name.endswith(".parquet"):
            plain = re.sub(r"[^\w.=-]", "_", name.rpartition("/")[2], flags=re.ASCII)
            headers["content-disposition"] = f'attachment; filename="{plain}"'
        return Response(artifact.data, media_type=artifact.media_type, headers=headers)

    return await answered_of(model, collected)


OF_MODEL = "/api/models/{model}"
ROUTES: dict[str, Callable[..., Awaitable[Response]]] = {
    "/": shell,
    "/static/{name:path}": static,
    "/api/names": names,
    "/api/models": model_list,
    f"{OF_MODEL}/now": now,
    f"{OF_MODEL}/timeline": timeline,
    f"{OF_MODEL}/timeline/charts": performance_charts,
    f"{OF_MODEL}/drift": drift,
    f"{OF_MODEL}/drift/column": drift_column,
    f"{OF_MODEL}/decisions": decisions,
    f"{OF_MODEL}/decisions/{{decision_id}}": decision,
    f"{OF_MODEL}/data": data,
    f"{OF_MODEL}/data/quality": data_quality,
    f"{OF_MODEL}/data/quarantine": quarantine,
    f"{OF_MODEL}/data/quarantine.csv": quarantine_csv,
    f"{OF_MODEL}/served": served,
    f"{OF_MODEL}/versions": versions,
    f"{OF_MODEL}/versions/{{version}}": version,
    f"{OF_MODEL}/versions/{{version}}/charts": version_charts,
    f"{OF_MODEL}/compare": compare,
    f"{OF_MODEL}/places": places,
    "/files/{model}/{name:path}": file,
}


def still(name: str) -> Response:
    """Return a file of the page as it lies in the package; below the edition's name it may be kept for good."""
    from fastapi import Response

    files, edition = _files()
    named, _, base = name.rpartition("/")
    if base not in files or named not in {"", edition}:
        return Response("no such file of the page; reload it", status_code=404, media_type="text/plain")
    cache_control = KEPT if named else "private, no-cache"
    content, media_type = files[base]
    return Response(content, media_type=media_type, headers={"cache-control": cache_control})


def _library(name: str) -> Response:
    """Return the charting library as it is installed, compressed; below the edition's name alone."""
    from fastapi import Response

    content = charting.compressed()
    if content is None or name.rpartition("/")[0] != _files()[1]:
        message = "the charts need the package plotly, which comes with evidently: install the locked requirements"
        return Response(message, status_code=404, media_type="text/plain")
    headers = {"cache-control": KEPT, "content-encoding": "gzip"}
    return Response(content, media_type=MEDIA_TYPES[".js"], headers=headers)


@cache
def _files() -> tuple[dict[str, tuple[bytes, str]], str]:
    """Read what the page is made of, once: content and media type by name, and the name of this edition of it."""
    contents = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir())}
    edition = hashlib.sha256(b"".join([*contents.values(), charting.edition()])).hexdigest()[:16]
    contents["page.html"] = contents["page.html"].replace(b"EDITION", edition.encode())
    return {name: (content, MEDIA_TYPES[Path(name).suffix]) for name, content in contents.items()}, edition


def _overview() -> Any:
    """Import what gathers the facts, with the vendors behind it, when it is first needed."""
    from ml.views import page

    return page


def _within(days: int) -> int:
    return min(max(days, 1), MOST_DAYS)
