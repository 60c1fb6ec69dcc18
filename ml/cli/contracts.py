"""Propose expectations from the data of the registry, and test what the present ones reject and find.

``propose`` shows what it would add to ``inputs.json`` and ``labels.json``, or change in what it wrote itself; what a
person wrote stays. ``test`` lets the newest days come again, as they were and with errors planted.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import date
from typing import Any

import pandas as pd

from ml.adapters import suite_files
from ml.adapters.rows import read_exact
from ml.command_line import Parser, execute, with_model
from ml.core.data.suite_changes import SuiteChange, changes_of
from ml.core.data.suite_proposals import propose_suite
from ml.errors import MissingArtifact
from ml.records import Asset
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
PROPOSE_DAYS, TEST_DAYS, ERROR_DAYS = 365, 28, 2
SIGNS = {"new": "+", "changed": "~", "yours": "=", "gone": "?"}
ASSETS: tuple[Asset, ...] = ("inputs", "labels")


def read_days(services: Services, asset: Asset, days: int) -> dict[date, pd.DataFrame]:
    """Read the newest days of an asset from the data registry.

    Raises
    ------
    MissingArtifact
        If it holds none.
    """
    version = services.registry.head()
    newest = sorted(services.registry.days(asset, version))[-days:]
    if not newest:
        raise MissingArtifact(f"the data registry holds no {asset}; run 'make setup' or ingest some days")
    paths = services.registry.open(asset, rev=version, first_day=newest[0], last_day=newest[-1])
    return {day: read_exact(path, services.settings.task.key) for day, path in paths.items()}


def propose(services: Services, days: int, *, write: bool) -> dict[str, Any]:
    """Return what becomes of each suite; ``write`` also writes it."""
    changed: dict[str, Any] = {}
    for asset in ASSETS:
        frames = read_days(services, asset, days)
        logger.info("contracts: %d days of %s from %s to %s", len(frames), asset, min(frames), max(frames))
        table = pd.concat(frames.values(), ignore_index=True)
        proposals = [p.as_entry() for p in propose_suite(table, asset=asset, task=services.settings.task)]
        path = services.environment.expectations / f"{asset}.json"
        suite = suite_files.read_entries(path)
        changes = changes_of(suite, proposals)
        written = write and any(change.state in ("new", "changed") for change in changes)
        if written:
            suite_files.write_entries(path, [change.entry for change in changes])
        facts = [_facts(change) for change in changes]
        changed[asset] = {"path": str(path), "days": len(frames), "written": written, "expectations": facts}
    return changed


def _facts(change: SuiteChange) -> dict[str, Any]:
    return {"state": change.state, "entry": dict(change.entry), "proposed": change.proposed and dict(change.proposed)}


def show_proposals(facts: dict[str, Any]) -> str:
    """Lay proposals out as a diff; its last lines say what the signs mean."""
    lines = []
    for suite in facts.values():
        lines.append(f"{suite['path']}, from {suite['days']} days" + (": written" if suite["written"] else ""))
        for change in suite["expectations"]:
            if change["state"] == "same" or (change["state"] == "yours" and change["proposed"] is None):
                continue
            lines += _lines(change)
        states = [change["state"] for change in suite["expectations"]]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("new", "changed", "same", "yours", "gone"))
        lines += [f"  {counts}", ""]
    lines.append("+ new, ~ changed, = yours (it stays; < is what is proposed), ? proposed once, no longer (it stays)")
    if not any(suite["written"] for suite in facts.values()):
        lines.append("Nothing was written: review it, try 'evergreen contracts test', then add --write.")
    return "\n".join(lines)


def _lines(change: dict[str, Any]) -> list[str]:
    entry, proposed = change["entry"], change["proposed"]
    lines = [f"  {SIGNS[change['state']]} {_short(entry)}"]
    if change["state"] == "yours":
        lines.append(f"      < {_short(proposed)}")
    return [*lines, f"      {(proposed or entry)['meta'].get('notes', '')}"]


def _short(entry: dict[str, Any]) -> str:
    text = json.dumps(entry["kwargs"], ensure_ascii=False)
    return f"{entry['meta'].get('level')}: {entry['type']} {text if len(text) <= 160 else text[:159] + '…'}"


def test(services: Services, days: int, error_days: int, asset: Asset) -> dict[str, Any]:
    """Return which of the newest days the present suite would reject, and which planted errors it finds."""
    from ml.adapters.contracts.trial import Trial, found_by_kind, missed, profiles_of, rejections_by_expectation
    from ml.core.data.planted_errors import errors_for

    task, screen = services.settings.task, services.settings.screen
    frames = read_days(services, asset, days + screen.recent_days)
    newest = {day: frames[day] for day in sorted(frames)[-days:]}
    keys = None
    if asset == "labels":
        inputs = read_days(services, "inputs", days + screen.recent_days + task.label_delay_days)
        keys = {day: frame[list(task.key)] for day, frame in inputs.items()}
    trial = Trial(services.contracts, asset, newest, profiles_of(frames), keys)
    clean = list(trial.clean_days())
    accepted = [result.day for result in clean if not result.rejected][-error_days:]
    errors = errors_for(frames[accepted[0]], key=task.key) if accepted else ()
    planted = list(trial.planted(errors, accepted))
    return {
        "asset": asset,
        "days": len(clean),
        "rejected_days": [str(result.day) for result in clean if result.rejected],
        "rejected_by": rejections_by_expectation(clean),
        "quarantined_rows": sum(result.quarantined for result in clean if not result.rejected),
        "error_days": [str(day) for day in accepted],
        "errors": found_by_kind(planted),
        "missed": missed(planted),
    }


def show_test(facts: dict[str, Any]) -> str:
    """Lay the result of a test out as tables."""
    from tabulate import tabulate

    rejected = facts["rejected_days"]
    lines = [f"{facts['asset']}: {len(rejected)} of {facts['days']} days as they came would be rejected"]
    lines += [
        f"  {number} {'day' if number == 1 else 'days'}: {words}" for words, number in facts["rejected_by"].items()
    ]
    lines += [f"{facts['quarantined_rows']:,} rows of the other days would be quarantined", ""]
    lines.append(f"Errors planted in {', '.join(facts['error_days']) or 'no day'}:")
    rows = [
        [e["kind"], f"{e['share']:.0%}", e["errors"], f"{e['rejected']:.0%}", f"{e['contained']:.0%}"]
        for e in facts["errors"]
    ]
    lines.append(
        tabulate(rows, ["error", "of the rows", "tried", "day rejected", "or rows quarantined"], tablefmt="plain")
    )
    if facts["missed"]:
        lines += ["", "Never found at 20 % of the rows or more:", *(f"  {words}" for words in facts["missed"])]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run ``propose`` or ``test``."""
    arguments = with_model(Parser(description=(__doc__ or "").strip()))
    actions = arguments.add_subparsers(dest="action", required=True, metavar="propose | test")
    proposing = actions.add_parser("propose", help="show what the data suggest beside the present suites")
    proposing.add_argument(
        "--days", type=int, default=PROPOSE_DAYS, help=f"so many of the newest days ({PROPOSE_DAYS})"
    )
    proposing.add_argument("--write", action="store_true", help="write what is new, and what this command wrote before")
    testing = actions.add_parser("test", help="let the newest days come again, as they were and with errors")
    testing.add_argument("--days", type=int, default=TEST_DAYS, help=f"so many of the newest days ({TEST_DAYS})")
    testing.add_argument(
        "--error-days", type=int, default=ERROR_DAYS, help=f"errors are planted in so many of them ({ERROR_DAYS})"
    )
    testing.add_argument("--asset", choices=ASSETS, default="inputs", help="which suite (inputs)")
    for action in (proposing, testing):
        with_model(action)
    options = arguments.parse_args(argv)
    if options.action == "propose":
        return execute(lambda: propose(open_services(), options.days, write=options.write), show=show_proposals)
    return execute(lambda: test(open_services(), options.days, options.error_days, options.asset), show=show_test)


if __name__ == "__main__":
    sys.exit(main())
