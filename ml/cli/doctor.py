"""List what is inconsistent between the storage's claims, MLflow's decisions, aliases and models; repair it if asked.

Without ``--repair`` it looks at the channels of alerts too, as far as that can be done without sending one.
Exit code 0: healthy, or repaired; 1: a part could not be read; 3: inconsistent, or a channel cannot deliver.
Safe to kill, to run twice, and two at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import Any

from ml.adapters.champion_changes import DOCTOR
from ml.champions import serving_state, unrecorded
from ml.cli import channel_check
from ml.cli.problems import Examination, Problem, find
from ml.command_line import FAILED, execute, parser
from ml.errors import EvergreenError
from ml.next_moves import retrain
from ml.settings import configured_models
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
INCONSISTENT = 3
ROUNDS = 200
"""So many repairs are made in one call: each may bring the next one to light."""

STATES = {channel_check.WORKS: "works", channel_check.WRONG: "cannot deliver", channel_check.UNSEEN: "not judged"}
COMES_BACK = 3
"""So often one and the same problem is repaired in one call."""


def run(*, services: Services, repair: bool = False, adopt: int | None = None) -> dict[str, Any]:
    """Look for what is inconsistent, and repair one thing after the other if asked.

    Parameters
    ----------
    adopt
        A version that a person vouches for, as MLflow holds it: the storage records it first.

    Returns
    -------
    dict
        ``healthy`` (whether all agrees now), ``champion`` (the version that serves, or None) and ``problems``: of each
        its ``summary``, its ``remedy``, whether it was ``repaired``, whether it is about a part that is ``unreadable``,
        and by what it is repaired (``by``). ``adopted`` describes the version that was adopted.
    """
    adopted: dict[str, object] = (
        {} if adopt is None else {"adopted": unrecorded.adopt(adopt, services).model_dump(mode="json")}
    )
    repaired: list[Problem] = []
    failed: dict[str, str] = {}
    while True:
        left = find(services)
        todo = [problem for problem in left if problem.repair is not None and problem.summary not in failed]
        if not repair or not todo or len(repaired) >= ROUNDS:
            break
        _repair(todo[0], repaired, failed)
    problems = [_facts(problem, repaired=True) for problem in repaired]
    problems += [_facts(problem, repaired=False, reason=failed.get(problem.summary)) for problem in left]
    champion = Examination().look_at("who serves", lambda: serving_state.read_serving(services).version)
    return {"healthy": not left, "champion": champion, "problems": problems, **adopted}


def _repair(problem: Problem, repaired: list[Problem], failed: dict[str, str]) -> None:
    """Repair one problem; one that cannot be repaired, or that comes back, does not keep others from it."""
    assert problem.repair is not None
    logger.warning("doctor: %s; %s", problem.summary, problem.remedy)
    if sum(other.summary == problem.summary for other in repaired) >= COMES_BACK:
        failed[problem.summary] = f"it came back {COMES_BACK} times"
        return
    try:
        problem.repair()
    except EvergreenError as err:
        logger.warning("doctor: it could not be repaired: %s", err)
        failed[problem.summary] = str(err)
    else:
        repaired.append(problem)


def _facts(problem: Problem, *, repaired: bool, reason: str | None = None) -> dict[str, object]:
    facts: dict[str, object] = {"summary": problem.summary, "remedy": problem.remedy, "repaired": repaired}
    facts |= {"by": problem.by} if problem.by else {}
    facts |= {"unreadable": True} if problem.unreadable else {}
    return facts | ({"failed": reason} if reason else {})


def show(facts: dict[str, object]) -> str:
    """Lay the findings out for people."""
    problems = facts["problems"]
    assert isinstance(problems, list)
    lines = []
    for problem in problems:
        how = "done" if problem["repaired"] else problem.get("by", "with --repair")
        lines.append(f"{problem['summary']}\n  {how}: {problem['remedy']}")
        lines += [f"  that failed: {problem['failed']}"] if "failed" in problem else []
    if isinstance(adopted := facts.get("adopted"), dict):
        lines.append(
            f"adopted: version {adopted['version']}, run {adopted['run_id']}, model file SHA-256 "
            f"{adopted['model_sha256']}, lineage SHA-256 {adopted['lineage_sha256']}"
        )
    channels = facts.get("channels")
    for channel in channels if isinstance(channels, list) else []:
        lines.append(f"channel {channel['channel']}: {STATES[channel['state']]}: {channel['message']}")
    serves = facts["champion"]
    if serves is not None:
        lines.append(f"version {serves} serves")
    elif not any(problem.get("unreadable") for problem in problems):
        lines.append(f"nobody serves: {retrain()}")
    lines.append("all agrees" if facts["healthy"] else f"inconsistent: run '{DOCTOR}', or what is named above")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print what is inconsistent, and repair it if asked; of all models, the largest exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("--all", action="store_true", help="every model, one after the other")
    arguments.add_argument("--repair", action="store_true", help="lead out of what is inconsistent")
    arguments.add_argument(
        "--adopt", type=int, metavar="N", help="with --repair: a version that you vouch for, as MLflow holds it now"
    )
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    if options.all and (options.model or options.adopt is not None):
        arguments.error("--all is every model: give neither --model nor --adopt")
    if options.adopt is not None and not options.repair:
        arguments.error("--adopt changes the storage's records: give --repair too")
    if options.all:
        return max(_examine(options, model.name) for model in configured_models())
    return _examine(options, None)


def _examine(options: argparse.Namespace, model: str | None) -> int:
    codes = []

    def work() -> dict[str, Any]:
        services = open_services(model=model)
        facts = run(services=services, repair=options.repair, adopt=options.adopt)
        facts["channels"] = [] if options.repair else channel_check.examine(services)
        unreadable = any(problem.get("unreadable") for problem in facts["problems"])
        deaf = any(channel["state"] == channel_check.WRONG for channel in facts["channels"])
        codes.append(FAILED if unreadable else 0 if facts["healthy"] and not deaf else INCONSISTENT)
        return facts

    if model is not None:
        sys.stderr.write(f"model {model}\n")
    code = execute(work, show=(lambda facts: json.dumps(facts, sort_keys=True)) if options.json else show)
    return code or codes[0]


if __name__ == "__main__":
    sys.exit(main())
