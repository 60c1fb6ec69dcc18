"""Start the service, follow the champions, and stop without losing an answer or a row of the request log."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from ml.errors import SettingsError
from ml.serving import app
from ml.serving import workers as several
from ml.serving.following import Follower
from ml.serving.served_model import ServedModel
from ml.settings import Environment, LoadedModels
from ml.wiring import Services

logger = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
PORT = 8088
DRAIN_SECONDS = 20
SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while another wants it: predictions must not hold up the answers."""


MOST_WORKERS = 64


def workers_of(environ: Mapping[str, str] = os.environ) -> int:
    """Read from the environment how many processes are to answer."""
    text = environ.get("EVERGREEN_SERVING_WORKERS") or "1"
    return counted_workers(int(text) if text.isdecimal() else 0, text)


def counted_workers(number: int, text: str = "") -> int:
    """Return a number of worker processes.

    Raises
    ------
    SettingsError
        If it is none.
    """
    if not 0 < number <= MOST_WORKERS:
        raise SettingsError(f"{text or number} is no number of worker processes; give one from 1 to {MOST_WORKERS}")
    return number


def address(environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Read host and port from the environment."""
    host = environ.get("EVERGREEN_SERVING_HOST") or LOOPBACK
    port = environ.get("EVERGREEN_SERVING_PORT") or str(PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"EVERGREEN_SERVING_PORT={port!r} is not a port; give a number from 1 to 65535")
    return host, int(port)


def service_of(loaded: LoadedModels, *, token: str = "", anybody: bool = False) -> app.Service:
    """Build the service of some models; nothing is contacted yet."""
    predicting = ThreadPoolExecutor(1, thread_name_prefix="predict")
    lookups = ThreadPoolExecutor(2, thread_name_prefix="look-up")
    models = {
        model.name: ServedModel(
            model.settings, Services(model.settings, Environment.load(model=model.name)), predicting, lookups
        )
        for model in loaded.models
    }
    return app.Service(models, loaded.problems, token=token, anybody=anybody)


@asynccontextmanager
async def following(service: app.Service, *, first_look: float = 0.0) -> AsyncIterator[None]:
    """Follow the champions and write the request logs; at the end nothing waits to be written.

    Parameters
    ----------
    first_look
        So many seconds are waited at most until every champion was looked for once, before anything is answered.
    """
    followers = [Follower(model) for model in service.models.values()]
    for model in service.models.values():
        model.log.start()
    for follower in followers:
        follower.start()
    try:
        until = time.monotonic() + first_look
        for follower in followers:
            await asyncio.to_thread(follower.has_looked.wait, max(until - time.monotonic(), 0.0))
        yield
    finally:
        service.draining = True
        for follower in followers:
            follower.stop()
        await asyncio.gather(*(model.challenge.drain() for model in service.models.values()))
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, model.log.stop) for model in service.models.values()))


def application(service: app.Service, *, first_look: float = 0.0) -> FastAPI:
    """Build the application: while it lives, the champions are followed and the request logs written.

    Parameters
    ----------
    first_look
        See `following`.
    """

    @asynccontextmanager
    async def living(_: Any) -> AsyncIterator[None]:
        async with following(service, first_look=first_look):
            yield

    return app.build(service, living)


def run(
    loaded: LoadedModels, *, host: str, port: int, token: str = "", anybody: bool = False, workers: int = 1
) -> None:
    """Serve until SIGTERM or Ctrl-C: then requests that have come are answered, and the request logs written.

    Raises
    ------
    SettingsError
        If no worker could start.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    for name, problem in loaded.problems.items():
        logger.error("%s is not served: %s", name, problem)
    names = [model.name for model in loaded.models]
    by = f", by {workers} processes" if workers > 1 else ""
    logger.info("serving %s on http://%s:%d%s", ", ".join(names), host, port, by)
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
        "limit_concurrency": 1000,
        "h11_max_incomplete_event_size": 65536,
    }
    if workers > 1:
        several.run(several.Work((*names, *loaded.problems), token, anybody), workers, settings)
    else:
        uvicorn.run(application(service_of(loaded, token=token, anybody=anybody)), **settings)
