"""Run the courses of a backtest on all cores, each kept on disk under what determines it."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml.adapters import code, layout
from ml.adapters.storage import open_objects
from ml.adapters.workspace import Workspace
from ml.backtest import dataset_files, landing
from ml.backtest.dataset import PointInTimeDataset
from ml.backtest.fits import Fits, Training
from ml.backtest.label_judging import Predictor, judged
from ml.backtest.outcome import Outcome
from ml.backtest.policies import Policy
from ml.backtest.screening import Screens
from ml.backtest.simulation import Simulation
from ml.backtest.sources import open_source
from ml.core.data import windows
from ml.core.data.days import days_between
from ml.core.data.row_checks import used_columns
from ml.errors import DataRejected, MissingArtifact
from ml.settings import Environment, Settings
from ml.wiring import Services

POLL_SECONDS = 0.3
Progress = Callable[[int], None]
Task = tuple[Callable[..., Any], tuple[Any, ...]]
_progress: list[Progress] = []
"""Who is notified of how many days this process has finished; set when it starts."""


@dataclass(frozen=True)
class Span:
    """What is replayed: the days, the history before them, and what is injected."""

    history: date
    first: date
    last: date
    source: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class BacktestContext:
    """Where a backtest works, and by what settings its data are landed and screened."""

    settings: Settings
    environment: Environment
    folder: Path
    code: str

    @property
    def cache_dir(self) -> Workspace:
        """Open the folder."""
        return Workspace(open_objects(str(self.folder)))

    @property
    def services(self) -> Services:
        """Build the services that the source needs."""
        return Services(self.settings, self.environment)

    def screens(self, span: Span, *, trusted_before: date | None = None) -> Screens:
        """Open the contracts; what the registry holds has passed them, but for days with a fault in them."""
        if span.source == "registry" and not span.faults:
            trusted_before = date.max
        used = used_columns(self.settings)
        return Screens(self.environment.expectations, self.settings.screen, self.cache_dir, trusted_before, used)


def open_context(services: Services, folder: Path) -> BacktestContext:
    """Prepare a backtest in ``folder``; code and lock are named once, for all processes."""
    named = hashlib.sha256(f"{code.code_sha256()} {code.lock_sha256()}".encode()).hexdigest()
    return BacktestContext(services.settings, services.environment, folder, named)


class Workers:
    """Processes that take tasks one after the other and count the days they are through with.

    A single one is this process itself.
    """

    def __init__(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._counter = context.Value("q", 0)
        self._pool = None
        if number > 1:
            self._pool = ProcessPoolExecutor(
                number, mp_context=context, initializer=_start_worker, initargs=(self._counter,)
            )

    def run(self, tasks: Sequence[Task], on_days: Progress) -> list[Any]:
        """Run all tasks and give their results in order; the first error ends it."""
        if self._pool is None:
            _progress.append(on_days)
            try:
                return [work(*arguments) for work, arguments in tasks]
            finally:
                _progress.clear()
        futures = [self._pool.submit(work, *arguments) for work, arguments in tasks]
        seen, waiting = self._counter.value, set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            now = self._counter.value
            on_days(now - seen)
            seen = now
        return [future.result() for future in futures]

    def close(self) -> None:
        """Let go of whatever has not begun, and of the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def workers(number: int) -> Iterator[Workers]:
    """Start processes, and stop them whatever happens."""
    team = Workers(number)
    try:
        yield team
    finally:
        team.close()


def _start_worker(counter: Any) -> None:
    """Let a process that has just started count into what all of them share, and end with the one that started it.

    The pool's own processes do not look for that: of a backtest that was killed they would go on for hours.
    """

    def add(days: int) -> None:
        with counter.get_lock():
            counter.value += days

    _progress.append(add)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "the pool has started this process"
    parent.join()
    os._exit(1)


def _count(days: int) -> None:
    for report in _progress:
        report(days)


# -- datasets ----------------------------------------------------------------------------------------


