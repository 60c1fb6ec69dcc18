"""Show who is champion, since when, why, against whom and on what evidence, and every decision before."""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import date
from typing import Any

from tabulate import tabulate

from ml.adapters import layout
from ml.adapters.replayed_days import Replayed, ReplayLog
from ml.adapters.tracking.decision_log import DecisionLog, Page
from ml.champions import serving_state
from ml.command_line import execute, iso_day, parser
from ml.core.champions import decision_summaries, tenures
from ml.errors import MissingArtifact
from ml.next_moves import retrain
from ml.records import Logged
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
REASON_CHARACTERS = 60
LAST = 50
"""So many of the newest decisions are listed unless somebody asks for more."""


def run(*, services: Services, as_of: date | None = None, last: int | None = LAST) -> dict[str, Any]:
    """Read the decisions experiment; nothing is changed, and what is half-done is not counted.

    Parameters
    ----------
    as_of
        A day whose champion is shown next to the present one; None for none.
    last
        So many of the newest decisions; None for all.

    Returns
    -------
    dict
        ``decisions`` (oldest first), ``older`` (whether there are older ones than those), ``champion`` and ``as_of``:
        one decision each, None where nobody served; ``warning`` if the alias points where no decision has put
        it, else None.
    """
    logger.info("history: of %s", services.tracking.name)
    log = DecisionLog(services.tracking)
    page = log.newest(last) if last is not None else Page(tuple(reversed(services.tracking.decisions())), None)
    serving = serving_state.read_serving(services)
    requesters: dict[int, str | None] = {}
    replayed = ReplayLog(services.storage_folder(layout.ingest.REPLAYED)).read()
    now, then = tenures.promoted_on(None, log.changes), tenures.promoted_on(as_of, log.changes) if as_of else None
    return {
        "decisions": [_facts(entry, services, requesters, replayed) for entry in reversed(page.entries)],
        "older": page.next is not None,
        "champion": _facts(now, services, requesters, replayed) if now else None,
        "as_of": {"day": as_of.isoformat(), "champion": _facts(then, services, requesters, replayed) if then else None}
        if as_of
        else None,
        "warning": None if serving.alias == serving.version else serving_state.moved_by_hand(serving),
    }


def _facts(entry: Logged, services: Services, requesters: dict[int, str | None], replayed: Replayed) -> dict[str, Any]:
    """Put a decision into plain values; who asked for a training is read off its version if not written down."""
    summary = decision_summaries.summarise(entry)
    requested_by = summary.requested_by
    if requested_by is None and summary.version is not None:
        if summary.version not in requesters:
            requesters[summary.version] = _requested_by(summary.version, services)
        requested_by = requesters[summary.version]
    return {
        "decision_id": summary.decision_id,
        "decided_at": summary.decided_at.isoformat(),
        "kind": summary.kind,
        "version": summary.version,
        "against": summary.against,
        "in_force_from": summary.in_force_from.isoformat() if summary.in_force_from else None,
        "replayed": replayed.decided(entry),
        "requested_by": requested_by,
        "reasons": list(summary.reasons),
        "evidence": summary.evidence,
    }


def _requested_by(version: int, services: Services) -> str | None:
    try:
        return services.tracking.version_tags(version).get("requested_by")
    except MissingArtifact:
        return None


def show(facts: dict[str, Any]) -> str:
    """Lay what `run` found out as a table, the champion's evidence below it."""
    parts = [_table(facts["decisions"])]
    if facts["older"]:
        shown = len(facts["decisions"])
        parts.append(f"these are the newest {shown}; for older ones ask with --last {10 * shown}, or --all")
    parts.append(_champion("champion now", facts["champion"]))
    if facts["as_of"]:
        parts.append(_champion(f"champion of {facts['as_of']['day']}", facts["as_of"]["champion"]))
    if facts["warning"]:
        parts.append(f"WARNING: {facts['warning']}")
    return "\n\n".join(parts)


def _table(decisions: list[dict[str, Any]]) -> str:
    if not decisions:
        return f"no decision was made yet; {retrain()}"
    rows = [
        [
            entry["decided_at"][:16].replace("T", " "),
            entry["kind"].replace("_", " ") + (" (replayed)" if entry["replayed"] else ""),
            entry["version"],
            entry["against"],
            entry["in_force_from"],
            entry["requested_by"],
            _short(entry["reasons"]),
        ]
        for entry in decisions
    ]
    headers = ["decided at (UTC)", "kind", "version", "against", "in force from", "requested by", "reason"]
    return tabulate(rows, headers=headers, missingval="-", disable_numparse=True)


def _short(reasons: list[str]) -> str:
    text = "; ".join(reasons)
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 1].rstrip() + "…"


def _champion(title: str, entry: dict[str, Any] | None) -> str:
    """Describe a tenure in full: since when, against whom, who wanted it, and each rule's finding."""
    if entry is None:
        return f"{title}: nobody"
    evidence = entry["evidence"]
    instead = f"instead of version {entry['against']}" if entry["against"] is not None else "as the first"
    replayed = ", in a replay" if entry["replayed"] else ""
    lines = [
        f"{title}: version {entry['version']}, since {entry['in_force_from']}, by {entry['kind']} {instead}{replayed}",
        f"  asked by {entry['requested_by'] or '-'}; trained in a window up to {evidence.get('window_last_day')}",
        *(f"  {reason}" for reason in entry["reasons"]),
    ]
    numbers = evidence.get("evidence")
    if isinstance(numbers, dict) and numbers:
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in numbers.items()))
    rulings = (evidence.get("verdict") or {}).get("rulings", ())
    if rulings:
        words = {True: "passed", False: "failed", None: "no evidence"}
        table = [[ruling["rule"], words[ruling["passed"]], ruling["reason"]] for ruling in rulings]
        ruling_table = tabulate(
            table, headers=["rule", "outcome", "evidence"], disable_numparse=True, maxcolwidths=[24, None, 80]
        )
        lines.append("\n".join(f"  {line}" for line in ruling_table.splitlines()))
    return "\n".join(lines)


def _count(text: str) -> int:
    """Read how many; argparse puts the error into words."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of decisions; type one from 1 on")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Print the history as a table, or as JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("--as-of", type=iso_day, metavar="DAY", help="show the champion of that day too")
    bound = arguments.add_mutually_exclusive_group()
    bound.add_argument(
        "--last", type=_count, default=LAST, metavar="N", help=f"the newest N decisions (without it: {LAST})"
    )
    bound.add_argument("--all", action="store_true", help="all decisions, however many")
    arguments.add_argument("--json", action="store_true", help="everything, unshortened, as JSON")
    options = arguments.parse_args(argv)
    last = None if options.all else options.last
    return execute(
        lambda: run(services=open_services(), as_of=options.as_of, last=last), show=None if options.json else show
    )


if __name__ == "__main__":
    sys.exit(main())
