"""Check whether the data registry can be read, and bring a damaged one back to its newest whole version.

Without ``--repair`` nothing is changed.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from ml.adapters.data_registry import git, recovery
from ml.command_line import execute, parser
from ml.errors import EvergreenError
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(*, services: Services, repair: bool = False) -> dict[str, Any]:
    """Look at the registry, and repair it if asked to.

    Returns
    -------
    dict
        ``damage`` (None if there is none), ``data_version`` (the newest whole one, None without any),
        ``repaired`` and ``next`` (what to do now).
    """
    env = services.environment
    if not git.is_local(env.registry):
        services.registry.head()  # a broken mirror is fetched anew; what is wrong behind the URL is said here
        return {"damage": None, "data_version": services.registry.head(), "repaired": False, "next": "nothing"}
    repository = Path(env.registry).absolute()
    diagnosis = recovery.diagnose(repository, env.registry, _remembered(env.home / "data-version"))
    if diagnosis.damage is None or not repair:
        return {"damage": diagnosis.damage, "data_version": diagnosis.rev, "repaired": False, "next": _next(diagnosis)}
    version = recovery.repair(repository, env.registry, diagnosis)
    logger.info("recover: main leads to %s again", version)
    seen = _remembered(env.home / "data-version")
    lost = "" if seen in {None, version} else f" {seen} was the newest version seen, and is lost:"
    next_move = f"{lost} run Ingest again for the days since, or restore a newer backup"
    return {
        "damage": diagnosis.damage,
        "data_version": services.registry.head(),
        "repaired": True,
        "next": next_move.strip(),
    }


def _next(recovered: recovery.Recovery) -> str:
    if recovered.damage is None:
        return "nothing"
    if recovered.rev is None:
        return "restore the registry from a backup: no version of it can be read"
    return f"run it again with --repair, which leads main to {recovered.rev}; or restore a newer backup"


def _remembered(path: Path) -> str | None:
    """Read the newest version that was seen on this machine."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def main(argv: list[str] | None = None) -> int:
    """Print what was found; exit code 1 if the registry is damaged and was not repaired."""
    arguments = parser(__doc__)
    arguments.add_argument("--repair", action="store_true", help="bring the newest whole version back")
    options = arguments.parse_args(argv)

    def work() -> dict[str, Any]:
        result = run(services=open_services(), repair=options.repair)
        if result["damage"] and not result["repaired"]:
            raise EvergreenError(f"{result['damage']}. Next: {result['next']}")
        return result

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
