"""Start processes, watch them, and stop every last one: the launcher's side of `embedded.guard`."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from embedded import guard
from embedded.config import Server, Stack
from ml.adapters.private import make_private
from ml.errors import EvergreenError

TAIL_LINES = 15


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
    """The lock on one ``var/``: held by the launcher and by its guard, freed when both are gone."""

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
        """Say who holds the lock."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode() + b"\n", 0)


class Supervisor:
    """A context in which processes run; leaving it, however, stops them all.

    Raises
    ------
    ChildDied
        From `watch` and `wait_until`, if a server ends.
    """

    def __init__(self, hold: Hold | None = None) -> None:
        self.hold = hold
        self.pids: dict[str, int] = {}
        self.exits: dict[str, Exit] = {}
        self.essential: dict[str, Path] = {}
        self.killed: tuple[str, ...] = ()
        self._heard = b""
        self._stopped = False

    def __enter__(self) -> Supervisor:
        guard.adopt_orphans()  # Should the guard itself be killed, its children come to us.
        self._guard = subprocess.Popen(
            [sys.executable, "-P", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(self.hold.fd,) if self.hold else (),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, server: Server, *, cwd: Path) -> None:
        """Start a process that must live until `stop`."""
        self.essential[server.name] = server.log
        self._order("start", server.name, server.argv, server.env, cwd, server.log, wave=server.wave)

    def run(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, out: Path) -> None:
        """Start a process that ends by itself: its answer goes to ``out``, what it says to ``log``."""
        self.exits.pop(name, None)
        self._order("start", name, argv, env, cwd, log, out=out, wave=0)

    def watch(self, seconds: float = 0.0) -> None:
        """Hear what happened, waiting up to ``seconds`` for something to happen."""
        self._hear(seconds)
        for name, log in self.essential.items():
            if name in self.exits:
                raise ChildDied(f"{name} ended {_how(self.exits[name].code)}; the end of {log}:\n{tail(log)}")
        if self._guard.poll() is not None:
            raise ChildDied(f"the guard process ended {_how(self._guard.returncode)}; start again")

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
        if self._stopped:
            return
        self._stopped = True
        before = {number: signal.signal(number, self._hurry) for number in STOPPING}
        try:
            self._tell({"do": "stop"})
            while self._guard.poll() is None:
                self._hear(0.2)
            self._kill_left_behind()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for pipe in (self._guard.stdin, self._guard.stdout):
                if pipe is not None:
                    pipe.close()

    def _hurry(self, *_: object) -> None:
        self._tell({"do": "stop"})

    def _kill_left_behind(self) -> None:
        """End what a killed guard left: those that came to us, and those of its session."""
        for _ in range(100):
            left = [p for p in psutil.Process().children(recursive=True) if p.pid in self._guarded()]
            if not left:
                return
            for process in left:
                process.kill()
            time.sleep(0.05)
            self._reap(left)

    def _guarded(self) -> set[int]:
        guarded = set()
        for process in psutil.Process().children(recursive=True):
            try:
                if os.getsid(process.pid) != os.getsid(0) or process.pid in self.pids.values():
                    guarded.add(process.pid)
            except ProcessLookupError:
                continue
        return guarded

    def _reap(self, processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue

    def _order(
        self,
        do: str,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        *,
        wave: int,
        out: Path | None = None,
    ) -> None:
        for path in filter(None, (log, out)):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._tell(
            {
                "do": do,
                "name": name,
                "argv": list(argv),
                "env": dict(env),
                "cwd": str(cwd),
                "log": str(log),
                "out": str(out) if out else None,
                "wave": wave,
            }
        )

    def _tell(self, order: Mapping[str, object]) -> None:
        assert self._guard.stdin is not None
        try:
            data = json.dumps(order).encode() + b"\n"
            while data:
                data = data[os.write(self._guard.stdin.fileno(), data) :]
        except BrokenPipeError:
            pass  # A dead guard is noticed by watch.

    def _hear(self, seconds: float) -> None:
        assert self._guard.stdout is not None
        fd = self._guard.stdout.fileno()
        while select.select([fd], [], [], seconds)[0]:
            heard = os.read(fd, 1 << 16)
            if not heard:
                time.sleep(0.01)
                return
            *lines, self._heard = (self._heard + heard).split(b"\n")
            for line in lines:
                self._note(json.loads(line))
            seconds = 0.0

    def _note(self, event: Mapping[str, object]) -> None:
        name = str(event.get("name"))
        if event["saw"] == "start":
            self.pids[name] = int(str(event["pid"]))
        elif event["saw"] == "exit":
            self.pids.pop(name, None)
            self.exits[name] = Exit(name, int(str(event["code"])), time.monotonic())
        elif event["saw"] == "stopped" and isinstance(event["killed"], list):
            self.killed = tuple(event["killed"])


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the launcher just as Ctrl-C does."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, leave)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Give the last lines of a log, indented; a missing or empty log says so."""
    try:
        text = log.read_bytes()[-20_000:].decode("utf-8", errors="replace")
    except OSError:
        text = ""
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (it wrote nothing)"


def take(stack: Stack) -> Hold:
    """Take the lock of a stack, or say who has it."""
    hold = Hold(stack.lock)
    hold.take(f"process {os.getpid()}, {stack.airflow_url}")
    return hold


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
