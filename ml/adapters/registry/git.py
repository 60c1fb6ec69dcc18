"""Run Git without its surroundings: no user, no hooks, no prompt, no end.

Everything here works on bare repositories and on commits; nothing is ever checked out.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from ml.adapters.objects import write_atomically
from ml.errors import EvergreenError, MissingArtifact, Unavailable

BRANCH = "refs/heads/main"
AUTHOR = "Evergreen <evergreen@localhost>"
LOCAL_SECONDS = 60
REMOTE_SECONDS = 180
LOCK_EXPIRES_SECONDS = 10

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
_LOST_RACE = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "cannot lock ref",
    "unable to create '",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
)
_DENIED = (
    "authentication failed",
    "permission denied",
    "could not read username",
    "could not read password",
    "host key verification failed",
    "error: 403",
    "error: 401",
)
_REFUSED = ("hook declined", "protected branch", "dubious ownership", "insufficient permission")
_TELLING = re.compile(r"^fatal:|\[remote rejected\]|\[rejected\]")
_ABSENT = (
    "does not appear to be a git repository",
    "repository not found",
    "not found",
    "does not exist",
    "couldn't find remote ref",
    "not a git repository",
)


class LostRace(Exception):
    """Somebody else's push came first."""


class GitFailed(Exception):
    """Git ended with an error; the message is what it said."""


def is_local(url: str) -> bool:
    """Tell a path of this machine from a URL and from ``host:path``."""
    return "://" not in url and not re.match(r"[^/]+:", url)


def run(args: Iterable[str], *, repository: Path, stdin: bytes = b"", seconds: float = LOCAL_SECONDS) -> bytes:
    """Run one Git command on a bare repository and return what it printed.

    Raises
    ------
    GitFailed
        If Git ended with an error.
    Unavailable
        If it did not end in time; it and its children are then gone.
    """
    command = ["git", f"--git-dir={repository}"]
    for setting in _CONFIG:
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
        raise GitFailed((err + b"\n" + out).decode(errors="replace").strip())
    return out


def resolve(repository: Path, rev: str) -> str | None:
    """Give the full hash of the commit that ``rev`` names, or None if the repository has none such."""
    command = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"]
    try:
        return run(command, repository=repository).decode().strip()
    except GitFailed as err:
        if any(sign in str(err).lower() for sign in (*_DENIED, *_REFUSED)):
            raise translate(err, str(repository)) from err
        return None


def read_files(repository: Path, rev: str, names: Iterable[str]) -> dict[str, bytes]:
    """Read files at the top of a commit in one go; a file that it lacks is left out."""
    names = list(names)
    asked = "".join(f"{rev}:{name}\n" for name in names).encode()
    answer = run(["cat-file", "--batch"], repository=repository, stdin=asked)
    files = {}
    for name in names:
        header, _, answer = answer.partition(b"\n")
        if header.endswith(b" missing"):
            continue
        size = int(header.split()[-1])
        files[name], answer = answer[:size], answer[size + 1 :]
    return files


def write_commit(repository: Path, *, parent: str | None, files: dict[str, bytes], message: str, at: int) -> str:
    """Write a commit that changes ``files`` of its parent, without a checkout; return its hash.

    Parameters
    ----------
    repository
        Receives the objects; its own ``main`` moves, so give a scratch one.
    at
        When, in seconds since 1970.
    """
    text = message.encode()
    stream = [f"commit {BRANCH}\nmark :1\ncommitter {AUTHOR} {at} +0000\ndata {len(text)}\n".encode(), text]
    if parent:
        stream.append(f"\nfrom {parent}".encode())
    for name, data in files.items():
        stream += [f"\nM 100644 inline {name}\ndata {len(data)}\n".encode(), data]
    stream.append(b"\nget-mark :1\ndone\n")
    out = run(
        ["fast-import", "--quiet", "--done", "--date-format=raw"],
        repository=repository,
        stdin=b"".join(stream),
    )
    return out.decode().split()[0]


