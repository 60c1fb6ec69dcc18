"""Record in the storage what keeps a service from the champion, for *monitor*, which alerts people to it."""

from __future__ import annotations

import hashlib
import json
import socket
from datetime import UTC, datetime
from typing import Any, Literal

from ml.adapters import layout
from ml.errors import MissingArtifact
from ml.wiring import Services

About = Literal["champion", "challenger"]
PREFIXES: dict[About, str] = {
    "champion": layout.serving.SERVING_PROBLEMS,
    "challenger": layout.serving.CHALLENGER_PROBLEMS,
}


def digest_of(problem: str) -> str:
    """Return what a problem is recorded under: the same one is recorded once, by whichever process."""
    return hashlib.sha256(problem.encode()).hexdigest()


def write(
    problem: str, *, version: int | None, serving_version: int | None, services: Services, about: About = "champion"
) -> None:
    """Record a problem with the version that came to serve, or to be asked, and the one that answers meanwhile."""
    facts = {
        "about": about,
        "version": version,
        "serving_version": serving_version,
        "problem": problem,
        "host": socket.gethostname(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    build = layout.serving.challenger_problem if about == "challenger" else layout.serving.serving_problem
    services.storage.create_bytes(build(digest_of(problem)), json.dumps(facts, indent=2).encode())


def resolve(services: Services, *, about: About = "champion") -> None:
    """Remove all problems of a model's champion, or of its challenger: it answers."""
    for name in services.storage.list(PREFIXES[about]):
        services.storage.delete(name)


def read(services: Services) -> list[dict[str, Any]]:
    """Return the problems that are recorded now, those of the champion first."""
    problems = []
    for name in [name for prefix in PREFIXES.values() for name in services.storage.list(prefix)]:
        try:
            problems.append(json.loads(services.storage.get_bytes(name)))
        except MissingArtifact:  # resolved just now
            continue
    return problems
