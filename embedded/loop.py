"""Decide, from what Airflow shows, what the launcher does next to bring one whole loop of a model about.

``history → champion (retrain, if there is none) → ingest of the newest due day → score and monitor``

`look` asks Airflow. `next_move` is pure: it takes what was seen and answers; `embedded.model_loop` and `deploy.demo`
do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from embedded.airflow_api import AirflowApi, Dag, Run
from embedded.config import dag_id

FIRST_CHAMPION = "first-champion"
FOLLOWERS = ("score", "monitor")


@dataclass(frozen=True)
class Seen:
    """The state of a model's loop at one look.

    ``champion`` is None while nothing serves; ``following`` is the retrain run that this launch
    waits for; ``next_ingest_at`` is when Airflow means to ingest next. ``committed`` is the state of the newest day's
    task *commit*: ``skipped`` on a day without data, and ``success`` also where only labels were rejected.
    """

    model: str
    champion: int | None
    runs: tuple[Run, ...]
    ingest_paused: bool
    next_ingest_at: datetime | None
    following: str | None = None
    committed: str | None = None


def look(api: AirflowApi, model: str, *, champion: int | None, following: str | None) -> Seen:
    """Look once at what Airflow shows of a model."""
    name = dag_id(model, "ingest")
    ingest, runs = api.dags().get(name, Dag(name, paused=True)), api.runs(model=model)
    newest = _newest_ingest(runs)
    return Seen(
        model=model,
        champion=champion,
        runs=runs,
        ingest_paused=ingest.paused,
        next_ingest_at=ingest.next_run_at,
        following=following,
        committed=api.tasks(newest).get("commit") if newest and newest.finished else None,
    )


def _newest_ingest(runs: Iterable[Run]) -> Run | None:
    ingests = [run for run in runs if run.verb == "ingest" and run.partition_key]
    return max(ingests, key=lambda run: run.partition_key or "", default=None)


@dataclass(frozen=True)
class Trigger:
    """Ask for a first champion by this retrain run, or go on waiting for it if it exists."""

    run_id: str


@dataclass(frozen=True)
class Recount:
    """A training has ended well: find out who is champion now."""

    run_id: str


@dataclass(frozen=True)
class UnpauseIngest:
    """There is a champion, so the day may come."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do until ``what`` has happened; ``run`` is the one that works on it, if any does."""

    what: str
    run: Run | None = None


@dataclass(frozen=True)
class Failed:
    """The loop cannot close by itself; ``run`` shows why, if it has to do with one."""

    reason: str
    run: Run | None = None


@dataclass(frozen=True)
class Rest:
    """The newest day has no data, and none are expected: nothing is there to score."""

    ingest: Run


@dataclass(frozen=True)
class Done:
    """The loop has closed for this partition."""

    ingest: Run
    score: Run
    monitor: Run


NextMove = Trigger | Recount | UnpauseIngest | Wait | Failed | Rest | Done


def next_move(seen: Seen, now: datetime) -> NextMove:
    """Return what the launcher should do next.

    Parameters
    ----------
    now
        An aware instant; a day is due once Airflow's next ingest lies after it.
    """
    if seen.champion is None:
        return _towards_champion(seen)
    if seen.ingest_paused:
        return UnpauseIngest()
    return _towards_day(seen, now)


def first_champion_run_id(runs: Iterable[Run]) -> str:
    """Name the run that shall bring the first champion: one that still works, or the next free.

    Examples
    --------
    >>> first_champion_run_id([])
    'first-champion'
    >>> first_champion_run_id([Run("churn.retrain", "first-champion", "failed")])
    'first-champion-2'
    >>> first_champion_run_id([Run("churn.retrain", "first-champion", "running")])
    'first-champion'
    """
    tries = {}
    for run in runs:
        matched = re.fullmatch(rf"{FIRST_CHAMPION}(?:-(\d+))?", run.run_id)
        if run.verb == "retrain" and matched:
            tries[int(matched[1] or 1)] = run
    newest = max(tries, default=0)
    if newest and not tries[newest].finished:
        return tries[newest].run_id
    return FIRST_CHAMPION if newest == 0 else f"{FIRST_CHAMPION}-{newest + 1}"


def _towards_champion(seen: Seen) -> NextMove:
    if seen.following is None:
        return Trigger(first_champion_run_id(seen.runs))
    run = next((r for r in seen.runs if (r.verb, r.run_id) == ("retrain", seen.following)), None)
    if run is None or not run.finished:
        return Wait("a first champion", run)
    if run.state == "success":
        return Recount(run.run_id)
    return Failed("training failed", run)


def _towards_day(seen: Seen, now: datetime) -> NextMove:
    newest = _newest_ingest(seen.runs)
    if newest is None or seen.next_ingest_at is None or seen.next_ingest_at <= now:
        return Wait("the newest day's ingest")
    if newest.state == "failed" and seen.committed != "success":
        return Failed("the newest day was not ingested", newest)
    if not newest.finished:
        return Wait("the newest day's ingest", newest)
    return Rest(newest) if seen.committed == "skipped" else _towards_followers(newest, seen)


def _towards_followers(newest: Run, seen: Seen) -> NextMove:
    latest = {}
    for verb in FOLLOWERS:
        runs = [r for r in seen.runs if r.verb == verb and r.partition_key == newest.partition_key]
        # Asset events can come twice: the newest run of the partition, first in the list, counts.
        if not runs or not runs[0].finished:
            return Wait(f"{verb} of the newest day", runs[0] if runs else None)
        if runs[0].state == "failed":
            return Failed(f"{verb} of the newest day failed", runs[0])
        latest[verb] = runs[0]
    return Done(newest, latest["score"], latest["monitor"])