def push(repository: Path, url: str, commit: str) -> None:
    """Move ``main`` of ``url`` forward to ``commit``: the moment at which a version exists.

    Raises
    ------
    LostRace
        If ``main`` there is not the commit's parent any more.
    """
    try:
        run(["push", "--quiet", url, f"{commit}:{BRANCH}"], repository=repository, seconds=REMOTE_SECONDS)
    except GitFailed as err:
        said = str(err).lower()
        if any(sign in said for sign in _LOST_RACE) and not any(sign in said for sign in _REFUSED):
            raise LostRace(str(err)) from err
        raise translate(err, url) from err


def init_bare(folder: Path, *, config: str = "", borrow_from: Path | None = None) -> Path:
    """Make a bare repository, or complete one that a killed process began.

    Needs no lock, unlike ``git init``, so that two at once and a crash half-way do no harm.

    Parameters
    ----------
    config
        Sections to add to the bare minimum; an existing ``config`` file is kept as it is.
    borrow_from
        A repository whose objects the new one sees without copying.
    """
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "objects" / "info").mkdir(parents=True, exist_ok=True)
    if borrow_from is not None:
        (folder / "objects" / "info" / "alternates").write_text(f"{borrow_from.absolute() / 'objects'}\n")
    minimum = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    for name, text in (("config", minimum + config), ("HEAD", f"ref: {BRANCH}\n")):
        if not (folder / name).exists():
            write_atomically(folder / name, functools.partial(_fill, text))
    return folder


def fetch(repository: Path, url: str) -> None:
    """Bring ``main`` and the tags of ``url`` into a local mirror, one process at a time.

    The lock is the kernel's, so that it dies with its holder.
    """
    repository.parent.mkdir(parents=True, exist_ok=True)
    command = ["fetch", "--quiet", "--no-write-fetch-head", url]
    with repository.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        init_bare(repository)
        drop_expired_locks(repository)
        try:
            run(
                [*command, f"+{BRANCH}:{BRANCH}", "+refs/tags/*:refs/tags/*"],
                repository=repository,
                seconds=REMOTE_SECONDS,
            )
        except GitFailed as err:
            raise translate(err, url) from err


def is_empty(repository: Path, url: str) -> bool:
    """Say whether ``url`` is a repository without ``main``; MissingArtifact if it is none at all."""
    try:
        return not run(["ls-remote", url, BRANCH], repository=repository, seconds=REMOTE_SECONDS)
    except GitFailed as err:
        raise translate(err, url) from err


def drop_expired_locks(repository: Path) -> None:
    """Remove ref locks whose holder must have been killed: Git holds them for milliseconds."""
    for name in (f"{BRANCH}.lock", "packed-refs.lock", "HEAD.lock", "FETCH_HEAD.lock"):
        lock = repository / name
        with contextlib.suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > LOCK_EXPIRES_SECONDS:
                lock.unlink()


def translate(err: GitFailed, url: str) -> EvergreenError:
    """Say in our words what Git said of a repository."""
    said = str(err).lower()
    lines = str(err).splitlines() or ["no message"]
    last = next((line.strip() for line in lines if _TELLING.search(line)), lines[-1])
    if any(sign in said for sign in _DENIED):
        return EvergreenError(f"data registry {url}: access denied ({last}); check the Git credentials")
    if any(sign in said for sign in _REFUSED):
        return EvergreenError(f"data registry {url}: refused ({last}); ask who runs the Git server")
    if any(sign in said for sign in _ABSENT):
        return no_registry(url)
    return Unavailable(f"data registry {url}: {last}; check that it answers, then try again")


def no_registry(url: str) -> MissingArtifact:
    """Say that there is no data registry, and how to make one."""
    return MissingArtifact(f"there is no data registry at {url}; run 'make setup'")


def _fill(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or _KEPT.fullmatch(k)}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "LANGUAGE": "C"}
