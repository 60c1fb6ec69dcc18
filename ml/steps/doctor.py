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
from ml.steps import recover, succession, unrecorded, withdraw_champion
from ml.steps.command import execute, parser
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
INCONSISTENT = 3
RECOVER = "evergreen recover --repair"
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
    if (stuck := _unrecorded(seat, services) or _unfinished(seat, services) or _claim(seat, services)) is not None:
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


def _unrecorded(seat: succession.Seat, services: Services) -> Problem | None:
    """Look for changes of the champion that MLflow holds and the storage does not record."""
    entries = unrecorded.changes(seat, services)
    if not entries:
        return None
    said = unrecorded.in_words(entries, services)
    if moves := unrecorded.rebuildable(entries, services):
        return Problem(
            f"the storage lost its records of {said}, and holds their claims",
            "write the records again from the claims",
            lambda: unrecorded.rebuild(moves, services),
        )
    return Problem(
        f"the storage is older than MLflow, or somebody forged a decision: it does not record {said}",
        "leave these decisions out: the newest promotion that the storage records serves again, or nobody until a "
        f"challenger is promoted; if you vouch for a version as named here, run '{DOCTOR} --adopt N' instead",
        lambda: unrecorded.leave_out(entries, seat, services),
    )


def _unfinished(seat: succession.Seat, services: Services) -> Problem | None:
    """Look at the newest decision's record in MLflow."""
    if seat.last is None or seat.last.finished:
        return None
    return Problem(
        f"the record of '{seat.last.key}' is deleted, lost or not closed in MLflow, though its version serves",
        "restore it, or write it again from the storage",
        lambda: succession.settle(services, strict=False),
    )


def _claim(seat: succession.Seat, services: Services) -> Problem | None:
    """Look at the claim that waits after the newest decision."""
    if not services.tracking.has_book():
        return None  # to look makes nothing
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


def _registry(services: Services) -> list[dict[str, object]]:
    """Say whether the data registry can be read; to bring it back is another command's work."""
    try:
        damage = recover.run(services=services)["damage"]
    except EvergreenError as err:
        if err.retryable:
            raise
        damage = str(err)
    if damage is None:
        return []
    return [{"summary": damage, "remedy": "bring its newest whole version back", "repaired": False, "by": RECOVER}]


def run(*, services: Services, repair: bool = False, adopt: int | None = None) -> dict[str, object]:
    """Look for what is inconsistent, and repair one thing after the other if asked.

    Parameters
    ----------
    adopt
        A version that a person vouches for, as MLflow holds it: the storage records it first.

    Returns
    -------
    dict
        ``healthy`` (whether all agrees now), ``champion`` (the version that serves, or None) and ``problems``: of each
        its ``summary``, its ``remedy``, and whether it was ``repaired``. Without ``repair`` only the first is listed
        of problems that hide others. ``adopted`` describes the version that was adopted.
    """
    adopted: dict[str, object] = (
        {} if adopt is None else {"adopted": unrecorded.adopt(adopt, services).model_dump(mode="json")}
    )
    problems = _registry(services)
    broken = bool(problems)
    while (found := find(services)) is not None:
        again = repair and len(problems) < ROUNDS
        if again:
            logger.warning("doctor: %s; %s", found.summary, found.remedy)
            found.repair()
        problems.append({"summary": found.summary, "remedy": found.remedy, "repaired": again})
        if not again:
            break
    champion = succession.look(services).version
    return {"healthy": found is None and not broken, "champion": champion, "problems": problems, **adopted}


def show(facts: dict[str, object]) -> str:
    """Lay the findings out for people."""
    problems = facts["problems"]
    assert isinstance(problems, list)
    lines = [
        f"{each['summary']}\n  {'done' if each['repaired'] else each.get('by', 'with --repair')}: {each['remedy']}"
        for each in problems
    ]
    if isinstance(adopted := facts.get("adopted"), dict):
        lines.append(
            f"adopted: version {adopted['version']}, run {adopted['run_id']}, model file SHA-256 "
            f"{adopted['model_sha256']}, lineage SHA-256 {adopted['lineage_sha256']}"
        )
    serves = facts["champion"]
    lines.append(f"version {serves} serves" if serves is not None else "nobody serves: run the retrain Dag")
    lines.append("all agrees" if facts["healthy"] else f"inconsistent: run '{DOCTOR}', or what is named above")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print what is inconsistent, and repair it if asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--repair", action="store_true", help="lead out of what is inconsistent")
    arguments.add_argument(
        "--adopt", type=int, metavar="N", help="with --repair: a version that you vouch for, as MLflow holds it now"
    )
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    if options.adopt is not None and not options.repair:
        arguments.error("--adopt changes the storage's records: give --repair too")
    healthy = []

    def work() -> dict[str, object]:
        facts = run(services=open_services(), repair=options.repair, adopt=options.adopt)
        healthy.append(facts["healthy"])
        return facts

    code = execute(work, show=(lambda facts: json.dumps(facts, sort_keys=True)) if options.json else show)
    return code or (0 if healthy[0] else INCONSISTENT)


if __name__ == "__main__":
    sys.exit(main())
