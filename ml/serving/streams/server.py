"""Consume until SIGTERM, and answer how it goes: /live, /ready and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Response

from ml.serving import app
from ml.serving.server import SWITCH_SECONDS, following, service_of
from ml.serving.streams import brokers
from ml.serving.streams.consumer import Consumer
from ml.serving.streams.places import StreamPlaces
from ml.settings import LoadedModels
from ml.urls import redact

logger = logging.getLogger(__name__)
RETRY_SECONDS, PAUSE_SECONDS = 3.0, 0.2
ANSWER_SECONDS = 5.0
"""A broker that does not answer within so many seconds counts as away."""


class StreamService:
    """The consumers of all models of this process, and the service that predicts for them."""

    def __init__(self, service: app.Service, places: dict[str, StreamPlaces]) -> None:
        self.service = service
        self.consumers = [Consumer(model, places[name]) for name, model in service.models.items()]

    async def ready(self) -> Response:
        """Answer with 200 if every model that can be consumed is, else 503; and with what is wrong."""
        models = {consumer.name: consumer.state() for consumer in self.consumers}
        ready = not self.service.draining and all(facts["ready"] for facts in models.values())
        models |= {name: {"ready": False, "reason": problem} for name, problem in self.service.problems.items()}
        body = orjson.dumps({"ready": ready, "models": models})
        return Response(body, status_code=200 if ready else 503, media_type=app.JSON)


async def keep_reading(consumer: Consumer, reader: str) -> None:
    """Read a model's topic once a version serves, and again whenever the broker was away, until it is to stop."""
    while not consumer.stopping:
        if consumer.model.serving is None:
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        link = brokers.link(consumer, reader=reader)
        try:
            await link.start()
            await _watch(link, consumer)
        except Exception as err:
            logger.debug("%s: the broker's client failed", consumer.name, exc_info=err)
            consumer.connected(redact(f"the broker does not answer ({type(err).__name__}: {err})"))
        finally:
            with contextlib.suppress(Exception):
                await link.stop()
        if not consumer.stopping:
            await asyncio.sleep(RETRY_SECONDS)


async def _watch(link: brokers.Link, consumer: Consumer) -> None:
    """Look whether the broker answers, until it is to stop or nothing is read any more."""
    while not consumer.stopping:
        answers = await link.answers(ANSWER_SECONDS)
        consumer.connected("" if answers else "the broker does not answer; its client tries again")
        if not link.reads():
            consumer.connected("the topic is no longer read; it is opened again")
            return
        await _sleep(consumer, RETRY_SECONDS)


async def _sleep(consumer: Consumer, seconds: float) -> None:
    """Sleep, but not while it is to stop."""
    for _ in range(round(seconds / PAUSE_SECONDS)):
        if consumer.stopping:
            return
        await asyncio.sleep(PAUSE_SECONDS)


def application(streams: StreamService, reader: str) -> FastAPI:
    """Build the application: while it lives, the champions are followed and the topics read."""
    service = streams.service

    @asynccontextmanager
    async def living(_: Any) -> AsyncIterator[None]:
        async with following(service):
            reading = [asyncio.create_task(keep_reading(consumer, reader)) for consumer in streams.consumers]
            try:
                yield
            finally:
                for consumer in streams.consumers:
                    consumer.stopping = True
                await asyncio.gather(*reading)

    built = FastAPI(title="Evergreen", docs_url=None, redoc_url=None, openapi_url=None, lifespan=living)
    for path, answer in (("/live", service.live), ("/ready", streams.ready), ("/metrics", service.metrics)):
        built.add_api_route(path, answer, methods=["GET"], response_model=None)
    return built


def run(loaded: LoadedModels, places: dict[str, StreamPlaces], *, host: str, port: int) -> None:
    """Consume until SIGTERM or Ctrl-C: what was taken is finished or left to be delivered again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    for name, problem in loaded.problems.items():
        logger.error("%s is not consumed: %s", name, problem)
    streams = StreamService(service_of(loaded), places)
    for consumer in streams.consumers:
        own = consumer.places
        logger.info("%s: reading %s, writing %s and %s", consumer.name, own.inputs, own.predictions, own.rejected)
    built = application(streams, f"{socket.gethostname()}-{port}")
    uvicorn.run(built, host=host, port=port, log_config=None, access_log=False, server_header=False)
