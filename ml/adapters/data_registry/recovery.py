"""Find the newest whole version of a damaged registry, and let ``main`` lead to it again.

Versions are looked for where Git wrote down what ``main`` was, in the file that follows the head, and at last
among all commits that are stored. A version is whole if everything that it and those before it name can be read.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml.adapters.data_registry import commits, git
from ml.adapters.data_registry.manifest import ASSETS, MANIFEST
from ml.adapters.local_files import write_atomically
from ml.errors import EvergreenError

WHOLE = [MANIFEST, ".dvc/config", *(f"{asset}.dvc" for asset in ASSETS)]


@dataclass(frozen=True)
class Recovery:
    """What is wrong with a registry, and what leads out.

    Parameters
    ----------
    damage
        What is wrong; None if nothing is.
    rev
        The newest version that can be had back; None if there is none.
    empty
        Files of Git that a crash has left empty, to be moved away.
    """

    damage: str | None
    rev: str | None
    empty: tuple[Path, ...] = ()


def diagnose(repository: Path, url: str, hint: str | None) -> Recovery:
    """Return what is wrong with a local registry, and which version can be had back; nothing is changed.

    Parameters
    ----------
    hint
        The newest version that was seen, if somebody remembers it.
    """
    try:
        head = commits.newest(repository, url)
        if head is None:
            raise git.no_registry(url)
        _read_all(repository, head)
    except git.DamagedRegistry as err:
        damage = str(err)
    else:
        return Recovery(None, head)
    with tempfile.TemporaryDirectory(prefix="evergreen-registry-", ignore_cleanup_errors=True) as folder:
        # Reads them without refs or HEAD.
        objects = commits.init_bare(Path(folder, "objects.git"), borrow_from=repository)
        candidates = [*_list_recorded(repository, hint), *_list_readable(objects)]
        whole = next((rev for rev in dict.fromkeys(candidates) if _is_whole(objects, rev)), None)
    return Recovery(damage, whole, tuple(_find_empty_files(repository)))


def repair(repository: Path, url: str, recovery: Recovery) -> str:
    """Move empty files away and let ``main`` lead to the version that was found; return it."""
    if recovery.rev is None:
        raise git.damaged(url, "no version of it can be read, so nothing was changed")
    damaged_dir = repository / f"damaged-{int(time.time())}"
    for path in recovery.empty:
        target = damaged_dir / path.relative_to(repository)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    commits.init_bare(repository)
    line = f"{recovery.rev}\n".encode()
    write_atomically(repository / commits.BRANCH, lambda file: file.write(line))
    head = commits.newest(repository, url)
    if head is None:
        raise git.damaged(url, "main leads nowhere after the repair")
    _read_all(repository, head)
    return head


def _read_all(repository: Path, rev: str) -> None:
    """Read the newest files and walk through everything that leads to them; DamagedRegistry if that fails."""
    commits.read_files(repository, rev, WHOLE)
    try:
        git.run(["rev-list", "--objects", "--quiet", rev], repository=repository)
    except git.GitFailed as err:
        raise git.damaged(str(repository), str(err).splitlines()[0]) from err


def _is_whole(repository: Path, rev: str) -> bool:
    try:
        commit = commits.resolve(repository, rev)
        if commit is None:
            return False
        _read_all(repository, commit)
    except EvergreenError:
        return False
    return True


def _list_recorded(repository: Path, hint: str | None) -> list[str]:
    """List the versions that ``main`` has led to, the newest first."""
    log = repository / "logs" / commits.BRANCH
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    moves = [line.split()[1] for line in reversed(lines) if len(line.split()) > 1]
    return [*moves, *([hint] if hint else [])]


def _list_readable(objects: Path) -> list[str]:
    """List every commit that can be read, the newest first."""
    dated = [(when, rev) for rev in commits.list_stored(objects) if (when := _committed_at(objects, rev)) is not None]
    return [rev for _, rev in sorted(dated, reverse=True)]


def _committed_at(repository: Path, rev: str) -> tuple[int, int] | None:
    """Return when a commit was made and how many came before it; None if it cannot be read."""
    try:
        at = int(git.run(["show", "--no-patch", "--format=%ct", rev], repository=repository).split()[0])
        return at, int(git.run(["rev-list", "--count", rev], repository=repository))
    except (git.GitFailed, ValueError, IndexError):
        return None


def _find_empty_files(repository: Path) -> Iterator[Path]:
    """Find what a power cut leaves: objects and refs without content, which Git would take for written."""
    for folder in ("objects", "refs"):
        yield from sorted(
            path for path in (repository / folder).rglob("*") if path.is_file() and path.stat().st_size == 0
        )
    head = repository / "HEAD"
    if head.exists() and head.stat().st_size == 0:
        yield head
