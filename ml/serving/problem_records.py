"""Record in the storage what keeps a service from the champion, for *monitor*, which alerts people to it."""

from __future__ import annotations

import hashlib
import json
import socket
from datetime import UTC, datetime
from typing import Any

from ml.adapters import layout
from ml.errors import MissingArtifact
from ml.wiring import Services


def digest_of(problem: str) -> str:
    """Return what a problem is recorded under: the same one is recorded once, by whichever process."""
    return hashlib.sha256(problem.encode()).hexdigest()


def write(problem: str, *, version: int | None, serving_version: int | None, services: Services) -> None:
    """Record a problem with the version that came to serve, and the one that answers meanwhile."""
    facts = {
        "version": version,
        "serving_version": serving_version,
        "problem": problem,
        "host": socket.gethostname(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    services.storage.create_bytes(layout.serving_problem(digest_of(problem)), json.dumps(facts, indent=2).encode())


def resolve(services: Services) -> None:
    """Remove all problems of a model: its champion answers."""
    for name in services.storage.list(layout.SERVING_PROBLEMS):
        services.storage.delete(name)


def read(services: Services) -> list[dict[str, Any]]:
    """Return the problems that are recorded now."""
    problems = []
    for name in services.storage.list(layout.SERVING_PROBLEMS):
        try:
            problems.append(json.loads(services.storage.get_bytes(name)))
        except MissingArtifact:  # resolved just now
            continue
    return problems
