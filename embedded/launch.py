"""Start the servers, close the loop of each model, and print what came of it."""

from __future__ import annotations

import importlib.metadata
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from embedded import loop, summary
from embedded.airflow_api import AirflowApi
from embedded.answering import awaited_servers
from embedded.config import Stack
from embedded.model_loop import ModelLoop
from embedded.models import POOL_SLOTS, pools_of
from embedded.servers import AIRFLOW, SERVING, STORES, describe_server
from embedded.startup import Startup, start_seconds
from embedded.steps import Steps, TimeIsOver, say
from embedded.supervise import ChildDied
from ml.errors import EvergreenError
from ml.settings import LoadedModels

IDLE_LOOK_EVERY_SECONDS = 15.0
ML_VIEW = "/#/experiments?workflowType=machine_learning"
"""MLflow opens its view of GenAI applications otherwise."""

Answer = TypeVar("Answer")


class Launch:
    """One start of the stack, from the first server to the closed loops of its models."""

    def __init__(self, stack: Stack, steps: Steps, loaded: LoadedModels, *, demo_days: int = 0) -> None:
        self.stack = stack
        self.steps = steps
        self.supervisor = steps.supervisor
        self.api = AirflowApi(stack.airflow_url, user="admin", password=stack.password())
        self.start_seconds = start_seconds()
        self.parts: dict[str, float] = {}
        self.pools = pools_of(loaded.models)
        self.alone = len(loaded.models) == 1 and not loaded.problems
        self.loops = [
            ModelLoop(
                model,
                stack,
                steps,
                self.api,
                alone=self.alone,
                parts=self.parts if self.alone else {},
                demo_days=demo_days,
            )
            for model in loaded.models
        ]
        self.failures = dict(loaded.problems)
        """What keeps a model from closing its loop, by its name."""
        self.closed: dict[str, loop.Done] = {}

    # --- servers and history ---------------------------------------------------------------

    def start(self) -> None:
        """Start the servers and land the history of one model after the other; return when all are there.

        Raises
        ------
        EvergreenError
            If the history of no model could be landed.
        """
        began, clock = datetime.now(UTC), time.monotonic()
        for name, problem in self.failures.items():
            say(f"model {name} is left out: {problem}")
        say(f"starting {', '.join((*STORES, *AIRFLOW))} (logs: {self.stack.logs})")
        for name in STORES:
            self._serve(name)
        waiting, seed_clock = deque(self.loops), time.monotonic()
        waiting[0].seed()
        self._migrate()
        for name in AIRFLOW:
            self._serve(name)
        servers, startup = False, self._startup()
        while not servers or waiting:
            awaited = [] if servers else awaited_servers(self.stack, self.api, began)
            if not servers and not awaited:
                servers = True
                self.parts["servers"] = time.monotonic() - clock
                say(f"servers up in {self.parts['servers']:.0f} s")
                self.tell_where()
                self._make_pools()
            if waiting and (ended := waiting[0].seeded_at) is not None:
                seeded, seconds = waiting.popleft(), ended - seed_clock
                self._attempt(seeded, partial(seeded.tell_history, seconds))
                seed_clock = time.monotonic()
                if waiting:
                    waiting[0].seed()
            if "mlflow" not in awaited:
                self._replay()
            if awaited and (message := startup.look(awaited)):
                say(message)
            self.steps.watch(0.5)
            self.steps.show()
        if not self._left():
            raise EvergreenError("no model has a history; " + self.steps.logs())

    def _replay(self) -> None:
        """Let the past days of the demo begin to happen, while Airflow's servers start."""
        for one in self._left():
            if one.replays:
                one.replay()

    def _serve(self, name: str) -> None:
        self.supervisor.start(describe_server(self.stack, name), cwd=self.stack.home)

    def _migrate(self) -> None:
        """Bring Airflow's database to the installed version, if it is not there already."""
        stamp = self.stack.airflow_home / "migrated.txt"
        version = importlib.metadata.version("apache-airflow-core")
        database = self.stack.airflow_home / "airflow.db"
        if database.exists() and stamp.exists() and stamp.read_text(encoding="utf-8").strip() == version:
            return
        clock = time.monotonic()
        say("setting up Airflow's database")
        self.steps.run("migrate", "-m", "airflow", "db", "migrate")
        self.steps.await_end("migrate")
        stamp.write_text(version + "\n", encoding="utf-8")
        self.parts["Airflow's database"] = time.monotonic() - clock

    def _startup(self) -> Startup:
        return Startup(self.supervisor.essential, self.supervisor.pids, limit=self.start_seconds)

    def _make_pools(self) -> None:
        """Make the pools that settings name and Airflow does not have; those that it has stay as they are."""
        if not self.pools:
            return
        existing = self.steps.patiently(self.api.pools)
        for name in self.pools:
            if name not in existing:
                description = f"made by Evergreen: {POOL_SLOTS} task at a time"
                make = partial(self.api.create_pool, name, slots=POOL_SLOTS, description=description)
                self.steps.patiently(make)
                say(f"made Airflow's pool {name} for {POOL_SLOTS} task at a time: change it under Admin, Pools")

    # --- the loops -------------------------------------------------------------------------

    def close_loops(self) -> None:
        """Close the loop of one model after the other; what keeps one from it stops none of the others.

        Raises
        ------
        EvergreenError
            If there is one model only, and its loop cannot be closed.
        """
        for one in self._left():
            done = self._attempt(one, partial(one.close, self._startup()))
            if done is not None:
                self.closed[one.name] = done
        waiting = [f"{name}: {reason}" for name, reason in self.failures.items()]
        if waiting and not self.alone:
            say("models without a whole loop (fix it, and run their Dags again):\n  " + "\n  ".join(waiting))

    def _left(self) -> list[ModelLoop]:
        return [one for one in self.loops if one.name not in self.failures]

    def _attempt(self, one: ModelLoop, work: Callable[[], Answer]) -> Answer | None:
        """Do a piece of a model's work; where it is not the only model, what goes wrong stops this one alone."""
        try:
            return work()
        except (ChildDied, TimeIsOver):
            raise
        except EvergreenError as err:
            if self.alone:
                raise
            self.failures[one.name] = str(err)
            one.say(f"stopped: {err}")
            return None

    def follow(self) -> None:
        """Stay until interrupted, telling of every run that finishes."""
        while True:
            self.steps.watch(IDLE_LOOK_EVERY_SECONDS)
            for one in self.loops:
                one.tell_runs(one.runs())

    def serve(self) -> None:
        """Start predictions on request; who serves by then is loaded while the stack goes on."""
        if self.stack.serves:
            self._serve(SERVING)

    # --- telling ---------------------------------------------------------------------------

    def tell_where(self) -> None:
        """Print where the web pages are, and how to log in."""
        say(f"  Airflow  {self.stack.airflow_url}  user admin, password {self.stack.password()}")
        login = self.stack.mlflow_login()
        say(f"  MLflow   {self.stack.mlflow_url}{ML_VIEW}  user {login['username']}, password {login['password']}")
        say(f"  mail     {self.stack.mail} (everything that is sent ends there)")
        if SERVING in self.supervisor.pids:
            token = self.stack.serving_token_file
            say(f"  serving  {self.stack.serving_url} (predictions on request; its token is in {token})")

    def tell_closed(self, seconds: float) -> None:
        """Say how long the loops took that have closed."""
        if self.alone and self.closed:
            say(f"one whole loop in {seconds:.0f} s; Ctrl-C stops everything")
        elif not self.alone:
            every = {one.name for one in self.loops} | self.failures.keys()
            count = f"{len(self.closed)} of {len(every)} models"
            say(f"a whole loop of {count} in {seconds:.0f} s; Ctrl-C stops everything")

    def summarise(self) -> tuple[str, ...]:
        """Print the table of each model; return what is missing from whole loops."""
        lacks = [f"model {name}: {reason}" for name, reason in self.failures.items()]
        for one in self._left():
            if one.name not in self.closed:
                lacks.append(f"model {one.name}: no data are expected on its newest day")
                continue
            missing = one.summarise(self.closed[one.name])
            lacks += missing if self.alone else [f"model {one.name}: {lack}" for lack in missing]
        if not self.alone:
            say("\n" + summary.times(self.parts))
        return tuple(lacks)
