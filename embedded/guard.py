"""Own every process of the stack, and let none outlive the one who asked for them.

``launcher ⇄ guard → servers → their workers → tasks``

The launcher (`embedded.supervise`) tells the guard over its standard input what to start and when
to stop, one JSON object a line, and hears of starts and exits on its standard output. When that
pipe closes, for whatever reason (``kill -9`` too), the guard stops everything and ends. On Linux it
adopts what its descendants leave behind, so a process that made its own group or session, or lost
its parent, is still found.

Run as a file, not as a module: it imports the standard library and psutil only, and starts in a
tenth of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 6.0
LOG_BYTES = 5_000_000


class Guard:
    """Starts, watches and stops child processes on behalf of whoever holds the other end."""

    def __init__(self, commands: int, events: int) -> None:
        self.commands = commands
        self.events = events
        self.names: dict[int, str] = {}
        self.waves: dict[int, int] = {}
        self.heard = b""
        self.orders: deque[dict[str, Any]] = deque()
        self.alone = False

    def run(self, wakeup: int) -> None:
        """Serve until told to stop, or until the launcher is gone."""
        while not self.alone:
            ready, _, _ = select.select([self.commands, wakeup], [], [])
            if wakeup in ready:
                os.read(wakeup, 4096)
            if self.commands in ready:
                self._listen()
            self._reap()
            while self.orders:
                order = self.orders.popleft()
                if order["do"] == "start":
                    self._start(order)
                elif order["do"] == "stop":
                    self._tell({"saw": "stopped", "killed": self.stop()})
                    return
        self.stop()

    def stop(self) -> list[str]:
        """End every descendant: by waves, with time to finish, then by force.

        What remains is killed parents first, so that no supervisor is left to report its task as
        failed: Airflow takes up such a task again at the next start.

        Returns
        -------
        list of str
            Names of those that had to be killed.
        """
        for wave in sorted(set(self.waves.values())):
            told = [pid for pid, its in self.waves.items() if its == wave]
            for pid in told:
                _signal(pid, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while any(pid in self.names for pid in told) and time.monotonic() < deadline:
                if self._hurried():
                    break
                time.sleep(0.05)
                self._reap()
        killed = []
        for _ in range(200):
            left = psutil.Process().children(recursive=True)
            if not left:
                break
            for process in left:
                with contextlib.suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        killed.append(self.names.get(process.pid) or process.name())
                        process.kill()
            time.sleep(0.05)
            self._reap()
        return sorted(set(killed))

    def _hurried(self) -> bool:
        """Say whether a second order to stop has come: then nobody is waited for."""
        if self.alone or not select.select([self.commands], [], [], 0)[0]:
            return False
        self._listen()
        return any(order["do"] == "stop" for order in self.orders)

    def _listen(self) -> None:
        heard = os.read(self.commands, 1 << 16)
        if not heard:
            self.alone = True
            return
        *lines, self.heard = (self.heard + heard).split(b"\n")
        self.orders.extend(json.loads(line) for line in lines)

    def _start(self, order: dict[str, Any]) -> None:
        log = Path(order["log"])
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(log.suffix + ".1"))
        out = order.get("out")
        try:
            with log.open("ab") as err, Path(out).open("wb") if out else log.open("ab") as std:
                child = subprocess.Popen(
                    order["argv"],
                    env=order["env"],
                    cwd=order["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=std,
                    stderr=err,
                    process_group=0,
                )
        except OSError as err_:
            self._tell({"saw": "exit", "name": order["name"], "pid": None, "code": 127, "why": str(err_)})
            return
        child.returncode = 0  # Reaped by _reap, not by subprocess.
        self.names[child.pid] = order["name"]
        self.waves[child.pid] = order["wave"]
        self._tell({"saw": "start", "name": order["name"], "pid": child.pid})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self.names.pop(pid, None)
            self.waves.pop(pid, None)
            if name is not None:
                code = os.waitstatus_to_exitcode(status)
                self._tell({"saw": "exit", "name": name, "pid": pid, "code": code})

    def _tell(self, event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # The launcher may be gone: then nobody needs to know.
            os.write(self.events, json.dumps(event).encode() + b"\n")


def adopt_orphans() -> bool:
    """Become the parent of every descendant that loses its own; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    """Guard the descendants of this process, told and heard through standard input and output."""
    adopt_orphans()
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    guard = Guard(sys.stdin.fileno(), sys.stdout.fileno())

    def leave(*_: object) -> None:
        guard.alone = True

    signal.signal(signal.SIGTERM, leave)
    guard.run(read)


if __name__ == "__main__":
    main()
