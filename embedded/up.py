"""Start the whole of Evergreen on this machine, tell what happens, and stop all of it at the end.

``evergreen up`` stays in the foreground until Ctrl-C; with ``--until-done`` it ends by itself
when one whole loop has closed, prints what came of it, and fails if anything of it is missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import smtplib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from embedded import loop, running, summary
from embedded.airflow_api import AirflowApi, Run
from embedded.config import AIRFLOW, DAGS, LOOPBACK, STORES, Stack
from embedded.prepare import prepare, require_free_ports
from embedded.startup import Startup, start_seconds
from embedded.steps import LOOK_EVERY_SECONDS, Steps, say
from embedded.supervise import ChildDied, Supervisor, raise_on_signals, take
from ml import settings
from ml.errors import EvergreenError, SettingsError, Unavailable
from ml.records import Decision, Evaluation

API_SECONDS = 10.0
IDLE_LOOK_EVERY_SECONDS = 15.0


class Launch:
    """One start of the stack, from the first server to the closed loop."""

    def __init__(self, stack: Stack, steps: Steps) -> None:
        self.stack = stack
        self.steps = steps
        self.supervisor = steps.supervisor
        self.settings = settings.load()
        self.unit = "flights" if self.settings.source.kind == "demo" else "rows"
        self.api = AirflowApi(stack.airflow_url, user="admin", password=stack.password())
        self.start_seconds = start_seconds()
        self.parts: dict[str, float] = {}
        self.champion = summary.Champion(None, None, {})
        self.training: str | None = None
        self.told: set[tuple[str, str]] = set()
        self.earlier: set[tuple[str, str]] = set()
        self._runs: tuple[Run, ...] = ()

    # --- servers and history ---------------------------------------------------------------

    def start(self) -> None:
        """Start the servers and land the history side by side; return when both are there."""
        began, clock = datetime.now(UTC), time.monotonic()
        say(f"starting {', '.join((*STORES, *AIRFLOW))} (logs: {self.stack.logs})")
        for name in STORES:
            self._serve(name)
        seed_clock = time.monotonic()
        self.steps.run("seed", "-m", "ml.steps.seed")
        self._migrate()
        for name in AIRFLOW:
            self._serve(name)
        servers, seeded, startup = False, False, self._startup()
        while not (servers and seeded):
            awaited = [] if servers else self._awaited(began)
            if not servers and not awaited:
                servers = True
                self.parts["servers"] = time.monotonic() - clock
                say(f"servers up in {self.parts['servers']:.0f} s")
                self.tell_where()
            if not seeded and "seed" in self.supervisor.exits:
                seeded = True
                self.parts["history"] = self.supervisor.exits["seed"].at - seed_clock
                self._tell_history(self.steps.answer("seed"))
            if awaited and (said := startup.look(awaited)):
                say(said)
            self.steps.watch(0.5)
            self.steps.show("seed")

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

    def _tell_history(self, seeded: Mapping[str, Any]) -> None:
        say(
            f"history landed: {seeded['days']} days / {int(seeded['rows']):,} {self.unit}, "
            f"the newest {seeded['last_day']} ({self.parts['history']:.0f} s)"
        )

    # --- the loop --------------------------------------------------------------------------

    def close_loop(self) -> loop.Done | None:
        """Bring about champion, ingest, score and monitor, telling each as it comes; None on a day without data.

        Raises
        ------
        EvergreenError
            If a run failed, or training brought no champion.
        """
        self._await_dags()
        for dag_id in DAGS:
            if dag_id != "ingest":
                self.api.unpause(dag_id)
        self._ask_champion()
        if self.champion.version is not None:
            say(self.champion.sentence(self.settings.gate.metric))
        while True:
            move = self.steps.patiently(self._next_move)
            match move:
                case loop.Trigger(run_id):
                    say("training a first champion")
                    conf = {"why": "no champion yet", "asked_by": "make up"}
                    self.api.trigger("retrain", run_id=run_id, conf=conf)
                    self.training = run_id
                case loop.Recount(run_id):
                    self._recount(run_id)
                case loop.UnpauseIngest():
                    self.api.unpause("ingest")
                case loop.Failed(reason, run):
                    where = f": see {self._run_url(run)} or {self._run_logs(run)}" if run else ""
                    raise EvergreenError(reason + where)
                case loop.Rest(run):
                    say(f"{run.partition_key}: no data are expected, and none came; the next day with data is scored")
                    return None
                case loop.Done():
                    for finished in (move.ingest, move.score, move.monitor):
                        self._tell_run(finished)
                    return move
                case loop.Wait():
                    self._tell_runs(self._runs)
                    self.steps.watch(LOOK_EVERY_SECONDS)

    def _recount(self, run_id: str) -> None:
        self._ask_champion()
        if self.champion.version is None:
            where = f"{self.stack.airflow_url}/dags/retrain/runs/{run_id}"
            raise EvergreenError(f"training ended, and the gate let nobody serve: see {where}")
        self._tell_trained(run_id)

    def _next_move(self) -> loop.Move:
        seen = loop.look(self.api, champion=self.champion.version, following=self.training)
        self._runs = seen.runs
        return loop.next_move(seen, datetime.now(UTC))

    def _await_dags(self) -> None:
        startup = self._startup()
        while not set(DAGS) <= set(self.steps.patiently(self.api.dags)):
            if errors := self.steps.patiently(self.api.import_errors):
                raise EvergreenError("a Dag file cannot be parsed: " + "; ".join(errors))
            if said := startup.look(["dag-processor"]):
                say(f"{said} (not all of {', '.join(DAGS)} are parsed)")
            self.steps.watch(LOOK_EVERY_SECONDS)
        self.earlier = {(r.dag_id, r.run_id) for r in self.steps.patiently(self.api.runs) if r.finished}

    def _ask_champion(self) -> None:
        self.steps.run("champion", "-m", "ml.steps.champion", "--json")
        self.steps.await_end("champion")
        self.champion = summary.Champion.read(self.steps.answer("champion"))

    def _tell_trained(self, run_id: str) -> None:
        run = next(r for r in self.steps.patiently(self.api.runs) if r.run_id == run_id)
        judged = summary.first_record(self.api, run, Evaluation)
        if judged is not None:
            base = {f"base_rate_{name}": value for name, value in judged.base_rate.items()}
            metrics = {**judged.challenger, **base, **self.champion.metrics}
            self.champion = replace(self.champion, metrics=metrics)
        say(f"{self.champion.sentence(self.settings.gate.metric)} (trained in {run.seconds or 0:.0f} s)")

    def follow(self) -> None:
        """Stay until interrupted, telling of every run that finishes."""
        while True:
            self.steps.watch(IDLE_LOOK_EVERY_SECONDS)
            self._tell_runs(self.steps.patiently(self.api.runs))

    def _tell_runs(self, runs: Sequence[Run]) -> None:
        for run in reversed(runs):
            if run.finished and (run.dag_id, run.run_id) not in self.earlier:
                self._tell_run(run)

    def _tell_run(self, run: Run) -> None:
        if (run.dag_id, run.run_id) in self.told or run.run_id == self.training:
            return
        self.told.add((run.dag_id, run.run_id))
        day = (run.partition_key or run.run_id)[:10] if run.partition_key else run.run_id
        took = f" ({run.seconds:.0f} s)" if run.seconds is not None else ""
        if run.state != "success":
            say(f"{day} {run.dag_id} {run.state}: see {self._run_url(run)}")
        elif run.dag_id == "score" and (scored := summary.served_predictions(self.api, run)):
            say(f"{day} scored: {scored.rows:,} {self.unit} by champion v{scored.version}{took}")
        elif run.dag_id == "monitor" and (decision := summary.first_record(self.api, run, Decision)):
            say(f"{day} {summary.drift_sentence(decision)}{took}")
        else:
            done = {"ingest": "ingested", "retrain": "retrained", "score": "not scored"}.get(run.dag_id, "done")
            say(f"{day} {done}{took}")

    # --- telling and waiting ---------------------------------------------------------------

    def tell_where(self) -> None:
        """Say where the web pages are, and how to log in."""
        say(f"  Airflow  {self.stack.airflow_url}  user admin, password {self.stack.password()}")
        login = self.stack.mlflow_login()
        say(f"  MLflow   {self.stack.mlflow_url}  user {login['username']}, password {login['password']}")
        say(f"  mail     {self.stack.mail} (everything that is sent ends there)")

    def summarise(self, done: loop.Done) -> tuple[str, ...]:
        """Print the table; return what is missing from a whole loop."""
        every = self.steps.patiently(self.api.runs)
        trained = [r for r in every if (r.dag_id, r.run_id) == ("retrain", self.training)]
        runs = (*trained, done.ingest, done.score, done.monitor)
        for run in runs:
            self.parts[run.dag_id] = run.seconds or 0.0
        evidence = self.steps.patiently(
            lambda: summary.gather(
                self.api,
                runs,
                score=done.score,
                monitor=done.monitor,
                champion=self.champion,
                mails=summary.count_mails(self.stack.mail),
            )
        )
        metric = self.settings.gate.metric
        say("\n" + summary.table(evidence, metric=metric, parts=self.parts, unit=self.unit))
        return summary.missing(evidence)

    def _run_url(self, run: Run) -> str:
        return f"{self.stack.airflow_url}/dags/{run.dag_id}/runs/{run.run_id}"

    def _run_logs(self, run: Run) -> Path:
        """Give the folder of a run's logs: the web pages are gone when the stack has stopped."""
        return self.stack.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"