def screening_tasks(base: BacktestContext, span: Span, number: int) -> list[Task]:
    """Cut the days into parts whose contracts can be asked at the same time; one process asks as it builds."""
    if number == 1:
        return []
    days = days_between(span.history, span.last)
    length = -(-len(days) // number)
    return [
        (screen_part, (base, span, part[0], part[-1])) for n in range(number) if (part := days[n * length :][:length])
    ]


def screen_part(base: BacktestContext, span: Span, first: date, last: date) -> None:
    """Ask the contracts about some days, so that `dataset_of` finds their answers; what came before is believed.

    A day whose recent past was not as it seems is asked about again by `dataset_of`, and nothing is wrong.
    """
    settings = base.settings
    lead = settings.screen.recent_days + settings.land.catch_up_days + settings.task.label_delay_days
    begin = max(span.history, first - timedelta(days=lead))
    source = open_source(span.source, base.services, span.faults)
    screens = base.screens(span, trusted_before=first)
    simulated = days_between(begin, last)
    landing.build(source, simulated[0], simulated[-1], services=base.services, screens=screens)
    _count(len(days_between(first, last)))


def dataset_of(base: BacktestContext, span: Span) -> str:
    """Build the world of a span, keep it, and give the folder that holds it.

    Labels in doubt are kept out of it, as *ingest* does; the labels of a registry were judged when they came.
    """
    source = open_source(span.source, base.services, span.faults)
    dataset = landing.build(
        source, span.history, span.last, services=base.services, screens=base.screens(span), on_day=_count
    )
    dataset = replace(dataset, excluded=_excluded_days(base.services))
    if base.settings.labels.judge and (span.source != "registry" or span.faults):
        dataset = judged(
            dataset, base.settings, first=span.first, predictor=lambda view: _first_model(base, view)
        ).dataset
    cache_dir = Workspace(base.cache_dir.objects, layout.backtest.cached("worlds", dataset.digest))
    if not cache_dir.has("world.json"):
        dataset_files.save(dataset, cache_dir)
    return dataset.digest


def _excluded_days(services: Services) -> frozenset[date]:
    """Return the days that a person marked as not to be learned from; none where there is no data registry."""
    try:
        return frozenset(services.registry.excluded_days())
    except MissingArtifact:
        return frozenset()


def _first_model(base: BacktestContext, view: PointInTimeDataset) -> Predictor | None:
    """Return what predicts as the model that every policy begins with; None if there is too little to fit it on."""
    try:
        chosen = windows.choose_by(base.settings, sorted(view.arrived), view.excluded)
        training = Training(chosen.days, (*chosen.lookback, *chosen.excluded))
        fitted = Fits(view, base.folder, base.code).fit(training, base.settings)
    except (MissingArtifact, DataRejected):
        return None
    return fitted.predict


@lru_cache(maxsize=2)
def _dataset(folder: Path, digest: str) -> PointInTimeDataset:
    return dataset_files.load(Workspace(open_objects(str(folder)), layout.backtest.cached("worlds", digest)))


# -- courses ---------------------------------------------------------------------------------------


def name_of(base: BacktestContext, digest: str, policy: Policy, span: Span) -> str:
    """Name a course by all that determines it."""
    facts = [digest, policy.key, str(span.first), str(span.last), base.code]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def live(base: BacktestContext, digest: str, policy: Policy, span: Span) -> str:
    """Live through a span under a policy unless that was done before; give the name of what is kept of it."""
    name = name_of(base, digest, policy, span)
    cache_dir = Workspace(base.cache_dir.objects, layout.backtest.cached("courses", name))
    days = len(days_between(span.first, span.last))
    if cache_dir.has("course.json"):
        _count(days)
        return name
    fits = Fits(_dataset(base.folder, digest), base.folder, base.code)
    outcome = Simulation(policy, fits, span.first, span.last).run(_count)
    cache_dir.write_table("scored.parquet", outcome.scored)
    cache_dir.write_table("days.parquet", outcome.days.assign(day=outcome.days["day"].astype(str)))
    cache_dir.write_json("course.json", {"policy": policy.name, "dataset": digest})
    return name


def read(base: BacktestContext, name: str) -> Outcome:
    """Read what is kept of a course."""
    cache_dir = Workspace(base.cache_dir.objects, layout.backtest.cached("courses", name))
    days = cache_dir.read_table("days.parquet")
    days["day"] = [date.fromisoformat(day) for day in days["day"]]
    return Outcome(scored=cache_dir.read_table("scored.parquet"), days=days)
