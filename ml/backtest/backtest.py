"""Replay history day by day under several policies, and say what each would have been worth.

    evergreen backtest --from 2013-04-01 --to 2013-12-31 --policies never,weekly,monthly,drift,adapt,evergreen

The same functions as in production land, screen, score, monitor, decide, fit and judge, without Airflow. What
is expensive is kept in ``var/backtest`` under all that determines it: killed anywhere, run again, it goes on.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ml import settings as settings_module
from ml.backtest import faults as catalogue
from ml.backtest import policies, report, report_words, runs
from ml.backtest.policies import Policy
from ml.backtest.runs import Span
from ml.command_line import execute, iso_day, with_model
from ml.errors import SettingsError
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
ALL = ",".join(policies.BUILT_IN)


@dataclass(frozen=True)
class BacktestRequest:
    """What is to be replayed."""

    first: date
    last: date
    policies: tuple[Policy, ...]
    faults: tuple[str, ...] = ()
    history: date | None = None
    source: str = "source"
    reference: str | None = None


def run(
    request: BacktestRequest, *, services: Services, folder: Path, number: int, logged: bool = True, quiet: bool = True
) -> dict[str, Any]:
    """Replay, and write the report to ``folder/report``.

    Parameters
    ----------
    folder
        Holds whatever may be used again.
    number
        How many processes; each computes with one thread.
    logged
        Whether the report goes to the experiment ``<task>-backtest`` of MLflow too.

    Returns
    -------
    dict
        The table's rows, the faults', and where the report is.
    """
    span = _span(request, services)
    base = runs.open_context(services, folder)
    spans = (
        [span] if not request.faults else [span, Span(span.history, span.first, span.last, span.source, request.faults)]
    )
    with runs.workers(number) as team:
        landed = len(spans) * ((span.last - span.history).days + 1)
        with _bar("contracts", landed, quiet) as on_days:
            team.run([task for replayed in spans for task in runs.screening_tasks(base, replayed, number)], on_days)
        with _bar("landing", landed, quiet) as on_days:
            digests = team.run([(runs.dataset_of, (base, replayed)) for replayed in spans], on_days)
        tasks = [
            (runs.live, (base, digest, policy, replayed))
            for digest, replayed in zip(digests, spans, strict=True)
            for policy in _slowest_first(request.policies)
        ]
        with _bar("days", len(tasks) * ((span.last - span.first).days + 1), quiet) as on_days:
            team.run(tasks, on_days)
    outcomes = [
        {policy.name: runs.read(base, runs.name_of(base, digest, policy, replayed)) for policy in request.policies}
        for digest, replayed in zip(digests, spans, strict=True)
    ]
    facts = report.write(request, span, outcomes, services=services, out_dir=base.folder / "report")
    if logged:
        facts["run_id"] = report.log(facts, services=services, out_dir=base.folder / "report")
    return facts


def _span(request: BacktestRequest, services: Services) -> Span:
    """Check the days, and say from which one on there is history."""
    if request.first > request.last:
        raise SettingsError(f"--from {request.first} is after --to {request.last}")
    history = request.history or request.first - timedelta(days=services.settings.land.history_days)
    for policy in request.policies:
        least = policy.settings.pull.min_days + services.settings.task.label_delay_days
        if (request.first - history).days < least:
            raise SettingsError(
                f"policy {policy.name} needs pull.min_days ({policy.settings.pull.min_days}) labelled days before "
                f"{request.first}, and the history begins on {history}: begin later, or give an earlier --history-from"
            )
    for text in request.faults:
        catalogue.parse(text)
    return Span(history, request.first, request.last, request.source)


def _slowest_first(chosen: Sequence[Policy]) -> list[Policy]:
    def trains(policy: Policy) -> tuple[bool, int]:
        retrain = policy.settings.retrain
        return retrain.min_new_days is None, retrain.min_new_days or retrain.max_age_days or 1000

    return sorted(chosen, key=trains)


@contextmanager
def _bar(what: str, days: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how far it is and how long it will take, on a terminal only."""
    from tqdm import tqdm

    with tqdm(total=days, desc=what, unit="day", disable=quiet, smoothing=0.05, leave=False) as bar:
        yield bar.update


def _arguments() -> ArgumentParser:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    with_model(arguments)
    arguments.add_argument("--from", dest="first", type=iso_day, required=True, help="first day that is served")
    arguments.add_argument("--to", dest="last", type=iso_day, required=True, help="last day that is served")
    arguments.add_argument("--policies", help=f"built-in ones, default {ALL}, those that suit the task; '' for none")
    arguments.add_argument("--policy", type=Path, action="append", default=[], help="a fragment of params.yaml")
    arguments.add_argument("--fault", action="append", default=[], help="such as 'visib in km from 2013-07-01'")
    arguments.add_argument("--history-from", type=iso_day, help="default: land.history_days before the first day")
    arguments.add_argument("--source", choices=("source", "registry"), default="source", help="where days come from")
    arguments.add_argument("--against", help="the policy that the others are compared with; default: the first")
    arguments.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default: all cores")
    arguments.add_argument("--folder", type=Path, help="what is kept and the report; default: var/backtest")
    arguments.add_argument("--no-log", action="store_true", help="do not log to MLflow")
    arguments.add_argument("--json", action="store_true", help="print the facts, not the table")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Replay what was asked for and print the table."""
    options = _arguments().parse_args(argv)

    def work() -> dict[str, Any]:
        services = open_services()
        names = [name for name in (options.policies or "").split(",") if name]
        if options.policies is None:
            names = policies.suited(services.settings.task)
        chosen = policies.choose(names, options.policy, settings_module.resolve(services.environment)[0])
        if options.against and options.against not in {policy.name for policy in chosen}:
            raise SettingsError(f"--against {options.against}: it is not among the policies that are replayed")
        request = BacktestRequest(
            first=options.first,
            last=options.last,
            policies=tuple(chosen),
            faults=tuple(options.fault),
            history=options.history_from,
            source=options.source,
            reference=options.against,
        )
        return run(
            request,
            services=services,
            folder=options.folder or services.environment.home / "backtest",
            number=max(1, options.workers),
            logged=not options.no_log,
            quiet=not sys.stderr.isatty(),
        )

    return execute(work, show=None if options.json else report_words.as_text)


if __name__ == "__main__":
    sys.exit(main())
