"""Let no process of the stack outlive the one who asked for it.

``guard → launcher → servers → their workers → tasks``

The guard is the process that was started; the launcher (`embedded.supervise`) is forked from it before anything else
happens, with a session of its own. The guard hands signals on and waits. When the launcher is gone, however it went
(``kill -9`` too), the guard stops whatever it left behind, and ends with its exit code. On Linux it adopts what its
descendants leave behind, so a process that made its own group or session, or lost its parent, is still found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Container, Mapping

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 6.0
LOOK_SECONDS = 0.2
_notes = -1
"""The end of a pipe on which a launcher tells its guard what it started."""


def guarded(work: Callable[[], int], *, with_parent: bool = False) -> int:
    """Run ``work`` in a process of its own, the launcher; return its exit code once nothing of it is left.

    Parameters
    ----------
    with_parent
        Whether the end of this process's parent is the end of the launcher.
    """
    global _notes
    parent, guard = os.getppid(), os.getpid()
    adopt_orphans()
    notes, _notes = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        os.setsid()  # Ctrl-C reaches the guard only, which hands it on.
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # No signal comes for an end that was before that call.
        return work() if os.getppid() == guard else 128 + signal.SIGTERM
    os.close(_notes)
    for number in STOPPING:
        signal.signal(number, lambda number, _: _signal(launcher, number))
    while (ended := os.waitpid(launcher, os.WNOHANG)) == (0, 0):
        if with_parent and os.getppid() != parent:
            with_parent = False  # Once: a second signal means that nobody is waited for.
            _signal(launcher, signal.SIGTERM)
        time.sleep(LOOK_SECONDS)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(notes) as lines:
        waves = {int(pid): int(wave) for pid, wave in map(str.split, lines)}
    children = {child.pid for child in psutil.Process().children()}
    stop({pid: wave for pid, wave in waves.items() if pid in children})
    code = os.waitstatus_to_exitcode(ended[1])
    return code if code >= 0 else 128 - code


def note(pid: int, wave: int) -> None:
    """Tell the guard, if there is one, that a process was started, and when it is to be stopped."""
    if _notes >= 0:
        os.write(_notes, f"{pid} {wave}\n".encode())


def stop(waves: Mapping[int, int], *, hurried: Callable[[], bool] = lambda: False) -> list[str]:
    """End every descendant in another session: ``waves`` (by process) one by one, with time to finish, then by force.

    What remains is killed parents first, so that no supervisor is left to report its task as failed: Airflow takes
    up such a task again at the next start.

    Returns
    -------
    list of str
        Names of those that had to be killed.
    """
    for wave in sorted(set(waves.values())):
        pids = [pid for pid, its in waves.items() if its == wave]
        for pid in pids:
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(map(_lives, pids)) and time.monotonic() < deadline and not hurried():
            time.sleep(0.05)
    killed: dict[int, str] = {}
    for _ in range(200):
        left = [process for process in psutil.Process().children(recursive=True) if _in_other_session(process)]
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    killed.setdefault(process.pid, process.name())
                    process.kill()
        time.sleep(0.05)
        for process in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
    return sorted(set(killed.values()))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, where the system can do that."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans(own: Container[int]) -> None:
    """Let the system forget the adopted processes that have ended; ``own`` are those whose end the launcher looks at.

    Only in a launcher: elsewhere a child that is not ``own`` may be somebody else's in this process.
    """
    with contextlib.suppress(ChildProcessError):
        while _notes >= 0 and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            if ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _in_other_session(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) != os.getsid(0)
    except ProcessLookupError:
        return False
