"""The addresses of the demo's first look: whoever may run its *Ingest* again may break a day, and undo it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.page.actions import is_allowed
from evergreen.page.answers import answered_of

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

    from ml.wiring import Services

PATH = "/api/models/{model}/first-look"
JSON = "application/json"


def add_routes(app: FastAPI) -> None:
    """Add the addresses; each of them asks Airflow's auth manager who may."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, Request

    logged_in = Depends(get_user)

    async def look(model: str, user: Any = logged_in) -> Response:
        may = _may(user, model)
        return await answered_of(model, lambda services: _page().first_look(services) | {"may": may})

    async def change(request: Any, model: str, user: Any = logged_in) -> Response:
        return await _change(request, model, user)

    change.__annotations__["request"] = Request  # FastAPI reads it, and the module's annotations are text
    app.add_api_route(PATH, look, methods=["GET"], response_model=None)
    app.add_api_route(PATH, change, methods=["POST"], response_model=None)


async def _change(request: Request, model: str, user: Any) -> Response:
    from fastapi.responses import JSONResponse

    if not _may(user, model):
        message = f"You may not run {model}.ingest again: ask somebody who may to show you the first look."
        return JSONResponse({"message": message}, status_code=403)
    if request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
        # A form of another site cannot send this type, so that nobody's browser is made to do it.
        return JSONResponse({"message": f"send this as {JSON}"}, status_code=415)
    try:
        body = await request.json()
    except ValueError:
        body = None
    action = body.get("action") if isinstance(body, dict) else None
    if action not in ("break", "undo"):
        return JSONResponse({"message": 'the action is "break" or "undo"'}, status_code=400)
    by, now = str(user.get_name()), datetime.now(UTC)

    def changed(services: Services) -> dict[str, Any]:
        page = _page()
        facts: dict[str, Any] = (
            page.break_day(services, by=by, now=now) if action == "break" else page.undo(services, now=now)
        )
        return facts | {"may": True}

    return await answered_of(model, changed)


def _may(user: Any, model: str) -> bool:
    """Return whether a user may run a model's *Ingest* again."""
    return is_allowed(user, model, "ingest", "PUT", "TASK_INSTANCE")


def _page() -> Any:
    from ml.views import page

    return page
