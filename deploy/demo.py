"""Bring one whole loop about on the running full stack, tell what happens, and print what came of it.

Runs inside the stack (``make compose-demo``), and asks it as a person would: through Airflow's API.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import requests

from deploy.users import USERS
from embedded import loop, summary
from embedded.airflow_api import AirflowApi, Run
from embedded.config import DAGS, dag_id
from embedded.steps import say
from ml.cli import champion as champion_step
from ml.errors import EvergreenError, Unavailable
from ml.wiring import open_services

LOOK_EVERY_SECONDS = 2.0
ADMIN = USERS[0][0]
Answer = TypeVar("Answer")


class Demo:
    """One loop of a model on a stack that is up; ``deadline`` is monotonic time.

    The model is that of ``EVERGREEN_MODEL``, else the one at the top of the project, or the only one.
    """

    def __init__(self, api: AirflowApi, *, deadline: float) -> None:
        self.api, self.deadline = api, deadline
        self.services = open_services()
        self.model = self.services.environment.model
        self.champion = self._champion()
        self.training: str | None = None
        self.runs: tuple[Run, ...] = ()

    def run(self) -> loop.Done:
        """Close the loop.

        Raises
        ------
        EvergreenError
            If a run failed, training brought no champion, or time is over.
        """
        while not {dag_id(self.model, verb) for verb in DAGS} <= set(self._patiently(self.api.dags)):
            self._pause("the Dags to be parsed")
        for verb in DAGS:
            if verb != "ingest":
                self._patiently(partial(self.api.unpause, dag_id(self.model, verb)))
        while True:
            match self._patiently(self._next_move):
                case loop.Trigger(run_id):
                    say("training a first champion")
                    conf = {"reason": "no champion yet", "requested_by": "the demo"}
                    retrain = dag_id(self.model, "retrain")
                    self._patiently(partial(self.api.trigger, retrain, run_id=run_id, conf=conf))
                    self.training = run_id
                case loop.Recount(run_id):
                    self.champion = self._champion()
                    if self.champion.version is None:
                        where = f"{dag_id(self.model, 'retrain')} {run_id}"
                        raise EvergreenError(f"training ended, and the gate let nobody serve: see {where}")
                    say(self.champion.sentence(self.services.settings.gate.metric))
                case loop.UnpauseIngest():
                    self._patiently(partial(self.api.unpause, dag_id(self.model, "ingest")))
                case loop.Failed(reason, run):
                    raise EvergreenError(f"{reason}: see {run.dag_id} {run.run_id}" if run else reason)
                case loop.Rest(run):
                    raise EvergreenError(f"{run.partition_key}: no data are expected; run the demo on a day with data")
                case loop.Done() as done:
                    return done
                case loop.Wait(what):
                    self._pause(what)

    def _next_move(self) -> loop.NextMove:
        seen = loop.look(self.api, self.model, champion=self.champion.version, following=self.training)
        self.runs = seen.runs
        return loop.next_move(seen, datetime.now(UTC))

    def _champion(self) -> summary.Champion:
        return summary.Champion.read(champion_step.run(services=self.services))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        while True:
            try:
                return ask()
            except Unavailable:
                self._pause("Airflow to answer")

    def _pause(self, what: str) -> None:
        if time.monotonic() > self.deadline:
            raise EvergreenError(f"waited too long for {what} (EVERGREEN_DEMO_TIMEOUT, in seconds)")
        time.sleep(LOOK_EVERY_SECONDS)


def mails_sent() -> int | None:
    """Count the mails that Mailpit holds; None if mail goes to another server, which nobody here can ask."""
    if "@mailpit:" not in (sent_to := os.environ.get("AIRFLOW_CONN_SMTP_DEFAULT", "")) and "//mailpit:" not in sent_to:
        return None
    try:
        answer = requests.get("http://mailpit:8025/api/v1/messages", params={"limit": 1}, timeout=10)
        return int(answer.json()["total"])
    except (requests.RequestException, KeyError, ValueError) as err:
        raise EvergreenError(f"Mailpit does not say what it holds ({err}); see the log of the service mailpit") from err


def main() -> int:
    """Close a loop, print the table, and name what is missing of it."""
    clock = time.monotonic()
    url = os.environ.get("EVERGREEN_AIRFLOW_INSIDE", "http://airflow-apiserver:8080")
    api = AirflowApi(url, user=ADMIN, password=os.environ.get("EVERGREEN_ADMIN_PASSWORD", ""))
    try:
        demo = Demo(api, deadline=clock + float(os.environ.get("EVERGREEN_DEMO_TIMEOUT") or 1800))
        done = demo.run()
        trained = [run for run in demo.runs if (run.verb, run.run_id) == ("retrain", demo.training)]
        runs = (*trained, done.ingest, done.score, done.monitor)
        mails = mails_sent()
        evidence = summary.gather(
            api, runs, score=done.score, monitor=done.monitor, champion=demo.champion, mails=mails or 0
        )
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    settings = demo.services.settings
    parts = {run.verb: run.seconds or 0.0 for run in runs} | {"all of it": time.monotonic() - clock}
    unit = settings.source.unit
    say("\n" + summary.table(evidence, metric=settings.gate.metric, parts=parts, unit=unit))
    lacks = [*summary.missing(evidence), *(["a mail"] if mails == 0 else [])]
    for lack in lacks:
        say(f"MISSING: {lack}")
    say("\nthe loop is whole" if not lacks else "\nthe loop is not whole")
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
