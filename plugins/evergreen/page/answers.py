"""Find an answer of the page in a thread of its model, and put into words why there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from evergreen.next_moves import worded, worded_facts

if TYPE_CHECKING:
    from fastapi import Response

    from ml.wiring import Services

log = logging.getLogger(__name__)
ANSWER_SECONDS = 45
"""Longer than the clients of MLflow and storage try again: a silent server is named by them, not by us."""
READERS = 6
"""Threads that read MLflow and storage for one model: a dead server cannot use up Airflow's, nor another model's."""


async def answered_of(model: str, compute: Callable[[Services], Any]) -> Response:
    """Answer a question about one model, in a thread of that model's; one that is not configured is not there."""
    absent = await answered(lambda: _check_model(model))
    if absent.status_code != HTTPStatus.OK:
        return absent

    def opened() -> Any:
        from ml.wiring import open_services

        return compute(open_services(model=model))

    return await answered(opened, model)


def _check_model(model: str) -> None:
    from ml.errors import MissingArtifact

    names = configured_names()
    if model not in names:
        raise MissingArtifact(
            f"there is no model {model!r}; there are: {', '.join(names)}. Go back to the list of models, "
            f"or add the folder models/{model}"
        )


def configured_names() -> list[str]:
    """Return the names of all configured models."""
    from ml.settings import configured_models

    return [model.name for model in configured_models()]


async def answered(compute: Callable[[], Any], readers: str = "") -> Response:
    """Let a reader's thread find the answer, and put into words why there is none.

    A failure is an answer of its own kind, with a sentence that says what, where and the next move:
    404 for what is not there, 503 for what did not answer, 400 for what cannot be asked.

    Parameters
    ----------
    readers
        The model whose threads find it; empty for what is about the installation.
    """
    from fastapi.responses import JSONResponse

    answer = asyncio.get_running_loop().run_in_executor(_readers(readers), _answer, compute)
    try:
        return await asyncio.wait_for(answer, ANSWER_SECONDS)
    except TimeoutError:
        message = f"MLflow or storage did not answer within {ANSWER_SECONDS} seconds: see whether they run, then reload"
        return JSONResponse({"message": message}, status_code=503)


def _answer(compute: Callable[[], Any]) -> Response:
    from fastapi import Response
    from fastapi.responses import JSONResponse

    from ml.errors import EvergreenError

    try:
        facts = compute()
        return facts if isinstance(facts, Response) else JSONResponse(worded_facts(facts))
    except EvergreenError as err:
        return JSONResponse({"message": worded(str(err))}, status_code=_status(err))
    except Exception:
        log.exception("the page could not be answered")
        message = "This could not be read for a reason that nobody foresaw: the log of Airflow's API server has it."
        return JSONResponse({"message": message}, status_code=500)


def _status(err: Exception) -> int:
    from ml.errors import MissingArtifact, SettingsError, Unavailable

    kinds = {MissingArtifact: 404, Unavailable: 503, SettingsError: 500}
    return next((status for kind, status in kinds.items() if isinstance(err, kind)), 400)


@cache
def _readers(model: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix=f"evergreen-page-{model}")
