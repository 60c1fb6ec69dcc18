"""Tell who is champion, since when, why, against whom and on what evidence, and every decision before."""

from __future__ import annotations

import logging
import sys
from datetime import date
from typing import Any

from tabulate import tabulate

from ml.core import history
from ml.errors import MissingArtifact
from ml.records import Logged
from ml.steps import succession
from ml.steps.command import execute, iso_day, parser
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
REASON_CHARACTERS = 60


def run(*, services: Services, as_of: date | None = None) -> dict[str, Any]:
    """Read the decisions experiment; nothing is changed, and what is half-done is not counted.

    Parameters
    ----------
    as_of
        A day whose champion is told beside the present one; None for none.

    Returns
    -------
    dict
        ``decisions`` (oldest first), ``champion`` and ``as_of``: one told decision each, None where
        nobody served; ``warning`` if the alias points where no decision has put it, else None.
    """
    logger.info("history: of %s", services.tracking.name)
    decisions = services.tracking.decisions()
    seat = succession.look(services)
    askers: dict[int, str | None] = {}
    now, then = history.crowned_on(None, decisions), history.crowned_on(as_of, decisions) if as_of else None
    return {
        "decisions": [_facts(entry, services, askers) for entry in decisions],
        "champion": _facts(now, services, askers) if now else None,
        "as_of": {"day": as_of.isoformat(), "champion": _facts(then, services, askers) if then else None}
        if as_of
        else None,
        "warning": None if seat.alias == seat.version else succession.moved_by_hand(seat),
    }


def _facts(entry: Logged, services: Services, askers: dict[int, str | None]) -> dict[str, Any]:
    """Put a decision into plain values; who asked for a training is read off its version if not written down."""
    told = history.tell(entry)
    asked_by = told.asked_by
    if asked_by is None and told.version is not None:
        if told.version not in askers:
            askers[told.version] = _asked_by(told.version, services)
        asked_by = askers[told.version]
    return {
        "decision_id": told.decision_id,
        "decided_at": told.decided_at.isoformat(),
        "kind": told.kind,
        "version": told.version,
        "against": told.against,
        "in_force_from": told.in_force_from.isoformat() if told.in_force_from else None,
        "asked_by": asked_by,
        "reasons": list(told.reasons),
        "evidence": told.evidence,
    }


def _asked_by(version: int, services: Services) -> str | None:
    try:
        return services.tracking.version_tags(version).get("asked_by")
    except MissingArtifact:
        return None


def show(found: dict[str, Any]) -> str:
    """Lay what `run` found out as a table, the champion's evidence below it."""
    parts = [_table(found["decisions"]), _champion("champion now", found["champion"])]
    if found["as_of"]:
        parts.append(_champion(f"champion of {found['as_of']['day']}", found["as_of"]["champion"]))
    if found["warning"]:
        parts.append(f"WARNING: {found['warning']}")
    return "\n\n".join(parts)


def _table(decisions: list[dict[str, Any]]) -> str:
    if not decisions:
        return "no decision was made yet; run the retrain Dag"
    rows = [
        [
            entry["decided_at"][:16].replace("T", " "),
            entry["kind"].replace("_", " "),
            entry["version"],
            entry["against"],
            entry["in_force_from"],
            entry["asked_by"],
            _short(entry["reasons"]),
        ]
        for entry in decisions
    ]
    headers = ["decided at (UTC)", "kind", "version", "against", "in force from", "asked by", "why"]
    return tabulate(rows, headers=headers, missingval="-", disable_numparse=True)


def _short(reasons: list[str]) -> str:
    text = "; ".join(reasons)
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 1].rstrip() + "…"


def _champion(title: str, entry: dict[str, Any] | None) -> str:
    """Tell a reign in full: since when, against whom, who wanted it, and each rule's finding."""
    if entry is None:
        return f"{title}: nobody"
    evidence = entry["evidence"]
    instead = f"instead of version {entry['against']}" if entry["against"] is not None else "as the first"
    lines = [
        f"{title}: version {entry['version']}, since {entry['in_force_from']}, by {entry['kind']} {instead}",
        f"  asked by {entry['asked_by'] or '-'}; trained in a window up to {evidence.get('window_last_day')}",
        *(f"  {reason}" for reason in entry["reasons"]),
    ]
    numbers = evidence.get("evidence")
    if isinstance(numbers, dict) and numbers:
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in numbers.items()))
    rulings = (evidence.get("verdict") or {}).get("rulings", ())
    if rulings:
        words = {True: "passed", False: "failed", None: "no evidence"}
        table = [[ruling["rule"], words[ruling["passed"]], ruling["reason"]] for ruling in rulings]
        told = tabulate(
            table, headers=["rule", "outcome", "evidence"], disable_numparse=True, maxcolwidths=[24, None, 80]
        )
        lines.append("\n".join(f"  {line}" for line in told.splitlines()))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the history as a table, or as JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("--as-of", type=iso_day, metavar="DAY", help="tell the champion of that day too")
    arguments.add_argument("--json", action="store_true", help="everything, unshortened, as JSON")
    options = arguments.parse_args(argv)
    return execute(lambda: run(services=open_services(), as_of=options.as_of), show=None if options.json else show)


if __name__ == "__main__":
    sys.exit(main())
