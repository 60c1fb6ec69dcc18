"""Run Git without its surroundings (no user, no hooks, no prompt, no end), and put its errors into words."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ml import disk
from ml.errors import EvergreenError, MissingArtifact, Unavailable
from ml.urls import redact, without_secrets

LOCAL_SECONDS = 60
REMOTE_SECONDS = 180
_CONFIG = (
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "push.gpgSign=false",
    "fetch.writeCommitGraph=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
)
# What leads Git to the network, its credentials and its settings stays; what a surrounding hook or
# command sets (GIT_DIR, GIT_INDEX_FILE, GIT_QUARANTINE_PATH, GIT_AUTHOR_NAME, ...) goes.
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_.*|HTTP_.*|PROXY_.*|ALLOW_PROTOCOL|EXEC_PATH|TRACE.*"
    r"|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+))"
)
DENIED = (
    "authentication failed",
    "permission denied",
    "could not read username",
    "could not read password",
    "host key verification failed",
    "error: 403",
    "error: 401",
)
REFUSED = ("hook declined", "protected branch", "dubious ownership", "insufficient permission")
_TELLING = re.compile(r"^fatal:|\[remote rejected\]|\[rejected\]")
_ABSENT = (
    "does not appear to be a git repository",
    "repository not found",
    "not found",
    "does not exist",
    "couldn't find remote ref",
    "not a git repository",
)


class GitFailed(EvergreenError):
    """Git ended with an error; the message is what it said, without secrets."""


class DamagedRegistry(EvergreenError):
    """The registry is there and cannot be read: it must be restored, never made anew."""


def is_local(url: str) -> bool:
    """Return whether ``url`` is a path of this machine, and neither a URL nor ``host:path``."""
    return "://" not in url and not re.match(r"[^/]+:", url)


def run(
    args: Iterable[str],
    *,
    repository: Path,
    stdin: bytes = b"",
    seconds: float = LOCAL_SECONDS,
    settings: Iterable[str] = (),
) -> bytes:
    """Run one Git command on a bare repository and return what it printed.

    Raises
    ------
    GitFailed
        If Git ended with an error.
    Unavailable
        If it did not end in time (it and its children are then gone), or if a disk is full.
    """
    command = ["git", f"--git-dir={repository}"]
    for setting in (*_CONFIG, *settings):
        command += ["-c", setting]
    process = subprocess.Popen(
        [*command, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except BaseException as problem:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(problem, subprocess.TimeoutExpired):
            raise Unavailable(f"git {next(iter(args))} took over {seconds:.0f} s; try again") from problem
        raise
    if process.returncode:
        message = redact((err + b"\n" + out).decode(errors="replace").strip())
        if disk.is_full(message):
            raise disk.full(f"the data registry {repository}, or of what it is pushed to") from GitFailed(message)
        raise GitFailed(message)
    return out


def damaged(url: str, reason: str) -> DamagedRegistry:
    """Build the error of a registry that is there and is broken, with what leads out."""
    return DamagedRegistry(
        f"the data registry {without_secrets(url)} is damaged: {redact(reason)}. Nothing was written. "
        "'evergreen recover' says what can be had back, and with --repair does it; or restore it from a backup"
    )


def translate(err: GitFailed, url: str) -> EvergreenError:
    """Return the error that says in our words what Git wrote about a repository."""
    message = str(err).lower()
    lines = str(err).splitlines() or ["no message"]
    last = next((line.strip() for line in lines if _TELLING.search(line)), lines[-1])
    url = without_secrets(url)
    if any(sign in message for sign in DENIED):
        return EvergreenError(f"data registry {url}: access denied ({last}); check the Git credentials")
    if any(sign in message for sign in REFUSED):
        return EvergreenError(f"data registry {url}: refused ({last}); ask who runs the Git server")
    if any(sign in message for sign in _ABSENT):
        return no_registry(url)
    return Unavailable(f"data registry {url}: {last}; check that it answers, then try again")


def no_registry(url: str) -> MissingArtifact:
    """Build the error of a data registry that is not there, with how to make one."""
    return MissingArtifact(f"there is no data registry at {without_secrets(url)}; run 'make setup'")


def _environment() -> dict[str, str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or _KEPT.fullmatch(k)}
    return variables | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "LANGUAGE": "C"}
