"""Measure how often champions are called decayed, healthy ones and others.

On the demo's own days and the recipe of ``params.yaml``, April to December 2013: each week a champion is fitted on
all days but the newest ``split.holdout_days`` and serves from then on; `ml.core.monitoring.performance.assess` judges
it day by day, as monitoring does.

- ``healthy``: retrained no more than four weeks ago. Whatever is called decayed here is a false alarm.
- ``stale``: retrained more than twelve weeks ago.
- ``evening late rate doubled``, ``late rate doubled``: the relation changes two weeks after the champion came.
- ``departures in UTC``: its inputs break two weeks after it came.

``decay`` and ``alarms`` are what people are alarmed of, ``asks`` what asks for a challenger, warnings included.
``gain`` is what a champion of the same week would save in the seven days that follow, in log loss.

    python -m bench.decay [--max-gap 0.07] [--max-lost-skill 0.01] [--confidence 0.95] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from bench.refit import fit_before, rows_of_2013
from ml import settings as settings_module
from ml.adapters.sources.demo import LAST_DAY
from ml.core.metrics import row_loss
from ml.core.monitoring import performance
from ml.core.monitoring.served import ExpectedPerformance
from ml.core.predictions import base_rate as base_rate_of
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.folds import time_ordered
from ml.core.training.lagged_means import add_history
from ml.settings import Settings
from ml.steps.retrain.out_of_fold import honest
from ml.steps.retrain.pipelines import fit_pipeline

PARAMS = Path(__file__).parents[1] / "params.yaml"
FIRST, WEEK, HEALTHY, STALE, CHANGE = date(2013, 4, 1), 7, 28, 84, 14
EVENING = 18 * 60
UTC_MINUTES = 4 * 60
K, N = 2, 3


@dataclass(frozen=True)
class Serving:
    """A champion, the day from which it serves, what it predicts, and what the gate saw of it."""

    start: date
    pipeline: Pipeline
    scored: pd.DataFrame
    expected: ExpectedPerformance


def serve(
    rows: pd.DataFrame,
    start: date,
    settings: Settings,
    pipeline: Pipeline | None = None,
    *,
    held_too: bool = False,
    with_reference: bool = False,
) -> Serving:
    """Fit a champion that serves from ``start`` (or take a fitted one) and score all days from its holdout on.

    With ``held_too`` what it predicted of its holdout stays among what is scored; ``with_reference`` fits its folds
    too, from which the luck that decay has to be beyond is learned.
    """
    held = (start - timedelta(days=settings.split.holdout_days)).isoformat()
    pipeline = pipeline or fit_before(rows, date.fromisoformat(held), settings)
    seen = rows.loc[rows["day"] >= held]
    scored = pd.DataFrame(
        {
            "day": seen["day"].to_numpy(),
            "version": 1,
            "target": seen[settings.task.target].to_numpy(dtype=float),
            "prediction": predict(pipeline, matrix(seen, settings.features), settings.task.kind),
        }
    )
    holdout = scored.loc[scored["day"] < start.isoformat()].rename(columns={"prediction": "challenger"})
    base_rate = base_rate_of(rows.loc[rows["day"] < held, settings.task.target], settings.task)
    reference = honest(rows.loc[rows["day"] < held], holdout, settings) if with_reference else None
    expected = performance.expected(holdout.assign(base_rate=base_rate), settings, reference=reference)
    kept = scored if held_too else scored.loc[scored["day"] >= start.isoformat()]
    return Serving(start, pipeline, kept, expected)


def judged(serving: Serving, ages: Iterator[int] | range, settings: Settings) -> Iterator[dict[str, object]]:
    """Judge a champion on the day after each of its ``ages``, by the labels that have arrived by then."""
    for age in ages:
        last = serving.start + timedelta(days=age)
        first = max(serving.start, last - timedelta(days=settings.performance.window_days - 1))
        window = serving.scored.loc[serving.scored["day"].between(first.isoformat(), last.isoformat())]
        if last > LAST_DAY:
            return
        day = last + timedelta(days=1)
        found = performance.assess(day, 1, window, [], expected=serving.expected, settings=settings, in_full=False)
        yield {
            "start": serving.start,
            "day": day,
            "decay": found.status == "decay",
            "asks": any(each.kind == "decay" for each in found.findings),
            "gap": any("on average" in each.message for each in found.findings if each.severity == "alarm"),
            "skill": any("is lost" in each.message for each in found.findings if each.severity == "alarm"),
        }


def changed(rows: pd.DataFrame, day: date, how: str, settings: Settings, *, seed: int) -> pd.DataFrame:
    """Change outcomes or inputs from ``day`` on, and compute the history features anew."""
    plain = rows[[name for name in rows if not str(name).startswith("history_")]].copy()
    target, since = settings.task.target, plain["day"] >= day.isoformat()
    if how == "departures in UTC":
        moved = (plain["sched_dep_minute"] + UTC_MINUTES) % (24 * 60)
        plain["sched_dep_minute"] = plain["sched_dep_minute"].where(~since, moved)
    else:
        hit = since & (plain["sched_dep_minute"] >= EVENING) if how.startswith("evening") else since
        rate = plain.loc[hit].groupby("day")[target].transform("mean")
        doubling = (rate / (1 - rate).clip(lower=1e-9)).clip(upper=1)
        lucky = np.random.default_rng(seed).random(int(hit.sum())) < doubling.to_numpy()
        plain.loc[hit, target] = np.maximum(plain.loc[hit, target].to_numpy(dtype=float), lucky.astype(float))
    return add_history(
        plain, plain, settings.features.history, target=target, label_delay_days=settings.task.label_delay_days
    )


def gain(old: Serving, fresh: Serving, first: date) -> float:
    """Return how much lower the mean log loss of ``fresh`` is in the week from ``first`` on."""
    last = first + timedelta(days=WEEK - 1)
    losses = []
    for each in (old, fresh):
        week = each.scored.loc[each.scored["day"].between(first.isoformat(), last.isoformat())]
        losses.append(float(row_loss(week["target"], week["prediction"], "log_loss").mean()))
    return losses[0] - losses[1]


def undisturbed(
    servings: list[Serving], settings: Settings, say: Callable[[str], None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge every champion daily while it is healthy, and once a week when it is stale."""
    healthy, stale = [], []
    for at, serving in enumerate(servings):
        say(f"champion of {serving.start}")
        least = settings.performance.min_days - 1
        healthy += list(judged(serving, range(least, HEALTHY), settings))
        for weeks, fresh in enumerate(servings[at:]):
            age = WEEK * weeks - 1
            if age < STALE:
                continue
            saved = {"gain": gain(serving, fresh, fresh.start)}
            stale += [{**entry, **saved} for entry in judged(serving, range(age, age + 1), settings)]
        for entry in healthy[-(HEALTHY - least) :]:
            weeks, left = divmod((entry["day"] - serving.start).days, WEEK)  # type: ignore[operator]
            if entry["start"] == serving.start and left == 0 and at + weeks < len(servings):
                entry["gain"] = gain(serving, servings[at + weeks], servings[at + weeks].start)
    return pd.DataFrame(healthy), pd.DataFrame(stale)


