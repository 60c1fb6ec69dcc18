"""Bring one whole loop of one model about, telling what happens: history, first champion, the newest day."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from embedded import loop, past_days, summary
from embedded.airflow_api import AirflowApi, Run
from embedded.config import DAGS, Stack, dag_id
from embedded.startup import Startup
from embedded.steps import LOOK_EVERY_SECONDS, Steps, say
from ml.errors import EvergreenError
from ml.records import Decision, Evaluation, Promotion
from ml.settings import Environment, LoadedModel

REPLAY_SECONDS = 3600.0
"""So long the demo's past days may take; each prints a line meanwhile."""


class ModelLoop:
    """One model on its way from its history to a closed loop.

    Parameters
    ----------
    alone
        Whether no other model is started: what is printed then goes without the model's name.
    parts
        Where the seconds of each part of the work are put, by its name.
    demo_days
        So many days happen before the newest one, on the demo's data alone; see `embedded.past_days`.
    """

    def __init__(
        self,
        model: LoadedModel,
        stack: Stack,
        steps: Steps,
        api: AirflowApi,
        *,
        alone: bool,
        parts: dict[str, float],
        demo_days: int = 0,
    ) -> None:
        self.name, self.settings, self.alone = model.name, model.settings, alone
        self.stack, self.steps, self.api, self.parts = stack, steps, api, parts
        self.unit, self.demo_days = self.settings.source.unit, demo_days
        self.landed = False
        self.past: past_days.PastDays | None = None
        self.replay_began: float | None = None
        self.champion = summary.Champion(None, None, {})
        self.training: str | None = None
        self.reported: set[tuple[str, str]] = set()
        self.earlier: set[tuple[str, str]] = set()
        self._runs: tuple[Run, ...] = ()

    def say(self, line: str) -> None:
        """Print a line that is about this model."""
        say(line if self.alone else f"{self.name}: {line}")

    def _step(self, verb: str) -> str:
        """Name a process of this model, and so its logs."""
        return verb if self.alone else f"{verb}-{self.name}"

    # --- history ---------------------------------------------------------------------------

    def seed(self) -> None:
        """Begin to land the history; where past days of the demo are to happen, the days before them."""
        environment = Environment.load({**os.environ, "EVERGREEN_HOME": str(self.stack.home)}, model=self.name)
        self.past = past_days.planned(environment, self.settings, days=self.demo_days, now=datetime.now(UTC))
        dates = ("--from-date", self.past.history_from, "--to-date", self.past.history_to) if self.past else ()
        arguments = ("-m", "ml.steps.ingest.seed", "--model", self.name, *map(str, dates))
        self.steps.run(self._step("seed"), *arguments, shown=True)

    @property
    def seeded_at(self) -> float | None:
        """Return when landing the history ended, well or not, in monotonic time; None before."""
        ended = self.steps.supervisor.exits.get(self._step("seed"))
        return ended.at if ended else None

    def tell_history(self, seconds: float) -> None:
        """Say what history was landed in how many seconds; raise what went wrong with it."""
        seeded = self.steps.answer(self._step("seed"))
        self.landed = True
        self.parts["history"] = seconds
        if not int(seeded["rows"]):
            self.say(f"history: {seeded['days']} days are in, the newest {seeded['last_day']}; nothing new came")
            return
        self.say(
            f"history landed: {seeded['days']} days / {int(seeded['rows']):,} {self.unit}, "
            f"the newest {seeded['last_day']} ({seconds:.0f} s)"
        )

    # --- the demo's past days --------------------------------------------------------------

    @property
    def replays(self) -> bool:
        """Whether the history is in, and past days are to happen that this start has not begun yet."""
        return self.landed and self.past is not None and self.replay_began is None

    def replay(self) -> None:
        """Begin to let the demo's past days happen, each by the real steps, in a process of its own."""
        assert self.past is not None
        self.replay_began = time.monotonic()
        self.say(
            f"the demo lives through the {self.past.count} days up to {self.past.last_day} ({past_days.VARIABLE}=0 "
            "leaves them out): a champion first, then day by day"
        )
        arguments = ("-m", "ml.cli.replay", "--model", self.name, "--to", str(self.past.last_day))
        self.steps.run(self._step("replay"), *arguments, shown=True)

    def _await_replay(self) -> None:
        """Wait until the past days have happened, and say what came of them."""
        if self.past is None or self.replay_began is None:
            return
        step = self._step("replay")
        self.steps.await_end(step, seconds=REPLAY_SECONDS)
        lived, seconds = self.steps.answer(step), time.monotonic() - self.replay_began
        self.past.over()
        self.parts["past days"] = seconds
        self.say(
            f"{lived['days']} days up to {lived['last_day']} replayed ({seconds:.0f} s): {lived['promoted']} promoted, "
            f"{lived['held']} held, {lived['alarms']} days in alarm; the newest day comes by Airflow"
        )

    # --- the loop --------------------------------------------------------------------------

    def close(self, startup: Startup) -> loop.Done | None:
        """Bring about champion, ingest, score and monitor, telling each as it comes; None on a day without data.

        Raises
        ------
        EvergreenError
            If a run failed, or training brought no champion.
        """
        self._await_replay()
        self._await_dags(startup)
        for verb in DAGS:
            if verb != "ingest":
                self._unpause(verb)
        self._ask_champion()
        if self.champion.version is not None:
            self.say(self.champion.sentence(self.settings.gate.metric))
        while True:
            move = self.steps.patiently(self._next_move)
            match move:
                case loop.Trigger(run_id):
                    self.say("training a first champion")
                    conf = {"reason": "no champion yet", "requested_by": "the first start of Evergreen"}
                    asked = partial(self.api.trigger, dag_id(self.name, "retrain"), run_id=run_id, conf=conf)
                    self.steps.patiently(asked)
                    self.training = run_id
                case loop.Recount(run_id):
                    self._recount(run_id)
                case loop.UnpauseIngest():
                    self._unpause("ingest")
                case loop.Failed(reason, run):
                    where = f": see {self._run_url(run)} or {self._run_logs(run)}" if run else ""
                    raise EvergreenError(reason + where)
                case loop.Rest(run):
                    self.say(
                        f"{run.partition_key}: no data are expected, and none came; the next day with data is scored"
                    )
                    return None
                case loop.Done():
                    self._tell_closed(move)
                    return move
                case loop.Wait():
                    self.tell_runs(self._runs)
                    self.steps.watch(LOOK_EVERY_SECONDS)

    def _unpause(self, verb: str) -> None:
        self.steps.patiently(partial(self.api.unpause, dag_id(self.name, verb)))

    def _recount(self, run_id: str) -> None:
        run = next(run for run in self._runs if (run.verb, run.run_id) == ("retrain", run_id))
        promotion = self.steps.patiently(lambda: summary.first_record(self.api, run, Promotion))
        if promotion is not None and promotion.promoted:  # the day may come while its metrics are looked up
            self._unpause("ingest")
        self._ask_champion()
        if self.champion.version is None:
            raise EvergreenError(f"training ended, and the gate let nobody serve: see {self._run_url(run)}")
        self._tell_trained(run)

    def _next_move(self) -> loop.NextMove:
        seen = loop.look(self.api, self.name, champion=self.champion.version, following=self.training)
        self._runs = seen.runs
        return loop.next_move(seen, datetime.now(UTC))

    def runs(self) -> tuple[Run, ...]:
        """Return the newest runs of the model's Dags, newest first."""
        return self.steps.patiently(lambda: self.api.runs(model=self.name))

    def _await_dags(self, startup: Startup) -> None:
        awaited = {dag_id(self.name, verb) for verb in DAGS}
        while not awaited <= set(self.steps.patiently(self.api.dags)):
            errors = [err for err in self.steps.patiently(self.api.import_errors) if not err.is_about_settings]
            if errors:
                raise EvergreenError("a Dag file cannot be parsed: " + "; ".join(map(str, errors)))
            if message := startup.look(["dag-processor"]):
                self.say(f"{message} (not all of {', '.join(DAGS)} are parsed)")
            self.steps.watch(LOOK_EVERY_SECONDS)
        self.earlier = {(r.dag_id, r.run_id) for r in self.runs() if r.finished}

    def _ask_champion(self) -> None:
        step = self._step("champion")
        self.steps.run(step, "-m", "ml.cli.champion", "--json", "--model", self.name)
        self.steps.await_end(step)
        self.champion = summary.Champion.read(self.steps.answer(step))

    def _tell_trained(self, run: Run) -> None:
        judged = summary.first_record(self.api, run, Evaluation)
        if judged is not None:
            base = {f"base_rate_{name}": value for name, value in judged.base_rate.items()}
            metrics = {**judged.challenger, **base, **self.champion.metrics}
            self.champion = replace(self.champion, metrics=metrics)
        self.say(f"{self.champion.sentence(self.settings.gate.metric)} (trained in {run.seconds or 0:.0f} s)")

    # --- telling ---------------------------------------------------------------------------

    def tell_runs(self, runs: Sequence[Run]) -> None:
        """Say what came of each run that has finished since the start, each once."""
        for run in reversed(runs):
            if run.finished and (run.dag_id, run.run_id) not in self.earlier:
                self._tell_run(run)

    def _tell_run(self, run: Run) -> None:
        if (run.dag_id, run.run_id) in self.reported or run.run_id == self.training:
            return
        self.reported.add((run.dag_id, run.run_id))
        day = (run.partition_key or run.run_id)[:10] if run.partition_key else run.run_id
        took = f" ({run.seconds:.0f} s)" if run.seconds is not None else ""
        if run.state != "success":
            self.say(f"{day} {run.verb} {run.state}: see {self._run_url(run)}")
        elif run.verb == "score" and (scored := summary.served_predictions(self.api, run)):
            self.say(f"{day} scored: {scored.rows:,} {self.unit} by champion v{scored.version}{took}")
        elif run.verb == "monitor" and (decision := summary.first_record(self.api, run, Decision)):
            self.say(f"{day} {summary.drift_sentence(decision)}{took}")
        else:
            done = {"ingest": "ingested", "retrain": "retrained", "score": "not scored"}.get(run.verb, "done")
            self.say(f"{day} {done}{took}")

    def _tell_closed(self, done: loop.Done) -> None:
        """Say what came of the newest day; what an earlier start has said already is one line and no news."""
        runs = (done.ingest, done.score, done.monitor)
        if all((run.dag_id, run.run_id) in self.earlier for run in runs):
            self.say(f"{done.ingest.partition_key} was ingested, scored and monitored before; nothing new is due")
            return
        for run in runs:
            if (run.dag_id, run.run_id) not in self.earlier:
                self._tell_run(run)

    def summarise(self, done: loop.Done) -> tuple[str, ...]:
        """Print the table; return what is missing from a whole loop."""
        trained = [r for r in self.runs() if (r.verb, r.run_id) == ("retrain", self.training)]
        runs = (*trained, done.ingest, done.score, done.monitor)
        for run in runs:
            self.parts[run.verb] = run.seconds or 0.0
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
        table = summary.table(evidence, metric=self.settings.gate.metric, parts=self.parts, unit=self.unit)
        say(f"\n{table}" if self.alone else f"\n{self.name}\n\n{table}")
        return summary.missing(evidence)

    def _run_url(self, run: Run) -> str:
        return f"{self.stack.airflow_url}/dags/{run.dag_id}/runs/{run.run_id}"

    def _run_logs(self, run: Run) -> Path:
        """Return the folder of a run's logs: the web pages are gone when the stack has stopped."""
        return self.stack.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
