"""Wait for servers while they make progress, and say which one is awaited and what it does."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from embedded.supervise import tail
from ml.errors import EvergreenError, SettingsError

VARIABLE = "EVERGREEN_START_SECONDS"
LONGEST_TIMES = 10
"""How many of these spans a start may take at most, progress or not."""

REPORT_SECONDS = 15.0
BUSY_SHARE = 0.05
"""The share of a core from which a process counts as at work; one that only waits uses less."""


def start_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Read after how many seconds without progress a start is given up; 180 unless said otherwise."""
    value = environ.get(VARIABLE) or "180"
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"{VARIABLE}={value!r} is not a number of seconds; give one, such as 600")
    return seconds


class Startup:
    """The servers that are awaited, and when one of them last made progress.

    Progress is a server that has come up, a log that has grown, or processor time used by an awaited server and
    its children.

    Parameters
    ----------
    logs, pids
        Each server's log, and the process of those that run.
    limit
        Seconds without progress after which waiting ends.
    """

    def __init__(
        self,
        logs: Mapping[str, Path],
        pids: Mapping[str, int],
        *,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logs, self.pids, self.limit, self.clock = logs, pids, limit, clock
        self.began = self.progress = self.reported = clock()
        self.seen: tuple[str, ...] = ()
        self.sizes: dict[str, int] = {}
        self.worked: dict[str, float] = {}

    def look(self, awaited: Sequence[str]) -> str | None:
        """Note what has moved; return a sentence for the user every quarter of a minute.

        Raises
        ------
        EvergreenError
            If nothing has moved for ``limit`` seconds, or in ten times that not all came up; it names the first server
            that is awaited, its log and the variable.
        """
        now = self.clock()
        if self._moved(awaited, now):
            self.progress = now
        idle, whole = now - self.progress, now - self.began
        if idle > self.limit:
            raise self._given_up(awaited, f"it made no progress for {idle:.0f} s: no line in its log, hardly any work")
        if whole > self.limit * LONGEST_TIMES:
            raise self._given_up(awaited, f"it is at work, but {whole:.0f} s have passed")
        if now - self.reported < REPORT_SECONDS:
            return None
        self.reported = now
        doing = "at work" if idle < REPORT_SECONDS else f"no progress for {idle:.0f} s of {self.limit:.0f} ({VARIABLE})"
        return f"  waiting for {', '.join(awaited)} ({whole:.0f} s; {doing}); log: {self.logs[awaited[0]]}"

    def _moved(self, awaited: Sequence[str], now: float) -> bool:
        sizes = {name: self.logs[name].stat().st_size for name in awaited if self.logs[name].exists()}
        work = {name: _processor_seconds(self.pids[name]) for name in awaited if name in self.pids}
        earlier_work = {name: self.worked.get(name, 0.0) for name in work}
        busy = any(
            used - earlier_work[name] > max(0.2, BUSY_SHARE * (now - self.progress)) for name, used in work.items()
        )
        moved = tuple(awaited) != self.seen or sizes != {name: self.sizes.get(name) for name in sizes} or busy
        if moved:
            self.seen, self.sizes, self.worked = tuple(awaited), sizes, work
        return moved

    def _given_up(self, awaited: Sequence[str], reason: str) -> EvergreenError:
        name, log = awaited[0], self.logs[awaited[0]]
        others = f" (also awaited: {', '.join(awaited[1:])})" if awaited[1:] else ""
        return EvergreenError(
            f"{name} did not come up{others}: {reason}. On a slow or busy machine set {VARIABLE} above "
            f"{self.limit:.0f}; the end of {log}:\n{tail(log)}"
        )


def _processor_seconds(pid: int) -> float:
    """Sum up the processor time of a process and its children; those that have ended count no more."""
    used = 0.0
    try:
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            times = member.cpu_times()
            used += times.user + times.system
    except psutil.Error:
        pass
    return used
