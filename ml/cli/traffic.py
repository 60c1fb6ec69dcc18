"""Show who answers requests, end a challenger's share of them, let it answer again, or judge it by its split.

Who may answer at all says ``serving.traffic`` in ``params.yaml``. A split that was stopped, by *monitor* or by hand,
stays stopped for that version until it is resumed here; the service follows within ``serving.poll_seconds``. ``judge``
asks the gate about a challenger that it has held, on the labelled days of its split: if it is better beyond noise, it
serves.
"""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from typing import Any

from ml.champions import split_control
from ml.command_line import execute, parser
from ml.errors import EvergreenError
from ml.records import Promotion, SplitJudgementRequest
from ml.wiring import Services, open_services

OUTCOMES = {True: "passed", False: "failed", None: "no evidence"}


def show(services: Services) -> dict[str, Any]:
    """Return the setting, who champion and challenger are, what keeps the challenger, what was stopped.

    ``gate`` is what the gate would say of the challenger by the days of its split.
    """
    settings, challenger = services.settings, services.tracking.alias("challenger")
    facts: dict[str, Any] = {
        "model": settings.task.name,
        "traffic": settings.serving.model_dump(mode="json")["traffic"],
        "champion": services.tracking.alias("champion"),
        "challenger": challenger,
    }
    if challenger is not None:
        try:
            split_control.check_eligible(challenger, services)
        except EvergreenError as err:
            facts["not_asked"] = str(err)
    if challenger is not None and facts["champion"] is not None:
        from ml.core.gate import randomised  # slow to import: a challenger there is seldom

        days = split_control.kept_days(facts["champion"], challenger, services)
        rulings = randomised.ask(days, settings.gate, label_delay_days=settings.task.label_delay_days)
        facts["gate"] = [f"{ruling.rule}: {OUTCOMES[ruling.passed]}: {ruling.reason}" for ruling in rulings]
    return {**facts, "stopped": split_control.stops(services)}


def stop(version: int, reason: str, requested_by: str, services: Services) -> dict[str, Any]:
    """End the split of a version; a version whose split ended already stays as it is."""
    stopped = split_control.stop_by_hand(version, reason, requested_by, services)
    return {"version": version, "stopped": True, "was_stopped": not stopped}


def resume(version: int, reason: str, requested_by: str, services: Services) -> dict[str, Any]:
    """Let a version answer again; days up to today no longer speak against it.

    Raises
    ------
    MissingArtifact
        If its split was not stopped.
    """
    today = services.settings.today(datetime.now(UTC))
    split_control.resume(version, reason, requested_by, services, today=today)
    return {"version": version, "stopped": False, "counts_after": today.isoformat()}


def judge(version: int, reason: str, requested_by: str, services: Services, *, approved: bool = False) -> Promotion:
    """Judge a held version by its split, and let it serve if the gate says so."""
    from ml.steps import judge_split  # slow to import: the other actions do without

    request = SplitJudgementRequest(version=version, requested_by=requested_by, reason=reason, approved=approved)
    return judge_split.run(request, settings=services.settings, services=services)


def main(argv: list[str] | None = None) -> int:
    """Print what is, or what was done."""
    arguments = parser(__doc__)
    actions = arguments.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="who answers, and which splits were stopped")
    verbs = {
        "stop": "end the split of a challenger",
        "resume": "let a challenger answer again",
        "judge": "judge a held challenger by the labelled days of its split",
    }
    for name, what in verbs.items():
        action = actions.add_parser(name, help=what)
        action.add_argument("version", type=int)
        action.add_argument("--reason", required=True, help="kept in the decision log")
        action.add_argument("--by", help="who does it; without it your user name")
        if name == "judge":
            action.add_argument("--approve", action="store_true", help="be the person whom gate.approval asks")
    options = arguments.parse_args(argv)

    def work() -> Any:
        services = open_services()
        if options.action == "show":
            return show(services)
        who = options.by or getpass.getuser()
        if options.action == "judge":
            return judge(options.version, options.reason, who, services, approved=options.approve)
        act = stop if options.action == "stop" else resume
        return act(options.version, options.reason, who, services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
