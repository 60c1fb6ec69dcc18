"""Start the whole of Evergreen on this machine, tell what happens, and stop all of it at the end.

``evergreen up`` starts each model whose settings are right, stays in the foreground until Ctrl-C, and prints what comes
of each. With ``--until-done`` it ends by itself when one whole loop of each has closed, prints what came of it, and
fails if anything of it is missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import smtplib
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import requests

from embedded import loop, past_days, running, summary
from embedded.airflow_api import AirflowApi
from embedded.config import AIRFLOW, LOOPBACK, SERVING, STORES, Stack
from embedded.guard import guarded
from embedded.model_loop import ModelLoop
from embedded.models import POOL_SLOTS, pools_of, startable_models
from embedded.prepare import prepare, require_free_ports
from embedded.startup import Startup, start_seconds
from embedded.steps import Steps, TimeIsOver, say
from embedded.supervise import ChildDied, Supervisor, raise_on_signals, take
from ml.command_line import with_model
from ml.errors import EvergreenError, SettingsError, Unavailable
from ml.settings import LoadedModels

API_SECONDS = 10.0
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
            awaited = [] if servers else self._awaited(began)
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
        self.supervisor.start(self.stack.server(name), cwd=self.stack.home)

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

    def _awaited(self, began: datetime) -> list[str]:
        """List the servers that do not work yet; Airflow's have to have a heartbeat that is younger than ``began``."""
        awaited = [] if _greets(self.stack.smtp_port) else ["mail"]
        awaited += [] if _answers(self.stack.mlflow_url + "/health") else ["mlflow"]
        # The first to ask waits while Airflow builds its task API: better we than a task.
        if not _answers(self.stack.airflow_url + "/execution/health", seconds=API_SECONDS):
            return [*awaited, *AIRFLOW]
        try:
            beats = self.api.health()
        except (Unavailable, requests.RequestException):
            return [*awaited, *AIRFLOW]
        late = [name for name in AIRFLOW[1:] if (beat := beats.get(name.replace("-", "_"))) is None or beat < began]
        return [*awaited, *late]

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


def launch(stack: Stack, loaded: LoadedModels, *, until_done: bool) -> int:
    """Run the stack until interrupted, or until one loop of each model has closed; everything is stopped after.

    Returns
    -------
    int
        Exit code: 0 if stopped by the user or if each loop is whole, 1 if something is missing.
    """
    timeout = _demo_timeout() * len(loaded.models)
    demo_days = past_days.days_wanted(default=0 if until_done else past_days.DAYS)
    stack = replace(stack, serves=stack.serves and not until_done)
    require_free_ports(stack)
    prepare(stack)
    running.record(stack)
    clock = time.monotonic()
    with Supervisor() as supervisor:
        deadline = clock + timeout if until_done else None
        started = Launch(stack, Steps(stack, supervisor, deadline=deadline), loaded, demo_days=demo_days)
        try:
            stack.starting_file.write_text(str(os.getpid()), encoding="utf-8")
            started.start()
            try:
                started.close_loops()
            except ChildDied:
                raise
            except EvergreenError as err:
                if until_done:
                    raise
                stack.starting_file.unlink(missing_ok=True)
                say(f"{err}\n(the servers stay up: fix it and run the Dag again, or stop with Ctrl-C)")
                started.serve()
                started.follow()
            stack.starting_file.unlink(missing_ok=True)
            if not until_done:
                started.serve()
                started.tell_closed(time.monotonic() - clock)
                started.tell_where()
                started.follow()
            if started.alone and not started.closed:
                return 1
            started.parts["all of it"] = time.monotonic() - clock
            lacks = started.summarise()
        except KeyboardInterrupt:
            say("\nstopping everything")
            supervisor.stop()
            say("stopped; nothing is left running")
            return 130 if until_done else 0
    for lack in lacks:
        say(f"MISSING: {lack}")
    say("\nthe loop is whole" if not lacks else "\nthe loop is not whole")
    return 1 if lacks else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, launch, and turn errors into one message and an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--until-done", action="store_true", help="end when one whole loop has closed")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    with_model(parser, "start this model only; without it that of EVERGREEN_MODEL, or all of them")
    chosen = parser.parse_args(argv)
    raise_on_signals()
    try:
        stack, loaded = Stack.load(), startable_models(chosen.model)
        take(stack)
        return guarded(lambda: launch(stack, loaded, until_done=chosen.until_done), with_parent=chosen.with_parent)
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    except KeyboardInterrupt:
        return 130 if chosen.until_done else 0


def _demo_timeout() -> float:
    value = os.environ.get("EVERGREEN_DEMO_TIMEOUT") or "900"
    try:
        return float(value)
    except ValueError as err:
        raise SettingsError(f"EVERGREEN_DEMO_TIMEOUT={value!r} is not a number of seconds; give one") from err


def _answers(url: str, *, seconds: float = 5.0) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=seconds).ok
        except requests.RequestException:
            return False


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP(LOOPBACK, port, local_hostname="localhost", timeout=5) as server:
            return server.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


if __name__ == "__main__":
    sys.exit(main())
