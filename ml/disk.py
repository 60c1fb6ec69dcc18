"""Name a full disk as what it is, wherever it shows: free space, and the step may be tried again."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ml.errors import Unavailable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SAID = re.compile(
    r"no space left on device|disk quota exceeded|file too large|database or disk is full", re.IGNORECASE
)


def is_full(problem: BaseException | str) -> bool:
    """Return whether an error, or what a program has said, comes of a disk without room, a quota or a file limit."""
    if isinstance(problem, str):
        return bool(_SAID.search(problem))
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno in FULL
    return bool(_SAID.search(str(problem)))


def full(where: object, description: str | None = None) -> Unavailable:
    """Return whose disk is full, in the system's words and with the next move."""
    words = description or "No space left on device"
    return Unavailable(
        f"the disk of {where} is full: free space there, then try again; nothing was half-written ({words})"
    )


@contextmanager
def naming_full_disk(where: object) -> Iterator[None]:
    """Turn what a full disk raises into `Unavailable`; any other error passes."""
    try:
        yield
    except OSError as err:
        if is_full(err):
            raise full(err.filename or where, err.strerror) from err
        raise
