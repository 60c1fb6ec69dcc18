"""Read and write the commits of a bare repository, and exchange them with another one.

Nothing is ever checked out.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from ml.adapters.data_registry.git import DENIED, REFUSED, REMOTE_SECONDS, GitFailed, damaged, run, translate
from ml.adapters.local_files import write_atomically
from ml.errors import EvergreenError

log = logging.getLogger(__name__)
BRANCH = "refs/heads/main"
AUTHOR = "Evergreen <evergreen@localhost>"
LOCK_EXPIRES_SECONDS = 10

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
_BROKEN = (
    "bad object",
    "corrupt",
    "is empty",
    "unable to resolve reference",
    "unable to read",
    "missing blob",
    "missing tree",
    "missing commit",
    "did not send all necessary objects",
    "bad config",
    "inflate",
    "not a valid object",
)
_PACKING = (
    "gc.auto=200",
    "gc.autoPackLimit=40",
    "gc.autoDetach=false",
    "gc.packRefs=false",
    "pack.depth=250",
    "pack.threads=1",
)


class LostRace(Exception):
    """Somebody else's push came first."""


def resolve(repository: Path, rev: str) -> str | None:
    """Return the full hash of the commit that ``rev`` names, or None if the repository has none such."""
    command = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"]
    try:
        return run(command, repository=repository).decode().strip()
    except GitFailed as err:
        if any(sign in str(err).lower() for sign in (*DENIED, *REFUSED)):
            raise translate(err, str(repository)) from err
        return None


def newest(repository: Path, url: str) -> str | None:
    """Return the newest commit of ``main``; None if there is no repository, or nothing in it yet.

    Raises
    ------
    DamagedRegistry
        If there is a history that ``main`` does not lead to.
    """
    head = resolve(repository, BRANCH)
    if head is None and (reason := _why_no_head(repository)):
        raise damaged(url, reason)
    return head


def _why_no_head(repository: Path) -> str | None:
    """Return what is wrong with a repository whose ``main`` names no commit, or None if it is only empty."""
    if not (repository / "objects").is_dir():
        return "it has no folder 'objects'" if (repository / "refs").is_dir() else None
    ref = repository / BRANCH
    if ref.exists():
        text = ref.read_bytes().strip().decode(errors="replace")
        return f"{BRANCH} names {text[:40]}, which cannot be read" if text else f"{BRANCH} is empty"
    if not (repository / "HEAD").exists() or not (repository / "HEAD").read_bytes().strip():
        stored = any(path.is_file() for path in (repository / "objects").rglob("*"))
        return "its file HEAD is missing or empty" if stored else None
    try:
        run(["for-each-ref"], repository=repository)
    except GitFailed as err:
        return (str(err).splitlines() or ["Git cannot read it"])[0]
    return f"{BRANCH} is missing, and it holds commits" if len(list_stored(repository)) > 1 else None


def list_stored(repository: Path) -> list[str]:
    """List every commit that is stored, whether anything leads to it or not; [] if Git cannot say."""
    command = ["cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"]
    try:
        lines = run(command, repository=repository).decode().splitlines()
    except GitFailed:
        return []
    return [line.split()[1] for line in lines if line.startswith("commit ")]


def read_files(repository: Path, rev: str, names: Iterable[str]) -> dict[str, bytes]:
    """Read files of a commit in one go; a file that it lacks is left out.

    Raises
    ------
    DamagedRegistry
        If the commit names a file whose content is lost or cannot be read.
    """
    names = [f"{rev}^{{tree}}", *(f"{rev}:{name}" for name in names)]
    try:
        answer = run(["cat-file", "--batch"], repository=repository, stdin="".join(f"{n}\n" for n in names).encode())
    except GitFailed as err:
        raise damaged(str(repository), str(err).splitlines()[0]) from err
    files: dict[str, bytes] = {}
    for name in names:
        header, _, answer = answer.partition(b"\n")
        if header.endswith(b" missing"):
            continue
        try:
            size = int(header.split()[-1])
        except (ValueError, IndexError) as err:
            raise damaged(str(repository), f"{name} cannot be read") from err
        files[name], answer = answer[:size], answer[size + 1 :]
    top = files.pop(names[0], None)
    for name in (name for name in names[1:] if name not in files):
        folder, below, _ = name.removeprefix(f"{rev}:").partition("/")
        is_named = top is None or f" {folder}\0".encode() in top
        if is_named and (top is None or not below or _is_listed(repository, rev, name.removeprefix(f"{rev}:"))):
            raise damaged(str(repository), f"{name} is lost")
    return {name.removeprefix(f"{rev}:"): data for name, data in files.items()}


def _is_listed(repository: Path, rev: str, name: str) -> bool:
    try:
        return bool(run(["ls-tree", "--name-only", rev, "--", name], repository=repository))
    except GitFailed:
        return True


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
        message = str(err).lower()
        if any(sign in message for sign in _LOST_RACE) and not any(sign in message for sign in REFUSED):
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


def fetch(repository: Path, url: str, *, anew: bool = False) -> None:
    """Fetch ``main`` and the tags of ``url`` into a local mirror, one process at a time.

    The lock is the kernel's, so that it dies with its holder. A mirror that is broken is made anew.
    """
    repository.parent.mkdir(parents=True, exist_ok=True)
    command = ["fetch", "--quiet", "--no-write-fetch-head", url]
    with repository.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if anew:
            shutil.rmtree(repository, ignore_errors=True)
        try:
            _fetch(command, repository)
        except GitFailed as err:
            if not any(sign in str(err).lower() for sign in _BROKEN):
                raise translate(err, url) from err
            shutil.rmtree(repository, ignore_errors=True)
            try:
                _fetch(command, repository)
            except GitFailed as second_err:
                raise translate(second_err, url) from second_err
        pack(repository)


def _fetch(command: list[str], repository: Path) -> None:
    init_bare(repository)
    drop_expired_locks(repository)
    refs = [f"+{BRANCH}:{BRANCH}", "+refs/tags/*:refs/tags/*"]
    run([*command, *refs], repository=repository, seconds=REMOTE_SECONDS)


def pack(repository: Path, *, now: bool = False) -> None:
    """Pack what has come loose, if that is much; what goes wrong is logged and left to the next time.

    Nothing that a commit names is ever removed, so that readers and writers may go on meanwhile.

    Parameters
    ----------
    now
        Pack also little: the lists of a long history are large until they are packed to what has changed.
    """
    try:
        if now:
            run(["repack", "-d", "--quiet"], repository=repository, seconds=REMOTE_SECONDS, settings=_PACKING)
        run(["gc", "--auto", "--quiet"], repository=repository, seconds=REMOTE_SECONDS, settings=_PACKING)
    except (EvergreenError, OSError) as err:
        log.warning("the data registry %s could not be packed: %s", repository, err)


def is_empty(repository: Path, url: str) -> bool:
    """Return whether ``url`` is a repository without ``main``; MissingArtifact if it is none at all."""
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


def _fill(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())