def launch(stack: Stack, *, until_done: bool, parent: int | None) -> int:
    """Run the stack until interrupted, or until one loop has closed; everything is stopped after.

    Returns
    -------
    int
        Exit code: 0 if stopped by the user or if the loop is whole, 1 if something is missing.
    """
    timeout = _demo_timeout()
    hold = take(stack)
    require_free_ports(stack)
    prepare(stack)
    running.record(stack)
    clock = time.monotonic()
    with Supervisor(hold) as supervisor:
        deadline = clock + timeout if until_done else None
        started = Launch(stack, Steps(stack, supervisor, deadline=deadline, parent=parent))
        try:
            started.start()
            try:
                done = started.close_loop()
            except ChildDied:
                raise
            except EvergreenError as err:
                if until_done:
                    raise
                say(f"{err}\n(the servers stay up: mend it and run the Dag again, or stop with Ctrl-C)")
                started.follow()
            if not until_done:
                if done is not None:
                    say(f"one whole loop in {time.monotonic() - clock:.0f} s; Ctrl-C stops everything")
                started.tell_where()
                started.follow()
            if done is None:
                return 1
            started.parts["all of it"] = time.monotonic() - clock
            lacks = started.summarise(done)
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
    chosen = parser.parse_args(argv)
    raise_on_signals()
    try:
        parent = os.getppid() if chosen.with_parent else None
        return launch(Stack.load(), until_done=chosen.until_done, parent=parent)
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    except KeyboardInterrupt:
        return 130 if chosen.until_done else 0


def _demo_timeout() -> float:
    given = os.environ.get("EVERGREEN_DEMO_TIMEOUT") or "900"
    try:
        return float(given)
    except ValueError as err:
        raise SettingsError(f"EVERGREEN_DEMO_TIMEOUT={given!r} is no number of seconds; give one") from err


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
