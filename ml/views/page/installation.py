"""List the models of an installation with their state: one that is silent or broken delays no other."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from typing import Any

from ml.core.monitoring.day_summary import Facts
from ml.errors import EvergreenError, SettingsError
from ml.settings import ConfiguredModel, Environment, configured_models
from ml.views import charts
from ml.views.page import status
from ml.views.page.cache import MEMORY, MISSING
from ml.wiring import open_services

logger = logging.getLogger(__name__)
FRESH_SECONDS = 5.0
"""What was read of a model is given again for so long."""

PATIENCE_SECONDS = 2.0
"""So long an answer waits for the models that are still being read; it names them, and is asked for again."""

SILENT_SECONDS = 45.0
"""A model that takes longer is unknown, until it answers: longer than the clients of MLflow and storage try again."""

MOST_AT_ONCE = 256
"""So many models are read at once; one that is silent keeps its thread until its clients give up."""

FAILED = "This could not be read for a reason that nobody foresaw: the log of Airflow's API server has it."


def list_models(*, today: date | datetime) -> Facts:
    """List every configured model, the one at the top first.

    Parameters
    ----------
    today
        The present instant (aware), or the newest day that is due by now.

    Returns
    -------
    dict
        ``reading``, whether some models have not answered yet; ``models``, each with its ``name``; ``state`` (``calm``,
        ``watching``, ``alarm`` or ``unknown`` as of `status.now`; ``misconfigured`` if its settings are wrong;
        ``reading`` if it has not answered yet) with a ``sentence``; ``task`` (kind, target, and the gate's metric);
        ``champion`` (``version``, ``since``, ``days`` that it serves); ``performance`` (``value``, ``low``, ``high``,
        ``expected`` of the gate's metric, ``better`` and ``status``); ``data`` (``status``, ``days_late``, and the
        newest ``inputs_day``, ``predictions_day`` and ``labels_day``); ``alarms`` (``count`` and ``since``); ``due``,
        the ``day`` that is due next and ``at`` which instant. What is not known is None.
    """
    readings = [_reading(model, today) for model in configured_models()]
    wait({reading.future for reading in readings}, timeout=PATIENCE_SECONDS)
    rows = [reading.row() for reading in readings]
    return {"models": rows, "reading": any(row["state"] == "reading" for row in rows)}


def blank(name: str, state: str, sentence: str) -> Facts:
    """Return the row of a model of which only this much is known."""
    unknown = dict.fromkeys(("task", "champion", "performance", "data", "alarms", "due"))
    return {"name": name, "state": state, "sentence": sentence, **unknown}


def row_of(name: str, now: Facts) -> Facts:
    """Reduce what `status.now` gathered about a model to its row."""
    champion, live, data, score, due = (now[part] for part in ("champion", "performance", "data", "score", "next"))
    metric = now["task"]["metric"]
    figures = {figure["name"]: figure for figure in (live or {}).get("figures", ())}
    figure, skill = figures.get(metric), figures.get("skill", {}).get("value")
    findings = [finding for finding in now["findings"] if finding["severity"] == "alarm"]
    alarm = now["alarm"]
    return {
        "name": name,
        "state": now["state"],
        "sentence": now["sentence"],
        "task": now["task"],
        "champion": champion and _pick(champion, "version", "since", "days"),
        "performance": figure
        and {
            **_pick(figure, "value", "low", "high", "expected", "better"),
            "base_rate": charts.base_rate_of(figure["value"], skill, metric),
            "status": live["status"],
        },
        "data": data
        and {
            **_pick(data, "status", "days_late", "due_day"),
            "inputs_day": data["newest_day"],
            "predictions_day": score and score["day"],
            "labels_day": data["labelled_day"],
        },
        "alarms": {"count": max(len(findings), 1) if alarm else 0, "since": alarm and alarm["since"]},
        "due": due and _pick(due, "day", "at"),
    }


def _pick(facts: Facts, *names: str) -> Facts:
    return {name: facts[name] for name in names}


# --- reading --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """A model that is being read, or was."""

    name: str
    future: Future[Facts]
    begun: float = field(default_factory=time.monotonic)

    def row(self) -> Facts:
        """Return the model's row, or that it has none yet."""
        if self.future.done():
            return self.future.result()
        if time.monotonic() - self.begun < SILENT_SECONDS:
            return blank(self.name, "reading", "This model is being read.")
        silent = f"MLflow or storage did not answer within {SILENT_SECONDS:.0f} seconds: see whether they run"
        return blank(self.name, "unknown", f"{silent}; this list goes on asking")


class Readings:
    """The models that are being read now: each by one thread, however many people ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Any, Reading] = {}

    def of(self, environment: Environment, today: date | datetime) -> Reading:
        """Return the reading of a model that is under way, or begin one."""
        with self._lock:
            reading = self._running.get(environment)
            if reading is None or reading.future.done():
                future = _threads().submit(_read, environment, today)
                self._running[environment] = reading = Reading(environment.model, future)
            return reading


READINGS = Readings()


def _reading(model: ConfiguredModel, today: date | datetime) -> Reading:
    """Give what is remembered of a model, or read it in a thread of its own."""
    try:
        environment = Environment.load(model=model.name)
    except EvergreenError as err:
        return _read_already(model.name, blank(model.name, "misconfigured", model.problem or str(err)))
    remembered = MEMORY.recall(("model row", environment))
    return READINGS.of(environment, today) if remembered is MISSING else _read_already(model.name, remembered)


def _read_already(name: str, row: Facts) -> Reading:
    done: Future[Facts] = Future()
    done.set_result(row)
    return Reading(name, done)


def _read(environment: Environment, today: date | datetime) -> Facts:
    """Read a model's row; whatever goes wrong is its own sentence."""
    name = environment.model
    try:
        row = row_of(name, status.now(open_services(model=name), today=today))
    except SettingsError as err:
        row = blank(name, "misconfigured", str(err))
    except EvergreenError as err:
        row = blank(name, "unknown", str(err))
    except Exception:
        logger.exception("the page's list could not read the model %s", name)
        row = blank(name, "unknown", FAILED)
    MEMORY.keep(("model row", environment), row, FRESH_SECONDS)
    return row


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="evergreen-models")
