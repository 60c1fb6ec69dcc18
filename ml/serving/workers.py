"""Several worker processes behind one port, each with its own queue, look-ups and part of the request log.

uvicorn starts them, hands requests to whichever is free, ends them, and replaces one that died. What they count is put
together for ``/metrics`` by the Prometheus client.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from ml.command_line import configure_logging
from ml.errors import SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)
COUNTED_IN = "PROMETHEUS_MULTIPROC_DIR"
"""Where the Prometheus client of each worker counts; it has to be set before the client is imported."""

HEALTH_SECONDS = 60
"""A worker that says nothing for so long is killed and replaced: loading a large model is not to look like that."""

FIRST_LOOK_SECONDS = 60.0
"""So long a worker takes no request at most while it loads the champions: others, that have them, do."""

ORPHAN_SECONDS = 1.0


@dataclass(frozen=True)
class Work:
    """What each worker serves."""

    models: tuple[str, ...]
    token: str
    anybody: bool


def run(work: Work, number: int, settings: dict[str, Any]) -> None:
    """Serve by so many processes until SIGTERM or Ctrl-C, when each answers what has come and writes its log.

    Parameters
    ----------
    settings
        Those of uvicorn, the address among them.

    Raises
    ------
    SettingsError
        If no worker could start.
    """
    with tempfile.TemporaryDirectory(prefix="evergreen-serving-", ignore_cleanup_errors=True) as folder:
        os.environ[COUNTED_IN] = folder
        config = uvicorn.Config(
            partial(application, work, os.getpid()),
            factory=True,
            workers=number,
            timeout_worker_healthcheck=HEALTH_SECONDS,
            **settings,
        )
        supervisor = Multiprocess(config, sockets=[config.bind_socket()])
        try:
            supervisor.run()
        finally:
            del os.environ[COUNTED_IN]
    if any(process.exitcode == uvicorn.config.STARTUP_FAILURE for process in supervisor.processes):
        raise SettingsError("a worker could not start; its own lines in this log say why")


def application(work: Work, parent: int) -> FastAPI:
    """Build the application of one worker, in the worker."""
    from ml.serving import server
    from ml.settings import load_models

    configure_logging()
    sys.setswitchinterval(server.SWITCH_SECONDS)
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    service = server.service_of(load_models(list(work.models)), token=work.token, anybody=work.anybody)
    return server.application(service, first_look=FIRST_LOOK_SECONDS)


def _end_with(parent: int) -> None:
    """Stop as by SIGTERM once the process that started this one is gone: nobody else would stop it."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    logger.warning("the process that started this worker is gone: it stops")
    os.kill(os.getpid(), signal.SIGTERM)
