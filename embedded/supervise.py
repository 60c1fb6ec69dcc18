"""Start processes, watch them, and stop every last one, by the means of `embedded.guard`."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from embedded import guard
from embedded.config import Stack
from embedded.servers import Server
from ml.adapters.private import make_private
from ml.errors import EvergreenError

TAIL_LINES = 15
LOG_BYTES = 5_000_000
LOOK_SECONDS = 0.1


class AlreadyRunning(EvergreenError):
    """Another process holds this stack."""

    exit_code = 2


class ChildDied(EvergreenError):
    """A process that had to live has ended; the message carries the tail of its log."""


@dataclass(frozen=True)
class Exit:
    """How a process ended: ``code`` is negative where a signal ended it; ``at`` is monotonic time."""

    name: str
    code: int
    at: float


class Hold:
    """The lock on one ``var/``: taken before the launcher is forked from its guard, and freed when both are gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1

    def take(self, note: str) -> None:
        """Take the lock, and leave ``note`` (who, where) for the next who tries.

        Raises
        ------
        AlreadyRunning
            With the note of the holder.
        """
        make_private(self.path.parent)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = self.path.read_text(encoding="utf-8").strip()
            os.close(self.fd)
            raise AlreadyRunning(
                f"Evergreen is running in {self.path.parent} already ({holder or 'and is stopping'}): "
                "stop it with Ctrl-C there, then try again"
            ) from err
        self.note(note)

    def note(self, text: str) -> None:
        """Write down who holds the lock, for the next who tries."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode() + b"\n", 0)


class Supervisor:
    """A context in which processes run; leaving it, however, stops them all.

    Raises
    ------
    ChildDied
        From `watch` and `wait_until`, if a server ends.
    """

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.exits: dict[str, Exit] = {}
        self.essential: dict[str, Path] = {}
        self.killed: tuple[str, ...] = ()
        self._running: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self._hurried = False

    def __enter__(self) -> Supervisor:
        guard.adopt_orphans()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, server: Server, *, cwd: Path) -> None:
        """Start a process that must live until `stop`."""
        self.essential[server.name] = server.log
        self._start(server.name, server.argv, server.env, cwd, server.log, wave=server.wave)

    def run(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, out: Path) -> None:
        """Start a process that ends by itself: its answer goes to ``out``, what it says to ``log``."""
        self.exits.pop(name, None)
        self._start(name, argv, env, cwd, log, out=out)

    def watch(self, seconds: float = 0.0) -> None:
        """See what has ended, waiting up to ``seconds`` for something to end."""
        deadline = time.monotonic() + seconds
        while not self._reap() and time.monotonic() < deadline:
            time.sleep(min(LOOK_SECONDS, seconds))
        for name, log in self.essential.items():
            if name in self.exits:
                raise ChildDied(f"{name} ended {_how(self.exits[name].code)}; the end of {log}:\n{tail(log)}")

    def wait_until(self, done: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Watch until ``done()`` is true, asking about twice a second.

        Raises
        ------
        EvergreenError
            If it takes longer than ``seconds``; ``what`` names the thing waited for.
        """
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise EvergreenError(f"{what} did not happen within {seconds:.0f} s; look at the logs")
            self.watch(0.4)

    def stop(self) -> None:
        """Stop everything, and return when nothing is left.

        While it works, another Ctrl-C or SIGTERM means: do not wait for anybody.
        """
        before = {number: signal.signal(number, self._hurry) for number in guard.STOPPING}
        try:
            waves = {child.pid: wave for child, wave in self._running.values()}
            self.killed += tuple(guard.stop(waves, hurried=lambda: self._hurried))
            self._reap()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hurry(self, *_: object) -> None:
        self._hurried = True

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        *,
        wave: int = 0,
        out: Path | None = None,
    ) -> None:
        for path in filter(None, (log, out)):
            path.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(log.suffix + ".1"))
        try:
            with log.open("ab") as err, out.open("wb") if out else log.open("ab") as std:
                child = subprocess.Popen(
                    argv,
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=std,
                    stderr=err,
                    start_new_session=True,
                )
        except OSError:
            self.exits[name] = Exit(name, 127, time.monotonic())
            return
        guard.note(child.pid, wave)
        self._running[name], self.pids[name] = (child, wave), child.pid

    def _reap(self) -> bool:
        """Note what has ended since the last look; return whether anything has."""
        ended = [name for name, (child, _) in self._running.items() if child.poll() is not None]
        for name in ended:
            child, _ = self._running.pop(name)
            del self.pids[name]
            self.exits[name] = Exit(name, child.returncode, time.monotonic())
        guard.reap_orphans(self.pids.values())
        return bool(ended)


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the launcher just as Ctrl-C does."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    for number in guard.STOPPING:
        signal.signal(number, leave)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, indented; a missing or empty log says so."""
    try:
        text = log.read_bytes()[-20_000:].decode("utf-8", errors="replace")
    except OSError:
        text = ""
    last_lines = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in last_lines) or "    (it wrote nothing)"


def take(stack: Stack) -> Hold:
    """Take the lock of a stack, or say who has it."""
    hold = Hold(stack.lock)
    hold.take(f"process {os.getpid()}, {stack.airflow_url}")
    return hold


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
