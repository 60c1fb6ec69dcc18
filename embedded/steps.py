"""Run the launcher's short-lived processes, and wait with an eye on everything that must live."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from embedded.config import Stack
from embedded.environment import stack_environment
from embedded.supervise import Supervisor, tail
from ml.errors import EvergreenError, Unavailable

STEP_SECONDS = 900.0
LOOK_EVERY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
LOGGED = re.compile(r"\d{4}([-/])\d\d\1\d\d \S+ (DEBUG|INFO) ")
"""How our own log and MLflow's begin a line."""

Answer = TypeVar("Answer")


class TimeIsOver(EvergreenError):
    """The launcher was given a time, and it has passed."""


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Steps:
    """Processes of the stack that end by themselves; ``deadline`` is monotonic time."""

    def __init__(self, stack: Stack, supervisor: Supervisor, *, deadline: float | None) -> None:
        self.stack = stack
        self.supervisor = supervisor
        self.deadline = deadline
        self._shown: dict[str, int] = {}

    def run(self, name: str, *arguments: str, shown: bool = False) -> None:
        """Start ``python arguments…``: its record goes to ``NAME.out``, its progress to ``NAME.log``, and to `show`."""
        log = self.stack.logs / f"{name}.log"
        if shown:
            self._shown[name] = log.stat().st_size if log.exists() else 0
        self.supervisor.run(
            name,
            (sys.executable, *arguments),
            env=stack_environment(self.stack),
            cwd=self.stack.project,
            log=log,
            out=self.stack.logs / f"{name}.out",
        )

    def await_end(self, name: str, *, seconds: float = STEP_SECONDS) -> None:
        """Wait for a step, and raise what it ended with if that is no success."""
        clock = time.monotonic()
        while name not in self.supervisor.exits:
            if time.monotonic() - clock > seconds:
                raise EvergreenError(f"{name} took more than {seconds:.0f} s; {self.logs()}")
            self.watch(0.3)
            self.show()
        if self.supervisor.exits[name].code != 0:
            self.answer(name)

    def answer(self, name: str) -> dict[str, Any]:
        """Read the record that a step printed; a step that failed is an error with the end of its log."""
        self.show()
        log, out = self.stack.logs / f"{name}.log", self.stack.logs / f"{name}.out"
        if code := self.supervisor.exits[name].code:
            raise EvergreenError(f"{name} failed with exit code {code}; the end of {log}:\n{tail(log)}")
        try:
            answer: dict[str, Any] = json.loads(out.read_text(encoding="utf-8").strip().splitlines()[-1])
        except (IndexError, ValueError) as err:
            raise EvergreenError(f"{name} printed no record; look at {out} and {log}") from err
        return answer

    def show(self) -> None:
        """Pass on what steps have said since the last look, in whole lines; not what they only log."""
        for name, seen in self._shown.items():
            log = self.stack.logs / f"{name}.log"
            if not log.exists():
                continue
            with log.open("rb") as file:
                file.seek(seen)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._shown[name] = seen + len(whole)
            for line in whole.decode("utf-8", errors="replace").splitlines():
                if not LOGGED.match(line):
                    say(f"  {line}")

    def watch(self, seconds: float) -> None:
        """Wait, while every server lives and time is left."""
        until = time.monotonic() + seconds
        while True:
            self.supervisor.watch(max(0.0, min(until - time.monotonic(), LOOK_EVERY_SECONDS)))
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise TimeIsOver("the time is over (EVERGREEN_DEMO_TIMEOUT, in seconds); " + self.logs())
            if time.monotonic() >= until:
                return

    def patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again for a minute while Airflow is too busy to answer."""
        clock = time.monotonic()
        while True:
            try:
                return ask()
            except Unavailable:
                if time.monotonic() - clock > PATIENCE_SECONDS:
                    raise
                self.watch(LOOK_EVERY_SECONDS)

    def logs(self) -> str:
        """Return where to look next; the end of many a message."""
        return f"look at the logs in {self.stack.logs}"
