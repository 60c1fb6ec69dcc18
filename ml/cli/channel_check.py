"""Look whether each channel of a model could deliver an alert, without sending one.

A channel says so itself (``examine`` of ``evergreen.alerts.channel.Channel``): whether its settings are complete, its
secret is there, and the other side answers.
"""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import Any

from ml.errors import SettingsError
from ml.settings import CHANNELS
from ml.urls import redact
from ml.wiring import Services

DEADLINE = 30.0
"""So many seconds a channel may take."""

WORKS, WRONG, UNSEEN = "works", "wrong", "unseen"
"""``unseen``: it cannot be judged from here, such as a connection that only tasks can read."""


def examine(services: Services) -> list[dict[str, str]]:
    """Look at each channel of ``notify.channels``.

    Returns
    -------
    list of dict
        ``channel``, ``state`` (`WORKS`, `WRONG` or `UNSEEN`) and ``message``, which ends with the next move.
    """
    return [_look_at(name, services) for name in services.settings.notify.channels]


def _look_at(name: str, services: Services) -> dict[str, str]:
    future: Future[tuple[str, str]] = Future()

    def run() -> None:
        try:
            future.set_result(_ask(name, services))
        except Exception as err:  # noqa: BLE001  a channel fails in many ways, and none may stop the doctor
            future.set_result((WRONG, f"{type(err).__name__}: {err}; try it by 'evergreen notify {name}'"))

    Thread(target=run, daemon=True).start()
    try:
        state, message = future.result(DEADLINE)
    except TimeoutError:
        state, message = WRONG, f"it did not answer within {DEADLINE:.0f} s: look whether its server can be reached"
    return {"channel": name, "state": state, "message": redact(message)}


def _ask(name: str, services: Services) -> tuple[str, str]:
    try:
        channel: Any = CHANNELS.load(name)()
    except SettingsError as err:
        return UNSEEN, f"{err}; run 'evergreen doctor' where tasks run"
    state, message = channel.examine(services)
    return str(state), str(message)