def disturbed(rows: pd.DataFrame, servings: list[Serving], how: str, settings: Settings, *, seed: int) -> pd.DataFrame:
    """Judge every fifth champion from one to three weeks after a change; a fresh one has learnt from two of them."""
    found = []
    for serving in servings[:-5:5]:
        day = serving.start + timedelta(days=CHANGE)
        new = changed(rows, day, how, settings, seed=seed)
        old = serve(new, serving.start, settings, serving.pipeline)
        old = Serving(old.start, old.pipeline, old.scored, serving.expected)
        entries = list(judged(old, range(CHANGE + WEEK - 1, CHANGE + 3 * WEEK), settings))
        later = day + timedelta(days=2 * WEEK)
        fresh = fit_before(new, later, settings)
        saved = gain(old, serve(new, later, settings, fresh), later)
        found += [{**entry, "gain": saved} for entry in entries]
    return pd.DataFrame(found)


def summary(name: str, found: pd.DataFrame) -> dict[str, object]:
    """Return the shares of days and champions that are called decayed, and what a fresh champion would save."""

    def champions(name: str) -> float:
        runs = found.groupby("start")[name].transform(lambda days: days.rolling(N, min_periods=1).sum() >= K)
        return 100 * float((runs & found[name]).groupby(found["start"]).any().mean())

    return {
        "champions": name,
        "days": len(found),
        "decay %": 100 * found["decay"].mean(),
        "by gap %": 100 * found["gap"].mean(),
        "by skill %": 100 * found["skill"].mean(),
        "alarms %": champions("decay"),
        "asks on days %": 100 * found["asks"].mean(),
        "asks %": champions("asks"),
        "gain": found["gain"].mean(),
        "gain if it asks": found.loc[found["asks"], "gain"].mean(),
    }


def out_of_fold(rows: pd.DataFrame, end: date, settings: Settings, *, folds: int = 3) -> pd.DataFrame:
    """Predict folds of the training window by fits on the days before each, as registration does."""
    train = rows.loc[rows["day"] < end.isoformat()]
    known = [date.fromisoformat(str(day)) for day in train["day"].unique()]
    parts = []
    for fold in time_ordered(known, folds=folds, longest=settings.split.holdout_days):
        days = [str(day) for day in fold.scored_on]
        pipeline = fit_pipeline(train.loc[train["day"] < days[0]], settings)
        part = train.loc[train["day"].isin(days)]
        predicted = predict(pipeline, matrix(part, settings.features), settings.task.kind)
        target = part[settings.task.target].to_numpy(dtype=float)
        parts.append(pd.DataFrame({"day": part["day"].to_numpy(), "prediction": predicted, "target": target}))
    return pd.concat(parts, ignore_index=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-gap", type=float)
    parser.add_argument("--max-lost-skill", type=float)
    parser.add_argument("--confidence", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    settings = settings_module.load(PARAMS)
    given = {"max_gap": asked.max_gap, "max_lost_skill": asked.max_lost_skill, "confidence": asked.confidence}
    bounds = settings.performance.model_copy(update={name: value for name, value in given.items() if value is not None})
    settings = settings.model_copy(update={"performance": bounds})
    rows = rows_of_2013(settings)
    count = ((LAST_DAY - FIRST).days + 1 - WEEK) // WEEK

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    servings = []
    for number in range(count):
        say(f"fit {number + 1} of {count}")
        servings.append(serve(rows, FIRST + timedelta(days=WEEK * number), settings, with_reference=True))
    healthy, stale = undisturbed(servings, settings, say)
    table = [summary("healthy", healthy), summary("stale", stale)]
    for how in ("evening late rate doubled", "late rate doubled", "departures in UTC"):
        say(how)
        table.append(summary(how, disturbed(rows, servings, how, settings, seed=asked.seed)))
    if asked.json:
        print(json.dumps({"decay": table}))
        return 0
    bounds = settings.performance
    print(f"confidence {bounds.confidence:g}, max_gap {bounds.max_gap:g}, max_lost_skill {bounds.max_lost_skill:g}")
    shares = dict.fromkeys(("decay %", "by gap %", "by skill %", "alarms %", "asks on days %", "asks %"), 1)
    print(pd.DataFrame(table).set_index("champions").round(shares | {"gain": 4, "gain if it asks": 4}).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
