"""List what is inconsistent between the storage's claims, MLflow's decisions, aliases and models; repair it if asked.

Exit code 0: healthy, or repaired; 3: inconsistent. Safe to kill, to run twice, and two at once.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ml.adapters.journal import DOCTOR
from ml.errors import EvergreenError
from ml.steps import succession, withdraw_champion
from ml.steps.command import execute, parser
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
INCONSISTENT = 3
ROUNDS = 10
"""So many repairs are made in one call: each may bring the next one to light."""


@dataclass(frozen=True)
class Problem:
    """What is inconsistent, what a repair would do, and the repair itself."""

    summary: str
    remedy: str
    repair: Callable[[], object]


def find(services: Services) -> Problem | None:
    """Find the first thing that is inconsistent, and change nothing; None if all agrees."""
    tracking = services.tracking
    if (deleted := tracking.deleted_experiments()) != ():
        return Problem(
            f"MLflow's experiments {', '.join(deleted)} were deleted", "restore them", tracking.restore_experiments
        )
    seat = succession.look(services)
    if seat.last is not None and not seat.last.finished:
        return Problem(
            f"the record of '{seat.last.key}' is deleted, lost or not closed in MLflow, though its version serves",
            "restore it, or write it again from the storage",
            lambda: succession.settle(services, strict=False),
        )
    if (stuck := _claim(seat, services)) is not None:
        return stuck
    if seat.reign is not None and (problem := withdraw_champion.cannot_serve(seat.reign, services)):
        return Problem(
            problem,
            "withdraw it: the champion before it serves again if it can, else nobody until a challenger is promoted",
            lambda: withdraw_champion.champion(seat, problem, services, asked_by="doctor"),
        )
    if wrong := succession.misplaced(seat, services):
        places = ", ".join(
            f"{alias} to version {to}" if to is not None else f"{alias} to nowhere" for alias, to in wrong.items()
        )
        return Problem(
            f"aliases are not where the decisions say: {', '.join(wrong)}",
            f"move {places}",
            lambda: succession.mend(services),
        )
    return None


def _claim(seat: succession.Seat, services: Services) -> Problem | None:
    """Look at the claim that waits after the newest decision."""
    name = services.journal.slot(services.tracking.book(), succession.after(seat))
    where = services.storage.uri(name)
    try:
        move = succession.claimed(seat, services)
    except EvergreenError as err:
        if err.retryable:
            raise
        return Problem(f"{where} is damaged", "put it aside", lambda: services.journal.set_aside(name))
    if move is None:
        return None
    try:
        succession.check_model(move, services)
    except EvergreenError as err:
        if err.retryable:
            raise
        why = str(err)
        return Problem(
            f"'{move.key}' was claimed ({where}), and cannot be carried out: {why}",
            "withdraw that claim: what it was about is judged again",
            lambda: services.journal.withdraw(name, why),
        )
    return Problem(
        f"'{move.key}' was claimed, and is not carried out",
        "carry it out",
        lambda: succession.settle(services, strict=False),
    )


def run(*, services: Services, repair: bool = False) -> dict[str, object]:
    """Look for what is inconsistent, and repair one thing after the other if asked.

    Returns
    -------
    dict
        ``healthy`` (whether all agrees now), ``champion`` (the version that serves, or None) and ``problems``: of each
        its ``summary``, its ``remedy``, and whether it was ``repaired``. Without ``repair`` only the first is listed
        of problems that hide others.
    """
    problems: list[dict[str, object]] = []
    while (found := find(services)) is not None:
        if repair and len(problems) < ROUNDS:
            logger.warning("doctor: %s; %s", found.summary, found.remedy)
            found.repair()
        problems.append(
            {"summary": found.summary, "remedy": found.remedy, "repaired": repair and len(problems) < ROUNDS}
        )
        if not problems[-1]["repaired"]:
            break
    return {"healthy": found is None, "champion": succession.look(services).version, "problems": problems}


def show(facts: dict[str, object]) -> str:
    """Lay the findings out for people."""
    problems = facts["problems"]
    assert isinstance(problems, list)
    lines = [
        f"{each['summary']}\n  {'done' if each['repaired'] else 'with --repair'}: {each['remedy']}" for each in problems
    ]
    serves = facts["champion"]
    lines.append(f"version {serves} serves" if serves is not None else "nobody serves: run the retrain Dag")
    lines.append("all agrees" if facts["healthy"] else f"inconsistent: run '{DOCTOR}'")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print what is inconsistent, and repair it if asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--repair", action="store_true", help="lead out of what is inconsistent")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    healthy = []

    def work() -> dict[str, object]:
        facts = run(services=open_services(), repair=options.repair)
        healthy.append(facts["healthy"])
        return facts

    code = execute(work, show=(lambda facts: json.dumps(facts, sort_keys=True)) if options.json else show)
    return code or (0 if healthy[0] else INCONSISTENT)


if __name__ == "__main__":
    sys.exit(main())
