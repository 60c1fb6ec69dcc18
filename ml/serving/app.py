"""The web service: its addresses, who may ask, what is bounded, and how answers look."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

from ml.errors import DataRejected
from ml.serving import metrics, request_rows
from ml.serving.answers import rows_of
from ml.serving.openapi import describe
from ml.serving.problems import Refused, UnfitValue, unfit
from ml.serving.served_model import ServedModel

logger = logging.getLogger(__name__)
JSON = "application/json"
FROM_ENVIRONMENT = "EVERGREEN_SERVING_TOKEN"


class Service:
    """All models of this installation behind one port.

    Parameters
    ----------
    models
        Those that can be served, by name; the first one answers ``/invocations``.
    problems
        What is wrong with the others, by name.
    token
        A token that opens every model, from the environment; empty for none.
    anybody
        Whether no token is asked for.
    """

    def __init__(
        self, models: Mapping[str, ServedModel], problems: Mapping[str, str], *, token: str = "", anybody: bool = False
    ) -> None:
        self.models, self.problems = dict(models), dict(problems)
        self.token, self.anybody = token, anybody
        self.draining = False

    # --- who may ask ---------------------------------------------------------------------------

    def model(self, name: str, request: Request) -> tuple[ServedModel, str]:
        """Return a model that the request's token opens, and the token's name.

        Raises
        ------
        Refused
            With 401 if it opens none of that name, whether there is one or not; with 404 or 503 if nothing is served.
        """
        who = self._who(name, request)
        if name in self.problems:
            raise Refused(503, f"{name} is not served: {self.problems[name]}", retry_after=60)
        model = self.models.get(name)
        if model is None:
            raise Refused(404, f"there is no model {name!r}; there are: {', '.join(self.models)}")
        return model, who

    def _who(self, name: str, request: Request) -> str:
        if self.anybody:
            return request.client.host if request.client else "anybody"
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and shown:
            if self.token and hmac.compare_digest(shown.encode(), self.token.encode()):
                return FROM_ENVIRONMENT
            model = self.models.get(name)
            if model is not None and (who := model.who(shown)) is not None:
                return who
        raise Refused(
            401, "send 'Authorization: Bearer TOKEN' with a token of this model; 'evergreen tokens add NAME' draws one"
        )

    # --- answers -------------------------------------------------------------------------------

    async def predict(self, model: str, request: Request) -> Response:
        """Answer ``POST /v1/models/{model}:predict``."""
        return await self._answer(model, request, self._predict)

    async def invocations(self, request: Request, model: str = "") -> Response:
        """Answer ``POST /invocations`` as MLflow's scoring server does, for the first model or the named one."""
        return await self._answer(model or next(iter(self.models), ""), request, self._invoke)

    async def _predict(self, model: ServedModel, body: Any, request: str) -> dict[str, Any]:
        explained = isinstance(body, Mapping) and bool(body.get("contributions"))
        answer = await model.predict(request_rows.records_of(body), request=request, explained=explained)
        facts: dict[str, Any] = {"model": model.name, "version": answer.version, "request": request}
        if answer.version is None:
            facts["versions"] = sorted(set(answer.versions or ()))
        if answer.is_provisional:
            facts["provisional"] = True
        return facts | {"predictions": rows_of(answer, model.settings.task)}

    async def _invoke(self, model: ServedModel, body: Any, request: str) -> dict[str, Any]:
        computed = model.serving.served.computed if model.serving else set()
        rows = [
            {name: value for name, value in row.items() if name not in computed}
            for row in request_rows.invocation_records(body)
        ]
        answer = await model.predict(rows, request=request)
        values = answer.predictions
        if model.settings.task.kind == "classification":
            values = np.column_stack([1 - values, values])
        split = {} if answer.versions is None else {"versions": list(answer.versions)}
        return {"predictions": values.tolist(), **split}

    async def _answer(
        self, name: str, request: Request, work: Callable[[ServedModel, Any, str], Awaitable[dict[str, Any]]]
    ) -> Response:
        """Read, bound, time and count a request; whatever is wrong with it becomes an answer."""
        started, identity = time.perf_counter(), uuid.uuid4().hex
        known, log = name if name in self.models else "unknown", None
        try:
            model, who = self.model(name, request)
            log = model.log
            model.rate.take(who)
            async with asyncio.timeout(model.own.timeout_seconds):
                body = await _body(request, int(model.own.max_body_megabytes * 1e6))
                facts = await work(model, request_rows.parse(body), identity)
            response = Response(orjson.dumps(facts), media_type=JSON)
        except Refused as refused:
            metrics.REJECTED.labels(known, str(refused.status)).inc()
            response = refusal(refused)
        except TimeoutError:
            metrics.REJECTED.labels(known, "timeout").inc()
            response = refusal(Refused(503, "no answer in time (serving.timeout_seconds); try again", retry_after=1))
        except Exception as err:
            rejected = isinstance(err, DataRejected)
            if not rejected:
                logger.exception("request %s of %s failed", identity, known)
            metrics.REJECTED.labels(known, "unfit" if rejected else "error").inc()
            reason = str(err) if rejected else f"the request failed; the log of the service has it as {identity}"
            response = refusal(Refused(422 if rejected else 500, reason))
        if log is not None and response.status_code != 200:
            log.refuse(response.status_code)
        response.headers["X-Request-Id"] = identity
        metrics.REQUESTS.labels(known, str(response.status_code)).inc()
        metrics.SECONDS_TAKEN.labels(known).observe(time.perf_counter() - started)
        return response

    # --- health --------------------------------------------------------------------------------

    async def live(self) -> Response:
        """Answer that the process works."""
        return Response(b'{"live":true}', media_type=JSON)

    async def ready(self) -> Response:
        """Answer which models can be asked, with which version, and what is wrong with the others.

        200 if every model that can be served is, else 503.
        """
        models = {name: model.state() for name, model in self.models.items()}
        models |= {name: {"ready": False, "reason": problem} for name, problem in self.problems.items()}
        ready = not self.draining and any(model.serving is not None for model in self.models.values())
        body = orjson.dumps({"ready": ready, "models": models})
        return Response(body, status_code=200 if ready else 503, media_type=JSON)

    async def metrics(self) -> Response:
        """Answer with all metrics."""
        return Response(metrics.text(), media_type=metrics.CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """Answer with a description of the models that the token opens: their columns, types and an example."""
        opened = []
        for name, model in self.models.items():
            try:
                self._who(name, request)
            except Refused:
                continue
            opened.append(model)
        if not opened and self.models:
            try:
                self._who(next(iter(self.models)), request)
            except Refused as refused:
                return refusal(refused)
        return Response(orjson.dumps(describe(opened)), media_type=JSON)


def build(service: Service, lifespan: Callable[[Any], Any] | None = None) -> FastAPI:
    """Build the application."""

    @asynccontextmanager
    async def nothing(_: Any) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title="Evergreen", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan or nothing,
        redirect_slashes=False,
    )  # fmt: skip
    routes: list[tuple[str, str, Callable[..., Awaitable[Response]]]] = [
        ("POST", "/v1/models/{model}:predict", service.predict),
        ("POST", "/v1/models/{model}/invocations", service.invocations),
        ("POST", "/invocations", service.invocations),
        ("GET", "/live", service.live),
        ("GET", "/ready", service.ready),
        ("GET", "/ping", service.ready),
        ("GET", "/health", service.ready),
        ("GET", "/metrics", service.metrics),
        ("GET", "/openapi.json", service.openapi),
    ]
    for method, path, answer in routes:
        app.add_api_route(path, answer, methods=[method], response_model=None)
    return app


def refusal(refused: Refused) -> Response:
    """Return the answer to a request that is refused."""
    return Response(orjson.dumps(refused.body()), refused.status, dict(refused.headers()), JSON)


async def _body(request: Request, most: int) -> bytes:
    """Read a body of bounded size."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise Refused(415, f"the body is {kind}; send {JSON}")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    if not size:
        raise unfit([UnfitValue(None, None, "a body")])
    return b"".join(parts)


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body is larger than {most / 1e6:g} MB (serving.max_body_megabytes)")
